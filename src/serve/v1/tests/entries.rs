//! Entries: their values, their versions, and which of them a page holds.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Serving;
use crate::format::record::Kind;
use crate::name::{EntryId, Name};
use crate::secret::SecretValue;
use crate::vault::Write;

#[test]
fn entries_are_made_read_changed_and_removed() {
    let serving = Serving::start("life");
    let made = serving.call(
        "POST /v1/entries",
        json!({ "name": "db/main", "environment": "prod", "value": { "host": "h", "port": 5432 }, "category": "db",
                "tags": ["b", "a"], "meta": { "owner": "ops" } }),
    );
    assert_eq!((made.status, &made.headers["location"]), (StatusCode::CREATED, &"/v1/entries/db/main?env=prod".parse().unwrap()));
    assert_eq!((made.json()["version"].clone(), made.json()["kind"].clone()), (json!(1), json!("json")));
    // What was written does not come back with what is said of it.
    assert!(made.json().get("value").is_none());
    assert_eq!(serving.call("POST /v1/entries", json!({ "name": "db/main", "environment": "prod", "value": 1 })).status, 409);

    let read = serving.call("GET /v1/entries/db/main?env=prod", "");
    assert_eq!(read.json()["value"], json!({ "host": "h", "port": 5432 }));
    assert_eq!((read.json()["tags"].clone(), read.json()["meta"].clone()), (json!(["a", "b"]), json!({ "owner": "ops" })));
    // One environment is exact; a slash may be spelled as it must be elsewhere.
    assert_eq!(serving.call("GET /v1/entries/db/main", "").status, 404);
    assert_eq!(serving.call("GET /v1/entries/db%2Fmain?env=prod", "").status, 200);
    let field = serving.call("GET /v1/entries/db/main?env=prod&field=port", "");
    assert_eq!((field.json()["value"].clone(), field.json()["kind"].clone()), (json!(5432), json!("json")));
    assert_eq!(serving.call("GET /v1/entries/db/main?env=prod&field=/host", "").json()["value"], json!("h"));
    assert_eq!(serving.call("GET /v1/entries/db/main?env=prod&field=none", "").status, 404);

    // Metadata makes no version; a value does, and category and tags stay.
    let patched = serving.call("PATCH /v1/entries/db/main?env=prod", json!({ "meta": { "owner": null, "x": "y" }, "tags": [] }));
    assert_eq!((patched.json()["version"].clone(), patched.json()["meta"].clone()), (json!(1), json!({ "x": "y" })));
    let patched = serving.call("PATCH /v1/entries/db/main?env=prod&field=port", json!({ "value": 1 }));
    assert_eq!(patched.json()["version"], json!(2));
    let put = serving.call("PUT /v1/entries/db/main?env=prod", json!({ "value": "text" }));
    assert_eq!(
        (put.status.as_u16(), put.json()["kind"].clone(), put.json()["category"].clone()),
        (200, json!("text"), json!("db"))
    );
    assert_eq!(serving.call("GET /v1/entries/db/main?env=prod&version=2", "").json()["value"], json!({ "host": "h", "port": 1 }));
    assert_eq!(serving.call("GET /v1/entries/db/main?env=prod&version=9", "").status, 404);
    assert_eq!(serving.call("GET /v1/entries/db/main?env=prod&field=a", "").json()["code"], json!("not_json"));

    let history = serving.call("GET /v1/history/db/main?env=prod", "").json();
    assert_eq!(history["versions"].as_array().unwrap().len(), 3);
    let back = serving.call("POST /v1/rollback/db/main?env=prod", json!({ "version": 1 }));
    assert_eq!((back.status.as_u16(), back.json()["version"].clone()), (200, json!(4)));
    assert_eq!(serving.call("GET /v1/entries/db/main?env=prod&field=port", "").json()["value"], json!(5432));
    assert_eq!(serving.call("POST /v1/rollback/db/main?env=prod", json!({ "version": 77 })).status, 404);

    assert_eq!(serving.call("DELETE /v1/entries/db/main?env=prod", "").status, 204);
    assert_eq!(serving.call("DELETE /v1/entries/db/main?env=prod", "").status, 404);
}

#[test]
fn each_kind_of_value_comes_back_as_it_was_sent() {
    let serving = Serving::start("kinds");
    let bytes = json!({ "encoding": "base64", "data": "/wD/" });
    for (name, body, value, kind) in [
        ("text", json!({ "value": "x\n\"y\"" }), json!("x\n\"y\""), "text"),
        ("json", json!({ "value": "x", "kind": "json" }), json!("x"), "json"),
        ("null", json!({ "value": null }), Value::Null, "json"),
        ("bytes", json!({ "value": bytes, "kind": "bytes" }), bytes.clone(), "bytes"),
        // Without a word for it, what looks like bytes is JSON.
        ("like", json!({ "value": bytes }), bytes.clone(), "json"),
    ] {
        assert_eq!(serving.call(&format!("PUT /v1/entries/{name}"), body).status, 201, "{name}");
        let read = serving.call(&format!("GET /v1/entries/{name}"), "").json();
        assert_eq!((&read["value"], &read["kind"]), (&value, &json!(kind)), "{name}");
    }
    // Digits that no floating-point number holds.
    let exact = r#"{"value":{"n":12345678901234567890.123456789}}"#;
    serving.call("PUT /v1/entries/exact", exact);
    assert!(serving.call("GET /v1/entries/exact", "").text.contains("12345678901234567890.123456789"));
    for body in
        [json!({ "value": 1, "kind": "text" }), json!({ "value": "/w==", "kind": "bytes" }), json!({ "value": 1, "kind": "x" })]
    {
        assert_eq!(serving.call("PUT /v1/entries/bad", body).status, 422);
    }
}

#[test]
fn what_changed_meanwhile_is_neither_overwritten_nor_read_twice() {
    let serving = Serving::start("tags");
    assert_eq!(serving.with("PUT /v1/entries/a", ("if-match", "*"), json!({ "value": 1 })).status, 412);
    let first = serving.with("PUT /v1/entries/a", ("if-none-match", "*"), json!({ "value": 1 }));
    assert_eq!(first.status, 201);
    assert_eq!(serving.with("PUT /v1/entries/a", ("if-none-match", "*"), json!({ "value": 2 })).status, 412);
    assert_eq!(serving.with("GET /v1/entries/a", ("if-none-match", first.tag()), "").status, 304);

    std::thread::sleep(Duration::from_millis(2));
    // Metadata alone is a change as well.
    let second = serving.with("PATCH /v1/entries/a", ("if-match", first.tag()), json!({ "meta": { "k": "v" } }));
    assert_eq!(second.status, 200);
    assert_eq!(serving.with("GET /v1/entries/a", ("if-none-match", first.tag()), "").status, 200);
    for request in ["PUT /v1/entries/a", "PATCH /v1/entries/a", "DELETE /v1/entries/a"] {
        assert_eq!(serving.with(request, ("if-match", first.tag()), json!({ "value": 3 })).status, 412, "{request}");
    }
    for (request, body) in [
        ("POST /v1/rollback/a", json!({ "version": 1 })),
        ("POST /v1/rotate/a", json!({ "generate": "pin" })),
        ("POST /v1/copy/a", json!({ "name": "b" })),
        ("POST /v1/move/a", json!({ "name": "b" })),
        ("PATCH /v1/entries/a?field=x", json!({ "value": 1 })),
    ] {
        assert_eq!(serving.with(request, ("if-match", first.tag()), body).status, 412, "{request}");
    }
    // The version alone, and one of several.
    assert_eq!(serving.with("PUT /v1/entries/a", ("if-match", "\"7\", \"1\""), json!({ "value": 4 })).status, 200);
    assert_eq!(serving.with("DELETE /v1/entries/a", ("if-match", "\"2\""), "").status, 204);
}

#[test]
fn listings_hold_what_is_asked_for_page_by_page() {
    let serving = Serving::start("list");
    for (name, environment, category, tag) in
        [("a/1", "", "db", "x"), ("a/2", "prod", "db", "y"), ("b", "", "ci", "x"), ("c", "prod", "", "y"), ("d", "", "", "")]
    {
        let tags: Vec<&str> = [tag].into_iter().filter(|tag| !tag.is_empty()).collect();
        let body = json!({ "name": name, "environment": environment, "category": category, "tags": tags, "value": "canary",
                           "meta": { "size": name.len().to_string() } });
        assert_eq!(serving.call("POST /v1/entries", body).status, 201);
    }
    let expired = json!({ "name": "old", "value": 1, "expires": "1970-01-02" });
    assert_eq!(serving.call("POST /v1/entries", expired).status, 201);
    let names = |query: &str| {
        let back = serving.call(&format!("GET /v1/entries{query}"), "");
        assert!(!back.text.contains("canary") && back.status == 200, "{}", back.text);
        let entries = back.json()["entries"].as_array().unwrap().clone();
        entries.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    for (query, expected) in [
        ("", "a/1 b d old a/2 c"),
        ("?env=", "a/1 b d old"),
        ("?env=prod", "a/2 c"),
        ("?category=db", "a/1 a/2"),
        ("?category=db&env=", "a/1"),
        ("?tag=x", "a/1 b"),
        ("?match=a/*", "a/1 a/2"),
        ("?expired=true", "old"),
        ("?expired=false&env=", "a/1 b d"),
        ("?where=size%20%3E%202", "a/1 a/2"),
        ("?where=size%20%3E%202&where=size%20%3E%203", ""),
        ("?limit=2", "a/1 b"),
        ("?limit=2&cursor=", "a/1 b"),
    ] {
        assert_eq!(names(query), expected, "{query}");
    }
    let (mut cursor, mut all) = (String::new(), Vec::new());
    loop {
        let page = serving.call(&format!("GET /v1/entries?limit=2{cursor}"), "").json();
        all.extend(page["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(all.join(" "), "a/1 b d old a/2 c");

    assert_eq!(serving.call("GET /v1/entries/old", "").status, 410);
    let exported = serving.call("POST /v1/export", json!({ "environment": "", "cursor": "" })).json();
    let exported: Vec<_> = exported["entries"].as_array().unwrap().iter().map(|entry| entry["value"].clone()).collect();
    assert_eq!(exported, ["canary", "canary", "canary"].map(Value::from));
    let stats = serving.call("GET /v1/stats", "").json();
    assert_eq!((&stats["entries"], &stats["expired"]), (&json!(6), &json!(1)));
    assert_eq!((&stats["categories"], &stats["environments"]), (&json!({ "ci": 1, "db": 2 }), &json!({ "prod": 2 })));
    let log = serving.log();
    let of = |action: &str| log.iter().filter(|(word, ..)| word == action).map(|(.., name)| name.clone()).collect::<Vec<_>>();
    assert_eq!(of("export"), ["a/1", "b", "d"]);
    assert!(log.contains(&("get".to_owned(), "expired".to_owned(), "old".to_owned())), "{log:?}");
}

#[test]
fn values_rotate_move_and_are_copied() {
    let serving = Serving::start("rotate");
    serving.call("POST /v1/entries", json!({ "name": "a", "value": "old", "expires": "1d", "category": "db" }));
    let rotated = serving.call("POST /v1/rotate/a", json!({ "generate": "hex:16", "grace": "2h" }));
    let entry = rotated.json();
    assert_eq!((rotated.status.as_u16(), &entry["version"], &entry["expires_at"]), (200, &json!(2), &Value::Null));
    assert!(entry["rotated_at"].is_string() && entry.get("value").is_none());
    let value = serving.call("GET /v1/entries/a", "").json()["value"].as_str().unwrap().to_owned();
    assert!(value.len() == 32 && !rotated.text.contains(&value));
    for body in [
        json!({}),
        json!({ "generate": "hex", "value": 1 }),
        json!({ "generate": "nope" }),
        json!({ "generate": "hex", "grace": "x" }),
    ] {
        assert_eq!(serving.call("POST /v1/rotate/a", &body).status, 422, "{body}");
    }
    assert_eq!(serving.call("POST /v1/copy/a", json!({ "name": "b", "environment": "prod" })).status, 201);
    assert_eq!(serving.call("POST /v1/copy/a", json!({ "name": "b", "environment": "prod" })).status, 409);
    let moved = serving.call("POST /v1/move/b?env=prod", json!({ "name": "c/d" }));
    assert_eq!((moved.status.as_u16(), moved.json()["category"].clone()), (201, json!("db")));
    assert_eq!(serving.call("GET /v1/entries/c/d", "").json()["value"], json!(value));
    assert_eq!(serving.call("GET /v1/entries/b?env=prod", "").status, 404);
    assert_eq!(serving.call("POST /v1/move/a", json!({ "name": "c/d", "overwrite": true })).status, 201);
    assert_eq!(serving.call("POST /v1/move/c/d", json!({ "name": "c/d" })).status, 422);
    let actions: Vec<_> = serving.log().into_iter().filter(|(_, result, _)| result == "ok").map(|(action, ..)| action).collect();
    for action in ["rotate", "cp", "mv"] {
        assert!(actions.iter().any(|word| word == action), "{action}");
    }
}

#[test]
fn responses_with_many_values_stay_within_bounds() {
    let serving = Serving::start("bounds");
    let vault = &serving.server.keeper.current().unwrap().vault;
    let large = "x".repeat(400);
    for name in ["a", "b", "c", "d"] {
        let id = EntryId::plain(Name::parse(name).unwrap());
        vault.set(&id, Write::value(SecretValue::from(large.as_str()), Kind::Text), super::T).unwrap();
    }
    let first = serving.call("POST /v1/export", "{}").json();
    let names = |page: &Value| page["entries"].as_array().unwrap().iter().map(|entry| entry["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&first), ["a", "b", "c"]);
    let second = serving.call("POST /v1/export", json!({ "cursor": first["next"] })).json();
    assert_eq!((names(&second), &second["next"]), (vec![json!("d")], &Value::Null));
    let items: Vec<_> = ["a", "b", "c", "d"].map(|name| json!({ "name": name })).to_vec();
    let batch = serving.call("POST /v1/batch", json!({ "entries": items })).json();
    let statuses: Vec<_> = batch["results"].as_array().unwrap().iter().map(|item| item["status"].clone()).collect();
    assert_eq!(statuses, [200, 200, 200, 413].map(Value::from));
}
