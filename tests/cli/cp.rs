//! `vault cp`

use crate::sandbox::Sandbox;

#[test]
fn copies_the_current_value_and_the_metadata() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    sandbox.vault(&["set", "a", "--category", "db", "--tag", "t", "--meta", "k=v"]).stdin("2").run().ok();
    sandbox.vault(&["cp", "a", "b"]).run().ok();
    assert_eq!((sandbox.get("a"), sandbox.get("b")), (b"2".to_vec(), b"2".to_vec()));
    let info = sandbox.vault(&["info", "b", "--format", "json"]).run().ok().json();
    assert_eq!((&info["category"], &info["tags"][0], &info["meta"]["k"]), (&"db".into(), &"t".into(), &"v".into()));
    assert_eq!(info["current_version"], 1);
    // From here on they are apart.
    sandbox.set("b", "3");
    assert_eq!(sandbox.get("a"), b"2");
    sandbox.vault(&["check"]).run().ok();
}

#[test]
fn what_is_there_is_replaced_only_by_force() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    sandbox.set("b", "2");
    let before = sandbox.bytes();
    sandbox.vault(&["cp", "a", "b"]).run().fails(6, "'b' exists already");
    sandbox.vault(&["cp", "a", "a"]).run().fails(2, "are the same");
    sandbox.vault(&["cp", "none", "x"]).run().fails(3, "no entry 'none'");
    assert_eq!(sandbox.bytes(), before);
    sandbox.vault(&["cp", "a", "b", "--force"]).run().ok();
    assert_eq!(sandbox.get("b"), b"1");
    sandbox.vault(&["cp", "a", "a", "--to-env", "prod"]).run().ok();
    sandbox.vault(&["cp", "a", "c", "-e", "prod", "--to-env", ""]).run().ok();
    assert_eq!(
        (sandbox.get("c"), sandbox.vault(&["list", "-a"]).run().ok().text()),
        (b"1".to_vec(), "a\nb\nc\nprod\ta\n".into())
    );
    sandbox.vault(&["check"]).run().ok();
}
