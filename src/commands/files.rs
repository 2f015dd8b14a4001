//! Files that commands read whole and write whole: without unwiped copies, private from the start, and never half.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::process;
use crate::store::file::storage::{directory_of, sync_directory};
use crate::term::output;
use crate::vault::{Error, ErrorKind, Result};

/// Everything that a reader gives. `expected` bytes are made room for at once; if more come, growing leaves no copy behind.
pub fn read_all(reader: &mut dyn std::io::Read, expected: usize, doing: &str) -> Result<Zeroizing<Vec<u8>>> {
    // One byte more than expected, so that the end is seen without growing.
    let mut all = Zeroizing::new(vec![0; expected + 1]);
    let mut length = 0;
    loop {
        if length == all.len() {
            // Growing a `Vec` in place would leave the old copy behind unwiped.
            let mut larger = Zeroizing::new(vec![0; (all.len() * 2).max(4096)]);
            larger[..length].copy_from_slice(&all);
            all = larger;
        }
        match reader.read(&mut all[length..]) {
            Ok(0) => {
                all.truncate(length);
                return Ok(all);
            }
            Ok(count) => length += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io(doing, &error)),
        }
    }
}

/// Reads a file whole.
pub fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let doing = format!("read {}", path.display());
    let mut file = File::open(path).map_err(|error| Error::io(doing.clone(), &error))?;
    let expected = file.metadata().map_or(0, |metadata| metadata.len());
    read_all(&mut file, usize::try_from(expected).unwrap_or(0).min(1 << 30), &doing)
}

/// The files below a path, ascending by name, without git's own; those that .gitignore and the like leave out only with `no_ignore`.
pub fn files_below(path: &Path, no_ignore: bool) -> Result<impl Iterator<Item = std::result::Result<PathBuf, ignore::Error>>> {
    std::fs::symlink_metadata(path).map_err(|error| Error::io(format!("read {}", path.display()), &error))?;
    let mut walk = ignore::WalkBuilder::new(path);
    // Hidden files are where values and references are.
    walk.standard_filters(!no_ignore).require_git(false).hidden(false).filter_entry(|entry| entry.file_name() != ".git");
    walk.sort_by_file_name(Ord::cmp);
    Ok(walk.build().filter_map(|entry| match entry {
        Ok(entry) => entry.file_type().is_some_and(|kind| kind.is_file()).then(|| Ok(entry.into_path())),
        Err(error) => Some(Err(error)),
    }))
}

/// Strips one line end if there is no other line.
pub fn strip_line_end(bytes: &mut Vec<u8>) {
    let single = bytes.iter().filter(|byte| **byte == b'\n').count() == 1 && bytes.ends_with(b"\n");
    if single {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
}

/// Writes a file of secrets: 0600 from the start, beside its place, fsynced, and renamed over it.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    write_verified(path, bytes, |_| Ok(()))
}

/// [`write_private`], where `verify` looks at the file before it takes its place; if that fails, what was there stays.
pub fn write_verified<T>(path: &Path, bytes: &[u8], verify: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let fail = |error: io::Error| Error::io(format!("write {}", path.display()), &error);
    let temporary = temporary_name(path)?;
    let mut file = create_private(&temporary).map_err(fail)?;
    let result: Result<T> = (|| {
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fail)?;
        let verified = verify(&temporary)?;
        std::fs::rename(&temporary, path).map_err(fail)?;
        Ok(verified)
    })();
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    let verified = result?;
    sync_directory(path).map_err(fail)?;
    Ok(verified)
}

/// Where a stream goes: standard output, or a private file that takes its place only when it is whole.
pub enum Sink {
    /// Standard output, without a buffer in which data would stay.
    Standard(File),
    /// A file in the making.
    File(Unfinished),
}

impl Sink {
    /// Opens the file, or standard output.
    pub fn open(out: Option<&Path>) -> Result<Self> {
        match out {
            Some(path) => Unfinished::create(path).map(Self::File),
            None => output::unbuffered().map(Self::Standard),
        }
    }

    /// To be called when all of it was written and is right: only then is the file at its place.
    pub fn finish(self) -> Result<()> {
        match self {
            Self::Standard(_) => Ok(()),
            Self::File(file) => file.finish(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(file) => file.write(buffer),
            Self::File(file) => file.file.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Memory that is written to, and wiped; growing leaves no copy behind.
#[derive(Default)]
pub struct Memory(pub Zeroizing<Vec<u8>>);

impl Write for Memory {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let needed = self.0.len() + buffer.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * self.0.capacity()).max(4096)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A private file in the making. It has no name where the system can do that, so that nothing is left of it when the process is killed; else a
/// temporary one beside its place.
pub struct Unfinished {
    file: File,
    path: PathBuf,
    temporary: PathBuf,
    named: bool,
}

impl Unfinished {
    fn create(path: &Path) -> Result<Self> {
        let temporary = temporary_name(path)?;
        let (file, named) = match create_nameless(directory_of(path)) {
            Some(file) => (file, false),
            None => (create_private(&temporary).map_err(|error| Error::io(format!("write {}", path.display()), &error))?, true),
        };
        Ok(Self { file, path: path.to_owned(), temporary, named })
    }

    fn finish(mut self) -> Result<()> {
        self.take_its_place().map_err(|error| Error::io(format!("write {}", self.path.display()), &error))
    }

    fn take_its_place(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        if !self.named {
            give_name(&self.file, &self.temporary)?;
            self.named = true;
        }
        std::fs::rename(&self.temporary, &self.path)?;
        self.named = false;
        sync_directory(&self.path)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.named {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// The file, or standard input without one or for `-`.
pub fn open_input(file: Option<&Path>) -> Result<Box<dyn Read>> {
    match file {
        Some(path) if path.as_os_str() != "-" => {
            let file = File::open(path).map_err(|error| Error::io(format!("read {}", path.display()), &error))?;
            Ok(Box::new(file))
        }
        _ => Ok(Box::new(standard_input()?)),
    }
}

/// Standard input, past the standard library's buffer, which is not wiped.
pub fn standard_input() -> Result<File> {
    process::inherited(0).map_err(|error| Error::io("read standard input", &error))
}

/// A name beside a path for what is to take its place.
fn temporary_name(path: &Path) -> Result<PathBuf> {
    // A rename would put a file in the place of a device or a pipe.
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Error::new(ErrorKind::Io, "io", format!("write {}: not a regular file", path.display()))
            .hint("leave the option out, and redirect the output there"));
    }
    let random: [u8; 8] = crate::crypto::random()?;
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or_else(|| Error::usage(format!("{} is not a file name", path.display())))?);
    name.push(format!(".{:016x}", u64::from_le_bytes(random)));
    Ok(path.with_file_name(name))
}

fn create_private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// A private file without a name in a directory, if the system has such files and can name them later.
#[cfg(target_os = "linux")]
fn create_nameless(directory: &Path) -> Option<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let file = openat(CWD, directory, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::from_raw_mode(0o600)).ok()?;
    Path::new(&name_in_proc(&file)).exists().then(|| File::from(file))
}

#[cfg(not(target_os = "linux"))]
fn create_nameless(_directory: &Path) -> Option<File> {
    None
}

#[cfg(target_os = "linux")]
fn give_name(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    Ok(linkat(CWD, name_in_proc(file), CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
fn give_name(_file: &File, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn name_in_proc(file: &impl std::os::fd::AsRawFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Makes the directory that a file goes into, 0700, if it is not there.
pub fn make_parent(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|error| Error::io(format!("create {}", parent.display()), &error)),
        None => Ok(()),
    }
}
