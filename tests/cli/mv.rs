//! `vault mv`

use crate::sandbox::Sandbox;

#[test]
fn moves_versions_and_metadata() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "a", "--category", "db", "--tag", "t", "--ttl", "1d"]).stdin("1").run().ok();
    sandbox.vault(&["set", "a", "--ttl", "1d"]).stdin("2").run().ok();
    sandbox.vault(&["mv", "a", "b/c"]).run().ok();
    sandbox.vault(&["get", "a"]).run().fails(3, "no entry 'a'");
    assert_eq!(sandbox.vault(&["get", "b/c", "--version", "1"]).run().ok().stdout, b"1");
    assert_eq!(sandbox.get("b/c"), b"2");
    let info = sandbox.vault(&["info", "b/c", "--format", "json"]).run().ok().json();
    assert_eq!((&info["category"], &info["current_version"]), (&"db".into(), &2.into()));
    assert!(info["expires"].is_string());
    assert_eq!(sandbox.vault(&["list", "--category", "db"]).run().ok().text(), "b/c\n");
    sandbox.vault(&["check"]).run().ok();
}

#[test]
fn what_is_there_is_replaced_only_by_force() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    sandbox.set("b", "2");
    let before = sandbox.bytes();
    sandbox.vault(&["mv", "a", "b"]).run().fails(6, "'b' exists already");
    sandbox.vault(&["mv", "a", "a"]).run().fails(2, "are the same");
    sandbox.vault(&["mv", "none", "x"]).run().fails(3, "no entry 'none'");
    sandbox.vault(&["mv", "a", " b"]).run().fails(2, "the name begins or ends with a blank");
    sandbox.vault(&["mv", "a"]).run().ends(2);
    assert_eq!(sandbox.bytes(), before);
    sandbox.vault(&["mv", "a", "b", "--force"]).run().ok();
    assert_eq!((sandbox.list(), sandbox.get("b")), (vec!["b".to_owned()], b"1".to_vec()));
    sandbox.vault(&["check"]).run().ok();
}

#[test]
fn moves_between_environments() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    sandbox.vault(&["mv", "a", "a", "--to-env", "prod"]).run().ok();
    assert!(sandbox.list().is_empty());
    assert_eq!(sandbox.vault(&["get", "a", "-e", "prod"]).run().ok().stdout, b"1");
    sandbox.vault(&["mv", "a", "b", "-e", "prod"]).run().ok();
    assert_eq!(sandbox.vault(&["list", "-e", "prod"]).run().ok().text(), "b\n");
    sandbox.vault(&["mv", "b", "b", "-e", "prod", "--to-env", ""]).run().ok();
    assert_eq!(sandbox.get("b"), b"1");
}
