//! `vault merge`

use std::fs;

use crate::sandbox::{Sandbox, canary, fields};

/// A vault in three copies: `base`, the vault itself, and `theirs`.
fn parted(fill: impl FnOnce(&Sandbox)) -> Sandbox {
    let sandbox = Sandbox::new();
    fill(&sandbox);
    for copy in ["base", "theirs"] {
        fs::copy(sandbox.file(), sandbox.path("work").join(copy)).unwrap();
    }
    sandbox
}

fn ours(sandbox: &Sandbox, arguments: &[&str], value: &str) {
    sandbox.vault(arguments).stdin(value).run().ok();
}

fn theirs(sandbox: &Sandbox, arguments: &[&str], value: &str) {
    sandbox.vault(&[arguments, &["--vault", "theirs"]].concat()).stdin(value).run().ok();
}

fn merge(sandbox: &Sandbox, base: bool) -> crate::sandbox::Output {
    let file = sandbox.file();
    let file = file.to_str().unwrap();
    let files: &[&str] = if base { &["merge", "base", file, "theirs"] } else { &["merge", "theirs"] };
    let done = sandbox.vault(files).run();
    sandbox.vault(&["check"]).run().ok();
    done
}

#[test]
fn what_one_side_changed_is_taken() {
    for base in [true, false] {
        let sandbox = parted(|sandbox| {
            for name in ["same", "o", "t", "gone-o", "gone-t", "old", "kept"] {
                sandbox.set(name, "v");
            }
            sandbox.vault(&["set", "db", "--json"]).stdin(r#"{"host":"h","port":1,"user":"u"}"#).run().ok();
            sandbox.vault(&["set", "meta", "--tag", "a", "--tag", "b", "--meta", "k=1", "--category", "c"]).stdin("v").run().ok();
        });
        ours(&sandbox, &["set", "o"], "ours");
        ours(&sandbox, &["set", "new-o"], "ours");
        ours(&sandbox, &["rm", "gone-o"], "");
        ours(&sandbox, &["set", "db", "--field", "host"], "o");
        ours(&sandbox, &["set", "meta", "--meta-only", "--tag", "a", "--tag", "o", "--meta", "o=1"], "");
        theirs(&sandbox, &["set", "t"], "theirs");
        theirs(&sandbox, &["set", "t"], "theirs 2");
        theirs(&sandbox, &["set", "new-t", "-e", "prod"], "theirs");
        theirs(&sandbox, &["rm", "gone-t"], "");
        theirs(&sandbox, &["mv", "old", "renamed"], "");
        theirs(&sandbox, &["set", "db", "--field", "port", "--json"], "2");
        theirs(&sandbox, &["set", "meta", "--meta-only", "--category", "d", "--meta", "k=2"], "");
        let copy = fs::read(sandbox.path("work/theirs")).unwrap();
        let done = merge(&sandbox, base).ok();
        assert_eq!((done.text().as_str(), done.stderr.as_str()), ("", "1 added, 4 changed, 1 removed\n"));
        assert!(fs::read(sandbox.path("work/theirs")).unwrap() == copy);
        assert_eq!(sandbox.list(), ["db", "kept", "meta", "new-o", "o", "renamed", "same", "t"]);
        for (name, value) in [("o", "ours"), ("t", "theirs 2"), ("renamed", "v"), ("new-o", "ours"), ("same", "v")] {
            assert_eq!(sandbox.get(name), value.as_bytes(), "{name}");
        }
        assert_eq!(sandbox.vault(&["get", "new-t", "-e", "prod"]).run().ok().stdout, b"theirs");
        assert_eq!(sandbox.get("db"), br#"{"host":"o","port":2,"user":"u"}"#);
        assert_eq!(sandbox.vault(&["get", "t", "--version", "2"]).run().ok().stdout, b"theirs");
        let meta = sandbox.vault(&["info", "meta", "--format", "json"]).run().ok().text();
        for part in [r#""category":"d""#, r#""tags":["a","o"]"#, r#""k":"2""#, r#""o":"1""#] {
            assert!(meta.contains(part), "{part}: {meta}");
        }
    }
}

#[test]
fn both_values_stay_and_the_conflict_is_told() {
    let secret = canary();
    let sandbox = parted(|sandbox| {
        sandbox.set("text", "v");
        sandbox.set("rm-o", "v");
        sandbox.set("rm-t", "v");
        sandbox.vault(&["set", "db", "--json"]).stdin(r#"{"host":"h","pass":"p"}"#).run().ok();
    });
    ours(&sandbox, &["set", "text"], "ours");
    theirs(&sandbox, &["set", "text"], &secret);
    ours(&sandbox, &["set", "db", "--field", "pass"], "ours");
    theirs(&sandbox, &["set", "db", "--json"], &format!(r#"{{"host":"t","pass":"{secret}"}}"#));
    ours(&sandbox, &["rm", "rm-o"], "");
    theirs(&sandbox, &["set", "rm-o"], "changed");
    ours(&sandbox, &["set", "rm-t"], "changed");
    theirs(&sandbox, &["rm", "rm-t"], "");
    ours(&sandbox, &["set", "both"], "ours");
    theirs(&sandbox, &["set", "both"], &secret);
    ours(&sandbox, &["set", "alike"], "alike");
    theirs(&sandbox, &["set", "alike"], "alike");
    let done = merge(&sandbox, true).ends(10);
    let mut lines: Vec<String> = done.text().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "both: value changed in both; version 3 is current, version 2 is the other",
            "db: #pass changed in both; version 4 is current, version 3 is the other",
            "rm-o: removed in one copy, changed in the other: it stays",
            "rm-t: removed in one copy, changed in the other: it stays",
            "text: value changed in both; version 4 is current, version 3 is the other",
        ]
    );
    assert!(!done.text().contains(&secret) && !done.stderr.contains(&secret));
    for (name, other, value) in [("text", "3", secret.as_str()), ("both", "2", &secret)] {
        assert_eq!(sandbox.get(name), b"ours");
        assert_eq!(sandbox.vault(&["get", name, "--version", other]).run().ok().stdout, value.as_bytes());
    }
    assert_eq!(sandbox.get("db"), br#"{"host":"t","pass":"ours"}"#);
    assert_eq!(sandbox.vault(&["get", "db", "pass", "--version", "3"]).run().ok().stdout, secret.as_bytes());
    assert_eq!(
        (sandbox.get("rm-o"), sandbox.get("rm-t"), sandbox.get("alike")),
        (b"changed".to_vec(), b"changed".to_vec(), b"alike".to_vec())
    );
    // All of that copy is here now.
    assert_eq!(merge(&sandbox, true).ok().stderr, "0 added, 0 changed, 0 removed\n");
}

#[test]
fn the_result_descends_from_both() {
    let sandbox = parted(|sandbox| sandbox.set("a", "v"));
    ours(&sandbox, &["set", "a"], "ours");
    for number in 0..5 {
        theirs(&sandbox, &["set", "t"], &number.to_string());
    }
    let sequence = |file: &str| {
        let json = sandbox.vault(&["check", "--vault", file, "--format", "json"]).run().ok().json();
        json["sequence"].as_u64()
    };
    merge(&sandbox, false).ok();
    let before = sequence("theirs");
    let file = sandbox.file();
    assert!(before.is_none() || sequence(file.to_str().unwrap()) > before);
    // This machine knows both copies by what it acknowledged in them, and takes the result for a newer one of each.
    fs::copy(&file, sandbox.path("work/theirs")).unwrap();
    let read = sandbox.vault(&["get", "a", "--vault", "theirs"]).run().ok();
    assert_eq!((read.stdout.as_slice(), read.stderr.as_str()), (&b"ours"[..], ""));
    theirs(&sandbox, &["set", "a"], "on");
    // Also when the history was dropped from the file.
    sandbox.vault(&["compact", "--vault", "theirs"]).run().ok();
    fs::copy(sandbox.path("work/theirs"), &file).unwrap();
    let read = sandbox.vault(&["get", "a"]).run().ok();
    assert_eq!((read.stdout.as_slice(), read.stderr.as_str()), (&b"on"[..], ""));
    sandbox.vault(&["set", "a"]).stdin("more").run().ok();
}

#[test]
fn a_reader_of_a_merge_remembers_what_came_before_it() {
    let mut sandbox = parted(|sandbox| sandbox.set("a", "v"));
    ours(&sandbox, &["set", "o"], "1");
    for number in 0..5 {
        theirs(&sandbox, &["set", "t"], &number.to_string());
    }
    merge(&sandbox, false).ok();
    // Another machine sees the merge first, and then the file compacted.
    let own_state = sandbox.path("state");
    let state = sandbox.path("state2");
    fs::create_dir(&state).unwrap();
    sandbox.set_env("XDG_STATE_HOME", &state);
    sandbox.get("a");
    sandbox.set_env("XDG_STATE_HOME", &own_state);
    sandbox.vault(&["compact"]).run().ok();
    sandbox.set_env("XDG_STATE_HOME", &state);
    assert_eq!(sandbox.vault(&["get", "a"]).run().ok().stderr, "");
    sandbox.vault(&["set", "a"]).stdin("w").run().ok();
}

#[test]
fn copies_without_a_common_state_are_joined_by_their_histories() {
    let sandbox = parted(|sandbox| {
        for name in ["o", "t", "both", "gone"] {
            sandbox.set(name, "v");
        }
    });
    // Whoever has the other's newest version as an older one of its own is the newer one, with its metadata too.
    ours(&sandbox, &["set", "o", "--category", "c"], "ours");
    ours(&sandbox, &["set", "both"], "ours");
    theirs(&sandbox, &["set", "t"], "theirs");
    theirs(&sandbox, &["set", "both"], "theirs");
    theirs(&sandbox, &["rm", "gone"], "");
    sandbox.vault(&["compact"]).run().ok();
    sandbox.vault(&["compact", "--vault", "theirs"]).run().ok();
    let done = merge(&sandbox, false).ends(10);
    assert_eq!(done.text(), "both: value changed in both; version 4 is current, version 3 is the other\n");
    assert_eq!((sandbox.get("o"), sandbox.get("t")), (b"ours".to_vec(), b"theirs".to_vec()));
    // Whether it was removed there or made here cannot be told any more, so it stays.
    assert_eq!(sandbox.get("gone"), b"v");
    // The ancestor can.
    let sandbox = parted(|sandbox| sandbox.set("gone", "v"));
    theirs(&sandbox, &["rm", "gone"], "");
    sandbox.vault(&["compact"]).run().ok();
    sandbox.vault(&["compact", "--vault", "theirs"]).run().ok();
    merge(&sandbox, true).ok();
    assert!(sandbox.list().is_empty());
}

#[test]
fn another_file_may_take_the_result() {
    let sandbox = parted(|sandbox| sandbox.set("a", "v"));
    ours(&sandbox, &["set", "a"], "ours");
    theirs(&sandbox, &["set", "t"], "theirs");
    let (before, other) = (sandbox.bytes(), fs::read(sandbox.path("work/theirs")).unwrap());
    let file = sandbox.file();
    let done = sandbox.vault(&["merge", file.to_str().unwrap(), "theirs", "--out", "joined", "--format", "json"]).run().ok();
    assert_eq!(fields(&done.json()), ["version", "added", "changed", "removed", "conflicts", "system_conflicts"]);
    assert!(sandbox.bytes() == before && fs::read(sandbox.path("work/theirs")).unwrap() == other);
    assert_eq!(sandbox.vault(&["list", "--vault", "joined"]).run().ok().text(), "a\nt\n");
    sandbox.vault(&["check", "--vault", "joined"]).run().ok();
    let leftover =
        sandbox.files("work").into_iter().find(|(path, _)| path.file_name().unwrap().to_string_lossy().starts_with(".joined"));
    assert_eq!(leftover, None);
}

#[test]
fn keys_may_be_changed_on_one_side() {
    for renewed in ["theirs", "ours"] {
        for base in [true, false] {
            let sandbox = parted(|sandbox| sandbox.set("both", "v"));
            ours(&sandbox, &["set", "o"], "ours");
            ours(&sandbox, &["set", "both"], "ours");
            theirs(&sandbox, &["set", "t"], "theirs");
            theirs(&sandbox, &["set", "both"], "theirs");
            let vault = if renewed == "theirs" { "theirs".into() } else { sandbox.file() };
            let add = ["key", "add", "--label", "second", "--key-file", "second.key", "--vault"];
            sandbox.vault(&[&add[..], &[vault.to_str().unwrap()]].concat()).run().ok();
            let file = sandbox.file();
            let files: &[&str] =
                if base { &["base", file.to_str().unwrap(), "theirs"] } else { &[file.to_str().unwrap(), "theirs"] };
            let done = sandbox.vault(&[&["merge"], files].concat()).run().ends(10);
            assert!(done.text().starts_with("both: value changed in both"), "{}", done.text());
            let read = |name: &str| sandbox.vault(&["get", name, "-q", "--key-file", "second.key"]).run().ok().stdout;
            assert_eq!(
                (read("o"), read("t"), read("both")),
                (b"ours".to_vec(), b"theirs".to_vec(), b"ours".to_vec()),
                "{renewed}"
            );
            sandbox.vault(&["check"]).run().ok();
        }
    }
}

#[test]
fn a_base_from_before_a_change_of_keys_that_both_have() {
    let sandbox = parted(|sandbox| sandbox.set("a", "v"));
    sandbox.vault(&["key", "add", "--label", "second", "--key-file", "second.key"]).run().ok();
    fs::copy(sandbox.file(), sandbox.path("work/theirs")).unwrap();
    sandbox.vault(&["key", "add", "--label", "third", "--key-file", "third.key", "--vault", "theirs"]).run().ok();
    ours(&sandbox, &["set", "o"], "ours");
    let file = sandbox.file();
    sandbox.vault(&["merge", "base", file.to_str().unwrap(), "theirs"]).run().ok();
    assert_eq!(sandbox.vault(&["get", "o", "-q", "--key-file", "third.key"]).run().ok().stdout, b"ours");
    sandbox.vault(&["check"]).run().ok();
}

#[test]
fn what_cannot_be_joined_is_refused_and_left_as_it_is() {
    let sandbox = parted(|sandbox| sandbox.set("a", "v"));
    theirs(&sandbox, &["set", "t"], "theirs");
    let file = sandbox.file();
    let file = file.to_str().unwrap();
    sandbox.vault(&["key", "add", "--label", "ci", "--key-file", "ci.key", "--only", "category:ci"]).run().ok();
    sandbox.vault(&["key", "add", "--label", "x", "--key-file", "x.key", "--vault", "theirs"]).run().ok();
    let before = sandbox.bytes();
    sandbox.vault(&["merge", "theirs"]).run().fails(6, "changed in both copies");
    fs::copy(file, sandbox.path("work/copy")).unwrap();
    sandbox.vault(&["merge", "copy", "--key-file", "ci.key"]).run().fails(12, "a limited key");
    sandbox.vault(&["init", "--vault", "stranger", "--key-file", "../test.key", "-q"]).run().ok();
    sandbox.vault(&["merge", "stranger"]).run().fails(12, "not two copies of one vault");
    sandbox.vault(&["key", "remove", "ci", "--vault", "copy"]).run().ok();
    sandbox.vault(&["merge", "copy"]).run().fails(12, "not two copies of one vault");
    sandbox.vault(&["merge", file]).run().fails(2, "the same file");
    sandbox.vault(&["merge", "none"]).run().fails(5, "no vault");
    sandbox.vault(&["merge"]).run().ends(2);
    assert!(sandbox.bytes() == before);
    // A base that is none is no reason to fail: git gives an empty file where it knows of none.
    let sandbox = parted(|sandbox| sandbox.set("a", "v"));
    theirs(&sandbox, &["set", "t"], "theirs");
    let file = sandbox.file();
    sandbox.vault(&["merge", "/dev/null", file.to_str().unwrap(), "theirs"]).run().ok();
    assert_eq!(sandbox.get("t"), b"theirs");
}

#[test]
fn a_name_that_became_free_may_be_given_again() {
    for base in [true, false] {
        let sandbox = parted(|sandbox| {
            sandbox.set("a", "first");
            sandbox.set("gone", "v");
        });
        theirs(&sandbox, &["mv", "a", "b"], "");
        theirs(&sandbox, &["set", "a"], "second");
        theirs(&sandbox, &["rm", "gone"], "");
        theirs(&sandbox, &["set", "gone"], "back");
        merge(&sandbox, base).ok();
        assert_eq!(sandbox.list(), ["a", "b", "gone"]);
        for (name, value) in [("a", "second"), ("b", "first"), ("gone", "back")] {
            assert_eq!(sandbox.get(name), value.as_bytes());
        }
    }
}

#[test]
fn names_that_meet_and_versions_that_are_too_many() {
    let sandbox = parted(|sandbox| {
        sandbox.set("a", "1");
        sandbox.set("b", "2");
        for number in 0..12 {
            sandbox.set("many", number.to_string());
        }
    });
    ours(&sandbox, &["mv", "a", "x"], "");
    theirs(&sandbox, &["mv", "b", "x"], "");
    ours(&sandbox, &["set", "many"], "ours");
    for number in 0..9 {
        theirs(&sandbox, &["set", "many"], &format!("theirs {number}"));
    }
    let text = merge(&sandbox, true).ends(10).text();
    assert!(text.contains("b: the name was taken"), "{text}");
    assert_eq!(sandbox.list(), ["b", "many", "x"]);
    assert_eq!((sandbox.get("x"), sandbox.get("b"), sandbox.get("many")), (b"1".to_vec(), b"2".to_vec(), b"ours".to_vec()));
    assert_eq!(sandbox.vault(&["history", "many"]).run().ok().text().lines().count(), 10);
}

#[test]
fn foreign_keys_of_both_sides() {
    let sandbox = parted(|sandbox| sandbox.set("a", "v"));
    sandbox.write(
        "o.env",
        "ENCRYPTION_KEYS__v1=key-one\nENCRYPTION_SALT__v1=c2FsdHNhbHRzYWx0c2FsdA==\nACTIVE_ENCRYPTION_VERSION=v1\n",
    );
    let imported = sandbox.vault(&["key", "import-env", "o.env", "--vault", "theirs"]).run();
    imported.ok();
    merge(&sandbox, true).ok();
    let exported = sandbox.vault(&["key", "export-env"]).run().ok().text();
    assert!(exported.contains("key-one"), "{exported}");
}

#[test]
fn a_conflict_keeps_both_values_however_few_versions_are_kept() {
    for newer_keys in [false, true] {
        let sandbox = parted(|sandbox| {
            sandbox.set("text", "v");
            sandbox.vault(&["set", "db", "--json"]).stdin(r#"{"a":0}"#).run().ok();
        });
        sandbox.write("vault.toml", "keep-versions = 1\n");
        for number in 0..3 {
            ours(&sandbox, &["set", "text"], &format!("ours {number}"));
            theirs(&sandbox, &["set", "text"], &format!("theirs {number}"));
        }
        ours(&sandbox, &["set", "db", "--json"], r#"{"a":1}"#);
        theirs(&sandbox, &["set", "db", "--json"], r#"{"a":2}"#);
        if newer_keys {
            // Then it is the other copy that takes the changes, and ours that is favoured nevertheless.
            sandbox.vault(&["key", "add", "--label", "second", "--key-file", "second.key", "--vault", "theirs"]).run().ok();
        }
        let done = sandbox.vault(&["merge", "theirs", "--format", "json"]).run().ends(10).json();
        let mut conflicts: Vec<_> = done["conflicts"].as_array().unwrap().iter().collect();
        conflicts.sort_by_key(|conflict| conflict["name"].as_str().unwrap().to_owned());
        for (conflict, [current, other]) in conflicts.iter().zip([[r#"{"a":1}"#, r#"{"a":2}"#], ["ours 2", "theirs 2"]]) {
            let name = conflict["name"].as_str().unwrap();
            let version = conflict["other"].as_u64().unwrap().to_string();
            assert_eq!(sandbox.get(name), current.as_bytes());
            assert_eq!(sandbox.vault(&["get", name, "--version", &version]).run().ok().stdout, other.as_bytes(), "{name}");
        }
        assert_eq!(conflicts.len(), 2);
    }
}

#[test]
fn what_led_to_the_same_value_is_kept_too() {
    let sandbox = parted(|sandbox| sandbox.set("a", "v"));
    ours(&sandbox, &["set", "a"], "same");
    theirs(&sandbox, &["set", "a"], "between");
    theirs(&sandbox, &["set", "a"], "same");
    assert_eq!(merge(&sandbox, true).ok().text(), "");
    let version = |number: &str| sandbox.vault(&["get", "a", "--version", number]).run().ok().text();
    assert_eq!((version("2"), version("3"), version("4")), ("same".into(), "between".into(), "same".into()));
    assert_eq!(sandbox.get("a"), b"same");
}

#[test]
fn names_may_be_exchanged() {
    // Which entry is looked at first is chance: often enough, both.
    for _ in 0..4 {
        let sandbox = parted(|sandbox| {
            sandbox.set("a", "first");
            sandbox.set("b", "second");
        });
        theirs(&sandbox, &["mv", "a", "c"], "");
        theirs(&sandbox, &["mv", "b", "a"], "");
        theirs(&sandbox, &["mv", "c", "b"], "");
        merge(&sandbox, true).ok();
        assert_eq!(
            (sandbox.list(), sandbox.get("a"), sandbox.get("b")),
            (vec!["a".into(), "b".into()], b"second".to_vec(), b"first".to_vec())
        );
    }
}

#[test]
fn the_copy_that_a_sync_program_leaves() {
    let sandbox = Sandbox::new();
    let vault = sandbox.path("work/app.vault");
    sandbox.vault(&["set", "db", "--json"]).stdin(r#"{"host":"h","port":1,"old":true}"#).run().ok();
    fs::copy(sandbox.file(), &vault).unwrap();
    let conflict = "app.sync-conflict-20240101-120000-ABCDEFG.vault";
    fs::copy(&vault, sandbox.path("work").join(conflict)).unwrap();
    let at = |place: &str, arguments: &[&str], value: &str| {
        sandbox.vault(&[arguments, &["--vault", place]].concat()).stdin(value).run().ok();
    };
    at("app.vault", &["set", "db", "--field", "host"], "here");
    at("app.vault", &["set", "here"], "1");
    at(conflict, &["set", "db", "--json"], r#"{"host":"h","port":2,"new":[1]}"#);
    at(conflict, &["set", "there", "-e", "prod"], "2");
    let done = sandbox.vault(&["merge", conflict, "--vault", "app.vault"]).run().ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("", "1 added, 1 changed, 0 removed\n"));
    let get = |arguments: &[&str]| sandbox.vault(&[&["get", "--vault", "app.vault"], arguments].concat()).run().ok().text();
    assert_eq!(get(&["db"]), r#"{"host":"here","port":2,"new":[1]}"#);
    assert_eq!((get(&["here"]), get(&["there", "-e", "prod"])), ("1".into(), "2".into()));
    sandbox.vault(&["check", "--vault", "app.vault"]).run().ok();
    // The other direction, and then both are the same.
    let back = sandbox.vault(&["merge", "app.vault", "--vault", conflict, "-q"]).run().ok();
    assert_eq!(back.text(), "");
    sandbox.vault(&["diff", "app.vault", conflict, "--exit-code"]).run().ok();
}

#[test]
fn rotations_go_with_the_value_that_is_current() {
    for base in [true, false] {
        let sandbox = parted(|sandbox| {
            for name in ["o", "t", "both", "gone"] {
                sandbox.set(name, "v");
                sandbox.vault(&["rotate", name, "--every", "1d", "--generate", "pin:4"]).run().ok();
            }
        });
        ours(&sandbox, &["rotate", "o"], "ours");
        theirs(&sandbox, &["rotate", "t"], "theirs");
        theirs(&sandbox, &["rotate", "t"], "theirs 2");
        ours(&sandbox, &["rotate", "both"], "ours");
        ours(&sandbox, &["set", "both"], "ours 2");
        theirs(&sandbox, &["rotate", "both"], "theirs");
        theirs(&sandbox, &["rotate", "both"], "theirs 2");
        // Removed here, and its schedule changed there: neither comes back alone.
        ours(&sandbox, &["rm", "gone"], "");
        theirs(&sandbox, &["rotate", "gone", "--every", "2d", "--generate", "pin:4"], "");
        merge(&sandbox, base);
        let info = |name: &str| sandbox.vault(&["info", name, "--format", "json"]).run().ok().json();
        let previous = |name: &str| sandbox.vault(&["get", name, "--previous"]).run().ok().text();
        assert_eq!((&info("o")["rotations"], previous("o").as_str()), (&1.into(), "v"));
        assert_eq!((&info("t")["rotations"], previous("t").as_str()), (&2.into(), "theirs"));
        // The own value is current, and so is what came before it; the count is the higher one.
        assert_eq!(sandbox.get("both"), b"ours 2");
        assert_eq!((&info("both")["rotations"], previous("both").as_str()), (&2.into(), "v"));
        assert_eq!(info("both")["schedule"]["every"], "1d");
        let file = sandbox.file();
        sandbox.vault(&["merge", file.to_str().unwrap(), "--vault", "theirs"]).run();
        assert_eq!(sandbox.vault(&["get", "both", "--previous", "--vault", "theirs"]).run().ok().text(), "v");
        sandbox.vault(&["check", "--vault", "theirs"]).run().ok();
    }
}

#[test]
fn a_schedule_of_an_entry_that_both_sides_made_comes_with_it() {
    for base in [true, false] {
        let sandbox = parted(|sandbox| sandbox.set("other", "v"));
        ours(&sandbox, &["set", "made"], "ours");
        theirs(&sandbox, &["set", "made"], "theirs");
        theirs(&sandbox, &["rotate", "made", "--every", "2d", "--generate", "pin:4"], "");
        merge(&sandbox, base);
        let info = sandbox.vault(&["info", "made", "--format", "json"]).run().ok().json();
        assert_eq!(info["schedule"]["every"], "2d", "{info}");
        assert!(info["due"].is_string(), "{info}");
        sandbox.vault(&["check"]).run().ok();
    }
}
