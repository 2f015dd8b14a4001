//! Directories in memory, for files with values that must not reach a disk.

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::crypto;
use crate::vault::{Error, ErrorKind, Result};

/// A directory of random name, 0700, that goes with everything in it when this is dropped.
pub struct Place(PathBuf);

impl Place {
    /// Makes one whose name begins with `name`.
    pub fn new(name: &str) -> Result<Self> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let memory = [runtime.as_deref(), Some(Path::new("/dev/shm"))].into_iter().flatten().find(|path| path.is_dir());
        let base = memory.ok_or_else(|| {
            Error::new(ErrorKind::Io, "no_memory_files", "there is no place for files in memory (XDG_RUNTIME_DIR, /dev/shm)")
                .hint("use the values without files instead")
        })?;
        let random: [u8; 16] = crypto::random()?;
        let path = base.join(format!("{name}-{}", crate::format::header::hex(&random)));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Error::io("make a place for files in memory", &error))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Overwritten first: memory that is freed is not memory that is cleared.
        if let Ok(files) = std::fs::read_dir(&self.0) {
            for file in files.flatten().filter(|file| file.file_type().is_ok_and(|kind| kind.is_file())) {
                if let (Ok(metadata), Ok(mut open)) = (file.metadata(), std::fs::OpenOptions::new().write(true).open(file.path()))
                {
                    let _ = open.write_all(&vec![0; metadata.len() as usize]);
                }
            }
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
