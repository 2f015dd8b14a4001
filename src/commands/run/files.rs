//! Values as files: in memory, 0600, gone when the program has ended, and when this one is killed.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

use clap::ValueEnum;
use zeroize::Zeroizing;

use super::pipes::{Pipes, Serving};
use crate::term::memory::Place;
use crate::vault::{Error, ErrorKind, Result};

/// How a value is given in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileKind {
    /// A regular file in memory.
    File,
    /// A pipe with a name, which gives the value to each that opens it, one after the other.
    Fifo,
}

/// The files of one run.
pub struct Files {
    place: Place,
    /// Pipes of a program that has not begun.
    pipes: Option<Pipes>,
    serving: Option<Serving>,
    shared: BTreeSet<String>,
    kind: FileKind,
    /// While this is open, what removes the files when this process is gone waits.
    _guard: ChildStdin,
}

/// Waits for the end of its standard input, and removes the directory. The path is an argument and no part of the text.
const REMOVE: &str = r#"read -r _; rm -rf -- "$1""#;

impl Files {
    /// Makes the place for them.
    pub fn new(kind: FileKind) -> Result<Self> {
        let place = match kind {
            FileKind::File => {
                let better = |error: Error| match error.code() {
                    "no_memory_files" => error.hint("--files=fifo needs no such place: it puts no value on a disk"),
                    _ => error,
                };
                Place::new("vault-run").map_err(better)?
            }
            // What is in a pipe is in memory, wherever its name is.
            FileKind::Fifo => Place::anywhere("vault-run")?,
        };
        let mut remove = Command::new("/bin/sh");
        remove.args(["-c", REMOVE, "vault-run"]).arg(place.path()).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        // A process group of its own, so that what ends this one from the terminal does not end it.
        let child = remove.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn();
        let cannot = |error| Error::io("start what removes the files", &error);
        let guard = child.map_err(cannot)?.stdin.take().ok_or_else(|| cannot(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { place, pipes: None, serving: None, shared: BTreeSet::new(), kind, _guard: guard })
    }

    /// Removes those of the program before.
    pub fn renew(&mut self) {
        self.shared.extend(self.serving.take().map(Serving::end).unwrap_or_default());
        self.pipes = None;
        self.place.clear();
    }

    /// Puts a value into the file that is named after its variable; returns its path.
    pub fn put(&mut self, variable: &str, value: Zeroizing<Vec<u8>>) -> Result<PathBuf> {
        let path = self.place.path().join(variable);
        let made = match self.kind {
            FileKind::File => write(&path, &value).map(|()| path),
            FileKind::Fifo => self.pipe(variable, value),
        };
        made.map_err(|error| Error::io(format!("make the file of {variable}"), &error))
    }

    fn pipe(&mut self, variable: &str, value: Zeroizing<Vec<u8>>) -> io::Result<PathBuf> {
        let pipes = match &mut self.pipes {
            Some(pipes) => pipes,
            None => self.pipes.insert(Pipes::new(self.place.path())?),
        };
        pipes.add(variable, value)
    }

    /// To be called when all are there, and before the program that opens them is.
    pub fn begin(&mut self) -> Result<()> {
        let serving = self.pipes.take().map(Pipes::serve).transpose();
        self.serving = serving.map_err(|error| Error::io("start what writes to pipes", &error))?;
        Ok(())
    }

    /// To be called when the program has ended: what it did not get of all this.
    pub fn end(mut self) -> Option<Error> {
        self.renew();
        if self.shared.is_empty() {
            return None;
        }
        let names = self.shared.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let said = format!("the pipe of {names} was opened by two at the same moment, and not both have the value");
        Some(Error::new(ErrorKind::Io, "shared_pipe", said).hint("--files=file gives values that any number can read at once"))
    }
}

fn write(path: &Path, value: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(value)
}
