//! Every label and every derivation of the format (SPEC, sections 1 to 3), in one place.
//!
//! `derive(key, label) = HKDF-SHA256(salt = vault id, input = key, info = label)`, 32 bytes (RFC 5869).

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{CryptoError, Transcript, X25519Identity, keyed_hash};
use crate::secret::{AuditKey, DataKey, IndexKey, MasterKey, RawKey, TokenSecret};

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
    /// Seals a record of the audit log.
    pub const AUDIT_RECORD: &str = "vault/1 audit record";
    /// Seals what an audit log begins with.
    pub const AUDIT_BASE: &str = "vault/1 audit base";
    /// Chains the records of the audit log.
    pub const AUDIT_CHAIN: &str = "vault/1 audit chain";
    /// Stands for the record before the first of a log.
    pub const AUDIT_START: &str = "vault/1 audit start";
    /// Seals a block of the summary of an audit log.
    pub const AUDIT_SUMMARY: &str = "vault/1 audit summary";
    /// Makes what the secret of an API token is compared with.
    pub const TOKEN: &str = "vault/1 token";
    /// Names the record of a user.
    pub const USER_NAME: &str = "vault/1 user name";
    /// Seals what a user keeps.
    pub const USER_DATA: &str = "vault/1 user data";
    /// Makes what a recovery code is compared with.
    pub const RECOVERY_CODE: &str = "vault/1 recovery code";
    /// Names a slot, with the keys under which it stands, to whoever keeps what it gave. It is not part of the file format.
    pub const SLOT_STAMP: &str = "vault agent/1 slot stamp";
}

/// The keys that are derived from the index key; each seals one kind of thing.
pub struct IndexKeys {
    page: Zeroizing<[u8; 32]>,
    record: Zeroizing<[u8; 32]>,
    slot_label: Zeroizing<[u8; 32]>,
    audit: AuditKey,
}

impl IndexKeys {
    /// Derives the keys for the vault `id`.
    pub fn derive(index: &IndexKey, id: &[u8; 16]) -> Self {
        // Half of a derivation does not depend on the label, and is done once.
        let extracted = Hkdf::new(Some(id), index.expose());
        Self {
            page: expand(&extracted, "vault/1 page key"),
            record: expand(&extracted, "vault/1 record key"),
            slot_label: expand(&extracted, "vault/1 label key"),
            audit: audit_key(index, id),
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

    /// Seals records of the audit log.
    pub fn audit(&self) -> &AuditKey {
        &self.audit
    }
}

/// The key of the audit log: whoever opens the vault has it.
pub fn audit_key(index: &IndexKey, id: &[u8; 16]) -> AuditKey {
    AuditKey::new(derive(index.expose(), id, "vault/1 audit key"))
}

/// What a record of the audit log names its key by.
pub fn audit_mark(key: &AuditKey, id: &[u8; 16]) -> [u8; 8] {
    let mark = derive(key.expose(), id, "vault/1 audit key mark");
    let mut first = [0; 8];
    first.copy_from_slice(&mark[..8]);
    first
}

/// What the secret of an API token is compared with: BLAKE3 keyed by the secret, over the label, the vault's id and the token's. The secret is random, so
/// that it cannot be guessed from this, however fast the hash is.
pub fn token_verifier(secret: &TokenSecret, id: &[u8; 16], token: &[u8; 8]) -> [u8; 32] {
    keyed_hash(secret.expose(), Transcript::new(label::TOKEN).bytes(id).bytes(token).as_bytes()).0
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
    expand(&Hkdf::new(Some(id), key), label)
}

fn expand(extracted: &Hkdf<Sha256>, label: &str) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    extracted.expand(label.as_bytes(), out.as_mut()).expect("HKDF-SHA256 gives up to 8,160 bytes; 32 are asked for");
    out
}
