//! When this machine last removed what was kept long enough: once a day is enough, whoever does it (FORMAT.md, section 6).

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::AuditError;
use super::reader::Reader;
use crate::store::file::storage::FLAGS;

/// A day, in milliseconds.
pub const DAY: u64 = 24 * 60 * 60 * 1000;

/// Where it is remembered when that was last tried: not in the log, which may be one that is not to be touched.
pub struct Tried(PathBuf);

impl Tried {
    /// Of the vault with this id at this path, in a directory for many of them.
    pub fn of(directory: &Path, id: &[u8; 16], path: &Path) -> Self {
        Self(directory.join(format!("{}.retention", super::place(id, path))))
    }

    /// Whether it was tried within a day.
    pub fn lately(&self, now: u64) -> bool {
        let mut text = String::new();
        let file = OpenOptions::new().read(true).custom_flags(FLAGS).open(&self.0);
        let read = file.and_then(|file| file.take(32).read_to_string(&mut text));
        let time = read.ok().and_then(|_| text.trim().parse::<u64>().ok());
        time.is_some_and(|time| time <= now && now - time < DAY)
    }

    /// It is tried now.
    pub fn note(&self, now: u64) {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(FLAGS);
        // Where nothing can be remembered it is tried again.
        let _ = options.open(&self.0).and_then(|mut file| writeln!(file, "{now}"));
    }
}

impl Reader {
    /// Whether the log begins with a record from before `since`, and was not pruned today.
    pub fn has_older(&mut self, now: u64, since: u64) -> Result<bool, AuditError> {
        Ok(self.base().is_some_and(|base| base.time.saturating_add(DAY) <= now)
            && self.first_time()?.is_some_and(|first| first < since))
    }
}
