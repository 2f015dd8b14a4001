//! Files that break the rules behind seal, hash and signature: the tree of the sample is taken apart, changed as the input says, and sealed,
//! hashed and signed again.
//!
//! The input is a list of changes: one byte says which, the bytes behind it say where and how. Whatever they say is possible.

use std::sync::LazyLock;

use vault::crypto::keys::label;
use vault::crypto::{self, Hash, Transcript};
use vault::format::commit::Record;
use vault::format::page::{INLINE, Item, NodeBuilder, PageContext, Reference};
use vault::format::record::EntryRecord;
use vault::store::file::FileKeys;

use super::sample::{BLOCK, BYTES, SAMPLE, context};

/// More changes than these would only make a worse mess.
const CHANGES: usize = 24;
const PAGES: usize = 80;

/// What a key leads to.
#[derive(Clone)]
enum Target {
    Value(Vec<u8>),
    Page(usize),
    Anywhere(Reference),
}

#[derive(Clone)]
struct Entry {
    key: Vec<u8>,
    target: Target,
    /// What is done to the reference when it is known.
    bend: Option<(u8, u64)>,
}

#[derive(Clone)]
enum Body {
    Node { level: u8, entries: Vec<Entry> },
    Overflow(Vec<u8>),
}

#[derive(Clone)]
struct Page {
    body: Body,
    /// Changes of the plaintext: kind, place, bytes.
    edits: Vec<(u8, usize, Vec<u8>)>,
}

/// The tree of the sample's newest commit; children stand before their parents.
static TREE: LazyLock<Vec<Page>> = LazyLock::new(|| {
    let keys = SAMPLE.keys();
    let record = SAMPLE.records.last().expect("the sample has commits");
    let mut pages = Vec::new();
    take_apart(&keys, &record.root.expect("the sample is not empty"), record.level, &mut pages);
    pages
});

fn take_apart(keys: &FileKeys, at: &Reference, level: u8, pages: &mut Vec<Page>) -> usize {
    let pages_of = PageContext { id: &keys.id, epoch: SAMPLE.header.epoch(), key: keys.index.page() };
    let sealed = |at: &Reference| BYTES[at.offset as usize..at.offset as usize + at.length as usize].to_vec();
    let node = pages_of.open_node(at, level, sealed(at)).unwrap();
    let mut items = node.items();
    let mut entries = Vec::new();
    while let Some(item) = items.next_item().unwrap() {
        let target = match item {
            Item::Inline(value) => Target::Value(value.to_vec()),
            Item::Overflow(at) => {
                let body = Body::Overflow(pages_of.open_overflow(&at, sealed(&at)).unwrap());
                pages.push(Page { body, edits: Vec::new() });
                Target::Page(pages.len() - 1)
            }
            Item::Child(at) => Target::Page(take_apart(keys, &at, level - 1, pages)),
        };
        entries.push(Entry { key: items.key().to_vec(), target, bend: None });
    }
    pages.push(Page { body: Body::Node { level, entries }, edits: Vec::new() });
    pages.len() - 1
}

/// Reads choices from an input; behind its end everything is zero.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().map_or((0, self.0), |(first, rest)| (*first, rest));
        self.0 = rest;
        first
    }

    fn below(&mut self, count: usize) -> usize {
        let number = usize::from(self.byte()) << 8 | usize::from(self.byte());
        number % count.max(1)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes.to_vec()
    }

    /// A number that is likely to be at the edge of something.
    fn number(&mut self) -> u64 {
        let small = u64::from(self.byte());
        let edges: &[u64] = &[
            0,
            1,
            small,
            4095,
            4096,
            8192,
            65_536,
            65_537,
            33_554_432,
            33_554_433,
            u64::from(u32::MAX),
            1 << 32,
            i64::MAX as u64,
            1 << 63,
            u64::MAX - 4095,
            u64::MAX - small,
            u64::MAX,
        ];
        edges[usize::from(self.byte()) % edges.len()]
    }
}

/// A file made as the input says, and its newest record.
pub fn build(input: &[u8]) -> (Vec<u8>, Record) {
    let mut pages = TREE.clone();
    let mut root = pages.len() - 1;
    let mut level = None;
    let mut fields = Vec::new();
    let mut choices = Choices(input);
    for _ in 0..CHANGES {
        if choices.0.is_empty() {
            break;
        }
        match choices.byte() % 24 {
            17 => {
                let (field, number) = (choices.byte(), choices.number());
                fields.push((field, number));
            }
            18 => root = choices.below(pages.len()),
            19 => level = Some(choices.byte() % 18),
            20 if pages.len() < PAGES => {
                // One level more, above the root or beside it.
                let above = match &pages[root].body {
                    Body::Node { level, .. } => level.wrapping_add(1),
                    Body::Overflow(_) => 1,
                };
                let entry = Entry { key: choices.bytes(), target: Target::Page(root), bend: None };
                pages.push(Page { body: Body::Node { level: above, entries: vec![entry] }, edits: Vec::new() });
                root = pages.len() - 1;
            }
            21 if pages.len() < PAGES => {
                let length = [0, 1024, 1025, 3000, 70_000][choices.below(5)];
                pages.push(Page { body: Body::Overflow(vec![choices.byte(); length]), edits: Vec::new() });
            }
            22 if pages.len() < PAGES => pages.push(pages[choices.below(pages.len())].clone()),
            change => {
                let at = choices.below(pages.len());
                let count = pages.len();
                change_page(&mut pages[at], change, count, &mut choices);
            }
        }
    }
    let keys = SAMPLE.keys();
    let mut writer = Writer {
        pages: &pages,
        places: vec![None; pages.len()],
        file: BYTES[..SAMPLE.records[0].offset as usize + BLOCK].to_vec(),
        keys: &keys,
    };
    let at = writer.write(root);
    let own_level = match &pages[root].body {
        Body::Node { level, .. } => *level,
        Body::Overflow(_) => 0,
    };
    let first = &SAMPLE.records[0];
    let first_block = &BYTES[first.offset as usize..first.offset as usize + BLOCK];
    let mut file = writer.file;
    let live = writer.places.iter().flatten().map(|at| u64::from(at.length)).sum();
    file.resize(file.len().next_multiple_of(BLOCK), 0);
    let start = first.offset + BLOCK as u64;
    let mut record = Record::new(SAMPLE.header.epoch(), first.sequence + 1, SAMPLE.header.hash(), start);
    record.offset = file.len() as u64;
    record.root = Some(at);
    record.level = level.unwrap_or(own_level);
    record.previous_offset = Some(first.offset);
    record.previous_hash = Some(Hash::of(first_block));
    record.live = live;
    record.entries = SAMPLE.records.last().map_or(0, |record| record.entries);
    record.span_hash = Hash::of(&file[start as usize..]);
    for (field, number) in fields {
        change_field(&mut record, field, number);
    }
    let block = context(&keys, &SAMPLE.header).encode(&record, &SAMPLE.signer()).unwrap();
    file.extend_from_slice(&block);
    (file, record)
}

fn change_page(page: &mut Page, change: u8, pages: usize, choices: &mut Choices<'_>) {
    if change < 3 {
        let place = choices.below(usize::from(u16::MAX));
        page.edits.push((change, place, choices.bytes()));
        return;
    }
    match &mut page.body {
        Body::Overflow(content) => {
            let least = if change == 3 { 0 } else { INLINE + 1 };
            let length = least + choices.below(4096);
            content.resize(length, choices.byte());
        }
        Body::Node { entries, .. } => change_entries(entries, change, pages, choices),
    }
}

fn change_entries(entries: &mut Vec<Entry>, change: u8, pages: usize, choices: &mut Choices<'_>) {
    let at = choices.below(entries.len());
    let Some(entry) = entries.get_mut(at) else {
        entries.push(Entry { key: choices.bytes(), target: Target::Value(choices.bytes()), bend: None });
        return;
    };
    match change {
        3..=5 => entry.bend = Some((change, choices.number())),
        6 => entry.target = Target::Page(choices.below(pages)),
        7 => drop(entries.remove(at)),
        8 => {
            let again = entry.clone();
            entries.insert(at, again);
        }
        9 => {
            let other = choices.below(entries.len());
            entries.swap(at, other);
        }
        10 => edit(&mut entry.key, choices),
        11..=13 => match &mut entry.target {
            Target::Value(value) => edit(value, choices),
            target => *target = Target::Value(choices.bytes()),
        },
        14 => {
            let new = Entry { key: choices.bytes(), target: Target::Value(choices.bytes()), bend: None };
            let place = entries.partition_point(|entry| entry.key < new.key);
            entries.insert(place, new);
        }
        15 => {
            let at = Reference { offset: choices.number(), length: choices.number() as u32, hash: Hash([choices.byte(); 32]) };
            entry.target = Target::Anywhere(at);
        }
        23 => {
            if let Target::Value(value) = &mut entry.target {
                change_record(value, choices);
            }
        }
        // A longer key, with the same beginning.
        _ => {
            let length = [1, 100, 4096, 4097][choices.below(4)];
            entry.key.resize(length, choices.byte());
        }
    }
}

/// Another number in an entry record, if the value is one.
fn change_record(value: &mut Vec<u8>, choices: &mut Choices<'_>) {
    let Ok(mut record) = EntryRecord::decode(value) else { return };
    let (field, number) = (choices.byte(), choices.number());
    let version = record.versions.last_mut().expect("a record has versions");
    match field % 10 {
        0 => (version.number, record.current) = (number, number),
        1 => record.current = number,
        2 => version.sealed_as = number,
        3 => version.key = number,
        4 => version.compartment = "x".repeat(number.min(1025) as usize),
        5 => record.expires = Some(number),
        6 => record.due = Some(number),
        7 => record.category = None,
        8 => record.modified = number,
        _ => record.uid = [number as u8; 16],
    }
    *value = record.encode().to_vec();
}

fn edit(bytes: &mut Vec<u8>, choices: &mut Choices<'_>) {
    let at = choices.below(bytes.len());
    match choices.byte() % 5 {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << (choices.byte() % 8),
        1 if !bytes.is_empty() => bytes[at] = choices.byte(),
        2 => bytes.truncate(at),
        3 if !bytes.is_empty() => {
            let until = (at + 1 + choices.below(8)).min(bytes.len());
            bytes.drain(at..until);
        }
        _ => {
            let new = choices.bytes();
            bytes.splice(at..at, new);
        }
    }
}

fn change_field(record: &mut Record, field: u8, number: u64) {
    match field % 12 {
        0 => record.sequence = number,
        1 => record.live = record.live.wrapping_add(number),
        2 => record.entries = number,
        3 => record.time = number,
        4 => record.durable = !record.durable,
        5 => record.span_start = number,
        6 => record.previous_offset = (number > 0).then_some(number),
        7 => record.previous_hash = (number > 0).then_some(Hash([number as u8; 32])),
        8 => record.merged = Some(Hash([number as u8; 32])),
        9 => record.root = None,
        10 => record.epoch = number,
        _ => record.offset = number,
    }
}

/// Seals pages and puts them behind one another, children first.
struct Writer<'a> {
    pages: &'a [Page],
    places: Vec<Option<Reference>>,
    file: Vec<u8>,
    keys: &'a FileKeys,
}

impl Writer<'_> {
    fn write(&mut self, number: usize) -> Reference {
        if let Some(at) = self.places[number] {
            return at;
        }
        // Whoever refers to a page above gets this: no hash of it can be known.
        self.places[number] = Some(Reference { offset: self.file.len() as u64, length: 100, hash: Hash([0; 32]) });
        let page = &self.pages[number];
        let (kind, mut plaintext) = match &page.body {
            Body::Overflow(content) => (3, content.clone()),
            Body::Node { level, entries } => {
                let mut node = NodeBuilder::new(*level);
                for entry in entries {
                    let bent = |mut at: Reference| {
                        match entry.bend {
                            Some((3, number)) => at.offset = number,
                            Some((4, number)) => at.length = number as u32,
                            Some((_, number)) => at.hash.0[number as usize % 32] ^= 1,
                            None => {}
                        }
                        at
                    };
                    let (at, is_node) = match &entry.target {
                        Target::Value(value) => {
                            node.push(&entry.key, &Item::Inline(value));
                            continue;
                        }
                        Target::Page(child) => (self.write(*child), matches!(self.pages[*child].body, Body::Node { .. })),
                        Target::Anywhere(at) => (*at, *level > 0),
                    };
                    let at = bent(at);
                    node.push(&entry.key, &if is_node { Item::Child(at) } else { Item::Overflow(at) });
                }
                (if *level == 0 { 1 } else { 2 }, node.finish())
            }
        };
        for (change, place, bytes) in &page.edits {
            let place = place % plaintext.len().max(1);
            match change {
                0 => plaintext.iter_mut().skip(place).zip(bytes).for_each(|(old, new)| *old = *new),
                1 => drop(plaintext.splice(place..place, bytes.iter().copied())),
                _ => plaintext.truncate(place),
            }
        }
        let offset = self.file.len() as u64;
        let aad = Transcript::new(label::PAGE).bytes(&self.keys.id).u64(SAMPLE.header.epoch()).bytes(&[kind]).u64(offset);
        let sealed = crypto::seal(self.keys.index.page(), aad.as_bytes(), &plaintext).unwrap();
        let at = Reference { offset, length: sealed.len() as u32, hash: Hash::of(&sealed) };
        self.file.extend_from_slice(&sealed);
        self.places[number] = Some(at);
        at
    }
}
