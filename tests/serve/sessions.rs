//! Sessions: whose they are, when they end, and what nobody may do with one.

use serde_json::{Value, json};

use crate::server::{Server, patiently};
use crate::users::{PASSWORD, Scene, User, session_of};

#[test]
fn what_is_one_users_is_nothing_to_another() {
    let scene = Scene::new();
    let (ann, bob) = (scene.user("ann"), scene.user("bob"));
    let kept = ann.ask("POST", "/sensitive-data", &json!({ "data_type": "note", "value": "of ann" })).is(200).json();
    let id = kept["id"].as_str().unwrap();
    assert_eq!(bob.get("/sensitive-data").is(200).json(), json!([]));
    let body = json!({ "data_type": "note", "value": "of bob" });
    let upper = id.to_uppercase();
    for id in [id, "000000000000000000000000", "x", "%00", "..%2f..", &upper, &format!("{id}0"), &id[1..]] {
        let path = format!("/sensitive-data/{id}");
        let (put, delete) = (bob.ask("PUT", &path, &body), bob.ask("DELETE", &path, &Value::Null));
        for reply in [put, delete] {
            reply.says(404, "Data not found or not authorized");
        }
    }
    assert_eq!(ann.get("/sensitive-data").json(), json!([kept]));
    // Neither is anything of the vault, nor is it theirs what tokens open.
    for path in ["/configs", "/v1/entries", "/v1/tokens", "/users", "/users/ann"] {
        assert!([401, 403].contains(&ann.get(path).status), "{path}");
    }
    let export = ann.get("/account/export").is(200).json();
    assert_eq!((&export["account"]["username"], &export["sensitive_data"][0]["value"]), (&json!("ann"), &json!("of ann")));
}

#[test]
fn sessions_end_when_they_should() {
    let scene = Scene::new();
    let again = |name: &str| User { scene: &scene, session: session_of(&scene.login(name, PASSWORD).is(200)) };
    let ann = scene.user("ann");
    let other = again("ann");
    ann.ask("POST", "/logout", &Value::Null).is(200);
    ann.get("/account").says(401, "Invalid token");
    other.get("/account").says(401, "Invalid token");

    let ann = again("ann");
    let new = "An0ther password!";
    let change = |current: &str, new: &str| json!({ "current_password": current, "new_password": new });
    ann.ask("POST", "/change-password", &change("wrong", new)).says(400, "Invalid password");
    ann.ask("POST", "/change-password", &change(PASSWORD, "weak")).faults(&[("value_error", &["body", "new_password"])]);
    let changed = ann.ask("POST", "/change-password", &change(PASSWORD, new)).is(200);
    ann.get("/account").says(401, "Invalid token");
    let ann = User { scene: &scene, session: session_of(&changed) };
    ann.get("/account").is(200);
    scene.login("ann", PASSWORD).says(400, "Invalid username or password");
    session_of(&scene.login("ann", new).is(200));

    // Whoever gets the name next is somebody else.
    ann.ask("POST", "/sensitive-data", &json!({ "data_type": "note", "value": "x" })).is(200);
    ann.ask("DELETE", "/account", &json!({ "password": PASSWORD })).says(400, "Invalid password");
    ann.ask("DELETE", "/account", &json!({ "password": new })).is(200);
    ann.get("/account").says(401, "Invalid token");
    let next = scene.user("ann");
    ann.get("/account").says(401, "Invalid token");
    assert_eq!(next.get("/sensitive-data").json(), json!([]));
    scene.sandbox.vault(&["check"]).run().ok();
}

#[test]
fn what_is_no_session_is_refused_in_one_way() {
    let scene = Scene::new();
    let ann = scene.user("ann");
    let with = |header: &str| scene.server.ask("GET", "/sensitive-data", &[("authorization", header)], "");
    let none = scene.server.ask("GET", "/sensitive-data", &[], "").says(401, "Not authenticated");
    assert_eq!(none.header("www-authenticate"), Some("Bearer"));
    with("Basic YTpi").says(401, "Not authenticated");
    let [header, claims, tag]: [&str; 3] = ann.session.split('.').collect::<Vec<_>>().try_into().unwrap();
    for bad in [
        "x".to_owned(),
        format!("{header}.{claims}."),
        format!("{header}.{claims}.{}", tag.to_lowercase().replace('a', "b")),
        // {"alg":"none"}
        format!("eyJhbGciOiJub25lIn0.{claims}."),
        format!("eyJhbGciOiJub25lIn0.{claims}.{tag}"),
        format!("{} {}", ann.session, ann.session),
        "vault_0011223344556677_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        // Signed with a secret of somebody else's, for ever, and without what ours have.
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ0ZXN0dXNlciIsImV4cCI6NDEwMjQ0NDgwMH0.GmU1Gz279H8Ue4HUhq8w67Jmq2QnMoJ5tFv-1NjYTmM".to_owned(),
    ] {
        let refused = with(&format!("Bearer {bad}")).says(401, "Invalid token");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"), "{bad}");
    }
    with(&format!("bearer {}", ann.session)).is(200);
    // None of that keeps anybody out.
    for _ in 0..50 {
        with("Bearer x").says(401, "Invalid token");
    }
    ann.get("/sensitive-data").is(200);
    // Another server of the same vault knows it as well.
    let other = Server::start(&scene.sandbox, &["--log-format", "quiet"]);
    other.ask("GET", "/account", &[("authorization", &format!("Bearer {}", ann.session))], "").is(200);
}

#[test]
fn roles_permit_what_they_should() {
    let scene = Scene::new();
    let add = ["user", "add", "root", "--role", "admin", "--email", "root@example.org"];
    scene.sandbox.vault(&add).stdin(PASSWORD).run().ok();
    let root = User { scene: &scene, session: session_of(&scene.login("root", PASSWORD).is(200)) };
    let made = |name: &str, role: &str| {
        let body = json!({ "username": name, "email": "x@example.org", "password": PASSWORD, "role": role });
        root.ask("POST", "/users", &body).is(200);
        User { scene: &scene, session: session_of(&scene.login(name, PASSWORD).is(200)) }
    };
    let (reader, writer) = (made("reader", "reader"), made("writer", "writer"));
    let kept = writer.ask("POST", "/sensitive-data", &json!({ "data_type": "note", "value": "before" })).is(200).json();
    let path = format!("/sensitive-data/{}", kept["id"].as_str().unwrap());
    let note = json!({ "data_type": "note", "value": "x" });
    for (method, path, body, expected) in [
        ("GET", "/account", Value::Null, [200, 200, 200]),
        ("GET", "/account/export", Value::Null, [200, 200, 200]),
        ("GET", "/sensitive-data", Value::Null, [200, 200, 200]),
        ("POST", "/sensitive-data", note.clone(), [403, 200, 200]),
        ("PUT", &path, note, [403, 200, 404]),
        ("DELETE", "/sensitive-data/000000000000000000000000", Value::Null, [403, 404, 404]),
        ("GET", "/users", Value::Null, [403, 403, 200]),
        ("GET", "/users/reader", Value::Null, [403, 403, 200]),
        ("POST", "/users", json!({}), [403, 403, 422]),
        ("PATCH", "/users/reader", json!({}), [403, 403, 200]),
        ("DELETE", "/users/nobody", Value::Null, [403, 403, 404]),
        ("POST", "/rotate-master-key", Value::Null, [403, 403, 200]),
    ] {
        for (user, status) in [&reader, &writer, &root].into_iter().zip(expected) {
            let reply = user.ask(method, path, &body);
            assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        }
    }
    // Nobody is left without an administrator.
    root.ask("DELETE", "/users/root", &Value::Null).says(409, "No administrator would be left");
    root.ask("PATCH", "/users/root", &json!({ "role": "writer" })).is(409);
    root.ask("PATCH", "/users/root", &json!({ "disabled": true })).is(409);
    // Another role and being disabled end what was begun.
    root.ask("PATCH", "/users/Reader", &json!({ "role": "writer" })).is(200);
    reader.get("/account").says(401, "Invalid token");
    root.ask("PATCH", "/users/writer", &json!({ "disabled": true })).is(200);
    writer.get("/account").says(401, "Invalid token");
    scene.login("writer", PASSWORD).says(400, "Invalid username or password");
    root.ask("PATCH", "/users/writer", &json!({ "disabled": false })).is(200);
    session_of(&scene.login("writer", PASSWORD).is(200));
    root.ask("DELETE", "/users/writer", &Value::Null).is(200);
    let names: Vec<Value> = root.get("/users").json().as_array().unwrap().iter().map(|user| user["username"].clone()).collect();
    assert_eq!(names, ["reader", "root"]);
    scene.sandbox.vault(&["check"]).run().ok();
}

#[test]
fn a_new_master_key_changes_nothing_that_users_see() {
    let scene = Scene::new();
    scene.sandbox.set("k", "value");
    scene.sandbox.vault(&["user", "add", "root", "--role", "admin", "--email", "r@example.org"]).stdin(PASSWORD).run().ok();
    let root = User { scene: &scene, session: session_of(&scene.login("root", PASSWORD).is(200)) };
    let ann = scene.user("ann");
    let kept = ann.ask("POST", "/sensitive-data", &json!({ "data_type": "note", "value": "x" })).is(200).json();
    for _ in 0..3 {
        let rotated = root.ask("POST", "/rotate-master-key", &Value::Null).is(200);
        assert_eq!(rotated.json(), json!({ "message": "Master key rotated successfully" }));
        assert_eq!(ann.get("/sensitive-data").is(200).json(), json!([kept]));
    }
    scene.server.with_key("GET", "/configs/k", "").is(200);
    assert_eq!(scene.sandbox.get("k"), b"value");
    scene.sandbox.vault(&["check"]).run().ok();
    // Whoever leaves takes the sessions along; what users keep stays readable for them.
    scene.sandbox.vault(&["key", "add", "--label", "leaver", "--new-passphrase"]).stdin("a key of a leaver").run().ok();
    scene.sandbox.vault(&["key", "remove", "leaver", "--force"]).run().ok();
    ann.get("/sensitive-data").says(401, "Invalid token");
    let ann = User { scene: &scene, session: session_of(&scene.login("ann", PASSWORD).is(200)) };
    assert_eq!(ann.get("/sensitive-data").is(200).json(), json!([kept]));
    scene.sandbox.vault(&["check"]).run().ok();
}

#[test]
fn many_who_sign_in_at_once_neither_fill_the_memory_nor_stop_the_rest() {
    let scene = Scene::new();
    scene.sandbox.set("k", "value");
    // Each of those who sign in below: whichever of them is heard, it is somebody.
    (0..8).for_each(|user| scene.register(&format!("user{user}")));
    // A token costs nothing: the server never derives a key, so that the most it ever had is what those took who sign in.
    let bearer = format!("Bearer {}", crate::server::token(&scene.sandbox, &["--read"]));
    let read = || scene.server.ask("GET", "/configs/k", &[("authorization", &bearer)], "").is(200);
    read();
    let before = scene.server.memory("VmHWM");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..200)
            .map(|number| {
                let server = &scene.server;
                scope.spawn(move || {
                    let body = json!({ "username": format!("user{}", number % 8), "password": PASSWORD });
                    let reply = server.ask("POST", "/login", &[], &body.to_string());
                    assert!(reply.status != 503 || reply.header("retry-after").is_some());
                    reply.status
                })
            })
            .collect();
        (0..20).for_each(|_| drop(read()));
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| [200, 400, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
    // Two comparisons at a time, and some room for 200 connections.
    let peak = scene.server.memory("VmHWM");
    assert!(peak < before + ((2 * 46 + 30) * 1024), "{before} {peak}");
}

#[test]
fn a_vault_that_an_agent_opened_gets_a_new_master_key_while_it_is_used() {
    let mut sandbox = crate::server::sandbox();
    sandbox.set("k", "value");
    sandbox.vault(&["user", "add", "root", "--role", "admin", "--email", "r@example.org"]).stdin(PASSWORD).run().ok();
    let token = crate::server::token(&sandbox, &["--read"]);
    let key = sandbox.key().to_str().unwrap().to_owned();
    sandbox.vault(&["unlock", "--key-file", &key]).run().ok();
    sandbox.remove_env("VAULT_KEY_FILE");
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    let body = json!({ "username": "root", "password": PASSWORD }).to_string();
    let session = session_of(&patiently(|| server.ask("POST", "/login", &[], &body)).is(200));
    let bearer = format!("Bearer {session}");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                server.ask("GET", "/configs/k", &[("authorization", &format!("Bearer {token}"))], "").is(200);
            }
        });
        for _ in 0..4 {
            server.ask("POST", "/rotate-master-key", &[("authorization", &bearer)], "").is(200);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        reading.join().unwrap();
    });
    server.ask("GET", "/account", &[("authorization", &bearer)], "").is(200);
    sandbox.vault(&["lock"]).run();
    sandbox.vault(&["check", "--key-file", &key]).run().ok();
}

#[test]
fn a_new_master_key_is_there_wholly_or_not_at_all() {
    let mut scene = Scene::new();
    scene.sandbox.vault(&["user", "add", "root", "--role", "admin", "--email", "r@example.org"]).stdin(PASSWORD).run().ok();
    let kept = {
        let ann = scene.user("ann");
        ann.ask("POST", "/sensitive-data", &json!({ "data_type": "note", "value": "x" })).is(200).json()
    };
    for round in 0..12_u64 {
        let root = session_of(&scene.login("root", PASSWORD).is(200));
        std::thread::scope(|scope| {
            let address = scene.server.address;
            scope.spawn(move || {
                let Ok(mut client) = crate::server::Client::try_connect(address) else { return None };
                let head = format!("POST /rotate-master-key HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {root}\r\n\r\n");
                // It may have ended before it read anything.
                client.try_send(head.as_bytes()).ok().and_then(|()| client.try_reply(false))
            });
            // At another moment each time.
            std::thread::sleep(std::time::Duration::from_millis(3 * round));
            scene.server.child.kill().unwrap();
        });
        scene.restart();
        scene.sandbox.vault(&["check"]).run().ok();
    }
    let ann = User { scene: &scene, session: session_of(&scene.login("ann", PASSWORD).is(200)) };
    assert_eq!(ann.get("/sensitive-data").is(200).json(), json!([kept]));
}
