//! What a machine remembers of a log outside of it, so that a cut tail, another log or none is noticed (FORMAT.md, section 5).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::frame::RecordHash;
use crate::crypto::Hash;
use crate::store::file::storage::FLAGS;

/// How far a log reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The log.
    pub log: [u8; 16],
    /// The number of its last record.
    pub sequence: u64,
    /// The hash of that record.
    pub hash: RecordHash,
    /// The number of the record up to which the vault itself says so.
    pub in_vault: u64,
}

/// Length of the file.
const LENGTH: usize = 96;

impl Anchor {
    fn encode(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[32..48].copy_from_slice(&self.log);
        bytes[48..56].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[56..88].copy_from_slice(&self.hash);
        bytes[88..].copy_from_slice(&self.in_vault.to_le_bytes());
        // The file is rewritten in place and not fsynced: after a power cut it may hold anything.
        let sum = Hash::of(&bytes[32..]);
        bytes[..32].copy_from_slice(&sum.0);
        bytes
    }

    fn decode(bytes: &[u8; LENGTH]) -> Option<Self> {
        let number = |from: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[from..from + 8]);
            u64::from_le_bytes(number)
        };
        let (mut log, mut hash) = ([0; 16], [0; 32]);
        log.copy_from_slice(&bytes[32..48]);
        hash.copy_from_slice(&bytes[56..88]);
        let sound = Hash::of(&bytes[32..]).0 == bytes[..32];
        sound.then(|| Self { log, sequence: number(48), hash, in_vault: number(88) })
    }
}

/// The file of an anchor. It is read and written under the lock of its log.
pub struct AnchorFile(File);

impl AnchorFile {
    /// Opens it, and makes it if it is not there.
    pub fn open(path: &Path) -> io::Result<Self> {
        match Self::open_at(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(path.parent().unwrap_or(Path::new("/")))?;
                Self::open_at(path)
            }
            result => result,
        }
    }

    fn open_at(path: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(FLAGS).open(path)?;
        // Nor may another name of some file have it overwritten.
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.nlink() == 1 { Ok(Self(file)) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// What is remembered; `None` if nothing is, or if the file is torn.
    pub fn load(&self) -> Option<Anchor> {
        let mut bytes = [0; LENGTH];
        self.0.read_exact_at(&mut bytes, 0).ok()?;
        Anchor::decode(&bytes)
    }

    /// Remembers.
    pub fn store(&self, anchor: &Anchor) -> io::Result<()> {
        self.0.write_all_at(&anchor.encode(), 0)
    }
}

/// What is remembered at a path; `None` if nothing is.
pub fn load(path: &Path) -> Option<Anchor> {
    AnchorFile(OpenOptions::new().read(true).custom_flags(FLAGS).open(path).ok()?).load()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_reads_back_and_a_torn_one_does_not() {
        let anchor = Anchor { log: [1; 16], sequence: 7, hash: [2; 32], in_vault: 3 };
        let bytes = anchor.encode();
        assert_eq!(Anchor::decode(&bytes), Some(anchor));
        for at in 0..LENGTH {
            let mut bad = bytes;
            bad[at] ^= 1;
            assert_eq!(Anchor::decode(&bad), None);
        }
        assert_eq!(Anchor::decode(&[0; LENGTH]), None);
    }
}
