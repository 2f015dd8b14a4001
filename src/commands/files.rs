//! Files that commands read whole and write whole: without unwiped copies, private from the start, and never half.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use zeroize::Zeroizing;

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
    use std::os::unix::fs::OpenOptionsExt as _;
    // A rename would put a file in the place of a device or a pipe.
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Error::new(ErrorKind::Io, "io", format!("write {}: not a regular file", path.display()))
            .hint("leave the option out, and redirect the output there"));
    }
    let fail = |error: std::io::Error| Error::io(format!("write {}", path.display()), &error);
    let random: [u8; 8] = crate::crypto::random()?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().ok_or_else(|| Error::usage(format!("{} is not a file name", path.display())))?);
    name.push(format!(".{:016x}", u64::from_le_bytes(random)));
    let temporary = path.with_file_name(name);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(fail)?;
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
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(fail)?;
    Ok(verified)
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
