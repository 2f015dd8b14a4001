//! `vault find`

use crate::sandbox::{Sandbox, fields};

#[test]
fn searches_everything_but_values() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "Alpha", "--category", "Database", "--tag", "blue", "--meta", "owner=Jo"]).stdin("needle").run().ok();
    sandbox.vault(&["set", "beta", "-e", "prod"]).stdin("v").run().ok();
    for text in ["alp", "ALPHA", "database", "Blue", "owner", "jo"] {
        assert_eq!(sandbox.vault(&["find", text]).run().ok().text(), "Alpha\n", "{text}");
    }
    assert_eq!(sandbox.vault(&["search", "a"]).run().ok().text(), "Alpha\nbeta   prod\n");
    assert_eq!(sandbox.vault(&["find", "a", "-e", "prod"]).run().ok().text(), "beta  prod\n");
    let none = sandbox.vault(&["find", "needle"]).run().ends(3);
    assert!(none.stdout.is_empty());
    let found = sandbox.vault(&["find", "NEEDLE", "--values"]).run().ok();
    assert_eq!(found.text(), "Alpha\n");
    let json = sandbox.vault(&["find", "needle", "--values", "--format", "json"]).run().ok();
    assert!(!json.text().contains("needle"));
    assert_eq!((fields(&json.json()), &json.json()["entries"][0]["name"]), (vec!["version", "entries"], &"Alpha".into()));
    let none = sandbox.vault(&["find", "nothing", "--format", "json"]).run().ends(3).json();
    assert_eq!(none["entries"], serde_json::json!([]));
}
