//! `vault history`

use crate::sandbox::{Sandbox, fields};

#[test]
fn the_last_ten_versions_the_newest_first() {
    let sandbox = Sandbox::new();
    for number in 1..=12 {
        sandbox.set("a", format!("value {number}"));
    }
    let text = sandbox.vault(&["history", "a"]).run().ok().text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 10);
    assert!(lines[0].starts_with("v12 ") && lines[0].ends_with(" text  current"), "{text}");
    assert!(lines[9].starts_with("v3 ") && lines[9].ends_with(" text"), "{text}");
    assert!(!text.contains("value"));
    let json = sandbox.vault(&["history", "a", "--format", "json"]).run().ok().json();
    assert_eq!(fields(&json), ["version", "name", "versions"]);
    assert_eq!(fields(&json["versions"][0]), ["number", "created", "kind", "current"]);
    assert_eq!((&json["versions"][0]["number"], &json["versions"][0]["current"]), (&12.into(), &true.into()));
    assert_eq!(json["versions"][9]["current"], false);
    sandbox.vault(&["get", "a", "--version", "2"]).run().fails(3, "no version 2");
    assert_eq!(sandbox.vault(&["get", "a", "--version", "3"]).run().ok().stdout, b"value 3");
    sandbox.vault(&["history", "none"]).run().fails(3, "no entry 'none'");
}

#[test]
fn how_many_are_kept_is_configured() {
    let sandbox = Sandbox::new();
    sandbox.write("vault.toml", "keep-versions = 2\n");
    for number in 1..=4 {
        sandbox.set("a", format!("{number}"));
    }
    let json = sandbox.vault(&["history", "a", "--format", "json"]).run().ok().json();
    let numbers: Vec<_> =
        json["versions"].as_array().unwrap().iter().map(|version| version["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [4, 3]);
    sandbox.vault(&["check"]).run().ok();
}
