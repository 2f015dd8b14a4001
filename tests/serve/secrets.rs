//! `/vault/secret/…` as the clients of another service know it.

use crate::sandbox::Sandbox;
use crate::server::{Server, sandbox, token};

#[test]
fn secrets_are_known_by_their_ids() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &[]);
    let bearer = format!("Bearer {}", token(&sandbox, &["--read", "--write", "--category", "secret"]));
    let ask = |path: &str, body: &str| server.ask("POST", path, &[("authorization", &bearer)], body);
    let made = ask("/vault/secret/create/", r#"{"secret":"c2VjcmV0"}"#).is(200);
    let id = made.json()["secret_id"].as_str().unwrap().to_owned();
    assert_eq!((id.len(), id.to_lowercase() == id, id.as_bytes()[14]), (36, true, b'4'));
    assert_eq!(made.json().as_object().unwrap().len(), 1);
    let undashed = id.replace('-', "");
    for form in [id.clone(), id.to_uppercase(), undashed, format!("{{{id}}}"), format!("urn:uuid:{id}")] {
        let fetched = ask("/vault/secret/fetch", &format!(r#"{{"secret_id":"{form}"}}"#)).is(200);
        assert_eq!(fetched.body, r#"{"secret":"c2VjcmV0"}"#, "{form}");
    }
    assert_eq!(sandbox.get(&id), b"secret");
    // The empty secret is one.
    let empty = ask("/vault/secret/create", r#"{"secret":""}"#).is(200).json();
    let body = format!(r#"{{"secret_id":{}}}"#, empty["secret_id"]);
    assert_eq!(ask("/vault/secret/fetch/", &body).is(200).body, r#"{"secret":""}"#);
    ask("/vault/secret/fetch", r#"{"secret_id":"00000000-0000-4000-8000-000000000000"}"#).says(404, "Secret not found");
    ask("/vault/secret/fetch", r#"{"secret_id":"nonsense"}"#).faults(&[("uuid_parsing", &["body", "secret_id"])]);
    ask("/vault/secret/fetch", "{}").faults(&[("missing", &["body", "secret_id"])]);
    ask("/vault/secret/create", r#"{"secret":7}"#).faults(&[("string_type", &["body", "secret"])]);
    // An entry of another category is none of these, whatever it is called.
    let other = "11111111-1111-4111-8111-111111111111";
    sandbox.set(other, "x");
    ask("/vault/secret/fetch", &format!(r#"{{"secret_id":"{other}"}}"#)).says(404, "Secret not found");
}

#[test]
fn base64_is_strict() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &[]);
    let bearer = format!("Bearer {}", token(&sandbox, &["--write"]));
    for text in ["c2Vj cmV0", "c2VjcmV0\n", "_-8=", "c2VjcmU", "c2VjcmV0====", "YR==", "ü", "====", "a"] {
        let body = serde_json::json!({ "secret": text }).to_string();
        let reply = server.ask("POST", "/vault/secret/create/", &[("authorization", &bearer)], &body).is(400);
        assert!(reply.json()["detail"].as_str().unwrap().starts_with("invalid base64: "), "{text}");
        assert!(!reply.body.contains(text) || text.len() < 2, "{text}");
    }
}

#[test]
fn without_a_token_only_where_the_user_says_so_and_only_on_this_machine() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &[]);
    server.ask("POST", "/vault/secret/create/", &[], r#"{"secret":"eA=="}"#).says(401, "Not authenticated");
    drop(server);
    std::fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    std::fs::write(sandbox.path("config/vault/config.toml"), "[serve]\nopen-secret-api = true\n").unwrap();
    let server = Server::start(&sandbox, &[]);
    let made = server.ask("POST", "/vault/secret/create/", &[], r#"{"secret":"eA=="}"#).is(200).json();
    let body = format!(r#"{{"secret_id":{}}}"#, made["secret_id"]);
    server.ask("POST", "/vault/secret/fetch", &[], &body).is(200);
    // Nothing else is open by that.
    server.ask("GET", "/configs", &[], "").is(422);
    sandbox.vault(&["serve", "--listen", "0.0.0.0:0", "--insecure-plain-http"]).run().fails(2, "secrets by id");
}

#[test]
fn a_master_key_makes_and_opens_the_vault() {
    let mut sandbox = Sandbox::empty();
    sandbox.set_env("VAULT_FILE", sandbox.path("data/master.vault"));
    let wrong = "MASTER_KEY must be 32 bytes (256-bit)";
    for key in ["short", "this one has thirty-three letters!", "c2hvcnQgYnV0IGluIGJhc2U2NCBhbmQgbG9uZw=="] {
        sandbox.set_env("MASTER_KEY", key);
        sandbox.vault(&["serve", "--init", "--listen", "127.0.0.1:0"]).run().fails(2, wrong);
    }
    sandbox.set_env("MASTER_KEY", "0123456789abcdef0123456789abcdef");
    drop(Server::start(&sandbox, &["--init"]));
    // The same bytes in base64, from a file.
    sandbox.remove_env("MASTER_KEY");
    let file = sandbox.write("master", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n");
    sandbox.set_env("MASTER_KEY_FILE", file);
    drop(Server::start(&sandbox, &[]));
    sandbox.remove_env("MASTER_KEY_FILE");
    sandbox.vault(&["serve", "--listen", "127.0.0.1:0", "--no-input"]).run().ends(4);
}
