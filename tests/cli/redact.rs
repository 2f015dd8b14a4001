//! `vault redact`

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine as _;

use crate::sandbox::{Sandbox, canary};

#[test]
fn values_of_all_entries_and_versions_are_replaced() {
    let sandbox = Sandbox::new();
    sandbox.set("api", "old-value-1");
    sandbox.set("api", "new-value-2");
    sandbox.vault(&["set", "api", "-e", "prod"]).stdin("prod-value-3").run().ok();
    sandbox.vault(&["set", "db", "--json"]).stdin(r#"{"password":"leaf-value-4","port":5432}"#).run().ok();
    sandbox.set("pin", "1234");
    let base64 = base64::engine::general_purpose::STANDARD.encode("user:new-value-2");
    let text = format!("old-value-1 new-value-2\nprod-value-3;leaf-value-4;1234;5432 Basic {base64}\n");
    let out = sandbox.vault(&["redact"]).stdin(text).run().ok();
    let masked = out.text();
    assert!(masked.starts_with("[MASKED] [MASKED]\n[MASKED];[MASKED];1234;5432 Basic dXNlc"), "{masked}");
    assert_eq!(masked.matches("[MASKED]").count(), 5, "{masked}");
    assert_eq!(out.stderr, "");
    let noted = sandbox.vault(&["redact", "-v"]).stdin("").run().ok();
    assert_eq!(noted.stderr, "note: not looked for, because too short: db#port, pin\n");
    sandbox.vault(&["redact", "--key-file", "none"]).stdin("x").run().fails(4, "none");
}

#[test]
fn bytes_pass_unchanged_and_a_prompt_is_not_kept_waiting() {
    let sandbox = Sandbox::new();
    let secret = canary();
    sandbox.set("key", &secret);
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    assert!(sandbox.vault(&["redact"]).stdin(&bytes).run().ok().stdout == bytes);

    let mut command = sandbox.vault(&["redact"]).into_command();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut exchange = |text: &str, expected: &str| {
        let start = Instant::now();
        stdin.write_all(text.as_bytes()).unwrap();
        let mut buffer = vec![0; expected.len()];
        stdout.read_exact(&mut buffer).unwrap();
        assert_eq!(String::from_utf8(buffer).unwrap(), expected);
        start.elapsed()
    };
    exchange("ready\n", "ready\n");
    // What may be the beginning of the value comes after a short while, and its rest is masked all the same.
    let waited = exchange(&format!("? {}", &secret[..9]), &format!("? {}", &secret[..9]));
    assert!(waited >= Duration::from_millis(40), "{waited:?}");
    exchange(&format!("{}!\n", &secret[9..]), "[MASKED]!\n");
    drop(stdin);
    assert!(child.wait().unwrap().success());
}
