//! What is fuzzed: functions of bytes that somebody else may have chosen, and what must hold whatever they are.
//!
//! Each is run by `main.rs` on a corpus and on mutations of it, and by the programs of `fuzz/` for as long as one likes.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "interchange.rs"]
mod interchange;
#[path = "keys.rs"]
mod keys;
#[path = "memory.rs"]
mod memory;
#[path = "place.rs"]
mod place;
#[path = "reseal.rs"]
mod reseal;
#[path = "sample.rs"]
pub mod sample;
#[path = "streams.rs"]
mod streams;
#[path = "texts.rs"]
mod texts;
#[path = "users.rs"]
mod users;
#[path = "whole.rs"]
mod whole;

use vault::crypto::keys::label;
use vault::crypto::{self, Hash, Signer, Transcript, Verifier};
use vault::format::FormatError;
use vault::format::commit::{DURABLE_ABOVE, MAX_SEQUENCE, Record, RecordContext};
use vault::format::header::{self, Slot, SlotKind, SlotLabel, UnverifiedHeader};
use vault::format::keyspace::{self, EntryKey};
use vault::format::padding::{pad, padme, unpad};
use vault::format::page::{INLINE, Item, MAX_KEY, Node, NodeBuilder, PageContext, REFERENCE, Reference};
use vault::format::record::{EntryRecord, Listing, MAX_LABELS, MAX_VERSIONS, ValueContext};
use vault::format::rotation::{Journal, MAX_EVENTS, MAX_PENDING};
use vault::format::schedule::Schedule;
use vault::format::slot::{DataKeys, KeyRing, LimitedKeys, NumberedKey, OlderKey, SlotPayload};
use vault::interchange::{Format, Source};
use vault::secret::{DataKey, IndexKey, MasterKey, SigningSeed, SystemKey};
use vault::{Category, Tag};
use zeroize::Zeroizing;

const ID: [u8; 16] = [7; 16];
const KEY: [u8; 32] = [8; 32];
const EPOCH: u64 = 1;

fn key() -> Zeroizing<[u8; 32]> {
    Zeroizing::new(KEY)
}

fn signer() -> Signer {
    Signer::new(&SigningSeed::new(key()))
}

/// Runs a target; fails if it needs more memory than an input of this length can explain.
fn bounded(data: &[u8], target: impl FnOnce(&[u8])) {
    let most = (16 << 20) + 256 * data.len();
    let peak = memory::peak(|| target(data));
    assert!(peak <= most, "{peak} bytes of memory for an input of {}", data.len());
}

/// The header before anything of it is trusted. The input is a whole header, or the text of one.
pub fn header(data: &[u8]) {
    bounded(data, |data| {
        first_line(data);
        if let Ok(length) = header::length(data) {
            assert!(length <= header::MAX && length.is_multiple_of(4096) && length > 0);
            assert!(UnverifiedHeader::parse(&data[..data.len().min(length - 1)]).is_err(), "a cut header is taken");
        }
        parsed_header(data);
        let mut bytes = format!("VAULT-FILE 1 {:05}\n", data.len()).into_bytes();
        bytes.extend_from_slice(data);
        bytes.extend_from_slice(&[9; 64]);
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
        parsed_header(&bytes);
        let nonzero = bytes.len() - 1;
        if bytes[nonzero] == 0 {
            bytes[nonzero] = 1;
            assert!(UnverifiedHeader::parse(&bytes).is_err(), "zeros that are not zero are taken");
        }
    });
}

/// `VAULT-FILE k ` with k above 1 and without leading zeros is of a newer format, anything else that is not of format 1 no vault at all.
fn first_line(data: &[u8]) {
    let number = data.strip_prefix(b"VAULT-FILE ").and_then(|rest| rest.split(|byte| *byte == b' ').next());
    let newer = number.is_some_and(|digits| {
        digits.iter().all(u8::is_ascii_digit) && digits.first().is_some_and(|first| *first > b'0') && digits != b"1"
    });
    if matches!(header::length(data), Err(FormatError::Newer(_))) {
        assert!(newer, "no vault file is called one of a newer format");
    }
}

fn parsed_header(bytes: &[u8]) {
    let Ok(parsed) = UnverifiedHeader::parse(bytes) else { return };
    assert!((1..=header::MAX_SLOTS).contains(&parsed.slots().len()) && parsed.epoch() > 0 && parsed.sealed_ring().0 > 0);
    let _ = parsed.slots().iter().map(|slot| slot.open_label(&ID, &KEY).is_ok()).collect::<Vec<_>>();
    // Written again, by whoever may sign, it says the same.
    let Ok(verifier) = Verifier::new(parsed.claimed_signing_key()) else { return };
    assert!(parsed.verify_signature(&verifier).is_err() || bytes == sample::SAMPLE.header_bytes());
    let read = parsed.authenticated(&verifier, &parsed.hash()).unwrap();
    assert!(parsed.authenticated(&verifier, &Hash([0; 32])).is_err());
    let Ok(written) = read.encode(&signer()) else { return };
    let again = UnverifiedHeader::parse(&written).expect("what was written is read");
    let again = again.authenticated(&verifier, &again.hash()).unwrap();
    assert_eq!(format!("{again:?}"), format!("{read:?}"));
    assert_eq!(again.encode(&signer()).unwrap(), written);
}

/// The plaintext of a page: as a node of the level that it states, and as an overflow page.
pub fn page(data: &[u8]) {
    bounded(data, |data| {
        let context = PageContext { id: &ID, epoch: EPOCH, key: &KEY };
        let level = data.get(1).copied().unwrap_or(0) & 0x1f;
        let (at, sealed) = seal_page(if level == 0 { 1 } else { 2 }, data);
        let read = context.open_node(&at, level, sealed.clone()).ok().and_then(|node| items_of(&node));
        assert_eq!(read, node_by_the_specification(data, level), "the specification and the code read another node");
        let flipped = Reference { hash: Hash([0; 32]), ..at };
        assert!(context.open_node(&flipped, level, sealed.clone()).is_err());
        assert!(context.open_node(&Reference { offset: 0, ..at }, level, sealed.clone()).is_err());
        assert!(context.open_overflow(&at, sealed).is_err(), "a node is taken for an overflow page");
        if let Some(items) = read {
            let mut node = NodeBuilder::new(level);
            for (key, item) in &items {
                let estimate = node.length_with(key, &item.as_item());
                node.push(key, &item.as_item());
                assert!(node.length() <= estimate, "an estimate is too small");
            }
            let plaintext = node.finish();
            assert!(plaintext.len() <= data.len(), "a writer shares as much as can be shared");
            let (at, sealed) = seal_page(plaintext[0], &plaintext);
            let node = context.open_node(&at, level, sealed).expect("what was written is read");
            assert!(items_of(&node).as_ref() == Some(&items));
        }
        let (at, sealed) = seal_page(3, data);
        assert_eq!(context.open_overflow(&at, sealed).ok(), (data.len() > INLINE).then(|| data.to_vec()));
        // Not sealed at all.
        let at = Reference { offset: 4096, length: data.len() as u32, hash: Hash::of(data) };
        assert!(context.open_node(&at, level, data.to_vec()).is_err() && context.open_overflow(&at, data.to_vec()).is_err());
    });
}

fn seal_page(kind: u8, plaintext: &[u8]) -> (Reference, Vec<u8>) {
    let aad = Transcript::new(label::PAGE).bytes(&ID).u64(EPOCH).bytes(&[kind]).u64(4096);
    let sealed = crypto::seal(&KEY, aad.as_bytes(), plaintext).unwrap();
    (Reference { offset: 4096, length: sealed.len() as u32, hash: Hash::of(&sealed) }, sealed)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Owned {
    Value(Vec<u8>),
    Overflow(Reference),
    Child(Reference),
}

impl Owned {
    fn as_item(&self) -> Item<'_> {
        match self {
            Self::Value(value) => Item::Inline(value),
            Self::Overflow(at) => Item::Overflow(*at),
            Self::Child(at) => Item::Child(*at),
        }
    }
}

type Items = Vec<(Vec<u8>, Owned)>;

fn items_of(node: &Node) -> Option<Items> {
    let mut walk = node.items();
    let mut items = Vec::new();
    loop {
        let item = match walk.next_item().ok()? {
            Some(Item::Inline(value)) => Owned::Value(value.to_vec()),
            Some(Item::Overflow(at)) => Owned::Overflow(at),
            Some(Item::Child(at)) => Owned::Child(at),
            None => return Some(items),
        };
        items.push((walk.key().to_vec(), item));
    }
}

/// Section 4 once more, as plainly as can be.
fn node_by_the_specification(plaintext: &[u8], level: u8) -> Option<Items> {
    let [kind, own_level, low, high, rest @ ..] = plaintext else { return None };
    let count = u16::from_le_bytes([*low, *high]);
    if *own_level != level || *kind != if level == 0 { 1 } else { 2 } || count == 0 {
        return None;
    }
    let mut rest = rest;
    let mut take = |count: usize| {
        let (head, tail) = rest.split_at_checked(count)?;
        rest = tail;
        Some(head)
    };
    let mut all: Items = Vec::new();
    for _ in 0..count {
        let shared = varint(&mut take)?;
        let length = varint(&mut take)?;
        let last = all.last().map_or(&[][..], |(key, _)| key);
        let key = [last.get(..shared)?, take(length)?].concat();
        if key.len() > MAX_KEY || (!all.is_empty() && key.as_slice() <= last) {
            return None;
        }
        let item = match (level, if level == 0 { take(1)?[0] } else { 1 }) {
            (0, 0) => {
                let length = varint(&mut take)?;
                Owned::Value(take(length).filter(|value| value.len() <= INLINE)?.to_vec())
            }
            (_, 1) => {
                let at = Reference::decode(take(REFERENCE)?.try_into().ok()?);
                if level == 0 { Owned::Overflow(at) } else { Owned::Child(at) }
            }
            _ => return None,
        };
        all.push((key, item));
    }
    take(1).is_none().then_some(all)
}

fn varint<'a>(take: &mut impl FnMut(usize) -> Option<&'a [u8]>) -> Option<usize> {
    let mut bytes = Vec::new();
    while bytes.last().is_none_or(|byte| byte & 0x80 != 0) {
        bytes.push(take(1)?[0]);
    }
    let shortest = bytes.len() == 1 || bytes.last() != Some(&0);
    let value = bytes.iter().rev().try_fold(0u128, |value, byte| value.checked_mul(128)?.checked_add(u128::from(byte & 0x7f)))?;
    (shortest && bytes.len() <= 5 && value < 1 << 32).then_some(value as usize)
}

/// The body of a commit record, sealed and signed at a fixed place; the input is its CBOR.
pub fn commit_record(data: &[u8]) {
    bounded(data, |data| {
        if data.len() <= 1022 {
            let mut body = (data.len() as u16).to_le_bytes().to_vec();
            body.extend_from_slice(data);
            record_of(&body);
        }
        // The length of the CBOR is the input's as well.
        record_of(&data[..data.len().min(1024)]);
        let verifier = Verifier::new(&signer().public()).unwrap();
        assert!(records().decode(data, OFFSET, &verifier).is_err(), "a block that nobody signed is taken");
        assert!(records().decode_hashed(data, OFFSET, &Hash::of(data)).is_err());
    });
}

/// Where the record stands.
const OFFSET: u64 = 40_960;
const HEADER: u64 = 4096;

fn records() -> RecordContext<'static> {
    RecordContext { id: &ID, epoch: EPOCH, key: &KEY, header_length: HEADER }
}

fn record_aad() -> Transcript {
    Transcript::new(label::RECORD).bytes(&ID).u64(EPOCH).u64(OFFSET)
}

fn record_of(body: &[u8]) {
    let mut body = body.to_vec();
    body.resize(1024, 0);
    let mut block = b"VLTCMT1\n".to_vec();
    crypto::seal_into(&KEY, record_aad().as_bytes(), &body, &mut block).unwrap();
    block.resize(4032, 0);
    let message = Transcript::new(label::COMMIT_SIGNATURE).bytes(&ID).u64(OFFSET).bytes(&block);
    block.extend_from_slice(&signer().sign(&message));
    let verifier = Verifier::new(&signer().public()).unwrap();
    let read = records().decode(&block, OFFSET, &verifier);
    assert!(read.is_ok() == records().decode_hashed(&block, OFFSET, &Hash::of(&block)).is_ok());
    assert!(records().decode(&block, OFFSET + 4096, &verifier).is_err());
    let Ok(record) = read else { return };
    let block = records().encode(&record, &signer()).expect("what was read is written");
    let again = crypto::open(&KEY, record_aad().as_bytes(), &block[8..1072]).unwrap();
    assert!(*again == body, "what was read is written otherwise");
    record_rules(&record);
}

/// Section 5, "valid at offset o".
fn record_rules(record: &Record) {
    assert!(record.epoch == EPOCH && record.offset == OFFSET);
    assert!((1..=MAX_SEQUENCE).contains(&record.sequence) && record.live <= OFFSET - HEADER);
    assert!(record.previous_hash.is_some() || (record.sequence == 1 && record.previous_offset.is_none()));
    assert!(record.previous_hash.is_none() || record.sequence > 1, "the first commit has none before it");
    match record.previous_offset {
        Some(previous) => {
            assert!(previous.is_multiple_of(4096) && (HEADER..OFFSET).contains(&previous));
            assert_eq!(record.span_start, previous + 4096);
        }
        None => assert_eq!(record.span_start, HEADER),
    }
    assert!(record.span_start <= OFFSET);
    assert_eq!(record.durable, OFFSET - record.span_start > DURABLE_ABOVE);
    match &record.root {
        Some(root) => assert!(root.offset >= HEADER && root.offset <= OFFSET - u64::from(root.length) && record.level <= 15),
        None => assert_eq!(record.level, 0),
    }
    assert!(record.next_sequence().is_ok() == (record.sequence < MAX_SEQUENCE));
    assert!(record.dead(HEADER) <= OFFSET + 4096 - HEADER);
}

/// The CBOR of a record, as the target takes it.
#[allow(dead_code, reason = "writes the corpus")]
pub fn body_of(record: &Record) -> Vec<u8> {
    let block = records().encode(record, &signer()).unwrap();
    let body = crypto::open(&KEY, record_aad().as_bytes(), &block[8..1072]).unwrap();
    body[2..2 + usize::from(u16::from_le_bytes([body[0], body[1]]))].to_vec()
}

/// Entry records, listing records, journals of rotations, schedules, and keys of entries.
pub fn entry_record(data: &[u8]) {
    bounded(data, |data| {
        if let Ok(record) = EntryRecord::decode(data) {
            assert!(record.encode().as_slice() == data, "what was read is written otherwise");
            assert!((1..=MAX_VERSIONS).contains(&record.versions.len()), "more versions than an entry has");
            assert!(record.versions.windows(2).all(|pair| pair[0].number < pair[1].number));
            assert!(record.versions.iter().all(|version| version.compartment.len() <= 1024), "a compartment is too long");
            assert!(record.versions[0].number > 0 && record.version(record.current).is_some());
            assert!(record.tags.len() <= MAX_LABELS && record.meta.len() <= MAX_LABELS, "more labels than an entry has");
            assert!(record.meta.iter().all(|(key, value)| Tag::parse(key).is_ok() && value.len() <= 4096));
            assert!(record.category.as_ref().is_none_or(|category| Category::parse(category.as_str()).is_ok()));
        }
        if let Ok(listing) = Listing::decode(data) {
            assert!(listing.encode().as_slice() == data, "what was read is written otherwise");
        }
        if let Ok(journal) = Journal::decode(data) {
            assert!(journal.encode().as_slice() == data, "what was read is written otherwise");
            assert!(journal.value.expose().len() <= MAX_PENDING && journal.events.len() <= MAX_EVENTS && journal.base > 0);
        }
        if let Ok(schedule) = Schedule::decode(data) {
            assert!(schedule.encode().as_slice() == data, "what was read is written otherwise");
            assert!(schedule.fits());
        }
        let key = [&[keyspace::ENTRY], data].concat();
        if let Ok((at, id)) = keyspace::parse_time(&key) {
            assert!(keyspace::time(keyspace::ENTRY, at, &id) == key);
        }
        match keyspace::parse_entry_key(&key) {
            Ok(EntryKey::Record(id)) => assert!(keyspace::entry(&id) == key),
            Ok(EntryKey::Value(id, version)) => assert!(keyspace::value(&id, version) == key),
            Err(_) => {}
        }
        if let Ok(id) = keyspace::parse_entry(&key, 1) {
            assert!(keyspace::listing(&id)[1..] == key[1..]);
        }
        if let Some(after) = keyspace::after(data) {
            assert!(after.as_slice() > data && !after.starts_with(data));
        }
    });
}

/// What slots wrap, the key ring, slot labels and older data keys. The input is padded, or the CBOR within.
pub fn slot_payload(data: &[u8]) {
    bounded(data, |data| {
        if let Ok(payload) = SlotPayload::decode(data, &ID) {
            assert!(payload.encode(&ID).as_slice() == data, "what was read is written otherwise");
        }
        let padded = pad(data);
        if let Ok(payload) = SlotPayload::decode(&padded, &ID) {
            assert!(*payload.encode(&ID) == *padded, "what was read is written otherwise");
            assert!(SlotPayload::decode(&padded, &[0; 16]).is_err(), "a slot of another vault is taken");
            if let SlotPayload::Limited(keys) = &payload {
                data_keys_rules(&keys.data);
            }
        }
        key_ring(&padded);
        slot_label(&padded);
        older_key(&padded);
    });
}

fn data_keys_rules(keys: &DataKeys) {
    for compartment in keys.compartments() {
        assert!(compartment.len() <= 1024, "a compartment is too long");
        assert!(keys.newest(compartment).is_some_and(|key| key.number > 0));
    }
}

fn key_ring(padded: &[u8]) {
    let master = MasterKey::new(key());
    let aad = Transcript::new(label::KEY_RING).bytes(&ID).u64(1);
    let sealed = crypto::seal(&KEY, aad.as_bytes(), padded).unwrap();
    let Ok(ring) = KeyRing::open(&master, &ID, 1, &sealed) else { return };
    assert_eq!(ring.master, 1);
    data_keys_rules(&ring.data);
    let again = ring.seal(&master, &ID).unwrap();
    assert!(*crypto::open(&KEY, aad.as_bytes(), &again).unwrap() == *padded, "what was read is written otherwise");
}

fn slot_label(padded: &[u8]) {
    let aad = Transcript::new(label::SLOT_LABEL).bytes(&ID).bytes(b"age1somebody");
    let sealed = crypto::seal(&KEY, aad.as_bytes(), padded).unwrap();
    let make = |label: &SlotLabel| {
        Slot::new(&ID, &KEY, SlotKind::Raw, false, "age1somebody".to_owned(), label, vec![1]).expect("what was read is written")
    };
    let mut slot = make(&SlotLabel::full(""));
    slot.label = sealed;
    let Ok(label) = slot.open_label(&ID, &KEY) else { return };
    let again = crypto::open(&KEY, aad.as_bytes(), &make(&label).label).unwrap();
    assert!(*again == *padded, "what was read is written otherwise");
}

fn older_key(padded: &[u8]) {
    let older = OlderKey { id: &ID, compartment: "env:prod", number: 3 };
    let newer = NumberedKey::new(5, 0, DataKey::new(key()));
    let aad = |sealing: u64| Transcript::new(label::DATA_KEY).bytes(&ID).bytes(b"env:prod").u64(3).u64(sealing);
    let mut stored = 5u64.to_le_bytes().to_vec();
    crypto::seal_into(&KEY, aad(5).as_bytes(), padded, &mut stored).unwrap();
    assert_eq!(older.sealed_by(&stored), Ok(5));
    let Ok(opened) = older.open(&stored, &newer) else { return };
    assert_eq!(opened.number, 3);
    let again = older.seal(&opened, &newer).unwrap();
    // Optional fields of this map are left behind: it is never written again.
    let optional = unpad(padded).unwrap()[0] != 0xa2;
    assert!(
        optional || *crypto::open(&KEY, aad(5).as_bytes(), &again[8..]).unwrap() == *padded,
        "what was read is written otherwise"
    );
}

/// One of each kind, as the target takes them.
#[allow(dead_code, reason = "writes the corpus")]
pub fn slot_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let content = |padded: &[u8]| unpad(padded).unwrap().to_vec();
    let data = || {
        let mut data = DataKeys::default();
        for (compartment, number) in [("", 1), ("category:ci", 7), ("env:prod", 3)] {
            data.advance(compartment, NumberedKey::new(number, 1000, DataKey::new(key()))).unwrap();
        }
        data
    };
    let mut ring = KeyRing::generate(1000).unwrap();
    (ring.index, ring.signing, ring.system) = (IndexKey::new(key()), SigningSeed::new(key()), SystemKey::new(key()));
    ring.data = data();
    let master = MasterKey::new(key());
    let ring_aad = Transcript::new(label::KEY_RING).bytes(&ID).u64(1);
    let ring = crypto::open(&KEY, ring_aad.as_bytes(), &ring.seal(&master, &ID).unwrap()).unwrap();
    let limited = SlotPayload::Limited(LimitedKeys::new(IndexKey::new(key()), KEY, data()));
    let mut label = SlotLabel::full("ci");
    label.compartments = ["category:ci".to_owned(), "env:prod".to_owned()].into();
    let slot = Slot::new(&ID, &KEY, SlotKind::Raw, false, "a".to_owned(), &label, vec![1]).unwrap();
    let label_aad = Transcript::new(label::SLOT_LABEL).bytes(&ID).bytes(b"a");
    let label = crypto::open(&KEY, label_aad.as_bytes(), &slot.label).unwrap();
    let older = [&[0xa2, 0x00, 0x58, 0x20], &KEY[..], &[0x01, 0x19, 0x03, 0xe8]].concat();
    let full = SlotPayload::full(1, master).encode(&ID);
    vec![
        ("padded", full.to_vec()),
        ("full", content(&full)),
        ("limited", content(&limited.encode(&ID))),
        ("ring", content(&ring)),
        ("label", content(&label)),
        ("older-key", older),
    ]
}

/// Padded lengths, and values within their seal.
pub fn padding(data: &[u8]) {
    bounded(data, |data| {
        let padded = pad(data);
        assert!(padded.len() as u64 == padme(8 + data.len() as u64) && unpad(&padded) == Ok(data));
        let read = unpad(data);
        if let Ok(content) = read {
            assert!(*pad(content) == *data, "two spellings of one content");
        }
        // Nothing near 2^64 is ever padded.
        if let Some(length) = data.first_chunk().map(|head| u64::from_le_bytes(*head) >> 4) {
            let padded = padme(length);
            assert!(padded >= length.max(32) && padme(padded) == padded);
            assert!(length < 32 || padded - length <= length / 8);
        }
        let context = ValueContext { id: &ID, uid: &[1; 16], version: 2, compartment: "env:prod" };
        let aad = Transcript::new(label::VALUE).bytes(&ID).bytes(&[1; 16]).u64(2).bytes(b"env:prod").u64(4);
        let sealed = crypto::seal(&KEY, aad.as_bytes(), data).unwrap();
        let opened = context.open(&DataKey::new(key()), 4, &sealed);
        assert_eq!(opened.ok().as_ref().map(|value| value.expose()), read.ok());
        assert!(context.open(&DataKey::new(key()), 5, &sealed).is_err());
    });
}

/// A whole file from somebody without keys.
pub fn file(data: &[u8]) {
    bounded(data, whole::file);
}

/// A whole file from somebody who may write, and writes what breaks the rules. The input says how; see `reseal.rs`.
pub fn resealed(data: &[u8]) {
    bounded(data, whole::resealed);
}

/// A recipient or an identity as a text, and what a plugin of age answers.
pub fn age_keys(data: &[u8]) {
    bounded(data, keys::keys);
}

/// An encrypted stream, its line, its age file, a Fernet token, or the record of a foreign key.
pub fn stream(data: &[u8]) {
    bounded(data, streams::stream);
}

/// A dotenv file.
pub fn import_dotenv(data: &[u8]) {
    bounded(data, |data| interchange::import(Format::Dotenv, data));
}

/// A JSON file.
pub fn import_json(data: &[u8]) {
    bounded(data, |data| interchange::import(Format::Json, data));
}

/// A YAML file.
pub fn import_yaml(data: &[u8]) {
    bounded(data, |data| interchange::import(Format::Yaml, data));
}

/// A TOML file.
pub fn import_toml(data: &[u8]) {
    bounded(data, |data| interchange::import(Format::Toml, data));
}

/// A file of assignments for a shell.
pub fn import_shell(data: &[u8]) {
    bounded(data, |data| interchange::import(Format::Shell, data));
}

/// A CSV file.
pub fn import_csv(data: &[u8]) {
    bounded(data, |data| interchange::import(Format::Csv, data));
}

/// Files for fish, PowerShell, docker, `$GITHUB_ENV` and Kubernetes: each format reads every input.
pub fn import_programs(data: &[u8]) {
    for format in [Format::Fish, Format::PowerShell, Format::Docker, Format::GithubEnv, Format::K8s] {
        bounded(data, |data| interchange::import(format, data));
    }
}

/// Exports of Bitwarden, 1Password, kbs2 and sops, and secrets of pass and gopass: each reads every input.
pub fn import_stores(data: &[u8]) {
    for source in Source::ALL {
        bounded(data, |data| interchange::import_from(source, data));
    }
    bounded(data, interchange::secret);
}

/// A KeePass database.
pub fn import_kdbx(data: &[u8]) {
    bounded(data, interchange::kdbx);
}

/// Fields of JSON values. The input is a path, a new value and a document, each on a line, the last with the rest.
pub fn json_field(data: &[u8]) {
    bounded(data, texts::json_field);
}

/// Names of entries, categories, environments and tags; specifications of generators.
pub fn names(data: &[u8]) {
    bounded(data, texts::names);
}

/// Records of users, their names and sessions, and exports of another service.
pub fn users(data: &[u8]) {
    bounded(data, users::users);
}
