//! Keeps secrets in one encrypted, file-locked vault file.
#![deny(missing_docs)]

pub mod commands;
pub mod crypto;
pub mod format;
pub mod interchange;
pub mod name;
pub mod process;
pub mod secret;
pub mod store;
pub mod term;
pub mod vault;

pub use format::record::Kind;
pub use name::{Category, EntryId, Environment, Name, Tag};
pub use secret::{Passphrase, RawKey, SecretValue};
pub use vault::{Credential, Error, ErrorKind, Locked, NewSlot, Options, Vault, Write};
