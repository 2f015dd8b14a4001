//! Verifying every byte of a vault file.

use super::state::State;
use super::{FileStore, commit};
use crate::format::header::UnverifiedHeader;
use crate::format::{BLOCK, FormatError};
use crate::store::StoreError;

/// What a check of a whole file found to be sound.
#[derive(Debug, Clone, Copy)]
pub struct Checked {
    /// Length of the file.
    pub bytes: u64,
    /// Commits in the file, back to its first.
    pub commits: u64,
    /// Bytes of the pages that the newest root reaches.
    pub live: u64,
    /// Bytes behind the newest commit that belong to none: a write that failed.
    pub tail: u64,
}

impl FileStore {
    /// Verifies the header's own signature, every commit's span and its place in the chain, and every page that the newest root reaches.
    pub fn check(&self) -> Result<Checked, StoreError> {
        let state = self.refresh()?;
        state.check_header()?;
        let commits = state.check_commits()?;
        let live = state.reader().verify(state.root())?;
        if live != state.newest.record.live {
            return Err(FormatError::Malformed("the count of live bytes is wrong").into());
        }
        let end = state.newest.record.offset + BLOCK;
        Ok(Checked { bytes: state.length, commits, live, tail: state.length - end })
    }
}

impl State {
    fn check_header(&self) -> Result<(), StoreError> {
        let bytes = commit::read(self.storage.as_ref(), 0, self.header.length() as usize)?;
        let header = UnverifiedHeader::parse(&bytes)?;
        header.verify_signature(&self.keys.verifier).map_err(|error| StoreError::from(error).at(0))?;
        if header.hash() != self.newest.record.header_hash {
            return Err(StoreError::from(FormatError::NotAuthentic("the header")).at(0));
        }
        Ok(())
    }

    fn check_commits(&self) -> Result<u64, StoreError> {
        let storage = self.storage.as_ref();
        let context = self.record_context();
        let mut record = self.newest.record.clone();
        let mut commits = 1;
        loop {
            if commit::hash_span(storage, record.span_start, record.offset)? != record.span_hash {
                return Err(StoreError::from(FormatError::NotAuthentic("a commit")).at(record.span_start));
            }
            let (Some(offset), Some(hash)) = (record.previous_offset, record.previous_hash) else { return Ok(commits) };
            let block = commit::read(storage, offset, BLOCK as usize)?;
            // The signature too: a record is to be good by itself, not only as somebody's predecessor.
            context.decode(&block, offset, &self.keys.verifier).map_err(|error| StoreError::from(error).at(offset))?;
            let previous = context.decode_hashed(&block, offset, &hash).map_err(|error| StoreError::from(error).at(offset))?;
            let follows =
                previous.sequence + 1 == record.sequence || (record.merged.is_some() && previous.sequence < record.sequence);
            if !follows {
                return Err(
                    StoreError::from(FormatError::Malformed("the commits of the file do not follow one another")).at(offset)
                );
            }
            record = previous;
            commits += 1;
        }
    }
}
