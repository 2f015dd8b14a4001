//! `vault stats`, and what listings know of the use of entries.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use vault::audit::{Action, Actor, Event, Keys, Log, Settings, Source, Sync};
use vault::{Kind, Options, SecretValue, Write};

use crate::sandbox::{Sandbox, canary, fields, now, plain};

const DAY: u64 = 86_400_000;

#[track_caller]
fn stats(sandbox: &Sandbox) -> Value {
    sandbox.vault(&["stats", "--format", "json"]).run().ok().json()
}

/// Appends records to the log of the vault, as if at another time.
fn record(sandbox: &Sandbox, time: u64, events: &[Event]) {
    let source = sandbox.library(Options::default()).audit_source().unwrap();
    let settings = Settings {
        anchor_every: std::time::Duration::ZERO,
        log: sandbox.path("test.vault.audit"),
        anchor: None,
        create_like: Some(source.path.clone()),
        patience: Duration::from_secs(10),
        sync: Sync::Every(Duration::from_secs(1)),
    };
    Log::new(settings, Keys::new(source)).append(time, &Actor::new(Source::Agent), events).unwrap();
}

/// An entry that was made so many days ago.
fn made(sandbox: &Sandbox, name: &str, days: u64) {
    let write = Write::value(SecretValue::from("v"), Kind::Text);
    sandbox.library(Options::default()).set(&plain(name), write, now() - days * DAY).unwrap();
}

#[test]
fn everything_is_counted_and_nothing_named() {
    let sandbox = Sandbox::new();
    let empty = stats(&sandbox);
    assert_eq!(fields(&empty), ["version", "entries", "categories", "environments", "kinds", "keys", "log"]);
    assert_eq!((&empty["entries"]["total"], &empty["log"]["records"]), (&0.into(), &1.into()));
    let name = format!("n{}", canary());
    for (arguments, value) in [
        (&["set", &name, "--category", "web"][..], "v"),
        (&["set", &name, "--category", "web"], "w"),
        (&["set", "b", "--category", "web", "-e", "prod", "--json"], "{\"a\":1}"),
        (&["set", "c", "--ttl", "0s"], "v"),
        (&["set", "d", "--ttl", "29d"], "v"),
        (&["set", "e", "--ttl", "31d"], "\u{1}v"),
        (&["set", "f", "--ttl", "29d"], "v"),
        (&["rotate", "d"], "r"),
    ] {
        sandbox.vault(arguments).stdin(value).run().ok();
    }
    sandbox.write("bytes", [0xff, 0]);
    sandbox.vault(&["set", "e", "--from-file", "bytes"]).run().ok();
    sandbox.vault(&["rotate", "b", "-e", "prod", "--every", "30d", "--generate", "hex:8"]).run().ok();
    sandbox.get(&name);
    sandbox.vault(&["get", "none"]).run().ends(3);
    sandbox.vault(&["get", "c"]).run().ends(9);
    sandbox.vault(&["encrypt", "--out", "enc"]).stdin("x").run().ok();
    sandbox.vault(&["decrypt", "enc"]).run().ok();
    sandbox.vault(&["decrypt", "enc"]).run().ok();
    let id = plain("d");
    record(
        &sandbox,
        now(),
        &[Event::new(Action::Get).id(&id), Event::new(Action::Check).ended(vault::audit::Status::Error, Some("x"))],
    );

    let json = stats(&sandbox);
    assert_eq!(
        json["entries"],
        json!({
            "total": 6, "versions": 9, "expired": 1, "expiring": 1, "due": 0, "scheduled": 1, "rotations_pending": 0,
            "rotations_failed": 0, "never_rotated": 5, "exposed": 0,
        })
    );
    assert_eq!(json["categories"], json!([{ "category": null, "entries": 4 }, { "category": "web", "entries": 2 }]));
    assert_eq!(json["environments"], json!([{ "environment": null, "entries": 5 }, { "environment": "prod", "entries": 1 }]));
    assert_eq!(json["kinds"], json!({ "text": 4, "json": 1, "bytes": 1 }));
    assert_eq!(
        json["keys"],
        json!({ "master": 1, "data": [{ "compartment": "", "number": 1 }], "slots": { "full": 1, "limited": 0 } })
    );
    let log = &json["log"];
    let known = [
        "since",
        "records",
        "unread",
        "reads",
        "writes",
        "rotations",
        "refusals",
        "failures",
        "encryptions",
        "decryptions",
        "sources",
        "actions",
    ];
    assert_eq!(fields(log), known);
    for (field, count) in [
        ("reads", 2),
        ("writes", 9),
        ("rotations", 1),
        ("refusals", 2),
        ("failures", 1),
        ("encryptions", 1),
        ("decryptions", 2),
        ("unread", 0),
    ] {
        assert_eq!(log[field], count, "{field} of {log}");
    }
    assert_eq!(log["sources"], json!({ "cli": 17, "agent": 2, "serve": 0 }));
    assert_eq!(log["records"], 19);
    let get = log["actions"].as_array().unwrap().iter().find(|row| row["action"] == "get" && row["result"] == "ok").unwrap();
    assert_eq!((fields(get), &get["count"]), (vec!["action", "result", "count"], &2.into()));
    let text = sandbox.vault(&["stats"]).run().ok().text();
    for line in [
        "entries                  6",
        "category web             2",
        "no environment           5",
        "never rotated            5",
        "key from the agent       2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(!text.contains(&name) && !json.to_string().contains(&name));
    // What a removed slot could read is to be rotated, once for each entry.
    for label in ["r", "s"] {
        let recipient = crate::sandbox::identity().1;
        sandbox.vault(&["key", "add", "--label", label, "--recipient", &recipient]).run().ok();
    }
    sandbox.vault(&["key", "remove", "r"]).run().ok();
    sandbox.vault(&["key", "remove", "s"]).run().ok();
    let json = stats(&sandbox);
    assert_eq!((&json["entries"]["exposed"], &json["keys"]["master"]), (&6.into(), &3.into()));
    fs::remove_file(sandbox.path("test.vault.audit")).unwrap();
    assert_eq!(stats(&sandbox)["log"], Value::Null);
    assert!(sandbox.vault(&["stats"]).run().ok().text().ends_with("\nlog                      none\n"));
}

#[test]
fn a_summary_of_another_version_is_made_anew() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "v");
    let id = plain("a");
    let uid = *sandbox.library(Options::default()).entry(&id).unwrap().unwrap().uid();
    record(&sandbox, now(), &vec![Event::new(Action::Get).id(&id).uid(uid); 5000]);
    let before = stats(&sandbox)["log"].clone();
    assert_eq!((&before["reads"], &before["sources"]["agent"]), (&5000.into(), &5000.into()));
    let cache = sandbox.files("cache/vault/audit").into_iter().find(|(path, _)| path.is_file()).unwrap().0;
    let bytes = fs::read(&cache).unwrap();
    assert_eq!(stats(&sandbox)["log"], before);
    assert_eq!(fs::read(&cache).unwrap(), bytes, "it was made anew without a reason");
    let mut older = bytes.clone();
    older[20] = b'1';
    fs::write(&cache, &older).unwrap();
    assert_eq!(stats(&sandbox)["log"], before);
    let again = fs::read(&cache).unwrap();
    assert!(again[..22] == bytes[..22] && again != bytes && again != older);
    sandbox.get("a");
    assert_eq!(stats(&sandbox)["log"]["reads"], 5001);
}

#[test]
fn a_limited_key_counts_what_it_sees() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "a", "--category", "web"]).stdin("v").run().ok();
    sandbox.set("b", "v");
    sandbox.vault(&["key", "add", "--label", "ci", "--key-file", "ci.key", "--only", "category:web"]).run().ok();
    let json = sandbox.vault(&["stats", "--format", "json"]).env("VAULT_KEY_FILE", sandbox.path("work/ci.key")).run().ok().json();
    assert_eq!((&json["entries"]["total"], &json["keys"]["slots"]["limited"]), (&2.into(), &1.into()));
}

#[test]
fn listings_by_use() {
    let sandbox = Sandbox::new();
    for (name, days) in [("old/never", 200), ("old/long-ago", 200), ("old/lately", 200), ("young", 10)] {
        made(&sandbox, name, days);
    }
    let list = |arguments: &[&str]| sandbox.vault(&[&["list"], arguments].concat()).run().ok();
    let names = |arguments: &[&str]| list(arguments).text().lines().map(str::to_owned).collect::<Vec<_>>();
    // The log of this machine begins now: that is said.
    let said = list(&["--unused", "90d"]);
    assert_eq!(said.text(), "old/lately\nold/long-ago\nold/never\n");
    assert!(said.stderr.starts_with("note: the audit log begins at "), "{}", said.stderr);

    fs::remove_file(sandbox.path("test.vault.audit")).unwrap();
    sandbox.vault(&["list", "--unused", "90d"]).run().fails(3, "there is no audit log");
    sandbox.vault(&["list", "--hot", "1"]).run().fails(3, "there is no audit log");
    let event = |action: Action, name: &str| {
        let entry = sandbox.library(Options::default()).entry(&plain(name)).unwrap().unwrap();
        Event::new(action).entry(&entry)
    };
    record(&sandbox, now() - 150 * DAY, &[event(Action::Get, "old/long-ago"), event(Action::Run, "old/long-ago")]);
    record(&sandbox, now() - 5 * DAY, &[event(Action::Get, "old/lately"), event(Action::Set, "old/never")]);
    let refused = event(Action::Get, "old/never").ended(vault::audit::Status::Denied, Some("x"));
    record(&sandbox, now() - 4 * DAY, &[refused]);

    let said = list(&["--unused", "90d"]);
    assert_eq!((said.text().as_str(), said.stderr.as_str()), ("old/long-ago\nold/never\n", ""));
    assert_eq!(names(&["--unused", "1d"]), ["old/lately", "old/long-ago", "old/never", "young"]);
    assert_eq!(names(&["--unused", "300d"]), [""; 0]);
    assert_eq!(names(&["--hot", "1"]), ["old/lately", "old/long-ago"]);
    assert_eq!(names(&["--hot", "2"]), ["old/long-ago"]);
    assert_eq!(names(&["--hot", "1", "--unused", "90d"]), ["old/long-ago"]);
    assert_eq!(names(&["--unused", "90d", "--match", "*never"]), ["old/never"]);
    assert_eq!(names(&["--unused", "90d", "--tag", "x"]), [""; 0]);
    let json = list(&["--unused", "90d", "--format", "json"]).json();
    let rows = json["entries"].as_array().unwrap();
    assert_eq!((&rows[0]["reads"], &rows[1]["reads"], &rows[1]["last_read"]), (&2.into(), &0.into(), &Value::Null));
    assert!(rows[0]["last_read"].as_str().unwrap().ends_with('Z'));
    assert_eq!(fields(&rows[0]), [&crate::list::ENTRY[..], &["reads", "last_read"]].concat());
    let long = list(&["--hot", "0", "--long"]).text();
    assert!(long.contains("2 reads, the last ") && long.contains("never read"), "{long}");
    for option in ["--unused", "--hot"] {
        sandbox.vault(&["list", option, "soon"]).run().ends(2);
    }
}
