//! Who may do what: every route of the table × every kind of caller. A route without a row here fails.

use std::collections::BTreeSet;

use vault::serve::routes;

use crate::server::{KEY, Server, sandbox, token};

/// Who asks, in the order of the columns.
const CALLERS: [&str; 9] = ["none", "wrong", "expired", "revoked", "other scope", "reader", "writer", "admin", "passphrase"];

/// What each of them gets: `o` is heard (whatever comes of it), `a` 401, `f` 403, `h` 422 for a header that is missing; `e` is heard as well, and gets
/// nothing of the entry.
const ROWS: &[(&str, &str, &str, &str)] = &[
    ("GET", "/", "", "ooooooooo"),
    ("GET", "/health", "", "ooooooooo"),
    ("GET", "/ready", "", "ooooooooo"),
    ("GET", "/metrics", "", "ooooooooo"),
    ("GET", "/stats", "", "haaaooooo"),
    ("GET", "/v1/sys/seal-status", "", "ooooooooo"),
    ("POST", "/v1/sys/unseal", "{}", "ooooooooo"),
    ("POST", "/v1/sys/seal", "", "aaaafffoo"),
    ("GET", "/configs", "", "haaaoofoo"),
    ("POST", "/configs", r#"{"key":"new","value":{}}"#, "haaafFooo"),
    ("GET", "/configs/{*key}", "", "haaafofoo"),
    ("PUT", "/configs/{*key}", r#"{"value":{}}"#, "haaafFooo"),
    ("DELETE", "/configs/{*key}", "", "haaafFooo"),
    ("GET", "/sse/subscribe", "", "haaaoofoo"),
    ("POST", "/backup", "", "haaaeofoo"),
    ("POST", "/import", "", "haaaofooo"),
    ("GET", "/v1/entries", "", "aaaaeofoo"),
    ("POST", "/v1/entries", r#"{"name":"new","value":"x"}"#, "aaaaffooo"),
    ("GET", "/v1/entries/{*name}", "", "aaaafofoo"),
    ("PUT", "/v1/entries/{*name}", r#"{"value":"x"}"#, "aaaaffooo"),
    ("PATCH", "/v1/entries/{*name}", r#"{"tags":["t"]}"#, "aaaaffooo"),
    ("DELETE", "/v1/entries/{*name}", "", "aaaaffooo"),
    ("POST", "/v1/copy/{*name}", r#"{"name":"new"}"#, "aaaaffooo"),
    ("POST", "/v1/move/{*name}", r#"{"name":"new"}"#, "aaaaffooo"),
    ("GET", "/v1/history/{*name}", "", "aaaafofoo"),
    ("POST", "/v1/rollback/{*name}", r#"{"version":1}"#, "aaaaffooo"),
    ("POST", "/v1/rotate/{*name}", r#"{"generator":"hex:16"}"#, "aaaafffoo"),
    ("GET", "/v1/stats", "", "aaaaeofoo"),
    ("GET", "/v1/events", "", "aaaaeofoo"),
    ("POST", "/v1/batch", r#"{"entries":[{"name":"k"}]}"#, "aaaaeofoo"),
    ("POST", "/v1/export", "{}", "aaaaeofoo"),
    ("POST", "/v1/generate", "{}", "aaaaooooo"),
    ("GET", "/v1/audit", "", "aaaafffoo"),
    ("GET", "/v1/keys", "", "aaaafffoo"),
    ("GET", "/v1/tokens", "", "aaaafffoo"),
    ("POST", "/v1/tokens", r#"{"label":"x","rights":["read"]}"#, "aaaafffoo"),
    ("GET", "/v1/tokens/{id}", "", "aaaafffoo"),
    ("DELETE", "/v1/tokens/{id}", "", "aaaafffoo"),
    ("GET", "/openapi.json", "", "ooooooooo"),
    ("GET", "/docs", "", "ooooooooo"),
    ("GET", "/docs/{file}", "", "ooooooooo"),
    ("GET", "/redoc", "", "ooooooooo"),
    ("POST", "/vault/secret/create", r#"{"secret":"eA=="}"#, "aaaafFooo"),
    ("POST", "/vault/secret/fetch", r#"{"secret_id":"11111111-1111-4111-8111-111111111111"}"#, "aaaafofoo"),
    ("POST", "/register", r#"{"username":"new","email":"a@example.org","password":"Abcdefg1!"}"#, "ooooooooo"),
    ("POST", "/login", r#"{"username":"nobody","password":"x"}"#, "ooooooooo"),
    ("POST", "/send-otp", r#"{"username":"nobody"}"#, "ooooooooo"),
    ("POST", "/verify-otp", r#"{"username":"nobody","otp":"000000"}"#, "ooooooooo"),
    // Of what is for users neither tokens nor passphrases are worth anything; sessions have a table of their own.
    ("POST", "/logout", "", "aaaaaaaaa"),
    ("POST", "/change-password", r#"{"current_password":"x","new_password":"Abcdefg1!"}"#, "aaaaaaaaa"),
    ("POST", "/2fa/enroll", r#"{"password":"x"}"#, "aaaaaaaaa"),
    ("POST", "/2fa/confirm", r#"{"otp":"000000"}"#, "aaaaaaaaa"),
    ("POST", "/2fa/disable", r#"{"password":"x"}"#, "aaaaaaaaa"),
    ("POST", "/2fa/recovery-codes", r#"{"password":"x"}"#, "aaaaaaaaa"),
    ("GET", "/account", "", "aaaaaaaaa"),
    ("DELETE", "/account", r#"{"password":"x"}"#, "aaaaaaaaa"),
    ("GET", "/account/export", "", "aaaaaaaaa"),
    ("GET", "/sensitive-data", "", "aaaaaaaaa"),
    ("POST", "/sensitive-data", r#"{"data_type":"note","value":"x"}"#, "aaaaaaaaa"),
    ("PUT", "/sensitive-data/{id}", r#"{"data_type":"note","value":"x"}"#, "aaaaaaaaa"),
    ("DELETE", "/sensitive-data/{id}", "", "aaaaaaaaa"),
    ("POST", "/rotate-master-key", "", "aaaaaaaaa"),
    ("GET", "/users", "", "aaaaaaaaa"),
    ("POST", "/users", "{}", "aaaaaaaaa"),
    ("GET", "/users/{*username}", "", "aaaaaaaaa"),
    ("PATCH", "/users/{*username}", "{}", "aaaaaaaaa"),
    ("DELETE", "/users/{*username}", "", "aaaaaaaaa"),
];

#[test]
fn every_route_by_every_caller() {
    let rows: BTreeSet<(String, &str)> = ROWS.iter().map(|(method, path, ..)| ((*method).to_owned(), *path)).collect();
    let routes: BTreeSet<(String, &str)> =
        routes::all().iter().map(|route| (route.method.to_string(), route.info.path)).collect();
    assert_eq!(rows, routes, "each route has a row, and each row a route");

    let sandbox = sandbox();
    sandbox.set("k", "a value of k");
    sandbox.vault(&["set", "11111111-1111-4111-8111-111111111111", "--category", "secret"]).stdin("x").run().ok();
    let expired = token(&sandbox, &["--admin", "--expires", "1s"]);
    let revoked = token(&sandbox, &["--admin"]);
    sandbox.vault(&["token", "revoke", revoked.split('_').nth(1).unwrap()]).run().ok();
    let other = token(&sandbox, &["--read", "--write", "--name", "nothing/*"]);
    let (reader, writer, admin) = (token(&sandbox, &["--read"]), token(&sandbox, &["--write"]), token(&sandbox, &["--admin"]));
    let wrong = format!("vault_0011223344556677_{}A", "A".repeat(42));
    std::thread::sleep(std::time::Duration::from_millis(1100));

    for (method, path, body, expected) in ROWS {
        // A server of its own for each: what is wrong is counted.
        let server = Server::start(&sandbox, &["--log-format", "quiet"]);
        for (at, (caller, letter)) in CALLERS.iter().zip(expected.chars()).enumerate() {
            let bearer = |token: &str| vec![("authorization".to_owned(), format!("Bearer {token}"))];
            let headers = match at {
                0 => vec![],
                1 => bearer(&wrong),
                2 => bearer(&expired),
                3 => bearer(&revoked),
                4 => bearer(&other),
                5 => bearer(&reader),
                6 => bearer(&writer),
                7 => vec![("x-api-key".to_owned(), admin.clone())],
                _ => vec![("x-user-key".to_owned(), KEY.to_owned())],
            };
            let mut headers = headers;
            headers.push(("x-backup-password".to_owned(), "a password".to_owned()));
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let reply = if ["/sse/subscribe", "/v1/events"].contains(path) {
                let mut client = crate::server::Client::connect(server.address);
                let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n{lines}\r\n").as_bytes());
                client.reply(true)
            } else {
                server.ask(
                    method,
                    &path
                        .replace("{*key}", "k")
                        .replace("{*name}", "k")
                        .replace("{id}", "0011223344556677")
                        .replace("{*username}", "x"),
                    &headers,
                    body,
                )
            };
            let is_as_expected = match letter {
                'a' => reply.status == 401,
                'f' | 'F' => reply.status == 403,
                'n' => reply.status == 404,
                'h' => reply.status == 422 && (*path == "/sse/subscribe" || reply.body.contains("x-user-key")),
                'e' => reply.status != 401 && !reply.body.contains("a value of k"),
                _ => ![401, 403].contains(&reply.status) && !reply.body.contains(r#"["header","x-user-key"]"#),
            };
            let said: String = reply.body.chars().take(300).collect();
            assert!(is_as_expected, "{method} {path} by {caller}: {} {said}", reply.status);
            // What was refused changed nothing.
            match letter {
                'o' => sandbox.set("k", "a value of k"),
                _ => assert_eq!(sandbox.get("k"), b"a value of k"),
            }
            sandbox.vault(&["rm", "new", "--force", "-q"]).run();
        }
    }
}

#[test]
fn a_token_sees_its_part_and_nothing_else() {
    let sandbox = sandbox();
    for (name, category, environment) in [("a", "db", ""), ("b", "db", "prod"), ("c", "ci", ""), ("d", "", "")] {
        let mut arguments = vec!["set", name];
        if !category.is_empty() {
            arguments.extend(["--category", category]);
        }
        if !environment.is_empty() {
            arguments.extend(["-e", environment]);
        }
        sandbox.vault(&arguments).stdin("v").run().ok();
    }
    let server = Server::start(&sandbox, &[]);
    let bearer = format!("Bearer {}", token(&sandbox, &["--read", "--write", "--category", "db"]));
    let ask = |method: &str, path: &str, body: &str| server.ask(method, path, &[("authorization", &bearer)], body);
    let names = |path: &str| {
        let list = ask("GET", path, "").is(200).json();
        let mut names: Vec<String> = list.as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names("/configs"), ["a", "b"]);
    assert_eq!(ask("GET", "/stats", "").json()["total_keys"], 2);
    ask("GET", "/configs/a", "").is(200);
    // What is of another category is not there; nor can it be taken over or taken out.
    for name in ["c", "d"] {
        ask("GET", &format!("/configs/{name}"), "").is(404);
        ask("PUT", &format!("/configs/{name}"), r#"{"value":{},"category":"db"}"#).is(404);
        ask("DELETE", &format!("/configs/{name}"), "").is(404);
    }
    ask("PUT", "/configs/a", r#"{"value":{},"category":"ci"}"#).is(403);
    ask("PUT", "/configs/a", r#"{"value":{},"category":""}"#).is(403);
    ask("POST", "/configs", r#"{"key":"e","value":{}}"#).is(403);
    ask("POST", "/configs", r#"{"key":"e","value":{},"category":"db"}"#).is(201);
    assert_eq!((sandbox.get("c"), sandbox.get("d")), (b"v".to_vec(), b"v".to_vec()));
}

#[test]
fn uses_are_counted_once_each_and_networks_hold() {
    let sandbox = sandbox();
    sandbox.set("k", "value");
    let server = Server::start(&sandbox, &[]);
    let bearer = format!("Bearer {}", token(&sandbox, &["--read", "--uses", "3"]));
    // At once: no two count as one.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> =
            (0..12).map(|_| scope.spawn(|| server.ask("GET", "/configs/k", &[("authorization", &bearer)], "").status)).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 3, "{statuses:?}");
    let elsewhere = format!("Bearer {}", token(&sandbox, &["--read", "--network", "10.0.0.0/8"]));
    server.ask("GET", "/configs/k", &[("authorization", &elsewhere)], "").is(403);
    // Nobody is somewhere else because they say so.
    server.ask("GET", "/configs/k", &[("authorization", &elsewhere), ("x-forwarded-for", "10.1.1.1")], "").is(403);
    let proxied = Server::start(&sandbox, &["--trusted-proxy", "127.0.0.1"]);
    proxied.ask("GET", "/configs/k", &[("authorization", &elsewhere), ("x-forwarded-for", "10.1.1.1")], "").is(200);
    let closed = Server::start(&sandbox, &["--allow", "10.0.0.0/8"]);
    closed.with_key("GET", "/configs/k", "").is(403);
}

#[test]
fn keys_are_not_guessed_and_guessing_keeps_nobody_out() {
    let sandbox = sandbox();
    sandbox.set("k", "value");
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    server.with_key("GET", "/configs/k", "").is(200);
    let start = std::time::Instant::now();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..200)
            .map(|number| {
                let key = format!("wrong key number {number}");
                let server = &server;
                scope.spawn(move || server.ask("GET", "/configs/k", &[("x-user-key", &key)], ""))
            })
            .collect();
        // Meanwhile whoever is known already is answered.
        for _ in 0..20 {
            server.with_key("GET", "/configs/k", "").is(200);
        }
        assert!(asking.iter().any(|asking| !asking.is_finished()), "who is known waits for those who guess");
        asking
            .into_iter()
            .map(|asking| {
                let reply = asking.join().unwrap();
                assert!(reply.status == 401 || reply.header("retry-after").is_some(), "{reply:?}");
                reply.status
            })
            .collect()
    });
    let wrong = statuses.iter().filter(|status| **status == 401).count();
    // Twenty at once, and one more each six seconds.
    let most = 20 + start.elapsed().as_secs() as usize / 6;
    assert!(wrong <= most && statuses.iter().all(|status| [401, 429].contains(status)), "{wrong} were tried");
    // Two derivations take half a gigabyte; all of them would have taken fifty.
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    let peak: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(peak < 700 << 10, "{peak} KiB");
}

#[test]
fn a_slot_that_goes_lets_nobody_in_any_more() {
    let sandbox = sandbox();
    sandbox.set("k", "value");
    sandbox.vault(&["key", "add", "--label", "leaver", "--new-passphrase"]).stdin("a key of a leaver").run().ok();
    let server = Server::start(&sandbox, &[]);
    let leaver = [("x-user-key", "a key of a leaver")];
    server.ask("GET", "/configs/k", &leaver, "").is(200);
    sandbox.vault(&["key", "remove", "leaver", "--force"]).run().ok();
    server.ask("GET", "/configs/k", &leaver, "").says(401, "Invalid user key");
    // Everybody else goes on, over the change of all keys.
    server.with_key("GET", "/configs/k", "").is(200);
}

#[test]
fn a_limited_key_reads_its_part() {
    let sandbox = sandbox();
    sandbox.vault(&["set", "in", "--category", "ci"]).stdin("1").run().ok();
    sandbox.vault(&["set", "out", "--category", "db"]).stdin("2").run().ok();
    let arguments = ["key", "add", "--label", "part", "--only", "category:ci", "--new-passphrase"];
    sandbox.vault(&arguments).stdin("a key for a part").run().ok();
    let server = Server::start(&sandbox, &[]);
    let part = [("x-user-key", "a key for a part")];
    assert_eq!(server.ask("GET", "/configs/in", &part, "").is(200).json()["value"], "1");
    server.ask("GET", "/configs/out", &part, "").is(403);
    server.ask("PUT", "/configs/in", &part, r#"{"value":{}}"#).is(403);
    // One that does not open fails no list.
    assert_eq!(server.ask("GET", "/configs", &part, "").is(200).json().as_array().unwrap().len(), 1);
}
