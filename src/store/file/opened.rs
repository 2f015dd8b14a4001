//! A file that was opened, of which nothing is authentic yet.

use std::sync::Arc;

use super::commit;
use super::storage::{Place, Storage, read_most};
use crate::format::BLOCK;
use crate::format::header::{self, UnverifiedHeader};
use crate::store::StoreError;

/// A file whose header was read and not authenticated.
pub struct OpenedFile {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) header: UnverifiedHeader,
}

impl OpenedFile {
    /// Opens the file at a place for reading and parses its header.
    pub fn open(place: &dyn Place) -> Result<Self, StoreError> {
        Self::open_for(place, false)
    }

    pub(super) fn open_for(place: &dyn Place, write: bool) -> Result<Self, StoreError> {
        let storage = place.open(write).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => StoreError::Missing,
            _ => StoreError::Io { doing: if write { "open the vault for writing" } else { "open the vault" }, source: error },
        })?;
        let header = read_header(storage.as_ref())?;
        Ok(Self { storage: storage.into(), header })
    }

    /// The header, for trying slots.
    pub fn header(&self) -> &UnverifiedHeader {
        &self.header
    }
}

fn read_header(storage: &dyn Storage) -> Result<UnverifiedHeader, StoreError> {
    let mut start = read_most(storage, 0, BLOCK as usize).map_err(StoreError::io("read the vault"))?;
    let length = header::length(&start).map_err(|error| StoreError::from(error).at(0))?;
    if length > start.len() {
        let rest = commit::read(storage, start.len() as u64, length - start.len())?;
        start.extend_from_slice(&rest);
    }
    start.truncate(length);
    UnverifiedHeader::parse(&start).map_err(|error| StoreError::from(error).at(0))
}
