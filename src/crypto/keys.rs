//! Every label and every derivation of the format (SPEC, sections 1 to 3), in one place.
//!
//! `derive(key, label) = HKDF-SHA256(salt = vault id, input = key, info = label)`, 32 bytes (RFC 5869).

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{CryptoError, X25519Identity};
use crate::secret::{DataKey, IndexKey, MasterKey, RawKey};

/// Domain labels of associated data and signed messages.
pub mod label {
    /// Seals the key ring under the master key.
    pub const KEY_RING: &str = "vault/1 key ring";
    /// Seals the label of a slot.
    pub const SLOT_LABEL: &str = "vault/1 slot label";
    /// Seals a page of the tree.
    pub const PAGE: &str = "vault/1 page";
    /// Seals the body of a commit record.
    pub const RECORD: &str = "vault/1 record";
    /// Seals a value.
    pub const VALUE: &str = "vault/1 value";
    /// Seals an older data key under the next newer one.
    pub const DATA_KEY: &str = "vault/1 data key";
    /// Seals records of users, tokens and settings.
    pub const SYSTEM: &str = "vault/1 system";
    /// Signs the header.
    pub const HEADER_SIGNATURE: &str = "vault/1 header signature";
    /// Signs a commit record.
    pub const COMMIT_SIGNATURE: &str = "vault/1 commit signature";
    /// Names a slot, with the keys under which it stands, to whoever keeps what it gave. It is not part of the file format.
    pub const SLOT_STAMP: &str = "vault agent/1 slot stamp";
}

/// The three keys that are derived from the index key; each seals one kind of thing.
pub struct IndexKeys {
    page: Zeroizing<[u8; 32]>,
    record: Zeroizing<[u8; 32]>,
    slot_label: Zeroizing<[u8; 32]>,
}

impl IndexKeys {
    /// Derives the three keys for the vault `id`.
    pub fn derive(index: &IndexKey, id: &[u8; 16]) -> Self {
        Self {
            page: derive(index.expose(), id, "vault/1 page key"),
            record: derive(index.expose(), id, "vault/1 record key"),
            slot_label: derive(index.expose(), id, "vault/1 label key"),
        }
    }

    /// Seals pages.
    pub fn page(&self) -> &[u8; 32] {
        &self.page
    }

    /// Seals bodies of commit records.
    pub fn record(&self) -> &[u8; 32] {
        &self.record
    }

    /// Seals labels of slots.
    pub fn slot_label(&self) -> &[u8; 32] {
        &self.slot_label
    }
}

/// What the header publishes so that one file cannot mean different things to holders of different keys: the cipher does not commit to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commitments {
    /// To the master key.
    pub master: [u8; 32],
    /// To the index key.
    pub index: [u8; 32],
}

/// The commitment to the master key.
pub fn commit_to_master(key: &MasterKey, id: &[u8; 16]) -> [u8; 32] {
    *derive(key.expose(), id, "vault/1 master commitment")
}

/// The commitment to the index key.
pub fn commit_to_index(key: &IndexKey, id: &[u8; 16]) -> [u8; 32] {
    *derive(key.expose(), id, "vault/1 index commitment")
}

/// The X25519 identity of a raw-key slot.
pub fn raw_key_identity(key: &RawKey, id: &[u8; 16]) -> Result<X25519Identity, CryptoError> {
    X25519Identity::from_secret(&derive(key.expose(), id, "vault/1 raw-key slot"))
}

/// The X25519 identity to which streams under a data key are encrypted.
pub fn stream_identity(key: &DataKey, id: &[u8; 16]) -> Result<X25519Identity, CryptoError> {
    X25519Identity::from_secret(&derive(key.expose(), id, "vault/1 stream"))
}

fn derive(key: &[u8; 32], id: &[u8; 16], label: &str) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(id), key)
        .expand(label.as_bytes(), out.as_mut())
        .expect("HKDF-SHA256 gives up to 8,160 bytes; 32 are asked for");
    out
}
