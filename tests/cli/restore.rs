//! `vault restore`

use std::fs;

use crate::sandbox::Sandbox;

#[test]
fn puts_a_backup_in_place() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    sandbox.vault(&["backup", "copy", "-q"]).run().ok();
    sandbox.set("a", "2");
    let before = sandbox.bytes();
    sandbox.vault(&["restore", "copy"]).run().fails(6, "exists already; it was not touched");
    assert_eq!(sandbox.bytes(), before);
    let restored = sandbox.vault(&["restore", "copy", "--force"]).run().ok();
    assert!(restored.stderr.ends_with("1 entries, 1 values restored\n"), "{}", restored.stderr);
    assert_eq!(fs::read(sandbox.path("test.vault.before-restore")).unwrap(), before);
    // The machine takes it for the newest state: no alarm.
    assert_eq!(sandbox.vault(&["set", "a"]).stdin("3").run().ok().stderr, "");
    assert_eq!(sandbox.vault(&["get", "a", "--vault", "../test.vault.before-restore"]).run().ok().stdout, b"2");
}

#[test]
fn on_a_new_machine() {
    let mut sandbox = Sandbox::new();
    sandbox.set("a", "1");
    sandbox.vault(&["backup", "copy", "-q"]).run().ok();
    sandbox.remove_env("VAULT_FILE");
    fs::remove_dir_all(sandbox.path("state")).unwrap();
    fs::remove_dir_all(sandbox.path("data")).unwrap();
    sandbox.vault(&["restore", "copy"]).run().ok();
    assert!(sandbox.path("data/vault/default.vault").is_file());
    assert_eq!(sandbox.get("a"), b"1");
}

#[test]
fn a_bad_backup_replaces_nothing() {
    let sandbox = Sandbox::new();
    sandbox.set("a", vec![b'x'; 50_000]);
    sandbox.vault(&["backup", "copy", "-q"]).run().ok();
    sandbox.set("b", "2");
    let before = sandbox.bytes();
    let mut copy = fs::read(sandbox.path("work/copy")).unwrap();
    copy[20_000] ^= 1;
    sandbox.write("flipped", &copy);
    sandbox.write("cut", &copy[..12_000]);
    sandbox.write("text", "hello");
    sandbox.write("empty", "");
    for (name, words) in [
        ("flipped", "the end of flipped cannot be read"),
        ("cut", "the end of cut cannot be read"),
        ("text", "not a vault file"),
        ("empty", "damaged"),
    ] {
        sandbox.vault(&["restore", name, "--force"]).run().fails(8, words);
    }
    // What is before its damaged end can still be had.
    sandbox.vault(&["backup", "rescued", "--vault", "flipped"]).run().ok();
    sandbox.vault(&["list", "--vault", "rescued"]).run().ok();
    sandbox.vault(&["restore", "none", "--force"]).run().fails(5, "no vault at none");
    sandbox.write("wrong", [9; 32]);
    sandbox.vault(&["restore", "copy", "--force", "--key-file", "wrong"]).run().fails(4, "does not open");
    assert_eq!(sandbox.bytes(), before);
    assert!(!sandbox.path("test.vault.before-restore").exists());
}

#[test]
fn a_link_stays_a_link_and_what_was_kept_is_written_as_a_file_of_its_own() {
    let mut sandbox = Sandbox::new();
    sandbox.set("a", "1");
    sandbox.vault(&["backup", "copy", "-q"]).run().ok();
    std::os::unix::fs::symlink("../test.vault", sandbox.path("work/link")).unwrap();
    sandbox.set_env("VAULT_FILE", sandbox.path("work/link"));
    sandbox.set("a", "2");
    // A name that can be guessed, with a link planted at it.
    let victim = sandbox.write("victim", "untouched");
    std::os::unix::fs::symlink(&victim, sandbox.path("test.vault.before-restore")).unwrap();
    sandbox.vault(&["restore", "copy", "--force"]).run().ok();
    assert!(sandbox.path("work/link").symlink_metadata().unwrap().is_symlink());
    assert_eq!(sandbox.get("a"), b"1");
    assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    // What was there is passed over, and the next free name is taken; an earlier copy is never lost.
    assert!(sandbox.path("test.vault.before-restore-2").symlink_metadata().unwrap().is_file());
}
