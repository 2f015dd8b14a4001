//! Values in pipes with names, where the system does not tell who opens them: one reader at a time. Two at once may have the same pipe.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, Mode, OFlags};
use zeroize::Zeroizing;

/// The pipes of one program.
pub struct Pipes {
    directory: PathBuf,
    paths: Vec<PathBuf>,
    over: Arc<AtomicBool>,
}

impl Pipes {
    /// None yet; they will be in this directory.
    pub fn new(directory: &Path) -> io::Result<Self> {
        Ok(Self { directory: directory.to_owned(), paths: Vec::new(), over: Arc::default() })
    }

    /// Makes the pipe of a variable, and returns its path.
    pub fn add(&mut self, variable: &str, value: Zeroizing<Vec<u8>>) -> io::Result<PathBuf> {
        let path = self.directory.join(variable);
        make(&path)?;
        self.paths.push(path.clone());
        let (own, over) = (path.clone(), self.over.clone());
        std::thread::Builder::new().stack_size(128 * 1024).spawn(move || {
            // Opening waits for a reader.
            while let Ok(mut pipe) = OpenOptions::new().write(true).open(&own) {
                // The next reader gets a pipe of its own, and not a second copy behind the first.
                if over.load(Ordering::Relaxed) || make(&own).is_err() {
                    return;
                }
                // A reader that has seen enough is not an error.
                let _ = pipe.write_all(&value);
            }
        })?;
        Ok(path)
    }

    /// Gives the values to whoever opens the pipes, until the end is asked for.
    pub fn serve(self) -> io::Result<Serving> {
        Ok(Serving(self))
    }
}

/// Threads that give values.
pub struct Serving(Pipes);

impl Serving {
    /// Ends them; no variables whose pipes two had at once are known.
    pub fn end(self) -> BTreeSet<String> {
        self.0.over.store(true, Ordering::Relaxed);
        for path in &self.0.paths {
            // Wakes the thread that waits for a reader.
            let _ = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path);
        }
        BTreeSet::new()
    }
}

fn make(path: &Path) -> io::Result<()> {
    let new = path.with_extension("new");
    rustix::fs::mkfifoat(CWD, &new, Mode::RUSR | Mode::WUSR)?;
    std::fs::rename(&new, path)
}
