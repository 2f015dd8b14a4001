//! `vault generate`

use crate::sandbox::Sandbox;

#[test]
fn prints_a_value_of_the_kind_and_needs_no_vault() {
    let sandbox = Sandbox::empty();
    let make = |spec: &str| sandbox.vault(&["generate", spec]).run().ok().text();
    for (spec, length) in
        [("random:32", 44), ("hex:32", 64), ("base64url:32", 43), ("alnum:24", 24), ("password:20", 20), ("pin:16", 16)]
    {
        let value = make(spec);
        assert_eq!(value.len(), length, "{spec}: {value}");
        assert_ne!(make(spec), value, "{spec}");
    }
    assert!(make("words:6").split('-').count() >= 6);
    assert_eq!(make("uuid").len(), 36);
    assert_eq!(sandbox.vault(&["generate"]).run().ok().text().len(), 20);
    assert_eq!(sandbox.vault(&["generate", "pin:4", "-n"]).run().ok().text().len(), 4);
    for spec in ["", "nope", "hex:", "hex:0", "hex:-1", "hex:65537", "uuid:3", "password:3"] {
        let bad = sandbox.vault(&["generate", "--", spec]).run().ends(2);
        assert!(bad.stdout.is_empty() && bad.stderr.starts_with("error: "), "{spec}: {}", bad.stderr);
    }
    assert!(sandbox.files("state").is_empty());
}
