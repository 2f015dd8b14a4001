//! `vault mask`

use crate::sandbox::Sandbox;

#[test]
fn documents_of_each_format_are_masked_by_both_rules() {
    let sandbox = Sandbox::empty();
    let mask = |arguments: &[&str], text: &str| sandbox.vault(&[&["mask"][..], arguments].concat()).stdin(text).run().ok().text();
    let json = r#"{"db":{"password":"canary","port":5432},"monkey":"m","url":"pg://u:canary@h/d","tokens":["canary"],"f":1.10}"#;
    assert_eq!(
        mask(&[], json),
        "{\n  \"db\": {\n    \"password\": \"[MASKED]\",\n    \"port\": 5432\n  },\n  \"monkey\": \"m\",\n  \
         \"url\": \"pg://u:[MASKED]@h/d\",\n  \"tokens\": [\n    \"[MASKED]\"\n  ],\n  \"f\": 1.10\n}\n"
    );
    let classic = mask(&["--rule", "substrings"], json);
    assert!(classic.contains("\"monkey\": \"[MASKED]\"") && classic.contains("u:canary@h"), "{classic}");
    let yaml =
        "# canary\ndb:\n  apiKey: canary\n  hosts: [a, 'no']\nempty: {}\nlist:\n- secret: {a: canary}\n- x: 'a: b'\n  n: ~\n";
    let masked = "db:\n  apiKey: \"[MASKED]\"\n  hosts:\n    - a\n    - \"no\"\nempty: {}\nlist:\n  -\n    secret:\n      a: \"[MASKED]\"\n  -\n    \
                  x: \"a: b\"\n    \"n\": null\n";
    assert_eq!(mask(&[], yaml), masked);
    assert_eq!(mask(&["--format", "yaml"], masked), masked, "what is written reads the same");
    let toml = "# canary\nname = \"n\"\nsince = 2026-01-01\n[auth]\nkey = \"canary\"\npin = 1234\n[[x]]\nkeyboard = \"k\"\n";
    assert_eq!(
        mask(&[], toml),
        "name = \"n\"\nsince = 2026-01-01\n\n[auth]\nkey = \"[MASKED]\"\npin = \"[MASKED]\"\n\n[[x]]\nkeyboard = \"k\"\n"
    );
    sandbox.write("c.toml", toml);
    assert_eq!(mask(&["c.toml"], ""), mask(&[], toml));
}

#[test]
fn what_cannot_be_read_is_not_shown() {
    let sandbox = Sandbox::empty();
    for (format, text) in
        [("json", "{\"canary\": canary"), ("toml", "canary"), ("yaml", "a: [canary"), ("yaml", "canary: \u{1}: {")]
    {
        let failed = sandbox.vault(&["mask", "--format", format]).stdin(text).run().fails(2, "not well-formed");
        assert!(!failed.stderr.contains("canary"), "{}", failed.stderr);
    }
    sandbox.vault(&["mask"]).stdin(b"\xff").run().fails(2, "not UTF-8");
}

#[test]
fn the_documents_that_people_have() {
    let sandbox = Sandbox::empty();
    let mask = |text: &str| sandbox.vault(&["mask", "--format", "yaml"]).stdin(text).run().ok().text();
    for (text, masked) in [
        ("environment:\n  - DB_PASSWORD=canary one\n  - DB_HOST=db\n", "DB_PASSWORD=[MASKED]\""),
        ("env:\n  - name: API_TOKEN\n    value: canary\n  - name: HOST\n    value: h\n", "value: \"[MASKED]\""),
        ("run: app --password=canary --port=1\n", "app --password=[MASKED] --port=1"),
        ("run: app --password canary --port 1\n", "app --password [MASKED] --port 1"),
        ("args: [--token, canary, --port, '1']\n", "- \"[MASKED]\""),
        ("headers: ['Authorization: Bearer canary.0']\n", "Authorization: [MASKED]"),
        ("run: 'curl -H \"X-Api-Key: canary\" https://h'\n", "\\\"X-Api-Key: [MASKED]\\\" https://h"),
        ("note: 'use Bearer canary0123 here'\n", "use Bearer [MASKED] here"),
        ("db: 'Server=h;Password=canary;Port=1'\n", "Server=h;Password=[MASKED];Port=1"),
        ("remote: https://canary@h/r.git\n", "https://[MASKED]@h/r.git"),
        (
            "dbpassword: canary\nuserpwd: canary\nauthtoken: canary\n",
            "dbpassword: \"[MASKED]\"\nuserpwd: \"[MASKED]\"\nauthtoken: \"[MASKED]\"",
        ),
    ] {
        let out = mask(text);
        assert!(!out.contains("canary") && out.contains(masked), "{text} became {out}");
    }
    let innocent = "a: ssh://git@h/r\nb: x=1;y=2\nc: \"Bearer authentication, basic auth: none of it\"\n";
    assert!(!mask(&innocent.replace("auth: none", "words, none")).contains("MASKED"));
}
