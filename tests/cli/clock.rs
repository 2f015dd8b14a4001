//! A clock that is far from the vault's own time makes nothing expire, removes nothing, and rotates nothing.

use vault::format::schedule::Schedule;
use vault::vault::Change;
use vault::{Kind, NewSlot, Options, RawKey, SecretValue, Vault, Write};

use crate::sandbox::{Sandbox, now, plain};

const DAY: u64 = 86_400_000;
const YEAR: u64 = 365 * DAY;

/// A vault whose last commit was made at a time: `old` had expired by then, `new` expires thirty days later, and `due` is due a day later.
fn vault_of(time: u64) -> Sandbox {
    let mut sandbox = Sandbox::empty();
    sandbox.write("../test.key", [5; 32]);
    Vault::create(&sandbox.file(), &[("raw".to_owned(), NewSlot::RawKey(RawKey::new([5; 32].into())))], time - DAY).unwrap();
    sandbox.set_env("VAULT_FILE", sandbox.file());
    sandbox.set_env("VAULT_KEY_FILE", sandbox.key());
    let vault = sandbox.library(Options::default());
    for (name, expires) in [("old", Some(time - 1)), ("new", Some(time + 30 * DAY)), ("due", None)] {
        let expires = expires.map_or(Change::Keep, Change::Set);
        vault.set(&plain(name), Write { expires, ..Write::value(SecretValue::from("v"), Kind::Text) }, time).unwrap();
    }
    let mut schedule = Schedule::new(DAY, 60_000);
    schedule.generate = Some("pin:4".to_owned());
    vault.set_schedules(&[(plain("due"), schedule)], time).unwrap();
    sandbox
}

fn newest(sandbox: &Sandbox) -> u64 {
    sandbox.library(Options::default()).facts().unwrap().time
}

#[test]
fn twenty_years_ahead() {
    let then = now() - 20 * YEAR;
    let sandbox = vault_of(then);
    sandbox.vault(&["get", "old"]).run().fails(9, "'old' has expired");
    // Three years after the last commit it would have expired by any clock; before that, none is believed.
    sandbox.vault(&["get", "new"]).run().fails(9, "'new' has expired");
    sandbox.vault(&["set", "later", "--expires", "2000-01-01", "--generate", "pin:4"]).run().ok();
    let vault = sandbox.library(Options::default());
    let write = Write { expires: Change::Set(then + 10 * YEAR), ..Write::value(SecretValue::from("v"), Kind::Text) };
    vault.set(&plain("later"), write, then).unwrap();
    let read = sandbox.vault(&["get", "later"]).run().ok();
    assert_eq!((read.stdout.as_slice(), read.stderr.lines().count()), (&b"v"[..], 1));
    assert!(read.stderr.contains("far ahead of the vault's newest commit"), "{}", read.stderr);
    let listed = sandbox.vault(&["list", "--expired"]).run().ok();
    assert!(listed.text() == "new\nold\n" && listed.stderr.contains("far ahead"));
    let export = sandbox.vault(&["export", "--format", "dotenv"]).run().ok();
    assert!(export.text().contains("LATER='v'") && !export.text().contains("NEW="));
    let before = sandbox.bytes();
    for arguments in [&["prune"][..], &["rotate", "--due"]] {
        let refused = sandbox.vault(&[arguments, &["--errors", "json"]].concat()).run().ends(12);
        assert!(refused.stderr.contains("\"code\":\"clock\""), "{}", refused.stderr);
    }
    assert_eq!(sandbox.bytes(), before);
    // A write says so, and does not make the clock any more credible.
    let set = sandbox.vault(&["set", "x", "--ttl", "1d"]).stdin("v").run().ok();
    assert!(set.stderr.contains("is not believed"), "{}", set.stderr);
    assert_eq!(newest(&sandbox), then);
    sandbox.vault(&["compact"]).run().ok();
    sandbox.vault(&["key", "rotate", "--master"]).run().ok();
    assert_eq!(newest(&sandbox), then);
    sandbox.vault(&["prune"]).run().ends(12);
    // Until somebody says that it is right.
    let pruned = sandbox.vault(&["prune", "--trust-clock"]).run().ok();
    assert_eq!(pruned.text(), "old\nnew\nlater\n");
    assert!(newest(&sandbox) > then + 19 * YEAR);
    assert!(sandbox.vault(&["rotate", "--due"]).run().ok().text().starts_with("due  rotated"));
    assert!(sandbox.vault(&["set", "x", "--ttl", "1d"]).stdin("v").run().ok().stderr.is_empty());
}

#[test]
fn behind() {
    let then = now() + 10 * YEAR;
    let sandbox = vault_of(then);
    let read = sandbox.vault(&["get", "old"]).run().ok();
    assert!(read.stderr.contains("behind the vault's newest commit"), "{}", read.stderr);
    assert!(sandbox.vault(&["get", "due"]).run().ok().stderr.is_empty());
    sandbox.vault(&["prune"]).run().fails(12, "behind the vault's newest commit");
    sandbox.vault(&["rotate", "--due"]).run().fails(12, "behind");
    let set = sandbox.vault(&["set", "x", "--ttl", "1d"]).stdin("v").run().ok();
    assert!(set.stderr.contains("is not believed"));
    let scheduled = sandbox.vault(&["rotate", "x", "--every", "1d", "--generate", "pin:4"]).run().ok();
    assert!(scheduled.stderr.contains("is not believed"));
    assert_eq!(newest(&sandbox), then);
    // A clock that is trusted brings back what was set by one that was ahead, and does not rotate it.
    let due = sandbox.vault(&["rotate", "--due", "--trust-clock"]).run().ok();
    assert!(due.text().is_empty() && due.stderr.contains("1 entries were due later"), "{}", due.stderr);
    assert!(newest(&sandbox) < now() + DAY);
    let entry = sandbox.library(Options::default()).entry(&plain("due")).unwrap().unwrap();
    assert!(entry.version() == 1 && entry.due().unwrap() <= now() + DAY);
    assert!(sandbox.vault(&["rotate", "--due"]).run().ok().text().is_empty());
}

#[test]
fn within_bounds_nothing_is_said() {
    for then in [now() - 1090 * DAY, now() + DAY / 2] {
        let sandbox = vault_of(then);
        let listed = sandbox.vault(&["list", "--long"]).run().ok();
        assert!(listed.stderr.is_empty(), "{}", listed.stderr);
        assert!(sandbox.vault(&["prune"]).run().ok().stderr.is_empty());
        sandbox.vault(&["rotate", "--due"]).run().ok();
        // The vault's time does not go back.
        assert!(sandbox.vault(&["set", "x", "--ttl", "1d"]).stdin("v").run().ok().stderr.is_empty());
        assert!(newest(&sandbox) >= then);
    }
}
