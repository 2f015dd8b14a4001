//! What a log says about each entry and in all, without reading it from its beginning each time: a cache, sealed as the log is (FORMAT.md, section 8).

use std::collections::{BTreeMap, HashMap};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::AuditError;
use super::action::{Action, Class, Status};
use super::body::Record;
use super::frame::RecordHash;
use super::reader::{Item, Reader};
use crate::crypto::keys::label;
use crate::crypto::{self, NONCE, OVERHEAD, Transcript};
use crate::format::FormatError;
use crate::format::cbor::{self, array, array_len, malformed, read_map};
use crate::store::Walk;
use crate::store::file::storage::FLAGS;

const MAGIC: &[u8] = b"VAULT-AUDIT-SUMMARY 3\n";
/// A block, as it stands in the file.
const BLOCK: usize = 4096;
/// The longest head.
const MOST_HEAD: usize = 1 << 20;
const ROW: usize = 80;
const ROWS: usize = (BLOCK - OVERHEAD) / ROW;
/// With so many records behind it, a summary is made anew.
const TAIL: u64 = 4096;

/// What the log says about one entry.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What stays the same whatever the entry is called.
    pub uid: [u8; 16],
    /// How often a value of it left the vault.
    pub reads: u64,
    /// How often it was changed.
    pub writes: u64,
    /// How often something was refused.
    pub refusals: u64,
    /// When a value last left, in milliseconds; 0 for never.
    pub last_read: u64,
    /// Where the record of that begins.
    pub last_read_at: u64,
    /// When it was last changed; 0 for never.
    pub last_write: u64,
    /// When it last got another value on purpose; 0 for never.
    pub last_rotation: u64,
}

impl Row {
    fn numbers(&self) -> [u64; 7] {
        [self.reads, self.writes, self.refusals, self.last_read, self.last_read_at, self.last_write, self.last_rotation]
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.uid);
        self.numbers().iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        out.extend_from_slice(&[0; 8]);
    }

    fn decode(bytes: &[u8]) -> Self {
        let number = |index: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[16 + 8 * index..24 + 8 * index]);
            u64::from_le_bytes(number)
        };
        let mut uid = [0; 16];
        uid.copy_from_slice(&bytes[..16]);
        Self {
            uid,
            reads: number(0),
            writes: number(1),
            refusals: number(2),
            last_read: number(3),
            last_read_at: number(4),
            last_write: number(5),
            last_rotation: number(6),
        }
    }

    /// Both together, where `later` is of records behind those of this one.
    fn and(&self, later: &Self) -> Self {
        let newest = |old: u64, new: u64| if new == 0 { old } else { new };
        Self {
            uid: self.uid,
            reads: self.reads + later.reads,
            writes: self.writes + later.writes,
            refusals: self.refusals + later.refusals,
            last_read: newest(self.last_read, later.last_read),
            last_read_at: newest(self.last_read_at, later.last_read_at),
            last_write: newest(self.last_write, later.last_write),
            last_rotation: newest(self.last_rotation, later.last_rotation),
        }
    }
}

/// How often what was done, how it ended, and through what the key came.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Totals {
    counts: BTreeMap<[String; 3], u64>,
    /// Records that do not open with the keys at hand.
    pub unread: u64,
    /// The time of the first record; 0 without one.
    pub first: u64,
}

impl Totals {
    /// How often an action ended so.
    pub fn of(&self, action: Action, status: Status) -> u64 {
        self.sum(|counted| counted.action == action.word() && counted.status == status.word())
    }

    /// How often there was what fits.
    pub fn sum(&self, fits: impl Fn(&Counted<'_>) -> bool) -> u64 {
        self.all().filter(fits).map(|counted| counted.count).sum()
    }

    /// All counts.
    pub fn all(&self) -> impl Iterator<Item = Counted<'_>> {
        self.counts.iter().map(|([action, status, source], count)| Counted { action, status, source, count: *count })
    }

    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.counts.values().sum::<u64>() + self.unread
    }

    fn count(&mut self, record: &Record<'_>) {
        // A map of owned words is asked without making one; there are some dozens.
        let same = |words: &[String; 3]| words[0] == record.action && words[1] == record.status && words[2] == record.source;
        match self.counts.iter_mut().find(|(words, _)| same(words)) {
            Some((_, count)) => *count += 1,
            None => {
                let words = [&record.action, &record.status, &record.source].map(ToString::to_string);
                self.counts.insert(words, 1);
            }
        }
        if self.first == 0 {
            self.first = record.time;
        }
    }
}

/// One of the counts of [`Totals`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted<'a> {
    /// What was done.
    pub action: &'a str,
    /// How it ended.
    pub status: &'a str,
    /// Through what the key came.
    pub source: &'a str,
    /// How often.
    pub count: u64,
}

/// What a summary covers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    log: [u8; 16],
    sequence: u64,
    hash: RecordHash,
    /// Behind the last record that it covers.
    offset: u64,
    rows: u64,
    totals: Totals,
    /// Where the first record begins, behind the base. That a log was pruned shows by what ends at `offset`.
    first: u64,
    /// How many records that it covers are sealed by other keys than the present one.
    older: u64,
}

/// What a log says in all.
pub struct Summary {
    reader: Reader,
    cache: Option<PathBuf>,
    content: Content,
}

/// What was counted.
struct Content {
    /// The blocks of the cache, and what is needed to open them.
    blocks: Option<Blocks>,
    /// What stands in the log behind what the cache covers.
    tail: HashMap<[u8; 16], Row>,
    totals: Totals,
}

struct Blocks {
    file: File,
    start: u64,
    rows: u64,
    nonce: [u8; NONCE],
}

impl Summary {
    /// From the cache at `cache`, if it is of this log, and what the log has behind it; a cache that is far behind or damaged is made anew.
    ///
    /// # Errors
    /// If the log cannot be read. A cache that cannot be read or written is no error.
    pub fn load_or_build(mut reader: Reader, cache: Option<&Path>) -> Result<Self, AuditError> {
        let known = cache.and_then(|cache| load(cache, &reader));
        let content = Content::build(&mut reader, cache, known)?;
        Ok(Self { reader, cache: cache.map(Path::to_owned), content })
    }

    /// What the log says about an entry; `None` if nothing.
    pub fn row(&mut self, uid: &[u8; 16]) -> Result<Option<Row>, AuditError> {
        self.ask(|content, reader| content.row(reader, uid))
    }

    /// What it says about every entry that it knows, ascending by uid.
    pub fn rows(&mut self) -> Result<Vec<Row>, AuditError> {
        self.ask(Content::rows)
    }

    /// How often what was done.
    pub fn totals(&self) -> &Totals {
        &self.content.totals
    }

    /// The record of the last read of an entry: who, and for what.
    pub fn last_read(&mut self, row: &Row) -> Result<Option<Record<'static>>, AuditError> {
        if row.last_read_at == 0 {
            return Ok(None);
        }
        let found = self.reader.at(row.last_read_at)?;
        Ok(found.map(|(_, record)| record).filter(|record| record.uid == Some(row.uid)))
    }

    /// Asks what was counted; where the cache turns out to be damaged, once more of what the log itself says.
    fn ask<T>(&mut self, question: impl Fn(&Content, &Reader) -> Result<T, AuditError>) -> Result<T, AuditError> {
        match question(&self.content, &self.reader) {
            Err(_) if self.content.blocks.is_some() => {
                self.content = Content::anew(&mut self.reader, self.cache.as_deref())?;
                question(&self.content, &self.reader)
            }
            answer => answer,
        }
    }
}

impl Content {
    fn build(reader: &mut Reader, cache: Option<&Path>, known: Option<(Blocks, Head)>) -> Result<Self, AuditError> {
        let (blocks, mut head) = match known {
            Some((blocks, head)) => (Some(blocks), head),
            None => (None, Head::empty(reader)),
        };
        let mut content = Self { blocks, tail: HashMap::new(), totals: head.totals.clone() };
        let mut count = 0_u64;
        head.offset = reader.forward_from(head.offset, &mut |item| {
            count += 1;
            head.sequence = item.sequence;
            head.older += u64::from(item.older);
            fold(&mut content.totals, &mut content.tail, &item);
            Ok(Walk::Continue(()))
        })?;
        head.totals = content.totals.clone();
        if let Some(cache) = cache.filter(|_| count > TAIL && head.is_for(reader)) {
            let Ok(rows) = content.rows(reader) else { return Self::anew(reader, Some(cache)) };
            head.hash = reader.hash_before(head.offset)?;
            // The next one does this work once more.
            let _ = store(cache, reader, Head { rows: rows.len() as u64, ..head }, &rows);
        }
        Ok(content)
    }

    /// From the log alone, where the cache is damaged.
    fn anew(reader: &mut Reader, cache: Option<&Path>) -> Result<Self, AuditError> {
        if let Some(cache) = cache {
            // A short log puts no other one in its place.
            let _ = std::fs::remove_file(cache);
        }
        Self::build(reader, cache, None)
    }

    fn row(&self, reader: &Reader, uid: &[u8; 16]) -> Result<Option<Row>, AuditError> {
        let known = match &self.blocks {
            Some(blocks) => blocks.find(reader, uid)?,
            None => None,
        };
        Ok(match (known, self.tail.get(uid)) {
            (Some(known), Some(later)) => Some(known.and(later)),
            (known, later) => known.or(later.copied()),
        })
    }

    fn rows(&self, reader: &Reader) -> Result<Vec<Row>, AuditError> {
        let mut rows: BTreeMap<[u8; 16], Row> = BTreeMap::new();
        if let Some(blocks) = &self.blocks {
            for number in 0..blocks.count() {
                rows.extend(blocks.block(reader, number)?.into_iter().map(|row| (row.uid, row)));
            }
        }
        for (uid, later) in &self.tail {
            rows.entry(*uid).and_modify(|row| *row = row.and(later)).or_insert(*later);
        }
        Ok(rows.into_values().collect())
    }
}

/// Writes the cache.
fn store(cache: &Path, reader: &Reader, head: Head, rows: &[Row]) -> Result<(), AuditError> {
    let failed = || AuditError::io("write the summary of the audit log");
    let (id, key) = (*reader.keys().id(), reader.keys().newest_key());
    let sealed = crypto::seal(key.expose(), head_aad(&id).as_bytes(), &head.encode())?;
    let mut nonce = [0; NONCE];
    nonce.copy_from_slice(&sealed[..NONCE]);
    let mut bytes = Vec::with_capacity(MAGIC.len() + 4 + sealed.len() + rows.len().div_ceil(ROWS) * BLOCK);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&u32::try_from(sealed.len()).map_err(|_| AuditError::TooLarge)?.to_le_bytes());
    bytes.extend_from_slice(&sealed);
    let mut block = Vec::with_capacity(BLOCK);
    for (number, rows) in rows.chunks(ROWS).enumerate() {
        block.clear();
        rows.iter().for_each(|row| row.encode(&mut block));
        block.resize(BLOCK - OVERHEAD, 0);
        crypto::seal_into(key.expose(), block_aad(&id, &nonce, number as u64).as_bytes(), &block, &mut bytes)?;
    }
    let directory = cache.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed())?;
    let random: [u8; 8] = crypto::random()?;
    let temporary = directory.join(format!(".{:016x}.new", u64::from_le_bytes(random)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(failed())?;
    // Whole before it has its name: a power cut is to leave the one before.
    let written = file.write_all(&bytes).and_then(|()| file.sync_data()).and_then(|()| std::fs::rename(&temporary, cache));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(failed())
}

/// Counts one record.
fn fold(totals: &mut Totals, rows: &mut HashMap<[u8; 16], Row>, item: &Item<'_>) {
    let Some(record) = &item.record else {
        totals.unread += 1;
        return;
    };
    if item.clear {
        // Everybody who can write to the file can have put it there: of these only a key that was refused counts, and for no entry.
        if record.action == Action::Unlock.word() && record.status != Status::Ok.word() {
            totals.count(record);
        }
        return;
    }
    totals.count(record);
    let Some(uid) = record.uid else { return };
    let class = Action::parse(&record.action).map(Action::class);
    let row = rows.entry(uid).or_insert_with(|| Row { uid, ..Row::default() });
    match class {
        _ if record.status != Status::Ok.word() => row.refusals += 1,
        Some(Class::Read) => {
            row.reads += 1;
            (row.last_read, row.last_read_at) = (record.time, item.offset);
        }
        Some(Class::Write | Class::Rotate) => {
            row.writes += 1;
            row.last_write = record.time;
            if class == Some(Class::Rotate) {
                row.last_rotation = record.time;
            }
        }
        _ => {}
    }
}

fn head_aad(id: &[u8; 16]) -> Transcript {
    Transcript::new(label::AUDIT_SUMMARY).bytes(id).bytes(b"head")
}

fn block_aad(id: &[u8; 16], nonce: &[u8; NONCE], number: u64) -> Transcript {
    Transcript::new(label::AUDIT_SUMMARY).bytes(id).bytes(nonce).u64(number)
}

/// The cache at a path, if it is of this log as it is now.
fn load(cache: &Path, reader: &Reader) -> Option<(Blocks, Head)> {
    let file = OpenOptions::new().read(true).custom_flags(FLAGS).open(cache).ok()?;
    let mut start = [0; MAGIC.len() + 4];
    file.read_exact_at(&mut start, 0).ok()?;
    let length = u32::from_le_bytes(*start.last_chunk()?) as usize;
    if !start.starts_with(MAGIC) || !(OVERHEAD..=MOST_HEAD).contains(&length) {
        return None;
    }
    let mut sealed = vec![0; length];
    file.read_exact_at(&mut sealed, start.len() as u64).ok()?;
    let mut nonce = [0; NONCE];
    nonce.copy_from_slice(&sealed[..NONCE]);
    let keys = reader.keys();
    let head = crypto::open(keys.newest_key().expose(), head_aad(keys.id()).as_bytes(), &sealed).ok()?;
    let head = Head::decode(&head).ok()?;
    let same = head.log == reader.log()
        && head.first == reader.first()
        && head.is_for(reader)
        && (head.offset == head.first || reader.ends_at(head.offset, head.sequence, &head.hash));
    let start = (start.len() + length) as u64;
    let blocks = Blocks { file, start, rows: head.rows, nonce };
    let whole = blocks.count().checked_mul(BLOCK as u64).and_then(|length| length.checked_add(start));
    let is_whole = blocks.file.metadata().is_ok_and(|metadata| Some(metadata.len()) == whole);
    (same && is_whole).then_some((blocks, head))
}

impl Blocks {
    fn count(&self) -> u64 {
        self.rows.div_ceil(ROWS as u64)
    }

    /// The rows of a block.
    fn block(&self, reader: &Reader, number: u64) -> Result<Vec<Row>, AuditError> {
        let damaged = || AuditError::Foreign("the summary of the audit log is damaged");
        let mut bytes = vec![0; BLOCK];
        self.file.read_exact_at(&mut bytes, self.start + number * BLOCK as u64).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged(),
            _ => AuditError::io("read the summary of the audit log")(error),
        })?;
        let keys = reader.keys();
        let aad = block_aad(keys.id(), &self.nonce, number);
        let rows = crypto::open_in_place(keys.newest_key().expose(), aad.as_bytes(), &mut bytes).map_err(|_| damaged())?;
        let count = usize::try_from(self.rows - number * ROWS as u64).unwrap_or(ROWS).min(ROWS);
        Ok(rows.chunks_exact(ROW).take(count).map(Row::decode).collect())
    }

    /// One row, by halves.
    fn find(&self, reader: &Reader, uid: &[u8; 16]) -> Result<Option<Row>, AuditError> {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low + (high - low) / 2;
            let rows = self.block(reader, middle)?;
            match (rows.first(), rows.last()) {
                (Some(first), _) if uid < &first.uid => high = middle,
                (_, Some(last)) if uid > &last.uid => low = middle + 1,
                _ => return Ok(rows.into_iter().find(|row| row.uid == *uid)),
            }
        }
        Ok(None)
    }
}

impl Head {
    /// Before the first record.
    fn empty(reader: &Reader) -> Self {
        let (sequence, hash) = reader.base().map_or((0, [0; 32]), |base| (base.sequence, base.hash));
        let (log, first) = (reader.log(), reader.first());
        Self { log, sequence, hash, offset: first, rows: 0, totals: Totals::default(), first, older: 0 }
    }

    /// Whether this is what a reader would count: whoever has the present key alone reads less of a log that is older than it, and all keys of a user
    /// share one cache.
    fn is_for(&self, reader: &Reader) -> bool {
        reader.keys().are_complete() || (self.older == 0 && self.totals.unread == 0)
    }

    fn encode(&self) -> zeroize::Zeroizing<Vec<u8>> {
        cbor::encode(1024, |e| {
            e.map(10)?.u8(0)?.bytes(&self.log)?.u8(1)?.u64(self.sequence)?.u8(2)?.bytes(&self.hash)?;
            e.u8(3)?.u64(self.offset)?.u8(4)?.u64(self.rows)?.u8(5)?.array(self.totals.counts.len() as u64)?;
            for Counted { action, status, source, count } in self.totals.all() {
                e.array(4)?.str(action)?.str(status)?.str(source)?.u64(count)?;
            }
            e.u8(6)?.u64(self.totals.unread)?.u8(7)?.u64(self.totals.first)?.u8(8)?.u64(self.first)?.u8(9)?.u64(self.older)?;
            Ok(())
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut decoder = minicbor::Decoder::new(bytes);
        let mut head =
            Self { log: [0; 16], sequence: 0, hash: [0; 32], offset: 0, rows: 0, totals: Totals::default(), first: 0, older: 0 };
        let mut fields = 0;
        read_map(&mut decoder, |field, d| {
            match field {
                0 => head.log = array(d)?,
                1 => head.sequence = d.u64()?,
                2 => head.hash = array(d)?,
                3 => head.offset = d.u64()?,
                4 => head.rows = d.u64()?,
                5 => {
                    for _ in 0..array_len(d)? {
                        if array_len(d)? != 4 {
                            return Err(malformed());
                        }
                        let words = [d.str()?.to_owned(), d.str()?.to_owned(), d.str()?.to_owned()];
                        head.totals.counts.insert(words, d.u64()?);
                    }
                }
                6 => head.totals.unread = d.u64()?,
                7 => head.totals.first = d.u64()?,
                8 => head.first = d.u64()?,
                9 => head.older = d.u64()?,
                _ => return Ok(false),
            }
            fields += 1;
            Ok(true)
        })?;
        if fields == 10 && decoder.position() == bytes.len() { Ok(head) } else { Err(malformed()) }
    }
}
