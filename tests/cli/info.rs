//! `vault info`

use crate::list::ENTRY;
use crate::sandbox::{Sandbox, fields};

#[test]
fn everything_but_the_value() {
    let sandbox = Sandbox::new();
    let canary = crate::sandbox::canary();
    sandbox.vault(&["set", "a", "--category", "db", "--tag", "t", "--meta", "k=v", "--ttl", "1d"]).stdin(&canary).run().ok();
    let text = sandbox.vault(&["info", "a"]).run().ok().text();
    for line in ["name           a", "category       db", "tags           t", "meta k         v", "version        1"] {
        assert!(text.lines().any(|other| other == line), "{line} in {text}");
    }
    assert!(!text.contains(&canary));
    let json = sandbox.vault(&["info", "a", "--format", "json"]).run().ok();
    assert!(!json.text().contains(&canary));
    let json = json.json();
    let mut expected = ENTRY.to_vec();
    expected.extend(["version", "schedule", "rotation", "reads", "last_read", "last_read_by"]);
    assert_eq!(fields(&json), expected);
    assert_eq!((&json["kind"], &json["current_version"], &json["expired"]), (&"text".into(), &1.into(), &false.into()));
}

#[test]
fn is_exact_about_environments() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "v");
    sandbox.vault(&["info", "a", "-e", "prod"]).run().fails(3, "there is no entry 'a (prod)'");
    sandbox.vault(&["info", "none"]).run().fails(3, "there is no entry 'none'");
    sandbox.vault(&["set", "a", "-e", "prod"]).stdin("v").run().ok();
    let json = sandbox.vault(&["info", "a", "-e", "prod", "--format=json"]).run().ok().json();
    assert_eq!(json["environment"], "prod");
}

#[test]
fn metadata_cannot_steer_a_terminal() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "a", "--meta", "k=\u{1b}[31mred\nname x"]).stdin("v").run().ok();
    let text = sandbox.vault(&["info", "a"]).run().ok().text();
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[31mred\\nname x"), "{text}");
}
