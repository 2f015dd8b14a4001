//! Commands with `--server`: the same entries, output and exit codes as with the vault file.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Child;
use std::sync::{Arc, Mutex};

use crate::sandbox::{Output, Run, Sandbox, canary, is_installed, said, wait_until};

/// A server of the vault of a sandbox; it ends with the test.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub addresses: Vec<String>,
}

impl Server {
    /// Serves with these options.
    pub fn start(sandbox: &Sandbox, options: &[&str]) -> Self {
        let mut child = sandbox.vault(&[&["serve"], options].concat()).spawn();
        let said = said(&mut child);
        let wanted = options.iter().filter(|option| **option == "--listen").count();
        let addresses = || -> Vec<String> {
            let said = said.lock().unwrap();
            // A line is said piece by piece, and is one when it has ended.
            let lines = said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            lines.filter_map(|line| Some(line.split_once("listening on ")?.1.to_owned())).collect()
        };
        wait_until("the server", || addresses().len() == wanted || child.try_wait().unwrap().is_some());
        let addresses = addresses();
        assert_eq!(addresses.len(), wanted, "it did not start: {}", said.lock().unwrap());
        Self { child, addresses }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A vault, a server of it, and a token that may do everything with entries.
pub struct Scene {
    pub sandbox: Sandbox,
    pub server: Server,
    pub token: String,
}

impl Scene {
    pub fn new() -> Self {
        let sandbox = Sandbox::new();
        let server = Server::start(&sandbox, &["--listen", "127.0.0.1:0"]);
        let token = token(&sandbox, &[]);
        Self { sandbox, server, token }
    }

    /// A run with the server, on a machine that has no vault and no key.
    pub fn remote(&self, arguments: &[&str]) -> Run {
        self.at(&self.server.addresses[0], &self.token, arguments)
    }

    /// The same with another server or token.
    pub fn at(&self, address: &str, token: &str, arguments: &[&str]) -> Run {
        let run = self.sandbox.vault(arguments).without_env("VAULT_FILE").without_env("VAULT_KEY_FILE");
        run.env("VAULT_SERVER", address).env("VAULT_SERVER_TOKEN", token)
    }
}

/// What proves a token: what stands behind its id. It may have an underscore itself, so that what is behind the last one could be a single letter.
pub fn proof(token: &str) -> &str {
    token.splitn(3, '_').nth(2).unwrap()
}

/// A token with these options.
pub fn token(sandbox: &Sandbox, options: &[&str]) -> String {
    sandbox.vault(&[&["token", "create", "--label", "test"], options].concat()).run().ok().text()
}

#[test]
fn what_is_read_is_what_the_vault_gives() {
    let scene = Scene::new();
    let sandbox = &scene.sandbox;
    sandbox.set("text", "first");
    sandbox.set("text", "two\nlines\n");
    sandbox.set("bytes", [0, 0xff, b'\n']);
    sandbox.set("empty", "");
    sandbox.set("a/b c%?#ü", "odd");
    sandbox
        .vault(&["set", "db", "--json", "--category", "web", "--tag", "x", "--meta", "owner=ann"])
        .stdin("{ \"host\": \"h\",\n \"port\":  5432 }")
        .run()
        .ok();
    sandbox.vault(&["set", "text", "-e", "prod"]).stdin("of prod").run().ok();
    sandbox.vault(&["set", "later", "--ttl", "30d", "-e", "prod"]).stdin("soon").run().ok();
    sandbox.vault(&["set", "old", "--ttl", "0s", "--category", "gone"]).stdin("v").run().ok();
    sandbox.write(
        "template",
        "a {{ vault://text }} {{ vault://db#host }} {{ vault://text?version=1 }} {{ vault://none | default \"d\" }}\n",
    );
    sandbox.write("broken", "{{ vault://none }}\n");
    for line in [
        "get text",
        "get bytes",
        "get empty",
        "get a/b\u{a0}c%?#ü",
        "get db",
        "get db port",
        "get db nothing",
        "get text --version 1",
        "get text --version 9",
        "get none",
        "get none --default x",
        "get text -e prod",
        "get db host -e prod",
        "get old",
        "list",
        "list -a",
        "list -e prod",
        "list --long",
        "list -a --long",
        "list --category web",
        "list --tag x --long",
        "list --match t*",
        "list --where owner=ann",
        "list --expired",
        "list -a --expires-within 40d",
        "list --due",
        "export --format dotenv --category web",
        "export --format shell --category web",
        "export --format json -e prod --category web",
        "export --format json --category none",
        "inject -i template",
        "inject -i broken",
        "run --only text,db -e prod --clean-env -- env",
        "run --map A=db#host --clean-env -- env",
        "run --only none -- true",
        "run --only text -- sh -c false",
    ] {
        let arguments: Vec<String> = line.split(' ').map(|word| word.replace('\u{a0}', " ")).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (here, there) = (sandbox.vault(&arguments).run(), scene.remote(&arguments).run());
        assert_eq!(
            (here.code, String::from_utf8_lossy(&here.stdout)),
            (there.code, String::from_utf8_lossy(&there.stdout)),
            "`{line}`: {}",
            there.stderr
        );
        let said = |output: &Output| output.stderr.lines().find(|line| line.starts_with("error: ")).map(str::to_owned);
        assert_eq!(said(&here), said(&there), "`{line}`");
    }
}

#[test]
fn listings_say_of_a_server_what_it_says() {
    let scene = Scene::new();
    let value = canary();
    scene.sandbox.set("text", &value);
    let listed = scene.remote(&["list", "--format", "json"]).run().ok();
    assert!(!listed.text().contains(&value));
    let entry = &listed.json()["entries"][0];
    assert_eq!(
        (&entry["name"], &entry["current_version"], &entry["versions"]),
        (&"text".into(), &1.into(), &serde_json::Value::Null)
    );
    let here = scene.sandbox.vault(&["list", "--format", "json"]).run().ok().json();
    assert_eq!(crate::sandbox::fields(entry), crate::sandbox::fields(&here["entries"][0]));
    let revealed = scene.remote(&["list", "--format", "json", "--reveal"]).run().ok().json();
    assert_eq!(revealed["entries"][0]["value"], value);
    // More than a page of them.
    let rows: String = (0..1100).map(|number| format!("N{number}=v{number}\n")).collect();
    scene.sandbox.vault(&["import", "-", "--format", "dotenv"]).stdin(rows).run().ok();
    assert_eq!(scene.remote(&["list"]).run().ok().text().lines().count(), 1101);
    assert_eq!(scene.remote(&["export", "--format", "dotenv"]).run().ok().text().lines().count(), 1101);
}

#[test]
fn what_is_written_is_in_the_vault() {
    let scene = Scene::new();
    let sandbox = &scene.sandbox;
    let set = |arguments: &[&str], value: &str| scene.remote(&[&["set"], arguments].concat()).stdin(value).run();
    let made = set(&["a", "--category", "web", "--tag", "x", "--meta", "owner=ann", "--ttl", "30d", "-v"], "one\n").ok();
    assert!(made.stdout.is_empty() && made.stderr.contains("'a' made version 1"), "{}", made.stderr);
    assert_eq!(sandbox.get("a"), b"one");
    let info = sandbox.vault(&["info", "a", "--format", "json"]).run().ok().json();
    assert_eq!((&info["category"], &info["tags"][0], &info["meta"]["owner"]), (&"web".into(), &"x".into(), &"ann".into()));
    assert!(info["expires"].is_string(), "{info}");
    // A new value without --ttl does not expire; what is not named stays.
    set(&["a"], "two\n").ok();
    let info = sandbox.vault(&["info", "a", "--format", "json"]).run().ok().json();
    assert_eq!(
        (&info["category"], &info["expires"], &info["current_version"]),
        (&"web".into(), &serde_json::Value::Null, &2.into())
    );
    set(&["a", "--meta-only", "--category", "", "--meta", "owner="], "").ok();
    let info = sandbox.vault(&["info", "a", "--format", "json"]).run().ok().json();
    assert_eq!(
        (&info["category"], &info["meta"], &info["current_version"]),
        (&serde_json::Value::Null, &serde_json::json!({}), &2.into())
    );
    set(&["none", "--meta-only", "--category", "x"], "").fails(3, "there is no entry 'none'");

    let bytes = scene.sandbox.write("bytes", [0xff, 0, 1]);
    set(&["b", "--from-file", bytes.to_str().unwrap()], "").ok();
    assert_eq!(sandbox.get("b"), [0xff, 0, 1]);
    set(&["c", "--generate", "hex:8", "-e", "prod"], "").ok();
    assert_eq!(sandbox.vault(&["get", "c", "-e", "prod"]).run().ok().stdout.len(), 16);
    set(&["j", "--json"], "{\"a\": 1}").ok();
    set(&["j", "--field", "b.c", "--json"], "[2]").ok();
    set(&["j", "--field", "d"], "text").ok();
    assert_eq!(sandbox.vault(&["get", "j"]).run().ok().on_one_line(), r#"{"a":1,"b":{"c":[2]},"d":"text"}"#);

    set(&["a", "--create-only"], "x").fails(6, "'a' exists already");
    set(&["a", "--if-version", "1"], "x").fails(6, "another version");
    set(&["a", "--if-version", "0"], "x").fails(6, "another version");
    set(&["a", "--if-version", "2"], "three").ok();
    assert_eq!(sandbox.get("a"), b"three");

    let rotated = scene.remote(&["rotate", "a", "--generate", "hex:8"]).run().ok();
    assert!(rotated.stderr.contains("'a' is at version 4"), "{}", rotated.stderr);
    assert_eq!(sandbox.vault(&["get", "a", "--previous"]).run().ok().stdout, b"three");
    scene.remote(&["rotate", "a"]).stdin("five\n").run().ok();
    assert_eq!(sandbox.get("a"), b"five");
    scene.remote(&["rotate", "none", "--generate", "pin:6"]).run().fails(3, "there is no entry 'none'");
    scene.remote(&["rotate", "a", "--generate", "pin:6", "--if-version", "1"]).run().fails(6, "another version");

    scene.remote(&["rm", "a", "none"]).run().fails(3, "there is no entry 'none'");
    assert_eq!(sandbox.get("a"), b"five");
    scene.remote(&["rm", "a", "b"]).run().ok();
    scene.remote(&["rm", "a"]).run().fails(3, "there is no entry 'a'");
    assert_eq!(sandbox.list(), ["j"]);
}

#[test]
fn fields_that_are_written_at_once_are_all_there() {
    let scene = Scene::new();
    scene.remote(&["set", "j", "--json"]).stdin("{}").run().ok();
    let runs: Vec<Child> =
        (0..8).map(|number| scene.remote(&["set", "j", "--field", &format!("f{number}")]).stdin("v").spawn()).collect();
    for run in runs {
        assert!(run.wait_with_output().unwrap().status.success());
    }
    let value: serde_json::Value = serde_json::from_slice(&scene.sandbox.get("j")).unwrap();
    assert_eq!(value.as_object().unwrap().len(), 8);
}

#[test]
fn a_token_is_taken_from_a_variable_or_a_file_and_goes_nowhere_else() {
    let scene = Scene::new();
    scene.sandbox.set("a", "value");
    let file = scene.sandbox.write("token", format!("{}\n", scene.token));
    let from_file = scene.remote(&["get", "a"]).without_env("VAULT_SERVER_TOKEN").env("VAULT_SERVER_TOKEN_FILE", &file);
    assert_eq!(from_file.run().ok().stdout, b"value");
    scene.remote(&["get", "a"]).without_env("VAULT_SERVER_TOKEN").run().fails(4, "there is no token");
    let missing = scene.remote(&["get", "a"]).without_env("VAULT_SERVER_TOKEN").env("VAULT_SERVER_TOKEN_FILE", "nowhere");
    assert_ne!(missing.run().code, 0);
    // What is no token of ours belongs to somebody else, and is not sent.
    let foreign = "hvs.CAESIJ";
    let refused = scene.at(&scene.server.addresses[0], foreign, &["get", "a"]).run().fails(4, "is none");
    assert!(!refused.stderr.contains(foreign));
    let secret = proof(&scene.token);
    let env = scene.remote(&["run", "--no-mask", "--only", "a", "--", "env"]).run().ok();
    assert!(env.text().contains("A=value") && !env.text().contains(secret), "{}", env.text());
    let (rest, last) = scene.token.split_at(scene.token.len() - 1);
    let wrong = format!("{rest}{}", if last == "A" { "B" } else { "A" });
    scene.at(&scene.server.addresses[0], &wrong, &["get", "a"]).run().ends(4);
    for name in ["VAULT_TOKEN", "VAULT_URL", "VAULT_ADDR"] {
        // Variables of other programs are passed over.
        assert_eq!(scene.sandbox.vault(&["get", "a"]).env(name, "http://127.0.0.1:1").run().ok().stdout, b"value");
    }
    scene.sandbox.vault(&["token", "revoke", "test"]).run().ok();
    wait_until("the end of the token", || scene.remote(&["get", "a"]).run().code == 4);
}

#[test]
fn a_token_opens_what_it_is_limited_to() {
    let scene = Scene::new();
    scene.sandbox.vault(&["set", "a", "--category", "web"]).stdin("1").run().ok();
    scene.sandbox.set("b", "2");
    let reader = token(&scene.sandbox, &["--read-only", "--category", "web"]);
    let run = |arguments: &[&str]| scene.at(&scene.server.addresses[0], &reader, arguments).stdin("x").run();
    assert_eq!(run(&["get", "a"]).ok().stdout, b"1");
    run(&["get", "b"]).fails(3, "there is no entry 'b'");
    assert_eq!(run(&["list"]).ok().text(), "a\n");
    assert_eq!(run(&["export", "--format", "dotenv"]).ok().text().lines().count(), 1);
    run(&["set", "a"]).fails(12, "Not permitted");
    run(&["rm", "a"]).fails(12, "Not permitted");
    run(&["rotate", "a", "--generate", "pin:6"]).fails(12, "Not permitted");
}

#[test]
fn the_network_has_an_exit_code_of_its_own() {
    let scene = Scene::new();
    let at = |address: &str| scene.at(address, &scene.token, &["get", "a"]).run();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", free.local_addr().unwrap());
    // Something that is no server of this program, and one that sends elsewhere.
    let other = free.try_clone().unwrap();
    let heard = Arc::new(Mutex::new(String::new()));
    let log = heard.clone();
    std::thread::spawn(move || {
        for answer in
            ["200 OK\r\ncontent-length: 2\r\n\r\nhi", "302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"]
        {
            let (mut stream, _) = other.accept().unwrap();
            let mut part = [0; 4096];
            let length = stream.read(&mut part).unwrap();
            log.lock().unwrap().push_str(&String::from_utf8_lossy(&part[..length]));
            stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).unwrap();
        }
    });
    at(&address).fails(14, "does not understand");
    at(&address).fails(14, "is no server of vault");
    assert!(heard.lock().unwrap().contains("GET /v1/entries/a HTTP/1.1"), "{}", heard.lock().unwrap());
    // Nobody answers.
    let slow = scene.at(&address, &scene.token, &["get", "a"]).env("VAULT_SERVER_TIMEOUT", "300ms").run();
    slow.fails(14, "cannot be reached");
    drop(free);
    at("http://127.0.0.1:1").fails(14, "cannot be reached");
    at("unix:/nowhere/socket").fails(14, "cannot be reached");
    at("https://localhost:1").ends(14);
    let json = scene.at("http://127.0.0.1:1", &scene.token, &["list", "--errors", "json"]).run().ends(14);
    assert!(json.stderr.contains("\"code\":\"network\"") && json.stderr.contains("\"exit_code\":14"), "{}", json.stderr);

    for (address, code, words) in [
        ("http://example.org", 12, "in the clear"),
        ("ftp://127.0.0.1", 2, "the address of a server"),
        ("127.0.0.1:9000", 2, "the address of a server"),
        ("http://me:canary@127.0.0.1", 2, "no name and no password"),
        ("unix:", 2, "lacks the path"),
    ] {
        let refused = at(address).fails(code, words);
        assert!(!refused.stderr.contains("canary"));
    }
}

#[test]
fn what_needs_the_file_is_refused_with_a_server() {
    let scene = Scene::new();
    scene.sandbox.set("a", "1");
    for line in [
        "info a",
        "key list",
        "history a",
        "token list",
        "mv a b",
        "check",
        "audit show",
        "rotate --due",
        "rotate a --every 1d",
        "rm a --purge",
        "rm a --force",
        "run --watch -- true",
        "list --unused 1d",
        "get a --previous",
    ] {
        let run = scene
            .remote(&line.split(' ').collect::<Vec<_>>())
            .env("VAULT_FILE", scene.sandbox.file())
            .env("VAULT_KEY_FILE", scene.sandbox.key());
        let refused = run.run().ends(2);
        assert!(refused.stdout.is_empty() && refused.stderr.contains("server"), "`{line}`: {}", refused.stderr);
    }
    assert_eq!(scene.sandbox.list(), ["a"]);
    // A file that is named goes before the variable, and two places are none.
    let file = scene.sandbox.file();
    let named = scene.remote(&["info", "a", "--vault", file.to_str().unwrap()]).env("VAULT_KEY_FILE", scene.sandbox.key());
    named.run().ok();
    scene.remote(&["get", "a", "--server", "http://127.0.0.1:1", "--vault", "x"]).run().fails(2, "two places");
    let option = scene.at("http://127.0.0.1:1", &scene.token, &["get", "a", "--server", &scene.server.addresses[0]]);
    assert_eq!(option.run().ok().stdout, b"1");
}

#[test]
fn a_server_is_reached_over_a_socket_and_over_tls() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "value");
    let socket = sandbox.path("runtime/server.sock");
    let place = format!("unix:{}", socket.display());
    let server = Server::start(&sandbox, &["--listen", &place]);
    let token = token(&sandbox, &[]);
    let scene = Scene { sandbox, server, token };
    assert_eq!(scene.at(&place, &scene.token, &["get", "a"]).run().ok().stdout, b"value");
    scene.at(&place, &scene.token, &["set", "big", "--raw"]).stdin(vec![b'x'; 500_000]).run().ok();
    assert_eq!(scene.at(&place, &scene.token, &["get", "big"]).run().ok().stdout.len(), 500_000);
    assert_eq!(scene.at(&place, &scene.token, &["list"]).run().ok().text(), "a\nbig\n");

    if !is_installed("openssl") {
        return;
    }
    let make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout key.pem -out cert.pem -subj /CN=localhost \
                -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE 2>&1";
    scene.sandbox.shell(make).run().ok();
    let tls = Server::start(&scene.sandbox, &["--listen", "127.0.0.1:0", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let address = &tls.addresses[0];
    assert!(address.starts_with("https://"), "{address}");
    let trusting = |address: &str| scene.at(address, &scene.token, &["get", "a"]).env("VAULT_SERVER_CA", "cert.pem").run();
    assert_eq!(trusting(address).ok().stdout, b"value");
    assert_eq!(trusting(&address.replace("127.0.0.1", "localhost")).ok().stdout, b"value");
    scene.at(address, &scene.token, &["get", "a"]).run().ends(14);
    let client = Server::start(
        &scene.sandbox,
        &["--listen", "127.0.0.1:0", "--tls-cert", "cert.pem", "--tls-key", "key.pem", "--client-ca", "cert.pem"],
    );
    trusting(&client.addresses[0]).ends(14);
}
