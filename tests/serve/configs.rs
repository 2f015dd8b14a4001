//! `/configs` as the clients of two generations of another service know it.

use serde_json::json;

use crate::sandbox::canary;
use crate::server::{Client, KEY, Server, sandbox};

const LOC_KEY: &[&str] = &["body", "key"];
const LOC_VALUE: &[&str] = &["body", "value"];

#[test]
fn the_first_generation() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &[]);
    let ask = |method: &str, path: &str, body: &str| server.with_key(method, path, body);

    let made = ask("POST", "/configs", r#"{"key":"database","value":{"host":"h","port":5432},"category":"prod"}"#).is(201);
    let id = made.json()["id"].as_u64().unwrap();
    assert_eq!(made.json(), json!({ "id": id, "key": "database", "category": "prod", "value": { "host": "h", "port": 5432 } }));
    assert_eq!(made.header("etag"), Some("\"1\""));
    ask("POST", "/configs", r#"{"key":"database","value":{}}"#).says(400, "Configuration with key 'database' already exists");

    let read = ask("GET", "/configs/database", "").is(200);
    assert_eq!(read.json(), made.json());
    ask("GET", "/configs/none", "").says(404, "Configuration with key 'none' not found");

    // The category stays where none is given, and goes where it is empty.
    let changed = ask("PUT", "/configs/database", r#"{"value":{"host":"other"}}"#).is(200).json();
    assert_eq!(changed, json!({ "id": id, "key": "database", "category": "prod", "value": { "host": "other" } }));
    let changed = ask("PUT", "/configs/database", r#"{"value":{},"category":null}"#).is(200).json();
    assert_eq!(changed["category"], "prod");
    let changed = ask("PUT", "/configs/database", r#"{"value":{},"category":""}"#).is(200).json();
    assert_eq!(changed["category"], json!(null));
    ask("PUT", "/configs/none", r#"{"value":{}}"#).says(404, "Configuration with key 'none' not found");

    for (name, category) in [("b", "two"), ("a", "two"), ("c", "three")] {
        ask("POST", "/configs", &json!({ "key": name, "value": { "n": name }, "category": category }).to_string()).is(201);
        // Two of one millisecond have no order of creation.
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let names = |path: &str| {
        let list = ask("GET", path, "").is(200).json();
        list.as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("/configs"), ["database", "b", "a", "c"]);
    assert_eq!(names("/configs?category=two"), ["b", "a"]);
    assert_eq!(names("/configs?category="), ["database", "b", "a", "c"]);
    assert_eq!(names("/configs?category=tw"), [""; 0]);
    let first = ask("GET", "/configs?limit=3", "");
    let next = first.header("x-next-cursor").unwrap().to_owned();
    assert_eq!(first.json().as_array().unwrap().len(), 3);
    let last = ask("GET", &format!("/configs?limit=3&cursor={next}"), "");
    assert_eq!((last.json()[0]["key"].as_str(), last.header("x-next-cursor")), (Some("c"), None));
    assert_eq!(ask("GET", "/configs?limit=3&cursor=", "").json(), first.json());

    ask("DELETE", "/configs/database", "").is(200);
    ask("DELETE", "/configs/database", "").says(404, "Configuration with key 'database' not found");
    let gone = ask("DELETE", "/configs/a", "").is(200).json();
    assert_eq!(gone, json!({ "message": "Configuration 'a' deleted successfully" }));
}

#[test]
fn the_second_generation() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &[]);
    let ask = |method: &str, path: &str, body: &str| server.with_key(method, path, body);
    for value in [json!({ "a": 1 }), json!([1, 2]), json!("text"), json!(7), json!(true)] {
        let made =
            ask("POST", "/configs", &json!({ "key": "k", "value": value, "environment": "prod" }).to_string()).is(201).json();
        assert_eq!((&made["value"], &made["environment"]), (&value, &json!("prod")));
        let (created, updated) = (made["created_at"].as_str().unwrap(), made["updated_at"].as_str().unwrap());
        assert!(created.len() == 27 && created.ends_with("000Z") && created == updated, "{created}");
        let read = ask("GET", "/configs/k?environment=prod", "").is(200).json();
        assert_eq!((&read["value"], read.get("created_at")), (&value, None));
        assert!(ask("GET", "/configs/k?environment=prod&mode=full", "").json()["updated_at"].is_string());
        let gone = ask("DELETE", "/configs/k?environment=prod", "").is(200).json();
        assert_eq!(gone["message"], "Configuration 'k' deleted successfully in environment 'prod'");
    }
    // One environment is exact: neither another one nor none stands in for it.
    ask("POST", "/configs", r#"{"key":"k","value":{}}"#).is(201);
    ask("POST", "/configs", r#"{"key":"k","value":{"e":1},"environment":"dev"}"#).is(201);
    ask("GET", "/configs/k?environment=prod", "").says(404, "Configuration with key 'k' not found in environment 'prod'");
    let exists = "Configuration with key 'k' already exists in environment 'dev'";
    ask("POST", "/configs", r#"{"key":"k","value":{},"environment":"dev"}"#).says(400, exists);
    let count = |path: &str| ask("GET", path, "").json().as_array().unwrap().len();
    assert_eq!((count("/configs"), count("/configs?environment=dev"), count("/configs?environment=")), (2, 1, 1));
    let total = |path: &str| ask("GET", path, "").is(200).json()["total_keys"].clone();
    assert_eq!(
        (total("/stats?environment=dev"), total("/stats?environment="), total("/stats?environment=prod")),
        (1.into(), 1.into(), 0.into())
    );
    let stats = ask("GET", "/stats", "").is(200).json();
    assert_eq!(
        (&stats["total_keys"], &stats["total_environments"], &stats["keys_by_environment"]["dev"]),
        (&json!(2), &json!(1), &json!(1))
    );
}

#[test]
fn what_is_wrong_is_said_at_once_and_never_quoted() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &[]);
    let ask = |body: &str| server.with_key("POST", "/configs", body);
    ask(r#"{"key":"","value":[]}"#).faults(&[("string_too_short", LOC_KEY), ("dict_type", LOC_VALUE)]);
    ask("{}").faults(&[("missing", LOC_KEY), ("missing", LOC_VALUE)]);
    ask(r#"{"key":7,"value":"x"}"#).faults(&[("string_type", LOC_KEY), ("dict_type", LOC_VALUE)]);
    ask(&json!({ "key": "k".repeat(256), "value": {}, "category": "c".repeat(101) }).to_string())
        .faults(&[("string_too_long", LOC_KEY), ("string_too_long", &["body", "category"])]);
    ask(r#"{"key":"a\nb","value":{}}"#).faults(&[("value_error", LOC_KEY)]);
    ask("[]").faults(&[("dict_type", &["body"])]);
    ask("{").faults(&[("json_invalid", &["body", "1:1"])]);
    let secret = canary();
    for body in
        [format!(r#"{{"key":"k","value":"{secret}"}}"#), format!(r#"{{"key":"k","value":{{"x":"{secret}"}}"#), secret.clone()]
    {
        let reply = ask(&body).is(422);
        assert!(!reply.body.contains(&secret), "{}", reply.body);
    }
    // Of an environment any value may be: what is none is what is wrong.
    let environment: &[&str] = &["body", "environment"];
    ask(r#"{"key":"k","value":[1],"environment":"a\nb"}"#).faults(&[("value_error", environment)]);
    ask(r#"{"key":"k","value":[1],"environment":7}"#).faults(&[("string_type", environment)]);
    ask(r#"{"key":"k","value":[1],"environment":null}"#).faults(&[("dict_type", LOC_VALUE)]);
    for (path, names) in [
        ("/configs?limit=abc", &["limit"][..]),
        ("/configs?limit=-1", &["limit"]),
        ("/configs?limit=%2B1&environment=a&environment=b", &["environment", "limit"]),
        ("/configs?cursor=x", &["cursor"]),
    ] {
        let places: Vec<_> = names.iter().map(|name| ["query", name]).collect();
        let faults: Vec<_> = places.iter().map(|place| ("value_error", &place[..])).collect();
        server.with_key("GET", path, "").faults(&faults);
    }
    server.with_key("POST", "/import?overwrite=maybe", "").faults(&[("value_error", &["query", "overwrite"])]);
    // Any value, where it is asked for; fields that nobody knows are passed over.
    server.with_key("POST", "/configs?any=true", r#"{"key":"list","value":[1],"more":2}"#).is(201);
    server.with_key("PUT", "/configs/list?any=true", r#"{"value":"text"}"#).is(200);
    server.with_key("PUT", "/configs/list", r#"{"value":"text"}"#).faults(&[("dict_type", LOC_VALUE)]);
    assert!(!server.log().contains(&secret));
}

#[test]
fn the_command_line_sees_the_same_entries() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &[]);
    let ask = |method: &str, path: &str, body: &str| server.with_key(method, path, body);
    // What the one writes the other reads, at once.
    sandbox.set("plain", "s3cret");
    assert_eq!(ask("GET", "/configs/plain", "").is(200).json()["value"], "s3cret");
    sandbox.set("bytes", [0xff, 0]);
    assert_eq!(ask("GET", "/configs/bytes", "").json()["value"], json!({ "encoding": "base64", "data": "/wA=" }));
    ask("POST", "/configs", r#"{"key":"app/db","value":{"password":"p w"}}"#).is(201);
    assert_eq!(sandbox.vault(&["get", "app/db", "password"]).run().ok().text(), "p w");
    for path in ["/configs/app/db", "/configs/app%2Fdb"] {
        assert_eq!(ask("GET", path, "").is(200).json()["key"], "app/db");
    }
    sandbox.vault(&["rm", "app/db", "--force"]).run().ok();
    ask("GET", "/configs/app/db", "").is(404);
    sandbox.vault(&["set", "plain", "--expires", "2020-01-01"]).stdin("x").run().ok();
    ask("GET", "/configs/plain", "").says(410, "Configuration 'plain' has expired");
    assert_eq!(ask("GET", "/configs", "").json().as_array().unwrap().len(), 1, "a list is without what has expired");
}

#[test]
fn both_slashes_heads_and_other_methods() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &[]);
    server.with_key("POST", "/configs/", r#"{"key":"k","value":{}}"#).is(201);
    assert_eq!(server.with_key("GET", "/configs/", "").is(200).json().as_array().unwrap().len(), 1);
    let head = Client::connect(server.address).ask("HEAD", "/configs/k", &[("X-USER-KEY", KEY)], "");
    assert!(head.status == 200 && head.header("content-length").is_some() && head.body.is_empty());
    let wrong = server.with_key("PATCH", "/configs", "").says(405, "Method Not Allowed");
    assert_eq!(wrong.header("allow"), Some("GET,HEAD,POST"));
    server.with_key("GET", "/nothing", "").says(404, "Not Found");
    for name in ["cache-control", "x-content-type-options", "x-request-id", "content-security-policy"] {
        assert!(head.header(name).is_some() && wrong.header(name).is_some(), "{name}");
    }
    assert!(head.header("server").is_none());
}

#[test]
fn two_who_change_the_same_version_do_not_both() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &[]);
    server.with_key("POST", "/configs", r#"{"key":"k","value":{"n":0}}"#).is(201);
    let put = |tag: &str, value: u32| {
        let headers = [("x-user-key", KEY), ("if-match", tag)];
        server.ask("PUT", "/configs/k", &headers, &json!({ "value": { "n": value } }).to_string())
    };
    assert_eq!(put("\"1\"", 1).is(200).header("etag"), Some("\"2\""));
    put("\"1\"", 2).is(412);
    put("nonsense", 2).is(412);
    put("*", 3).is(200);
    server.ask("DELETE", "/configs/k", &[("x-user-key", KEY), ("if-match", "\"1\"")], "").is(412);
    server.ask("DELETE", "/configs/k", &[("x-user-key", KEY), ("if-match", "\"3\"")], "").is(200);
}

#[test]
fn keys_that_are_none() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &[]);
    server.ask("GET", "/configs", &[], "").faults(&[("missing", &["header", "x-user-key"])]);
    let short = "x-user-key header missing or too short (minimum 8 characters)";
    for key in ["", "1234567", "üüüüüüü"] {
        server.ask("GET", "/configs", &[("x-user-key", key)], "").says(401, short);
    }
    server.ask("GET", "/configs", &[("x-user-key", "12345678")], "").says(401, "Invalid user key");
    // It neither overwrites nor deletes.
    server.with_key("POST", "/configs", r#"{"key":"k","value":{}}"#).is(201);
    for (method, path) in [("PUT", "/configs/k"), ("DELETE", "/configs/k"), ("POST", "/configs")] {
        let body = r#"{"key":"k","value":{"x":1}}"#;
        server.ask(method, path, &[("x-user-key", "12345678")], body).says(401, "Invalid user key");
    }
    assert_eq!(server.with_key("GET", "/configs/k", "").json()["value"], json!({}));
}
