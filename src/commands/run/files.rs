//! Values as files: in memory, 0600, gone when the program has ended, and when this one is killed.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

use clap::ValueEnum;
use rustix::fs::{CWD, Mode};
use zeroize::Zeroizing;

use crate::term::memory::Place;
use crate::vault::{Error, Result};

/// How a value is given in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileKind {
    /// A regular file in memory.
    File,
    /// A pipe with a name, which gives the value to each that opens it.
    Fifo,
}

/// The files of one run.
pub struct Files {
    kind: FileKind,
    place: Place,
    /// While this is open, what removes the files when this process is gone waits.
    _guard: ChildStdin,
}

/// Waits for the end of its standard input, and removes the directory. The path is an argument and no part of the text.
const REMOVE: &str = r#"read -r _; rm -rf -- "$1""#;

impl Files {
    /// Makes the place for them.
    pub fn new(kind: FileKind) -> Result<Self> {
        let place = Place::new("vault-run")?;
        let mut remove = Command::new("/bin/sh");
        remove.args(["-c", REMOVE, "vault-run"]).arg(place.path()).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        // A process group of its own, so that what ends this one from the terminal does not end it.
        let child = remove.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn();
        let cannot = |error| Error::io("start what removes the files", &error);
        let guard = child.map_err(cannot)?.stdin.take().ok_or_else(|| cannot(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { kind, place, _guard: guard })
    }

    /// Puts a value into the file that is named after its variable; returns its path.
    pub fn put(&self, variable: &str, value: Zeroizing<Vec<u8>>) -> Result<PathBuf> {
        let path = self.place.path().join(variable);
        let made = match self.kind {
            FileKind::File => write(&path, &value),
            FileKind::Fifo => serve(path.clone(), value),
        };
        made.map(|()| path).map_err(|error| Error::io(format!("make the file of {variable}"), &error))
    }
}

fn write(path: &Path, value: &[u8]) -> io::Result<()> {
    // What was there may be open in a program that is being replaced.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(value)
}

/// Gives the value to each that opens the pipe, until this process ends or the directory is gone.
fn serve(path: PathBuf, value: Zeroizing<Vec<u8>>) -> io::Result<()> {
    make(&path)?;
    std::thread::Builder::new().stack_size(128 * 1024).spawn(move || {
        // Opening waits for a reader.
        while let Ok(mut pipe) = OpenOptions::new().write(true).open(&path) {
            // The next reader gets a pipe of its own, and not a second copy behind the first.
            let renewed = make(&path);
            // A reader that has seen enough is not an error.
            let _ = pipe.write_all(&value);
            if renewed.is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

fn make(path: &Path) -> io::Result<()> {
    let new = path.with_extension("new");
    rustix::fs::mkfifoat(CWD, &new, Mode::RUSR | Mode::WUSR)?;
    std::fs::rename(&new, path)
}
