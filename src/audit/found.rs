//! What an append found: how far the log reaches, and what is wrong with it.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use super::AuditError;
use super::anchor::Anchor;
use super::frame::{Chain, RecordHash};
use super::read::{Backward, Located, fill};
use crate::crypto::{self, Hash};
use crate::format::header::hex;

/// The last record of a log, and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) end: u64,
    pub(super) sequence: u64,
    pub(super) hash: RecordHash,
}

/// What an append found.
pub(super) struct Found {
    pub(super) chain: Chain,
    /// The last sound record; `None` if there is none.
    pub(super) tail: Option<Tail>,
    /// What stands behind it and is none.
    pub(super) cut: Option<Cut>,
}

/// An empty file that has another name as well is not taken for a log to be: it may be anybody's.
pub(super) fn refuse_other_names(found: Option<&Found>, metadata: &Metadata) -> Result<(), AuditError> {
    match found {
        None if metadata.nlink() != 1 => {
            Err(AuditError::Foreign("what stands at the place of the audit log has another name as well"))
        }
        _ => Ok(()),
    }
}

/// What was torn.
pub(super) struct Cut {
    from: u64,
    length: u64,
    hash: Hash,
    first: Vec<u8>,
}

impl Cut {
    pub(super) fn of(file: &File, from: u64, length: u64) -> Result<Self, AuditError> {
        let mut hasher = crypto::Hasher::default();
        let mut buffer = vec![0; 64 * 1024];
        let (mut at, mut first) = (from, Vec::new());
        while at < length {
            let count = fill(file, at, &mut buffer).map_err(AuditError::io("read the audit log"))?;
            if count == 0 {
                break;
            }
            if at == from {
                first.extend_from_slice(&buffer[..count.min(32)]);
            }
            hasher.update(&buffer[..count]);
            at += count as u64;
        }
        Ok(Self { from, length: length - from, hash: hasher.finish(), first })
    }
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, length, hash, first } = self;
        write!(f, "{length} bytes at {from} were no whole record and were cut: BLAKE3 {}, ", hash.to_hex())?;
        write!(f, "beginning with {}", hex(first))
    }
}

/// Compares what this machine remembers with what is there: what is wrong, if something is.
pub(super) fn compare(anchor: &Anchor, found: Option<&mut Found>, file: &File) -> Result<Option<String>, AuditError> {
    let expected = |what: &str| {
        format!("expected record {} of log {} with hash {}; {what}", anchor.sequence, hex(&anchor.log), hex(&anchor.hash))
    };
    let Some(Found { chain, tail: Some(tail), .. }) = found else { return Ok(Some(expected("found no log"))) };
    if *chain.log() != anchor.log {
        return Ok(Some(expected(&format!("found log {}", hex(chain.log())))));
    }
    if tail.sequence < anchor.sequence {
        return Ok(Some(expected(&format!("the log ends at record {} with hash {}", tail.sequence, hex(&tail.hash)))));
    }
    let there = match tail.sequence == anchor.sequence {
        true => Some(tail.hash),
        false => hash_at(file, tail.end, anchor.sequence).map_err(AuditError::io("read the audit log"))?,
    };
    Ok(match there {
        // It was pruned meanwhile, by somebody with the key.
        None => None,
        Some(hash) if hash == anchor.hash => None,
        Some(hash) => Some(expected(&format!("that record has hash {}", hex(&hash)))),
    })
}

/// The hash of a record further to the front.
fn hash_at(file: &File, end: u64, sequence: u64) -> io::Result<Option<RecordHash>> {
    let mut walk = Backward::new(file, end);
    while let Some(Located { frame, .. }) = walk.previous()? {
        if frame.sequence() <= sequence {
            return Ok((frame.sequence() == sequence).then(|| frame.hash()));
        }
    }
    Ok(None)
}
