//! What decides how the server behaves: words of its table, and the variables of the services before.

use serde_json::json;

use crate::sandbox::Sandbox;
use crate::server::{Server, patiently, sandbox};
use crate::users::{PASSWORD, session_of};

fn configure(sandbox: &Sandbox, text: &str) {
    std::fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    std::fs::write(sandbox.path("config/vault/config.toml"), text).unwrap();
}

fn with(sandbox: &Sandbox, variables: &[(&str, &str)]) -> Server {
    let mut command = sandbox.vault(&["serve", "--listen", "127.0.0.1:0"]);
    for (name, value) in variables {
        command = command.env(name, value);
    }
    Server::run(command)
}

#[test]
fn a_word_that_is_none_is_refused() {
    let sandbox = sandbox();
    for (word, named) in [
        ("registation = \"closed\"", "registation"),
        ("rate_per_address = 1", "rate_per_address"),
        ("alow = [\"10.0.0.0/8\"]", "alow"),
        ("smtp-pasword-file = \"x\"", "smtp-pasword-file"),
    ] {
        configure(&sandbox, &format!("[serve]\n{word}\n"));
        sandbox.vault(&["serve", "--listen", "127.0.0.1:0"]).run().fails(2, named);
    }
    // These two are written in both ways.
    configure(&sandbox, "[serve]\nopen_secret_api = true\ntrusted_proxies = [\"127.0.0.1\"]\n");
    let server = Server::start(&sandbox, &[]);
    server.ask("POST", "/vault/secret/create", &[], r#"{"secret":"eA=="}"#).is(200);
}

#[test]
fn paths_are_from_where_the_table_is() {
    let sandbox = sandbox();
    configure(&sandbox, "[serve]\nmail-outbox = \"outbox\"\n");
    std::fs::create_dir(sandbox.path("config/vault/outbox")).unwrap();
    let server = Server::start(&sandbox, &[]);
    let ask = |path: &str, body: serde_json::Value| patiently(|| server.ask("POST", path, &[], &body.to_string())).is(200);
    ask("/register", json!({ "username": "ann", "email": "a@example.org", "password": PASSWORD }));
    ask("/send-otp", json!({ "username": "ann" }));
    let outbox = sandbox.path("config/vault/outbox");
    crate::sandbox::wait_until("a message", || std::fs::read_dir(&outbox).unwrap().count() == 1);
}

#[test]
fn a_raw_master_key_may_end_as_a_line_does() {
    for last in [b'\n', b'\r', b' ', b'\t', 0] {
        let mut sandbox = Sandbox::empty();
        sandbox.remove_env("VAULT_KEY_FILE");
        let mut key = [7; 32];
        key[31] = last;
        let file = sandbox.write("master", key);
        let server = Server::run(sandbox.vault(&["serve", "--init", "--listen", "127.0.0.1:0"]).env("MASTER_KEY_FILE", &file));
        assert_eq!(server.end(), 0);
        sandbox.vault(&["list", "--key-file", file.to_str().unwrap()]).run().ok();
        // The line of a text is none of the key.
        let text = sandbox.write("text", format!("{}\n", "k".repeat(32)));
        sandbox.vault(&["serve", "--listen", "127.0.0.1:0"]).env("MASTER_KEY_FILE", &text).run().ends(4);
        sandbox
            .vault(&["serve", "--listen", "127.0.0.1:0"])
            .env("MASTER_KEY", "short")
            .run()
            .fails(2, "must be 32 bytes (256-bit)");
    }
}

#[test]
fn variables_decide_about_the_log_and_what_is_none_is_refused() {
    let sandbox = sandbox();
    sandbox.set("k", "value");
    let served = || {
        let shown = sandbox.vault(&["audit", "show", "--format", "json"]).run().ok().json();
        shown["records"].as_array().unwrap().iter().filter(|record| record["source"] == "serve").count()
    };
    for off in ["false", "0", "No", "off"] {
        let server = with(&sandbox, &[("AUDIT_ENABLED", off)]);
        server.with_key("GET", "/configs/k", "").is(200);
        assert_eq!((server.end(), served()), (0, 0), "{off}");
    }
    let server = with(&sandbox, &[("AUDIT_ENABLED", "Yes"), ("AUDIT_TTL_DAYS", "30")]);
    server.with_key("GET", "/configs/k", "").is(200);
    assert_eq!((server.end(), served()), (0, 1));
    for (name, value) in [("AUDIT_ENABLED", "tru"), ("AUDIT_ENABLED", "2"), ("AUDIT_TTL_DAYS", "x"), ("AUDIT_TTL_DAYS", "-1")] {
        sandbox.vault(&["serve", "--listen", "127.0.0.1:0"]).env(name, value).run().fails(2, name);
    }
}

#[test]
fn a_secret_of_sessions_from_outside_is_shared_by_those_who_have_it() {
    let sandbox = sandbox();
    let secret = "a secret of thirty-two bytes, or more";
    let first = with(&sandbox, &[("JWT_SECRET", secret)]);
    let body = json!({ "username": "ann", "email": "a@example.org", "password": PASSWORD }).to_string();
    patiently(|| first.ask("POST", "/register", &[], &body)).is(200);
    let body = json!({ "username": "ann", "password": PASSWORD }).to_string();
    let session = session_of(&patiently(|| first.ask("POST", "/login", &[], &body)).is(200));
    let bearer = format!("Bearer {session}");
    let account = |server: &Server| server.ask("GET", "/account", &[("authorization", &bearer)], "");
    let file = sandbox.write("jwt", format!("{secret}\n"));
    account(&with(&sandbox, &[("JWT_SECRET_FILE", file.to_str().unwrap())])).is(200);
    account(&with(&sandbox, &[("JWT_SECRET", "another secret of thirty-two bytes, or more")])).says(401, "Invalid token");
    account(&with(&sandbox, &[("JWT_SECRET", "")])).says(401, "Invalid token");
    sandbox.vault(&["serve", "--listen", "127.0.0.1:0"]).env("JWT_SECRET", "fifteen bytes..").run().fails(2, "JWT_SECRET");
    let short = with(&sandbox, &[("JWT_SECRET", "sixteen bytes...")]);
    crate::sandbox::wait_until("a warning", || short.log().contains("less than 32 bytes"));
}
