//! What a server does beside answering: it says how it is, and keeps the log as long as it is to be kept.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::sandbox::wait_until;
use crate::server::{Server, sandbox};

#[test]
fn it_says_that_it_reads_and_does_not_write() {
    let sandbox = sandbox();
    sandbox.set("k", "value");
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    server.with_key("GET", "/configs/k", "").is(200);
    assert_eq!(server.ask("GET", "/ready", &[], "").is(200).json(), json!({ "ready": true }));
    let limit = |most: Option<u64>| {
        let limit = Rlimit { current: most, maximum: None };
        prlimit(Some(Pid::from_child(&server.child)), Resource::Fsize, limit).unwrap();
    };
    limit(Some(std::fs::metadata(sandbox.file()).unwrap().len()));
    server.with_key("POST", "/configs", r#"{"key":"new","value":{}}"#).is(500);
    let ready = server.ask("GET", "/ready", &[], "").is(200).json();
    assert_eq!((&ready["ready"], &ready["writable"]), (&json!(true), &json!(false)), "{ready}");
    assert!(ready["reason"].is_string());
    server.with_key("GET", "/configs/k", "").is(200);
    let metrics = server.ask("GET", "/metrics", &[], "").body;
    assert!(metrics.contains("vault_commits_failed_total 1\n"), "{metrics}");
    limit(None);
    server.with_key("POST", "/configs", r#"{"key":"new","value":{}}"#).is(201);
    assert_eq!(server.ask("GET", "/ready", &[], "").is(200).json(), json!({ "ready": true }));
}

#[test]
fn records_that_were_kept_long_enough_go() {
    use vault::audit::{Action, Actor, Event, Keys, Log, Settings, Source, Sync, place};
    let sandbox = sandbox();
    let log = sandbox.path("test.vault.audit");
    std::fs::remove_file(&log).unwrap();
    std::fs::remove_dir_all(sandbox.path("state/vault/audit")).unwrap();
    let source = sandbox.library(vault::Options::default()).audit_source().unwrap();
    let settings = Settings {
        anchor_every: Duration::ZERO,
        log: log.clone(),
        anchor: Some(sandbox.path("state/vault/audit").join(place(&source.id, &source.path))),
        create_like: Some(sandbox.file()),
        patience: Duration::from_secs(5),
        sync: Sync::Always,
    };
    let mut log = Log::new(settings, Keys::new(source));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let mut append = |days: u64, count: usize| {
        let events: Vec<Event> = (0..count).map(|_| Event::new(Action::Check)).collect();
        log.append(now - days * 86_400_000, &Actor::new(Source::Cli), &events).unwrap();
    };
    append(10, 10);
    append(0, 20);
    std::fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    std::fs::write(sandbox.path("config/vault/config.toml"), "[audit]\nretention-days = 5\n").unwrap();
    let server = Server::start(&sandbox, &[]);
    wait_until("the log to be shorter", || server.log().contains("10 records of the audit log were kept long enough"));
    server.with_key("GET", "/configs", "").is(200);
    let count = |action: &str| {
        let shown = sandbox.vault(&["audit", "show", "--format", "json", "--action", action]).run().ok().json();
        shown["records"].as_array().unwrap().len()
    };
    assert_eq!((count("check"), count("audit-prune"), count("get")), (20, 1, 1));
    sandbox.vault(&["audit", "verify"]).run().ok();
}
