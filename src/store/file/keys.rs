//! What opens the pages and records of a file.

use crate::crypto::keys::IndexKeys;
use crate::crypto::{Signer, Verifier};
use crate::format::commit::RecordContext;
use crate::format::header::UnverifiedHeader;

/// What opens a vault's pages and records, and signs new ones if the slot allows it.
pub struct FileKeys {
    /// The vault's id.
    pub id: [u8; 16],
    /// Derived from the index key.
    pub index: IndexKeys,
    /// Verifies header and records; came out of a slot.
    pub verifier: Verifier,
    /// Signs; `None` for a limited slot.
    pub signer: Option<Signer>,
}

/// What the records of a file with this header are bound to.
pub(super) fn record_context<'a>(keys: &'a FileKeys, header: &UnverifiedHeader) -> RecordContext<'a> {
    RecordContext { id: &keys.id, epoch: header.epoch(), key: keys.index.record(), header_length: header.length() }
}
