//! The log of what was done with a vault: who read and changed what, and what was refused.
//!
//! Each record is sealed by a key that whoever opens the vault has, since names are secret, and chained to the one before by its hash, so that
//! none is altered, taken out, put in or moved unseen. How far the log reaches is remembered outside of it. `FORMAT.md` is its byte map.

mod action;
mod anchor;
mod body;
mod event;
mod found;
mod frame;
mod log;
mod place;
mod prune;
mod read;
mod reader;
mod retention;
mod settings;
mod summary;
mod verify;

pub use action::{Action, Class, Status};
pub use anchor::Anchor;
pub use body::Record;
pub use event::{Actor, Event, Source};
pub use frame::{Base, Keys};
pub use log::{Appended, Happened, Log};
pub use prune::{Prune, Pruned, Stay, prune};
pub use read::ReadAt;
pub use reader::{Item, Reader, Visit};
pub use retention::{DAY, Tried};
pub use settings::{Settings, Sync};
pub use summary::{Counted, Row, Summary, Totals};
pub use verify::{Expected, Finding, Verified, verify};

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::crypto::{CryptoError, Hash};
use crate::format::header::hex;
use crate::vault::{Error, ErrorKind};

/// What can go wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Reading or writing failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Another process held the lock for too long.
    #[error("another process holds the audit log")]
    Busy,
    /// Something else stands at its place, which is left as it is.
    #[error("{0}")]
    Foreign(&'static str),
    /// It was written by a later version.
    #[error("the audit log is of a newer format")]
    Newer,
    /// There is none.
    #[error("there is no audit log")]
    Missing,
    /// A record, or the log, is too large.
    #[error("a record of the audit log would be too large")]
    TooLarge,
    /// It does not hold, so nothing is removed from it.
    #[error("the audit log does not hold, and what is wrong with it may be evidence")]
    Unsound,
    /// A primitive refused.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl AuditError {
    /// Wraps an error of the system with what was being done.
    fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }

    /// Whether no log can be at the place: a read-only file system, a directory of somebody else. A log that is there and may not be written to is
    /// something else.
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => true,
            Self::Io { doing, source } => *doing == place::CREATE && source.kind() == io::ErrorKind::PermissionDenied,
            _ => false,
        }
    }
}

impl From<AuditError> for Error {
    fn from(error: AuditError) -> Self {
        let message = error.to_string();
        match error {
            AuditError::Io { .. } | AuditError::Crypto(_) => Self::new(ErrorKind::Io, "audit_failed", message),
            AuditError::Busy => Self::new(ErrorKind::Busy, "audit_busy", message).hint("try again"),
            AuditError::Foreign(_) => Self::new(ErrorKind::Damaged, "audit_foreign", message)
                .hint("move it away, or say where the log is to be: `directory` in [audit] of your config.toml"),
            AuditError::Unsound => Self::new(ErrorKind::Damaged, "audit_unsound", message)
                .hint("`vault audit verify` says what it is; --force removes records all the same"),
            AuditError::Newer => Self::new(ErrorKind::Damaged, "newer_format", message).hint("use a newer version of vault"),
            AuditError::Missing => Self::new(ErrorKind::NotFound, "no_audit_log", message)
                .hint("it begins with the next command that reads or writes an entry"),
            AuditError::TooLarge => Self::new(ErrorKind::Usage, "too_large", message),
        }
    }
}

/// What this machine remembers of a log, at a path that the edge knows; `None` if nothing is.
pub fn remembered(path: &Path) -> Option<Anchor> {
    anchor::load(path)
}

/// Gives a log that is that of another vault another name, if one stands at `path`; returns that name.
pub fn set_aside(path: &Path, id: &[u8; 16]) -> Result<Option<PathBuf>, AuditError> {
    use frame::{LINE, Line};
    let Ok(file) = reader::open(path) else { return Ok(None) };
    let mut start = [0; LINE];
    let filled = read::fill(&file, 0, &mut start).map_err(AuditError::io("read the audit log"))?;
    if Line::parse(&start[..filled], id) != Line::Other {
        return Ok(None);
    }
    let name = |number: u32| {
        let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
        name.push(format!(".before-{number}"));
        path.with_file_name(name)
    };
    let kept = (1..1000).map(name).find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| name(1000));
    std::fs::rename(path, &kept).map_err(AuditError::io("keep the audit log that was there"))?;
    Ok(Some(kept))
}

/// The log of the vault at `path`: beside it, or in `directory`.
pub fn log_path(directory: Option<&Path>, id: &[u8; 16], path: &Path) -> PathBuf {
    match directory {
        Some(directory) => directory.join(format!("{}.audit", place(id, path))),
        None => {
            let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
            name.push(".audit");
            path.with_file_name(name)
        }
    }
}

/// What files in a directory for many vaults are called that belong to this one at this path.
pub fn place(id: &[u8; 16], path: &Path) -> String {
    format!("{}-{}", hex(id), hex(&Hash::of(path.as_os_str().as_encoded_bytes()).0[..8]))
}

/// The place of a log in the world, as far as it can be told: the name of the machine, and the path.
pub fn place_mark(log: &Path) -> [u8; 8] {
    let machine = rustix::system::uname();
    let bytes = [machine.nodename().to_bytes(), &[0], log.as_os_str().as_encoded_bytes()].concat();
    let mut place = [0; 8];
    place.copy_from_slice(&Hash::of(&bytes).0[..8]);
    place
}
