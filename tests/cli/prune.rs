//! `vault prune`, and expiry.

use crate::sandbox::{Sandbox, fields};

fn expired(sandbox: &Sandbox, names: &[&str]) {
    for name in names {
        sandbox.vault(&["set", name, "--ttl", "0s"]).stdin("v").run().ok();
    }
}

#[test]
fn removes_what_has_expired_and_nothing_else() {
    let sandbox = Sandbox::new();
    expired(&sandbox, &["a", "b"]);
    sandbox.vault(&["set", "c", "--ttl", "0s", "--category", "ci"]).stdin("v").run().ok();
    sandbox.vault(&["set", "a", "-e", "prod", "--ttl", "0s"]).stdin("v").run().ok();
    sandbox.vault(&["set", "later", "--ttl", "1d"]).stdin("v").run().ok();
    sandbox.set("never", "v");
    let before = sandbox.bytes();
    assert_eq!(sandbox.vault(&["prune", "--dry-run"]).run().ok().text(), "a\nb\nc\n");
    assert_eq!(sandbox.vault(&["prune", "--expired-for", "1h"]).run().ok().text(), "");
    assert_eq!(sandbox.bytes(), before);
    assert_eq!(sandbox.vault(&["prune", "--category", "ci"]).run().ok().text(), "c\n");
    let pruned = sandbox.vault(&["prune", "--format", "json"]).run().ok().json();
    assert_eq!(fields(&pruned), ["version", "dry_run", "removed", "kept"]);
    assert_eq!(pruned["removed"].as_array().unwrap().len(), 2);
    assert_eq!(fields(&pruned["removed"][0]), ["name", "environment", "expires"]);
    assert_eq!(sandbox.vault(&["list", "-a"]).run().ok().text(), "later\nnever\nprod\ta\n");
    assert_eq!(sandbox.vault(&["prune", "-a"]).run().ok().text(), "prod\ta\n");
    assert_eq!(sandbox.vault(&["prune", "-a"]).run().ok().text(), "");
    sandbox.vault(&["prune", "--expired-for", "soon"]).run().fails(2, "not a duration");
    sandbox.vault(&["check"]).run().ok();
}

#[test]
fn what_has_expired_is_refused_by_name_and_left_out_of_many() {
    let sandbox = Sandbox::new();
    expired(&sandbox, &["a"]);
    sandbox.set("b", "v");
    for arguments in [&["get", "a"][..], &["run", "--only", "a", "--", "true"], &["run", "--map", "X=a", "--", "true"]] {
        sandbox.vault(arguments).run().fails(9, "'a' has expired");
    }
    sandbox.vault(&["inject"]).stdin("{{ vault://a }}").run().fails(9, "'a' has expired");
    let run = sandbox.vault(&["run", "--no-mask", "--", "sh", "-c", "echo ${A-none} $B"]).run().ok();
    assert_eq!(run.text(), "none v\n");
    assert!(run.stderr.contains("1 expired entries were left out"));
    let export = sandbox.vault(&["export", "--format", "dotenv"]).run().ok();
    assert_eq!(export.text(), "B='v'\n");
    assert!(export.stderr.contains("1 expired entries were left out"));
    assert_eq!(sandbox.vault(&["get", "a", "--allow-expired"]).run().ok().stdout, b"v");
    // A new value does not depend on whether the old one has expired.
    sandbox.vault(&["rotate", "a", "--generate", "pin:4"]).run().ok();
    sandbox.vault(&["get", "a"]).run().ok();
}

#[test]
fn dates_and_times_of_expiry() {
    let sandbox = Sandbox::new();
    let expires = |arguments: &[&str]| {
        sandbox.vault(&[&["set", "a", "--generate", "pin:4"], arguments].concat()).run().ok();
        let info = sandbox.vault(&["info", "a", "--format", "json"]).run().ok().json();
        info["expires"].as_str().unwrap_or("never").to_owned()
    };
    // A date means to the end of that day.
    assert_eq!(expires(&["--expires", "2999-01-31"]), "2999-02-01T00:00:00Z");
    assert_eq!(expires(&["--expires", "2999-01-31T12:00:00+01:00"]), "2999-01-31T11:00:00Z");
    assert_eq!(expires(&[]), "never");
    assert_eq!(expires(&["--no-expiry"]), "never");
    sandbox.vault(&["set", "a", "--meta-only", "--expires", "2999-01-31"]).run().ok();
    sandbox.vault(&["set", "a", "--meta-only", "--tag", "t"]).run().ok();
    assert!(sandbox.vault(&["info", "a"]).run().ok().text().contains("2999-02-01"));
    sandbox.vault(&["set", "a", "--meta-only", "--no-expiry"]).run().ok();
    assert!(!sandbox.vault(&["info", "a"]).run().ok().text().contains("expires"));
    for bad in ["tomorrow", "2999-01-32", "2999-01-31T12:00:00", "2999-1-31", ""] {
        sandbox.vault(&["set", "a", "--meta-only", "--expires", bad]).run().fails(2, "is not a date");
    }
    sandbox.vault(&["set", "a", "--meta-only", "--ttl", "1d", "--expires", "2999-01-31"]).run().ends(2);
}

#[test]
fn listings_find_expiries_by_their_index() {
    let sandbox = Sandbox::new();
    expired(&sandbox, &["z", "gone"]);
    for (name, ttl) in [("soon", "2d"), ("late", "30d")] {
        sandbox.vault(&["set", name, "--ttl", ttl, "--category", "c"]).stdin("v").run().ok();
    }
    sandbox.set("never", "v");
    let list = |arguments: &[&str]| sandbox.vault(&[&["list"], arguments].concat()).run().ok().text();
    assert_eq!(list(&["--expired"]), "gone\nz\n");
    assert_eq!(list(&["--expires-within", "7d"]), "gone\nsoon\nz\n");
    assert_eq!(list(&["--expires-within", "7d", "--category", "c"]), "soon\n");
    assert_eq!(list(&["--expires-within", "60d", "--match", "l*"]), "late\n");
    assert!(list(&["--expired", "--long"]).lines().all(|line| line.ends_with("  expired")));
    sandbox.vault(&["list", "--expired", "--due"]).run().ends(2);
}
