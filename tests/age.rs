//! Stock `age` opens what every slot holds, and our backups; and what it makes, we open. No code of ours is needed to recover a vault.
//!
//! Without `age` and `age-keygen` on the path these tests are skipped, unless VAULT_TEST_REQUIRE is set; `.ci/run` installs them.
#![allow(clippy::unwrap_used)]

#[path = "view/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod view;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use vault::crypto::keys::{self, IndexKeys};
use vault::crypto::{AgeRecipient, Argon2Cost};
use vault::format::header::UnverifiedHeader;
use vault::format::slot::{KeyRing, SlotPayload};
use vault::{NewSlot, Passphrase, RawKey, Vault};
use zeroize::Zeroizing;

#[test]
fn stock_age_opens_every_kind_of_slot() {
    let Some(place) = Place::with_age("slots") else { return };
    let recipient = place.keygen("own.txt");
    let raw = || RawKey::new(Zeroizing::new([5; 32]));
    let passphrase = || Passphrase::new(Zeroizing::new("correct h\u{f6}rse".as_bytes().to_vec()));
    let slots = [
        ("raw".to_owned(), NewSlot::RawKey(raw())),
        ("passphrase".to_owned(), NewSlot::Passphrase(passphrase(), Argon2Cost::FLOOR)),
        ("age".to_owned(), NewSlot::Recipient(AgeRecipient::parse(&recipient).unwrap())),
    ];
    Vault::create(&place.0.join("a.vault"), &slots, 1).unwrap();
    let bytes = std::fs::read(place.0.join("a.vault")).unwrap();
    let length = vault::format::header::length(&bytes).unwrap();
    let header = UnverifiedHeader::parse(&bytes[..length]).unwrap();
    let keys = [
        ("raw", json!({ "raw": view::hex(&[5; 32]) })),
        ("passphrase", json!({ "passphrase": "correct h\u{f6}rse" })),
        ("age", json!({ "identity": place.secret("own.txt") })),
    ];
    assert_eq!(header.slots().len(), keys.len());
    for (slot, (kind, key)) in header.slots().iter().zip(&keys) {
        assert_eq!(slot.kind.word(), *kind);
        let identity = view::identity(slot, &view::credential(key), header.id()).unwrap();
        place.write("identity.txt", format!("{}\n", identity.expose().as_str()).as_bytes());
        let opened = place.age(&["--decrypt", "--identity", "identity.txt"], &slot.wrap);
        assert!(opened.status.success(), "{kind}: {}", String::from_utf8_lossy(&opened.stderr));
        // What it holds leads on to everything else.
        let SlotPayload::Full(number, master, _) = SlotPayload::decode(&opened.stdout, header.id()).unwrap() else {
            unreachable!("a slot of full access holds the master key")
        };
        assert_eq!(keys::commit_to_master(&master, header.id()), header.commitments().master);
        let ring = KeyRing::open(&master, header.id(), number, header.sealed_ring().1).unwrap();
        assert_eq!(keys::commit_to_index(&ring.index, header.id()), header.commitments().index);
        let index = IndexKeys::derive(&ring.index, header.id());
        assert_eq!(slot.open_label(header.id(), index.slot_label()).unwrap().text, *kind);

        // It opens to nobody else.
        place.keygen("other.txt");
        assert!(!place.age(&["--decrypt", "--identity", "other.txt"], &slot.wrap).status.success());
        std::fs::remove_file(place.0.join("other.txt")).unwrap();
    }
}

#[test]
fn a_vault_for_a_stock_identity_opens() {
    let Some(place) = Place::with_age("identity") else { return };
    let recipient = place.keygen("own.txt");
    place.keygen("other.txt");
    place.vault(&["init", "--recipient", &recipient], b"");
    place.vault(&["--identity", "own.txt", "set", "a"], b"for stock age");
    assert_eq!(place.vault(&["--identity", "own.txt", "get", "a"], b""), b"for stock age");
    let refused = place.program(&["--identity", "other.txt", "get", "a"], b"");
    assert_eq!(refused.status.code(), Some(4));
}

#[test]
fn backups_pass_between_stock_age_and_us() {
    let Some(place) = Place::with_age("backup") else { return };
    let recipient = place.keygen("own.txt");
    place.vault(&["init", "--recipient", &recipient], b"");
    let with_key = ["--identity", "own.txt"];
    let run = |arguments: &[&str], input: &[u8]| place.vault(&[&with_key[..], arguments].concat(), input);
    run(&["set", "db", "--category", "prod", "--tag", "t", "--meta", "owner=me"], b"s3cret \xc3\xa9\n\x1b[0m");
    run(&["set", "bytes", "-e", "staging"], &[0, 0xff, 0xfe]);

    let plain = run(&["export", "--format", "json"], b"");
    let backup = run(&["export", "--format", "age", "--recipient", &recipient], b"");
    let opened = place.age(&["--decrypt", "--identity", "own.txt"], &backup);
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    assert_eq!(opened.stdout, plain, "the backup is our JSON");

    // What stock age encrypts comes back in another vault.
    place.write("stock.age", &place.age(&["--recipient", &recipient], &plain).stdout);
    std::fs::remove_file(place.0.join("a.vault")).unwrap();
    place.vault(&["init", "--recipient", &recipient], b"");
    run(&["import", "stock.age", "--backup-identity", "own.txt"], b"");
    assert_eq!(run(&["export", "--format", "json"], b""), plain);
    place.keygen("other.txt");
    let refused = [&with_key[..], &["import", "stock.age", "--overwrite", "--backup-identity", "other.txt"]].concat();
    assert_eq!(place.program(&refused, b"").status.code(), Some(4));
}

/// A home and working directory of its own.
struct Place(PathBuf);

impl Place {
    /// One for this test, if stock age is there.
    fn with_age(test: &str) -> Option<Self> {
        let there = |program: &str| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
        if !there("age") || !there("age-keygen") {
            assert!(std::env::var_os("VAULT_TEST_REQUIRE").is_none(), "age and age-keygen are not on the path");
            println!("skipped: age and age-keygen are not on the path");
            return None;
        }
        let path = std::env::temp_dir().join(format!("vault-age-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Some(Self(path))
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.join(name), bytes).unwrap();
    }

    /// A new identity file; returns its recipient.
    fn keygen(&self, name: &str) -> String {
        let output = self.start("age-keygen", &["--output", name], b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = std::fs::read_to_string(self.0.join(name)).unwrap();
        text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned()
    }

    fn secret(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.0.join(name)).unwrap();
        text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap().to_owned()
    }

    fn age(&self, arguments: &[&str], input: &[u8]) -> Output {
        self.start("age", arguments, input)
    }

    fn program(&self, arguments: &[&str], input: &[u8]) -> Output {
        self.start(env!("CARGO_BIN_EXE_vault"), &[&["--vault", "a.vault", "--quiet"], arguments].concat(), input)
    }

    fn vault(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let output = self.program(arguments, input);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn start(&self, program: &str, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(&self.0)
            .env("HOME", &self.0)
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        // What reads nothing closes it.
        let _ = pipe.write_all(input);
        drop(pipe);
        child.wait_with_output().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
