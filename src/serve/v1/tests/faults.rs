//! What is said of a request that is not well-formed.

use serde_json::json;

use super::Serving;

#[test]
fn everything_that_is_wrong_is_said_at_once_and_nothing_of_it_repeated() {
    let serving = Serving::start("faults");
    let canary = "\u{1}canary";
    let back = serving.call(
        "POST /v1/entries",
        json!({ "name": canary, "environment": canary, "category": canary, "tags": [canary], "meta": { canary: "x" },
                "kind": canary, "expires": canary }),
    );
    let body = back.json();
    let places: Vec<_> =
        body["errors"].as_array().unwrap().iter().map(|fault| fault["loc"][1].as_str().unwrap().to_owned()).collect();
    assert_eq!(back.status, 422);
    for place in ["name", "environment", "category", "tags", "meta", "kind", "expires", "value"] {
        assert!(places.iter().any(|other| other == place), "{place}: {places:?}");
    }
    assert_eq!((&body["code"], &body["status"]), (&json!("invalid_request"), &json!(422)));
    assert!(!back.text.contains("canary"), "{}", back.text);
    let query =
        "env=%01canary&category=%01canary&tag=%01canary&match=%5Bcanary&where=canary&expired=canary&limit=canary&cursor=canary";
    let back = serving.call(&format!("GET /v1/entries?{query}"), "");
    assert_eq!((back.status.as_u16(), back.json()["errors"].as_array().unwrap().len()), (422, 8));
    assert!(!back.text.contains("canary"), "{}", back.text);
    // Path, query and body of one request.
    let back = serving.call("PUT /v1/entries/%01canary?env=%01canary", json!({ "kind": "canary" }));
    assert_eq!((back.status.as_u16(), back.json()["errors"].as_array().unwrap().len()), (422, 4), "{}", back.text);
    for (request, body) in [
        ("GET /v1/entries/%FF", ""),
        ("GET /v1/entries/a?version=canary", ""),
        ("GET /v1/entries/a?version=1&version=2", ""),
        ("PUT /v1/entries/a", "{\"value\": canary}"),
        ("PUT /v1/entries/a", "[]"),
        ("PUT /v1/entries/a", "{\"value\": {\"$serde_json::private::Number\": \"canary\"}}"),
        ("POST /v1/batch", "{\"entries\": [{\"name\": \"a\"}, {\"name\": 1}, 2]}"),
        ("POST /v1/batch", "{\"entries\": []}"),
        ("POST /v1/generate", "{\"generate\": \"canary:1\"}"),
        ("POST /v1/tokens", "{\"label\": \"\", \"rights\": [\"canary\"], \"networks\": [\"canary\"]}"),
        ("POST /v1/tokens", "{\"label\": \"x\", \"rights\": [\"admin\"], \"names\": [\"*\"]}"),
        ("GET /v1/audit?since=canary&action=canary", ""),
    ] {
        let back = serving.call(request, body);
        assert_eq!((back.status.as_u16(), back.json()["code"].clone()), (422, json!("invalid_request")), "{request} {body}");
        assert!(!back.text.contains("canary"), "{}", back.text);
    }
    for request in ["GET /configs?limit=canary", "GET /configs/%FF"] {
        let back = serving.call(request, "");
        assert_eq!(back.status, 422);
        assert!(back.json()["detail"].is_array() && !back.text.contains("canary"), "{}", back.text);
    }
    assert_eq!(serving.call("GET /v1/tokens/canary", "").status, 404);
}
