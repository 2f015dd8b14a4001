//! `vault init`

use std::fs;

use crate::sandbox::{Sandbox, identity};

#[test]
fn makes_a_key_file_and_a_vault() {
    let sandbox = Sandbox::empty();
    let made = sandbox.vault(&["init", "--vault", "a.vault", "--key-file", "a.key"]).run().ok();
    assert!(made.stdout.is_empty());
    assert_eq!(made.stderr, "made the key file a.key: keep a copy, nothing opens the vault without it\nmade a.vault\n");
    assert_eq!(fs::read(sandbox.path("work/a.key")).unwrap().len(), 32);
    assert!(sandbox.vault(&["list", "--vault", "a.vault", "--key-file", "a.key"]).run().ok().stdout.is_empty());
    // The same key file opens a second vault; it is read and not made anew.
    let key = fs::read(sandbox.path("work/a.key")).unwrap();
    sandbox.vault(&["init", "--vault", "b.vault", "--key-file", "a.key", "-q"]).run().ok();
    assert_eq!(fs::read(sandbox.path("work/a.key")).unwrap(), key);
    sandbox.vault(&["list", "--vault", "b.vault", "--key-file", "a.key"]).run().ok();
}

#[test]
fn what_is_there_is_not_touched() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    let before = sandbox.bytes();
    sandbox.vault(&["init", "--key-file", "other.key"]).run().fails(6, "exists already; it was not touched");
    assert_eq!(sandbox.bytes(), before);
    // Nor is a key made for a vault that is not.
    assert!(!sandbox.path("work/other.key").exists());
    // Anything else at the path: a directory, a file that is no vault, a link that leads nowhere.
    fs::create_dir(sandbox.path("work/directory")).unwrap();
    sandbox.write("text", "hello");
    std::os::unix::fs::symlink("nowhere", sandbox.path("work/link")).unwrap();
    for path in ["directory", "text", "link"] {
        sandbox.vault(&["init", "--vault", path]).run().fails(6, "exists already");
    }
    assert_eq!(fs::read(sandbox.path("work/text")).unwrap(), b"hello");
    assert!(!sandbox.path("work/nowhere").exists());
}

#[test]
fn a_passphrase_comes_from_any_source_and_a_weak_one_is_warned_about() {
    let sandbox = Sandbox::empty();
    sandbox.write("phrase", "correct horse battery staple reads well\nsecond line\n");
    let made = sandbox.vault(&["init", "--vault", "a", "--passphrase-file", "phrase"]).run().ok();
    assert!(!made.stderr.contains("weak"), "{}", made.stderr);
    sandbox.vault(&["list", "--vault", "a"]).env("VAULT_PASSPHRASE", "correct horse battery staple reads well").run().ok();
    let made = sandbox.vault(&["init", "--vault", "b"]).env("VAULT_PASSPHRASE", "hunter2").run().ok();
    assert!(made.stderr.contains("warning: this passphrase is weak"), "{}", made.stderr);
    assert!(!made.stderr.contains("hunter2"));
    sandbox.vault(&["init", "--vault", "c", "--passphrase-file", "empty"]).run().fails(4, "passphrase file cannot be read");
    sandbox.write("empty", "\n");
    sandbox.vault(&["init", "--vault", "c", "--passphrase-file", "empty"]).run().fails(2, "the passphrase is empty");
    sandbox.vault(&["init", "--vault", "c", "--no-input"]).run().fails(4, "no passphrase is given");
    assert!(!sandbox.path("work/c").exists());
}

#[test]
fn recipients_and_a_key_file_make_a_slot_each() {
    let sandbox = Sandbox::empty();
    let ((mine, recipient), (_, other)) = (identity(), identity());
    let init = ["init", "--vault", "v", "--key-file", "k", "--recipient", &recipient, "--recipient", &other, "--label", "laptop"];
    sandbox.vault(&init).run().ok();
    sandbox.write("identity", format!("# created: today\n\n{mine}\n"));
    sandbox.vault(&["set", "a", "--vault", "v", "--identity", "identity"]).stdin("1").run().ok();
    assert_eq!(sandbox.vault(&["get", "a", "--vault", "v", "--key-file", "k"]).run().ok().stdout, b"1");
    let trusted = sandbox.vault(&["trust", "--vault", "v", "--key-file", "k"]).run().ok().text();
    assert_eq!(trusted.lines().filter(|line| line.starts_with("slot laptop ")).count(), 3, "{trusted}");
    assert!(trusted.contains(&recipient) && trusted.contains(&other), "{trusted}");

    sandbox.vault(&["init", "--vault", "w", "--recipient", "age1nope"]).run().fails(2, "not an age or SSH key");
    sandbox.vault(&["init", "--vault", "w", "--recipient", &other, "--recipient", &other]).run().fails(2, "same recipient");
    assert!(!sandbox.path("work/w").exists());
}

#[test]
fn a_key_file_holds_raw_bytes_or_base64() {
    let sandbox = Sandbox::empty();
    sandbox.write("base64", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
    sandbox.write("raw", (0..32).collect::<Vec<u8>>());
    sandbox.vault(&["init", "--vault", "v", "--key-file", "base64", "-q"]).run().ok();
    sandbox.vault(&["list", "--vault", "v", "--key-file", "raw"]).run().ok();
    for (name, bytes) in [("short", &[1; 31][..]), ("long", &[1; 33]), ("empty", b""), ("text", b"this is not a key, it is text")]
    {
        sandbox.write(name, bytes);
        sandbox.vault(&["init", "--vault", "w", "--key-file", name]).run().fails(4, "does not hold a key");
    }
    assert!(!sandbox.path("work/w").exists());
}

#[test]
fn the_default_place_is_made_with_its_directories() {
    let sandbox = Sandbox::empty();
    sandbox.vault(&["init", "--key-file", "k", "-q"]).run().ok();
    assert!(sandbox.path("data/vault/default.vault").is_file());
    sandbox.vault(&["set", "a", "--key-file", "k"]).stdin("1").run().ok();
    let made = sandbox.vault(&["init", "--vault", "deep/er/v", "--key-file", "k", "-q"]).run().ok();
    assert!(made.stderr.is_empty() && sandbox.path("work/deep/er/v").is_file());
}
