//! A directory that mail is put into: for machines that send none, and for whoever takes it from there.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Failure;
use super::letter::Letter;
use crate::crypto;
use crate::store::file::storage::sync_directory;

/// The directory.
pub(super) struct Outbox(PathBuf);

impl Outbox {
    /// Looks at the directory.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if others could take away or put in what they like: codes are in it.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let refuse = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{} {what}", directory.display()));
        let metadata = std::fs::metadata(directory).map_err(|error| refuse(&format!("cannot be used: {error}")))?;
        if !metadata.is_dir() {
            return Err(refuse("is no directory"));
        }
        if ![rustix::process::geteuid().as_raw(), 0].contains(&metadata.uid()) {
            return Err(refuse("belongs to another user"));
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(refuse("can be written to by others: chmod go-w it"));
        }
        Ok(Self(directory.to_owned()))
    }

    pub(super) fn deliver(&self, letter: &Letter) -> Result<(), Failure> {
        self.put(letter).map_err(|error| Failure::of_the_way(format!("the outbox: {}", error.kind())))
    }

    fn put(&self, letter: &Letter) -> io::Result<()> {
        let random: [u8; 8] = crypto::random().map_err(io::Error::other)?;
        // Named so that the order of names is that of time.
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S.%3fZ");
        let name = format!("{time}-{:016x}.eml", u64::from_le_bytes(random));
        let (path, temporary) = (self.0.join(&name), self.0.join(format!(".{name}.part")));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let put = write(&mut file, letter).and_then(|()| std::fs::rename(&temporary, &path));
        if put.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        put?;
        sync_directory(&path)
    }
}

fn write(file: &mut File, letter: &Letter) -> io::Result<()> {
    file.write_all(&letter.bytes)?;
    file.sync_all()
}
