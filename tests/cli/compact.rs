//! `vault compact`

use crate::sandbox::Sandbox;

#[test]
fn drops_dead_bytes_and_nothing_else() {
    let sandbox = Sandbox::new();
    for number in 0..20 {
        sandbox.vault(&["set", "a", "--category", "c", "--ttl", "9d"]).stdin(format!("value {number}")).run().ok();
    }
    sandbox.set("gone", vec![b'x'; 100_000]);
    sandbox.vault(&["rm", "gone"]).run().ok();
    let before = sandbox.bytes();
    let compacted = sandbox.vault(&["compact"]).run().ok();
    let after = sandbox.bytes();
    assert_eq!(compacted.stderr, format!("{} bytes before, {} after\n", before.len(), after.len()));
    assert!(after.len() + 100_000 < before.len());
    assert_eq!(sandbox.get("a"), b"value 19");
    assert_eq!(sandbox.vault(&["get", "a", "--version", "11"]).run().ok().stdout, b"value 10");
    assert_eq!(sandbox.vault(&["list", "--category", "c"]).run().ok().text(), "a\n");
    sandbox.vault(&["check"]).run().ok();
    // The machine knows the file as its own: it goes on without a word.
    assert_eq!(sandbox.vault(&["set", "a"]).stdin("more").run().ok().stderr, "");
    assert_eq!(sandbox.vault(&["compact", "-q"]).run().ok().stderr, "");
}

#[test]
fn a_vault_that_is_mostly_dead_compacts_by_itself() {
    let sandbox = Sandbox::new();
    let mut most = 0;
    let mut shrank = false;
    for number in 0..40 {
        let value = vec![b'a' + number % 26; 100_000];
        sandbox.set("a", &value);
        let length = sandbox.bytes().len();
        shrank |= length < most;
        most = most.max(length);
        assert!(sandbox.get("a") == value);
    }
    assert!(shrank && most < 4 << 20, "{most} bytes at most");
    sandbox.vault(&["check"]).run().ok();
}
