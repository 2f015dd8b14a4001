//! The agent: a process of the user's own that keeps what a slot gave between commands, so that a passphrase is asked for once.
//!
//! It holds the payloads of slots ([`KeptSlot`]) in locked memory, each for a time, and hands them to programs of the same user over a socket in a
//! directory that only the user may enter. It opens no vault, knows no value and writes nothing to disk. A vault whose keys changed has other stamps:
//! what is held under the old ones is dropped when somebody asks.

pub mod client;
mod holdings;
pub mod protocol;
pub mod server;

use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

pub use client::Agent;
pub use holdings::{Held, KeptKeys};

/// The directory of the socket: the user's, mode 0700, and nobody else's.
pub struct Place(PathBuf);

impl Place {
    /// The place of this user: below `XDG_RUNTIME_DIR`, else `/run/user/UID`, else in the directory for temporary files.
    ///
    /// # Errors
    /// If the directory is not there (and `make` does not say to make it), is a link, belongs to somebody else, or others may enter it.
    pub fn of_user(make: bool) -> io::Result<Self> {
        let path = directory();
        if make {
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        // Not through a link: who may plant one must not choose whom we talk to.
        let metadata = path.symlink_metadata()?;
        if !is_own(&metadata) {
            let message = format!("{} is not a directory of yours alone (mode 0700)", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        Ok(Self(path))
    }

    /// The socket.
    pub fn socket(&self) -> PathBuf {
        self.0.join("agent.sock")
    }

    /// The file whose lock the running agent holds.
    pub fn lock(&self) -> PathBuf {
        self.0.join("agent.lock")
    }
}

fn directory() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    if let Some(path) = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| Path::new(path).is_absolute()) {
        return PathBuf::from(path).join("vault");
    }
    let run = PathBuf::from(format!("/run/user/{user}"));
    if run.symlink_metadata().is_ok_and(|metadata| is_own(&metadata)) {
        return run.join("vault");
    }
    std::env::temp_dir().join(format!("vault-{user}"))
}

fn is_own(metadata: &Metadata) -> bool {
    metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o077 == 0
}
