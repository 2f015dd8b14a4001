//! What was done and how it ended, in the words of the log.

use crate::vault::{Error, ErrorKind};

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $class:ident;)*) => {
        /// What was done. The words are those of the log, and of `--action`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word of the log.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// What kind of action it is.
            pub fn class(self) -> Class {
                match self {
                    $(Self::$name => Class::$class,)*
                }
            }
        }
    };
}

actions! {
    /// A value was printed, copied or written to a file.
    Get = "get", Read;
    /// A value was given to a program.
    Run = "run", Read;
    /// A value was put into a template.
    Inject = "inject", Read;
    /// A value was exported.
    Export = "export", Read;
    /// A value was shown in a listing or comparison.
    Reveal = "reveal", Read;
    /// A value was put into a rendered configuration.
    Render = "render", Read;
    /// A value was given to git or docker.
    Credential = "credential", Read;
    /// A value was given to an editor.
    Edit = "edit", Read;
    /// A one-time code was made.
    Otp = "otp", Read;
    /// Entries were listed, without their values.
    List = "list", Use;
    /// What changes was listened to, without values.
    Subscribe = "subscribe", Use;
    /// Values were looked for in files.
    Scan = "scan", Use;
    /// Values were masked in a stream.
    Redact = "redact", Use;
    /// Values were searched.
    Find = "find", Use;
    /// Values were compared.
    Diff = "diff", Use;
    /// Everything was opened and verified.
    Check = "check", Use;
    /// An entry got a new version, or other metadata.
    Set = "set", Write;
    /// An entry got a new value in the place of an older one.
    Rotate = "rotate", Rotate;
    /// An entry got a schedule for other values, or lost it.
    Schedule = "schedule", Write;
    /// An older version is current again.
    Rollback = "rollback", Write;
    /// An entry was removed.
    Remove = "rm", Write;
    /// An entry got another name.
    Rename = "mv", Write;
    /// An entry was copied.
    Copy = "cp", Write;
    /// Entries were imported.
    Import = "import", Write;
    /// Two copies of the vault were joined.
    Merge = "merge", Write;
    /// Entries that had expired were removed.
    Prune = "prune", Write;
    /// A stream was encrypted.
    Encrypt = "encrypt", Stream;
    /// A stream was decrypted.
    Decrypt = "decrypt", Stream;
    /// The vault was made.
    Init = "init", Vault;
    /// A backup was made.
    Backup = "backup", Vault;
    /// A backup was put in the vault's place.
    Restore = "restore", Vault;
    /// The file was written anew.
    Compact = "compact", Vault;
    /// This machine accepted the vault as it is.
    Trust = "trust", Vault;
    /// The agent was given a key; or a key was refused.
    Unlock = "unlock", Vault;
    /// The agent was told to forget.
    Lock = "lock", Vault;
    /// Something was asked of the server that concerns no entry.
    Request = "request", Vault;
    /// A slot was added.
    KeyAdd = "key-add", Key;
    /// A slot was removed.
    KeyRemove = "key-remove", Key;
    /// A slot was renamed.
    KeyRename = "key-rename", Key;
    /// A passphrase was changed.
    KeyPasswd = "key-passwd", Key;
    /// Keys of the vault were replaced.
    KeyRotate = "key-rotate", Key;
    /// This machine accepted a slot.
    KeyTrust = "key-trust", Key;
    /// A key was given to the keychain.
    KeyRemember = "key-remember", Key;
    /// Foreign keys were taken over.
    KeyImport = "key-import-env", Key;
    /// Foreign keys were written out.
    KeyExport = "key-export-env", Key;
    /// An API token was made.
    TokenCreate = "token-create", Key;
    /// An API token was revoked.
    TokenRevoke = "token-revoke", Key;
    /// Somebody became a user of the server.
    UserAdd = "user-add", Key;
    /// Password, second factor, role or state of a user was changed.
    UserChange = "user-change", Key;
    /// A user was removed, and all that they kept.
    UserRemove = "user-remove", Key;
    /// A user signed in, or tried to.
    SignIn = "sign-in", Key;
    /// A user ended their sessions.
    SignOut = "sign-out", Key;
    /// A one-time code was sent to a user.
    CodeSend = "code-send", Key;
    /// What a user keeps was given to them.
    DataRead = "data-read", Key;
    /// Something was kept for a user.
    DataWrite = "data-write", Key;
    /// Something that a user kept was removed.
    DataRemove = "data-remove", Key;
    /// Users of another service were taken over.
    UserImport = "user-import", Key;
    /// A user was exported, with what they keep.
    UserExport = "user-export", Key;
    /// A command of the user's was run because of an event.
    Hook = "hook", Vault;
    /// Records were removed from the front of the log.
    AuditPrune = "audit-prune", Log;
    /// The end of the log was torn, and was cut.
    AuditRecovered = "audit-recovered", Log;
    /// The log is not the one that this machine knew.
    AuditMismatch = "audit-mismatch", Log;
}

impl Action {
    /// The action of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.word() == word)
    }
}

/// Kinds of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A value of an entry left the vault.
    Read,
    /// Values were opened, and did not leave.
    Use,
    /// An entry was changed.
    Write,
    /// An entry got another value on purpose.
    Rotate,
    /// Data outside of the vault.
    Stream,
    /// The vault as a whole.
    Vault,
    /// Slots and keys.
    Key,
    /// The log itself.
    Log,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As asked.
    Ok,
    /// The key, or policy, did not permit it.
    Denied,
    /// There is no such entry, version or field.
    NotFound,
    /// The entry had expired.
    Expired,
    /// It exists already, or is of another version than was expected.
    Conflict,
    /// What was asked for was not well-formed.
    BadRequest,
    /// It failed.
    Error,
}

impl Status {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Ok, Self::Denied, Self::NotFound, Self::Expired, Self::Conflict, Self::BadRequest, Self::Error];

    /// The word of the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Expired => "expired",
            Self::Conflict => "conflict",
            Self::BadRequest => "bad_request",
            Self::Error => "error",
        }
    }

    /// The status of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|status| status.word() == word)
    }

    /// How an error ended what was to be done; `None` for those that say nothing about the vault: a line that is not well-formed, a disk that is full.
    pub fn of(error: &Error) -> Option<Self> {
        match error.kind() {
            ErrorKind::NotFound => Some(Self::NotFound),
            ErrorKind::Locked | ErrorKind::NotPermitted | ErrorKind::Stale => Some(Self::Denied),
            ErrorKind::Conflict => Some(Self::Conflict),
            ErrorKind::Expired => Some(Self::Expired),
            ErrorKind::Damaged => Some(Self::Error),
            // Commands ran with the new value, and it is not the one that counts.
            ErrorKind::Io if ["rotation_failed", "rotation_stuck", "command_failed"].contains(&error.code()) => Some(Self::Error),
            ErrorKind::Internal
            | ErrorKind::Usage
            | ErrorKind::NoVault
            | ErrorKind::Busy
            | ErrorKind::Io
            | ErrorKind::Network => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_their_own() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.word()), Some(*action));
        }
        for status in Status::ALL {
            assert_eq!(Status::parse(status.word()), Some(*status));
        }
    }
}
