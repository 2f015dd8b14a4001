//! Files that open.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use vault::crypto::{Argon2Cost, Hash, X25519Identity};
use vault::format::header::{SlotKind, unhex};
use vault::name::{Category, EntryId, Environment, Name, Tag};
use vault::vault::{Change, WitnessPolicy};
use vault::{Kind, Locked, NewSlot, Options, Passphrase, RawKey, Vault, Write};
use zeroize::Zeroizing;

use super::{Case, Forge, Item, Items, Map, Plan, RAW, Source, T, Vector, put, raw_key, refused, state, text};
use crate::view;

pub const CASES: &[Case] = &[
    ("raw-key", raw),
    ("empty", |_| Made::new(vec![raw_slot()]).vector("nothing but a first commit without a tree", vec![raw_key()], 1, &mut [])),
    ("passphrase", passphrase),
    ("age-identity", age_identity),
    ("several-slots", several_slots),
    ("64-slots", sixty_four_slots),
    ("limited-slots", limited_slots),
    ("older-data-keys", older_data_keys),
    ("fields", fields),
    ("values", values),
    ("limits", limits),
    ("versions", versions),
    ("renumbered", renumbered),
    ("removed-slots", removed_slots),
    ("two-levels", two_levels),
    ("four-levels", four_levels),
    ("emptied", emptied),
    ("rewritten", rewritten),
    ("torn-tail", torn_tail),
    ("behind-a-torn-tail", behind_a_torn_tail),
    ("record-copied-behind", record_copied_behind),
    ("merge", merge),
    ("optional-fields", optional_fields),
    ("rotations", rotations),
    ("slot-of-another-kind", slot_of_another_kind),
    ("passphrase-behind-another", passphrase_behind_another),
];

/// A vault that the library makes.
struct Made {
    directory: PathBuf,
    labels: Vec<Value>,
    /// What a rewrite must remember.
    lineage: Vec<Value>,
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn raw_slot() -> (String, NewSlot) {
    ("raw".to_owned(), NewSlot::RawKey(RawKey::new(Zeroizing::new(RAW))))
}

impl Made {
    fn new(slots: Vec<(String, NewSlot)>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("vault-vector-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let labels = slots.iter().map(|(label, _)| json!([label, []])).collect();
        let made = Self { directory, labels, lineage: Vec::new() };
        Vault::create(&made.path(), &slots, T).unwrap();
        made
    }

    fn of(bytes: &[u8], labels: Vec<Value>) -> Self {
        let mut made = Self::new(vec![raw_slot()]);
        std::fs::write(made.path(), bytes).unwrap();
        made.labels = labels;
        made
    }

    fn path(&self) -> PathBuf {
        self.directory.join("made.vault")
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    fn open(&self, key: &Value) -> Vault {
        let options = Options { witness: WitnessPolicy::Off, ..Options::default() };
        Locked::open(&self.path()).unwrap().unlock(&view::credential(key), options).unwrap()
    }

    /// Writes the file anew, which must remember each of its records, first to last.
    fn compact(&mut self) {
        let bytes = self.bytes();
        let blocks = bytes.chunks(4096).filter(|block| block.starts_with(b"VLTCMT1\n"));
        self.lineage = blocks.zip(1..).map(|(block, sequence)| json!([sequence, Hash::of(block).to_hex()])).collect();
        self.open(&raw_key()).compact(T).unwrap();
    }

    /// Writes an entry version by version; returns how many commits that took.
    fn write(&self, key: &Value, plan: &Plan) -> u64 {
        let vault = self.open(key);
        for version in &plan.versions {
            let write = Write {
                category: plan.category.as_ref().map_or(Change::Keep, |text| Change::Set(Category::parse(text).unwrap())),
                tags: Change::Set(plan.tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect()),
                meta: plan.meta.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect(),
                expires: plan.expires.map_or(Change::Keep, Change::Set),
                ..Write::value(Zeroizing::new(version.value.clone()).into(), version.kind)
            };
            assert_eq!(vault.set(&id(plan), write, version.created).unwrap().version, version.number);
        }
        plan.versions.len() as u64
    }

    /// The file as it is. The library draws uids at random; everything else is as planned.
    fn vector(self, about: &'static str, keys: Vec<Value>, sequence: u64, plans: &mut [Plan]) -> Vector {
        let mut request = keys.iter().find(|key| key.get("refused").is_none()).unwrap().clone();
        request["file"] = self.path().to_str().unwrap().into();
        let answer = view::answer(&request);
        for entry in answer["state"]["entries"].as_array().unwrap() {
            let plan = plans.iter_mut().find(|plan| plan.environment == entry["environment"] && plan.name == entry["name"]);
            plan.unwrap().uid = unhex(entry["uid"].as_str().unwrap()).unwrap();
        }
        let bytes = self.bytes();
        let mut state = state(&bytes, sequence, false, &self.labels, plans);
        state["lineage"] = self.lineage.clone().into();
        Vector { about, file: Source::Bytes(bytes), keys, state }
    }
}

fn id(plan: &Plan) -> EntryId {
    EntryId { environment: Environment::parse(&plan.environment).ok(), name: Name::parse(&plan.name).unwrap() }
}

fn sound(about: &'static str, (bytes, state): (Vec<u8>, Value)) -> Vector {
    Vector { about, file: Source::Bytes(bytes), keys: vec![raw_key()], state }
}

fn raw(_: &Path) -> Vector {
    let made = Made::new(vec![raw_slot()]);
    let plan = Plan::new("db_prod").text("s3cret");
    made.write(&raw_key(), &plan);
    let keys = vec![raw_key(), refused(json!({ "raw": view::hex(&[8; 32]) }), "locked", "open")];
    made.vector("one entry, opened by a raw key", keys, 2, &mut [plan])
}

fn passphrase(_: &Path) -> Vector {
    // Not normalised: the same letters, put together otherwise, are another passphrase.
    let slot = |text: &str| NewSlot::Passphrase(Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())), Argon2Cost::FLOOR);
    let made = Made::new(vec![("me".to_owned(), slot("correct h\u{f6}rse \u{1f511}"))]);
    let key = json!({ "passphrase": "correct h\u{f6}rse \u{1f511}" });
    let plan = Plan::new("a").text("opened by a passphrase");
    made.write(&key, &plan);
    let wrong = |text: &str| refused(json!({ "passphrase": text }), "locked", "open");
    let keys = vec![key, wrong("correct ho\u{308}rse \u{1f511}"), wrong(""), wrong("correct h\u{f6}rse \u{1f511}\n")];
    made.vector("a passphrase at the floor of the derivation's cost", keys, 2, &mut [plan])
}

fn age_identity(_: &Path) -> Vector {
    let identity = X25519Identity::generate();
    let made = Made::new(vec![("me".to_owned(), NewSlot::Recipient(identity.recipient()))]);
    let key = json!({ "identity": identity.expose().as_str() });
    let plan = Plan::new("a").text("opened by an age identity");
    made.write(&key, &plan);
    let other = json!({ "identity": X25519Identity::generate().expose().as_str() });
    made.vector("an age identity of the user's own", vec![key, refused(other, "locked", "open")], 2, &mut [plan])
}

fn several_slots(_: &Path) -> Vector {
    let (one, two) = (X25519Identity::generate(), X25519Identity::generate());
    let passphrase =
        |text: &str| NewSlot::Passphrase(Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())), Argon2Cost::FLOOR);
    let made = Made::new(vec![
        ("laptop".to_owned(), passphrase("first")),
        ("ci".to_owned(), NewSlot::RawKey(RawKey::new(Zeroizing::new(RAW)))),
        ("ann".to_owned(), NewSlot::Recipient(one.recipient())),
        ("paper \u{1f4dc}".to_owned(), passphrase("second")),
        ("bob".to_owned(), NewSlot::Recipient(two.recipient())),
    ]);
    let plan = Plan::new("a").text("one").text("two");
    made.write(&raw_key(), &plan);
    let identity = |identity: &X25519Identity| json!({ "identity": identity.expose().as_str() });
    let keys = vec![
        raw_key(),
        identity(&one),
        identity(&two),
        json!({ "passphrase": "first" }),
        json!({ "passphrase": "second" }),
        refused(json!({ "passphrase": "third" }), "locked", "open"),
    ];
    made.vector("five slots of three kinds", keys, 3, &mut [plan])
}

fn sixty_four_slots(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    for n in 1..64_u8 {
        // An age file to each would be a header of 50 KiB.
        forge.cheap_slot(SlotKind::Other("future".to_owned()), &format!("r{n}"));
    }
    forge.begin();
    forge.commit(None, 0, |_| ());
    let state = forge.state(1, false, &[]);
    sound("as many slots as there may be, 63 of them of an unknown kind", (forge.bytes, state))
}

fn limited_slots(_: &Path) -> Vector {
    let both = "category:db\u{1f}env:prod";
    let mut forge = Forge::new();
    for (name, number) in [("category:db", 1), ("category:web", 3), ("env:prod", 2), (both, 1), ("category:web\u{1f}env:prod", 4)]
    {
        forge.compartment(name, &[number]);
    }
    let (db, prod) = (X25519Identity::generate(), X25519Identity::generate());
    let (of_db, of_prod) = (["category:db", both], ["category:db\u{1f}env:prod", "category:web\u{1f}env:prod", "env:prod"]);
    forge.raw(RAW);
    forge.slot(SlotKind::Age, &db, "db only", &["category:db"], forge.limited(&of_db));
    forge.slot(SlotKind::Age, &prod, "production", &["env:prod"], forge.limited(&of_prod));
    forge.begin();
    forge.commit(None, 0, |_| ());
    let mut made = Made::of(&forge.bytes, forge.labels.clone());
    let mut plans = [
        Plan::new("open").text("in no compartment").sealed("", 1),
        Plan::new("db").category("db").text("of the category").sealed("category:db", 1),
        Plan::new("web").category("web").text("of another category").sealed("category:web", 3),
        Plan::new("prod").environment("prod").text("of the environment").sealed("env:prod", 2),
        Plan::new("both").environment("prod").category("db").text("of both").sealed(both, 1),
        Plan::new("other").environment("prod").category("other").text("its category is none").sealed("env:prod", 2),
        Plan::new("web").environment("prod").category("web").text("both again").sealed("category:web\u{1f}env:prod", 4),
    ];
    for plan in &plans {
        made.write(&raw_key(), plan);
    }
    made.compact();
    let limited = |identity: &X25519Identity, compartments: &[&str]| {
        let identity = identity.expose();
        json!({ "identity": identity.as_str(), "access": "limited", "compartments": compartments })
    };
    let keys = vec![raw_key(), limited(&db, &of_db), limited(&prod, &of_prod)];
    made.vector("a slot for a category and one for an environment, and entries of both", keys, 9, &mut plans)
}

fn older_data_keys(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.compartment("", &[1, 2, 5, 9]);
    forge.compartment("env:prod", &[1, 4]);
    let limited = X25519Identity::generate();
    forge.raw(RAW);
    forge.slot(SlotKind::Age, &limited, "production", &["env:prod"], forge.limited(&["env:prod"]));
    let plans = [
        Plan::new("a").text("first").text("second").sealed("", 2).text("third").sealed("", 5).text("newest").sealed("", 9),
        Plan::new("b").environment("prod").text("out of it").sealed("", 1).text("older").sealed("env:prod", 1),
        Plan::new("c").environment("prod").text("newest").sealed("env:prod", 4),
    ];
    let (bytes, state) = forge.write(&plans);
    let key = json!({ "identity": limited.expose().as_str(), "access": "limited", "compartments": ["env:prod"] });
    Vector { keys: vec![raw_key(), key], ..sound("values under older data keys, whose numbers have gaps", (bytes, state)) }
}

fn fields(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    let plans = [
        Plan::new("plain").text("no fields"),
        Plan::new("plain").environment("prod").text("the same name elsewhere"),
        Plan::new("svc/db:1")
            .category("db")
            .tags(&["a", "b c", "\u{fc}"])
            .meta("note", "line\none\t\u{1b}")
            .meta("owner", "")
            .text("x"),
        Plan::new("soon").environment("prod").category("db").expires(T + 1).due(T + 2).text("x"),
        Plan::new("soon").environment("staging").expires(u64::MAX).text("x"),
        Plan::new("due").due(0).expires(0).text("x"),
        // Composed and decomposed letters are different names; so are letters that look alike.
        Plan::new("caf\u{e9}").text("composed"),
        Plan::new("cafe\u{301}").text("decomposed"),
        Plan::new("\u{43a}\u{43b}\u{44e}\u{447} \u{1f511}").environment("\u{4e2d}").category("\u{5d0}").text("far"),
        Plan::new("a\u{200b}\u{202e}b").text("invisible, and no white space"),
    ];
    sound("environments, categories, tags, metadata, times, and names that only their bytes tell apart", forge.write(&plans))
}

fn values(_: &Path) -> Vector {
    let all: Vec<u8> = (0..=255).collect();
    let json = br#"{"user":"app","port":5432,"list":[1,2.50,null],"\u00e9":"\ud83d\udd11"}"#;
    let mut made = Made::new(vec![raw_slot()]);
    let long = |length: usize| (0..length).map(|n| (n * 31 % 251) as u8).collect::<Vec<_>>();
    let mut plans = vec![
        Plan::new("bytes").value(Kind::Bytes, &all),
        Plan::new("text").text("two lines\nand \u{1f511}\n"),
        Plan::new("json").value(Kind::Json, json),
        Plan::new("nothing").text(""),
        Plan::new("zeros").value(Kind::Bytes, &[0; 40]),
        Plan::new("long").value(Kind::Bytes, &long(6000)),
        Plan::new("kinds").value(Kind::Bytes, &[0xff]).text("t").value(Kind::Json, b"[]"),
    ];
    // Where the padding takes another step, and where a sealed value no longer stands in a leaf: 40 bytes of seal, 8 of length.
    for length in [24, 25, 952, 953, 976, 977] {
        plans.push(Plan::new(&format!("length {length}")).value(Kind::Bytes, &long(length)));
    }
    let commits: u64 = plans.iter().map(|plan| made.write(&raw_key(), plan)).sum();
    made.compact();
    made.vector("bytes, text, JSON, nothing, and values in pages of their own", vec![raw_key()], commits + 2, &mut plans)
}

fn limits(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    let wide = |count: usize| "\u{1f511}".repeat(count);
    let longest = Plan::new(&wide(255)).environment(&wide(100)).category(&wide(100)).expires(T).due(T).text("x");
    let mut most = (1..=100).fold(Plan::new("most"), |plan, n| plan.text(&n.to_string()));
    most.tags = (0..63).map(|n| format!("tag {n:02}")).collect();
    most.tags.push(wide(100));
    most.meta = (0..64).map(|n| (format!("key {n:02}"), n.to_string())).collect();
    most.meta[0].1 = "m".repeat(4096);
    most.meta[1].0.push_str(&"w".repeat(94));
    sound("the longest names, and the most versions, tags and metadata", forge.write(&[longest, most]))
}

fn versions(_: &Path) -> Vector {
    let mut made = Made::new(vec![raw_slot()]);
    let mut plan = (1..=13).fold(Plan::new("often"), |plan, n| plan.text(&format!("version {n}")));
    made.write(&raw_key(), &plan);
    plan.created = Some(plan.versions[0].created);
    plan.versions.drain(..3);
    // What stood in the commits before is of no use here.
    made.compact();
    made.vector("an entry whose first versions are gone", vec![raw_key()], 15, &mut [plan])
}

/// Two slots were removed, one of them twice; what they could read is noted, and one entry went back to an earlier value.
fn removed_slots(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.compartment("", &[1]);
    forge.raw(RAW);
    let mut plan = Plan::new("a").text("first").text("second").text("first");
    plan.versions[2].repeats = Some(1);
    let plans = [plan, Plan::new("b").text("x")];
    let mut items: Items = forge.items(&plans);
    let recipient = vault::crypto::X25519Identity::from_secret(&[9; 32]).unwrap().recipient().to_string();
    for (label, time) in [("ann at work", T), ("bob", T), ("bob", T + 1)] {
        let removal = [&[7], label.as_bytes(), &[0], &u64::to_be_bytes(time)].concat();
        items.insert(removal.clone(), super::encode(&Item::M(vec![(0, text(&recipient)), (1, text("age"))])));
        for plan in &plans[..1 + usize::from(label == "bob")] {
            items.insert([removal.as_slice(), &plan.uid].concat(), super::encode(&Item::M(vec![(0, Item::U(1))])));
        }
    }
    forge.begin();
    let root = forge.tree(&items, 20);
    forge.commit(root, 2, |_| ());
    let state = forge.state(1, false, &plans);
    sound("slots that were removed, and what they could read", (forge.bytes, state))
}

fn renumbered(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    let mut plan = Plan::new("merged").text("a").text("b").text("c");
    plan.versions[1].number = 7;
    plan.versions[2].number = 8;
    plan.versions[2].sealed_as = 2;
    sound("versions that a merge gave other numbers", forge.write(&[plan]))
}

fn two_levels(_: &Path) -> Vector {
    let made = Made::new(vec![raw_slot()]);
    let mut plans: Vec<Plan> = (0..40).map(|n| Plan::new(&format!("name {n:02}")).text(&format!("value {n}"))).collect();
    let rows = plans.iter().map(|plan| {
        let version = &plan.versions[0];
        (id(plan), Write::value(Zeroizing::new(version.value.clone()).into(), version.kind))
    });
    let policy = vault::vault::ImportPolicy::Refuse;
    made.open(&raw_key()).import(rows.collect(), policy, false, plans[0].versions[0].created, &mut |_| ()).unwrap();
    made.vector("40 entries in one commit", vec![raw_key()], 2, &mut plans)
}

fn four_levels(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    let plans: Vec<Plan> = (0..10).map(|n| Plan::new(&format!("name {n}")).text(&format!("value {n}"))).collect();
    let items = forge.items(&plans);
    forge.begin();
    let root = forge.tree(&items, 3);
    assert_eq!(root.as_ref().unwrap().1, 3);
    forge.commit(root, 10, |_| ());
    let state = forge.state(1, false, &plans);
    sound("four levels of small nodes, whose keys are not always shortened", (forge.bytes, state))
}

fn emptied(_: &Path) -> Vector {
    let made = Made::new(vec![raw_slot()]);
    let plan = Plan::new("gone").text("x");
    made.write(&raw_key(), &plan);
    made.open(&raw_key()).remove(&[id(&plan)], T).unwrap();
    made.vector("nothing is left after a removal", vec![raw_key()], 3, &mut [])
}

fn rewritten(_: &Path) -> Vector {
    let mut made = Made::new(vec![raw_slot()]);
    let (one, two) = (Plan::new("a").text("1").text("2"), Plan::new("b").category("c").text("3"));
    made.write(&raw_key(), &one);
    made.write(&raw_key(), &two);
    made.compact();
    let three = Plan::new("c").text("behind the rewrite");
    made.write(&raw_key(), &three);
    made.vector(
        "epoch 2: a rewrite that remembers four records, and a commit behind it",
        vec![raw_key()],
        6,
        &mut [one, two, three],
    )
}

/// A file of two commits, and what a third one would add.
fn before_and_added() -> (Made, Plan, Vec<u8>) {
    let made = Made::new(vec![raw_slot()]);
    let plan = Plan::new("a").text("holds");
    made.write(&raw_key(), &plan);
    let before = made.bytes();
    made.write(&raw_key(), &Plan::new("b").text("torn"));
    let added = made.bytes()[before.len()..].to_vec();
    std::fs::write(made.path(), &before).unwrap();
    (made, plan, added)
}

fn torn_tail(_: &Path) -> Vector {
    let (made, plan, mut added) = before_and_added();
    // The record reached the medium, and of the span only a part.
    let length = added.len();
    added[100..length - 4096].fill(0);
    std::fs::write(made.path(), [made.bytes(), added].concat()).unwrap();
    let mut vector = made.vector("behind the newest record stands one whose span was torn", vec![raw_key()], 2, &mut [plan]);
    vector.state["tail"] = true.into();
    vector
}

fn behind_a_torn_tail(_: &Path) -> Vector {
    let (made, plan, added) = before_and_added();
    std::fs::write(made.path(), [made.bytes(), added[..1500].to_vec()].concat()).unwrap();
    let next = Plan::new("c").text("behind");
    made.write(&raw_key(), &next);
    made.vector("a commit behind a torn one, which lies in its span", vec![raw_key()], 3, &mut [plan, next])
}

fn record_copied_behind(_: &Path) -> Vector {
    let made = Made::new(vec![raw_slot()]);
    let plan = Plan::new("a").text("1");
    made.write(&raw_key(), &plan);
    let bytes = made.bytes();
    let first = header_length(&bytes);
    let copies = [&bytes[bytes.len() - 4096..], &bytes[first..first + 4096]].concat();
    std::fs::write(made.path(), [bytes, copies].concat()).unwrap();
    let mut vector =
        made.vector("copies of both records at the end: they hold only where they were", vec![raw_key()], 2, &mut [plan]);
    vector.state["tail"] = true.into();
    vector
}

/// Where the first record or page stands.
pub fn header_length(bytes: &[u8]) -> usize {
    let length: usize = std::str::from_utf8(&bytes[13..18]).unwrap().parse().unwrap();
    (83 + length).next_multiple_of(4096)
}

fn merge(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    forge.begin();
    forge.commit(None, 0, |_| ());
    let plans = [Plan::new("a").text("from the other side")];
    let mut items = forge.items(&plans);
    for sequence in 2..6_u64 {
        items.insert([&[0x7e], &sequence.to_be_bytes()[..], &[sequence as u8; 32]].concat(), Vec::new());
    }
    let root = forge.tree(&items, 20);
    forge.commit(root, 1, |map| {
        put(map, 1, Item::U(6));
        put(map, 8, Item::B(vec![5; 32]));
    });
    let mut state = forge.state(6, false, &plans);
    state["lineage"] = (2..6_u8).map(|sequence| json!([sequence, view::hex(&[sequence; 32])])).collect();
    sound("a merge: its sequence number is one more than the higher of both sides", (forge.bytes, state))
}

fn optional_fields(_: &Path) -> Vector {
    let mut forge = Forge::new();
    let nested = Item::A(vec![Item::M(vec![(0, Item::Null), (900, Item::Bool(true))]), Item::B(vec![1; 30]), Item::Bool(false)]);
    forge.more = vec![(128, text("kept")), (1 << 40, nested)];
    forge.compartment("", &[1, 2]);
    forge.raw(RAW);
    let plans = [
        Plan::new("a").text("under the older key").text("under the newer").sealed("", 2),
        Plan::new("b").category("c").tags(&["t"]).expires(T).text("x").sealed("", 2),
    ];
    let mut items: Items = forge.items(&plans);
    items.insert(b"\x10later\x00ann".to_vec(), forge.system(b"\x10later\x00ann", b"of a later version"));
    items.insert(b"\x20later".to_vec(), b"a keyspace that readers pass over".to_vec());
    items.insert(b"\xffafter".to_vec(), vec![9; 2000]);
    forge.begin_with(
        |_| (),
        |text| {
            let text = text.replacen("epoch", "colour = \"blue\"\nshape = { sides = 3, at = 1979-05-27T07:32:00Z }\nepoch", 1);
            text.replacen("access", "hint = 7\naccess", 1) + "\n[later]\nkey = [1.5, \"x\"]\n"
        },
    );
    let root = forge.tree(&items, 20);
    let more: Map = forge.more.clone();
    forge.commit(root, 2, |map| map.extend(more));
    let state = forge.state(1, false, &plans);
    sound("optional fields and keyspaces of a later version, wherever there may be some", (forge.bytes, state))
}

/// Entries that were rotated, one that is being rotated, and schedules.
fn rotations(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    let plans = [
        Plan::new("rotated").text("old").text("new").due(T + 1),
        Plan::new("under way").text("old"),
        Plan::new("failed").category("c").text("old"),
    ];
    let mut items: Items = forge.items(&plans);
    let last = vec![(0, Item::U(7)), (1, Item::U(T)), (2, Item::U(T + 9)), (3, Item::U(1))];
    let pending = vec![(0, Item::U(0)), (4, Item::Bool(true)), (200, text("of a later version"))];
    let failed = [last.clone(), vec![(5, Item::A(vec![Item::U(T + 2), text("verify ended with exit code 1")]))]].concat();
    for (plan, rotations) in plans.iter().zip([last, pending, failed]) {
        items.insert(plan.key(), super::encode(&Item::M(plan.record(&vec![(129, Item::M(rotations))]))));
    }
    let mut put = |kind: &str, plan: &Plan, map: Map| {
        let key = [b"\x10", kind.as_bytes(), b"\0", view::hex(&plan.uid).as_bytes()].concat();
        items.insert(key.clone(), forge.system(&key, &super::encode(&Item::M(map))));
    };
    put("rotation", &plans[1], super::journal());
    put("schedule", &plans[0], super::schedule());
    put("schedule", &plans[2], vec![(0, Item::U(1)), (6, Item::U(1))]);
    forge.begin();
    let root = forge.tree(&items, 20);
    forge.commit(root, 3, |_| ());
    let state = forge.state(1, false, &plans);
    sound("entries that were rotated, one that is being rotated, and schedules", (forge.bytes, state))
}

fn slot_of_another_kind(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.cheap_slot(SlotKind::Ssh, "ssh-ed25519 AAAA");
    forge.raw(RAW);
    forge.cheap_slot(SlotKind::Plugin, "age1yubikey1q");
    sound("slots of reserved kinds around one that opens", forge.write(&[Plan::new("a").text("x")]))
}

fn passphrase_behind_another(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.passphrase("weak");
    forge.passphrase("strong");
    let plans = [Plan::new("a").text("x")];
    let items = forge.items(&plans);
    forge.begin_with(|_| (), |text| text.replacen("m = 19456", "m = 19455", 1));
    let root = forge.tree(&items, 20);
    forge.commit(root, 1, |_| ());
    let state = forge.state(1, false, &plans);
    let keys = vec![json!({ "passphrase": "strong" }), refused(json!({ "passphrase": "weak" }), "damaged", "open")];
    Vector { keys, ..sound("a slot below the floor is passed over, and the one behind it opens", (forge.bytes, state)) }
}
