//! What was acknowledged is there, whatever happens, and whoever else writes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::sandbox::{canary, wait_until};
use crate::server::{Client, KEY, Server, sandbox};

#[test]
fn no_acknowledged_write_is_lost_to_kill_9() {
    let sandbox = sandbox();
    for round in 0..5 {
        let mut server = Server::start(&sandbox, &["--log-format", "quiet"]);
        server.with_key("GET", "/configs", "").is(200);
        let (ended, count) = (AtomicBool::new(false), AtomicU64::new(0));
        let acknowledged: Vec<String> = std::thread::scope(|scope| {
            let (address, ended, count) = (server.address, &ended, &count);
            // All of them before any of them writes: at the end nobody is let in any more.
            let clients: Vec<_> = (0..8).map(|_| Client::connect(address)).collect();
            let writing: Vec<_> = (0..)
                .zip(clients)
                .map(|(writer, mut client): (usize, _)| {
                    scope.spawn(move || {
                        let mut names = Vec::new();
                        for number in 0.. {
                            let name = format!("r{round}w{writer}n{number}");
                            let body = json!({ "key": name, "value": { "n": name } }).to_string();
                            let text = format!(
                                "POST /configs HTTP/1.1\r\nhost: x\r\nx-user-key: {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
                                body.len()
                            );
                            use std::io::Write as _;
                            if client.0.get_mut().write_all(text.as_bytes()).is_err() {
                                break;
                            }
                            match client.try_reply(false) {
                                Some(reply) => names.push({
                                    assert_eq!(reply.status, 201, "{}", reply.body);
                                    count.fetch_add(1, Ordering::Relaxed);
                                    name
                                }),
                                None => break,
                            }
                            if ended.load(Ordering::Relaxed) {
                                break;
                            }
                        }
                        names
                    })
                })
                .collect();
            // In the middle of it, and at another moment each time.
            wait_until("the first writes", || count.load(Ordering::Relaxed) > 20 || writing.iter().any(|one| one.is_finished()));
            std::thread::sleep(Duration::from_millis(17 * round));
            server.child.kill().unwrap();
            ended.store(true, Ordering::Relaxed);
            writing.into_iter().flat_map(|writing| writing.join().unwrap()).collect()
        });
        drop(server);
        assert!(acknowledged.len() > 8, "only {} were written", acknowledged.len());
        let there: std::collections::HashSet<String> = sandbox.list().into_iter().collect();
        let lost: Vec<&String> = acknowledged.iter().filter(|name| !there.contains(*name)).collect();
        assert!(lost.is_empty(), "{lost:?}");
        sandbox.vault(&["check"]).run().ok();
    }
}

#[test]
fn counting_together_loses_no_step() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    server.with_key("POST", "/configs", r#"{"key":"counter","value":{"n":0}}"#).is(201);
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(server.address);
                let mut steps = 0;
                while steps < 20 {
                    let read = client.ask("GET", "/configs/counter", &[("x-user-key", KEY)], "").is(200);
                    let next = read.json()["value"]["n"].as_u64().unwrap() + 1;
                    let headers = [("x-user-key", KEY), ("if-match", read.header("etag").unwrap())];
                    let written = client.ask("PUT", "/configs/counter", &headers, &json!({ "value": { "n": next } }).to_string());
                    match written.status {
                        200 => steps += 1,
                        412 => {}
                        other => panic!("{other}: {}", written.body),
                    }
                }
                done.fetch_add(steps, Ordering::Relaxed);
            });
        }
        scope.spawn(|| {
            // The command line counts as well, by the version that it read.
            let mut steps = 0;
            while steps < 10 {
                let info = sandbox.vault(&["info", "counter", "--format", "json"]).run().ok().json();
                let version = info["current_version"].as_u64().unwrap();
                let value = sandbox.vault(&["get", "counter", "n", "--version", &version.to_string()]).run();
                if value.code != 0 {
                    continue;
                }
                let next = value.text().trim().parse::<u64>().unwrap() + 1;
                let arguments = ["set", "counter", "--json", "--if-version", &version.to_string()];
                let written = sandbox.vault(&arguments).stdin(json!({ "n": next }).to_string()).run();
                if written.code == 0 {
                    steps += 1;
                }
            }
            done.fetch_add(steps, Ordering::Relaxed);
        });
    });
    assert_eq!(done.load(Ordering::Relaxed), 90);
    assert_eq!(server.with_key("GET", "/configs/counter", "").json()["value"]["n"], 90);
}

#[test]
fn requests_under_way_end_well_when_it_is_told_to_end() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &[]);
    let address = server.address;
    let mut client = Client::connect(address);
    let body = r#"{"key":"k","value":{"n":1}}"#;
    let head = "POST /configs HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n";
    client.send(format!("{head}x-user-key: {KEY}\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes());
    // It waits for the rest of the request, and says so.
    client.reply(true).is(100);
    server.terminate();
    wait_until("the end of listening", || std::net::TcpStream::connect(address).is_err());
    client.send(body.as_bytes());
    client.reply(false).is(201);
    assert_eq!(server.end(), 0);
    assert_eq!(sandbox.vault(&["get", "k", "n"]).run().ok().text(), "1");
}

#[test]
fn every_request_is_recorded_and_no_line_holds_a_secret() {
    let sandbox = sandbox();
    let secret = canary();
    let server = Server::start(&sandbox, &["--log-format", "json"]);
    let made = server.with_key("POST", "/configs", &json!({ "key": "k", "value": { "s": secret } }).to_string()).is(201);
    server.with_key("GET", "/configs/k", "").is(200);
    server.with_key("GET", "/configs/none", "").is(404);
    server.ask("GET", "/configs/k", &[], "").is(422);
    server.ask("GET", "/configs/k", &[("x-user-key", &secret)], "").is(401);
    server.with_key("POST", "/configs", &format!("{{\"key\":\"{secret}")).is(422);
    let log = sandbox.vault(&["audit", "show", "--format", "json"]).run().ok();
    let records: Vec<serde_json::Value> =
        log.json()["records"].as_array().unwrap().iter().filter(|record| record["source"] == "serve").cloned().collect();
    let found: Vec<(String, String, String)> = records
        .iter()
        .map(|record| ["action", "result", "name"].map(|field| record[field].as_str().unwrap_or_default().to_owned()).into())
        .collect();
    let expected = [
        ("set", "ok", "k"),
        ("get", "ok", "k"),
        ("get", "not_found", "none"),
        ("get", "bad_request", ""),
        ("get", "denied", ""),
        ("set", "bad_request", ""),
    ];
    assert_eq!(found, expected.map(|(action, result, name)| (action.to_owned(), result.to_owned(), name.to_owned())));
    assert_eq!(records[0]["request_id"].as_str(), made.header("x-request-id"));
    assert_eq!(records[0]["client"], "127.0.0.1");
    // By the label of the slot, and not by its public half.
    assert_eq!(records[0]["user"], "key:people");
    wait_until("its line", || server.log().contains("key:people"));
    assert!(!server.log().contains("age1"), "{}", server.log());
    let metrics = server.ask("GET", "/metrics", &[], "").is(200).body;
    assert!(metrics.contains("route=\"/configs/{*key}\"") && !metrics.contains("\"none\""), "{metrics}");
    for (what, text) in [("the log of the vault", log.text()), ("the lines", server.log()), ("the metrics", metrics)] {
        assert!(!text.contains(&secret) && !text.contains(KEY), "{what}");
    }
    assert!(server.log().lines().skip(1).all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    sandbox.vault(&["audit", "verify"]).run().ok();
}

#[test]
fn what_cannot_be_recorded_and_must_be_does_not_leave() {
    let sandbox = sandbox();
    sandbox.set("k", "value-that-stays");
    std::fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    std::fs::write(sandbox.path("config/vault/config.toml"), "[audit]\nrequired = true\n").unwrap();
    let server = Server::start(&sandbox, &[]);
    server.with_key("GET", "/configs/k", "").is(200);
    let log = sandbox.path("test.vault.audit");
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
    let refused = server.with_key("GET", "/configs/k", "").says(503, "The request could not be recorded");
    assert!(!refused.body.contains("value-that-stays"));
    server.ask("GET", "/health", &[], "").is(200);
}

#[test]
fn an_older_copy_is_not_served() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &[]);
    server.with_key("POST", "/configs", r#"{"key":"k","value":{"n":1}}"#).is(201);
    let older = sandbox.bytes();
    server.with_key("PUT", "/configs/k", r#"{"value":{"n":2}}"#).is(200);
    let newer = sandbox.bytes();
    let put = |bytes: &[u8]| {
        let other = sandbox.path("other.vault");
        std::fs::write(&other, bytes).unwrap();
        std::fs::rename(&other, sandbox.file()).unwrap();
    };
    put(&older);
    server.with_key("GET", "/configs/k", "").says(503, "The vault cannot be read now");
    server.ask("GET", "/ready", &[], "").is(503);
    put(&newer);
    assert_eq!(server.with_key("GET", "/configs/k", "").is(200).json()["value"]["n"], 2);
}
