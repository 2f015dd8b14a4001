//! The copy-on-write B+tree (SPEC, section 4).

mod reader;
mod writer;

pub use reader::{CACHE, NodeCache, PageReader};
pub use writer::TreeWriter;

use crate::format::page::Reference;

/// The root of a tree and its level.
pub type Root = Option<(Reference, u8)>;
