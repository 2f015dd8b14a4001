//! What this machine remembers of a vault outside of it, so that an older copy, a fork or a foreign file is noticed.
//!
//! One small file for each pair of vault id and path, in a directory that the edge names. It holds the newest state that this machine
//! acknowledged or saw durable, the public signing key and the slots. It only moves forward.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::crypto::Hash;
use crate::format::FormatError;
use crate::format::cbor::{self, Unknown, array, array_len, malformed, read_map};
use crate::format::header::hex;
use crate::store::Revision;
use crate::store::file::lock;
use crate::store::file::storage::{FLAGS, FileId};

/// What is remembered.
#[derive(Clone, PartialEq, Eq)]
pub struct Memory {
    /// The newest state that was acknowledged or seen durable.
    pub newest: Revision,
    /// The file in which `newest` was acknowledged by this machine; `None` if it was only seen.
    pub acknowledged_in: Option<FileId>,
    /// The public signing key.
    pub signing_key: [u8; 32],
    /// The public halves of the slots.
    pub slots: BTreeSet<String>,
    /// The public signing key that a change of keys was about to give the vault. Its process may have died between the rename and the note that
    /// it did so; whoever finds this key in the file finds what this machine made.
    pub announced: Option<[u8; 32]>,
    /// A record that the user accepted though it is older than one that was seen.
    pub accepted: Option<Hash>,
    /// Optional fields of a later version.
    pub unknown: Unknown,
}

impl Memory {
    /// What is remembered at first sight.
    pub fn new(newest: Revision, signing_key: [u8; 32], slots: BTreeSet<String>) -> Self {
        Self { newest, acknowledged_in: None, signing_key, slots, announced: None, accepted: None, unknown: Unknown::default() }
    }

    fn encode(&self) -> Vec<u8> {
        let map = cbor::encode(512, |e| {
            let optional = [self.acknowledged_in.is_some(), self.accepted.is_some(), self.announced.is_some()];
            let optional = optional.iter().filter(|present| **present).count() as u64;
            e.map(4 + optional + self.unknown.count())?;
            e.u8(0)?.u64(self.newest.sequence)?.u8(1)?.bytes(&self.newest.hash.0)?;
            e.u8(2)?.bytes(&self.signing_key)?.u8(3)?.array(self.slots.len() as u64)?;
            for slot in &self.slots {
                e.str(slot)?;
            }
            if let Some(file) = self.acknowledged_in {
                e.u8(4)?.array(2)?.u64(file.device)?.u64(file.inode)?;
            }
            if let Some(accepted) = &self.accepted {
                e.u8(5)?.bytes(&accepted.0)?;
            }
            if let Some(announced) = &self.announced {
                e.u8(6)?.bytes(announced)?;
            }
            e.writer_mut().extend_from_slice(self.unknown.bytes());
            Ok(())
        });
        // A hash in front: the file is not fsynced, and after a power cut it may hold anything.
        let mut bytes = Hash::of(&map).0.to_vec();
        bytes.extend_from_slice(&map);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let (hash, map) = bytes.split_first_chunk::<32>().ok_or_else(malformed)?;
        if Hash::of(map).0 != *hash {
            return Err(malformed());
        }
        let read = |d: &mut minicbor::Decoder<'_>| {
            let (mut sequence, mut newest, mut key, mut slots) = (None, None, None, None);
            let (mut file, mut accepted, mut announced) = (None, None, None);
            let unknown = read_map(d, |field, d| {
                match field {
                    0 => sequence = Some(d.u64()?),
                    1 => newest = Some(Hash(array(d)?)),
                    2 => key = Some(array(d)?),
                    3 => {
                        let mut set = BTreeSet::new();
                        for _ in 0..array_len(d)? {
                            set.insert(d.str()?.to_owned());
                        }
                        slots = Some(set);
                    }
                    4 => {
                        if array_len(d)? != 2 {
                            return Err(malformed());
                        }
                        file = Some(FileId { device: d.u64()?, inode: d.u64()? });
                    }
                    5 => accepted = Some(Hash(array(d)?)),
                    6 => announced = Some(array(d)?),
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
            match (sequence, newest, key, slots) {
                (Some(sequence), Some(hash), Some(signing_key), Some(slots)) => Ok(Self {
                    newest: Revision { sequence, hash },
                    acknowledged_in: file,
                    signing_key,
                    slots,
                    announced,
                    accepted,
                    unknown,
                }),
                _ => Err(malformed()),
            }
        };
        let mut decoder = minicbor::Decoder::new(map);
        read(&mut decoder)
    }
}

/// The file that remembers one vault at one path.
pub struct Witness {
    directory: PathBuf,
    file: PathBuf,
    /// How the names of all files end that remember a vault at this path.
    place: String,
}

impl Witness {
    /// The witness of the vault `id` at the canonical `path`, kept in `directory`.
    pub fn new(directory: &Path, id: &[u8; 16], path: &Path) -> Self {
        let place = Self::place(path);
        let file = directory.join(format!("{}{place}", hex(id)));
        Self { directory: directory.to_owned(), file, place }
    }

    fn place(path: &Path) -> String {
        format!("-{}", hex(&Hash::of(path.as_os_str().as_encoded_bytes()).0[..8]))
    }

    /// Forgets every vault that was remembered at the canonical `path`.
    pub fn forget_all(directory: &Path, path: &Path) -> std::io::Result<()> {
        Self::at(directory, &Self::place(path)).iter().try_for_each(std::fs::remove_file)
    }

    /// Whether another vault than this one is remembered at the same path.
    pub fn knows_another(&self) -> bool {
        Self::at(&self.directory, &self.place).iter().any(|file| *file != self.file)
    }

    /// Forgets the other vaults at this path.
    pub fn forget_others(&self) -> std::io::Result<()> {
        let others = Self::at(&self.directory, &self.place);
        others.iter().filter(|file| **file != self.file).try_for_each(std::fs::remove_file)
    }

    fn at(directory: &Path, place: &str) -> Vec<PathBuf> {
        // Without a directory nothing is remembered.
        let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
        let ends = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(place.as_bytes()));
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(ends).collect()
    }

    /// What is remembered; `None` if nothing is, or if the file is torn.
    pub fn load(&self) -> Option<Memory> {
        let mut bytes = Vec::with_capacity(1024);
        // O_NONBLOCK: a FIFO at the name must not hang the open; regular files ignore it.
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(&self.file).ok()?;
        file.read_to_end(&mut bytes).ok()?;
        Memory::decode(&bytes).ok()
    }

    /// Changes what is remembered, under the directory's lock: `change` sees the newest memory and returns another, or `None` to leave it.
    pub fn update(&self, change: &mut dyn FnMut(Option<Memory>) -> Option<Memory>) -> std::io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let guard = self.directory.join("lock");
        let guard = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).custom_flags(FLAGS).open(guard)?;
        let deadline = Instant::now() + Duration::from_secs(5);
        if !lock::exclusive_until(&guard, deadline)? {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        let old = self.load();
        let Some(new) = change(old.clone()) else { return Ok(()) };
        if old.as_ref() == Some(&new) {
            return Ok(());
        }
        // Written beside and renamed, so that a reader never sees half of it; the lock makes the fixed name safe.
        let temporary = self.directory.join("new");
        let _ = std::fs::remove_file(&temporary);
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(&new.encode())?;
        std::fs::rename(&temporary, &self.file)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_reads_back_and_a_torn_one_does_not() {
        let mut memory =
            Memory::new(Revision { sequence: 7, hash: Hash([1; 32]) }, [2; 32], ["age1x".to_owned(), "age1y".to_owned()].into());
        for _ in 0..2 {
            let bytes = memory.encode();
            assert!(Memory::decode(&bytes).unwrap() == memory);
            for cut in 0..bytes.len() {
                assert!(Memory::decode(&bytes[..cut]).is_err());
            }
            memory.acknowledged_in = Some(FileId { device: 3, inode: 4 });
            memory.accepted = Some(Hash([5; 32]));
        }
    }
}
