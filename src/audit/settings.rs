//! Where a log is, and how it is written.

use std::path::PathBuf;
use std::time::Duration;

/// Where a log is and how it is written.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The log.
    pub log: PathBuf,
    /// Where this machine remembers how far it reached; `None`: nowhere.
    pub anchor: Option<PathBuf>,
    /// How often that is looked at and written down: zero for whoever appends once, more for a process that stays and appends often.
    pub anchor_every: Duration,
    /// Make the log if it is not there, open to those to whom this file is.
    pub create_like: Option<PathBuf>,
    /// How long to wait for another process.
    pub patience: Duration,
    /// When what was written is made durable.
    pub sync: Sync,
}

/// When what was written is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Before each append returns.
    Always,
    /// After this time, by [`Log::sync_later`](super::Log::sync_later), in a process that stays so long; one that ends leaves it to the system.
    Every(Duration),
}
