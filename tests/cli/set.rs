//! `vault set`

use std::fs;

use crate::sandbox::Sandbox;

fn info(sandbox: &Sandbox, name: &str) -> serde_json::Value {
    sandbox.vault(&["info", name, "--format", "json"]).run().ok().json()
}

#[test]
fn a_single_line_loses_its_line_end_and_nothing_else_does() {
    let sandbox = Sandbox::new();
    for (piped, stored) in [
        (&b"a"[..], &b"a"[..]),
        (b"a\n", b"a"),
        (b"a\r\n", b"a"),
        (b"a\n\n", b"a\n\n"),
        (b"a\nb\n", b"a\nb\n"),
        (b"\n", b""),
        (b"a\r", b"a\r"),
        (b"", b""),
        (b" a \n", b" a "),
    ] {
        sandbox.vault(&["set", "a"]).stdin(piped).run().ok();
        assert_eq!(sandbox.get("a"), stored, "{piped:?}");
        sandbox.vault(&["set", "a", "--raw"]).stdin(piped).run().ok();
        assert_eq!(sandbox.get("a"), piped, "raw {piped:?}");
        let path = sandbox.write("value", piped);
        sandbox.vault(&["set", "a", "--from-file"]).arg(path).run().ok();
        assert_eq!(sandbox.get("a"), piped, "from a file {piped:?}");
    }
}

#[test]
fn says_nothing_unless_asked() {
    let sandbox = Sandbox::new();
    let set = sandbox.vault(&["set", "a"]).stdin("1").run().ok();
    assert!(set.stdout.is_empty() && set.stderr.is_empty(), "{}", set.stderr);
    assert_eq!(sandbox.vault(&["set", "a", "-v"]).stdin("2").run().ok().stderr, "'a' now at version 2\n");
    assert_eq!(sandbox.vault(&["set", "b", "-v"]).stdin("2").run().ok().stderr, "'b' made version 1\n");
    assert_eq!(sandbox.vault(&["set", "b", "-v", "-q"]).stdin("2").run().ok().stderr, "");
}

#[test]
fn the_size_of_a_value_is_limited_to_16_mib() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "small");
    let most = vec![b'm'; 16 << 20];
    sandbox.set("most", &most);
    assert!(sandbox.get("most") == most);
    let before = sandbox.bytes();
    let mut more = most;
    more.push(b'm');
    sandbox.vault(&["set", "a"]).stdin(&more).run().fails(2, "larger than 16 MiB");
    let path = sandbox.write("more", &more);
    sandbox.vault(&["set", "a", "--from-file"]).arg(&path).run().fails(2, "larger than 16 MiB");
    assert!(sandbox.bytes() == before);
    assert_eq!(sandbox.get("a"), b"small");
}

#[test]
fn json_is_parsed_and_kept_as_it_is_written() {
    let sandbox = Sandbox::new();
    let json = "{ \"z\": 1.10, \"a\": [1, null],\n  \"big\": 123456789012345678901234567890 }";
    sandbox.vault(&["set", "a", "--json"]).stdin(format!("{json}\n")).run().ok();
    assert_eq!(info(&sandbox, "a")["kind"], "json");
    // Two lines, so that the line end is the value's own.
    assert_eq!(sandbox.get("a"), format!("{json}\n").as_bytes());
    let before = sandbox.bytes();
    let canary = crate::sandbox::canary();
    let refused =
        sandbox.vault(&["set", "a", "--json"]).stdin(format!("{{\"x\":\n {canary}}}")).run().fails(2, "not JSON (line 2");
    assert!(!refused.stderr.contains(&canary));
    assert_eq!(sandbox.bytes(), before);
    sandbox.vault(&["set", "t"]).stdin("{}").run().ok();
    assert_eq!(info(&sandbox, "t")["kind"], "text");
    sandbox.vault(&["set", "b"]).stdin(b"\xff").run().ok();
    assert_eq!(info(&sandbox, "b")["kind"], "bytes");
}

#[test]
fn fields_are_set_one_by_one() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "db", "--field", "conn.password"]).stdin("p\"w\n").run().ok();
    assert_eq!(sandbox.get("db"), br#"{"conn":{"password":"p\"w"}}"#);
    sandbox.vault(&["set", "db", "--field", "/conn/port", "--json"]).stdin("5432").run().ok();
    sandbox.vault(&["set", "db", "--field", "conn.password"]).stdin("new").run().ok();
    assert_eq!(sandbox.get("db"), br#"{"conn":{"password":"new","port":5432}}"#);
    assert_eq!(info(&sandbox, "db")["current_version"], 3);
    let before = sandbox.bytes();
    sandbox.vault(&["set", "db", "--field", "conn.password.x"]).stdin("v").run().fails(3, "no field");
    sandbox.vault(&["set", "db", "--field", "a..b"]).stdin("v").run().fails(2, "a field is");
    sandbox.vault(&["set", "db", "--field", "x"]).stdin(b"\xff").run().fails(2, "must be UTF-8 text");
    sandbox.vault(&["set", "db", "--field", "x", "--json"]).stdin("{").run().fails(2, "not JSON");
    assert_eq!(sandbox.bytes(), before);
    sandbox.set("text", "plain");
    sandbox.vault(&["set", "text", "--field", "x"]).stdin("v").run().fails(3, "not JSON, so it has no fields");
}

#[test]
fn category_tags_and_metadata_stay_unless_given() {
    let sandbox = Sandbox::new();
    let all = ["set", "a", "--category", "db", "--tag", "x", "--tag", "y", "--meta", "owner=me", "--meta", "url=http://h?a=b"];
    sandbox.vault(&all).stdin("1").run().ok();
    sandbox.vault(&["set", "a"]).stdin("2").run().ok();
    let seen = info(&sandbox, "a");
    assert_eq!(seen["category"], "db");
    assert_eq!(seen["tags"], serde_json::json!(["x", "y"]));
    assert_eq!(seen["meta"], serde_json::json!({"owner": "me", "url": "http://h?a=b"}));
    sandbox.vault(&["set", "a", "--meta-only", "--tag", "z", "--meta", "owner=", "--category", "web"]).run().ok();
    let seen = info(&sandbox, "a");
    assert_eq!((&seen["category"], &seen["tags"]), (&"web".into(), &serde_json::json!(["z"])));
    assert_eq!(seen["meta"], serde_json::json!({"url": "http://h?a=b"}));
    assert_eq!((&seen["current_version"], sandbox.get("a")), (&2.into(), b"2".to_vec()));
    assert_eq!(sandbox.vault(&["list", "--category", "db"]).run().ok().text(), "");
    assert_eq!(sandbox.vault(&["list", "--category", "web"]).run().ok().text(), "a\n");
    sandbox.vault(&["set", "a", "--meta-only", "--category", "", "--tag", ""]).run().ok();
    let seen = info(&sandbox, "a");
    assert!(seen["category"].is_null() && seen["tags"] == serde_json::json!([]));
    assert_eq!(sandbox.vault(&["list", "--category", "web"]).run().ok().text(), "");

    let before = sandbox.bytes();
    sandbox.vault(&["set", "none", "--meta-only", "--tag", "z"]).run().fails(3, "there is no entry 'none'");
    for bad in ["novalue", "=value", ""] {
        sandbox.vault(&["set", "a", "--meta", bad]).stdin("v").run().fails(2, "KEY=VALUE");
    }
    sandbox.vault(&["set", "a", "--meta", "a\nb=1"]).stdin("v").run().fails(2, "metadata key holds a control character");
    sandbox.vault(&["set", "a", "--tag", "t\t"]).stdin("v").run().fails(2, "the tag");
    sandbox.vault(&["set", "a", "--category", &"c".repeat(101)]).stdin("v").run().fails(2, "category is longer than 100");
    sandbox.vault(&["set", "a", "--meta", &format!("k={}", "v".repeat(4097))]).stdin("v").run().fails(2, "longer than 4,096");
    let tags: Vec<String> = (0..65).map(|number| format!("--tag=t{number}")).collect();
    let mut many = vec!["set", "a"];
    many.extend(tags.iter().map(String::as_str));
    sandbox.vault(&many).stdin("v").run().fails(2, "at most 64 tags");
    assert_eq!(sandbox.bytes(), before);
}

#[test]
fn conditions_hold_or_nothing_is_written() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "a", "--if-version", "0"]).stdin("1").run().ok();
    sandbox.vault(&["set", "a", "--if-version", "1"]).stdin("2").run().ok();
    sandbox.vault(&["set", "b", "--create-only"]).stdin("1").run().ok();
    let before = sandbox.bytes();
    sandbox.vault(&["set", "a", "--if-version", "1"]).stdin("3").run().fails(6, "'a' is at version 2, not 1");
    sandbox.vault(&["set", "a", "--if-version", "0"]).stdin("3").run().fails(6, "'a' is at version 2, not 0");
    sandbox.vault(&["set", "none", "--if-version", "1"]).stdin("3").run().fails(6, "'none' does not exist");
    sandbox.vault(&["set", "a", "--create-only"]).stdin("3").run().fails(6, "'a' exists already");
    sandbox.vault(&["set", "a", "--if-version", "7", "--field", "x"]).stdin("3").run().ends(3);
    sandbox.vault(&["set", "a", "--if-version", "7", "--meta-only", "--tag", "t"]).run().fails(6, "version 2");
    assert_eq!(sandbox.bytes(), before);
    // A condition is about exactly this entry and not what it would fall back to.
    sandbox.vault(&["set", "a", "-e", "prod", "--create-only"]).stdin("p").run().ok();
}

#[test]
fn a_value_may_expire() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "a", "--ttl", "30d"]).stdin("1").run().ok();
    let seen = info(&sandbox, "a");
    assert!(seen["expires"].is_string() && seen["expired"] == false);
    // A time belongs to the value that it was given for.
    sandbox.set("a", "2");
    assert!(info(&sandbox, "a")["expires"].is_null());
    sandbox.vault(&["set", "a", "--meta-only", "--ttl", "0s"]).run().ok();
    assert_eq!(info(&sandbox, "a")["expired"], true);
    for bad in ["", "x", "30", "-1d", "1mo", "1y", "99999999999999999999d"] {
        sandbox.vault(&["set", "a", &format!("--ttl={bad}")]).stdin("v").run().fails(2, "is not a duration");
    }
}

#[test]
fn a_generated_value_is_stored_and_not_shown() {
    let sandbox = Sandbox::new();
    let set = sandbox.vault(&["set", "a", "--generate", "hex:16"]).run().ok();
    assert!(set.stdout.is_empty() && set.stderr.is_empty());
    let value = sandbox.get("a");
    assert!(value.len() == 32 && value.iter().all(u8::is_ascii_hexdigit));
    sandbox.vault(&["set", "a", "--generate", "nope"]).run().ends(2);
    sandbox.vault(&["set", "a", "--generate", "hex:0"]).run().ends(2);
    assert_eq!(sandbox.get("a"), value);
}

#[test]
fn options_that_contradict_are_refused() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["set", "a", "--generate", "hex:16", "--from-file", "x"][..],
        &["set", "a", "--editor", "--generate", "hex:16"],
        &["set", "a", "--meta-only", "--json"],
        &["set", "a", "--meta-only", "--from-file", "x"],
        &["set", "a", "--if-version", "x"],
        &["set", "a", "--if-version", "-1"],
        &["set"],
    ] {
        sandbox.vault(arguments).stdin("v").run().ends(2);
    }
    sandbox.vault(&["set", "a", "--from-file", "none"]).run().fails(13, "read none");
    assert!(sandbox.list().is_empty());
    fs::create_dir(sandbox.path("work/directory")).unwrap();
    sandbox.vault(&["set", "a", "--from-file", "directory"]).run().fails(13, "read directory");
}

#[test]
fn an_environment_is_written_exactly() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "general");
    sandbox.vault(&["set", "a", "-e", "prod"]).stdin("prod").run().ok();
    assert_eq!(sandbox.get("a"), b"general");
    sandbox.vault(&["set", "x", "-e", "a\u{7}b"]).stdin("v").run().fails(2, "environment holds a control character");
    sandbox.vault(&["set", "x", "-e", &"e".repeat(101)]).stdin("v").run().fails(2, "environment is longer than 100");
}

#[test]
fn names_may_be_anything_but_ugly() {
    let sandbox = Sandbox::new();
    let long = "é".repeat(255);
    for name in ["a", "svc/db/prod", "a b", "..", "/", "#?%&", "日本語", "-", "e\u{301}", "a=b", &long] {
        sandbox.vault(&["set", "--raw", "--", name]).stdin(name).run().ok();
        assert_eq!(sandbox.vault(&["get", "--", name]).run().ok().text(), name);
    }
    assert_eq!(sandbox.list().len(), 11);
    // Names are bytes: what looks the same is not.
    sandbox.vault(&["get", "\u{e9}"]).run().ends(3);
}

#[test]
fn a_value_on_the_command_line_is_refused_and_not_repeated() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "old");
    let canary = crate::sandbox::canary();
    let before = sandbox.bytes();
    for arguments in [
        &["set", "a", &canary][..],
        &["set", "a", &canary, "more"],
        &["set", "a", "--", "-x", &canary],
        &["rotate", "a", &canary],
    ] {
        let refused = sandbox.vault(arguments).stdin("v").run().fails(2, "never taken from the command line");
        assert!(!refused.stderr.contains(&canary));
    }
    assert_eq!(sandbox.bytes(), before);
}

#[test]
fn a_closed_standard_input_is_no_value() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "old");
    let before = sandbox.bytes();
    sandbox.shell("exec vault set a <&-").run().fails(2, "standard input is closed");
    sandbox.shell("exec vault set a < /dev/null").run().fails(2, "standard input is closed");
    sandbox.shell("exec vault rotate a <&-").run().fails(2, "standard input is closed");
    sandbox.shell("exec vault set a --field f <&-").run().fails(2, "standard input is closed");
    assert_eq!(sandbox.bytes(), before);
    sandbox.shell("vault set a --generate pin:6 <&- && vault set a --meta-only --tag t <&-").run().ok();
    sandbox.shell("printf '' | vault set a").run().ok();
    assert_eq!(sandbox.get("a"), b"");
}
