//! Much of what nobody asked for: the log stays small, what matters is in it, and requests go on.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use serde_json::{Value, json};

use crate::sandbox::{Sandbox, within_by};
use crate::server::{Client, KEY, Reply, Server, sandbox};

/// The records of servers.
fn records(sandbox: &Sandbox) -> Vec<Value> {
    let shown = sandbox.vault(&["audit", "show", "--format", "json"]).run().ok().json();
    shown["records"].as_array().unwrap().iter().filter(|record| record["source"] == "serve").cloned().collect()
}

/// A response, and between which moments the server gave it.
struct Asked {
    began: Instant,
    reply: Reply,
    ended: Instant,
}

impl Asked {
    fn by(ask: impl FnOnce() -> Reply) -> Self {
        let began = Instant::now();
        let reply = ask();
        Self { began, reply, ended: Instant::now() }
    }

    /// How many whole seconds the server counted from this to a later one, at least and at most.
    fn until(&self, later: &Self) -> (usize, usize) {
        let whole = |time: Duration| usize::try_from(time.as_secs()).unwrap();
        (whole(later.began - self.ended), whole(later.ended - self.began))
    }
}

#[test]
fn refusals_of_strangers_do_not_fill_the_log() {
    let sandbox = sandbox();
    sandbox.set("k", "value");
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    let mut client = Client::connect(server.address);
    let key = Asked::by(|| client.ask("GET", "/configs/k", &[("x-user-key", KEY)], ""));
    assert_eq!(key.reply.status, 200);
    let wrong = format!("Bearer vault_0011223344556677_{}A", "A".repeat(42));
    let asked: Vec<Asked> = (0..2000)
        .map(|number| {
            Asked::by(|| match number % 4 {
                0 => client.ask("GET", "/configs/k", &[], ""),
                1 => client.ask("GET", "/nothing/here", &[], ""),
                2 => client.ask("PATCH", "/configs", &[], ""),
                _ => client.ask("GET", "/v1/entries", &[("authorization", &wrong)], ""),
            })
        })
        .collect();
    let last = asked.last().unwrap();
    // The answers are what they were before. Of what may be wrong twenty are looked at: the passphrase, as nobody knew it yet, and nineteen tokens.
    for (number, Asked { reply, .. }) in asked.iter().enumerate().filter(|(number, _)| number % 4 != 3 || *number < 4 * 19) {
        assert_eq!(reply.status, [422, 404, 405, 401][number % 4], "{number}: {reply:?}");
    }
    // Then one more each six seconds, and no other.
    let tokens = || asked.iter().skip(3).step_by(4).map(|asked| &asked.reply);
    let heard = tokens().filter(|reply| reply.status == 401).count();
    let (least, most) = key.until(last);
    assert!((19 + least / 6..=19 + most / 6).contains(&heard), "{heard} in {least} to {most} seconds");
    for reply in tokens().filter(|reply| reply.status != 401) {
        let wait = reply.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
        assert!(reply.status == 429 && wait.is_some_and(|wait| (1..=7).contains(&wait)), "{reply:?}");
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
    // A thousand at once, and one a second.
    let (least, most) = asked[0].until(last);
    assert!((1000 + least..=1000 + most).contains(&unknown), "{unknown} in {least} to {most} seconds");
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
    // All of it again, and not the one request that took long: who waits for the log gives up after a while, and nobody is kept back any more.
    within_by(Duration::from_millis(300), || {
        rustix::fs::flock(&log, FlockOperation::LockExclusive).unwrap();
        let mut asking = Client::connect(server.address);
        asking.send(format!("GET /configs/k HTTP/1.1\r\nhost: x\r\nx-user-key: {KEY}\r\n\r\n").as_bytes());
        std::thread::sleep(Duration::from_millis(100));
        let health = || {
            let began = Instant::now();
            server.ask("GET", "/health", &[], "").is(200);
            began.elapsed()
        };
        let slowest = (0..5).map(|_| health()).max().unwrap();
        rustix::fs::flock(&log, FlockOperation::Unlock).unwrap();
        asking.reply(false).is(200);
        (slowest, ())
    });
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
