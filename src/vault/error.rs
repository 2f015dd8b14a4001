//! The one public error: a kind that maps to an exit code or a status, a stable code, what happened, and what to do next.

use crate::crypto::{Argon2Problem, CryptoError, PluginError};
use crate::format::FormatError;
use crate::name::NameError;
use crate::store::StoreError;

/// Few kinds, each with one exit code and one HTTP status at the edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A defect of this program.
    Internal,
    /// What was asked for is not well-formed.
    Usage,
    /// The entry, version or field is not there.
    NotFound,
    /// No key at hand opens the vault.
    Locked,
    /// There is no vault at the path.
    NoVault,
    /// Something exists already, or is of another version than was expected.
    Conflict,
    /// Another process held the lock for too long.
    Busy,
    /// The file is damaged, was tampered with, or is of a newer format.
    Damaged,
    /// The entry has expired.
    Expired,
    /// The file is older than what this machine has seen.
    Stale,
    /// The key, the file's keys, or policy do not permit it.
    NotPermitted,
    /// Reading or writing failed.
    Io,
    /// A server cannot be reached, or failed.
    Network,
}

/// What went wrong, without a word of any secret.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    code: &'static str,
    message: String,
    hint: Option<String>,
}

/// A result with the public [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error; `code` is stable and part of the interface.
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into(), hint: None }
    }

    /// A usage error.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, "usage", message)
    }

    /// A text that is no name of the kind `what`.
    pub fn name(what: &str, error: NameError) -> Self {
        Self::new(ErrorKind::Usage, "invalid_name", format!("the {what} {error}"))
    }

    /// A failure of reading or writing.
    pub fn io(doing: impl Into<String>, error: &std::io::Error) -> Self {
        Self::new(ErrorKind::Io, "io", format!("{}: {error}", doing.into()))
    }

    /// Adds what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error about something that is named before it.
    pub(super) fn of(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// A failure to get at a key is one to unlock.
    pub(super) fn while_unlocking(mut self) -> Self {
        if self.kind == ErrorKind::Io {
            self.kind = ErrorKind::Locked;
        }
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stable code, as `--errors json` prints it.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What to do next.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

const DAMAGED_HINT: &str =
    "nothing was changed; restore a copy (`vault restore`), or fetch the file again from where it is synced";

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Missing => Self::new(ErrorKind::NoVault, "no_vault", message),
            StoreError::Exists => Self::new(ErrorKind::Conflict, "exists", message),
            StoreError::Damaged { .. } => {
                Self::new(ErrorKind::Damaged, "damaged", format!("the vault is damaged: {message}")).hint(DAMAGED_HINT)
            }
            StoreError::Newer(_) => Self::new(ErrorKind::Damaged, "newer_format", message).hint("use a newer version of vault"),
            StoreError::Busy => Self::new(ErrorKind::Busy, "busy", "another process is writing to the vault")
                .hint("try again, or wait longer with --lock-timeout"),
            StoreError::Io { ref source, .. } => {
                let hint = match source.kind() {
                    std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                        Some("the vault is as it was; it can be read where it cannot be written")
                    }
                    std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge => {
                        Some("the vault is as it was; make room and try again")
                    }
                    _ => None,
                };
                let error = Self::new(ErrorKind::Io, "io", message);
                match hint {
                    Some(hint) => error.hint(hint),
                    None => error,
                }
            }
            StoreError::StateUnknown(_) => Self::new(ErrorKind::Io, "state_unknown", message)
                .hint("run `vault check`, then look whether the change is there"),
            StoreError::Replaced => Self::new(ErrorKind::Conflict, "replaced", message).hint("try again"),
            StoreError::Older => Self::new(ErrorKind::Stale, "older_than_seen", message)
                .hint("fetch the newer one; or accept this one with --accept-older"),
            StoreError::KeysChanged => Self::new(ErrorKind::Conflict, "keys_changed", message).hint("try again"),
            StoreError::Conflict => Self::new(ErrorKind::Conflict, "conflict", message).hint("try again"),
            StoreError::ReadOnlyKey => {
                Self::new(ErrorKind::NotPermitted, "read_only_key", message).hint("use a key that is not limited")
            }
            StoreError::TooLarge(_) => Self::new(ErrorKind::Usage, "too_large", message),
            StoreError::CannotRewrite(_) => Self::new(ErrorKind::Io, "cannot_rewrite", message)
                .hint("mount the directory rather than the file, or use `vault backup` and `vault restore`"),
        }
    }
}

impl From<FormatError> for Error {
    fn from(error: FormatError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<CryptoError> for Error {
    fn from(error: CryptoError) -> Self {
        let message = error.to_string();
        match error {
            CryptoError::Plugin(error) => error.into(),
            CryptoError::KeyPassphraseMissing(_) => Self::new(ErrorKind::Locked, "no_key", message)
                .hint("there is no terminal to ask on: use a key that is not encrypted, or another slot"),
            CryptoError::KeyPassphraseWrong(_) => Self::new(ErrorKind::Locked, "wrong_passphrase", message),
            _ => Self::new(ErrorKind::Io, "crypto", message),
        }
    }
}

impl From<PluginError> for Error {
    fn from(error: PluginError) -> Self {
        let message = error.to_string();
        match error {
            PluginError::NotAllowed(name) => Self::new(ErrorKind::NotPermitted, "plugin_not_allowed", message)
                .hint(format!("no file may choose which program runs; your own config.toml allows it: plugins = [\"{name}\"]")),
            PluginError::Missing(name) => Self::new(ErrorKind::Io, "plugin_missing", message).hint(format!(
                "put age-plugin-{name} into a directory of PATH; directories that are not absolute are passed over"
            )),
            PluginError::Failed(..) => Self::new(ErrorKind::Io, "plugin_failed", message),
        }
    }
}

impl From<Argon2Problem> for Error {
    fn from(error: Argon2Problem) -> Self {
        Self::new(ErrorKind::Damaged, "kdf_bounds", error.to_string()).hint(DAMAGED_HINT)
    }
}
