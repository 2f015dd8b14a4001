//! Commit records (SPEC, section 5).

use zeroize::Zeroizing;

use super::cbor::{self, Unknown, array, malformed, nullable, read_map};
use super::page::Reference;
use super::{BLOCK, FormatError};
use crate::crypto::keys::label;
use crate::crypto::{self, Hash, Signer, Transcript, Verifier};

/// Length of a record's block.
pub const RECORD: usize = BLOCK as usize;
/// A longer span is made durable before its record is written.
pub const DURABLE_ABOVE: u64 = 1 << 20;

/// The highest sequence number.
pub const MAX_SEQUENCE: u64 = i64::MAX as u64;

/// The first bytes of a record's block.
pub const MAGIC: &[u8; 8] = b"VLTCMT1\n";
const BODY: usize = 1024;
const SEALED: usize = BODY + crypto::OVERHEAD;
const SIGNED: usize = RECORD - 64;

/// What a commit record says.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Epoch of the file.
    pub epoch: u64,
    /// Counts commits through the life of the vault.
    pub sequence: u64,
    /// Position of the record's block.
    pub offset: u64,
    /// Hash of the header.
    pub header_hash: Hash,
    /// Root of the tree; `None` for an empty one.
    pub root: Option<Reference>,
    /// Level of the root.
    pub level: u8,
    /// Position of the previous record in this file.
    pub previous_offset: Option<u64>,
    /// Hash of the previous record's block.
    pub previous_hash: Option<Hash>,
    /// Hash of a merged-in record.
    pub merged: Option<Hash>,
    /// Where the commit's bytes begin.
    pub span_start: u64,
    /// Hash of the commit's bytes before the record.
    pub span_hash: Hash,
    /// Whether the span was durable before the record was written.
    pub durable: bool,
    /// Bytes of pages that the root reaches.
    pub live: u64,
    /// Number of entries.
    pub entries: u64,
    /// When, by the writer's clock, in milliseconds.
    pub time: u64,
    unknown: Unknown,
}

/// What binds records to a vault and a file.
pub struct RecordContext<'a> {
    /// The vault's id.
    pub id: &'a [u8; 16],
    /// The file's epoch.
    pub epoch: u64,
    /// Seals record bodies.
    pub key: &'a [u8; 32],
    /// Where the commits begin.
    pub header_length: u64,
}

impl RecordContext<'_> {
    fn aad(&self, offset: u64) -> Transcript {
        Transcript::new(label::RECORD).bytes(self.id).u64(self.epoch).u64(offset)
    }

    fn message(&self, offset: u64, block: &[u8]) -> Transcript {
        Transcript::new(label::COMMIT_SIGNATURE).bytes(self.id).u64(offset).bytes(block)
    }

    /// The block of a record.
    pub fn encode(&self, record: &Record, signer: &Signer) -> Result<Vec<u8>, FormatError> {
        let map = record.encode();
        let mut body = Zeroizing::new(Vec::with_capacity(BODY));
        body.extend_from_slice(&(map.len() as u16).to_le_bytes());
        body.extend_from_slice(&map);
        if body.len() > BODY {
            return Err(FormatError::TooLarge("a commit record does not fit its block"));
        }
        body.resize(BODY, 0);
        let mut block = Vec::with_capacity(RECORD);
        block.extend_from_slice(MAGIC);
        crypto::seal_into(self.key, self.aad(record.offset).as_bytes(), &body, &mut block)?;
        block.resize(SIGNED, 0);
        let signature = signer.sign(&self.message(record.offset, &block));
        block.extend_from_slice(&signature);
        Ok(block)
    }

    /// Reads the block at `offset`: signature first, so that nothing of an unsigned block is looked at.
    pub fn decode(&self, block: &[u8], offset: u64, verifier: &Verifier) -> Result<Record, FormatError> {
        let (signed, signature) = block.split_at_checked(SIGNED).ok_or_else(malformed)?;
        let signature: &[u8; 64] = signature.try_into().map_err(|_| malformed())?;
        if !signed.starts_with(MAGIC) {
            return Err(FormatError::Malformed("a commit record does not begin as one"));
        }
        verifier.verify(&self.message(offset, signed), signature).map_err(|_| FormatError::NotAuthentic("a commit record"))?;
        self.open(signed, offset)
    }

    /// Reads a block that is authentic for another reason: its hash stands in a record that was verified.
    pub fn decode_hashed(&self, block: &[u8], offset: u64, hash: &Hash) -> Result<Record, FormatError> {
        if block.len() != RECORD || Hash::of(block) != *hash {
            return Err(FormatError::NotAuthentic("a commit record"));
        }
        self.open(&block[..SIGNED], offset)
    }

    fn open(&self, signed: &[u8], offset: u64) -> Result<Record, FormatError> {
        let (sealed, zeros) = signed[MAGIC.len()..].split_at(SEALED);
        if zeros.iter().any(|&byte| byte != 0) {
            return Err(FormatError::Malformed("a commit record is not zero where it must be"));
        }
        let body = crypto::open(self.key, self.aad(offset).as_bytes(), sealed)
            .map_err(|_| FormatError::NotAuthentic("a commit record"))?;
        let length = usize::from(u16::from_le_bytes([body[0], body[1]]));
        let map = body.get(2..2 + length).ok_or_else(malformed)?;
        if body[2 + length..].iter().any(|&byte| byte != 0) {
            return Err(malformed());
        }
        let record = cbor::decode(map, Record::read, Record::encode)?;
        record.check(self.epoch, offset, self.header_length)?;
        Ok(record)
    }
}

impl Record {
    /// Bytes of the file behind the header that the root does not reach: superseded pages, padding, records.
    pub fn dead(&self, header_length: u64) -> u64 {
        (self.offset + BLOCK).saturating_sub(header_length).saturating_sub(self.live)
    }

    /// The sequence number of a commit behind this one.
    pub fn next_sequence(&self) -> Result<u64, FormatError> {
        Self::following(self.sequence)
    }

    /// The sequence number behind another one.
    pub fn following(sequence: u64) -> Result<u64, FormatError> {
        let next = sequence.checked_add(1).filter(|next| *next <= MAX_SEQUENCE);
        next.ok_or(FormatError::TooLarge("no sequence number is left"))
    }

    /// A record of a commit; the caller fills in what it holds.
    pub fn new(epoch: u64, sequence: u64, header_hash: Hash, span_start: u64) -> Self {
        Self {
            epoch,
            sequence,
            offset: 0,
            header_hash,
            root: None,
            level: 0,
            previous_offset: None,
            previous_hash: None,
            merged: None,
            span_start,
            span_hash: Hash([0; 32]),
            durable: false,
            live: 0,
            entries: 0,
            time: 0,
            unknown: Unknown::default(),
        }
    }

    /// What must hold of any record at this place, before any of its numbers is used.
    fn check(&self, epoch: u64, offset: u64, header_length: u64) -> Result<(), FormatError> {
        let root_fits = self.root.is_none_or(|root| {
            root.offset >= header_length && root.offset.checked_add(u64::from(root.length)).is_some_and(|end| end <= offset)
        });
        let holds = self.epoch == epoch
            && self.offset == offset
            && (1..=MAX_SEQUENCE).contains(&self.sequence)
            && self
                .previous_offset
                .is_none_or(|previous| previous.is_multiple_of(BLOCK) && previous >= header_length && previous < offset)
            && self.span_start == self.previous_offset.map_or(header_length, |previous| previous + BLOCK)
            && self.span_start <= offset
            && self.live <= offset - header_length
            && self.previous_hash.is_none() == (self.sequence == 1)
            && (self.sequence > 1 || self.previous_offset.is_none())
            && self.level <= super::page::MAX_LEVEL
            && (self.root.is_some() || self.level == 0)
            && self.durable == (offset - self.span_start > DURABLE_ABOVE)
            && root_fits;
        if holds { Ok(()) } else { Err(FormatError::Malformed("a commit record does not fit its place")) }
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        fn hash(e: &mut cbor::Writer<'_>, value: Option<&Hash>) -> cbor::Written {
            match value {
                Some(hash) => e.bytes(&hash.0)?,
                None => e.null()?,
            };
            Ok(())
        }
        cbor::encode(512, |e| {
            e.map(15 + self.unknown.count())?;
            e.u8(0)?.u64(self.epoch)?.u8(1)?.u64(self.sequence)?.u8(2)?.u64(self.offset)?.u8(3)?;
            hash(e, Some(&self.header_hash))?;
            e.u8(4)?;
            match &self.root {
                Some(root) => e.bytes(&root.encode())?,
                None => e.null()?,
            };
            e.u8(5)?.u8(self.level)?.u8(6)?;
            match self.previous_offset {
                Some(offset) => e.u64(offset)?,
                None => e.null()?,
            };
            e.u8(7)?;
            hash(e, self.previous_hash.as_ref())?;
            e.u8(8)?;
            hash(e, self.merged.as_ref())?;
            e.u8(9)?.u64(self.span_start)?.u8(10)?;
            hash(e, Some(&self.span_hash))?;
            e.u8(11)?.bool(self.durable)?.u8(12)?.u64(self.live)?;
            e.u8(13)?.u64(self.entries)?.u8(14)?.u64(self.time)?;
            e.writer_mut().extend_from_slice(self.unknown.bytes());
            Ok(())
        })
    }

    fn read(d: &mut minicbor::Decoder<'_>) -> Result<Self, FormatError> {
        let mut record = Self::new(0, 0, Hash([0; 32]), 0);
        let mut seen = 0u32;
        let unknown = read_map(d, |field, d| {
            let hash = |d: &mut minicbor::Decoder<'_>| array(d).map(Hash);
            match field {
                0 => record.epoch = d.u64()?,
                1 => record.sequence = d.u64()?,
                2 => record.offset = d.u64()?,
                3 => record.header_hash = hash(d)?,
                4 => record.root = nullable(d, |d| Ok(Reference::decode(&array(d)?)))?,
                5 => record.level = d.u8()?,
                6 => record.previous_offset = nullable(d, |d| Ok(d.u64()?))?,
                7 => record.previous_hash = nullable(d, hash)?,
                8 => record.merged = nullable(d, hash)?,
                9 => record.span_start = d.u64()?,
                10 => record.span_hash = hash(d)?,
                11 => record.durable = d.bool()?,
                12 => record.live = d.u64()?,
                13 => record.entries = d.u64()?,
                14 => record.time = d.u64()?,
                _ => return Ok(false),
            }
            seen |= 1 << field;
            Ok(true)
        })?;
        record.unknown = unknown;
        if seen == 0x7fff { Ok(record) } else { Err(malformed()) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_commit_has_none_before_it_and_every_other_has_one() {
        let holds = |sequence, previous: bool, in_this_file: bool| {
            let mut record = Record::new(1, sequence, Hash([0; 32]), 4096);
            record.offset = 40_960;
            record.previous_hash = previous.then_some(Hash([1; 32]));
            if in_this_file {
                (record.previous_offset, record.span_start) = (Some(8192), 12_288);
            }
            record.check(1, 40_960, 4096).is_ok()
        };
        assert!(holds(1, false, false) && holds(2, true, true) && holds(2, true, false));
        assert!(!holds(1, true, false) && !holds(1, true, true) && !holds(1, false, true) && !holds(2, false, false));
    }
}
