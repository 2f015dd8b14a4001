//! `vault scan`

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;

use crate::sandbox::{Output, Sandbox, canary, fields, is_installed};

/// A vault with a value, and the value.
fn filled() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let secret = canary();
    sandbox.set("api", &secret);
    (sandbox, secret)
}

fn git(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"];
    sandbox.program("git", &[&identity[..], arguments].concat()).run().ok()
}

#[test]
fn files_are_looked_through_and_only_names_are_told() {
    let (sandbox, secret) = filled();
    sandbox.vault(&["set", "db", "--json"]).stdin(format!(r#"{{"password":"leaf-{secret}","port":5432}}"#)).run().ok();
    sandbox.set("pin", "1234");
    sandbox.set("weak", "password1");
    let base64 = base64::engine::general_purpose::STANDARD.encode(format!("u:{secret}"));
    fs::create_dir_all(sandbox.path("work/d/.hidden")).unwrap();
    sandbox.write("d/plain", format!("x\n\ntoken = {secret}\n"));
    sandbox.write("d/.hidden/base64", format!("{}\n  {}\n", &base64[..20], &base64[20..]));
    sandbox.write("d/ignored", &secret);
    sandbox.write("d/.gitignore", "ignored\n");
    sandbox.write("d/leaf", format!("leaf-{secret} password1 1234"));
    sandbox.write("d/innocent", "nothing");
    let out = sandbox.vault(&["scan", "d"]).run().ends(10);
    assert_eq!(out.text(), "d/.hidden/base64:1: api (base64)\nd/leaf:1: db#password (plain)\nd/plain:3: api (plain)\n");
    assert_eq!(
        out.stderr,
        "note: not looked for, because too short: db#port, pin\nnote: not looked for, because easily guessed: weak\n"
    );
    let all = sandbox.vault(&["scan", "d", "--no-ignore", "-q"]).run().ends(10).text();
    assert!(all.contains("d/ignored:1: api (plain)"), "{all}");
    assert!(sandbox.vault(&["scan", "-q"]).run().ends(10).text().contains("d/plain:3: api"));
    assert_eq!(sandbox.vault(&["scan", "d/innocent", "-q"]).run().ok().text(), "");
    let json = sandbox.vault(&["scan", "d/plain", "--format", "json"]).run().ends(10);
    let object = json.json();
    assert_eq!(fields(&object), ["version", "findings", "scanned", "unread"]);
    assert_eq!(fields(&object["findings"][0]), ["place", "object", "line", "names", "form"]);
    assert_eq!((&object["findings"][0]["line"], &object["scanned"]), (&3.into(), &1.into()));
    for output in [out, json] {
        assert!(!output.stderr.contains(&secret[..8]) && !output.text().contains(&secret[..8]));
    }
    sandbox.vault(&["scan", "none"]).run().fails(13, "none");
}

#[test]
fn standard_input_and_older_versions() {
    let (sandbox, secret) = filled();
    sandbox.set("api", canary());
    let out = sandbox.vault(&["scan", "-"]).stdin(format!("\n{secret}")).run().ends(10);
    assert_eq!(out.text(), "-:2: api (version 1) (plain)\n");
    sandbox.vault(&["scan", "-"]).stdin(&secret[1..]).run().ok();
}

#[test]
fn what_git_keeps() {
    if !is_installed("git") {
        return;
    }
    let (sandbox, secret) = filled();
    git(&sandbox, &["init", "-q"]);
    sandbox.vault(&["scan", "--history"]).run().ok();
    sandbox.write("a b", format!("x\n{secret}\n"));
    git(&sandbox, &["add", "a b"]);
    assert_eq!(sandbox.vault(&["scan", "--staged"]).run().ends(10).text().split(" [").next(), Some("a b:2: api (plain)"));
    // Only what is staged counts, not what lies beside it.
    git(&sandbox, &["commit", "-q", "-m", "first"]);
    sandbox.vault(&["scan", "--staged"]).run().ok();
    git(&sandbox, &["rm", "-q", "a b"]);
    git(&sandbox, &["commit", "-q", "-m", &format!("second\n\nwith {secret}")]);
    git(&sandbox, &["checkout", "-q", "-b", "other"]);
    sandbox.write("c", secret.to_uppercase());
    let hex: String = secret.bytes().map(|byte| format!("{byte:02X}")).collect();
    sandbox.write("c", hex);
    git(&sandbox, &["add", "c"]);
    git(&sandbox, &["commit", "-q", "-m", "third"]);
    git(&sandbox, &["tag", "-a", "v1", "-m", &secret]);
    git(&sandbox, &["checkout", "-q", "main"]);
    let found = sandbox.vault(&["scan", "--history"]).run().ends(10).text();
    let mut lines: Vec<&str> = found.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 4, "{found}");
    assert!(lines[0].starts_with("a b:2: api (plain) [") && lines[1].starts_with("c:1: api (hex) ["), "{found}");
    assert!(lines[2].starts_with("commit ") && lines[3].starts_with("tag v1:"), "{found}");
    sandbox.vault(&["scan", "--history"]).dir(sandbox.path("home")).run().fails(13, "git rev-list failed");
}

#[test]
fn the_hook_stops_a_commit() {
    if !is_installed("git") {
        return;
    }
    let (sandbox, secret) = filled();
    git(&sandbox, &["init", "-q"]);
    sandbox.vault(&["scan", "--install-hook"]).run().ok();
    sandbox.vault(&["scan", "--install-hook"]).run().ok();
    let hook = sandbox.path("work/.git/hooks/pre-commit");
    assert_eq!(fs::metadata(&hook).unwrap().permissions().mode() & 0o111, 0o111);
    sandbox.write("f", &secret);
    git(&sandbox, &["add", "f"]);
    let commit = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "m"];
    let stopped = sandbox.program("git", &commit).run();
    assert_ne!(stopped.code, 0);
    sandbox.write("f", "harmless");
    git(&sandbox, &["add", "f"]);
    sandbox.program("git", &commit).run().ok();
    fs::write(&hook, "#!/bin/sh\n").unwrap();
    sandbox.vault(&["scan", "--install-hook"]).run().fails(6, "another hook");
}

#[test]
fn fingerprints_find_without_a_key() {
    let (mut sandbox, secret) = filled();
    sandbox.vault(&["set", "weak"]).stdin("correct horse battery staple").run().ok();
    let exported = sandbox.vault(&["scan", "export-fingerprints"]).run().ok();
    assert_eq!(exported.stderr, "1 values and parts of values are in the list, 1 are weaker than 80 bits and left out\n");
    let text = exported.text();
    assert!(!text.contains(&secret) && !text.contains("weak"), "{text}");
    sandbox.vault(&["scan", "export-fingerprints", "--out", "list"]).run().ok();
    for name in ["VAULT_FILE", "VAULT_KEY_FILE"] {
        sandbox.remove_env(name);
    }
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let filler = "0123456789 abcdef\n".repeat(600_000);
    sandbox.write("f", format!("{filler}a {secret}\n{hex}\n"));
    let out = sandbox.vault(&["scan", "--fingerprints", "list", "f"]).run().ends(10);
    assert_eq!(out.text(), "f:600001: api (plain)\nf:600002: api (hex)\n");
    sandbox.vault(&["scan", "--fingerprints", "list", "-"]).stdin("correct horse battery staple").run().ok();
    sandbox.vault(&["scan", "--fingerprints", "f", "-"]).stdin("").run().fails(2, "no list of fingerprints");
    sandbox.vault(&["scan", "-"]).stdin("").run().ends(5);
}
