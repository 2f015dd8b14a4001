//! A server without a key, and one that is told to forget it.

use base64::Engine as _;
use serde_json::json;

use crate::server::{KEY, Server, sandbox, token};

#[test]
fn nothing_is_served_while_it_is_sealed() {
    let sandbox = sandbox();
    sandbox.set("k", "value");
    let bearer = format!("Bearer {}", token(&sandbox, &["--admin"]));
    let server = Server::start(&sandbox, &["--sealed"]);
    let headers = [("authorization", bearer.as_str())];
    for path in ["/configs", "/configs/k", "/stats", "/sse/subscribe"] {
        server.ask("GET", path, &headers, "").says(503, "The vault is sealed");
    }
    assert!(server.ask("GET", "/configs/k", &[], "").is(503).header("retry-after").is_some());
    // Whether or not there is a way for mail.
    server.ask("POST", "/send-otp", &[], r#"{"username":"ann"}"#).says(503, "The vault is sealed");
    server.ask("GET", "/health", &[], "").is(200);
    assert_eq!(server.ask("GET", "/ready", &[], "").is(503).json(), json!({ "ready": false, "reason": "sealed" }));
    assert_eq!(server.ask("GET", "/v1/sys/seal-status", &[], "").json()["sealed"], true);

    server.ask("POST", "/v1/sys/unseal", &[], r#"{"passphrase":"a wrong one"}"#).is(401);
    server.ask("POST", "/v1/sys/unseal", &[], "{}").is(422);
    server.ask("POST", "/v1/sys/unseal", &[], r#"{"key":"AAAA"}"#).is(401);
    let wrong = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    server.ask("POST", "/v1/sys/unseal", &[], &json!({ "key": wrong }).to_string()).is(401);
    let key = base64::engine::general_purpose::STANDARD.encode(std::fs::read(sandbox.key()).unwrap());
    server.ask("POST", "/v1/sys/unseal", &[], &json!({ "key": key }).to_string()).is(200);
    server.ask("GET", "/configs/k", &headers, "").is(200);
    server.ask("GET", "/ready", &[], "").is(200);
    // Open as it is, a wrong key is no right one.
    server.ask("POST", "/v1/sys/unseal", &[], &json!({ "key": wrong }).to_string()).is(401);

    server.ask("POST", "/v1/sys/seal", &headers, "").is(200);
    server.ask("GET", "/configs/k", &headers, "").is(503);
    // The first passphrase that opens everything opens the server.
    server.with_key("GET", "/configs/k", "").is(200);
    server.ask("GET", "/configs/k", &headers, "").is(200);
}

#[test]
fn a_key_for_a_part_does_not_unseal() {
    let sandbox = sandbox();
    sandbox.vault(&["set", "k", "--category", "ci"]).stdin("1").run().ok();
    let arguments = ["key", "add", "--label", "part", "--only", "category:ci", "--new-passphrase"];
    sandbox.vault(&arguments).stdin("a key for a part").run().ok();
    let server = Server::start(&sandbox, &["--sealed"]);
    server.ask("POST", "/v1/sys/unseal", &[], r#"{"passphrase":"a key for a part"}"#).is(403);
    server.ask("GET", "/configs/k", &[("x-user-key", "a key for a part")], "").is(503);
    assert_eq!(server.ask("GET", "/v1/sys/seal-status", &[], "").json()["sealed"], true);
    server.ask("POST", "/v1/sys/unseal", &[], &json!({ "passphrase": KEY }).to_string()).is(200);
}
