//! What the file engine asks of the operating system: one open file, and the place in a directory where a vault file is.
//!
//! Both are traits, so that tests can lose, tear, reorder and refuse writes, and freeze at any call.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::lock;

/// Which file it is: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    /// The device.
    pub device: u64,
    /// The inode.
    pub inode: u64,
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Which file it is.
    pub id: FileId,
    /// Its length in bytes.
    pub length: u64,
    /// Under how many names it is known.
    pub links: u64,
}

/// One open file.
pub trait Storage: Send + Sync {
    /// Which file this is, and how long.
    fn status(&self) -> io::Result<Status>;
    /// Reads at `offset`; fewer bytes than asked for at the end of the file.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes at `offset`; may write fewer bytes than given.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Cuts or lengthens the file.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Makes all written bytes and the length durable. A failed call must not be repeated in the hope that the next one succeeds.
    fn sync(&self) -> io::Result<()>;
    /// Takes the exclusive lock if it is free; it is released when the file is closed.
    fn try_lock(&self) -> io::Result<bool>;
    /// Releases the lock.
    fn unlock(&self);
}

/// The place of a vault file: its path and the directory around it.
pub trait Place: Send + Sync {
    /// Opens the file.
    fn open(&self, write: bool) -> io::Result<Box<dyn Storage>>;
    /// What is at the path now.
    fn status(&self) -> io::Result<Status>;
    /// Writes a new file that was not there, durably; `AlreadyExists` if something is at the path.
    fn create(&self, bytes: &[u8]) -> io::Result<()>;
    /// Removes the temporary file of a rewrite that did not finish. Only under the lock.
    fn remove_temporary(&self) -> io::Result<()>;
    /// Makes the temporary file of a rewrite, with owner and mode of the vault. Only under the lock.
    fn create_temporary(&self) -> io::Result<Box<dyn Storage>>;
    /// What is at the temporary name now.
    fn temporary_status(&self) -> io::Result<Status>;
    /// Renames the temporary file over the path.
    fn replace(&self) -> io::Result<()>;
    /// Makes names in the directory durable.
    fn sync_directory(&self) -> io::Result<()>;
}

/// A file of the operating system.
pub struct OsFile(File);

impl Storage for OsFile {
    fn status(&self) -> io::Result<Status> {
        self.0.metadata().map(|metadata| status(&metadata))
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn try_lock(&self) -> io::Result<bool> {
        lock::try_exclusive(&self.0)
    }

    fn unlock(&self) {
        lock::release(&self.0);
    }
}

/// A path of the operating system, with its symbolic links resolved.
pub struct OsPlace {
    path: PathBuf,
    directory: PathBuf,
    temporary: PathBuf,
}

impl OsPlace {
    /// The place of `path`. A symbolic link is followed once, here: a rewrite replaces the file that it names, not the link.
    pub fn new(path: &Path) -> io::Result<Self> {
        let path = match std::fs::canonicalize(path) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                match std::fs::canonicalize(parent) {
                    Ok(parent) => parent.join(name),
                    // Nothing is there to open; whoever creates a vault makes the directory first.
                    Err(_) => path.to_owned(),
                }
            }
            Err(error) => return Err(error),
        };
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        let mut temporary = OsString::from(".");
        temporary.push(path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?);
        temporary.push(".rewrite");
        Ok(Self { temporary: directory.join(temporary), directory, path })
    }

    /// The path, with links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Place for OsPlace {
    fn open(&self, write: bool) -> io::Result<Box<dyn Storage>> {
        // O_NONBLOCK: a FIFO at the path must not hang the open; regular files ignore it.
        let file = OpenOptions::new()
            .read(true)
            .write(write)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
            .open(&self.path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Box::new(OsFile(file)))
    }

    fn status(&self) -> io::Result<Status> {
        std::fs::metadata(&self.path).map(|metadata| status(&metadata))
    }

    fn create(&self, bytes: &[u8]) -> io::Result<()> {
        let random: [u8; 8] = crate::crypto::random().map_err(io::Error::other)?;
        let mut name = OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(format!(".{:016x}.new", u64::from_le_bytes(random)));
        let name = self.directory.join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&name)?;
        let result = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| rename_new(&name, &self.path))
            .and_then(|()| self.sync_directory());
        if result.is_err() {
            // The error that counts is the first one; a file that cannot even be removed is only litter.
            let _ = std::fs::remove_file(&name);
        }
        result
    }

    fn remove_temporary(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn create_temporary(&self) -> io::Result<Box<dyn Storage>> {
        self.remove_temporary()?;
        let old = std::fs::metadata(&self.path)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&self.temporary)?;
        take_after(&file, &old)?;
        Ok(Box::new(OsFile(file)))
    }

    fn temporary_status(&self) -> io::Result<Status> {
        std::fs::symlink_metadata(&self.temporary).map(|metadata| status(&metadata))
    }

    fn replace(&self) -> io::Result<()> {
        std::fs::rename(&self.temporary, &self.path)
    }

    fn sync_directory(&self) -> io::Result<()> {
        sync_directory(&self.path)
    }
}

/// How files whose names others may know are opened: neither may a FIFO hang it, nor a link lead elsewhere.
pub const FLAGS: i32 = OFlags::NONBLOCK.union(OFlags::NOFOLLOW).bits() as i32;

/// Gives a file that takes the place of another one the owner and the permissions of that one, whatever the umask is.
pub fn take_after(new: &File, old: &std::fs::Metadata) -> io::Result<()> {
    let own = new.metadata()?;
    if (old.uid(), old.gid()) != (own.uid(), own.gid()) {
        std::os::unix::fs::fchown(new, Some(old.uid()), Some(old.gid()))?;
    }
    if old.mode() & 0o777 != own.mode() & 0o777 {
        new.set_permissions(old.permissions())?;
    }
    Ok(())
}

/// The directory that a path is in.
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes names in the directory of a file durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

/// Renames a file without replacing what is there.
///
/// In one step where the system can: a crash between link and unlink leaves a vault with two names, which is never rewritten.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            result => return Ok(result?),
        }
    }
    std::fs::hard_link(from, to)?;
    std::fs::remove_file(from)
}

fn status(metadata: &std::fs::Metadata) -> Status {
    Status { id: FileId { device: metadata.dev(), inode: metadata.ino() }, length: metadata.len(), links: metadata.nlink() }
}

/// Reads exactly `length` bytes at `offset`; `UnexpectedEof` if the file ends before.
pub fn read_exact(storage: &dyn Storage, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let buffer = read_most(storage, offset, length)?;
    if buffer.len() < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(buffer) }
}

/// Reads `length` bytes at `offset`, or as many as there are.
pub fn read_most(storage: &dyn Storage, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; length];
    let mut done = 0;
    while done < length {
        match storage.read(offset + done as u64, &mut buffer[done..]) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(done);
    Ok(buffer)
}

/// Writes all of `bytes` at `offset`: a short write is continued, not taken for a full one.
pub fn write_all(storage: &dyn Storage, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match storage.write(offset, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                offset += count as u64;
                bytes = &bytes[count..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
