//! `vault rotate`

use crate::sandbox::Sandbox;

#[test]
fn a_new_value_with_the_old_one_in_history() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "a", "--category", "db"]).stdin("old").run().ok();
    let rotated = sandbox.vault(&["rotate", "a"]).stdin("new\n").run().ok();
    assert_eq!((rotated.text().as_str(), rotated.stderr.as_str()), ("", "'a' is at version 2\n"));
    assert_eq!(sandbox.get("a"), b"new");
    assert_eq!(sandbox.vault(&["get", "a", "--version", "1"]).run().ok().stdout, b"old");
    let rotated = sandbox.vault(&["rotate", "a", "--generate", "hex:16", "-q"]).run().ok();
    assert!(rotated.stdout.is_empty() && rotated.stderr.is_empty());
    assert_eq!(sandbox.get("a").len(), 32);
    assert_eq!(sandbox.vault(&["list", "--category", "db"]).run().ok().text(), "a\n");
    let before = sandbox.bytes();
    sandbox.vault(&["rotate", "none", "--generate", "hex:16"]).run().fails(3, "no entry 'none'");
    sandbox.vault(&["rotate", "a", "-e", "prod", "--generate", "hex:16"]).run().fails(3, "no entry 'a (prod)'");
    sandbox.vault(&["rotate", "a", "--generate", "hex:16", "--if-version", "1"]).run().fails(6, "at version 3, not 1");
    sandbox.vault(&["rotate", "a", "--generate", "nope"]).run().ends(2);
    assert_eq!(sandbox.bytes(), before);
    sandbox.vault(&["rotate", "a", "--generate", "hex:16", "--if-version", "3"]).run().ok();
}
