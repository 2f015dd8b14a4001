//! `vault trust`, and the alarms that it silences.

use std::fs;

use crate::sandbox::Sandbox;

/// The witness file of the sandbox's only vault.
fn witness(sandbox: &Sandbox) -> std::path::PathBuf {
    let files = sandbox.files("state/vault/witness");
    files.into_iter().map(|(path, _)| path).find(|path| path.file_name().unwrap().to_string_lossy().len() == 49).unwrap()
}

/// Lets the machine remember another signing key, as if another vault had been here.
fn remember_another_signing_key(sandbox: &Sandbox) {
    let path = witness(sandbox);
    let mut map = fs::read(&path).unwrap()[32..].to_vec();
    // Field 2 of the map: the byte string of 32 bytes that is the key.
    let at = map.windows(3).position(|window| window == [2, 0x58, 32]).unwrap();
    map[at + 3] ^= 1;
    let mut bytes = blake3::hash(&map).as_bytes().to_vec();
    bytes.extend_from_slice(&map);
    fs::write(&path, bytes).unwrap();
}

#[test]
fn an_older_copy_is_read_with_a_warning_and_not_written() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "old");
    let old = sandbox.bytes();
    sandbox.set("a", "new");
    fs::write(sandbox.file(), &old).unwrap();
    let got = sandbox.vault(&["get", "a"]).run().ok();
    assert_eq!(got.stdout, b"old");
    assert!(
        got.stderr.starts_with("warning: this copy of the vault is older than one that this machine has seen"),
        "{}",
        got.stderr
    );
    assert_eq!(sandbox.vault(&["get", "a", "-q"]).run().ok().stderr, "");
    for arguments in [
        &["set", "a"][..],
        &["rm", "a"],
        &["mv", "a", "b"],
        &["cp", "a", "b"],
        &["rotate", "a"],
        &["compact"],
        &["rollback", "a", "--version", "1"],
    ] {
        sandbox.vault(arguments).stdin("v").run().fails(11, "older than one that this machine has seen");
    }
    assert_eq!(sandbox.bytes(), old);
    // Comparing and copying must be possible.
    sandbox.vault(&["backup", "copy"]).run().ok();
    sandbox.vault(&["set", "a", "--accept-older"]).stdin("mine").run().ok();
    assert_eq!(sandbox.vault(&["get", "a"]).run().ok().stderr, "");
    assert_eq!(sandbox.get("a"), b"mine");
}

#[test]
fn a_strict_user_does_not_even_read_it() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    sandbox.set("a", "old");
    let old = sandbox.bytes();
    sandbox.set("a", "new");
    fs::write(sandbox.file(), &old).unwrap();
    fs::write(sandbox.path("config/vault/config.toml"), "witness = \"strict\"\n").unwrap();
    sandbox.vault(&["get", "a"]).run().fails(11, "older");
    fs::write(sandbox.path("config/vault/config.toml"), "witness = \"off\"\n").unwrap();
    assert_eq!(sandbox.vault(&["get", "a"]).run().ok().stderr, "");
    fs::write(sandbox.path("config/vault/config.toml"), "").unwrap();
    let trusted = sandbox.vault(&["trust"]).run().ok().text();
    assert!(trusted.starts_with("vault        ") && trusted.contains("\nfingerprint  "), "{trusted}");
    assert_eq!(sandbox.vault(&["set", "a"]).stdin("v").run().ok().stderr, "");
}

#[test]
fn a_fork_is_noticed() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    let common = sandbox.bytes();
    sandbox.set("a", "ours");
    let state = sandbox.path("state");
    // The same vault on another machine, which writes something of its own.
    fs::write(sandbox.file(), &common).unwrap();
    for value in ["theirs", "theirs too"] {
        sandbox.vault(&["set", "a"]).stdin(value).env("XDG_STATE_HOME", sandbox.path("other")).run().ok();
    }
    assert!(state.is_dir());
    assert!(sandbox.vault(&["get", "a"]).run().ok().stderr.contains("does not descend from it"));
    sandbox.vault(&["set", "a"]).stdin("v").run().fails(11, "does not descend from it");
}

#[test]
fn another_signing_key_is_refused_until_it_is_trusted() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    let before = sandbox.bytes();
    remember_another_signing_key(&sandbox);
    sandbox.vault(&["get", "a"]).run().fails(12, "another signing key");
    sandbox.vault(&["set", "a"]).stdin("2").run().fails(12, "another signing key");
    sandbox.vault(&["set", "a", "--accept-older"]).stdin("2").run().fails(12, "another signing key");
    assert_eq!(sandbox.bytes(), before);
    sandbox.vault(&["trust"]).run().ok();
    sandbox.set("a", "2");
}

#[test]
fn a_machine_without_memory_says_nothing() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "old");
    let old = sandbox.bytes();
    sandbox.set("a", "new");
    fs::write(sandbox.file(), &old).unwrap();
    fs::remove_dir_all(sandbox.path("state")).unwrap();
    assert_eq!(sandbox.vault(&["get", "a"]).run().ok().stderr, "");
    // A torn memory is none.
    let path = witness(&sandbox);
    fs::write(&path, b"torn").unwrap();
    assert_eq!(sandbox.vault(&["set", "a"]).stdin("v").run().ok().stderr, "");
}

#[test]
fn another_vault_at_the_same_path_is_refused_until_it_is_trusted() {
    let mut sandbox = Sandbox::empty();
    // Anybody who knows a recipient can make a vault that its owner opens, and read what is written there.
    let (identity, recipient) = crate::sandbox::identity();
    sandbox.write("identity", identity);
    sandbox.set_env("VAULT_IDENTITY", sandbox.path("work/identity"));
    for name in ["mine", "theirs"] {
        sandbox.vault(&["init", "-q", "--vault", name, "--recipient", &recipient]).run().ok();
        sandbox.vault(&["set", "a", "--vault", name]).stdin(name).run().ok();
    }
    fs::rename(sandbox.path("work/theirs"), sandbox.path("work/mine")).unwrap();
    let before = fs::read(sandbox.path("work/mine")).unwrap();
    sandbox.vault(&["get", "a", "--vault", "mine"]).run().fails(12, "another vault");
    sandbox.vault(&["set", "a", "--vault", "mine"]).stdin("secret").run().fails(12, "another vault");
    assert_eq!(fs::read(sandbox.path("work/mine")).unwrap(), before);
    sandbox.vault(&["trust", "--vault", "mine"]).run().ok();
    assert_eq!(sandbox.vault(&["get", "a", "--vault", "mine"]).run().ok().stdout, b"theirs");
}
