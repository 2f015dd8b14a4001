//! What changes is told to webhooks, signed; and pages of other origins are heard if they are named.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::sandbox::{PATIENCE, Sandbox};
use crate::server::{KEY, Server, sandbox};

/// What somebody was told.
struct Told {
    headers: Vec<(String, String)>,
    body: String,
}

impl Told {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Somebody who is told things, and answers with these statuses one after the other, and then with 200.
fn hook(statuses: &'static [&'static str]) -> (String, Receiver<Told>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?token=secret-in-the-address", listener.local_addr().unwrap());
    let (sender, told) = channel();
    std::thread::spawn(move || {
        let mut statuses = statuses.iter().copied();
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut headers = Vec::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                match line.trim_end().split_once(": ") {
                    Some((name, value)) => headers.push((name.to_lowercase(), value.to_owned())),
                    None if line.trim_end().is_empty() => break,
                    None => {}
                }
            }
            let length = headers.iter().find(|(name, _)| name == "content-length").unwrap().1.parse().unwrap();
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let status = statuses.next().unwrap_or("200 OK");
            let answer =
                format!("HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            if sender.send(Told { headers, body: String::from_utf8(body).unwrap() }).is_err() {
                return;
            }
        }
    });
    (url, told)
}

fn configure(sandbox: &Sandbox, text: &str) {
    std::fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    std::fs::write(sandbox.path("config/vault/config.toml"), text).unwrap();
}

fn next(told: &Receiver<Told>) -> Told {
    told.recv_timeout(PATIENCE).expect("something is told")
}

#[test]
fn webhooks_are_told_what_changes_without_values() {
    let sandbox = sandbox();
    sandbox.set("hooks/signing", "what signs");
    let (all, told) = hook(&["503 Service Unavailable"]);
    let (some, rotated) = hook(&[]);
    configure(
        &sandbox,
        &format!(
            "[serve]\nwebhooks = [{{ url = \"{all}\", secret = \"vault://hooks/signing\" }}, {{ url = \"{some}\", events = [\"rotated\"] }}]\n"
        ),
    );
    let server = Server::start(&sandbox, &[]);
    let began = Instant::now();
    server.with_key("POST", "/configs", r#"{"key":"k","value":{"s":"a value that stays"},"category":"db"}"#).is(201);
    let first = next(&told);
    let again = next(&told);
    // What was not taken is told again, as the same.
    assert_eq!((first.header("webhook-id"), &first.body), (again.header("webhook-id"), &again.body));
    let body = again.json();
    assert_eq!((&body["type"], &body["data"]["key"], &body["data"]["category"]), (&json!("created"), &json!("k"), &json!("db")));
    assert!(!again.body.contains("stays"));
    // Whoever has the secret verifies it as docs/server.md says.
    let script = "import base64, hashlib, hmac, sys\n\
                  signed = '.'.join(sys.argv[2:4]).encode() + b'.' + sys.argv[4].encode()\n\
                  print('v1,' + base64.b64encode(hmac.new(sys.argv[1].encode(), signed, hashlib.sha256).digest()).decode())";
    if crate::sandbox::is_installed("python3") {
        let arguments = ["-c", script, "what signs", again.header("webhook-id"), again.header("webhook-timestamp"), &again.body];
        let expected = sandbox.program("python3", &arguments).run().ok().text();
        assert_eq!(again.header("webhook-signature"), expected.trim_end());
    }
    // What commands change as well, from the first look at the file on, a second after the start; and an event that is asked for alone.
    server.with_key("GET", "/configs/k", "").is(200);
    std::thread::sleep(Duration::from_millis(2500).saturating_sub(began.elapsed()));
    sandbox.vault(&["set", "by-command"]).stdin("v").run().ok();
    assert_eq!(next(&told).json()["data"]["key"], "by-command");
    sandbox.vault(&["rotate", "by-command", "--generate", "hex:16"]).run().ok();
    let body = next(&told).json();
    assert_eq!((&body["type"], &body["data"]["event"]), (&json!("rotated"), &json!("updated")));
    let only = next(&rotated);
    assert_eq!((&only.json()["type"], only.header("webhook-signature")), (&json!("rotated"), ""));
    server.with_key("DELETE", "/configs/k", "").is(200);
    assert_eq!(next(&told).json()["type"], "deleted");
    assert!(rotated.try_recv().is_err());
    let metrics = server.ask("GET", "/metrics", &[], "").body;
    assert!(metrics.contains("vault_webhooks_delivered_total"), "{metrics}");
    assert!(!server.log().contains("secret-in-the-address"));
}

#[test]
fn webhooks_do_not_go_where_they_are_sent_on_and_not_in_the_clear() {
    let sandbox = sandbox();
    let (url, told) = hook(&["302 Found"]);
    configure(&sandbox, &format!("[serve]\nwebhooks = [{{ url = \"{url}\" }}]\n"));
    let server = Server::start(&sandbox, &[]);
    server.with_key("POST", "/configs", r#"{"key":"a","value":{}}"#).is(201);
    next(&told);
    server.with_key("POST", "/configs", r#"{"key":"b","value":{}}"#).is(201);
    assert_eq!(next(&told).json()["data"]["key"], "b", "what is refused for good is not told again");
    crate::sandbox::wait_until("the loss to be said", || {
        server.log().contains("1 events were not told to 127.0.0.1: it answered 302")
    });
    for (webhook, words) in [
        ("{ url = \"http://example.org/hook\" }", "has to be https"),
        ("{ url = \"ftp://example.org/hook\" }", "is written https"),
        ("{ url = \"https://example.org/hook\", events = [\"read\"] }", "no event 'read'"),
    ] {
        configure(&sandbox, &format!("[serve]\nwebhooks = [{webhook}]\n"));
        sandbox.vault(&["serve", "--listen", "127.0.0.1:0"]).run().fails(2, words);
    }
}

#[test]
fn pages_are_heard_from_origins_that_are_named() {
    let sandbox = sandbox();
    let origin = ("origin", "https://app.example.org");
    let question = [origin, ("access-control-request-method", "PUT"), ("access-control-request-headers", "x-user-key")];
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    let off = server.ask("OPTIONS", "/configs/k", &question, "").is(405);
    assert!(off.header("access-control-allow-origin").is_none() && off.header("vary").is_none());
    configure(&sandbox, "[serve]\ncors-origins = [\"https://app.example.org\"]\n");
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    let asked = server.ask("OPTIONS", "/configs/k", &question, "").is(204);
    assert_eq!(asked.header("access-control-allow-origin"), Some("https://app.example.org"));
    assert!(asked.header("access-control-allow-methods").unwrap().contains("PUT"));
    assert!(asked.header("access-control-allow-headers").unwrap().contains("x-user-key"));
    assert!(asked.header("access-control-allow-credentials").is_none());
    let read = server.ask("GET", "/configs", &[origin, ("x-user-key", KEY)], "").is(200);
    assert_eq!((read.header("access-control-allow-origin"), read.header("vary")), (Some(origin.1), Some("Origin")));
    for other in ["https://app.example.org.evil.example", "null", "http://app.example.org"] {
        let headers = [("origin", other), ("access-control-request-method", "PUT")];
        let refused = server.ask("OPTIONS", "/configs/k", &headers, "");
        assert!(refused.status == 405 && refused.header("access-control-allow-origin").is_none());
        let read = server.ask("GET", "/configs", &[("origin", other), ("x-user-key", KEY)], "").is(200);
        assert!(read.header("access-control-allow-origin").is_none());
    }
    configure(&sandbox, "[serve]\ncors-origins = [\"*\"]\n");
    sandbox.vault(&["serve", "--listen", "127.0.0.1:0"]).run().fails(2, "is no origin");
}
