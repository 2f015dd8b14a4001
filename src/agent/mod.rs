//! The agent: a process of the user's own that keeps what a slot gave between commands, so that a passphrase is asked for once.
//!
//! It holds the payloads of slots ([`KeptSlot`](crate::vault::KeptSlot)) in locked memory, each for a time, and hands them to programs of the same user over a socket in a
//! directory that only the user may enter. It opens no vault, knows no value and writes nothing to disk. A vault whose keys changed has other stamps:
//! what is held under the old ones is dropped when somebody asks.

pub mod client;
pub mod holdings;
pub mod protocol;
pub mod server;

use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::PathBuf;

/// What an agent that was started on demand says when it listens.
pub const READY: &[u8] = b"listening";
/// The exit code of an agent that finds another one.
pub const ALREADY_RUNS: u8 = 6;

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
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    // One that belongs to somebody else came along with `sudo` or `su`: what this user made there would be in the way of the other.
    let is_mine = |path: &PathBuf| path.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user);
    match [given, Some(PathBuf::from(format!("/run/user/{user}")))].into_iter().flatten().find(is_mine) {
        Some(path) => path.join("vault"),
        None => Some(std::env::temp_dir())
            .filter(|path| path.is_absolute())
            .unwrap_or_else(|| PathBuf::from("/tmp"))
            .join(format!("vault-{user}")),
    }
}

fn is_own(metadata: &Metadata) -> bool {
    metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o077 == 0
}
