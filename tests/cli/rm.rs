//! `vault rm`

use crate::sandbox::Sandbox;

#[test]
fn removes_all_or_none() {
    let sandbox = Sandbox::new();
    for name in ["a", "b", "c"] {
        sandbox.set(name, "v");
    }
    let before = sandbox.bytes();
    sandbox.vault(&["rm", "a", "none", "b"]).run().fails(3, "there is no entry 'none'");
    assert_eq!(sandbox.bytes(), before);
    let removed = sandbox.vault(&["rm", "a", "b", "a"]).run().ok();
    assert!(removed.stdout.is_empty() && removed.stderr.is_empty());
    assert_eq!(sandbox.list(), ["c"]);
    sandbox.vault(&["get", "a"]).run().fails(3, "no entry");
    sandbox.vault(&["history", "a"]).run().fails(3, "no entry");
    sandbox.vault(&["delete", "c"]).run().ok();
    assert!(sandbox.list().is_empty());
    sandbox.vault(&["rm"]).run().ends(2);
    sandbox.vault(&["check"]).run().ok();
}

#[test]
fn is_exact_about_environments() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "general");
    sandbox.vault(&["rm", "a", "-e", "prod"]).run().fails(3, "'a (prod)'");
    sandbox.vault(&["set", "a", "-e", "prod"]).stdin("prod").run().ok();
    sandbox.vault(&["rm", "a", "-e", "prod"]).run().ok();
    assert_eq!(sandbox.get("a"), b"general");
}

#[test]
fn what_is_made_anew_begins_at_version_one() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    sandbox.set("a", "2");
    sandbox.vault(&["rm", "a"]).run().ok();
    sandbox.vault(&["set", "a", "--if-version", "0", "-v"]).stdin("3").run().ok();
    sandbox.vault(&["get", "a", "--version", "2"]).run().ends(3);
    assert_eq!(sandbox.vault(&["get", "a", "--version", "1"]).run().ok().stdout, b"3");
}

#[test]
fn purge_drops_the_bytes() {
    let sandbox = Sandbox::new();
    sandbox.set("keep", "v");
    sandbox.set("a", vec![b'x'; 300_000]);
    let before = sandbox.bytes().len();
    sandbox.vault(&["rm", "a", "--purge"]).run().ok();
    let after = sandbox.bytes().len();
    assert!(after + 300_000 < before, "{before} bytes before, {after} after");
    assert_eq!(sandbox.get("keep"), b"v");
    // The key that sealed what is gone seals nothing more.
    let keys = sandbox.vault(&["key", "status", "--format", "json"]).run().ok().json();
    assert_eq!(keys["data_keys"][0]["number"], 2);
    sandbox.vault(&["check"]).run().ok();
}
