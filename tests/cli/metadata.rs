//! Metadata: set with and without a value, kept, and filtered by type.

use crate::sandbox::Sandbox;

fn meta(sandbox: &Sandbox, name: &str) -> serde_json::Value {
    sandbox.vault(&["info", name, "--format", "json"]).run().ok().json()["meta"].clone()
}

#[test]
fn common_keys_have_options_and_are_kept() {
    let sandbox = Sandbox::new();
    let all = ["--tier", "low", "--owner", "ops", "--note", "two\nlines", "--url", "https://db.example:5432/x", "--meta", "k=v"];
    sandbox.vault(&[&["set", "a"], &all[..]].concat()).stdin("1").run().ok();
    let expected =
        serde_json::json!({ "k": "v", "note": "two\nlines", "owner": "ops", "tier": "low", "url": "https://db.example:5432/x" });
    assert_eq!(meta(&sandbox, "a"), expected);
    sandbox.vault(&["set", "a"]).stdin("2").run().ok();
    sandbox.vault(&["rotate", "a", "--generate", "pin:4"]).run().ok();
    sandbox.vault(&["rollback", "a", "--version", "1"]).run().ok();
    sandbox.vault(&["rotate", "a", "--apply", "true"]).stdin("3").run().ok();
    let editor = sandbox.script("editor", "echo edited > \"$1\"");
    sandbox.vault(&["edit", "a"]).env("EDITOR", &editor).run().ok();
    sandbox.vault(&["mv", "a", "b"]).run().ok();
    sandbox.vault(&["cp", "b", "c"]).run().ok();
    assert_eq!((meta(&sandbox, "b"), meta(&sandbox, "c")), (expected.clone(), expected));
    let before = sandbox.vault(&["history", "b"]).run().ok().text();
    sandbox.vault(&["set", "b", "--meta-only", "--owner", "", "--note", "", "--url", "ssh://h"]).run().ok();
    assert_eq!(meta(&sandbox, "b"), serde_json::json!({ "k": "v", "tier": "low", "url": "ssh://h" }));
    assert_eq!(sandbox.vault(&["history", "b"]).run().ok().text(), before);
    for text in ["DB.example", "5432", "ops"] {
        assert_eq!(sandbox.vault(&["find", text]).run().ok().text(), "c\n", "{text}");
    }
    for bad in ["db.example", "https://", "://h", "1s://h", "https:///x", "https://a b", "https://:80"] {
        sandbox.vault(&["set", "b", "--meta-only", "--url", bad]).run().fails(2, "a scheme and a host");
    }
    for good in ["https://[::1]:80/", "postgres://u@h/x?y#z", ""] {
        sandbox.vault(&["set", "b", "--meta-only", "--url", good]).run().ok();
    }
    sandbox.vault(&["set", "b", "--meta-only", "--owner", "a", "--meta", "owner=b"]).run().fails(2, "twice");
}

#[test]
fn filters_compare_as_what_values_are() {
    let sandbox = Sandbox::new();
    for (name, pairs) in [
        ("a", ["size=9", "since=2026-01-01", "wait=90m", "on=true"]),
        ("b", ["size=10", "since=2026-06-01T12:00:00Z", "wait=2h", "on=false"]),
        ("c", ["size=big", "since=never", "wait=1d", "tier=x"]),
    ] {
        let arguments = pairs.iter().flat_map(|pair| ["--meta", pair]).collect::<Vec<_>>();
        sandbox.vault(&[&["set", name], &arguments[..]].concat()).stdin("v").run().ok();
    }
    sandbox.set("d", "v");
    let list = |arguments: &[&str]| {
        let text = sandbox.vault(&[&["list"], arguments].concat()).run().ok().text();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (condition, expected) in [
        ("size > 9", "b c"),
        ("size<10", "a"),
        ("size ~ *g", "c"),
        ("since >= 2026-06-01", "b c"),
        ("wait < 2h", "a"),
        ("on = TRUE", "a"),
        ("tier != x", "a b d"),
        ("none = 1", ""),
    ] {
        assert_eq!(list(&["--where", condition]), expected, "{condition}");
    }
    assert_eq!(list(&["--where", "size > 1", "--where", "wait > 1h40m"]), "b c");
    assert_eq!(list(&["--meta", "on"]), "a b");
    assert_eq!(list(&["--meta", "on=true", "--meta", "size"]), "a");
    assert_eq!(list(&["--tier", "x"]), "c");
    assert_eq!(list(&["--owner", "x"]), "");
    for bad in ["size", "size = [", "~", ""] {
        let code = sandbox.vault(&["list", "--where", bad]).run().code;
        assert_eq!(code, if bad == "size = [" { 0 } else { 2 }, "{bad}");
    }
    sandbox.vault(&["list", "--where", "size ~ ["]).run().fails(2, "the pattern is malformed");
}
