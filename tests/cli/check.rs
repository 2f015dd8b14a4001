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
