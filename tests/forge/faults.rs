//! Files with one fault each. Behind a seal the fault is signed for, as a broken or malicious writer would.

use std::path::Path;

use serde_json::{Value, json};
use vault::Kind;
use vault::crypto::{Hash, X25519Identity};
use vault::format::header::SlotKind;
use vault::format::padding::pad;

use super::sound::header_length;
use super::{
    Case, Forge, Item, Items, Map, Plan, RAW, Source, T, Vector, bad, encode, inline, node, older_key, put, raw_key, refused,
    text, varint,
};

/// Files that are refused for their header, or for what their slots hold.
pub const HEADERS: &[Case] = &[
    ("critical-feature", |_| {
        header("it needs a feature of a later version", "newer", |text| format!("critical = [\"zip\"]\n{text}"))
    }),
    ("critical-nothing", critical_nothing),
    ("format-2", |_| xor("its first line says 2", "raw-key", &[(11, 3)], "newer", "open", Value::Null)),
    ("format-large", |_| first_line("its first line says 4294967297", b"VAULT-FILE 4294967297 ", "newer")),
    ("format-0", |_| xor("its first line says 0", "raw-key", &[(11, 1)], "damaged", "open", Value::Null)),
    ("format-leading-zero", |_| first_line("its first line says 02", b"VAULT-FILE 02 ", "damaged")),
    ("header-too-long", |_| first_line("its first line says that the text has 65,454 bytes", b"VAULT-FILE 1 65454\n", "damaged")),
    ("header-cut", |_| cut("the file ends within the header", 4095)),
    ("65-slots", |_| {
        let slots = |n: usize| {
            format!("\n[[slot]]\nkind = \"future\"\naccess = \"full\"\nrecipient = \"r{n}\"\nlabel = \"\"\nwrap = \"\"\n")
        };
        header("one slot too many", "damaged", move |text| text + &(0..64).map(slots).collect::<String>())
    }),
    ("no-slots", |_| header("no slot", "damaged", |text| format!("slot = []\n{}", &text[..text.find("[[slot]]").unwrap()]))),
    ("duplicate-recipient", |_| {
        header("two slots with the same recipient", "damaged", |text| {
            let slot = text[text.find("[[slot]]").unwrap()..].to_owned();
            text + "\n" + &slot
        })
    }),
    ("header-not-toml", |_| header("its text is not TOML", "damaged", |text| text + "=\n")),
    ("header-not-utf-8", header_not_utf_8),
    ("header-number-as-text", |_| {
        header("a number stands there as text", "damaged", |text| text.replace("epoch = 1", "epoch = \"1\""))
    }),
    ("header-epoch-0", |_| header("epoch 0", "damaged", |text| text.replace("epoch = 1", "epoch = 0"))),
    ("header-key-missing", |_| {
        header("no master_commitment", "damaged", |text| text.replace("master_commitment", "mastercommitment"))
    }),
    ("header-another-master-commitment", |_| {
        header("another commitment to the master key", "damaged", |text| other_digit(text, "master_commitment = \""))
    }),
    ("header-another-index-commitment", |_| {
        header("another commitment to the index key", "damaged", |text| other_digit(text, "index_commitment = \""))
    }),
    ("header-hex-upper-case", |_| header("hex digits in upper case", "damaged", upper_case_id)),
    ("header-base64-not-canonical", |_| header("base64 with bits that count for nothing", "damaged", loose_base64)),
    ("header-zeros", header_zeros),
    ("header-signature", header_signature),
    ("header-of-another-vault", header_of_another_vault),
    ("slot-access", |_| header("access that is neither", "damaged", |text| text.replace("\"full\"", "\"some\""))),
    ("slot-raw-with-cost", |_| header("a raw slot with a cost", "damaged", |text| text.replace("access", "m = 19456\naccess"))),
    ("slot-passphrase-without-cost", passphrase_without_cost),
    ("slot-of-another-vault", |_| slot("it holds the id of another vault", "damaged", |map| put(map, 0, Item::B(vec![1; 16])))),
    ("slot-of-another-master-key", |_| slot("it holds another master key", "damaged", |map| put(map, 2, Item::B(vec![1; 32])))),
    ("slot-of-another-master-number", |_| slot("it holds another number", "damaged", |map| put(map, 1, Item::U(2)))),
    ("slot-critical-field", |_| slot("it holds a critical field of a later version", "newer", |map| put(map, 6, Item::U(1)))),
    ("slot-of-both-kinds", |_| {
        slot("it holds what full and what limited slots hold", "damaged", |map| put(map, 3, Item::B(vec![1; 32])))
    }),
    ("slot-claims-more", slot_claims_more),
    ("slot-another-signing-key", |_| limited_slot("another public signing key", |map| put(map, 4, Item::B(public(&[1; 32]))))),
    ("slot-another-index-key", |_| limited_slot("another index key", |map| put(map, 3, Item::B(vec![1; 32])))),
    ("slot-label", slot_label),
    ("ring-another-number", |_| ring("another number than the header's", "damaged", |map| put(map, 0, Item::U(2)))),
    ("ring-another-seed", |_| ring("another signing seed", "damaged", |map| put(map, 2, Item::B(vec![1; 32])))),
    ("ring-another-index-key", |_| ring("another index key", "damaged", |map| put(map, 1, Item::B(vec![1; 32])))),
    ("ring-critical-field", |_| ring("a critical field of a later version", "newer", |map| put(map, 127, Item::Null))),
    ("ring-without-system-key", |_| ring("no system key", "damaged", |map| map.retain(|(key, _)| *key != 3))),
    ("ring-compartment-twice", |_| ring("a compartment twice", "damaged", |map| put(map, 4, data_keys(&[("", 1), ("", 2)])))),
    ("ring-compartments-descend", |_| {
        ring("compartments that descend", "damaged", |map| put(map, 4, data_keys(&[("env:b", 1), ("env:a", 1)])))
    }),
    ("ring-key-number-0", |_| ring("a data key 0", "damaged", |map| put(map, 4, data_keys(&[("", 0)])))),
    ("ring-compartment-malformed", |_| {
        ring("a compartment of no known form", "damaged", |map| put(map, 4, data_keys(&[("db", 1)])))
    }),
    ("kdf-memory-below-floor", |_| kdf("less than 19 MiB", "m = 19455", "m = 19456", "downgrade")),
    ("kdf-passes-below-floor", |_| kdf("one pass", "t = 1", "t = 2", "downgrade")),
    ("kdf-lanes-below-floor", |_| kdf("no lane", "p = 0", "p = 1", "downgrade")),
    ("kdf-memory-above-ceiling", |_| kdf("more than 1 GiB", "m = 1048577", "m = 19456", "expensive")),
    ("kdf-passes-above-ceiling", |_| kdf("17 passes", "t = 17", "t = 2", "expensive")),
    ("kdf-lanes-above-ceiling", |_| kdf("17 lanes", "p = 17", "p = 1", "expensive")),
    ("kdf-memory-of-33-bits", |_| kdf("more KiB than 32 bits hold", "m = 4294967296", "m = 19456", "expensive")),
];

/// Files that are refused for a commit record, or whose newest record is passed over.
pub const RECORDS: &[Case] = &[
    ("record-critical-field", |_| record("a critical field of a later version", "newer", |map| put(map, 15, Item::Null))),
    ("record-another-epoch", |_| record("another epoch than the header's", "damaged", |map| put(map, 0, Item::U(2)))),
    ("record-another-offset", |_| record("another offset", "damaged", |map| put(map, 2, Item::U(8192)))),
    ("record-another-header", |_| record("the hash of another header", "damaged", |map| put(map, 3, Item::B(vec![0; 32])))),
    ("record-level-without-root", |_| record("a level, and no root", "damaged", |map| put(map, 5, Item::U(1)))),
    ("record-level-16", |_| rooted("a root of level 16", |map| put(map, 5, Item::U(16)))),
    ("record-root-behind-it", |_| record("a root behind the record", "damaged", |map| put(map, 4, reference(1 << 40, 100)))),
    ("record-root-in-header", |_| record("a root within the header", "damaged", |map| put(map, 4, reference(0, 100)))),
    ("record-root-overflows", |_| {
        record("a root that ends beyond 2^64", "damaged", |map| put(map, 4, reference(u64::MAX - 10, 100)))
    }),
    ("record-sequence-0", |_| record("sequence number 0", "damaged", |map| put(map, 1, Item::U(0)))),
    ("record-sequence-of-64-bits", |_| second("a sequence number of 64 bits", |map| put(map, 1, Item::U(1 << 63)))),
    ("record-too-much-live", |_| record("more live bytes than the file has", "damaged", |map| put(map, 12, Item::U(1)))),
    ("record-first-with-a-hash", |_| {
        record("sequence 1, and the hash of one before", "damaged", |map| put(map, 7, Item::B(vec![1; 32])))
    }),
    ("record-second-without-a-hash", |_| record("sequence 2, and no hash", "damaged", |map| put(map, 1, Item::U(2)))),
    ("record-first-with-an-offset", |_| {
        record("the offset of one before, and no hash", "damaged", |map| put(map, 6, Item::U(4096)))
    }),
    ("record-span-start", |_| record("a span that begins in the header", "damaged", |map| put(map, 9, Item::U(0)))),
    ("record-span-hash", |_| record("another hash of the span", "damaged", |map| put(map, 10, Item::B(vec![0; 32])))),
    ("record-durable-and-short", |_| {
        record("marked durable, though the span is short", "damaged", |map| put(map, 11, Item::Bool(true)))
    }),
    ("record-field-missing", |_| record("no count of entries", "damaged", |map| map.retain(|(key, _)| *key != 13))),
    ("record-field-twice", |_| record("a field twice", "damaged", |map| map.push((14, Item::U(1))))),
    ("record-fields-descend", |_| record("fields in another order", "damaged", |map| map.swap(12, 13))),
    ("record-long-integer", |_| {
        record("an integer in more bytes than it needs", "damaged", |map| put(map, 14, Item::Raw(vec![0x18, 1])))
    }),
    ("record-endless-bytes", |_| {
        record("bytes of indefinite length", "damaged", |map| {
            put(map, 8, Item::Raw([&[0x5f, 0x58, 32][..], &[1; 32], &[0xff]].concat()))
        })
    }),
    ("record-float", |_| record("a floating-point number", "damaged", |map| put(map, 14, Item::Raw(vec![0xf9, 0, 0])))),
    ("record-tag", |_| record("a tagged number", "damaged", |map| put(map, 14, Item::Raw(vec![0xc1, 0])))),
    ("record-body-zeros", |_| block("bytes behind the body's map", |body| body[1000] = 1, |_| ())),
    ("record-body-length", |_| block("a length beyond the body", |body| body[1] = 4, |_| ())),
    ("record-zeros", |_| block("bytes where zeros stand", |_| (), |block| block[2000] = 1)),
    ("record-moved", record_moved),
    ("record-of-another-vault", record_of_another_vault),
    ("record-previous-unaligned", |_| second("the offset of the record before is no block's", |map| put(map, 6, Item::U(4097)))),
    ("record-previous-is-itself", |_| {
        second("it names itself as the one before", |map| {
            let own = map[2].1.clone();
            put(map, 6, own);
        })
    }),
    ("record-gap", |_| second("its span does not begin behind the one before", |map| put(map, 6, Item::Null))),
    ("chain-hash", |_| chain("another hash of the record before", |map| put(map, 7, Item::B(vec![0; 32])))),
    ("chain-sequence", |_| chain("a sequence number left out", |map| put(map, 1, Item::U(3)))),
    ("live-bytes", |_| chain("another count of live bytes", |map| put(map, 12, Item::U(1)))),
    ("count-of-entries", count_of_entries),
];

/// Files that are refused for a page.
pub const PAGES: &[Case] = &[
    ("page-empty", |_| page("no items", 1, vec![1, 0, 0, 0])),
    ("page-short", |_| page("three bytes", 1, vec![1, 0, 1])),
    ("page-type", |_| page("the head of an inner node in a leaf", 1, [&[2, 0, 1, 0][..], &item(b"\x80a", b"")].concat())),
    ("page-level", |_| page("another level than its place has", 1, [&[1, 1, 1, 0][..], &item(b"\x80a", b"")].concat())),
    ("page-sealed-as-another-type", |_| page("sealed as an inner node", 2, node(0, &[(b"\x80a".to_vec(), inline(b""))]))),
    ("page-trailing-byte", |_| {
        page("a byte behind the items", 1, [node(0, &[(b"\x80a".to_vec(), inline(b""))]), vec![0]].concat())
    }),
    ("page-count", |_| page("an item fewer than it counts", 1, [&[1, 0, 2, 0][..], &item(b"\x80a", b"")].concat())),
    ("page-keys-descend", |_| {
        page("keys that descend", 1, [&[1, 0, 2, 0][..], &item(b"\x80b", b""), &item(b"\x80a", b"")].concat())
    }),
    ("page-key-twice", |_| page("a key twice", 1, [&[1, 0, 2, 0][..], &item(b"\x80a", b""), &item(b"\x80a", b"")].concat())),
    ("page-shares-too-much", |_| page("a first key that shares", 1, vec![1, 0, 1, 0, 1, 1, b'a', 0, 0])),
    ("page-key-too-long", |_| page("a key of 4,097 bytes", 1, [&[1, 0, 1, 0][..], &item(&[0x80; 4097], b"")].concat())),
    ("page-key-empty", |_| page("a key without a keyspace", 1, [&[1, 0, 1, 0][..], &item(b"", b"")].concat())),
    ("page-long-varint", |_| page("a length in more bytes than it needs", 1, vec![1, 0, 1, 0, 0, 0x81, 0, 0x80, 0, 0])),
    ("page-varint-of-33-bits", |_| page("a length of 2^32", 1, vec![1, 0, 1, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x10, 0x80, 0, 0])),
    ("page-kind-of-item", |_| page("an item of an unknown kind", 1, vec![1, 0, 1, 0, 0, 1, 0x80, 2, 0])),
    ("page-long-value-in-leaf", |_| {
        page("a value of 1,025 bytes in a leaf", 1, [&[1, 0, 1, 0][..], &item(b"\x80a", &[1; 1025])].concat())
    }),
    ("page-short-value-in-overflow", |_| overflow("an overflow page of 1,024 bytes", 1024, |_| ())),
    ("page-reference-out-of-file", |_| overflow("a reference beyond the record", 1025, |bytes| bytes[5] = 1)),
    ("page-reference-length", |_| overflow("a reference of another length", 1025, |bytes| bytes[8] ^= 1)),
    ("page-reference-hash", |_| overflow("a reference of another hash", 1025, |bytes| bytes[43] ^= 1)),
    ("page-referred-to-twice", page_referred_to_twice),
    ("page-of-another-place", page_of_another_place),
    ("node-too-long", node_too_long),
    ("child-leaf-level", |_| inner("a leaf two levels below its parent", |child, _| vec![(b"\x80".to_vec(), child)], 2)),
    ("child-level", child_level),
    ("child-below-its-bound", |_| inner("a child with keys below its bound", |child, _| vec![(b"\x80n".to_vec(), child)], 1)),
    ("child-above-its-bound", |_| {
        inner(
            "a child with keys of the one behind",
            |child, other| vec![(b"\x80".to_vec(), child), (b"\x80b".to_vec(), other)],
            1,
        )
    }),
];

/// Files that are refused for what stands in their tree.
pub const TREES: &[Case] = &[
    ("entry-critical-field", |_| entry("a critical field of a later version", "newer", |map| put(map, 10, Item::U(1)))),
    ("entry-kind-3", |_| version("a kind of value of a later version", "newer", |map| put(map, 2, Item::U(3)))),
    ("entry-kind-300", |_| version("a kind of value above 255", "newer", |map| put(map, 2, Item::U(300)))),
    ("entry-version-critical-field", |_| version("a critical field of a version", "newer", |map| put(map, 6, Item::U(3)))),
    ("entry-version-repeats-itself", |_| version("a version that repeats itself", "damaged", |map| put(map, 7, Item::U(1)))),
    ("removed-slot-missing", |_| {
        index("an entry that no removed slot could read", |plan, items| {
            let key = [&[7], &b"ann"[..], &[0], &T.to_be_bytes(), &plan.uid].concat();
            items.insert(key, encode(&Item::M(vec![(0, Item::U(1))]))).is_none()
        })
    }),
    ("removed-slot-label", |_| {
        index("a removed slot without a label", |_, items| {
            let map = Item::M(vec![(0, text("age1")), (1, text("age"))]);
            items.insert([&[7, 0][..], &T.to_be_bytes()].concat(), encode(&map)).is_none()
        })
    }),
    ("entry-long-integer", |_| {
        entry("an integer in more bytes than it needs", "damaged", |map| put(map, 9, Item::Raw(vec![0x19, 0, 99])))
    }),
    ("entry-trailing-byte", |_| {
        tree("a byte behind the map", "damaged", "read", |_, plan, items| items.get_mut(&plan.key()).unwrap().push(0))
    }),
    ("entry-optional-long-integer", |_| {
        entry("an integer in an optional field, in more bytes than it needs", "damaged", |map| {
            put(map, 200, Item::Raw(vec![0x18, 1]))
        })
    }),
    ("entry-optional-float", |_| {
        entry("a floating-point number in an optional field", "damaged", |map| put(map, 200, Item::Raw(vec![0xf9, 0, 0])))
    }),
    ("entry-optional-negative", |_| {
        entry("a negative number in an optional field", "damaged", |map| put(map, 200, Item::Raw(vec![0x20])))
    }),
    ("entry-optional-map-of-text", |_| {
        entry("a map keyed by text in an optional field", "damaged", |map| put(map, 200, Item::Raw(vec![0xa1, 0x61, b'a', 0])))
    }),
    ("entry-optional-map-descends", |_| {
        entry("a map in an optional field whose keys descend", "damaged", |map| put(map, 200, Item::Raw(vec![0xa2, 1, 0, 0, 0])))
    }),
    ("entry-optional-not-utf-8", |_| {
        entry("text in an optional field that is not UTF-8", "damaged", |map| put(map, 200, Item::Raw(vec![0x61, 0xff])))
    }),
    ("entry-nested-16", nested_16),
    ("entry-nested-17", |_| entry("17 containers within one another", "damaged", |map| put(map, 200, nested(16)))),
    ("entry-without-uid", |_| entry("no uid", "damaged", |map| map.retain(|(key, _)| *key != 0))),
    ("entry-uid-length", |_| entry("a uid of 15 bytes", "damaged", |map| put(map, 0, Item::B(vec![1; 15])))),
    ("entry-current", |_| entry("a current version that is not the last", "damaged", |map| put(map, 1, Item::U(1)))),
    ("entry-no-versions", |_| entry("no versions", "damaged", |map| put(map, 3, Item::A(Vec::new())))),
    ("entry-versions-descend", |_| {
        entry("versions that descend", "damaged", |map| {
            if let Item::A(versions) = &mut map[3].1 {
                versions.reverse();
            }
        })
    }),
    ("entry-101-versions", |_| planned("101 versions", (1..=101).fold(Plan::new("a"), |plan, n| plan.text(&n.to_string())))),
    ("entry-states-empty-tags", |_| entry("an empty list of tags", "damaged", |map| put(map, 5, Item::A(Vec::new())))),
    ("entry-states-empty-metadata", |_| entry("an empty list of metadata", "damaged", |map| put(map, 6, Item::A(Vec::new())))),
    ("entry-states-empty-compartment", |_| version("an empty compartment", "damaged", |map| put(map, 4, text("")))),
    ("entry-states-same-number", |_| {
        version("a number under which it was sealed that is its own", "damaged", |map| put(map, 5, Item::U(1)))
    }),
    ("entry-compartment-malformed", |_| version("a compartment of no known form", "damaged", |map| put(map, 4, text("prod")))),
    ("entry-rotations-of-none", |_| {
        entry("that there were no rotations is stated", "damaged", |map| put(map, 129, Item::M(vec![(0, Item::U(0))])))
    }),
    ("entry-rotations-without-the-last", |_| {
        entry("a rotation without its time", "damaged", |map| put(map, 129, Item::M(vec![(0, Item::U(1))])))
    }),
    ("entry-rotations-critical-field", |_| {
        entry("an unknown critical field of rotations", "newer", |map| {
            put(map, 129, Item::M(vec![(0, Item::U(0)), (4, Item::Bool(true)), (6, Item::U(1))]));
        })
    }),
    ("rotation-without-value", |_| {
        system("a rotation without its value", "damaged", "rotation", super::journal(), |map| map.retain(|(key, _)| *key != 3))
    }),
    ("rotation-phase-5", |_| {
        system("a rotation in an unknown phase", "newer", "rotation", super::journal(), |map| put(map, 6, Item::U(5)))
    }),
    ("rotation-command-empty", |_| {
        system("a rotation with an empty command", "damaged", "rotation", super::journal(), |map| put(map, 7, text("")))
    }),
    ("schedule-of-two-sources", |_| {
        system("a schedule with a generator and a command", "damaged", "schedule", super::schedule(), |map| {
            put(map, 2, text("x"))
        })
    }),
    ("schedule-interval-0", |_| {
        system("a schedule without an interval", "damaged", "schedule", super::schedule(), |map| put(map, 0, Item::U(0)))
    }),
    ("entry-tags-descend", |_| entry("tags that descend", "damaged", |map| put(map, 5, Item::A(vec![text("b"), text("a")])))),
    ("entry-tag-twice", |_| entry("a tag twice", "damaged", |map| put(map, 5, Item::A(vec![text("a"), text("a")])))),
    ("entry-65-tags", |_| {
        entry("65 tags", "damaged", |map| put(map, 5, Item::A((0..65).map(|n| text(&format!("{n:02}"))).collect())))
    }),
    ("entry-65-pairs", |_| {
        let pair = |n: u64| Item::A(vec![text(&format!("{n:02}")), text("")]);
        entry("65 pairs of metadata", "damaged", move |map| put(map, 6, Item::A((0..65).map(pair).collect())))
    }),
    ("entry-metadata-key", |_| metadata("a control character in a metadata key", "a\u{7}", "")),
    ("entry-metadata-key-blank", |_| metadata("a metadata key that ends with a blank", "a ", "")),
    ("entry-metadata-value", |_| metadata("a metadata value of 4,097 bytes", "a", &"v".repeat(4097))),
    ("entry-category-control", |_| planned("a control character in a category", Plan::new("a").category("c\u{85}d").text("x"))),
    ("name-control", |_| planned("a control character in a name", Plan::new("a\nb").text("x"))),
    ("name-blank", |_| planned("a name that begins with white space", Plan::new("\u{3000}a").text("x"))),
    ("name-256", |_| planned("a name of 256 characters", Plan::new(&"n".repeat(256)).text("x"))),
    ("name-empty", |_| planned("an empty name", Plan::new("").text("x"))),
    ("environment-101", |_| planned("an environment of 101 characters", Plan::new("a").environment(&"e".repeat(101)).text("x"))),
    ("name-not-utf-8", |_| {
        tree("a name that is not UTF-8", "damaged", "read", |_, plan, items| {
            let record = items[&plan.key()].clone();
            items.insert(b"\x01\x00\xff\x00".to_vec(), record);
        })
    }),
    ("value-missing", |_| {
        tree("an entry without the value of a version", "damaged", "read", |_, plan, items| {
            items.remove(&plan.value_key(1)).unwrap();
        })
    }),
    ("value-without-version", |_| {
        tree("a value of a version that the entry does not have", "damaged", "check", |_, plan, items| {
            items.insert(plan.value_key(9), items[&plan.value_key(2)].clone());
        })
    }),
    ("value-without-entry", |_| {
        tree("a value of an entry that is not there", "damaged", "check", |_, plan, items| {
            items.insert(Plan::new("zz").value_key(1), items[&plan.value_key(2)].clone());
        })
    }),
    ("value-of-another-version", |_| {
        tree("the values of two versions, exchanged", "damaged", "read", |_, plan, items| {
            let (one, two) = (items[&plan.value_key(1)].clone(), items[&plan.value_key(2)].clone());
            items.extend([(plan.value_key(1), two), (plan.value_key(2), one)]);
        })
    }),
    ("value-of-another-entry", |_| {
        tree("the value of another entry", "damaged", "read", |forge, plan, items| {
            let other = Plan::new("other").text("1");
            items.insert(plan.value_key(1), other.items(forge)[&other.value_key(1)].clone());
        })
    }),
    ("value-of-another-compartment", value_of_another_compartment),
    ("value-padding", |_| value("padding that is not zero", |padded| *padded.last_mut().unwrap() = 1)),
    ("value-padding-too-long", |_| value("more padding than there should be", |padded| padded.extend([0; 4]))),
    ("value-padding-length", |_| value("a length beyond the padding", |padded| padded[0] = 200)),
    ("value-without-padding", |_| value("no padding", |padded| padded.truncate(9))),
    ("value-of-no-data-key", |_| version("a data key that is not there", "damaged", |map| put(map, 3, Item::U(7)))),
    ("listing-missing", |_| {
        tree("an entry that no listing shows", "damaged", "check", |_, plan, items| {
            items.remove(&plan.listing_key()).unwrap();
        })
    }),
    ("listing-without-entry", |_| {
        tree("a listing of an entry that is not there", "damaged", "check", |_, _, items| {
            items.insert(Plan::new("zz").listing_key(), vec![0xa0]);
        })
    }),
    ("listing-another-time", |_| {
        tree("a listing with another time", "damaged", "check", |_, plan, items| {
            items.insert(plan.listing_key(), encode(&Item::M(vec![(1, Item::U(T + 9))])));
        })
    }),
    ("index-category-missing", |_| {
        index("no index key of the category", |plan, items| items.remove(&plan.category_key("c")).is_some())
    }),
    ("index-expiry-missing", |_| index("no index key of the expiry", |plan, items| items.remove(&plan.time_key(4, T)).is_some())),
    ("index-due-missing", |_| {
        index("no index key of the time of rotation", |plan, items| items.remove(&plan.time_key(5, T + 1)).is_some())
    }),
    ("index-category-of-nothing", |_| {
        index("an index key of a category that the entry does not have", |plan, items| {
            items.insert(plan.category_key("d"), Vec::new()).is_none()
        })
    }),
    ("index-expiry-of-nothing", |_| {
        index("an index key of another expiry", |plan, items| items.insert(plan.time_key(4, T + 9), Vec::new()).is_none())
    }),
    ("index-due-of-nothing", |_| {
        index("an index key of another time of rotation", |plan, items| {
            items.insert(plan.time_key(5, T + 9), Vec::new()).is_none()
        })
    }),
    ("index-not-empty", |_| {
        index("a value behind an index key", |plan, items| items.insert(plan.category_key("c"), vec![1]).is_some())
    }),
    ("older-key-trailing-byte", |_| older("a byte behind the map", |map| [encode(&Item::M(map)), vec![0]].concat(), 2)),
    ("older-key-long-integer", |_| {
        older(
            "an integer in more bytes than it needs",
            |mut map| {
                put(&mut map, 1, Item::Raw(vec![0x18, 1]));
                encode(&Item::M(map))
            },
            2,
        )
    }),
    ("older-key-by-another", |_| older("it is not sealed by the next newer one", |map| encode(&Item::M(map)), 3)),
    ("older-key-missing", |_| {
        tree("a data key between two others is not there", "damaged", "read", |_, _, items| {
            items.remove(&older_key("", 2)).unwrap();
        })
    }),
    ("older-key-number", |_| {
        tree("an older data key with the number of the newest", "damaged", "check", |forge, _, items| {
            let key = forge.keys[""][2].1;
            items.insert(
                older_key("", 3),
                forge.older("", 3, 4, &key, &encode(&Item::M(vec![(0, Item::B(vec![1; 32])), (1, Item::U(T))]))),
            );
        })
    }),
];

fn header_file(more: impl FnOnce(&mut Forge), edit: impl FnOnce(String) -> String) -> Forge {
    let mut forge = Forge::new();
    more(&mut forge);
    forge.raw(RAW);
    forge.begin_with(|_| (), edit);
    forge.commit(None, 0, |_| ());
    forge
}

fn header(about: &'static str, class: &str, edit: impl FnOnce(String) -> String) -> Vector {
    bad(about, header_file(|_| (), edit).bytes, class, "open")
}

fn xor(about: &'static str, of: &'static str, bytes: &[(usize, u8)], class: &str, at: &str, state: Value) -> Vector {
    Vector { about, file: Source::Xor(of, bytes.to_vec()), keys: vec![refused(raw_key(), class, at)], state }
}

fn cut(about: &'static str, length: usize) -> Vector {
    Vector { about, file: Source::Cut("raw-key", length), keys: vec![refused(raw_key(), "damaged", "open")], state: Value::Null }
}

fn first_line(about: &'static str, line: &[u8], class: &str) -> Vector {
    let mut bytes = header_file(|_| (), |text| text).bytes;
    bytes[..line.len()].copy_from_slice(line);
    bad(about, bytes, class, "open")
}

fn critical_nothing(_: &Path) -> Vector {
    let forge = header_file(|_| (), |text| format!("critical = []\n{text}"));
    let state = forge.state(1, false, &[]);
    Vector { about: "a list of critical features without one", file: Source::Bytes(forge.bytes), keys: vec![raw_key()], state }
}

fn header_not_utf_8(_: &Path) -> Vector {
    let mut forge = header_file(|_| (), |text| format!("x = \"?\"\n{text}"));
    forge.bytes[24] = 0xff;
    bad("its text is not UTF-8", forge.bytes, "damaged", "open")
}

fn upper_case_id(text: String) -> String {
    let start = text.find("index_commitment = \"").unwrap() + 20;
    format!("{}{}{}", &text[..start], text[start..start + 64].to_uppercase(), &text[start + 64..])
}

fn other_digit(mut text: String, behind: &str) -> String {
    let at = text.find(behind).unwrap() + behind.len();
    let digit = if text[at..].starts_with('0') { "1" } else { "0" };
    text.replace_range(at..=at, digit);
    text
}

/// The last of the letters before `==` stands for two bits of data and four that are zero.
fn loose_base64(text: String) -> String {
    text + "\n[[slot]]\nkind = \"future\"\naccess = \"full\"\nrecipient = \"r\"\nlabel = \"AB==\"\nwrap = \"\"\n"
}

/// Changes the header's bytes behind the signature's back; the record then holds the hash of what is there.
fn header_altered(about: &'static str, at: &str, alter: impl FnOnce(&mut Vec<u8>, usize)) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    forge.begin();
    let length: usize = std::str::from_utf8(&forge.bytes[13..18]).unwrap().parse().unwrap();
    alter(&mut forge.bytes, 19 + length);
    forge.header_hash = Hash::of(&forge.bytes);
    forge.commit(None, 0, |_| ());
    let state = if at == "check" { forge.state(1, false, &[]) } else { Value::Null };
    Vector { state, ..bad(about, forge.bytes, "damaged", at) }
}

fn header_zeros(_: &Path) -> Vector {
    header_altered("a byte behind the signature is not zero", "open", |bytes, signature| bytes[signature + 64] = 1)
}

fn header_signature(_: &Path) -> Vector {
    header_altered("the header's signature does not hold, though the record's does", "check", |bytes, signature| {
        bytes[signature] ^= 1
    })
}

fn header_of_another_vault(_: &Path) -> Vector {
    let (one, two) = (header_file(|_| (), |text| text), header_file(|_| (), |text| text));
    let (at, other) = (header_length(&one.bytes), header_length(&two.bytes));
    bad(
        "the header of one vault before the commits of another",
        [&one.bytes[..at], &two.bytes[other..]].concat(),
        "damaged",
        "open",
    )
}

fn passphrase_without_cost(_: &Path) -> Vector {
    let forge = header_file(|forge| forge.passphrase("p"), |text| text.replace("t = 2\n", ""));
    bad("a passphrase slot without its passes", forge.bytes, "damaged", "open")
}

fn kdf(about: &'static str, is: &'static str, was: &'static str, says: &str) -> Vector {
    let forge = header_file(|forge| forge.passphrase("p"), |text| text.replace(was, is));
    let mut key = refused(json!({ "passphrase": "p" }), "damaged", "open");
    key["says"] = says.into();
    let state = forge.state(1, false, &[]);
    // It is the slot that is refused: another one opens.
    Vector { about, file: Source::Bytes(forge.bytes), keys: vec![key, raw_key()], state }
}

fn slot(about: &'static str, class: &str, edit: impl FnOnce(&mut Map)) -> Vector {
    let mut forge = Forge::new();
    let mut map = forge.full();
    edit(&mut map);
    let identity = X25519Identity::generate();
    forge.slot(SlotKind::Age, &identity, "a", &[], map);
    forge.begin();
    forge.commit(None, 0, |_| ());
    let key = json!({ "identity": identity.expose().as_str() });
    Vector { keys: vec![refused(key, class, "open")], ..bad(about, forge.bytes, class, "open") }
}

fn limited_slot(about: &'static str, edit: impl FnOnce(&mut Map)) -> Vector {
    let mut forge = Forge::new();
    forge.compartment("env:prod", &[1]);
    let mut map = forge.limited(&["env:prod"]);
    edit(&mut map);
    let identity = X25519Identity::generate();
    forge.slot(SlotKind::Age, &identity, "a", &["env:prod"], map);
    forge.begin();
    forge.commit(None, 0, |_| ());
    let key = json!({ "identity": identity.expose().as_str() });
    Vector { keys: vec![refused(key, "damaged", "open")], ..bad(about, forge.bytes, "damaged", "open") }
}

fn public(seed: &[u8; 32]) -> Vec<u8> {
    let mut forge = Forge::new();
    forge.seed = *seed;
    forge.signer().public().to_vec()
}

fn slot_claims_more(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.compartment("env:prod", &[1]);
    let identity = X25519Identity::generate();
    forge.slot(SlotKind::Age, &identity, "a", &["env:prod"], forge.limited(&["env:prod"]));
    forge.begin_with(|_| (), |text| text.replace("\"limited\"", "\"full\""));
    forge.commit(None, 0, |_| ());
    let key = json!({ "identity": identity.expose().as_str() });
    Vector {
        keys: vec![refused(key, "damaged", "open")],
        ..bad("a limited slot that calls itself full", forge.bytes, "damaged", "open")
    }
}

fn slot_label(_: &Path) -> Vector {
    // The label of another slot: it is bound to that one's recipient.
    let forge = header_file(
        |forge| forge.cheap_slot(SlotKind::Other("future".to_owned()), "r"),
        |text| {
            let label = |from: usize| {
                let start = text[from..].find("label = \"").unwrap() + from + 9;
                (start, start + text[start..].find('"').unwrap())
            };
            let (start, end) = label(0);
            let (second, second_end) = label(end);
            format!("{}{}{}", &text[..start], &text[second..second_end], &text[end..])
        },
    );
    bad("the label of another slot", forge.bytes, "damaged", "check")
}

fn ring(about: &'static str, class: &str, edit: impl FnOnce(&mut Map)) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    forge.begin_with(edit, |text| text);
    forge.commit(None, 0, |_| ());
    bad(about, forge.bytes, class, "open")
}

fn data_keys(list: &[(&str, u64)]) -> Item {
    let item = |(name, number): &(&str, u64)| {
        Item::M(vec![(0, text(name)), (1, Item::U(*number)), (2, Item::B(vec![1; 32])), (3, Item::U(T))])
    };
    Item::A(list.iter().map(item).collect())
}

fn reference(offset: u64, length: u32) -> Item {
    Item::B([&offset.to_le_bytes()[..], &length.to_le_bytes(), &[0; 32]].concat())
}

/// A file whose only record has a fault.
fn record(about: &'static str, class: &str, edit: impl FnOnce(&mut Map)) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    forge.begin();
    forge.commit(None, 0, edit);
    bad(about, forge.bytes, class, "open")
}

fn rooted(about: &'static str, edit: impl FnOnce(&mut Map)) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    forge.begin();
    let root = forge.tree(&[(b"\x80a".to_vec(), Vec::new())].into(), 1);
    forge.commit(root, 0, edit);
    bad(about, forge.bytes, "damaged", "open")
}

fn block(about: &'static str, body: impl FnOnce(&mut Vec<u8>), block: impl FnOnce(&mut Vec<u8>)) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    forge.begin();
    forge.commit_block(None, 0, |_| (), body, block);
    bad(about, forge.bytes, "damaged", "open")
}

fn record_moved(_: &Path) -> Vector {
    let mut bytes = header_file(|_| (), |text| text).bytes;
    let at = header_length(&bytes);
    bytes.splice(at..at, [0; 4096]);
    bad("the only record stands a block further on", bytes, "damaged", "open")
}

fn record_of_another_vault(_: &Path) -> Vector {
    // Both know the same signing key: the seal binds the vault's id.
    let make = |seed: [u8; 32]| header_file(|forge| forge.seed = seed, |text| text);
    let (one, two) = (make([1; 32]), make([1; 32]));
    let (at, other) = (header_length(&one.bytes), header_length(&two.bytes));
    bad("a record of another vault of the same signing key", [&one.bytes[..at], &two.bytes[other..]].concat(), "damaged", "open")
}

/// A file whose second record is passed over for a fault: the first one is the newest.
fn second(about: &'static str, edit: impl FnOnce(&mut Map)) -> Vector {
    let mut forge = header_file(|_| (), |text| text);
    let items = forge.items(&[Plan::new("a").text("hidden")]);
    let root = forge.tree(&items, 20);
    forge.commit(root, 1, edit);
    let state = forge.state(1, true, &[]);
    Vector { about, file: Source::Bytes(forge.bytes), keys: vec![raw_key()], state }
}

/// A file whose second record has a fault that only a check sees.
fn chain(about: &'static str, edit: impl FnOnce(&mut Map)) -> Vector {
    let mut forge = header_file(|_| (), |text| text);
    let plans = [Plan::new("a").text("x")];
    let items = forge.items(&plans);
    let root = forge.tree(&items, 20);
    let mut sequence = 0;
    forge.commit(root, 1, |map| {
        edit(map);
        sequence = if let Item::U(sequence) = map[1].1 { sequence } else { 0 };
    });
    let state = forge.state(sequence, false, &plans);
    Vector { state, ..bad(about, forge.bytes, "damaged", "check") }
}

fn count_of_entries(_: &Path) -> Vector {
    Vector { state: Value::Null, ..chain("another number of entries", |map| put(map, 13, Item::U(2))) }
}

/// An item of a leaf whose key shares nothing.
fn item(key: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![0], varint(key.len()), key.to_vec(), inline(value)].concat()
}

/// A file whose tree is this page.
fn page(about: &'static str, kind: u8, plaintext: Vec<u8>) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    forge.begin();
    let root = forge.page(kind, &plaintext);
    forge.commit(Some((root, 0)), 0, |_| ());
    bad(about, forge.bytes, "damaged", "check")
}

/// A file with one overflow page of this length, whose reference `edit` may change.
fn overflow(about: &'static str, length: usize, edit: impl FnOnce(&mut Vec<u8>)) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    forge.begin();
    let mut value = forge.page(3, &vec![1; length]);
    edit(&mut value);
    let root = forge.node(0, &[(b"\x80a".to_vec(), [vec![1], value].concat())]);
    forge.commit(Some((root, 0)), 0, |_| ());
    bad(about, forge.bytes, "damaged", "check")
}

fn page_referred_to_twice(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    forge.begin();
    let value = [vec![1], forge.page(3, &[1; 1025])].concat();
    let root = forge.node(0, &[(b"\x80a".to_vec(), value.clone()), (b"\x80b".to_vec(), value)]);
    forge.live += 1025 + 40;
    forge.commit(Some((root, 0)), 0, |_| ());
    bad("two keys refer to one page, which is counted twice", forge.bytes, "damaged", "check")
}

fn page_of_another_place(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    forge.begin();
    let mut root = forge.node(0, &[(b"\x80a".to_vec(), inline(b""))]);
    let at = header_length(&forge.bytes);
    let copy = forge.bytes[at..].to_vec();
    let moved = forge.bytes.len() as u64;
    forge.bytes.extend_from_slice(&copy);
    root[..8].copy_from_slice(&moved.to_le_bytes());
    forge.commit(Some((root, 0)), 0, |_| ());
    bad("a page that was copied to another place, with a reference to there", forge.bytes, "damaged", "check")
}

fn node_too_long(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    forge.begin();
    let items: Vec<_> = (0..65u8).map(|n| (vec![0x80, n], inline(&[n; 1010]))).collect();
    let root = forge.node(0, &items);
    forge.commit(Some((root, 0)), 0, |_| ());
    bad("a node of more than 65,536 bytes", forge.bytes, "damaged", "check")
}

type Node = Vec<(Vec<u8>, Vec<u8>)>;

/// A file whose root refers to leaves with the keys `80 61` to `80 63`, and `80 64`.
fn inner(about: &'static str, items: impl FnOnce(Vec<u8>, Vec<u8>) -> Node, level: u8) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    forge.begin();
    let leaf = |keys: &[u8]| keys.iter().map(|key| (vec![0x80, *key], inline(b""))).collect::<Vec<_>>();
    let one = forge.node(0, &leaf(b"abc"));
    let two = forge.node(0, &leaf(b"d"));
    let items = items(one, two.clone());
    if items.iter().all(|(_, child)| *child != two) {
        // Only what the root reaches is live.
        forge.live -= u64::from(u32::from_le_bytes(two[8..12].try_into().unwrap()));
    }
    let root = forge.node(level, &items);
    forge.commit(Some((root, level)), 0, |_| ());
    bad(about, forge.bytes, "damaged", "check")
}

fn child_level(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    forge.begin();
    let mut child = forge.node(0, &[(b"\x80a".to_vec(), inline(b""))]);
    for level in [1, 3] {
        child = forge.node(level, &[(b"\x80".to_vec(), child)]);
    }
    forge.commit(Some((child, 3)), 0, |_| ());
    bad("an inner node two levels below its parent", forge.bytes, "damaged", "check")
}

/// A file with an entry `a` of two versions and three data keys; `edit` may change what its tree holds.
fn tree(about: &'static str, class: &str, at: &str, edit: impl FnOnce(&Forge, &Plan, &mut Items)) -> Vector {
    let mut forge = Forge::new();
    forge.compartment("", &[1, 2, 3]);
    forge.raw(RAW);
    let plan = Plan::new("a").category("c").expires(T).due(T + 1).text("x").text("y");
    let mut items = forge.items(std::slice::from_ref(&plan));
    edit(&forge, &plan, &mut items);
    forge.begin();
    let root = forge.tree(&items, 20);
    forge.commit(root, 1, |_| ());
    bad(about, forge.bytes, class, at)
}

/// A system record that belongs to the entry.
fn system(about: &'static str, class: &str, kind: &str, mut map: Map, edit: impl FnOnce(&mut Map)) -> Vector {
    edit(&mut map);
    tree(about, class, "check", |forge, plan, items| {
        let key = [b"\x10", kind.as_bytes(), b"\0", crate::view::hex(&plan.uid).as_bytes()].concat();
        items.insert(key.clone(), forge.system(&key, &encode(&Item::M(map))));
    })
}

fn entry(about: &'static str, class: &str, edit: impl FnOnce(&mut Map)) -> Vector {
    tree(about, class, "read", |forge, plan, items| {
        let mut map = plan.record(&forge.more);
        edit(&mut map);
        items.insert(plan.key(), encode(&Item::M(map)));
    })
}

/// The same, for the map of the first version.
fn version(about: &'static str, class: &str, edit: impl FnOnce(&mut Map)) -> Vector {
    entry(about, class, |map| {
        if let Item::A(versions) = &mut map[3].1
            && let Item::M(version) = &mut versions[0]
        {
            edit(version);
        }
    })
}

fn metadata(about: &'static str, key: &str, value: &str) -> Vector {
    entry(about, "damaged", |map| put(map, 6, Item::A(vec![Item::A(vec![text(key), text(value)])])))
}

/// A file with this entry, which breaks a rule.
fn planned(about: &'static str, plan: Plan) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    bad(about, forge.write(&[plan]).0, "damaged", "read")
}

/// So many arrays within one another.
fn nested(count: usize) -> Item {
    (1..count).fold(Item::A(Vec::new()), |inner, _| Item::A(vec![inner]))
}

fn nested_16(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.raw(RAW);
    let plan = Plan::new("a").text("x");
    let mut items = forge.items(std::slice::from_ref(&plan));
    let mut map = plan.record(&Map::new());
    put(&mut map, 200, nested(15));
    items.insert(plan.key(), encode(&Item::M(map)));
    forge.begin();
    let root = forge.tree(&items, 20);
    forge.commit(root, 1, |_| ());
    let state = forge.state(1, false, &[plan]);
    Vector { about: "16 containers within one another", file: Source::Bytes(forge.bytes), keys: vec![raw_key()], state }
}

fn value_of_another_compartment(_: &Path) -> Vector {
    let mut forge = Forge::new();
    forge.compartment("env:prod", &[1]);
    forge.raw(RAW);
    let key = forge.keys[""][0];
    forge.keys.insert("env:prod".to_owned(), vec![key]);
    // The two compartments share their key here, so that only what the seal binds tells them apart.
    let plan = Plan::new("a").environment("prod").text("x").sealed("env:prod", 1);
    let mut items = forge.items(std::slice::from_ref(&plan));
    let open = plan.clone().sealed("", 1);
    items.insert(plan.value_key(1), open.items(&forge)[&plan.value_key(1)].clone());
    forge.begin();
    let root = forge.tree(&items, 20);
    forge.commit(root, 1, |_| ());
    bad("a value that was sealed for another compartment", forge.bytes, "damaged", "read")
}

fn value(about: &'static str, edit: impl FnOnce(&mut Vec<u8>)) -> Vector {
    tree(about, "damaged", "read", |forge, plan, items| {
        let version = &plan.versions[0];
        assert_eq!((version.kind, version.value.as_slice()), (Kind::Text, &b"x"[..]));
        let mut padded = pad(&version.value).to_vec();
        edit(&mut padded);
        items.insert(plan.value_key(1), plan.seal(forge, version, &padded));
    })
}

fn index(about: &'static str, edit: impl FnOnce(&Plan, &mut Items) -> bool) -> Vector {
    tree(about, "damaged", "check", |_, plan, items| assert!(edit(plan, items)))
}

/// The oldest of three data keys, as `make` encodes its map, sealed by the key `by`.
fn older(about: &'static str, make: impl FnOnce(Map) -> Vec<u8>, by: u64) -> Vector {
    tree(about, "damaged", "read", |forge, _, items| {
        let keys = &forge.keys[""];
        let map = make(vec![(0, Item::B(keys[0].1.to_vec())), (1, Item::U(T))]);
        let sealing = keys.iter().find(|(number, _)| *number == by).unwrap().1;
        items.insert(older_key("", 1), forge.older("", 1, by, &sealing, &map));
    })
}

/// One bit of another vector's file, in each of its areas.
pub const FLIPS: &[Case] = &[
    ("flip-first-line", |path| flip(path, "a digit of the length", |_| 17, None)),
    ("flip-id", |path| flip(path, "a digit of the vault's id", |bytes| digit_behind(bytes, "\nid = \""), Some("locked"))),
    ("flip-signing-key", |path| flip(path, "the public signing key", |bytes| digit_behind(bytes, "signing_key = \""), None)),
    ("flip-ring", |path| flip(path, "the sealed ring", |bytes| find(bytes, "ring = \"") + 60, None)),
    ("flip-wrap", |path| flip(path, "a slot's age file", |bytes| find(bytes, "wrap = \"") + 300, None)),
    ("flip-label", |path| flip(path, "a slot's label", |bytes| find(bytes, "label = \"") + 40, None)),
    ("flip-header-signature", |path| flip(path, "the header's signature", |bytes| text_end(bytes) + 5, None)),
    ("flip-header-zeros", |path| flip(path, "the zeros of the header", |bytes| header_length(bytes) - 1, None)),
    ("flip-page", |path| older_state(path, "a page of the newest commit", |bytes| header_length(bytes) + 4096 + 30)),
    ("flip-span-zeros", |path| older_state(path, "the zeros of the newest span", |bytes| bytes.len() - 4097)),
    ("flip-magic", |path| older_state(path, "the magic of the newest record", |bytes| bytes.len() - 4096)),
    ("flip-record", |path| older_state(path, "the sealed body of the newest record", |bytes| bytes.len() - 4000)),
    ("flip-record-zeros", |path| older_state(path, "the zeros of the newest record", |bytes| bytes.len() - 100)),
    ("flip-record-signature", |path| older_state(path, "the signature of the newest record", |bytes| bytes.len() - 1)),
    ("flip-first-record", first_record),
    ("cut-newest-record", |path| {
        let bytes = base(path);
        Vector { file: Source::Cut("raw-key", bytes.len() - 1), ..older_state(path, "the last byte is gone", |_| 0) }
    }),
    ("cut-all-records", |path| cut("nothing is left but the header", header_length(&base(path)))),
];

fn base(directory: &Path) -> Vec<u8> {
    std::fs::read(directory.join("raw-key.vault")).unwrap()
}

fn base_state(directory: &Path) -> Value {
    let text = std::fs::read_to_string(directory.join("raw-key.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["state"].clone()
}

fn find(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap()
}

/// A decimal digit: among those, this bit gives another one.
fn digit_behind(bytes: &[u8], text: &str) -> usize {
    let start = find(bytes, text) + text.len();
    start + bytes[start..].iter().position(u8::is_ascii_digit).unwrap()
}

fn text_end(bytes: &[u8]) -> usize {
    19 + std::str::from_utf8(&bytes[13..18]).unwrap().parse::<usize>().unwrap()
}

fn flip(directory: &Path, about: &'static str, at: impl FnOnce(&[u8]) -> usize, class: Option<&str>) -> Vector {
    xor(about, "raw-key", &[(at(&base(directory)), 1)], class.unwrap_or("damaged"), "open", Value::Null)
}

/// What is left is the state before.
fn older_state(directory: &Path, about: &'static str, at: impl FnOnce(&[u8]) -> usize) -> Vector {
    let mut state = base_state(directory);
    state["sequence"] = 1.into();
    state["tail"] = true.into();
    state["entries"] = json!([]);
    Vector { about, file: Source::Xor("raw-key", vec![(at(&base(directory)), 1)]), keys: vec![raw_key()], state }
}

fn first_record(directory: &Path) -> Vector {
    let bytes = base(directory);
    let state = base_state(directory);
    xor("the first record, which the newest one names", "raw-key", &[(header_length(&bytes) + 200, 1)], "damaged", "check", state)
}
