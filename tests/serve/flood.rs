//! Much of what nobody asked for: the log stays small, what matters is in it, and requests go on.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::server::{Client, KEY, Reply, Server, sandbox};

/// The records of servers.
fn records(sandbox: &Sandbox) -> Vec<Value> {
    let shown = sandbox.vault(&["audit", "show", "--format", "json"]).run().ok().json();
    shown["records"].as_array().unwrap().iter().filter(|record| record["source"] == "serve").cloned().collect()
}

#[test]
fn refusals_of_strangers_do_not_fill_the_log() {
    let sandbox = sandbox();
    sandbox.set("k", "value");
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    server.with_key("GET", "/configs/k", "").is(200);
    let wrong = format!("Bearer vault_0011223344556677_{}A", "A".repeat(42));
    let mut client = Client::connect(server.address);
    let asked: Vec<Reply> = (0..2000)
        .map(|number| match number % 4 {
            0 => client.ask("GET", "/configs/k", &[], ""),
            1 => client.ask("GET", "/nothing/here", &[], ""),
            2 => client.ask("PATCH", "/configs", &[], ""),
            _ => client.ask("GET", "/v1/entries", &[("authorization", &wrong)], ""),
        })
        .collect();
    // The answers are what they were before.
    for (number, reply) in asked.iter().enumerate() {
        let expected: &[u16] = [&[422][..], &[404], &[405], &[401, 429]][number % 4];
        assert!(expected.contains(&reply.status), "{number}: {reply:?}");
    }
    // Whoever has a credential is heard, and what they may not do is recorded as theirs.
    let reader = crate::server::token(&sandbox, &["--read"]);
    for _ in 0..3 {
        server.with_key("GET", "/configs/k", "").is(200);
        server.ask("DELETE", "/configs/k", &[("authorization", &format!("Bearer {reader}"))], "").is(403);
    }
    assert_eq!(server.end(), 0);
    let records = records(&sandbox);
    let unknown = records.iter().filter(|record| record["user"].is_null() && record["detail"].is_null()).count();
    assert!((1000..1900).contains(&unknown), "{unknown}");
    let of_token = records.iter().filter(|record| record["user"].as_str().is_some_and(|user| user.starts_with("token:"))).count();
    assert_eq!(of_token, 3, "{records:?}");
    let summed: usize = records
        .iter()
        .filter(|record| record["error"] == "refused" && record["user"].is_null())
        .filter_map(|record| record["detail"].as_str()?.split(' ').next()?.parse::<usize>().ok())
        .sum();
    assert_eq!(unknown + summed, 2000);
    sandbox.vault(&["audit", "verify"]).run().ok();
}

#[test]
fn a_key_that_is_refused_while_sealed_is_recorded_in_the_clear() {
    let sandbox = sandbox();
    // There is a log to append to.
    sandbox.set("k", "value");
    sandbox.vault(&["get", "k"]).run().ok();
    let server = Server::start(&sandbox, &["--sealed"]);
    server.ask("POST", "/v1/sys/unseal", &[("user-agent", "somebody")], r#"{"passphrase":"a wrong one"}"#).is(401);
    server.ask("GET", "/configs/k", &[("x-user-key", "another wrong one")], "").is(401);
    for _ in 0..5 {
        server.ask("GET", "/configs/k", &[], "").is(503);
    }
    server.ask("POST", "/v1/sys/unseal", &[], &json!({ "passphrase": KEY }).to_string()).is(200);
    server.with_key("GET", "/configs/k", "").is(200);
    assert_eq!(server.end(), 0);
    let records = records(&sandbox);
    let refused: Vec<&Value> = records.iter().filter(|record| record["error"] == "wrong_key").collect();
    assert_eq!(refused.len(), 2, "{records:?}");
    for record in &refused {
        assert_eq!((&record["action"], &record["result"], &record["name"]), (&json!("unlock"), &json!("denied"), &Value::Null));
        assert_eq!((&record["client"], &record["authentic"]), (&json!("127.0.0.1"), &json!(false)));
    }
    assert_eq!(refused[0]["user_agent"], "somebody");
    let sealed = records.iter().find(|record| record["error"] == "sealed").unwrap_or_else(|| panic!("{records:?}"));
    assert!(sealed["detail"].as_str().unwrap().starts_with("5 requests"), "{sealed}");
    sandbox.vault(&["audit", "verify"]).run().ok();
}

#[test]
fn whoever_holds_the_log_keeps_back_what_is_recorded_and_nothing_else() {
    let sandbox = sandbox();
    sandbox.set("k", "value");
    let server = Server::start(&sandbox, &["--workers", "1", "--log-format", "quiet"]);
    server.with_key("GET", "/configs/k", "").is(200);
    let log = std::fs::File::open(sandbox.path("test.vault.audit")).unwrap();
    rustix::fs::flock(&log, FlockOperation::LockExclusive).unwrap();
    let mut asking = Client::connect(server.address);
    asking.send(format!("GET /configs/k HTTP/1.1\r\nhost: x\r\nx-user-key: {KEY}\r\n\r\n").as_bytes());
    std::thread::sleep(Duration::from_millis(100));
    for _ in 0..5 {
        let began = Instant::now();
        server.ask("GET", "/health", &[], "").is(200);
        assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
    }
    rustix::fs::flock(&log, FlockOperation::Unlock).unwrap();
    asking.reply(false).is(200);
}

#[test]
fn a_reader_of_lines_that_stops_stops_no_request() {
    let sandbox = sandbox();
    let mut command = sandbox.vault(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]).into_command();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // One line is read, and then nothing more is.
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let address = line.split("://").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    let mut client = Client::connect(address);
    for _ in 0..8000 {
        client.ask("GET", "/health", &[], "").is(200);
    }
    let metrics = client.ask("GET", "/metrics", &[], "").is(200).body;
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("vault_log_lines_dropped_total ")).unwrap();
    assert!(dropped.parse::<u64>().unwrap() > 0, "{dropped}");
    // Nor does it keep the server from ending.
    let began = Instant::now();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}
