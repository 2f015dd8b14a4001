//! Who may do what: every route of the table × every kind of caller. A route without a row here fails.

use std::collections::BTreeSet;

use vault::serve::auth::Access;
use vault::serve::routes;

use crate::sandbox::Sandbox;
use crate::server::{KEY, Reply, Server, patiently, sandbox, token};
use crate::users::{PASSWORD, Scene, session_of};

/// Who asks, in the order of the columns; the last column is for an administrator's token while the vault is sealed.
const CALLERS: [&str; 9] = ["none", "wrong", "expired", "revoked", "other scope", "reader", "writer", "admin", "passphrase"];

/// What each of them gets: `o` is heard (whatever comes of it), `a` 401, `f` 403, `h` 422 for a header that is missing, `s` 503 because it is
/// sealed; `e` is heard as well, and gets nothing of the entry.
const ROWS: &[(&str, &str, &str, &str)] = &[
    ("GET", "/", "", "oooooooooo"),
    ("GET", "/health", "", "oooooooooo"),
    ("GET", "/ready", "", "ooooooooos"),
    ("GET", "/metrics", "", "oooooooooo"),
    ("GET", "/stats", "", "haaaooooos"),
    ("GET", "/v1/sys/seal-status", "", "oooooooooo"),
    ("POST", "/v1/sys/unseal", "{}", "oooooooooo"),
    ("POST", "/v1/sys/seal", "", "aaaafffoos"),
    ("GET", "/configs", "", "haaaoofoos"),
    ("POST", "/configs", r#"{"key":"new","value":{}}"#, "haaaffooos"),
    ("GET", "/configs/{*key}", "", "haaafofoos"),
    ("PUT", "/configs/{*key}", r#"{"value":{}}"#, "haaaffooos"),
    ("DELETE", "/configs/{*key}", "", "haaaffooos"),
    ("GET", "/sse/subscribe", "", "haaaoofoos"),
    ("POST", "/backup", "", "haaaeofoos"),
    ("POST", "/import", "", "haaaofooos"),
    ("GET", "/v1/entries", "", "aaaaeofoos"),
    ("POST", "/v1/entries", r#"{"name":"new","value":"x"}"#, "aaaaffooos"),
    ("GET", "/v1/entries/{*name}", "", "aaaafofoos"),
    ("PUT", "/v1/entries/{*name}", r#"{"value":"x"}"#, "aaaaffooos"),
    ("PATCH", "/v1/entries/{*name}", r#"{"tags":["t"]}"#, "aaaaffooos"),
    ("DELETE", "/v1/entries/{*name}", "", "aaaaffooos"),
    ("POST", "/v1/copy/{*name}", r#"{"name":"new"}"#, "aaaaffooos"),
    ("POST", "/v1/move/{*name}", r#"{"name":"new"}"#, "aaaaffooos"),
    ("GET", "/v1/history/{*name}", "", "aaaafofoos"),
    ("POST", "/v1/rollback/{*name}", r#"{"version":1}"#, "aaaaffooos"),
    ("POST", "/v1/rotate/{*name}", r#"{"generate":"hex:16"}"#, "aaaafffoos"),
    ("GET", "/v1/stats", "", "aaaaeofoos"),
    ("GET", "/v1/events", "", "aaaaeofoos"),
    ("POST", "/v1/batch", r#"{"entries":[{"name":"k"}]}"#, "aaaaeofoos"),
    ("POST", "/v1/export", "{}", "aaaaeofoos"),
    ("POST", "/v1/generate", "{}", "aaaaooooos"),
    ("GET", "/v1/audit", "", "aaaafffoos"),
    ("GET", "/v1/keys", "", "aaaafffoos"),
    ("GET", "/v1/tokens", "", "aaaafffoos"),
    ("POST", "/v1/tokens", r#"{"label":"x","rights":["read"]}"#, "aaaafffoos"),
    ("GET", "/v1/tokens/{id}", "", "aaaafffoos"),
    ("DELETE", "/v1/tokens/{id}", "", "aaaafffoos"),
    ("GET", "/openapi.json", "", "oooooooooo"),
    ("GET", "/docs", "", "oooooooooo"),
    ("GET", "/docs/{file}", "", "oooooooooo"),
    ("GET", "/redoc", "", "oooooooooo"),
    ("POST", "/vault/secret/create", r#"{"secret":"eA=="}"#, "aaaaffooos"),
    ("POST", "/vault/secret/fetch", r#"{"secret_id":"11111111-1111-4111-8111-111111111111"}"#, "aaaafofoos"),
    ("POST", "/register", r#"{"username":"new","email":"a@example.org","password":"Abcdefg1!"}"#, "ooooooooos"),
    ("POST", "/login", r#"{"username":"nobody","password":"x"}"#, "ooooooooos"),
    ("POST", "/send-otp", r#"{"username":"nobody"}"#, "ooooooooos"),
    ("POST", "/verify-otp", r#"{"username":"nobody","otp":"000000"}"#, "ooooooooos"),
    // Of what is for users neither tokens nor passphrases are worth anything; sessions have a table of their own.
    ("POST", "/logout", "", "aaaaaaaaas"),
    ("POST", "/change-password", r#"{"current_password":"x","new_password":"Abcdefg1!"}"#, "aaaaaaaaas"),
    ("POST", "/2fa/enroll", r#"{"password":"x"}"#, "aaaaaaaaas"),
    ("POST", "/2fa/confirm", r#"{"otp":"000000"}"#, "aaaaaaaaas"),
    ("POST", "/2fa/disable", r#"{"password":"x"}"#, "aaaaaaaaas"),
    ("POST", "/2fa/recovery-codes", r#"{"password":"x"}"#, "aaaaaaaaas"),
    ("GET", "/account", "", "aaaaaaaaas"),
    ("DELETE", "/account", r#"{"password":"x"}"#, "aaaaaaaaas"),
    ("GET", "/account/export", "", "aaaaaaaaas"),
    ("GET", "/sensitive-data", "", "aaaaaaaaas"),
    ("POST", "/sensitive-data", r#"{"data_type":"note","value":"x"}"#, "aaaaaaaaas"),
    ("PUT", "/sensitive-data/{id}", r#"{"data_type":"note","value":"x"}"#, "aaaaaaaaas"),
    ("DELETE", "/sensitive-data/{id}", "", "aaaaaaaaas"),
    ("POST", "/rotate-master-key", "", "aaaaaaaaas"),
    ("GET", "/users", "", "aaaaaaaaas"),
    ("POST", "/users", "{}", "aaaaaaaaas"),
    ("GET", "/users/{*username}", "", "aaaaaaaaas"),
    ("PATCH", "/users/{*username}", "{}", "aaaaaaaaas"),
    ("DELETE", "/users/{*username}", "", "aaaaaaaaas"),
];

/// Each of these routes has a row, and each row is one of them.
#[track_caller]
fn are_rows_of<'a>(of: impl Fn(Access) -> bool, rows: impl Iterator<Item = (&'a str, &'a str)>) {
    let rows: Vec<(String, &str)> = rows.map(|(method, path)| (method.to_owned(), path)).collect();
    let routes = routes::all().into_iter().filter(|route| of(route.info.access));
    let routes: BTreeSet<(String, &str)> = routes.map(|route| (route.method.to_string(), route.info.path)).collect();
    assert_eq!(rows.iter().cloned().collect::<BTreeSet<_>>(), routes, "each route has a row, and each row a route");
    assert_eq!(rows.len(), routes.len(), "and one only");
}

/// A path of a template.
fn filled(template: &str) -> String {
    let names = [("{*key}", "k"), ("{*name}", "k"), ("{id}", "0011223344556677"), ("{*username}", "x"), ("{file}", "none")];
    names.iter().fold(template.to_owned(), |path, (name, value)| path.replace(name, value))
}

/// What nobody has to ask for: no page frames it, guesses what it is, tells from where it was reached, or keeps it.
#[track_caller]
fn goes_with_every_response(reply: &Reply) {
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
    ] {
        let said: Vec<&str> = reply.headers.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect();
        assert_eq!(said, [value], "{name} of {reply:?}");
    }
    let policy = reply.header("content-security-policy").unwrap_or_else(|| panic!("no policy: {reply:?}"));
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(reply.header("x-request-id").is_some_and(|id| !id.is_empty()), "{reply:?}");
}

#[test]
fn every_route_while_it_is_sealed() {
    let sandbox = sandbox();
    sandbox.set("k", "a value of k");
    let bearer = format!("Bearer {}", token(&sandbox, &["--admin"]));
    std::fs::create_dir(sandbox.path("work/outbox")).unwrap();
    let server = Server::start(&sandbox, &["--sealed", "--log-format", "quiet", "--mail-outbox", "outbox"]);
    for (method, path, body, expected) in ROWS {
        let reply = server.ask(method, &filled(path), &[("authorization", &bearer), ("x-backup-password", "a password")], body);
        goes_with_every_response(&reply);
        let is_as_expected = match expected.chars().next_back() {
            Some('o') => ![401, 403].contains(&reply.status) && reply.status < 500,
            Some('s') => reply.status == 503 && reply.body.contains("sealed"),
            other => panic!("what is {other:?}, of {method} {path} while it is sealed?"),
        };
        assert!(is_as_expected, "{method} {path}: {} {}", reply.status, reply.body);
        assert!(!reply.body.contains("a value of k"), "{method} {path}");
    }
    // Nothing of all that opened it.
    assert_eq!(server.ask("GET", "/v1/sys/seal-status", &[], "").is(200).json()["sealed"], true);
}

#[test]
fn no_route_sends_back_what_was_asked() {
    let sandbox = sandbox();
    let bearer = format!("Bearer {}", token(&sandbox, &["--admin"]));
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    for (_, path, ..) in ROWS {
        let reply = server.ask("TRACE", &filled(path), &[("authorization", &bearer)], "").is(405);
        goes_with_every_response(&reply);
        assert!(!reply.body.contains("vault_"), "{path}: {}", reply.body);
    }
    let reply = server.ask("TRACE", "/none/such", &[("authorization", &bearer)], "").is(404);
    goes_with_every_response(&reply);
    assert!(!reply.body.contains("vault_"), "{}", reply.body);
}

/// What sessions are for, and what nobody, a reader, a writer and an administrator gets of it: `a` 401, `f` 403, `o` what stands behind it. Where a
/// request would take away what the next needs it is none that works; but it is heard.
const ROLES: &[(&str, &str, &str, &str, u16)] = &[
    ("POST", "/change-password", "{}", "aooo", 422),
    ("POST", "/2fa/enroll", "{}", "aooo", 422),
    ("POST", "/2fa/confirm", "{}", "aooo", 422),
    ("POST", "/2fa/disable", "{}", "aooo", 422),
    ("POST", "/2fa/recovery-codes", "{}", "aooo", 422),
    ("GET", "/account", "", "aooo", 200),
    ("DELETE", "/account", "{}", "aooo", 422),
    ("GET", "/account/export", "", "aooo", 200),
    ("GET", "/sensitive-data", "", "aooo", 200),
    ("POST", "/sensitive-data", r#"{"data_type":"note","value":"x"}"#, "afoo", 200),
    ("PUT", "/sensitive-data/{id}", r#"{"data_type":"note","value":"x"}"#, "afoo", 404),
    ("DELETE", "/sensitive-data/{id}", "", "afoo", 404),
    ("POST", "/rotate-master-key", "", "affo", 200),
    ("GET", "/users", "", "affo", 200),
    ("POST", "/users", "{}", "affo", 422),
    ("GET", "/users/{*username}", "", "affo", 404),
    ("PATCH", "/users/{*username}", "{}", "affo", 404),
    ("DELETE", "/users/{*username}", "", "affo", 404),
    // Last: it ends the session.
    ("POST", "/logout", "", "aooo", 200),
];

#[test]
fn every_route_of_users_by_every_role() {
    are_rows_of(|access| matches!(access, Access::Session(_)), ROLES.iter().map(|(method, path, ..)| (*method, *path)));
    let scene = Scene::new();
    let sessions: Vec<String> = ["reader", "writer", "admin"]
        .into_iter()
        .map(|role| {
            let add = ["user", "add", role, "--role", role, "--email", "x@example.org"];
            scene.sandbox.vault(&add).stdin(PASSWORD).run().ok();
            format!("Bearer {}", session_of(&scene.login(role, PASSWORD).is(200)))
        })
        .collect();
    let callers = || std::iter::once(None).chain(sessions.iter().map(Some));
    for (method, path, body, expected, status) in ROLES {
        assert_eq!(expected.len(), callers().count());
        for (caller, letter) in callers().zip(expected.chars()) {
            let headers: Vec<(&str, &str)> = caller.iter().map(|session| ("authorization", session.as_str())).collect();
            let reply = patiently(|| scene.server.ask(method, &filled(path), &headers, body));
            goes_with_every_response(&reply);
            match letter {
                'a' => drop(reply.says(401, "Not authenticated")),
                'f' => drop(reply.says(403, "Not permitted")),
                'o' => assert_eq!(reply.status, *status, "{method} {path}: {}", reply.body),
                other => panic!("what is {other:?}, of {method} {path}?"),
            }
        }
    }
}

#[test]
fn every_route_by_every_caller() {
    are_rows_of(|_| true, ROWS.iter().map(|(method, path, ..)| (*method, *path)));
    assert!(ROWS.iter().all(|(.., expected)| expected.len() == CALLERS.len() + 1));

    let sandbox = sandbox();
    sandbox.set("k", "a value of k");
    std::fs::create_dir(sandbox.path("work/outbox")).unwrap();
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
        let server = Server::start(&sandbox, &["--log-format", "quiet", "--mail-outbox", "outbox"]);
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
                patiently(|| server.ask(method, &filled(path), &headers, body))
            };
            goes_with_every_response(&reply);
            // Nothing is broken, whoever asks.
            assert!(reply.status < 500, "{method} {path} by {caller}: {reply:?}");
            let is_as_expected = match letter {
                'a' => reply.status == 401,
                'f' => reply.status == 403,
                'h' => reply.status == 422 && (*path == "/sse/subscribe" || reply.body.contains("x-user-key")),
                'e' => reply.status != 401 && !reply.body.contains("a value of k"),
                'o' => ![401, 403].contains(&reply.status) && !reply.body.contains(r#"["header","x-user-key"]"#),
                other => panic!("what is {other:?}, of {method} {path} by {caller}?"),
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
    // A test that is slow to ask sees nothing of it: of five times, once.
    assert!((0..5).any(|_| guessing_keeps_nobody_out(&sandbox)), "who is known waits for those who guess");
}

/// Guesses at a server of its own. Returns whether somebody who is known was answered twenty times before all guesses were.
fn guessing_keeps_nobody_out(sandbox: &Sandbox) -> bool {
    let server = Server::start(sandbox, &["--log-format", "quiet"]);
    server.with_key("GET", "/configs/k", "").is(200);
    let start = std::time::Instant::now();
    let mut keeps_nobody_out = false;
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
        keeps_nobody_out = asking.iter().any(|asking| !asking.is_finished());
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
    let peak = server.memory("VmHWM");
    assert!(peak < 700 << 10, "{peak} KiB");
    keeps_nobody_out
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
