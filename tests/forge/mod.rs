//! Vault files by hand, so that each can have what the library does not write yet, or one fault. Encodings are this file's own and as plain as
//! the specification (`src/format/SPEC.md`) allows; only primitives, and the wrapping of slots, are the library's.

pub mod faults;
pub mod sound;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use vault::Kind;
use vault::crypto::keys::{self, Commitments, IndexKeys};
use vault::crypto::{self, Argon2Cost, Hash, Signer, Transcript, X25519Identity};
use vault::format::header::{Header, Slot, SlotKind, SlotLabel};
use vault::format::padding::pad;
use vault::format::page::Reference;
use vault::secret::{IndexKey, MasterKey, Passphrase, RawKey, SigningSeed};
use zeroize::Zeroizing;

use super::view::{base64, hex};

/// Noon of some day, in milliseconds.
pub const T: u64 = 1_700_000_000_000;

/// A golden file, or alterations of another one, and what must come of reading it.
pub struct Vector {
    pub about: &'static str,
    pub file: Source,
    /// What opens it, or does not, each as `tests/vectors/README.md` says.
    pub keys: Vec<Value>,
    /// What is read with full access; null where nothing is.
    pub state: Value,
}

pub enum Source {
    /// The bytes of a file of its own.
    Bytes(Vec<u8>),
    /// Another vector's file, with these bytes altered.
    Xor(&'static str, Vec<(usize, u8)>),
    /// Another vector's file, cut to a length.
    Cut(&'static str, usize),
}

/// A name, and what makes the vector of that name; it is given the directory where the vectors before it stand.
pub type Case = (&'static str, fn(&Path) -> Vector);

/// The raw key of nearly all vectors.
pub const RAW: [u8; 32] = [7; 32];

pub fn raw_key() -> Value {
    json!({ "raw": hex(&RAW) })
}

/// That this key is refused, so and by then at the latest.
pub fn refused(mut key: Value, class: &str, at: &str) -> Value {
    key["refused"] = class.into();
    key["at"] = at.into();
    key
}

/// A file that is refused whole.
pub fn bad(about: &'static str, bytes: Vec<u8>, class: &str, at: &str) -> Vector {
    Vector { about, file: Source::Bytes(bytes), keys: vec![refused(raw_key(), class, at)], state: Value::Null }
}

/// An item of CBOR. Maps are written in the order that they have here.
#[derive(Clone)]
pub enum Item {
    U(u64),
    B(Vec<u8>),
    T(String),
    A(Vec<Item>),
    M(Map),
    Bool(bool),
    Null,
    /// Bytes as they are.
    Raw(Vec<u8>),
}

pub type Map = Vec<(u64, Item)>;

/// Sets a key of a map, or adds it in its place.
pub fn put(map: &mut Map, key: u64, item: Item) {
    match map.binary_search_by_key(&key, |(key, _)| *key) {
        Ok(at) => map[at].1 = item,
        Err(at) => map.insert(at, (key, item)),
    }
}

pub fn text(text: &str) -> Item {
    Item::T(text.to_owned())
}

pub fn encode(item: &Item) -> Vec<u8> {
    fn head(major: u8, n: u64) -> Vec<u8> {
        let first = |info: u8| vec![major << 5 | info];
        match n {
            0..24 => first(n as u8),
            24..0x100 => [first(24), vec![n as u8]].concat(),
            0x100..0x1_0000 => [first(25), (n as u16).to_be_bytes().to_vec()].concat(),
            0x1_0000..0x1_0000_0000 => [first(26), (n as u32).to_be_bytes().to_vec()].concat(),
            _ => [first(27), n.to_be_bytes().to_vec()].concat(),
        }
    }
    match item {
        Item::U(n) => head(0, *n),
        Item::B(bytes) => [head(2, bytes.len() as u64), bytes.clone()].concat(),
        Item::T(text) => [head(3, text.len() as u64), text.as_bytes().to_vec()].concat(),
        Item::A(items) => items.iter().fold(head(4, items.len() as u64), |all, item| [all, encode(item)].concat()),
        Item::M(map) => {
            map.iter().fold(head(5, map.len() as u64), |all, (key, item)| [all, head(0, *key), encode(item)].concat())
        }
        Item::Bool(is) => vec![if *is { 0xf5 } else { 0xf4 }],
        Item::Null => vec![0xf6],
        Item::Raw(bytes) => bytes.clone(),
    }
}

/// The journal of a rotation that is under way.
pub fn journal() -> Map {
    let event = |time: u64, what: &str| Item::A(vec![Item::U(time), text(what)]);
    let owner = vec![text("host"), text("place"), Item::U(7), Item::U(T + 60_000), Item::B(vec![3; 8])];
    vec![
        (0, text("")),
        (1, text("under way")),
        (2, Item::U(1)),
        (3, Item::B(b"new".to_vec())),
        (4, Item::U(1)),
        (5, Item::U(T)),
        (6, Item::U(1)),
        (7, text("apply <&3")),
        (8, text("verify <&3")),
        (10, Item::U(60_000)),
        (11, Item::U(86_400_000)),
        (12, Item::A(vec![event(T, "the new value is stored"), event(T + 1, "apply begins")])),
        (13, Item::A(owner)),
    ]
}

/// A schedule with all that it may have.
pub fn schedule() -> Map {
    vec![
        (0, Item::U(86_400_000)),
        (1, text("hex:32")),
        (3, text("apply <&3")),
        (4, text("verify <&3")),
        (5, text("rollback <&3")),
        (6, Item::U(60_000)),
        (7, Item::U(3_600_000)),
        (8, Item::A(vec![Item::U(2), Item::U(T), text("rotation_failed"), Item::U(T + 600_000)])),
        (128, text("of a later version")),
    ]
}

/// A tree's content.
pub type Items = BTreeMap<Vec<u8>, Vec<u8>>;

/// The root of a tree: its reference's bytes and its level.
pub type Root = Option<(Vec<u8>, u8)>;

/// A vault file in the making.
pub struct Forge {
    pub id: [u8; 16],
    pub epoch: u64,
    /// Sequence number of the next record.
    pub sequence: u64,
    /// Offset and hash of the record before.
    pub previous: Option<(u64, Hash)>,
    /// Data keys by compartment, ascending; the last stands in the ring.
    pub keys: BTreeMap<String, Vec<(u64, [u8; 32])>>,
    /// The file so far.
    pub bytes: Vec<u8>,
    pub header_length: u64,
    pub header_hash: Hash,
    /// Sum of the lengths of the pages since the last commit.
    pub live: u64,
    /// What is added to the ring's map, and to each slot's.
    pub more: Map,
    pub master: [u8; 32],
    pub index: [u8; 32],
    pub seed: [u8; 32],
    pub system: [u8; 32],
    /// The number of the master key that slots state.
    pub slot_master: u64,
    pub slots: Vec<Slot>,
    labels: Vec<Value>,
    span_start: u64,
}

impl Forge {
    pub fn new() -> Self {
        let key = || crypto::random::<32>().unwrap();
        Self {
            id: crypto::random().unwrap(),
            epoch: 1,
            sequence: 1,
            previous: None,
            keys: [(String::new(), vec![(1, key())])].into(),
            bytes: Vec::new(),
            header_length: 0,
            header_hash: Hash([0; 32]),
            live: 0,
            more: Map::new(),
            master: key(),
            index: key(),
            seed: key(),
            system: key(),
            slot_master: 1,
            slots: Vec::new(),
            labels: Vec::new(),
            span_start: 0,
        }
    }

    pub fn signer(&self) -> Signer {
        Signer::new(&SigningSeed::new(Zeroizing::new(self.seed)))
    }

    fn index_keys(&self) -> IndexKeys {
        IndexKeys::derive(&IndexKey::new(Zeroizing::new(self.index)), &self.id)
    }

    /// New data keys of a compartment, with these numbers.
    pub fn compartment(&mut self, name: &str, numbers: &[u64]) {
        let keys = numbers.iter().map(|number| (*number, crypto::random().unwrap())).collect();
        self.keys.insert(name.to_owned(), keys);
    }

    fn data_keys(&self, which: &[&str]) -> Item {
        let newest = |(name, keys): (&String, &Vec<(u64, [u8; 32])>)| {
            let (number, key) = keys.last().unwrap();
            let map = vec![(0, text(name)), (1, Item::U(*number)), (2, Item::B(key.to_vec())), (3, Item::U(T))];
            Item::M([map, self.more.clone()].concat())
        };
        Item::A(self.keys.iter().filter(|(name, _)| which.is_empty() || which.contains(&name.as_str())).map(newest).collect())
    }

    /// The map that the slots of full access hold.
    pub fn full(&self) -> Map {
        let id = Item::B(self.id.to_vec());
        [vec![(0, id), (1, Item::U(self.slot_master)), (2, Item::B(self.master.to_vec()))], self.more.clone()].concat()
    }

    /// The map that a slot of limited access holds.
    pub fn limited(&self, compartments: &[&str]) -> Map {
        let id = Item::B(self.id.to_vec());
        let public = Item::B(self.signer().public().to_vec());
        let map = vec![(0, id), (3, Item::B(self.index.to_vec())), (4, public), (5, self.data_keys(compartments))];
        [map, self.more.clone()].concat()
    }

    pub fn slot(&mut self, kind: SlotKind, identity: &X25519Identity, label: &str, compartments: &[&str], payload: Map) {
        let mut sealed = SlotLabel::full(label);
        sealed.compartments.extend(compartments.iter().map(|name| (*name).to_owned()));
        let recipient = identity.recipient();
        let wrap = crypto::encrypt_age(&recipient, &pad(&encode(&Item::M(payload)))).unwrap();
        let full = compartments.is_empty();
        let slot = Slot::new(&self.id, self.index_keys().slot_label(), kind, full, recipient.to_string(), &sealed, wrap);
        self.slots.push(slot.unwrap());
        self.labels.push(json!([label, compartments]));
    }

    /// A slot of a kind that is not tried, without an age file.
    pub fn cheap_slot(&mut self, kind: SlotKind, recipient: &str) {
        let (id, key) = (self.id, self.index_keys());
        let label = SlotLabel::full("later");
        self.slots.push(Slot::new(&id, key.slot_label(), kind, true, recipient.to_owned(), &label, Vec::new()).unwrap());
        self.labels.push(json!(["later", []]));
    }

    /// A slot of full access for a raw key.
    pub fn raw(&mut self, key: [u8; 32]) {
        let identity = keys::raw_key_identity(&RawKey::new(Zeroizing::new(key)), &self.id).unwrap();
        self.slot(SlotKind::Raw, &identity, "raw", &[], self.full());
    }

    /// A slot of full access for a passphrase, at the floor of the derivation's cost; the header may then say another one.
    pub fn passphrase(&mut self, passphrase: &str) {
        let salt = crypto::random().unwrap();
        let passphrase = Passphrase::new(Zeroizing::new(passphrase.as_bytes().to_vec()));
        let secret = crypto::argon2id(&passphrase, &salt, Argon2Cost::FLOOR).unwrap();
        let identity = X25519Identity::from_secret(&secret).unwrap();
        self.slot(SlotKind::Passphrase(salt, Argon2Cost::FLOOR), &identity, "passphrase", &[], self.full());
    }

    /// The map of the ring.
    pub fn ring(&self) -> Map {
        let map = vec![
            (0, Item::U(1)),
            (1, Item::B(self.index.to_vec())),
            (2, Item::B(self.seed.to_vec())),
            (3, Item::B(self.system.to_vec())),
            (4, self.data_keys(&[])),
        ];
        [map, self.more.clone()].concat()
    }

    /// Writes the header; `ring` and `edit` may change the ring's map and the header's text.
    pub fn begin_with(&mut self, ring: impl FnOnce(&mut Map), edit: impl FnOnce(String) -> String) {
        let mut map = self.ring();
        ring(&mut map);
        let aad = Transcript::new("vault/1 key ring").bytes(&self.id).u64(1);
        let sealed = crypto::seal(&self.master, aad.as_bytes(), &pad(&encode(&Item::M(map)))).unwrap();
        let commitments = Commitments {
            master: keys::commit_to_master(&MasterKey::new(Zeroizing::new(self.master)), &self.id),
            index: keys::commit_to_index(&IndexKey::new(Zeroizing::new(self.index)), &self.id),
        };
        let mut header = Header::new(self.id, self.signer().public(), 1, sealed, commitments);
        header.epoch = self.epoch;
        header.slots.clone_from(&self.slots);
        let written = header.encode(&self.signer()).unwrap();
        let length: usize = std::str::from_utf8(&written[13..18]).unwrap().parse().unwrap();
        let text = edit(String::from_utf8(written[19..19 + length].to_vec()).unwrap());
        self.bytes = format!("VAULT-FILE 1 {:05}\n{text}", text.len()).into_bytes();
        let signature = self.signer().sign(&Transcript::new("vault/1 header signature").bytes(&self.bytes));
        self.bytes.extend_from_slice(&signature);
        self.header_done();
    }

    /// Fills the header with zeros, and begins the first span.
    pub fn header_done(&mut self) {
        self.align();
        self.header_length = self.bytes.len() as u64;
        self.header_hash = Hash::of(&self.bytes);
        self.span_start = self.header_length;
    }

    pub fn begin(&mut self) {
        self.begin_with(|_| (), |text| text);
    }

    /// Zeros up to a multiple of 4096.
    pub fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4096), 0);
    }

    /// A page of this type; returns its reference.
    pub fn page(&mut self, kind: u8, plaintext: &[u8]) -> Vec<u8> {
        let offset = self.bytes.len() as u64;
        let aad = Transcript::new("vault/1 page").bytes(&self.id).u64(self.epoch).bytes(&[kind]).u64(offset);
        let sealed = crypto::seal(self.index_keys().page(), aad.as_bytes(), plaintext).unwrap();
        self.bytes.extend_from_slice(&sealed);
        self.live += sealed.len() as u64;
        Reference { offset, length: sealed.len() as u32, hash: Hash::of(&sealed) }.encode().to_vec()
    }

    /// A node with these items: each a key, and what stands behind it.
    pub fn node(&mut self, level: u8, items: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let kind = if level == 0 { 1 } else { 2 };
        let plaintext = node(level, items);
        self.page(kind, &plaintext)
    }

    /// A tree of these items, `per` of them in each node.
    pub fn tree(&mut self, items: &Items, per: usize) -> Root {
        let mut row: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (key, value) in items {
            let behind = if value.len() > 1024 { [vec![1], self.page(3, value)].concat() } else { inline(value) };
            row.push((key.clone(), behind));
        }
        let mut level = 0;
        while !row.is_empty() {
            let nodes: Vec<_> = row.chunks(per).map(|items| (items[0].0.clone(), self.node(level, items))).collect();
            if let [(_, root)] = nodes.as_slice() {
                return Some((root.clone(), level));
            }
            row = nodes;
            level += 1;
        }
        None
    }

    /// Ends a commit: zeros, and a record whose body `edit` may change.
    pub fn commit(&mut self, root: Root, entries: u64, edit: impl FnOnce(&mut Map)) {
        self.commit_block(root, entries, edit, |_| (), |_| ());
    }

    /// The same; `body` and `block` may change the body of 1,024 bytes before it is sealed, and the block before it is signed.
    pub fn commit_block(
        &mut self,
        root: Root,
        entries: u64,
        edit: impl FnOnce(&mut Map),
        body: impl FnOnce(&mut Vec<u8>),
        block: impl FnOnce(&mut Vec<u8>),
    ) {
        self.align();
        let offset = self.bytes.len() as u64;
        let span = &self.bytes[self.span_start as usize..];
        let hash = |hash: Option<Hash>| hash.map_or(Item::Null, |hash| Item::B(hash.0.to_vec()));
        let mut map = vec![
            (0, Item::U(self.epoch)),
            (1, Item::U(self.sequence)),
            (2, Item::U(offset)),
            (3, hash(Some(self.header_hash))),
            (4, root.as_ref().map_or(Item::Null, |(root, _)| Item::B(root.clone()))),
            (5, Item::U(root.map_or(0, |(_, level)| level.into()))),
            (6, self.previous.map_or(Item::Null, |(offset, _)| Item::U(offset))),
            (7, hash(self.previous.map(|(_, hash)| hash))),
            (8, Item::Null),
            (9, Item::U(self.span_start)),
            (10, hash(Some(Hash::of(span)))),
            (11, Item::Bool(span.len() > 1 << 20)),
            (12, Item::U(self.live)),
            (13, Item::U(entries)),
            (14, Item::U(T)),
        ];
        edit(&mut map);
        let map = encode(&Item::M(map));
        let mut plain = [&(map.len() as u16).to_le_bytes()[..], &map].concat();
        plain.resize(1024, 0);
        body(&mut plain);
        let aad = Transcript::new("vault/1 record").bytes(&self.id).u64(self.epoch).u64(offset);
        let sealed = crypto::seal(self.index_keys().record(), aad.as_bytes(), &plain).unwrap();
        let mut signed = [&b"VLTCMT1\n"[..], &sealed, &[0; 2960]].concat();
        block(&mut signed);
        let message = Transcript::new("vault/1 commit signature").bytes(&self.id).u64(offset).bytes(&signed);
        signed.extend_from_slice(&self.signer().sign(&message));
        assert_eq!(signed.len(), 4096);
        self.bytes.extend_from_slice(&signed);
        self.previous = Some((offset, Hash::of(&signed)));
        self.span_start = offset + 4096;
        self.sequence += 1;
        self.live = 0;
    }

    /// The whole file of these entries: header, and one commit.
    pub fn write(mut self, plans: &[Plan]) -> (Vec<u8>, Value) {
        let items = self.items(plans);
        self.begin();
        let root = self.tree(&items, 20);
        self.commit(root, plans.len() as u64, |_| ());
        let state = self.state(1, false, plans);
        (self.bytes, state)
    }

    /// What these entries put into the tree, with all older data keys.
    pub fn items(&self, plans: &[Plan]) -> Items {
        let mut items = Items::new();
        for plan in plans {
            items.extend(plan.items(self));
        }
        for (compartment, keys) in &self.keys {
            for pair in keys.windows(2) {
                let ((number, key), (by, sealing)) = (pair[0], pair[1]);
                let map = vec![(0, Item::B(key.to_vec())), (1, Item::U(T))];
                let map = encode(&Item::M([map, self.more.clone()].concat()));
                items.insert(older_key(compartment, number), self.older(compartment, number, by, &sealing, &map));
            }
        }
        items
    }

    /// An older data key as it stands in the tree: `map`, sealed by another.
    pub fn older(&self, compartment: &str, number: u64, by: u64, sealing: &[u8; 32], map: &[u8]) -> Vec<u8> {
        let aad = Transcript::new("vault/1 data key").bytes(&self.id).bytes(compartment.as_bytes()).u64(number).u64(by);
        [by.to_le_bytes().to_vec(), crypto::seal(sealing, aad.as_bytes(), &pad(map)).unwrap()].concat()
    }

    /// A record of keyspace 0x10.
    pub fn system(&self, key: &[u8], value: &[u8]) -> Vec<u8> {
        let aad = Transcript::new("vault/1 system").bytes(&self.id).bytes(key);
        crypto::seal(&self.system, aad.as_bytes(), &pad(value)).unwrap()
    }

    /// What a reader with full access must say of the file as it is.
    pub fn state(&self, sequence: u64, tail: bool, plans: &[Plan]) -> Value {
        state(&self.bytes, sequence, tail, &self.labels, plans)
    }
}

/// What a reader with full access must say of these bytes. Labels are `[text, compartments]`, in the order of the slots.
pub fn state(bytes: &[u8], sequence: u64, tail: bool, labels: &[Value], plans: &[Plan]) -> Value {
    let length: usize = std::str::from_utf8(&bytes[13..18]).unwrap().parse().unwrap();
    let header: toml::Table = std::str::from_utf8(&bytes[19..19 + length]).unwrap().parse().unwrap();
    let slots = header["slot"].as_array().unwrap().iter().zip(labels).map(|(slot, label)| {
        json!({
            "kind": slot["kind"].as_str(), "access": slot["access"].as_str(), "recipient": slot["recipient"].as_str(),
            "label": label[0], "compartments": label[1],
        })
    });
    let mut plans: Vec<&Plan> = plans.iter().collect();
    plans.sort_by_key(|plan| plan.path());
    json!({
        "id": header["id"].as_str(),
        "epoch": header["epoch"].as_integer(),
        "sequence": sequence,
        "tail": tail,
        "access": "full",
        "slots": slots.collect::<Vec<_>>(),
        "entries": plans.iter().map(|plan| plan.expected()).collect::<Vec<_>>(),
        "lineage": [],
    })
}

pub fn varint(mut n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

/// What stands behind a key in a leaf.
pub fn inline(value: &[u8]) -> Vec<u8> {
    [vec![0], varint(value.len()), value.to_vec()].concat()
}

/// The plaintext of a node. Every other key is written in full, though it could share bytes with the one before.
pub fn node(level: u8, items: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![if level == 0 { 1 } else { 2 }, level];
    out.extend_from_slice(&(items.len() as u16).to_le_bytes());
    let mut last: &[u8] = &[];
    for (number, (key, behind)) in items.iter().enumerate() {
        let common = last.iter().zip(key).take_while(|(a, b)| a == b).count();
        let shared = if number % 2 == 0 { 0 } else { common };
        out.extend([varint(shared), varint(key.len() - shared), key[shared..].to_vec(), behind.clone()].concat());
        last = key;
    }
    out
}

pub fn older_key(compartment: &str, number: u64) -> Vec<u8> {
    [&[6], compartment.as_bytes(), &[0], &number.to_be_bytes()].concat()
}

/// An entry that is to be written, and what must be read.
#[derive(Clone)]
pub struct Plan {
    pub environment: String,
    pub name: String,
    pub uid: [u8; 16],
    pub category: Option<String>,
    pub tags: Vec<String>,
    pub meta: Vec<(String, String)>,
    pub expires: Option<u64>,
    pub due: Option<u64>,
    /// When the first of all versions was written, if it is no longer there.
    pub created: Option<u64>,
    pub versions: Vec<Version>,
}

#[derive(Clone)]
pub struct Version {
    pub number: u64,
    pub created: u64,
    pub kind: Kind,
    pub key: u64,
    pub compartment: String,
    pub sealed_as: u64,
    pub repeats: Option<u64>,
    pub value: Vec<u8>,
}

impl Plan {
    pub fn new(name: &str) -> Self {
        Self {
            environment: String::new(),
            name: name.to_owned(),
            uid: crypto::random().unwrap(),
            category: None,
            tags: Vec::new(),
            meta: Vec::new(),
            expires: None,
            due: None,
            created: None,
            versions: Vec::new(),
        }
    }

    pub fn environment(mut self, environment: &str) -> Self {
        environment.clone_into(&mut self.environment);
        self
    }

    pub fn category(mut self, category: &str) -> Self {
        self.category = Some(category.to_owned());
        self
    }

    pub fn tags(mut self, tags: &[&str]) -> Self {
        self.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        self
    }

    pub fn meta(mut self, key: &str, value: &str) -> Self {
        self.meta.push((key.to_owned(), value.to_owned()));
        self
    }

    pub fn expires(mut self, at: u64) -> Self {
        self.expires = Some(at);
        self
    }

    pub fn due(mut self, at: u64) -> Self {
        self.due = Some(at);
        self
    }

    /// One more version, of the compartment that is not limited, sealed by data key 1.
    pub fn value(mut self, kind: Kind, value: &[u8]) -> Self {
        let number = self.versions.last().map_or(1, |last| last.number + 1);
        let created = T + number * 1000;
        let compartment = String::new();
        self.versions.push(Version {
            number,
            created,
            kind,
            key: 1,
            compartment,
            sealed_as: number,
            repeats: None,
            value: value.to_vec(),
        });
        self
    }

    pub fn text(self, value: &str) -> Self {
        self.value(Kind::Text, value.as_bytes())
    }

    /// The last version belongs to this compartment and is sealed by this data key.
    pub fn sealed(mut self, compartment: &str, key: u64) -> Self {
        let last = self.versions.last_mut().unwrap();
        compartment.clone_into(&mut last.compartment);
        last.key = key;
        self
    }

    pub fn path(&self) -> Vec<u8> {
        [self.environment.as_bytes(), &[0], self.name.as_bytes()].concat()
    }

    pub fn key(&self) -> Vec<u8> {
        [&[1], self.path().as_slice(), &[0]].concat()
    }

    pub fn value_key(&self, number: u64) -> Vec<u8> {
        [self.key(), number.to_be_bytes().to_vec()].concat()
    }

    pub fn category_key(&self, category: &str) -> Vec<u8> {
        [&[3], category.as_bytes(), &[0], &self.path()].concat()
    }

    pub fn time_key(&self, space: u8, at: u64) -> Vec<u8> {
        [&[space], &at.to_be_bytes()[..], &self.path()].concat()
    }

    pub fn listing_key(&self) -> Vec<u8> {
        [&[2], self.path().as_slice()].concat()
    }

    /// The map of the entry record.
    pub fn record(&self, more: &Map) -> Map {
        let versions = self.versions.iter().map(|version| {
            let mut map: Map = [version.number, version.created, version.kind as u64, version.key]
                .map(Item::U)
                .into_iter()
                .zip(0..)
                .map(|(item, key)| (key, item))
                .collect();
            if !version.compartment.is_empty() {
                map.push((4, text(&version.compartment)));
            }
            if version.sealed_as != version.number {
                map.push((5, Item::U(version.sealed_as)));
            }
            map.extend(version.repeats.map(|number| (7, Item::U(number))));
            Item::M([map, more.clone()].concat())
        });
        let mut map = vec![
            (0, Item::B(self.uid.to_vec())),
            (1, Item::U(self.versions.last().unwrap().number)),
            (2, Item::U(self.first_created())),
            (3, Item::A(versions.collect())),
        ];
        map.extend(self.category.iter().map(|category| (4, text(category))));
        if !self.tags.is_empty() {
            map.push((5, Item::A(self.tags.iter().map(|tag| text(tag)).collect())));
        }
        if !self.meta.is_empty() {
            map.push((6, Item::A(self.meta.iter().map(|(key, value)| Item::A(vec![text(key), text(value)])).collect())));
        }
        map.extend(self.expires.map(|at| (7, Item::U(at))));
        map.extend(self.due.map(|at| (8, Item::U(at))));
        map.push((9, Item::U(self.versions.last().unwrap().created)));
        [map, more.clone()].concat()
    }

    pub fn items(&self, forge: &Forge) -> Items {
        let mut items = Items::new();
        items.insert(self.key(), encode(&Item::M(self.record(&forge.more))));
        for version in &self.versions {
            items.insert(self.value_key(version.number), self.seal(forge, version, &pad(&version.value)));
        }
        let expires: Map = self.expires.map(|at| (1, Item::U(at))).into_iter().collect();
        items.insert(self.listing_key(), encode(&Item::M([expires, forge.more.clone()].concat())));
        items.extend(self.category.iter().map(|category| (self.category_key(category), Vec::new())));
        items.extend(self.expires.map(|at| (self.time_key(4, at), Vec::new())));
        items.extend(self.due.map(|at| (self.time_key(5, at), Vec::new())));
        items
    }

    /// Seals the padded bytes of a version.
    pub fn seal(&self, forge: &Forge, version: &Version, padded: &[u8]) -> Vec<u8> {
        let keys = &forge.keys[&version.compartment];
        let (_, key) = keys.iter().find(|(number, _)| *number == version.key).unwrap();
        let aad = Transcript::new("vault/1 value").bytes(&forge.id).bytes(&self.uid).u64(version.sealed_as);
        let aad = aad.bytes(version.compartment.as_bytes()).u64(version.key);
        crypto::seal(key, aad.as_bytes(), padded).unwrap()
    }

    fn first_created(&self) -> u64 {
        self.created.unwrap_or(self.versions[0].created)
    }

    pub fn expected(&self) -> Value {
        let versions = self.versions.iter().map(|version| {
            json!({
                "number": version.number, "created": version.created, "kind": version.kind.word(), "key": version.key,
                "compartment": version.compartment, "sealed_as": version.sealed_as, "value": base64(&version.value),
            })
        });
        let last = self.versions.last().unwrap();
        json!({
            "environment": self.environment, "name": self.name, "uid": hex(&self.uid), "category": self.category,
            "tags": self.tags, "meta": self.meta, "expires": self.expires, "due": self.due,
            "created": self.first_created(), "modified": last.created, "current": last.number,
            "versions": versions.collect::<Vec<_>>(),
        })
    }
}
