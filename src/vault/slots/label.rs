//! Labels: what people call a slot.

use crate::name::Tag;
use crate::vault::error::{Error, ErrorKind, Result};

/// A label keeps the rules of a tag, so that it can be typed and shown.
pub(in crate::vault) fn check_label(label: &str) -> Result<()> {
    Tag::parse(label).map(drop).map_err(|error| Error::name("label", error))
}

pub(in crate::vault) fn no_slot(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, "no_slot", format!("there is no slot '{name}'")).hint("`vault key list` shows them")
}
