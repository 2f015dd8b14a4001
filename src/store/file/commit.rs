//! Finding the newest commit, and appending one (SPEC, section 5).

use super::storage::{Storage, read_exact, write_all};
use crate::crypto::{Hash, Hasher, Signer, Verifier};
use crate::format::commit::{DURABLE_ABOVE, MAGIC, RECORD, Record, RecordContext};
use crate::format::page::Reference;
use crate::format::{BLOCK, FormatError, align_up};
use crate::store::StoreError;

/// How many blocks that begin like a record are verified before the search is given up.
const CANDIDATES: usize = 64;
/// How far from the end the newest record is looked for.
const SEARCH: u64 = 1 << 30;
/// The most bytes of a span, a tail at its start included, once the commit itself is larger than one piece: what a killed writer leaves behind must stay
/// well within what a reader searches.
pub const MAX_SPAN: u64 = 512 << 20;
/// Reading and writing in bulk goes in pieces of this size.
const PIECE: usize = 1 << 20;

/// A record that was verified, and the hash of its block.
pub struct Newest {
    /// What it says.
    pub record: Record,
    /// Hash of its block.
    pub hash: Hash,
    /// The block itself, to see whether it is still there.
    pub block: Box<[u8]>,
    /// Whether something stands behind it.
    pub tail: bool,
}

/// Finds the newest valid record of a file of `length` bytes whose header has the hash `header_hash`.
pub fn find_newest(
    storage: &dyn Storage,
    length: u64,
    context: &RecordContext<'_>,
    verifier: &Verifier,
    header_hash: &Hash,
) -> Result<Newest, StoreError> {
    let start = context.header_length;
    let last = (length / BLOCK).checked_sub(1).map(|blocks| blocks * BLOCK).filter(|last| *last >= start);
    let Some(last) = last else {
        return Err(damaged("the file ends before its first commit", length));
    };
    let mut failure = None;
    let mut candidates = 0;
    // The last block alone first: in a file that was written whole, that is the record.
    let (mut low, mut high) = (last, last + BLOCK);
    loop {
        let piece = read(storage, low, (high - low) as usize)?;
        for index in (0..piece.len() / RECORD).rev() {
            let block = &piece[index * RECORD..(index + 1) * RECORD];
            if !block.starts_with(MAGIC) {
                continue;
            }
            candidates += 1;
            if candidates > CANDIDATES {
                return Err(damaged("too many blocks at the end look like commits and are not", low));
            }
            let offset = low + (index * RECORD) as u64;
            match validate(storage, context, verifier, header_hash, block, offset) {
                Ok(record) => {
                    let tail = offset + BLOCK < length;
                    return Ok(Newest { record, hash: Hash::of(block), block: block.into(), tail });
                }
                Err(StoreError::Io { doing, source }) => return Err(StoreError::Io { doing, source }),
                Err(error @ StoreError::Newer(_)) => return Err(error),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        if low == start {
            break;
        }
        high = low;
        low = start.max(high.saturating_sub(PIECE as u64));
        if last - low > SEARCH {
            return Err(damaged("no commit in the last gigabyte of the file", low));
        }
    }
    Err(failure.unwrap_or_else(|| damaged("the file holds no commit", start)))
}

fn validate(
    storage: &dyn Storage,
    context: &RecordContext<'_>,
    verifier: &Verifier,
    header_hash: &Hash,
    block: &[u8],
    offset: u64,
) -> Result<Record, StoreError> {
    let record = context.decode(block, offset, verifier).map_err(|error| StoreError::from(error).at(offset))?;
    if record.header_hash != *header_hash {
        return Err(StoreError::from(FormatError::NotAuthentic("the header")).at(0));
    }
    // A durable span was on the medium before the record was written; its pages still have their hashes.
    if !record.durable {
        let span = read(storage, record.span_start, (offset - record.span_start) as usize)?;
        if Hash::of(&span) != record.span_hash {
            return Err(StoreError::from(FormatError::NotAuthentic("the newest commit")).at(record.span_start));
        }
    }
    Ok(record)
}

/// The hash of the bytes `from..to`.
pub fn hash_span(storage: &dyn Storage, from: u64, to: u64) -> Result<Hash, StoreError> {
    let mut hasher = Hasher::default();
    let mut at = from;
    while at < to {
        let piece = read(storage, at, PIECE.min((to - at) as usize))?;
        hasher.update(&piece);
        at += piece.len() as u64;
    }
    Ok(hasher.finish())
}

/// Writes the bytes `from..to` once more as they are: after a failed fsync of another process they may be in memory and not on the medium.
pub fn rewrite_same(storage: &dyn Storage, from: u64, to: u64) -> Result<(), StoreError> {
    let mut at = from;
    while at < to {
        let piece = read(storage, at, PIECE.min((to - at) as usize))?;
        write_all(storage, at, &piece).map_err(StoreError::io("write the vault"))?;
        at += piece.len() as u64;
    }
    Ok(())
}

/// Reads exactly `length` bytes.
pub fn read(storage: &dyn Storage, offset: u64, length: usize) -> Result<Vec<u8>, StoreError> {
    read_exact(storage, offset, length).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => damaged("the file ends too early", offset),
        _ => StoreError::Io { doing: "read the vault", source: error },
    })
}

fn damaged(what: &'static str, offset: u64) -> StoreError {
    StoreError::from(FormatError::Malformed(what)).at(offset)
}

/// Gathers the bytes of one commit, and writes them: small ones in one write together with their record, large ones in pieces.
pub struct Appender<'a> {
    storage: &'a dyn Storage,
    /// Where the span begins; a tail of the file may come first.
    span_start: u64,
    /// Everything before this position is written.
    written: u64,
    buffer: Vec<u8>,
    hasher: Hasher,
    limit: Option<u64>,
}

impl<'a> Appender<'a> {
    /// Appends behind the file's end `length`; the span begins at `span_start`, so that a tail lies under its hash.
    pub fn new(storage: &'a dyn Storage, span_start: u64, length: u64, limit: Option<u64>) -> Result<Self, StoreError> {
        let at = align_up(length).ok_or(StoreError::TooLarge("the file is too long"))?;
        let mut hasher = Hasher::default();
        let mut from = span_start;
        while from < length {
            let piece = read(storage, from, PIECE.min((length - from) as usize))?;
            hasher.update(&piece);
            from += piece.len() as u64;
        }
        // A tail that is not aligned is lengthened by zeros, which the file system gives to whoever reads them.
        hasher.update(&vec![0; (at - length.max(span_start)) as usize]);
        Ok(Self { storage, span_start, written: at, buffer: Vec::with_capacity(32 * 1024), hasher, limit })
    }

    /// Where the next page will stand.
    pub fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Appends a sealed page.
    pub fn append(&mut self, sealed: &[u8]) -> Result<Reference, StoreError> {
        let at = Reference {
            offset: self.position(),
            length: u32::try_from(sealed.len()).map_err(|_| StoreError::TooLarge("a page is too long"))?,
            hash: Hash::of(sealed),
        };
        self.buffer.extend_from_slice(sealed);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(at)
    }

    /// A page of this commit, if it is one.
    pub fn pending(&self, at: &Reference) -> Result<Option<Vec<u8>>, StoreError> {
        let length = at.length as usize;
        // The reference may come from an old page that says anything; what is not of this commit is left to whoever reads old pages.
        let Some(end) = at.offset.checked_add(u64::from(at.length)).filter(|end| *end <= self.position()) else {
            return Ok(None);
        };
        match at.offset.checked_sub(self.written) {
            Some(start) => Ok(self.buffer.get(start as usize..start as usize + length).map(<[u8]>::to_vec)),
            None if at.offset >= self.span_start && end <= self.written => read(self.storage, at.offset, length).map(Some),
            None => Ok(None),
        }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        if self.limit.is_some_and(|limit| self.position() - self.span_start > limit) {
            return Err(StoreError::TooLarge("a commit is at most 512 MiB: import in parts, or compact the vault first"));
        }
        self.hasher.update(&self.buffer);
        write_all(self.storage, self.written, &self.buffer).map_err(StoreError::io("write the vault"))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Ends the commit with its record and makes it durable. Returns the record as it was written, and its hash.
    pub fn finish(
        mut self,
        mut record: Record,
        context: &RecordContext<'_>,
        signer: &Signer,
    ) -> Result<(Record, Hash), StoreError> {
        let offset = align_up(self.position()).ok_or(StoreError::TooLarge("the file is too long"))?;
        let zeros = (offset - self.position()) as usize;
        self.buffer.resize(self.buffer.len() + zeros, 0);
        record.offset = offset;
        record.durable = offset - self.span_start > DURABLE_ABOVE;
        if record.durable {
            self.flush()?;
            // The body first: one fsync does not order writes, and a record must never be newer than what it names.
            self.storage.sync().map_err(StoreError::io("make the vault durable"))?;
        } else {
            self.hasher.update(&self.buffer);
        }
        record.span_hash = self.hasher.finish();
        let block = context.encode(&record, signer)?;
        let hash = Hash::of(&block);
        self.buffer.extend_from_slice(&block);
        write_all(self.storage, self.written, &self.buffer).map_err(StoreError::io("write the vault"))?;
        self.storage.sync().map_err(StoreError::io("make the vault durable"))?;
        Ok((record, hash))
    }
}
