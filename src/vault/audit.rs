//! What a vault gives the log of its use: the key that seals the log, the keys that sealed it before, and how far the log was known to reach.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::error::{Error, Result};
use super::{Keys, Vault};
use crate::crypto::keys::audit_mark;
use crate::format::FormatError;
use crate::format::cbor::{self, array, malformed, read_map};
use crate::format::header::{hex, unhex};
use crate::format::keyspace;
use crate::secret::{AuditKey, SystemKey};
use crate::store::{Batch, Snapshot, Walk};

/// System records: an audit key that a change of keys replaced, under the digits of its mark.
const KEY: &str = "audit-key";
/// System records: how far a log reached, under the digits of the log's id.
pub(super) const ANCHOR: &str = "audit-anchor";
/// The key of an anchor's place: an optional one.
const PLACE: u8 = 128;

/// Whose use is recorded, and by what key.
pub struct AuditSource {
    /// The vault's id.
    pub id: [u8; 16],
    /// The path of the vault file, with symbolic links resolved.
    pub path: PathBuf,
    /// Seals the records.
    pub key: AuditKey,
    /// The public half of the slot that was opened.
    pub opened_by: String,
    /// Whether the key at hand opens everything, and so writes.
    pub full: bool,
}

impl AuditSource {
    /// The same once more: who appends to a log takes one.
    pub fn duplicate(&self) -> Self {
        Self { key: copy_of(&self.key), path: self.path.clone(), opened_by: self.opened_by.clone(), ..*self }
    }
}

/// How far a log reached when a writer last said so in the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditAnchor {
    /// The log.
    pub log: [u8; 16],
    /// The number of its last record.
    pub sequence: u64,
    /// The hash of that record.
    pub hash: [u8; 32],
    /// When, in milliseconds.
    pub time: u64,
    /// The place of the log, as its writer tells machines and paths apart; `None` from an earlier version.
    pub place: Option<[u8; 8]>,
}

impl Vault {
    /// What a log of this vault's use needs; `None` for a vault that is not in a file.
    pub fn audit_source(&self) -> Option<AuditSource> {
        let file = self.file.as_ref()?;
        Some(AuditSource {
            id: self.id,
            path: file.path.clone(),
            key: copy_of(file.store.keys().index.audit()),
            opened_by: file.opened_by.clone(),
            full: matches!(self.keys, Keys::Full(..)),
        })
    }

    /// The keys that sealed the log before the vault had its present ones. A limited key knows none of them.
    pub fn older_audit_keys(&self) -> Result<Vec<AuditKey>> {
        let mut keys = Vec::new();
        if let Keys::Full(..) = self.keys {
            self.system_range(KEY, &mut |_, content| {
                keys.push(decode_key(&content)?);
                Ok(Walk::Continue(()))
            })?;
        }
        Ok(keys)
    }

    /// How far the logs of this vault reached, each that a writer wrote of; none with a limited key.
    pub fn audit_anchors(&self) -> Result<Vec<AuditAnchor>> {
        let mut anchors = Vec::new();
        if let Keys::Full(..) = self.keys {
            self.system_range(ANCHOR, &mut |name, content| {
                anchors.push(decode_anchor(name, &content)?);
                Ok(Walk::Continue(()))
            })?;
        }
        Ok(anchors)
    }

    /// Writes down how far a log reaches, in a commit of its own; never back.
    ///
    /// # Errors
    /// [`ErrorKind::NotPermitted`](super::ErrorKind::NotPermitted) with a limited key.
    pub fn put_audit_anchor(&self, anchor: &AuditAnchor) -> Result<()> {
        self.change(anchor.time, &mut |snapshot, batch| self.put_anchor_in(snapshot, batch, anchor)).map(|_| ())
    }

    pub(super) fn put_anchor_in(&self, snapshot: &dyn Snapshot, batch: &mut Batch, anchor: &AuditAnchor) -> Result<()> {
        let name = hex(&anchor.log);
        let old = self.system_get_in(snapshot, ANCHOR, &name)?.map(|content| decode_anchor(&name, &content)).transpose()?;
        if old.is_some_and(|old| old.sequence >= anchor.sequence) {
            return Ok(());
        }
        self.system_put_in(batch, ANCHOR, &name, &encode_anchor(anchor))
    }

    /// Reads every record of both kinds, and refuses one that is not what it should be.
    pub(super) fn check_audit(&self, snapshot: &dyn Snapshot) -> Result<()> {
        self.system_range_in(snapshot, KEY, &mut |_, content| decode_key(&content).map(|_| Walk::Continue(())))?;
        self.system_range_in(snapshot, ANCHOR, &mut |name, content| decode_anchor(name, &content).map(|_| Walk::Continue(())))
    }

    /// Keeps the audit key that a change of keys replaces, under the system key that there will be.
    pub(super) fn keep_audit_key(&self, batch: &mut Batch, system: &SystemKey, old: &AuditKey, now: u64) -> Result<()> {
        let key = keyspace::system(KEY, &hex(&audit_mark(old, &self.id)));
        let sealed = self.seal_system(system, &key, &encode_key(old, now))?;
        batch.put(key, sealed);
        Ok(())
    }
}

/// Of two anchors of one log the one that reaches further, for a merge; `None` if the first does.
pub(super) fn further<'a>(ours: &[u8], theirs: &'a [u8]) -> Result<Option<&'a [u8]>> {
    let sequence = |content: &[u8]| decode_anchor(&hex(&[0; 16]), content).map(|anchor| anchor.sequence);
    Ok((sequence(theirs)? > sequence(ours)?).then_some(theirs))
}

fn copy_of(key: &AuditKey) -> AuditKey {
    AuditKey::new(Zeroizing::new(*key.expose()))
}

fn encode_key(key: &AuditKey, until: u64) -> Zeroizing<Vec<u8>> {
    cbor::encode(64, |e| {
        e.map(2)?.u8(0)?.bytes(key.expose())?.u8(1)?.u64(until)?;
        Ok(())
    })
}

fn decode_key(content: &[u8]) -> Result<AuditKey> {
    let mut decoder = minicbor::Decoder::new(content);
    let (mut key, mut until) = (None, None);
    read_map(&mut decoder, |field, d| {
        match field {
            0 => key = Some(Zeroizing::new(array(d)?)),
            1 => until = Some(d.u64()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let (Some(key), Some(_), true) = (key, until, decoder.position() == content.len()) else { return Err(malformed().into()) };
    Ok(AuditKey::new(key))
}

fn encode_anchor(anchor: &AuditAnchor) -> Zeroizing<Vec<u8>> {
    cbor::encode(80, |e| {
        e.map(3 + u64::from(anchor.place.is_some()))?;
        e.u8(0)?.u64(anchor.sequence)?.u8(1)?.bytes(&anchor.hash)?.u8(2)?.u64(anchor.time)?;
        if let Some(place) = &anchor.place {
            e.u8(PLACE)?.bytes(place)?;
        }
        Ok(())
    })
}

fn decode_anchor(name: &str, content: &[u8]) -> Result<AuditAnchor> {
    let mut decoder = minicbor::Decoder::new(content);
    let (mut sequence, mut hash, mut time, mut place) = (None, None, None, None);
    read_map(&mut decoder, |field, d| {
        match field {
            0 => sequence = Some(d.u64()?),
            1 => hash = Some(array(d)?),
            2 => time = Some(d.u64()?),
            field if field == u64::from(PLACE) => place = Some(array(d)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let log = unhex(name).map_err(|_| Error::from(FormatError::Malformed("an anchor of the audit log has no log's name")))?;
    match (sequence, hash, time, decoder.position() == content.len()) {
        (Some(sequence), Some(hash), Some(time), true) => Ok(AuditAnchor { log, sequence, hash, time, place }),
        _ => Err(malformed().into()),
    }
}
