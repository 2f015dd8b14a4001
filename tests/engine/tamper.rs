//! Files that somebody changed: each is refused, or holds exactly a state that was once committed.

use std::collections::HashMap;

use vault::crypto::keys::label;
use vault::crypto::{Hash, Signer, Transcript};
use vault::format::commit::{MAGIC, Record, RecordContext};
use vault::format::header::UnverifiedHeader;
use vault::format::page::{Item, NodeBuilder, PageContext, Reference};
use vault::secret::SigningSeed;
use vault::store::file::{FileKeys, FileStore, Known, OpenedFile};
use vault::store::{Revision, Snapshot, Store, StoreError, Walk};
use zeroize::Zeroizing;

use crate::bytes::{BLOCK, Bytes};
use crate::medium::Medium;
use crate::random::{Random, each_case, scaled};
use crate::sample::{Changes, Contents, PLAIN, SAMPLE, Sample, apply, commit, contents, contents_of};
use crate::state::State;

/// A state, and the header of the file in which it was committed.
struct Committed {
    revision: Revision,
    contents: Contents,
    header: Vec<u8>,
}

/// Every state that somebody who may write has committed, by the hash of its record, and every file that was written whole.
#[derive(Default)]
struct History {
    states: HashMap<[u8; 32], Committed>,
    files: Vec<Bytes>,
}

impl History {
    fn note(&mut self, medium: &Medium, store: &FileStore) {
        let (revision, contents) = contents(store).unwrap();
        let file = medium.state().vault().unwrap().clone();
        self.states.insert(revision.hash.0, Committed { revision, contents, header: header_of(&file) });
        self.files.push(file);
    }

    /// Creates a vault and commits; `model` numbers what is put.
    fn write(&mut self, sample: &Sample, commits: &[Changes]) -> Medium {
        let medium = Medium::empty();
        sample.create(&medium).unwrap();
        self.extend(sample, &medium, commits);
        medium
    }

    fn extend(&mut self, sample: &Sample, medium: &Medium, commits: &[Changes]) {
        let store = sample.open(medium.place()).unwrap();
        self.note(medium, &store);
        for changes in commits {
            commit(&store, changes).unwrap();
            self.note(medium, &store);
        }
    }

    /// Reads everything there is in a file. `None` if it was refused somewhere; else which state it holds.
    fn judge(&self, bytes: &Bytes, keys: FileKeys) -> Option<Revision> {
        let medium = Medium::new(State::with_vault(bytes.clone()));
        let store = open(&medium, keys).ok()?;
        let snapshot = store.snapshot().ok()?;
        let revision = snapshot.revision();
        let Committed { revision: known, contents, header } =
            self.states.get(&revision.hash.0).expect("a state is shown that was never committed");
        assert_eq!(known, &revision);
        assert!(header_of(bytes) == *header, "the header of another file is taken");
        let mut whole = read_right(snapshot.as_ref(), contents);
        for key in contents.keys().chain([&b"absent".to_vec()]) {
            match snapshot.get(key) {
                Ok(value) => assert!(value.as_ref() == contents.get(key), "a wrong value"),
                Err(_) => whole = false,
            }
        }
        whole.then_some(revision)
    }

    /// A check of a whole file passes only if the file is one that was written, up to its newest commit.
    fn judge_check(&self, bytes: &Bytes) {
        let medium = Medium::new(State::with_vault(bytes.clone()));
        let Ok(store) = open(&medium, SAMPLE.reading_keys()) else { return };
        let Ok(checked) = store.check() else { return };
        let mut found = vec![0; (checked.bytes - checked.tail) as usize];
        bytes.read(0, &mut found);
        let genuine = self.files.iter().any(|file| {
            let mut genuine = vec![0; found.len()];
            file.read(0, &mut genuine) == found.len() && genuine == found
        });
        assert!(genuine, "a check passes though bytes were changed");
    }
}

fn header_of(bytes: &Bytes) -> Vec<u8> {
    let mut header = vec![0; BLOCK];
    bytes.read(0, &mut header);
    header
}

fn open(medium: &Medium, keys: FileKeys) -> Result<FileStore, StoreError> {
    let place = medium.place();
    let file = OpenedFile::open(place.as_ref())?;
    FileStore::new(place, file, keys, Known::default(), PLAIN)
}

/// What a walk shows is right as far as it comes; whether it comes to the end.
fn read_right(snapshot: &dyn Snapshot, contents: &Contents) -> bool {
    let mut expected = contents.iter();
    let walk = snapshot.range(&[], None, &mut |key, value| {
        if key.first() == Some(&vault::format::keyspace::LINEAGE) {
            return Ok(Walk::Continue(()));
        }
        let (right, right_value) = expected.next().expect("a key too many");
        assert!(key == right.as_slice(), "a wrong key");
        assert!(value.is_none_or(|value| value == right_value), "a wrong value");
        Ok(Walk::Continue(()))
    });
    assert!(walk.is_err() || expected.next().is_none(), "a key is missing");
    walk.is_ok()
}

fn put(key: u8, length: usize, value: u8) -> Changes {
    vec![(vec![key], Some(vec![value; length])), (vec![0x20, key], Some(vec![value]))]
}

fn small() -> (History, Bytes) {
    let mut history = History::default();
    let medium = history.write(&SAMPLE, &[put(1, 10, 1), put(2, 1100, 2), put(1, 20, 3)]);
    (history, medium.state().vault().unwrap().clone())
}

fn newest(history: &History) -> Revision {
    history.states.values().map(|state| state.revision).max_by_key(|revision| revision.sequence).unwrap()
}

#[test]
fn every_bit_flipped() {
    const PART: u64 = 128;
    let (history, bytes) = small();
    assert_eq!(history.judge(&bytes, SAMPLE.reading_keys()), Some(newest(&history)));
    each_case((bytes.len() / PART) as usize, |part| {
        let mut random = Random::new(part as u64);
        for offset in part as u64 * PART..(part as u64 + 1) * PART {
            let mut byte = [0];
            bytes.read(offset, &mut byte);
            let checked = random.below(8);
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped.write(offset, &[byte[0] ^ 1 << bit]);
                history.judge(&flipped, SAMPLE.reading_keys());
                if bit == checked {
                    history.judge_check(&flipped);
                }
            }
        }
    });
}

#[test]
fn every_length() {
    let (history, bytes) = small();
    // A file cut anywhere holds the last commit that it holds as a whole.
    let ends: Vec<u64> = history.files.iter().map(Bytes::len).collect();
    each_case(bytes.len() as usize, |length| {
        let mut cut = bytes.clone();
        cut.set_length(length as u64);
        let whole = ends.iter().filter(|end| **end <= length as u64).count() as u64;
        let sequence = history.judge(&cut, SAMPLE.reading_keys()).map_or(0, |revision| revision.sequence);
        assert_eq!(sequence, whole, "cut to {length}");
    });
}

#[test]
fn whatever_stands_behind_the_newest_commit() {
    let (history, bytes) = small();
    let whole = bytes.to_vec();
    each_case(scaled(600), |case| {
        let mut random = Random::new(case as u64);
        let mut longer = bytes.clone();
        for _ in 0..1 + random.below(3) {
            let at = longer.len();
            match random.below(5) {
                0 => {
                    let length = 1 + random.below(10_000);
                    longer.write(at, &random.bytes(length));
                }
                1 => longer.set_length(at + 1 + random.below(20_000) as u64),
                2 => {
                    // Blocks of the file, aligned or not.
                    let from = random.below(whole.len() / BLOCK) * BLOCK;
                    let to = from + (1 + random.below(3)) * BLOCK;
                    longer.write(at, &whole[from..to.min(whole.len())]);
                }
                3 => {
                    // A whole commit, where the next one belongs.
                    let file = random.below(3);
                    let (from, to) = (history.files[file].len() as usize, history.files[file + 1].len() as usize);
                    longer.write(at.next_multiple_of(BLOCK as u64), &whole[from..to]);
                }
                _ => {
                    let mut fake = random.bytes(BLOCK);
                    fake[..8].copy_from_slice(MAGIC);
                    longer.write(at.next_multiple_of(BLOCK as u64), &fake);
                }
            }
        }
        assert_eq!(history.judge(&longer, SAMPLE.reading_keys()), Some(newest(&history)));
        history.judge_check(&longer);
        // The next writer goes on behind it.
        let medium = Medium::new(State::with_vault(longer));
        let store = SAMPLE.open(medium.place()).unwrap();
        assert!(store.facts().tail);
        let mut expected = history.states[&newest(&history).hash.0].contents.clone();
        for round in 0..2 {
            apply(&mut expected, &put(5, 1200, round));
            commit(&store, &put(5, 1200, round)).unwrap();
            assert!(contents(&SAMPLE.open(medium.place()).unwrap()).unwrap().1 == expected);
            assert_eq!(store.check().unwrap().tail, 0);
        }
    });
}

#[test]
fn long_tails_cost_little() {
    let (history, bytes) = small();
    let read = |longer: &Bytes| {
        let medium = Medium::new(State::with_vault(longer.clone()));
        let store = open(&medium, SAMPLE.reading_keys()).map(|store| store.facts().revision);
        (store, medium.bytes_read(), medium.calls().len())
    };
    let tail = 256 << 20;
    let mut random = Random::new(0);
    let garbage: [u8; BLOCK] = random.bytes(BLOCK).try_into().unwrap();
    for block in [[0; BLOCK], garbage] {
        let mut longer = bytes.clone();
        longer.append_blocks(&block, tail / BLOCK);
        let (found, read, calls) = read(&longer);
        assert_eq!(found.unwrap(), newest(&history));
        assert!((tail as u64..tail as u64 + (2 << 20)).contains(&read), "{read} bytes read");
        assert!(calls < 300, "{calls} calls");
    }
    // Blocks that begin like a record: some are looked at, and not many.
    let mut fake = garbage;
    fake[..8].copy_from_slice(MAGIC);
    for (fakes, opens) in [(63, true), (64, false), (1000, false), (tail / BLOCK, false)] {
        let mut longer = bytes.clone();
        longer.append_blocks(&fake, fakes);
        let (found, read, _) = read(&longer);
        assert!(read <= 5 << 20, "{read} bytes read for {fakes} fakes");
        match found {
            Ok(revision) => assert!(opens && revision == newest(&history)),
            Err(error) => assert!(!opens && matches!(error, StoreError::Damaged { .. }), "{error:?}"),
        }
    }
    // The search ends.
    let mut longer = bytes.clone();
    longer.append_blocks(&[0; BLOCK], (3 << 30) / BLOCK);
    let (found, read, _) = read(&longer);
    assert!(matches!(found, Err(StoreError::Damaged { .. })));
    assert!(read <= 2 * ((1 << 30) + (4 << 20)), "{read} bytes read");
}

/// A vault through a rewrite, two forks of it, one that shares its keys, and a stranger.
fn family() -> History {
    let mut history = History::default();
    let large = |value| vec![(b"large".to_vec(), Some(vec![value; 1_200_000]))];
    let medium = history.write(&SAMPLE, &[put(1, 10, 1), put(2, 1100, 2), put(3, 20, 3)]);
    let fork = Medium::new(medium.state());
    history.extend(&SAMPLE, &medium, &[put(1, 10, 4), large(1), put(3, 20, 5)]);
    history.extend(&SAMPLE, &fork, &[put(1, 10, 6), large(2), put(3, 20, 7), put(4, 2000, 8)]);
    for (mark, medium) in [&medium, &fork].into_iter().enumerate() {
        // Two headers of the same epoch.
        let store = SAMPLE.open(medium.place()).unwrap();
        crate::crash::change_header(&store, mark as u8 + 1).unwrap();
        history.extend(&SAMPLE, medium, &[put(1, 10, 9), put(2, 1100, 10)]);
    }
    // Files of other vaults are there to be cut from, but none of their states may ever be shown.
    for stranger in [Sample { id: [1; 16], ..SAMPLE }, Sample { seed: [1; 32], ..SAMPLE }, Sample { index: [1; 32], ..SAMPLE }] {
        let mut other = History::default();
        other.write(&stranger, &[put(1, 10, 11), put(2, 1100, 12), put(3, 20, 13), put(1, 10, 14)]);
        history.files.append(&mut other.files);
    }
    history
}

#[test]
fn spliced_files() {
    let history = family();
    each_case(scaled(1000), |case| {
        let mut random = Random::new(case as u64);
        let mut file = random.pick(&history.files).clone();
        for _ in 0..1 + random.below(2) {
            splice(&mut file, random.pick(&history.files), &mut random);
        }
        history.judge(&file, SAMPLE.reading_keys());
        history.judge_check(&file);
    });
}

fn splice(file: &mut Bytes, other: &Bytes, random: &mut Random) {
    let blocks = |bytes: &Bytes| bytes.len() as usize / BLOCK;
    let piece = |random: &mut Random, aligned: bool| {
        let from = if aligned { random.below(blocks(other)) * BLOCK } else { random.below(other.len() as usize) };
        let length = if aligned { (1 + random.below(4)) * BLOCK } else { 1 + random.below(6000) };
        let mut piece = vec![0; length.min(other.len() as usize - from)];
        other.read(from as u64, &mut piece);
        (from as u64, piece)
    };
    match random.below(6) {
        // The same place.
        0 | 1 => {
            let (from, piece) = piece(random, true);
            file.write(from, &piece);
        }
        // Another place.
        2 => {
            let (_, piece) = piece(random, true);
            file.write((random.below(blocks(file) + 1) * BLOCK) as u64, &piece);
        }
        3 => {
            let (from, piece) = piece(random, false);
            file.write(from, &piece);
        }
        // The other's header.
        4 => {
            file.write(0, &header_of(other));
        }
        // The other's end.
        _ => {
            let from = random.below(blocks(other)) * BLOCK;
            let mut rest = vec![0; other.len() as usize - from];
            other.read(from as u64, &mut rest);
            file.set_length(from as u64);
            file.write(from as u64, &rest);
        }
    }
}

/// The records of a file, with their blocks.
fn records(bytes: &Bytes, context: &RecordContext<'_>, keys: &FileKeys) -> Vec<(Record, Vec<u8>)> {
    let whole = bytes.to_vec();
    let blocks = whole.chunks_exact(BLOCK).enumerate();
    blocks
        .filter_map(|(index, block)| {
            let record = context.decode(block, (index * BLOCK) as u64, &keys.verifier).ok()?;
            Some((record, block.to_vec()))
        })
        .collect()
}

/// Somebody who has the keys of pages and records seals what he likes, but cannot sign it.
#[test]
fn forged_by_a_holder_of_the_index_key() {
    let (history, bytes) = small();
    let keys = SAMPLE.reading_keys();
    let context = RecordContext { id: &SAMPLE.id, epoch: 1, key: keys.index.record(), header_length: BLOCK as u64 };
    let pages = PageContext { id: &SAMPLE.id, epoch: 1, key: keys.index.page() };
    let records = records(&bytes, &context, &keys);
    assert_eq!(records.len(), 4);
    let his = Signer::new(&SigningSeed::new(Zeroizing::new([66; 32])));
    each_case(scaled(1000), |case| {
        let mut random = Random::new(case as u64);
        let mut file = bytes.clone();
        let (mut record, block) = random.pick(&records).clone();
        // A leaf of his own making, in place of the root or behind everything.
        let mut leaf = NodeBuilder::new(0);
        leaf.push(&[1], &Item::Inline(&[66; 10]));
        let leaf = leaf.finish();
        let old_root = record.root.filter(|_| random.chance(50));
        let at = old_root.map_or(file.len(), |root| root.offset);
        let mut sealed = pages.seal_node(at, &leaf).unwrap();
        if let Some(root) = old_root {
            sealed.resize(root.length as usize, 0);
        }
        if random.chance(70) {
            file.write(at, &sealed);
        }
        if random.chance(70) {
            let length = pages.seal_node(at, &leaf).unwrap().len() as u32;
            record.root = Some(Reference { offset: at, length, hash: Hash::of(&sealed[..length as usize]) });
            record.level = 0;
        }
        if random.chance(50) {
            record.sequence += random.below(3) as u64;
        }
        if random.chance(50) {
            record.offset = file.len().next_multiple_of(BLOCK as u64);
            record.previous_offset = Some(records[3].0.offset);
            record.previous_hash = Some(Hash::of(&records[3].1));
            record.span_start = records[3].0.offset + BLOCK as u64;
        }
        let mut span = vec![0; (record.offset - record.span_start) as usize];
        file.set_length(file.len().max(record.offset));
        file.read(record.span_start, &mut span);
        record.span_hash = Hash::of(&span);
        let mut forged = context.encode(&record, &his).unwrap();
        match random.below(3) {
            // A signature that is right for another block.
            0 => forged[4032..].copy_from_slice(&block[4032..]),
            1 => forged[4032..].copy_from_slice(&random.pick(&records).1[4032..]),
            // His own; and a header that names his key.
            _ if random.chance(50) => {
                let mut header = SAMPLE.header();
                header.signing_key = his.public();
                file.write(0, &header.encode(&his).unwrap());
            }
            _ => {}
        }
        file.write(record.offset, &forged);
        history.judge(&file, SAMPLE.reading_keys());
        history.judge_check(&file);
    });
}

/// Somebody who may sign writes what breaks the rules: it is read as far as it goes or refused, without a panic.
#[test]
fn malformed_behind_the_signature() {
    let sample = SAMPLE;
    let keys = sample.keys();
    let header = sample.header().encode(&sample.signer()).unwrap();
    let header_hash = UnverifiedHeader::parse(&header).unwrap().hash();
    let start = header.len() as u64;
    let pages = PageContext { id: &sample.id, epoch: 1, key: keys.index.page() };
    let context = RecordContext { id: &sample.id, epoch: 1, key: keys.index.record(), header_length: start };
    let mut outcomes = [0, 0];
    let counted = std::sync::Mutex::new(&mut outcomes);
    each_case(scaled(4000), |case| {
        let mut random = Random::new(case as u64);
        let mut file = header.clone();
        let mut append = |seal: &dyn Fn(u64) -> Vec<u8>| {
            let sealed = seal(file.len() as u64);
            let at = Reference { offset: file.len() as u64, length: sealed.len() as u32, hash: Hash::of(&sealed) };
            file.extend_from_slice(&sealed);
            at
        };
        let overflow_length = *random.pick(&[0, 1024, 1025, 3000]);
        let overflow = append(&|at| pages.seal_overflow(at, &vec![1; overflow_length]).unwrap());
        // Each level refers to the one below: as it should, or to whatever there is.
        let sound = random.chance(50);
        let mut below = vec![(0, overflow)];
        let mut level = 0;
        for height in 0..1 + random.below(4) as u8 {
            let mut next = Vec::new();
            for number in 0..if sound && height > 0 { 1 } else { 1 + random.below(3) as u8 } {
                let mut node = NodeBuilder::new(height);
                let count = if sound && height > 0 { below.len() } else { 1 + random.below(4) };
                for item in 0..count {
                    let (low, mut reference) = if sound { below[item % below.len()] } else { *random.pick(&below) };
                    if random.chance(2) {
                        reference.offset = *random.pick(&[0, start, start - 1, u64::MAX, u64::MAX - 4095]);
                    }
                    if random.chance(2) {
                        reference.length = *random.pick(&[0, 1, 39, 40, 43, 65_537, 33_554_432, u32::MAX]);
                    }
                    let key = if sound && height > 0 { low } else { number * 20 + item as u8 };
                    node.push(
                        &[key],
                        &match height {
                            0 if random.chance(70) => Item::Inline(&[7]),
                            0 => Item::Overflow(reference),
                            _ => Item::Child(reference),
                        },
                    );
                }
                let mut plaintext = node.finish();
                if random.chance(15) {
                    mutate(&mut plaintext, &mut random);
                }
                next.push((number * 20, append(&|at| pages.seal_node(at, &plaintext).unwrap())));
            }
            below = next;
            level = height;
        }
        file.resize(file.len().next_multiple_of(BLOCK), 0);
        let mut record = Record::new(1, 1, header_hash, start);
        record.offset = file.len() as u64;
        record.root = Some(below[0].1);
        record.level = level;
        record.span_hash = Hash::of(&file[start as usize..]);
        for field in [&mut record.live, &mut record.entries, &mut record.sequence, &mut record.time] {
            if random.chance(10) {
                *field = *random.pick(&[0, 1, 2, u64::MAX - 1, u64::MAX]);
            }
        }
        if record.sequence > 1 {
            record.previous_hash = Some(header_hash);
        }
        if random.chance(5) {
            record.level = *random.pick(&[0, 1, 2, 15, 16, 255]);
        }
        file.extend_from_slice(&context.encode(&record, &sample.signer()).unwrap());
        let medium = Medium::new(State::with_vault(Bytes::new(&file)));
        let refused = use_everything(&sample, &medium).is_err();
        counted.lock().unwrap()[usize::from(refused)] += 1;
    });
    assert!(outcomes.iter().all(|count| *count > scaled(4000) / 50), "taken and refused: {outcomes:?}");
}

fn use_everything(sample: &Sample, medium: &Medium) -> Result<(), StoreError> {
    let store = sample.open(medium.place())?;
    let snapshot = store.snapshot()?;
    let read = contents_of(snapshot.as_ref()).map(drop);
    for key in 0..90 {
        let _ = snapshot.get(&[key]);
    }
    let _ = store.check();
    let _ = store.descends_from(&Revision { sequence: 0, hash: Hash::of(b"") });
    let compacted = store.compact(1).map(drop);
    let committed = commit(&store, &put(1, 2000, 1)).map(drop);
    let _ = store.check();
    let _ = contents(&store);
    read.and(compacted).and(committed)
}

/// Each part of what binds a page and a record to its place holds by itself, without the hashes and signatures around it.
#[test]
fn pages_and_records_are_bound_to_their_place() {
    let keys = SAMPLE.keys();
    let context = |id, epoch| PageContext { id, epoch, key: keys.index.page() };
    let mut leaf = NodeBuilder::new(0);
    // Long enough for a value of its own, so that only the seal tells them apart.
    leaf.push(&[1], &Item::Inline(&[2; 1024]));
    let sealed = context(&SAMPLE.id, 3).seal_node(8192, &leaf.finish()).unwrap();
    let at = |offset| Reference { offset, length: sealed.len() as u32, hash: Hash::of(&sealed) };
    let opens = |id, epoch, offset, level| context(id, epoch).open_node(&at(offset), level, sealed.clone()).is_ok();
    assert!(opens(&SAMPLE.id, 3, 8192, 0));
    assert!(!opens(&[0; 16], 3, 8192, 0));
    assert!(!opens(&SAMPLE.id, 4, 8192, 0));
    assert!(!opens(&SAMPLE.id, 3, 4096, 0));
    assert!(!opens(&SAMPLE.id, 3, 8192, 1));
    assert!(context(&SAMPLE.id, 3).open_overflow(&at(8192), sealed.clone()).is_err());
    let wrong_hash = Reference { hash: Hash::of(b""), ..at(8192) };
    assert!(context(&SAMPLE.id, 3).open_node(&wrong_hash, 0, sealed.clone()).is_err());

    let context = |id, epoch| RecordContext { id, epoch, key: keys.index.record(), header_length: 4096 };
    let mut record = Record::new(3, 1, Hash::of(b"header"), 4096);
    record.offset = 4096;
    let block = context(&SAMPLE.id, 3).encode(&record, &SAMPLE.signer()).unwrap();
    let refused = |id, epoch, offset| {
        let signed = context(id, epoch).decode(&block, offset, &keys.verifier);
        let hashed = context(id, epoch).decode_hashed(&block, offset, &Hash::of(&block));
        [signed.err(), hashed.err()].map(|error| error.map(|error| error.to_string()))
    };
    let seal = Some("a commit record is not authentic".to_owned());
    assert_eq!(refused(&SAMPLE.id, 3, 4096), [None, None]);
    assert_eq!(refused(&[0; 16], 3, 4096), [seal.clone(), seal.clone()]);
    assert_eq!(refused(&SAMPLE.id, 4, 4096), [seal.clone(), seal.clone()]);
    assert_eq!(refused(&SAMPLE.id, 3, 8192), [seal.clone(), seal]);
    // The signature by itself: the same signed bytes, signed for this place, for another one, and for another vault.
    let signed_for = |id: &[u8; 16], offset| {
        let signed = &block[..4032];
        let message = Transcript::new(label::COMMIT_SIGNATURE).bytes(id).u64(offset).bytes(signed);
        let block = [signed, &SAMPLE.signer().sign(&message)].concat();
        context(&SAMPLE.id, 3).decode(&block, 4096, &keys.verifier).is_ok()
    };
    assert!(signed_for(&SAMPLE.id, 4096));
    assert!(!signed_for(&SAMPLE.id, 8192));
    assert!(!signed_for(&[0; 16], 4096));
}

fn mutate(plaintext: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(plaintext.len());
    match random.below(5) {
        0 => plaintext[at] ^= 1 << random.below(8),
        1 => plaintext[at] = *random.pick(&[0, 1, 0x7f, 0x80, 0xff]),
        // The type stays where it is: the seal is bound to it.
        2 => plaintext.truncate(at.max(1)),
        3 => plaintext.insert(at, random.draw() as u8),
        _ => {
            let bytes = random.bytes(at);
            plaintext.extend_from_slice(&bytes);
        }
    }
}
