//! `vault list`

use crate::sandbox::{Sandbox, fields};

/// What a listing says of each entry.
pub const ENTRY: [&str; 20] = [
    "name",
    "environment",
    "category",
    "tags",
    "meta",
    "kind",
    "current_version",
    "versions",
    "created",
    "modified",
    "expires",
    "expired",
    "due",
    "is_due",
    "rotations",
    "rotated",
    "previous_version",
    "previous_until",
    "rotation_pending",
    "rotation_failed",
];

fn filled() -> Sandbox {
    let sandbox = Sandbox::new();
    for (name, options) in [
        ("zeta", &["--category", "db", "--tag", "x"][..]),
        ("alpha", &["--category", "db"]),
        ("svc/web", &["--tag", "x", "--tag", "y"]),
        ("svc/api", &[]),
        ("prod only", &["-e", "prod", "--category", "db"]),
        ("alpha", &["-e", "prod"]),
    ] {
        let mut arguments = vec!["set", name];
        arguments.extend(options);
        sandbox.vault(&arguments).stdin(format!("value of {name}")).run().ok();
    }
    sandbox.vault(&["set", "old", "--ttl", "0s"]).stdin("v").run().ok();
    sandbox
}

#[test]
fn prints_names_in_their_order() {
    let sandbox = filled();
    assert_eq!(sandbox.list(), ["alpha", "old", "svc/api", "svc/web", "zeta"]);
    assert_eq!(sandbox.vault(&["ls"]).run().ok().text(), "alpha\nold\nsvc/api\nsvc/web\nzeta\n");
    assert_eq!(sandbox.vault(&["list", "-e", "prod"]).run().ok().text(), "alpha\nprod only\n");
    assert_eq!(sandbox.vault(&["list", "-e", "none"]).run().ok().text(), "");
    assert_eq!(
        sandbox.vault(&["list", "-a"]).run().ok().text(),
        "alpha\nold\nsvc/api\nsvc/web\nzeta\nprod\talpha\nprod\tprod only\n"
    );
}

#[test]
fn filters() {
    let sandbox = filled();
    for (options, names) in [
        (&["--category", "db"][..], &["alpha", "zeta"][..]),
        (&["--category", "db", "-e", "prod"], &["prod only"]),
        (&["--category", "none"], &[]),
        (&["--tag", "x"], &["svc/web", "zeta"]),
        (&["--tag", "x", "--category", "db"], &["zeta"]),
        (&["--match", "svc/*"], &["svc/api", "svc/web"]),
        (&["--match", "*a"], &["alpha", "zeta"]),
        (&["--match", "[az]*"], &["alpha", "zeta"]),
        (&["--match", "?ld"], &["old"]),
        (&["--expired"], &["old"]),
        (&["--expired", "--category", "db"], &[]),
        (&["--tag", "x", "--match", "*web"], &["svc/web"]),
    ] {
        let mut arguments = vec!["list"];
        arguments.extend(options);
        let text = sandbox.vault(&arguments).run().ok().text();
        assert_eq!(text.lines().collect::<Vec<_>>(), names, "{options:?}");
        // JSON knows the same filters.
        arguments.extend(["--format", "json"]);
        let json = sandbox.vault(&arguments).run().ok().json();
        let found: Vec<_> = json["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
        assert_eq!(found, names, "{options:?} as JSON");
    }
    sandbox.vault(&["list", "--match", "[a"]).run().fails(2, "the pattern is malformed");
    sandbox.vault(&["list", "--tag", ""]).run().fails(2, "the tag is empty");
    sandbox.vault(&["list", "--category", ""]).run().fails(2, "the category is empty");
}

#[test]
fn json_holds_no_value_unless_revealed() {
    let sandbox = filled();
    let list = sandbox.vault(&["list", "--format", "json"]).run().ok();
    assert!(!list.text().contains("value of"));
    let json = list.json();
    assert_eq!(fields(&json), ["version", "entries"]);
    for entry in json["entries"].as_array().unwrap() {
        assert_eq!(fields(entry), ENTRY);
    }
    let alpha = &json["entries"][0];
    assert_eq!((&alpha["name"], &alpha["category"], &alpha["current_version"]), (&"alpha".into(), &"db".into(), &1.into()));
    assert!(alpha["environment"].is_null() && alpha["expires"].is_null());
    assert_eq!(fields(&alpha["versions"][0]), ["number", "created", "kind"]);

    sandbox.vault(&["set", "bytes"]).stdin(b"\xff\0").run().ok();
    sandbox.vault(&["set", "json", "--json"]).stdin("{\"a\":1.10}").run().ok();
    let all = sandbox.vault(&["list", "--format", "json", "--reveal"]).run().ok();
    let value = |name: &str| {
        let json = all.json();
        json["entries"].as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap()["value"].to_string()
    };
    assert_eq!(value("alpha"), "\"value of alpha\"");
    assert_eq!(value("bytes"), r#"{"encoding":"base64","data":"/wA="}"#);
    assert_eq!(value("json"), "{\"a\":1.10}");
    sandbox.vault(&["list", "--reveal"]).run().fails(2, "JSON only");
}

#[test]
fn long_is_a_table() {
    let sandbox = filled();
    let text = sandbox.vault(&["list", "--long"]).run().ok().text();
    let zeta = text.lines().find(|line| line.starts_with("zeta ")).unwrap();
    assert!(zeta.contains(" v1 ") && zeta.contains(" db ") && zeta.ends_with(" x"), "{zeta}");
    assert!(text.lines().any(|line| line.starts_with("old ") && line.ends_with("expired")), "{text}");
}
