//! `vault rotate`

use crate::sandbox::{Sandbox, now, plain};
use vault::vault::Change;
use vault::{Kind, Options, SecretValue, Write};

#[test]
fn a_new_value_with_the_old_one_in_history() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "a", "--category", "db"]).stdin("old").run().ok();
    let rotated = sandbox.vault(&["rotate", "a"]).stdin("new\n").run().ok();
    assert_eq!((rotated.text().as_str(), rotated.stderr.as_str()), ("", "'a' is at version 2\n"));
    assert_eq!(sandbox.get("a"), b"new");
    assert_eq!(sandbox.vault(&["get", "a", "--version", "1"]).run().ok().stdout, b"old");
    let rotated = sandbox.vault(&["rotate", "a", "--generate", "hex:16", "-q"]).run().ok();
    assert!(rotated.stdout.is_empty() && rotated.stderr.is_empty());
    assert_eq!(sandbox.get("a").len(), 32);
    assert_eq!(sandbox.vault(&["list", "--category", "db"]).run().ok().text(), "a\n");
    let before = sandbox.bytes();
    sandbox.vault(&["rotate", "none", "--generate", "hex:16"]).run().fails(3, "no entry 'none'");
    sandbox.vault(&["rotate", "a", "-e", "prod", "--generate", "hex:16"]).run().fails(3, "no entry 'a (prod)'");
    sandbox.vault(&["rotate", "a", "--generate", "hex:16", "--if-version", "1"]).run().fails(6, "at version 3, not 1");
    sandbox.vault(&["rotate", "a", "--generate", "nope"]).run().ends(2);
    assert_eq!(sandbox.bytes(), before);
    sandbox.vault(&["rotate", "a", "--generate", "hex:16", "--if-version", "3"]).run().ok();
}

#[test]
fn the_value_before_counts_for_a_time() {
    let mut sandbox = Sandbox::new();
    sandbox.set("a", "1");
    sandbox.vault(&["get", "a", "--previous"]).run().fails(3, "was never rotated");
    sandbox.vault(&["rotate", "a", "--grace", "1h"]).stdin("2").run().ok();
    assert_eq!(sandbox.vault(&["get", "a", "--previous"]).run().ok().stdout, b"1");
    let info = sandbox.vault(&["info", "a", "--format", "json"]).run().ok().json();
    assert_eq!((&info["rotations"], &info["previous_version"]), (&1.into(), &1.into()));
    // What is only set is no rotation: the value before the last one stays what it is.
    sandbox.set("a", "3");
    assert_eq!(sandbox.vault(&["get", "a", "--previous"]).run().ok().stdout, b"1");
    assert_eq!(sandbox.vault(&["get", "a", "--previous", "--default", "x"]).run().ok().stdout, b"1");
    sandbox.vault(&["rotate", "a", "--grace", "0s"]).stdin("4").run().ok();
    sandbox.vault(&["get", "a", "--previous"]).run().fails(9, "counted until");
    assert_eq!(sandbox.vault(&["get", "a", "--previous", "--allow-expired"]).run().ok().stdout, b"3");
    sandbox.vault(&["get", "a", "--previous", "--version", "1"]).run().ends(2);
    // It is kept for that time, however few versions are.
    sandbox.write("vault.toml", "keep-versions = 1\n[rotation]\ngrace = \"2h\"\n");
    sandbox.vault(&["rotate", "a"]).stdin("5").run().ok();
    sandbox.set("a", "6");
    sandbox.set("a", "7");
    assert_eq!(sandbox.vault(&["get", "a", "--previous"]).run().ok().stdout, b"4");
    assert_eq!(sandbox.vault(&["history", "a"]).run().ok().text().lines().count(), 2);
    let until = sandbox.library(Options::default()).entry(&plain("a")).unwrap().unwrap().last_rotation().unwrap().until;
    assert!(until > now() + 7_000_000 && until < now() + 7_300_000);
    sandbox.vault(&["check"]).run().ok();
    // Expiry is another matter: a rotation ends it, as every new value does.
    let vault = sandbox.library(Options::default());
    let write = Write { expires: Change::Set(1), ..Write::value(SecretValue::from("v"), Kind::Text) };
    vault.set(&plain("b"), write, now()).unwrap();
    sandbox.set_env("VAULT_FILE", sandbox.file());
    sandbox.vault(&["rotate", "b", "--generate", "pin:4"]).run().ok();
    sandbox.vault(&["get", "b"]).run().ok();
}

#[test]
fn a_command_prints_the_value() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "old");
    let command = "printf '%s/%s\\n' $VAULT_ROTATE_PHASE $VAULT_ROTATE_ENTRY; echo note >&2; test -z \"$VAULT_KEY_FILE\"";
    let rotated = sandbox.vault(&["rotate", "a", "--command", command]).run().ok();
    assert_eq!((sandbox.get("a"), rotated.stderr.as_str()), (b"generate/a".to_vec(), "note\n'a' is at version 2\n"));
    sandbox.vault(&["rotate", "a", "--command", "printf 'two\\nlines\\n'"]).run().ok();
    assert_eq!(sandbox.get("a"), b"two\nlines\n");
    let before = sandbox.bytes();
    for (command, words) in [
        ("echo x; exit 3", "ended with exit code 3"),
        ("true", "printed nothing"),
        ("echo", "printed nothing"),
        ("no-such-program", "ended with exit code 127"),
        ("sleep 60", "took longer than 0.5 s"),
        ("cat /dev/zero", "printed more than"),
    ] {
        let failed = sandbox.vault(&["rotate", "a", "--timeout", "500ms", "--command", command]).run();
        assert!(
            failed.code == 13 && (failed.stderr.contains(words) || failed.stderr.contains("took longer")),
            "{command}: {}",
            failed.stderr
        );
    }
    sandbox.vault(&["rotate", "a", "--command", "touch ran", "--dry-run"]).run().ok();
    sandbox.vault(&["rotate", "none", "--command", "touch ran"]).run().fails(3, "no entry");
    assert!(!sandbox.path("work/ran").exists());
    assert_eq!(sandbox.bytes(), before);
    sandbox.vault(&["rotate", "a", "--command", "x", "--generate", "pin:4"]).run().ends(2);
    sandbox.vault(&["rotate", "a", "--verify", "x"]).run().ends(2);
    sandbox.vault(&["rotate"]).run().ends(2);
}

#[test]
fn a_command_runs_only_where_its_value_is_wanted() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "old");
    let rotate = |more: &[&str]| sandbox.vault(&[&["rotate", "a", "--command", "touch ran; echo x"], more].concat()).run();
    rotate(&["--if-version", "9"]).fails(6, "'a' is at version 1, not 9");
    for apply in ["", &"x".repeat(16_385)] {
        let refused = rotate(&["--apply", apply, "--errors", "json"]).ends(2);
        assert!(refused.stderr.contains("\"code\":\"usage\"") && refused.stderr.contains("16,384"), "{}", refused.stderr);
    }
    assert_eq!(sandbox.vault(&["rotate", "a", "--generate", "pin:4", "--apply", "kill -9 $PPID"]).run().code, 137);
    rotate(&[]).fails(6, "a rotation of 'a' is under way");
    rotate(&["--apply", "true"]).fails(6, "a rotation of 'a' is under way");
    assert!(!sandbox.path("work/ran").exists());
    assert_eq!(sandbox.get("a"), b"old");
    // A value that replaces it all the same is made.
    rotate(&["--force"]).ok();
    assert_eq!(sandbox.get("a"), b"x");
}

#[test]
fn options_that_would_do_nothing_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "old");
    let before = sandbox.bytes();
    for arguments in [
        &["a", "--generate", "pin:4", "--apply", "true", "--force"][..],
        &["a", "--every", "1d", "--if-version", "77"],
        &["a", "--every", "1d", "--if-version", "1"],
        &["a", "--every", "1d", "--force"],
        &["a", "--no-schedule", "--force"],
        &["a", "--abort", "--force"],
        &["a", "--trust-commands", "--force"],
        &["--due", "--force"],
    ] {
        let refused = sandbox.vault(&[&["rotate"], arguments].concat()).run();
        assert_eq!(refused.code, 2, "{arguments:?} {}", refused.stderr);
    }
    assert_eq!(sandbox.bytes(), before);
    let now = ["rotate", "a", "--every", "1d", "--now", "--generate", "pin:4", "--if-version", "1", "--force"];
    sandbox.vault(&now).run().ok();
    assert_eq!(sandbox.get("a").len(), 4);
}

#[test]
fn the_schedule_of_an_entry_says_how_long_the_value_before_counts() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "old");
    sandbox.vault(&["rotate", "a", "--every", "1d", "--generate", "pin:4", "--grace", "5m"]).run().ok();
    let until = |more: &[&str]| {
        sandbox.vault(&[&["rotate", "a", "--generate", "pin:4"], more].concat()).run().ok();
        let entry = sandbox.library(Options::default()).entry(&plain("a")).unwrap().unwrap();
        entry.last_rotation().unwrap().until.saturating_sub(now()) / 1000
    };
    assert!((240..=300).contains(&until(&[])));
    assert!((240..=300).contains(&until(&["--apply", "true"])));
    assert!((3500..=3600).contains(&until(&["--grace", "1h"])));
}
