//! Stock `age` and `rage` open what every slot holds, and our backups; and what they make, we open. No code of ours is needed to recover a vault.
//!
//! Without the programs on the path these tests are skipped, unless VAULT_TEST_REQUIRE is set; `.ci/run` installs them.
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

/// A key for tests.
fn key(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name).to_str().unwrap().to_owned()
}

fn public(name: &str) -> String {
    std::fs::read_to_string(key(&format!("{name}.pub"))).unwrap().trim().to_owned()
}

/// The age files of the slots of a vault.
fn wraps(place: &Place) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(place.0.join("a.vault")).unwrap();
    let length = vault::format::header::length(&bytes).unwrap();
    let header = UnverifiedHeader::parse(&bytes[..length]).unwrap();
    header.slots().iter().map(|slot| slot.wrap.clone()).collect()
}

const SSH: [&str; 3] = ["ed25519", "rsa", "rsa-pem"];

#[test]
fn ssh_slots_and_backups_pass_between_age_and_us() {
    ssh_slots_and_backups("age");
}

#[test]
fn ssh_slots_and_backups_pass_between_rage_and_us() {
    ssh_slots_and_backups("rage");
}

fn ssh_slots_and_backups(program: &str) {
    let Some(place) = Place::with(&format!("ssh-{program}"), &[program]) else { return };
    let own = vault::crypto::X25519Identity::generate();
    place.write("own", own.expose().as_bytes());
    let recipients = [own.recipient().to_string(), public("ed25519"), public("rsa"), public("rsa-pem")];
    let identities = ["own".to_owned(), key("ed25519"), key("rsa"), key("rsa-pem")];
    let options: Vec<&str> = recipients.iter().flat_map(|recipient| ["--recipient", recipient.as_str()]).collect();
    place.vault(&[&["init"], options.as_slice()].concat(), b"");
    let wraps = wraps(&place);
    assert_eq!(wraps.len(), identities.len());
    for (at, wrap) in wraps.iter().enumerate() {
        for (other, identity) in identities.iter().enumerate() {
            let opened = place.start(program, &["--decrypt", "--identity", identity], wrap);
            assert_eq!(opened.status.success(), at == other, "{program}, slot {at}, {identity}: {}", text(&opened.stderr));
        }
    }

    place.vault(&["--identity", "own", "set", "a"], b"value");
    let plain = place.vault(&["--identity", "own", "export", "--format", "json"], b"");
    for name in SSH {
        let export = ["--identity", &key(name), "export", "--format", "age", "--recipient", &public(name)];
        let opened = place.start(program, &["--decrypt", "--identity", &key(name)], &place.vault(&export, b""));
        assert!(opened.status.success() && opened.stdout == plain, "{name}: {}", text(&opened.stderr));
        let made = place.start(program, &["--recipient", &public(name)], &plain);
        assert!(made.status.success(), "{}", text(&made.stderr));
        place.write("stock.age", &made.stdout);
        place.vault(&["--identity", "own", "import", "stock.age", "--overwrite", "--backup-identity", &key(name)], b"");
    }
    // An identity file of theirs with several lines, and armor.
    place.write("many", format!("# created: now\n\n{}\n", own.expose().as_str()).as_bytes());
    let made = place.start(program, &["--armor", "--recipient", &recipients[0]], &plain);
    assert!(made.stdout.starts_with(b"-----BEGIN AGE"), "{}", text(&made.stderr));
    assert_eq!(place.vault(&["--identity", "many", "get", "a"], b""), b"value");
}

#[test]
fn plugin_slots_and_backups_pass_between_age_and_us() {
    plugin_slots_and_backups("age");
}

#[test]
fn plugin_slots_and_backups_pass_between_rage_and_us() {
    plugin_slots_and_backups("rage");
}

/// The plugin of the tests speaks with stock programs as it does with ours.
fn plugin_slots_and_backups(program: &str) {
    let Some(place) = Place::with(&format!("plugin-{program}"), &[program]) else { return };
    std::fs::create_dir_all(place.0.join(".config/vault")).unwrap();
    place.write(".config/vault/config.toml", b"plugins = [\"test\"]\n");
    // By another process: what this one has open for writing can be open in one that a test beside this is about to start, and cannot be executed then.
    let copied = Command::new("cp").arg(key("age-plugin-test")).arg(place.0.join("age-plugin-test")).status();
    assert!(copied.unwrap().success());
    let hrp = |text: &str| bech32::Hrp::parse(text).unwrap();
    let recipient = bech32::encode_lower::<bech32::Bech32>(hrp("age1test"), &[1; 5]).unwrap();
    place.write("own", bech32::encode_upper::<bech32::Bech32>(hrp("age-plugin-test-"), &[1; 5]).unwrap().as_bytes());
    place.write("other", bech32::encode_upper::<bech32::Bech32>(hrp("age-plugin-test-"), &[2; 5]).unwrap().as_bytes());
    place.vault(&["init", "--recipient", &recipient], b"");
    for wrap in wraps(&place) {
        let open = |identity: &str| place.start(program, &["--decrypt", "--identity", identity], &wrap);
        assert!(open("own").status.success(), "{}", text(&open("own").stderr));
        assert!(!open("other").status.success());
    }
    place.vault(&["--identity", "own", "set", "a"], b"value");
    let plain = place.vault(&["--identity", "own", "export", "--format", "json"], b"");
    let made = place.start(program, &["--recipient", &recipient], &plain);
    assert!(made.status.success(), "{}", text(&made.stderr));
    place.write("stock.age", &made.stdout);
    place.vault(&["--identity", "own", "import", "stock.age", "--overwrite", "--backup-identity", "own"], b"");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A home and working directory of its own.
struct Place(PathBuf);

impl Place {
    /// One for this test, if stock age is there.
    fn with_age(test: &str) -> Option<Self> {
        Self::with(test, &["age", "age-keygen"])
    }

    /// One for this test, if these programs are there.
    fn with(test: &str, programs: &[&str]) -> Option<Self> {
        let there = |program: &str| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
        if let Some(missing) = programs.iter().find(|program| !there(program)) {
            assert!(std::env::var_os("VAULT_TEST_REQUIRE").is_none(), "{missing} is not on the path");
            println!("skipped: {missing} is not installed");
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
        // Plugins are found here.
        let mut path = self.0.clone().into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(&self.0)
            .env("PATH", path)
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
