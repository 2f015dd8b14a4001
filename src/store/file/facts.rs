//! Facts about the file, for whoever judges or shows it.

use crate::store::Revision;

/// What the newest commit says about the file.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// The state.
    pub revision: Revision,
    /// Whether it is the first commit of the file, which was durable before the file got its name.
    pub first_of_file: bool,
    /// The state before, which is durable because this one was built on it.
    pub previous: Option<Revision>,
    /// Whether something that is no commit stands at the end.
    pub tail: bool,
    /// Length of the file.
    pub length: u64,
    /// Bytes that the state uses.
    pub live: u64,
    /// Bytes that it does not.
    pub dead: u64,
    /// How often the file was rewritten, plus one.
    pub epoch: u64,
    /// When the commit was made, by its writer's clock.
    pub time: u64,
    /// How often a commit was to compact the file, since it was opened, and could not.
    pub failed_compactions: u64,
}
