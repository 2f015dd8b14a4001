//! Frames: one record each, sealed and chained (FORMAT.md, sections 2 and 3). Bytes in, bytes out.

use zeroize::Zeroizing;

use super::AuditError;
use crate::crypto::keys::{audit_mark, label};
use crate::crypto::{self, Hash, OVERHEAD, Seals};
use crate::format::cbor::{self, array, malformed, read_map};
use crate::format::header::{hex, unhex};
use crate::format::{FormatError, padding};
use crate::secret::AuditKey;
use crate::vault::AuditSource;

/// The hash of a record.
pub type RecordHash = [u8; 32];

/// Length of the first line.
pub const LINE: usize = 80;
/// What stands before the body: length, sequence, key mark.
pub const HEAD: usize = 20;
/// What stands behind it: hash, length.
pub const TAIL: usize = 36;
/// The longest frame.
pub const MOST: usize = 16 * 1024;
/// The shortest: a padded body in the clear.
pub const LEAST: usize = HEAD + 32 + TAIL;

const MAGIC: &str = "VAULT-AUDIT 1 ";

/// The mark of what stands in the clear.
const CLEAR: [u8; 8] = [0; 8];

/// The first line.
pub fn line(id: &[u8; 16], log: &[u8; 16]) -> String {
    format!("{MAGIC}{} {}\n", hex(id), hex(log))
}

/// What the first line says.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A log of this vault, with this id.
    Own([u8; 16]),
    /// A log of another vault.
    Other,
    /// A log of a later version.
    Newer,
    /// The beginning of a line, or zeros: what is left of a file that was being made.
    Torn,
    /// Something else.
    Foreign,
}

impl Line {
    /// Reads the first bytes of a file.
    pub fn parse(bytes: &[u8], id: &[u8; 16]) -> Self {
        let start = &bytes[..bytes.len().min(LINE)];
        let magic = &start[..start.len().min(MAGIC.len())];
        if start.iter().all(|byte| *byte == 0) || (start.len() < LINE && MAGIC.as_bytes().starts_with(magic)) {
            return Self::Torn;
        }
        if magic != MAGIC.as_bytes() {
            return if start.starts_with(b"VAULT-AUDIT ") { Self::Newer } else { Self::Foreign };
        }
        let digits = |from: usize| unhex::<16>(std::str::from_utf8(&start[from..from + 32]).ok()?).ok();
        let (vault, log) = (digits(MAGIC.len()), digits(MAGIC.len() + 33));
        match (vault, log, start[MAGIC.len() + 32], start[LINE - 1]) {
            (Some(vault), Some(log), b' ', b'\n') if vault == *id => Self::Own(log),
            (Some(_), Some(_), b' ', b'\n') => Self::Other,
            _ => Self::Foreign,
        }
    }
}

/// Keys that open records, by their marks.
pub struct Keys {
    id: [u8; 16],
    keys: Vec<([u8; 8], AuditKey)>,
    complete: bool,
}

impl Keys {
    /// The key of the vault as it is now.
    pub fn new(source: AuditSource) -> Self {
        let mark = audit_mark(&source.key, &source.id);
        Self { id: source.id, keys: vec![(mark, source.key)], complete: false }
    }

    /// With all that went before: a record under a key that is none of them is none of this vault.
    pub fn with_older(mut self, older: Vec<AuditKey>) -> Self {
        self.keys.extend(older.into_iter().map(|key| (audit_mark(&key, &self.id), key)));
        self.complete = true;
        self
    }

    /// The vault.
    pub fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// Whether there is no other key.
    pub fn are_complete(&self) -> bool {
        self.complete
    }

    /// The one that seals what is written now.
    pub fn newest(&self) -> Sealing<'_> {
        let (mark, key) = self.keys.first().expect("there is the present key");
        Sealing { mark: *mark, key }
    }

    /// That key alone.
    pub fn newest_key(&self) -> &AuditKey {
        self.newest().key
    }

    /// Whether that one sealed a frame, as far as the frame says.
    pub fn is_newest(&self, frame: Frame<'_>) -> bool {
        frame.mark() == self.newest().mark
    }

    fn find(&self, mark: &[u8]) -> Option<&AuditKey> {
        self.keys.iter().find(|(other, _)| other == mark).map(|(_, key)| key)
    }
}

/// A key with its mark.
#[derive(Clone, Copy)]
pub struct Sealing<'a> {
    mark: [u8; 8],
    key: &'a AuditKey,
}

/// What binds the records of one log to each other. It keeps its buffers, so that nothing is allocated for each record.
pub struct Chain {
    id: [u8; 16],
    log: [u8; 16],
    hashed: Vec<u8>,
    aad: Vec<u8>,
    prefix: usize,
    opened: Zeroizing<Vec<u8>>,
    seals: Seals,
}

/// Appends `lp(part)`, as a transcript does (SPEC, section 1).
fn push(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&(part.len() as u64).to_le_bytes());
    out.extend_from_slice(part);
}

impl Chain {
    /// Of the log `log` of the vault `id`.
    pub fn new(id: &[u8; 16], log: &[u8; 16]) -> Self {
        let mut chain = Self {
            id: *id,
            log: *log,
            hashed: Vec::with_capacity(1024),
            aad: Vec::with_capacity(160),
            prefix: 0,
            opened: Zeroizing::new(Vec::with_capacity(1024)),
            seals: Seals::default(),
        };
        for part in [label::AUDIT_CHAIN.as_bytes(), id, log] {
            push(&mut chain.hashed, part);
        }
        chain.prefix = chain.hashed.len();
        chain
    }

    /// About so many records are to be written.
    pub fn expect(&mut self, records: usize) {
        self.seals.expect(records);
    }

    /// The log.
    pub fn log(&self) -> &[u8; 16] {
        &self.log
    }

    /// What stands in the place of a record before the first.
    pub fn start(&self) -> RecordHash {
        let mut bytes = Vec::with_capacity(80);
        for part in [label::AUDIT_START.as_bytes(), &self.id, &self.log] {
            push(&mut bytes, part);
        }
        Hash::of(&bytes).0
    }

    /// The hash of a record: over all of it that stands before the hash, and over the hash before.
    pub fn hash(&mut self, previous: &RecordHash, bytes: &[u8]) -> RecordHash {
        self.hashed.truncate(self.prefix);
        push(&mut self.hashed, previous);
        push(&mut self.hashed, bytes);
        Hash::of(&self.hashed).0
    }

    fn aad(&mut self, label: &str, sequence: u64, previous: &RecordHash) {
        self.aad.clear();
        for part in [label.as_bytes(), &self.id, &self.log, &sequence.to_le_bytes(), previous] {
            push(&mut self.aad, part);
        }
    }

    /// Appends a record to `out`, and gives its hash. Without a key it stands in the clear.
    pub fn write(
        &mut self,
        sealing: Option<Sealing<'_>>,
        sequence: u64,
        previous: &RecordHash,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<RecordHash, AuditError> {
        let start = out.len();
        self.write_body(label::AUDIT_RECORD, sealing, sequence, previous, body, out)?;
        let hash = self.hash(previous, &out[start..]);
        self.finish(start, &hash, out);
        Ok(hash)
    }

    /// Appends a base to `out`: it stands for all records up to `base.sequence`, and carries the hash of the last of them.
    pub fn write_base(&mut self, sealing: Sealing<'_>, base: &Base, out: &mut Vec<u8>) -> Result<(), AuditError> {
        let start = out.len();
        self.write_body(label::AUDIT_BASE, Some(sealing), base.sequence, &base.hash, &base.encode(), out)?;
        self.finish(start, &base.hash, out);
        Ok(())
    }

    fn write_body(
        &mut self,
        label: &str,
        sealing: Option<Sealing<'_>>,
        sequence: u64,
        previous: &RecordHash,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), AuditError> {
        let padded = padding::pad(body);
        let length = HEAD + padded.len() + TAIL + if sealing.is_some() { OVERHEAD } else { 0 };
        let length = u32::try_from(length).ok().filter(|length| *length as usize <= MOST).ok_or(AuditError::TooLarge)?;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&sequence.to_le_bytes());
        match sealing {
            Some(Sealing { mark, key }) => {
                out.extend_from_slice(&mark);
                self.aad(label, sequence, previous);
                self.seals.seal_into(key.expose(), &self.aad, &padded, out)?;
            }
            None => {
                out.extend_from_slice(&CLEAR);
                out.extend_from_slice(&padded);
            }
        }
        Ok(())
    }

    fn finish(&self, start: usize, hash: &RecordHash, out: &mut Vec<u8>) {
        out.extend_from_slice(hash);
        let length: [u8; 4] = [out[start], out[start + 1], out[start + 2], out[start + 3]];
        out.extend_from_slice(&length);
    }

    /// Whether a frame's hash is that of its bytes behind this predecessor.
    pub fn holds(&mut self, frame: Frame<'_>, previous: &RecordHash) -> bool {
        self.hash(previous, frame.hashed()) == frame.hash()
    }

    /// The body of a record, opened if it is sealed.
    pub fn open(&mut self, frame: Frame<'_>, previous: &RecordHash, keys: &Keys) -> Result<&[u8], Closed> {
        if frame.is_clear() {
            self.opened.clear();
            self.opened.extend_from_slice(frame.body());
            return padding::unpad(&self.opened).map_err(|_| Closed::NotAuthentic);
        }
        self.open_as(label::AUDIT_RECORD, frame, previous, keys)
    }

    /// What a base says, and whether the frame around it says the same.
    pub fn open_base(&mut self, frame: Frame<'_>, keys: &Keys) -> Result<Base, Closed> {
        let (sequence, hash) = (frame.sequence(), frame.hash());
        let base = Base::decode(self.open_as(label::AUDIT_BASE, frame, &hash, keys)?).map_err(|_| Closed::NotAuthentic)?;
        if base.sequence == sequence && base.hash == hash { Ok(base) } else { Err(Closed::NotAuthentic) }
    }

    fn open_as(&mut self, label: &str, frame: Frame<'_>, previous: &RecordHash, keys: &Keys) -> Result<&[u8], Closed> {
        let key = keys.find(frame.mark()).ok_or(Closed::OtherKey)?;
        self.aad(label, frame.sequence(), previous);
        self.opened.clear();
        self.opened.extend_from_slice(frame.body());
        let padded = crypto::open_in_place(key.expose(), &self.aad, &mut self.opened).map_err(|_| Closed::NotAuthentic)?;
        padding::unpad(padded).map_err(|_| Closed::NotAuthentic)
    }
}

/// Why a record was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It is sealed by a key that is not at hand.
    OtherKey,
    /// It was altered, or belongs elsewhere.
    NotAuthentic,
}

/// One frame whose length fits; nothing else of it was verified.
#[derive(Clone, Copy)]
pub struct Frame<'a>(&'a [u8]);

impl<'a> Frame<'a> {
    /// The frame at the beginning of `bytes`.
    pub fn first(bytes: &'a [u8]) -> Option<Self> {
        let length = length(bytes.first_chunk()?)?;
        let bytes = bytes.get(..length)?;
        (bytes[..4] == bytes[length - 4..]).then_some(Self(bytes)).filter(|frame| frame.is_clear() || length >= LEAST + OVERHEAD)
    }

    /// The frame at the end of `bytes`.
    pub fn last(bytes: &'a [u8]) -> Option<Self> {
        let length = length(bytes.last_chunk()?)?;
        Self::first(bytes.get(bytes.len().checked_sub(length)?..)?)
    }

    /// Its length.
    pub fn length(self) -> usize {
        self.0.len()
    }

    /// The number of the record.
    pub fn sequence(self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[4..12]);
        u64::from_le_bytes(bytes)
    }

    /// Whether it stands in the clear.
    pub fn is_clear(self) -> bool {
        self.mark() == CLEAR
    }

    /// The hash that it states.
    pub fn hash(self) -> RecordHash {
        hash_before(self.0)
    }

    fn mark(self) -> &'a [u8] {
        &self.0[12..HEAD]
    }

    fn body(self) -> &'a [u8] {
        &self.0[HEAD..self.0.len() - TAIL]
    }

    fn hashed(self) -> &'a [u8] {
        &self.0[..self.0.len() - TAIL]
    }
}

/// The hash that the last frame of `bytes` states; there are enough of them.
pub fn hash_before(bytes: &[u8]) -> RecordHash {
    let mut hash = [0; 32];
    hash.copy_from_slice(&bytes[bytes.len() - TAIL..bytes.len() - 4]);
    hash
}

fn length(bytes: &[u8; 4]) -> Option<usize> {
    let length = u32::from_le_bytes(*bytes) as usize;
    (LEAST..=MOST).contains(&length).then_some(length)
}

/// What stands at the beginning of a log, for all that does not stand in it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// When it was written, in milliseconds.
    pub time: u64,
    /// The number of the last record before those of the file; 0 in a new log.
    pub sequence: u64,
    /// The hash of that record.
    pub hash: RecordHash,
}

impl Base {
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        cbor::encode(64, |e| {
            e.map(3)?.u8(0)?.u64(self.time)?.u8(1)?.u64(self.sequence)?.u8(2)?.bytes(&self.hash)?;
            Ok(())
        })
    }

    fn decode(body: &[u8]) -> Result<Self, FormatError> {
        let mut decoder = minicbor::Decoder::new(body);
        let (mut time, mut sequence, mut hash) = (None, None, None);
        read_map(&mut decoder, |field, d| {
            match field {
                0 => time = Some(d.u64()?),
                1 => sequence = Some(d.u64()?),
                2 => hash = Some(array(d)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        match (time, sequence, hash, decoder.position() == body.len()) {
            (Some(time), Some(sequence), Some(hash), true) => Ok(Self { time, sequence, hash }),
            _ => Err(malformed()),
        }
    }
}
