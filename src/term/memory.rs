//! Directories in memory, for files with values that must not reach a disk.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::crypto;
use crate::vault::{Error, ErrorKind, Result};

/// A directory of random name, 0700, that goes with everything in it when this is dropped.
pub struct Place(PathBuf);

impl Place {
    /// Makes one in memory, whose name begins with `name`.
    pub fn new(name: &str) -> Result<Self> {
        let base = in_memory().ok_or_else(|| {
            Error::new(ErrorKind::Io, "no_memory_files", "there is no place for files in memory (XDG_RUNTIME_DIR, /dev/shm)")
                .hint("use the values without files instead")
        })?;
        Self::below(&base, name)
    }

    /// Makes one for what is no file with content: in memory, or else where temporary files are.
    pub fn anywhere(name: &str) -> Result<Self> {
        let temporary = || std::path::absolute(std::env::temp_dir());
        let base = in_memory().map_or_else(temporary, Ok).map_err(|error| Error::io("find a place for pipes", &error))?;
        Self::below(&base, name)
    }

    fn below(base: &Path, name: &str) -> Result<Self> {
        let random: [u8; 16] = crypto::random()?;
        let path = base.join(format!("{name}-{}", crate::format::header::hex(&random)));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Error::io("make a place for files in memory", &error))?;
        Ok(Self(path))
    }

    /// Where it is: an absolute path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Removes everything in it.
    pub fn clear(&self) {
        let Ok(entries) = std::fs::read_dir(&self.0) else { return };
        for entry in entries.flatten() {
            // Overwritten first: memory that is freed is not memory that is cleared.
            if entry.file_type().is_ok_and(|kind| kind.is_file())
                && let (Ok(metadata), Ok(mut open)) =
                    (entry.metadata(), std::fs::OpenOptions::new().write(true).open(entry.path()))
            {
                let _ = open.write_all(&vec![0; metadata.len() as usize]);
            }
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clear();
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The directory of this user's session if it is one and in memory, as it should be and need not; else that of shared memory.
fn in_memory() -> Option<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let user = rustix::process::geteuid().as_raw();
    // A relative path would be another one for the program, and for what removes the files.
    let is_own = |path: &PathBuf| path.is_absolute() && path.metadata().is_ok_and(|found| found.is_dir() && found.uid() == user);
    let places = [runtime.filter(is_own), Some(PathBuf::from("/dev/shm"))];
    places.into_iter().flatten().find(|path| path.is_dir() && is_in_memory(path))
}

/// Whether a file system keeps its files in memory.
#[cfg(target_os = "linux")]
fn is_in_memory(path: &Path) -> bool {
    // statfs(2)
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    // The type is signed or not, wide or not, as the machine has it; the numbers have 32 bits.
    rustix::fs::statfs(path).is_ok_and(|found| [TMPFS, RAMFS].contains(&(found.f_type as u64 & 0xffff_ffff)))
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(path: &Path) -> bool {
    let name = |found: rustix::fs::StatFs| found.f_fstypename.map(|byte| byte as u8);
    rustix::fs::statfs(path).is_ok_and(|found| name(found).starts_with(b"tmpfs\0"))
}
