//! `vault check`

use crate::sandbox::{Sandbox, fields};

#[test]
fn opens_every_value() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    sandbox.set("a", "2");
    sandbox.set("b", "3");
    let before = sandbox.bytes();
    let text = sandbox.vault(&["check"]).run().ok().text();
    assert!(text.starts_with("sound: 2 entries, 3 values opened, 4 commits, "), "{text}");
    let json = sandbox.vault(&["check", "--format", "json"]).run().ok().json();
    assert_eq!(
        fields(&json),
        [
            "version",
            "sound",
            "vault_id",
            "fingerprint",
            "bytes",
            "live_bytes",
            "dead_bytes",
            "tail_bytes",
            "commits",
            "entries",
            "values",
            "closed_values"
        ]
    );
    assert_eq!((&json["sound"], &json["entries"], &json["values"]), (&true.into(), &2.into(), &3.into()));
    assert_eq!(json["bytes"], before.len());
    assert_eq!(sandbox.bytes(), before);
}

#[test]
fn the_fingerprint_pins_the_vault() {
    let sandbox = Sandbox::new();
    let json = sandbox.vault(&["check", "--format", "json"]).run().ok().json();
    let fingerprint = json["fingerprint"].as_str().unwrap();
    sandbox.vault(&["list", "--expect-vault", fingerprint]).run().ok();
    sandbox.vault(&["list"]).env("VAULT_FINGERPRINT", fingerprint.to_uppercase()).run().ok();
    let other = "0".repeat(64);
    sandbox.vault(&["list", "--expect-vault", &other]).run().fails(12, "expected fingerprint");
    sandbox.vault(&["set", "a"]).stdin("v").env("VAULT_FINGERPRINT", &other).run().fails(12, "expected fingerprint");
}

#[test]
fn values_that_should_be_others_are_found_by_their_names() {
    let sandbox = Sandbox::new();
    sandbox.set("sound", "q7Zp0LmXw93KfBt6RcYd81Vh");
    sandbox.vault(&["set", "db", "--json"]).stdin(r#"{"host":"localhost","user":"app","password":"fK3.vP9!xQ2$wR"}"#).run().ok();
    let text = sandbox.vault(&["check", "--values"]).run().ok().text();
    assert!(text.ends_with("\n2 current values judged: 0 weak, 0 short, 0 used by more than one entry\n"), "{text}");

    sandbox.set("pin", "8351");
    sandbox.set("phrase", "Summer2024!");
    // An old version is not what counts.
    sandbox.set("changed", "hunter2");
    sandbox.set("changed", "zT5!nB8@cV1#mK");
    sandbox.vault(&["set", "sound", "-e", "prod"]).stdin("q7Zp0LmXw93KfBt6RcYd81Vh").run().ok();
    sandbox.set("url", "postgres://app:fK3.vP9!xQ2$wR@db.internal/shop");
    sandbox
        .vault(&["set", "deep", "--json"])
        .stdin(r#"{"a":{"token":"letmein"},"list":[{"secret":"twice-Kd83!x"},{"secret":"twice-Kd83!x"}]}"#)
        .run()
        .ok();
    let found = sandbox.vault(&["check", "--values"]).run().ends(10).text();
    let judged = found.split_once("current values judged: ").unwrap().1;
    assert_eq!(
        judged,
        "3 weak, 2 short, 2 used by more than one entry\n\
         weak   deep#a.token\n\
         weak   phrase\n\
         weak   pin\n\
         short  deep#a.token\n\
         short  pin\n\
         same   db#password, url\n\
         same   sound, sound (prod)\n"
    );
    let json = sandbox.vault(&["check", "--values", "--format", "json"]).run().ends(10).json();
    assert_eq!(fields(&json)[12..], ["judged", "weak", "short", "reused"]);
    assert_eq!(json["weak"][0], serde_json::json!({ "name": "deep", "environment": null, "field": "a.token" }));
    assert_eq!(json["short"][1], serde_json::json!({ "name": "pin", "environment": null, "field": null }));
    assert_eq!(json["reused"][1][1], serde_json::json!({ "name": "sound", "environment": "prod", "field": null }));
    assert_eq!((&json["judged"], json["reused"].as_array().unwrap().len()), (&10.into(), 2));
    // Without the option nothing of this is an occasion.
    sandbox.vault(&["check"]).run().ok();
    // A limited key judges what it opens.
    sandbox.vault(&["set", "pin", "--meta-only", "--category", "web"]).run().ok();
    sandbox.vault(&["key", "add", "--label", "ci", "--key-file", "ci.key", "--only", "category:web", "-q"]).run().ok();
    let json = sandbox.vault(&["check", "--values", "--format", "json", "--key-file", "ci.key"]).run().ends(10).json();
    assert_eq!((&json["judged"], &json["weak"][0]["name"]), (&1.into(), &"pin".into()));
}
