//! Keeps secrets in one encrypted, file-locked vault file.
#![deny(missing_docs)]

pub mod crypto;
pub mod format;
pub mod name;
pub mod secret;
pub mod store;
