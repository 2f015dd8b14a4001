//! `vault key`

use std::fs;

use vault::{Credential, Locked, Options, RawKey};

use crate::sandbox::{Sandbox, VAULT, identity, is_installed};

/// A key of 32 bytes in a file.
fn key_file(sandbox: &Sandbox, name: &str, byte: u8) -> String {
    sandbox.write(name, [byte; 32]).to_str().unwrap().to_owned()
}

/// Adds a slot by a key file.
#[track_caller]
fn add(sandbox: &Sandbox, label: &str, byte: u8, only: &[&str]) -> String {
    let file = key_file(sandbox, label, byte);
    let mut arguments = vec!["key", "add", "--label", label, "--key-file", &file];
    arguments.extend(only.iter().flat_map(|limit| ["--only", limit]));
    sandbox.vault(&arguments).run().ok();
    file
}

fn with(file: &str, arguments: &[&str]) -> Vec<String> {
    arguments.iter().copied().chain(["--key-file", file]).map(str::to_owned).collect()
}

fn run(sandbox: &Sandbox, file: &str, arguments: &[&str]) -> crate::sandbox::Output {
    let arguments = with(file, arguments);
    sandbox.vault(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).run()
}

fn raw(byte: u8) -> Credential {
    Credential::RawKey(RawKey::new([byte; 32].into()))
}

/// The compartments of the data keys that a key gives: key material, not policy.
fn compartments(sandbox: &Sandbox, byte: u8) -> Vec<String> {
    let vault = Locked::open(&sandbox.file()).unwrap().unlock(&raw(byte), Options::default()).unwrap();
    vault.key_numbers().unwrap().data.into_iter().map(|key| key.compartment).collect()
}

#[test]
fn slots_of_every_kind_are_added_shown_renamed_and_removed() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    let file = add(&sandbox, "laptop", 1, &[]);
    let (secret, recipient) = identity();
    sandbox.vault(&["key", "add", "--label", "ann", "--recipient", &recipient]).run().ok();
    let made = sandbox.vault(&["recipient", "add", "--label", "phrase", "--new-passphrase"]).stdin("hunter2\n").run().ok();
    assert!(made.stderr.contains("weak") && !made.stderr.contains("hunter2"), "{}", made.stderr);
    sandbox.write("identity", secret);

    assert_eq!(run(&sandbox, &file, &["get", "a"]).ok().stdout, b"1");
    assert_eq!(sandbox.vault(&["get", "a", "--identity", "identity"]).run().ok().stdout, b"1");
    let by_phrase =
        |phrase: &str| sandbox.vault(&["get", "a"]).without_env("VAULT_KEY_FILE").env("VAULT_PASSPHRASE", phrase).run();
    assert_eq!(by_phrase("hunter2").ok().stdout, b"1");

    let listed = sandbox.vault(&["key", "list", "--format", "json"]).run().ok().json();
    let slots: Vec<_> = listed["slots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slot| format!("{} {} {} {}", slot["label"], slot["kind"], slot["access"], slot["in_use"]))
        .collect();
    assert_eq!(
        slots,
        [
            r#""key file" "raw" "full" true"#,
            r#""laptop" "raw" "full" false"#,
            r#""ann" "age" "full" false"#,
            r#""phrase" "passphrase" "full" false"#
        ]
    );
    assert_eq!(listed["slots"][2]["recipient"], recipient.as_str());

    // The same label or the same key twice is refused, and nothing is written.
    let before = sandbox.bytes();
    sandbox.vault(&["key", "add", "--label", "ann", "--key-file", "other"]).run().fails(6, "called 'ann'");
    sandbox.vault(&["key", "add", "--label", "bob", "--recipient", &recipient]).run().fails(6, "opens by the same key");
    sandbox.vault(&["key", "rename", "ann", "laptop"]).run().fails(6, "called 'laptop'");
    sandbox.vault(&["key", "rename", "nobody", "x"]).run().fails(3, "no slot 'nobody'");
    sandbox.vault(&["key", "add", "--label", "a\nb", "--recipient", &recipient]).run().fails(2, "control character");
    sandbox.vault(&["key", "add", "--label", "x"]).run().fails(2, "name one thing");
    assert_eq!(sandbox.bytes(), before);

    sandbox.vault(&["key", "rename", "ann", "ann at work"]).run().ok();
    let changed = sandbox.vault(&["key", "passwd"]).stdin("another one of these phrases\n").run().ok();
    assert!(changed.stderr.contains("older copies of the file still open by the old one"));
    by_phrase("hunter2").fails(4, "passphrase does not open");
    assert_eq!(by_phrase("another one of these phrases").ok().stdout, b"1");
    sandbox.vault(&["key", "remove", "ann at work"]).run().ok();
    sandbox.vault(&["get", "a", "--identity", "identity"]).run().fails(4, "none of the identities");
    assert_eq!(sandbox.vault(&["check"]).run().ok().code, 0);
}

#[test]
fn a_removed_key_opens_nothing_in_the_new_file_and_its_header_does_not_come_back() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "before");
    sandbox.vault(&["key", "import-env"]).env("ENCRYPTION_KEYS__v1", "my-key").env("ENCRYPTION_SALT__v1", "text:salt").run().ok();
    let file = add(&sandbox, "leaver", 9, &[]);
    let old = sandbox.bytes();
    let fingerprint =
        |output: &crate::sandbox::Output| output.stderr.lines().find(|line| line.contains("fingerprint")).unwrap().to_owned();
    let removed = sandbox.vault(&["key", "remove", "leaver"]).run().ok();
    assert!(removed.stderr.contains("1 entries that it could read are to be rotated"), "{}", removed.stderr);
    assert!(!fingerprint(&removed).is_empty());
    assert!(removed.text().contains("a  v1  leaver"), "{}", removed.text());
    run(&sandbox, &file, &["get", "a"]).fails(4, "does not open this vault");
    assert_eq!(sandbox.get("a"), b"before");
    // What the vault keeps for itself is sealed by a new system key.
    sandbox.vault(&["check"]).run().ok();
    assert!(sandbox.vault(&["key", "export-env"]).run().ok().text().contains("my-key"));

    // The old header over the new file, whole and slot by slot: refused with both keys, and nothing wrong is read.
    let new = sandbox.bytes();
    let header = |bytes: &[u8]| {
        (0..).map(|n| n * 4096).skip(1).find(|at| bytes[*at - 1] == 0 || bytes[*at..].starts_with(b"VLTCMT1")).unwrap()
    };
    let spliced = [&old[..header(&old)], &new[header(&new)..]].concat();
    fs::write(sandbox.file(), &spliced).unwrap();
    for key in [file.as_str(), sandbox.key().to_str().unwrap()] {
        let output = run(&sandbox, key, &["get", "a"]);
        assert!(matches!(output.code, 4 | 8) && output.stdout.is_empty(), "{}: {}", output.code, output.stderr);
    }
    // The whole old file is what the machine has seen: older.
    fs::write(sandbox.file(), &old).unwrap();
    let stale = sandbox.vault(&["set", "b"]).stdin("x").run();
    assert!(matches!(stale.code, 11 | 12), "{}: {}", stale.code, stale.stderr);
}

#[test]
fn the_last_way_in_and_the_one_in_use_are_kept() {
    let sandbox = Sandbox::new();
    let before = sandbox.bytes();
    sandbox.vault(&["key", "remove", "key file"]).run().fails(12, "last slot that opens everything");
    sandbox.vault(&["key", "remove", "key file", "--force"]).run().fails(12, "last slot that opens everything");
    add(&sandbox, "ci", 3, &["category:ci"]);
    // A limited slot is no way in.
    sandbox.vault(&["key", "remove", "key file", "--force"]).run().fails(12, "last slot that opens everything");
    let file = add(&sandbox, "second", 2, &[]);
    sandbox.vault(&["key", "remove", "key file"]).run().fails(12, "unlocked with it just now");
    assert_ne!(sandbox.bytes(), before);
    sandbox.vault(&["key", "remove", "key file", "--force"]).run().ok();
    sandbox.vault(&["list"]).run().fails(4, "does not open");
    run(&sandbox, &file, &["check"]).ok();
}

#[test]
fn rotations_keep_every_value_and_every_slot() {
    let sandbox = Sandbox::new();
    for number in 0..20 {
        sandbox.set(&format!("n{number}"), format!("value {number}"));
    }
    sandbox.vault(&["set", "n0"]).stdin("second").run().ok();
    let file = add(&sandbox, "ci", 3, &["category:ci"]);
    sandbox.vault(&["set", "secret", "--category", "ci"]).stdin("in ci").run().ok();
    let master = sandbox.vault(&["key", "rotate", "--master"]).run().ok();
    assert!(master.stderr.contains("0 values were sealed anew"), "{}", master.stderr);
    let data = sandbox.vault(&["key", "rotate", "--data"]).run().ok();
    assert!(data.stderr.contains("; 0 values were sealed anew"), "{}", data.stderr);
    sandbox.vault(&["set", "later"]).stdin("under the new key").run().ok();
    sandbox.vault(&["key", "rotate", "--data"]).run().ok();
    let status = sandbox.vault(&["key", "status", "--format", "json"]).run().ok().json();
    assert_eq!((status["master"].as_u64(), status["data_keys"][0]["number"].as_u64()), (Some(2), Some(3)));
    assert_eq!(run(&sandbox, &file, &["get", "secret"]).ok().stdout, b"in ci", "a limited slot gets the new keys");
    let all = |sandbox: &Sandbox| {
        assert_eq!(sandbox.get("n7"), b"value 7");
        assert_eq!(sandbox.get("n0"), b"second");
        assert_eq!(sandbox.vault(&["get", "n0", "--version", "1"]).run().ok().stdout, b"value 0");
        assert_eq!(sandbox.get("later"), b"under the new key");
        assert_eq!(sandbox.get("secret"), b"in ci");
        sandbox.vault(&["check"]).run().ok();
    };
    all(&sandbox);
    let resealed = sandbox.vault(&["key", "rotate", "--data", "--reseal"]).run().ok();
    assert!(resealed.stderr.contains("; 23 values were sealed anew"), "{}", resealed.stderr);
    all(&sandbox);
    // Nothing is left that an older key opens.
    let resealed = sandbox.vault(&["key", "rotate", "--data", "--reseal"]).run().ok();
    assert!(resealed.stderr.contains("; 23 values"), "{}", resealed.stderr);
    assert_eq!(run(&sandbox, &file, &["get", "secret"]).ok().stdout, b"in ci");
    sandbox.vault(&["key", "rotate"]).run().ends(2);
    sandbox.vault(&["key", "rotate", "--master", "--data"]).run().ends(2);
    sandbox.vault(&["key", "rotate", "--master", "--reseal"]).run().ends(2);
}

#[test]
fn a_limited_key_opens_its_compartments_and_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "token", "--category", "ci", "--meta", "owner=ann"]).stdin("ci value").run().ok();
    sandbox.vault(&["set", "db", "--category", "prod"]).stdin("prod value").run().ok();
    sandbox.vault(&["set", "url", "-e", "staging"]).stdin("staging value").run().ok();
    sandbox.vault(&["set", "both", "--category", "ci", "-e", "staging"]).stdin("both value").run().ok();
    sandbox.set("free", "free value");
    let ci = add(&sandbox, "ci", 3, &["category:ci"]);
    let staging = add(&sandbox, "staging", 4, &["env:staging"]);

    // Names and metadata are open, by design; values are not.
    assert_eq!(run(&sandbox, &ci, &["list"]).ok().text(), "db\nfree\ntoken\n");
    assert_eq!(run(&sandbox, &ci, &["list", "-e", "staging"]).ok().text(), "both\nurl\n");
    assert!(run(&sandbox, &ci, &["info", "db"]).ok().text().contains("prod"));
    assert_eq!(run(&sandbox, &ci, &["get", "token"]).ok().stdout, b"ci value");
    assert_eq!(run(&sandbox, &ci, &["get", "both", "-e", "staging"]).ok().stdout, b"both value");
    assert_eq!(run(&sandbox, &staging, &["get", "both", "-e", "staging"]).ok().stdout, b"both value");
    assert_eq!(run(&sandbox, &staging, &["get", "url", "-e", "staging"]).ok().stdout, b"staging value");
    for (key, name) in [(&ci, "db"), (&ci, "free"), (&staging, "token"), (&staging, "db"), (&staging, "free")] {
        run(&sandbox, key, &["get", name]).fails(12, "does not open values");
    }
    run(&sandbox, &ci, &["get", "url", "-e", "staging"]).fails(12, "does not open values");
    // By key material: these are all the data keys that the slots give.
    assert_eq!(compartments(&sandbox, 3), ["category:ci", "category:ci\u{1f}env:staging"]);
    assert_eq!(compartments(&sandbox, 4), ["category:ci\u{1f}env:staging", "env:staging"]);

    // It writes nothing, and changes no key.
    let before = sandbox.bytes();
    for arguments in
        [&["set", "token"][..], &["rm", "token"], &["key", "rotate", "--master"], &["key", "remove", "staging"], &["compact"]]
    {
        let arguments = with(&ci, arguments);
        let output = sandbox.vault(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).stdin("x").run();
        assert_eq!(output.code, 12, "{arguments:?}: {}", output.stderr);
    }
    assert_eq!(sandbox.bytes(), before);
    run(&sandbox, &ci, &["check"]).ok();

    // What moves into a compartment opens for its keys, with its versions; what moves out does not any more.
    sandbox.vault(&["set", "free"]).stdin("free second").run().ok();
    sandbox.vault(&["set", "free", "--category", "ci", "--meta-only"]).run().ok();
    assert_eq!(run(&sandbox, &ci, &["get", "free"]).ok().stdout, b"free second");
    assert_eq!(run(&sandbox, &ci, &["get", "free", "--version", "1"]).ok().stdout, b"free value");
    sandbox.vault(&["set", "token", "--category", "prod", "--meta-only"]).run().ok();
    run(&sandbox, &ci, &["get", "token"]).fails(12, "does not open values");
    assert_eq!(sandbox.get("token"), b"ci value");
    sandbox.vault(&["mv", "both", "moved", "-e", "staging"]).run().ok();
    assert_eq!(run(&sandbox, &ci, &["get", "moved", "-e", "staging"]).ok().stdout, b"both value");
    // A slot that is removed takes only its own compartments with it; the other one goes on.
    sandbox.vault(&["key", "remove", "ci"]).run().ok();
    run(&sandbox, &ci, &["list"]).fails(4, "does not open");
    assert_eq!(run(&sandbox, &staging, &["get", "moved", "-e", "staging"]).ok().stdout, b"both value");
    let exposed = sandbox.vault(&["key", "exposure", "ci"]).run().ends(10).text();
    let names: Vec<_> = exposed.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(names, ["free", "moved"], "{exposed}");
    sandbox.vault(&["check"]).run().ok();
}

#[test]
fn what_a_removed_slot_could_read_stays_on_its_list_until_it_has_another_value() {
    let sandbox = Sandbox::new();
    for name in ["a", "b", "c", "d"] {
        sandbox.set(name, format!("{name} one"));
    }
    sandbox.set("b", "b two");
    add(&sandbox, "leaver", 9, &[]);
    sandbox.vault(&["key", "exposure", "leaver"]).run().fails(3, "no slot 'leaver' was removed");
    sandbox.vault(&["key", "exposure"]).run().ok();
    sandbox.vault(&["key", "remove", "leaver"]).run().ok();
    let open = || {
        let output = sandbox.vault(&["key", "exposure", "leaver"]).run();
        assert_eq!(output.code, if output.stdout.is_empty() { 0 } else { 10 });
        output.text().lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(open(), ["a", "b", "c", "d"]);
    sandbox.vault(&["rotate", "a"]).stdin("fresh").run().ok();
    assert_eq!(open(), ["b", "c", "d"]);
    // Names and metadata are not what was exposed.
    sandbox.vault(&["mv", "c", "e"]).run().ok();
    sandbox.vault(&["set", "e", "--category", "x", "--meta-only"]).run().ok();
    assert_eq!(open(), ["b", "d", "e"]);
    // An old value that comes back is as exposed as it was; a copy is, too.
    sandbox.vault(&["rollback", "a", "--version", "1"]).run().ok();
    sandbox.vault(&["rollback", "b", "--version", "1"]).run().ok();
    sandbox.vault(&["cp", "d", "f"]).run().ok();
    assert_eq!(open(), ["a", "b", "d", "e", "f"]);
    sandbox.vault(&["rollback", "a", "--version", "2"]).run().ok();
    assert_eq!(open(), ["b", "d", "e", "f"], "the fresh value again");
    sandbox.vault(&["rm", "b", "d"]).run().ok();
    for name in ["e", "f"] {
        sandbox.vault(&["set", name]).stdin("fresh").run().ok();
    }
    assert!(open().is_empty());
    let status = sandbox.vault(&["key", "exposure", "--format", "json"]).run().ok().json();
    assert_eq!(
        (status["removed_slots"][0]["readable_then"].as_u64(), status["removed_slots"][0]["label"].as_str()),
        (Some(5), Some("leaver"))
    );
}

#[test]
fn another_machine_is_asked_about_slots_and_keys_that_it_has_not_seen() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    let elsewhere = |arguments: &[&str]| sandbox.vault(arguments).env("XDG_STATE_HOME", sandbox.path("cache"));
    elsewhere(&["get", "a"]).run().ok();
    add(&sandbox, "new", 5, &[]);
    add(&sandbox, "newer", 6, &[]);
    let read = elsewhere(&["get", "a"]).run().ok();
    assert!(read.stderr.contains("slots were added") && read.stderr.contains("'new'"), "{}", read.stderr);
    elsewhere(&["set", "a"]).stdin("2").run().fails(12, "slots were added");
    elsewhere(&["key", "trust", "nobody"]).run().fails(3, "no slot 'nobody'");
    assert!(elsewhere(&["key", "trust", "new"]).run().ok().text().starts_with("new  raw  full  age1"));
    elsewhere(&["set", "a"]).stdin("2").run().fails(12, "'newer'");
    elsewhere(&["key", "trust", "newer"]).run().ok();
    elsewhere(&["set", "a"]).stdin("2").run().ok();
    // The machine that did it knows; the keys of a removed slot's successor are to be accepted elsewhere.
    sandbox.vault(&["key", "remove", "new"]).run().ok();
    sandbox.vault(&["set", "a"]).stdin("3").run().ok();
    elsewhere(&["get", "a"]).run().fails(12, "signing key");
    elsewhere(&["trust"]).run().ok();
    elsewhere(&["set", "a"]).stdin("4").run().ok();
}

/// At every call that changes a file, in each of the operations on keys, the process is killed: the vault then opens by the key that stays, with
/// every value, and the operation can be done again.
#[test]
fn a_change_of_keys_is_killed_at_every_call() {
    if !is_installed("strace") {
        return;
    }
    let prepared = Sandbox::new();
    prepared.set("a", "1");
    prepared.vault(&["set", "c", "--category", "ci"]).stdin("3").run().ok();
    prepared.set("a", "2");
    add(&prepared, "leaver", 9, &[]);
    let image = prepared.bytes();
    let operations: [&[&str]; 5] = [
        &["key", "rotate", "--master"],
        &["key", "rotate", "--data"],
        &["key", "rotate", "--data", "--reseal"],
        &["key", "remove", "leaver"],
        &["key", "add", "--label", "ci", "--only", "category:ci", "--recipient"],
    ];
    let (_, recipient) = identity();
    let mut kills = 0;
    for operation in operations {
        for call in ["openat", "pwrite64", "fsync", "fdatasync", "rename", "renameat2", "ftruncate", "unlink", "flock", "fchmod"]
        {
            for number in 1.. {
                fs::write(prepared.file(), &image).unwrap();
                let _ = fs::remove_dir_all(prepared.path("state"));
                let inject = format!("inject={call}:signal=KILL:when={number}");
                let mut run = prepared.program("strace", &["-f", "-o", "/dev/null", "-e", &inject, VAULT]);
                for argument in operation {
                    run = run.arg(argument);
                }
                if operation.last() == Some(&"--recipient") {
                    run = run.arg(&recipient);
                }
                let output = run.run();
                if output.code == 0 {
                    break;
                }
                assert_eq!(output.code, 137, "{operation:?} {call} {number}: {}", output.stderr);
                kills += 1;
                let at = format!("{operation:?} killed at {call} {number}");
                for (arguments, value) in [(&["get", "a"][..], "2"), (&["get", "a", "--version", "1"], "1"), (&["get", "c"], "3")]
                {
                    let read = prepared.vault(arguments).run();
                    assert_eq!((read.code, read.stdout.as_slice()), (0, value.as_bytes()), "{at}: {}", read.stderr);
                }
                let check = prepared.vault(&["check"]).run();
                assert!(matches!(check.code, 0 | 10), "{at}: {}", check.stderr);
                prepared.vault(&["set", "b"]).stdin("x").run().ok();
                prepared.vault(&["key", "rotate", "--master"]).run().ok();
                assert_eq!(prepared.get("a"), b"2", "{at}");
            }
        }
    }
    assert!(kills > 60, "{kills}");
}
