//! What changes is told as it happens, by whomever it was changed, and to those who may know of it.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sandbox::{PATIENCE, within_by};
use crate::server::{Client, KEY, Server, sandbox, token};

/// Somebody who listens.
struct Listening(Client);

impl Listening {
    fn begin(server: &Server, path: &str, header: &str) -> Self {
        let mut client = Client::connect(server.address);
        client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n{header}\r\n\r\n").as_bytes());
        client.reply(true).is(200);
        client.0.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        let mut listening = Self(client);
        assert_eq!(listening.next().unwrap().0, "connected");
        listening
    }

    /// The next event and what is said of it; `None` if there is none any more, or for long.
    fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let text = String::from_utf8(self.0.chunk().filter(|chunk| !chunk.is_empty())?).unwrap();
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            if let Some(event) = field("event: ") {
                return Some((event, serde_json::from_str(&field("data: ").unwrap()).unwrap()));
            }
        }
    }

    #[track_caller]
    fn hears(&mut self, event: &str, key: &str) -> Value {
        let (heard, data) = self.next().expect("an event");
        assert_eq!((heard.as_str(), data["key"].as_str().unwrap()), (event, key), "{data}");
        data
    }

    /// The connection ends; how long that takes.
    #[track_caller]
    fn end(mut self) -> Duration {
        let began = Instant::now();
        assert_eq!(self.next(), None);
        began.elapsed()
    }

    /// The connection ends within so long.
    #[track_caller]
    fn ends(self, within: Duration) {
        let took = self.end();
        assert!(took < within, "{took:?}");
    }
}

#[test]
fn what_commands_change_is_told_once_like_everything_else() {
    let sandbox = sandbox();
    sandbox.vault(&["set", "old", "--category", "db"]).stdin("v").run().ok();
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    let mut all = Listening::begin(&server, "/sse/subscribe", &format!("x-user-key: {KEY}"));
    let bearer = format!("authorization: Bearer {}", token(&sandbox, &["--read", "--category", "db"]));
    let mut part = Listening::begin(&server, "/v1/events", &bearer);
    sandbox.vault(&["set", "new", "--category", "ci"]).stdin("a value that stays").run().ok();
    assert!(!all.hears("created", "new").to_string().contains("stays"));
    server.with_key("POST", "/configs", r#"{"key":"by the server","value":{}}"#).is(201);
    all.hears("created", "by the server");
    server.with_key("PUT", "/configs/by%20the%20server", r#"{"value":{"n":1}}"#).is(200);
    all.hears("updated", "by the server");
    // What the server told itself is not found once more by looking.
    std::thread::sleep(Duration::from_millis(2500));
    sandbox.vault(&["set", "old"]).stdin("w").run().ok();
    let told = all.hears("updated", "old");
    assert_eq!((&told["category"], &told["version"]), (&Value::from("db"), &Value::from(2)));
    sandbox.vault(&["rm", "new", "--force"]).run().ok();
    all.hears("deleted", "new");
    // Of another category nothing was heard.
    part.hears("updated", "old");
    assert_eq!(server.end(), 0);
    all.ends(Duration::from_secs(2));
}

#[test]
fn who_may_not_listen_any_more_is_told_nothing_more() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    let bearer = |token: &str| format!("authorization: Bearer {token}");
    let listen = || Listening::begin(&server, "/sse/subscribe", &format!("x-user-key: {KEY}"));
    let expiring = Listening::begin(&server, "/sse/subscribe", &bearer(&token(&sandbox, &["--read", "--expires", "10s"])));
    let mut staying = listen();
    // One use is for all of it.
    let mut used_up = Listening::begin(&server, "/sse/subscribe", &bearer(&token(&sandbox, &["--read", "--uses", "1"])));
    // What holds up a look at the file holds up the next one for much longer.
    within_by(Duration::from_secs(5), || {
        let revoked = token(&sandbox, &["--read"]);
        let by_command = Listening::begin(&server, "/sse/subscribe", &bearer(&revoked));
        sandbox.vault(&["token", "revoke", revoked.split('_').nth(1).unwrap()]).run().ok();
        (by_command.end(), ())
    });
    expiring.ends(Duration::from_secs(12));
    server.with_key("POST", "/configs", r#"{"key":"k","value":{}}"#).is(201);
    staying.hears("created", "k");
    used_up.hears("created", "k");
    let mut staying = Some(staying);
    within_by(Duration::from_secs(1), || {
        let staying = staying.take().unwrap_or_else(listen);
        server.with_key("POST", "/v1/sys/seal", "").is(200);
        let took = staying.end();
        server.with_key("GET", "/configs/k", "").is(200);
        (took, ())
    });
    let staying = listen();
    assert_eq!(server.end(), 0);
    let mut staying = Some(staying);
    within_by(Duration::from_secs(1), || {
        let staying = staying.take().unwrap_or_else(|| {
            let server = Server::start(&sandbox, &["--log-format", "quiet"]);
            let staying = Listening::begin(&server, "/sse/subscribe", &format!("x-user-key: {KEY}"));
            assert_eq!(server.end(), 0);
            staying
        });
        (staying.end(), ())
    });
}
