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
    assert_eq!(fields(&object["findings"][0]), ["place", "object", "line", "names", "form", "in", "commit"]);
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
fn the_hook_knows_its_vault_and_stays_in_its_repository() {
    if !is_installed("git") {
        return;
    }
    let (mut sandbox, secret) = filled();
    fs::rename(sandbox.file(), sandbox.path("work/it's.vault")).unwrap();
    sandbox.remove_env("VAULT_FILE");
    git(&sandbox, &["init", "-q"]);
    fs::create_dir(sandbox.path("work/below")).unwrap();
    let hook = sandbox.path("work/.git/hooks/pre-commit");
    sandbox.vault(&["scan", "--install-hook"]).run().ok();
    assert!(!fs::read_to_string(&hook).unwrap().contains("--vault"));
    // Another vault than before; the path is one from where git runs the hook.
    sandbox.vault(&["scan", "--install-hook", "--vault", "../it's.vault"]).dir(sandbox.path("work/below")).run().ok();
    let text = fs::read_to_string(&hook).unwrap();
    assert!(text.contains(r"--vault='it'\''s.vault' scan"), "{text}");
    assert_eq!(fs::metadata(&hook).unwrap().permissions().mode() & 0o777, 0o755);
    let commit = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "m"];
    for (content, stops) in [(secret.as_str(), true), ("harmless", false)] {
        sandbox.write("f", content);
        git(&sandbox, &["add", "f"]);
        let done = sandbox.program("git", &commit).dir(sandbox.path("work/below")).run();
        assert_eq!(done.code != 0, stops, "{}", done.stderr);
    }
    // Hooks that all repositories share are not this one's to change.
    let shared = sandbox.path("home/hooks");
    git(&sandbox, &["config", "core.hooksPath", shared.to_str().unwrap()]);
    sandbox.vault(&["scan", "--install-hook"]).run().fails(6, "not this repository's alone");
    assert!(!shared.exists());
    git(&sandbox, &["config", "core.hooksPath", ".hooks"]);
    sandbox.vault(&["scan", "--install-hook"]).run().ok();
    assert!(sandbox.path("work/.hooks/pre-commit").exists());
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

#[test]
fn what_is_neither_file_nor_directory_is_read_and_nothing_is_said_to_be_nothing() {
    let (sandbox, secret) = filled();
    sandbox.shell("mkfifo pipe").run().ok();
    sandbox.write("f", &secret);
    let found = sandbox.shell("timeout 20 sh -c 'cat f > pipe' & vault scan pipe; echo $?").run().ok();
    assert_eq!(found.text(), "pipe:1: api (plain)\n10\n");
    std::os::unix::fs::symlink("f", sandbox.path("work/link")).unwrap();
    assert_eq!(sandbox.vault(&["scan", "link"]).run().ends(10).text(), "link:1: api (plain)\n");
    let found = sandbox.shell("cat f | vault scan /dev/stdin").run().ends(10);
    assert_eq!(found.text(), "/dev/stdin:1: api (plain)\n");
    fs::create_dir(sandbox.path("work/empty")).unwrap();
    let nothing = sandbox.vault(&["scan", "empty"]).run().ok();
    assert_eq!(nothing.stderr, "note: there was nothing to look through\n");
    // What is left out is not there for the scan.
    fs::create_dir(sandbox.path("work/d")).unwrap();
    sandbox.write("d/.gitignore", "*\n");
    sandbox.write("d/g", &secret);
    let nothing = sandbox.vault(&["scan", "d/g", "-q"]).run().ends(10);
    assert_eq!(nothing.stderr, "");
    let _socket = std::os::unix::net::UnixListener::bind(sandbox.path("work/socket")).unwrap();
    sandbox.vault(&["scan", "socket"]).run().fails(13, "socket");
}

#[test]
fn what_is_staged_is_seen_whole_from_any_directory() {
    if !is_installed("git") {
        return;
    }
    let (sandbox, secret) = filled();
    git(&sandbox, &["init", "-q"]);
    git(&sandbox, &["config", "diff.relative", "true"]);
    fs::create_dir_all(sandbox.path("work/sub")).unwrap();
    sandbox.write("f", &secret);
    git(&sandbox, &["add", "f"]);
    // Without and with a first commit.
    for _ in 0..2 {
        let found = sandbox.vault(&["scan", "--staged"]).dir(sandbox.path("work/sub")).run().ends(10).text();
        assert!(found.starts_with("f:1: api (plain) ["), "{found}");
        git(&sandbox, &["commit", "-q", "-m", "first"]);
        sandbox.write("f", format!("{secret} again"));
        git(&sandbox, &["add", "f"]);
    }
}

#[test]
fn names_are_looked_at_and_not_shown() {
    let (sandbox, secret) = filled();
    fs::create_dir_all(sandbox.path("work/d").join(format!("x-{secret}/y"))).unwrap();
    sandbox.write(&format!("d/x-{secret}/y/f"), &secret);
    sandbox.write(&format!("d/{secret}.txt"), "");
    let out = sandbox.vault(&["scan", "d"]).run().ends(10);
    let mut lines: Vec<String> = out.text().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["d/[MASKED]/y/f:1: api (plain)", "d/[MASKED]: api (plain) in the name", "d/[MASKED]: api (plain) in the name"]
    );
    let json = sandbox.vault(&["scan", "d", "--format", "json"]).run().ends(10);
    assert!(!json.text().contains(&secret));
    let findings = json.json();
    let name = findings["findings"].as_array().unwrap().iter().find(|finding| finding["in"] == "name").unwrap();
    assert_eq!((&name["place"], &name["line"]), (&"d/[MASKED]".into(), &serde_json::Value::Null));
}

#[test]
fn git_keeps_names_and_urls_too() {
    if !is_installed("git") {
        return;
    }
    let (sandbox, secret) = filled();
    git(&sandbox, &["init", "-q"]);
    sandbox.write(&secret, "harmless");
    sandbox.write("other", "harmless");
    git(&sandbox, &["add", "."]);
    git(&sandbox, &["commit", "-q", "-m", "first"]);
    let first = git(&sandbox, &["rev-parse", "HEAD"]).text();
    git(&sandbox, &["rm", "-q", &secret]);
    sandbox.write("sub", &secret);
    git(&sandbox, &["add", "."]);
    git(&sandbox, &["commit", "-q", "-m", "second"]);
    let second = git(&sandbox, &["rev-parse", "HEAD"]).text();
    git(&sandbox, &["mv", "sub", "moved"]);
    git(&sandbox, &["commit", "-q", "-m", "third"]);
    git(&sandbox, &["branch", &format!("b-{secret}")]);
    git(&sandbox, &["remote", "add", "origin", &format!("https://{secret}@h/r.git")]);
    let found = sandbox.vault(&["scan", "--history"]).run().ends(10).text();
    assert!(!found.contains(&secret), "{found}");
    for line in [
        format!("[MASKED]: api (plain) in the name [commit {}]", &first[..12]),
        format!("commit {}]", &second[..12]),
        "ref refs/heads/[MASKED]: api (plain) in the name".to_owned(),
        ".git/config:".to_owned(),
    ] {
        assert!(found.contains(&line), "{line} in {found}");
    }
    assert!(found.contains("sub:1: api (plain) ["), "{found}");
    assert_eq!(found.lines().count(), 4, "{found}");
    let json = sandbox.vault(&["scan", "--history", "--format", "json"]).run().ends(10).json();
    assert!(json["findings"].as_array().unwrap().iter().any(|finding| finding["commit"] == second.trim()), "{json}");
    let config = sandbox.vault(&["scan"]).run().ends(10).text();
    assert!(config.contains(".git/config:") && !config.contains(&secret), "{config}");
}

#[test]
fn wide_characters_are_found() {
    let (sandbox, secret) = filled();
    let wide = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let text = format!("\u{feff}one\r\nkey = {secret}\r\n");
    sandbox.write("le.txt", wide(&text, u16::to_le_bytes));
    sandbox.write("be.txt", wide(&text, u16::to_be_bytes));
    let expected = "be.txt:2: api (utf-16)\nle.txt:2: api (utf-16)\n";
    assert_eq!(sandbox.vault(&["scan"]).run().ends(10).text(), expected);
    sandbox.vault(&["scan", "export-fingerprints", "--out", "../list"]).run().ok();
    assert_eq!(sandbox.vault(&["scan", "--fingerprints", "../list"]).run().ends(10).text(), expected);
}
