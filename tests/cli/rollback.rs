//! `vault rollback`

use crate::sandbox::Sandbox;

#[test]
fn what_had_expired_is_back_for_good() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "one");
    sandbox.vault(&["set", "a", "--ttl", "0s"]).stdin("two").run().ok();
    sandbox.vault(&["get", "a"]).run().fails(9, "'a' has expired");
    let rolled = sandbox.vault(&["rollback", "a", "--version", "1"]).run().ok();
    assert!(rolled.stderr.contains("note: 'a' does not expire any more"), "{}", rolled.stderr);
    assert_eq!(sandbox.get("a"), b"one");
    assert_eq!(sandbox.vault(&["prune"]).run().ok().text(), "");
    assert_eq!(sandbox.get("a"), b"one");
}

#[test]
fn an_old_version_is_current_again_as_a_new_one() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "a", "--json"]).stdin("{\"v\":1}").run().ok();
    sandbox.vault(&["set", "a", "--tag", "t"]).stdin("two").run().ok();
    let rolled = sandbox.vault(&["rollback", "a", "--version", "1"]).run().ok();
    assert_eq!(rolled.stderr, "'a' is at version 3, which is version 1 again\n");
    assert_eq!(sandbox.get("a"), b"{\"v\":1}");
    assert_eq!(sandbox.vault(&["get", "a", "--version", "2"]).run().ok().stdout, b"two");
    let info = sandbox.vault(&["info", "a", "--format", "json"]).run().ok().json();
    assert_eq!((&info["kind"], &info["current_version"], &info["tags"][0]), (&"json".into(), &3.into(), &"t".into()));
    let before = sandbox.bytes();
    sandbox.vault(&["rollback", "a", "--version", "9"]).run().fails(3, "no version 9");
    sandbox.vault(&["rollback", "none", "--version", "1"]).run().fails(3, "no entry 'none'");
    sandbox.vault(&["rollback", "a"]).run().ends(2);
    sandbox.vault(&["rollback", "a", "--version", "x"]).run().ends(2);
    assert_eq!(sandbox.bytes(), before);
}
