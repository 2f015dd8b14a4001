//! Writes the part of the corpus that is not text, for when the format changes:
//! `cargo test --test fuzz -- --ignored seeds`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use keepass::config::{DatabaseConfig, KdfConfig};
use keepass::{Database, DatabaseKey};
use vault::crypto::{FernetToken, Hash, X25519Identity, encrypt_age_stream};
use vault::format::commit::Record;
use vault::format::foreign::{ActiveVersion, ForeignKeyRecord};
use vault::format::page::{Item, NodeBuilder, Reference};
use vault::format::record::{EntryRecord, Listing, Version};
use vault::format::rotation::{Commands, Journal, LastRotation, Owner};
use vault::format::schedule::{Failures, Schedule};
use vault::format::stream::StreamLine;
use vault::format::user::{Datum, PasswordVerifier, Role, SignIn, Stranger, Strangers, User, UserKey};
use vault::secret::{DataKey, FernetKey, ForeignSecret, OtpKey};
use vault::vault::Change;
use vault::{Category, EntryId, Environment, Kind, Name, NewSlot, RawKey, SecretValue, Tag, Vault, Write};
use zeroize::Zeroizing;

use crate::targets::sample::{BLOCK, BYTES, RAW_KEY, SAMPLE, unlock};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    fs::create_dir_all(corpus().join(target)).unwrap();
    fs::write(corpus().join(target).join(name), bytes).unwrap();
}

fn id(environment: Option<&str>, name: &str) -> EntryId {
    EntryId { environment: environment.map(|text| Environment::parse(text).unwrap()), name: Name::parse(name).unwrap() }
}

#[test]
#[ignore = "writes into the tree; run it by name, and `seeds_from_the_sample` after it"]
fn seeds_sample() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-sample-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("sample");
    Vault::create(&path, &[("fuzz".to_owned(), NewSlot::RawKey(RawKey::new(Zeroizing::new(RAW_KEY))))], 1000).unwrap();
    let vault = unlock(&path).unwrap();
    let mut first = Write::value(SecretValue::from(r#"{"host":"h","port":5432}"#), Kind::Json);
    first.category = Change::Set(Category::parse("db").unwrap());
    first.tags = Change::Set(BTreeSet::from(["a", "b"].map(|tag| Tag::parse(tag).unwrap())));
    first.meta = BTreeMap::from([("owner".to_owned(), Some("me".to_owned()))]);
    first.expires = Change::Set(5000);
    vault.set(&id(Some("prod"), "db"), first, 2000).unwrap();
    let mut second = Write::value(SecretValue::from("x".repeat(1500).as_str()), Kind::Text);
    second.category = Change::Set(Category::parse("db").unwrap());
    vault.set(&id(None, "long"), second, 3000).unwrap();
    for number in 0..10 {
        let value = Write::value(SecretValue::from("y".repeat(400).as_str()), Kind::Text);
        vault.set(&id(None, &format!("svc/{number}")), value, 4000).unwrap();
        if number % 5 == 0 {
            vault.compact(4000).unwrap();
        }
    }
    vault.compact(5000).unwrap();
    vault.set(&id(None, "svc/1"), Write::value(SecretValue::from("second"), Kind::Bytes), 6000).unwrap();
    write("file", "sample", &fs::read(&path).unwrap());
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
#[ignore = "writes into the tree; run it by name"]
fn seeds_kdbx() {
    let mut config = DatabaseConfig::default();
    config.kdf_config = KdfConfig::Aes { rounds: 2 };
    let mut database = Database::with_config(config);
    let mut root = database.root_mut();
    let mut group = root.add_group();
    group.name = "ops".to_owned();
    let mut entry = group.add_entry();
    entry.set_unprotected("Title", "db");
    entry.set_protected("Password", "p");
    entry.add_attachment("a", keepass::db::Value::protected(vec![0, 255]));
    let mut bytes = Vec::new();
    database.save(&mut bytes, DatabaseKey::new().with_password("demo")).unwrap();
    write("import_kdbx", "kdbx4", &bytes);
}

#[test]
#[ignore = "writes into the tree; run it by name"]
fn seeds_from_the_sample() {
    let header = &SAMPLE.header;
    write("file", "first-commit", &BYTES[..SAMPLE.records[0].offset as usize + BLOCK]);
    write("file", "tail", &[BYTES, &[0; 5000]].concat());
    write("header", "sample", SAMPLE.header_bytes());
    let text = SAMPLE.header_bytes()[19..].split(|byte| *byte == 0).next().unwrap();
    let text = &text[..text.windows(2).rposition(|pair| pair == b"\"\n").unwrap() + 2];
    write("header", "text", text);

    let mut first = Record::new(1, 1, header.hash(), 4096);
    first.offset = 40_960;
    let mut next = first.clone();
    next.root = Some(Reference { offset: 4096, length: 100, hash: Hash([1; 32]) });
    (next.sequence, next.level, next.live, next.entries, next.time) = (7, 2, 1000, 12, 1 << 40);
    (next.previous_offset, next.previous_hash, next.span_start) = (Some(8192), Some(Hash([2; 32])), 12_288);
    next.merged = Some(Hash([3; 32]));
    for (name, record) in [("first", &first), ("next", &next)] {
        write("commit_record", name, &crate::targets::body_of(record));
    }

    let mut record = EntryRecord::new([1; 16], 1000);
    record.versions.push(Version::new(1, 1000, Kind::Bytes, 1, String::new()));
    record.current = 1;
    write("entry_record", "plain", &record.encode());
    record.versions.push(Version::new(4, 2000, Kind::Json, 2, "category:ci".to_owned()));
    record.versions[1].sealed_as = 2;
    record.current = 4;
    record.category = Category::parse("ci").ok();
    record.tags = BTreeSet::from(["a", "b"].map(|tag| Tag::parse(tag).unwrap()));
    record.meta.insert("owner".to_owned(), "me".to_owned());
    (record.expires, record.due) = (Some(5), Some(6));
    write("entry_record", "full", &record.encode());
    write("entry_record", "listing", &Listing::new(Some(1 << 40)).encode());
    let mut optional = record.encode().to_vec();
    optional[0] += 1;
    optional.extend_from_slice(&[0x18, 0x80, 0x82, 0x01, 0x61, b'x']);
    write("entry_record", "optional", &optional);
    record.rotations.advance(LastRotation { time: 1, until: 2, previous: 1 });
    record.rotations.failed = Some((4, "verify".to_owned()));
    write("entry_record", "rotated", &record.encode());
    let commands = Commands { apply: "a".to_owned(), verify: Some("v".to_owned()), rollback: None, timeout: 60_000 };
    let owner = Owner { host: "h".to_owned(), place: "p".to_owned(), process: 7, until: 9, run: [3; 8] };
    let id = EntryId { environment: Environment::parse("prod").ok(), name: Name::parse("db").unwrap() };
    let value = (SecretValue::from("new"), Kind::Text);
    let mut journal = Journal::new(id, 4, value, 5, commands.clone(), 6, owner).unwrap();
    journal.note(7, "apply begins");
    write("entry_record", "journal", &journal.encode());
    let mut schedule = Schedule::new(1000, 60_000);
    (schedule.generate, schedule.phases) = (Some("hex:32".to_owned()), Some(commands));
    schedule.failed = Some(Failures { count: 1, time: 2, code: "x".to_owned(), next: 3 });
    write("entry_record", "schedule", &schedule.encode());

    let mut leaf = NodeBuilder::new(0);
    let at = Reference { offset: 8192, length: 1100, hash: Hash([4; 32]) };
    for (key, item) in [("a", Item::Inline(b"1")), ("ab", Item::Inline(&[5; 200])), ("b", Item::Overflow(at))] {
        leaf.push(key.as_bytes(), &item);
    }
    write("page", "leaf", &leaf.finish());
    let mut inner = NodeBuilder::new(3);
    for key in ["", "long/a", "long/b", "z"] {
        inner.push(key.as_bytes(), &Item::Child(at));
    }
    write("page", "inner", &inner.finish());

    write("padding", "empty", &vault::format::padding::pad(b""));
    write("padding", "short", &vault::format::padding::pad(&[1; 25]));
    write("padding", "longer", &vault::format::padding::pad(&[2; 1000]));

    let line = StreamLine { id: [1; 16], compartment: "category:a b\u{1f}env:prod".to_owned(), number: 12 };
    write("stream", "line", line.print().as_bytes());
    let recipient = X25519Identity::from_secret(&[5; 32]).unwrap().recipient();
    for (name, armor) in [("binary", false), ("armored", true)] {
        let mut file = Vec::new();
        encrypt_age_stream(&recipient, armor, &mut &b"plaintext"[..], &mut file).unwrap();
        write("stream", name, &file);
    }
    let token = FernetToken::seal(&FernetKey::new([5; 32].into()), b"plaintext", 1000).unwrap();
    write("stream", "token", token.to_text().as_bytes());
    let secret = ForeignSecret::new(Zeroizing::new(b"key".to_vec()));
    write("stream", "foreign-key", &ForeignKeyRecord::new(secret, b"salt".to_vec(), 100_000, 1 << 40).unwrap().encode());
    write("stream", "active", &ActiveVersion::new("v1").encode());

    let key = || UserKey { id: [1; 8], created: 1 << 40, key: DataKey::new(Zeroizing::new([2; 32])) };
    let argon = PasswordVerifier::Argon2id { m: 47_104, t: 1, p: 1, salt: [3; 16], hash: [4; 32] };
    let otp = || OtpKey::new(vec![5; 20].into());
    let mut user = User::new([6; 16], "Ann".to_owned(), "ann@example.org".to_owned(), argon, otp(), key());
    write("users", "user", &user.encode());
    user.password = PasswordVerifier::Bcrypt { text: "$2b$12$JragOS3tyq".to_owned(), followed_by: "0011".to_owned() };
    (user.role, user.pepper, user.otp_new, user.disabled) = (Role::Admin, Some([7; 8]), Some(otp()), Some(1 << 41));
    (user.second_factor, user.app, user.recovery) = (true, true, vec![[8; 32], [9; 32]]);
    user.ring.push(UserKey { id: [2; 8], created: 1 << 41, key: DataKey::new(Zeroizing::new([3; 32])) });
    write("users", "user-with-all", &user.encode());
    let failures = vec![1 << 40, (1 << 40) + 1];
    let state = SignIn { failures: failures.clone(), locked_until: 1, pending_until: 2, pending_from: [3; 8], step: 4, last: 5 };
    write("users", "sign-in", &state.encode());
    write("users", "strangers", &Strangers(vec![Stranger { mark: [1; 16], failures, locked_until: 9 }]).encode());
    let datum = Datum { kind: "note".to_owned(), value: Zeroizing::new("value".to_owned()), created: 1, modified: 2 };
    write("users", "datum", &datum.encode());
    let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhIiwiZXhwIjo0MTAyNDQ0ODAwfQ.AAAA";
    write("users", "session", token.as_bytes());
    let export = concat!(
        r#"{"_id":{"$oid":"65536f00aabbccddeeff0011"},"username":"ann","email":"a@b.org","password":"$2b$12$JragOS3tyq.cFBuKVGhNVeAL9rbhZRPNuHxwzyHRt2afDiuV3fX/y","salt":"00"}"#,
        "\n",
        r#"{"_id":{"$oid":"65536f00aabbccddeeff0012"},"user_id":"65536f00aabbccddeeff0011","data_type":"note","value":"00"}"#,
        "\n",
        r#"{"master_key":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","user_keys":{"ann":{"key":"00","nonce":"000102030405060708090a0b"}}}"#,
    );
    write("users", "export", export.as_bytes());

    for (name, bytes) in crate::targets::slot_seeds() {
        write("slot_payload", name, &bytes);
    }
    // Each kind of change once, in some places.
    for change in 0..24u8 {
        for place in 0..3 {
            write("resealed", &format!("change-{change:02}-{place}"), &[change, 0, place, 0, place * 5, place * 3, 1, 2, 0xff]);
        }
    }
}
