//! Tokens, the log, and the description of all this.

use serde_json::{Value, json};

use super::Serving;

#[test]
fn tokens_are_made_shown_and_revoked() {
    let serving = Serving::start("tokens");
    let body = json!({ "label": "ci", "rights": ["read", "rotate"], "categories": ["db"], "environments": ["", "prod"], "expires": "1d", "uses": 2 });
    let made = serving.call("POST /v1/tokens", body);
    let (id, text) = (made.json()["id"].as_str().unwrap().to_owned(), made.json()["token"].as_str().unwrap().to_owned());
    assert_eq!(
        (made.status.as_u16(), &made.json()["rights"], &made.json()["uses_left"]),
        (201, &json!(["read", "rotate"]), &json!(2))
    );
    let list = |request: &str| serving.as_token(&text, request, &[], "");
    // What is refused for want of a right is no use of it.
    let uses = ["GET /v1/entries", "GET /v1/tokens", "GET /v1/entries", "GET /v1/entries"];
    assert_eq!(uses.map(|request| list(request).status.as_u16()), [200, 403, 200, 401]);
    let shown = serving.call(&format!("GET /v1/tokens/{id}"), "");
    assert_eq!((&shown.json()["uses_left"], &shown.json()["active"]), (&json!(0), &json!(false)));
    let all = serving.call("GET /v1/tokens", "");
    // The secret itself may have an underscore: what is behind the last one could be a single letter.
    let secret = text.splitn(3, '_').nth(2).unwrap();
    assert!(!shown.text.contains(secret) && !all.text.contains(secret));
    assert_eq!(all.json()["tokens"].as_array().unwrap().len(), 2);

    let other = serving.call("POST /v1/tokens", json!({ "label": "x", "rights": ["read"] })).json();
    let (id, text) = (other["id"].as_str().unwrap().to_owned(), other["token"].as_str().unwrap().to_owned());
    assert_eq!(serving.as_token(&text, "GET /v1/entries", &[], "").status, 200);
    let revoked = serving.call(&format!("DELETE /v1/tokens/{id}"), "");
    assert!(revoked.status == 200 && revoked.json()["revoked_at"].is_string());
    assert_eq!(serving.as_token(&text, "GET /v1/entries", &[], "").status, 401);
    assert_eq!(serving.call("DELETE /v1/tokens/0011223344556677", "").status, 404);

    let keys = serving.call("GET /v1/keys", "").json();
    assert_eq!((&keys["slots"][0]["label"], &keys["slots"][0]["in_use"]), (&json!("key"), &json!(true)));
}

#[test]
fn the_log_is_read_from_its_end_and_filtered() {
    let serving = Serving::start("audit");
    for name in ["a", "b", "a"] {
        serving.call(&format!("PUT /v1/entries/{name}"), json!({ "value": 1 }));
    }
    serving.call("GET /v1/entries/a", "");
    serving.call("GET /v1/entries/none", "");
    let records = |query: &str| {
        let page = serving.call(&format!("GET /v1/audit?{query}"), "").json();
        let of = |record: &Value| {
            format!(
                "{} {} {}",
                record["action"].as_str().unwrap(),
                record["result"].as_str().unwrap(),
                record["name"].as_str().unwrap_or("-")
            )
        };
        page["records"].as_array().unwrap().iter().map(of).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(records("action=set"), "set ok a, set ok b, set ok a");
    assert_eq!(records("action=set&limit=2"), "set ok a, set ok b");
    assert_eq!(records("action=set&action=get&entry=a"), "get ok a, set ok a, set ok a");
    assert_eq!(records("result=not_found"), "get not_found none");
    assert_eq!(records("action=get&since=1h&until=2999-01-01"), "get not_found none, get ok a");
    assert_eq!(records("until=1h"), "");
    let page = serving.call("GET /v1/audit?action=set&limit=1", "").json();
    let before = page["records"][0]["sequence"].as_u64().unwrap();
    assert_eq!(records(&format!("action=set&before={before}")), "set ok b, set ok a");
    assert_eq!(page["records"][0]["source"], json!("serve"));
    assert!(page["records"][0]["user"].as_str().unwrap().starts_with("token:"));
}

#[test]
fn the_description_is_served_with_a_page_that_needs_nothing_else() {
    let serving = Serving::start("docs");
    let description = serving.call("GET /openapi.json", "").json();
    assert_eq!(description["openapi"], json!("3.1.0"));
    for request in ["GET /docs", "GET /docs/"] {
        let page = serving.call(request, "");
        assert_eq!((page.status.as_u16(), page.headers["content-type"].to_str().unwrap()), (200, "text/html; charset=utf-8"));
        // Each file that it names is there, and none is elsewhere; no script stands in the page.
        for part in page.text.split(['"']).filter(|part| part.contains('/') && !part.contains(['<', '\n', ' '])) {
            assert!(part.starts_with("/docs/"), "{part}");
            assert_eq!(serving.as_token("", &format!("GET {part}"), &[], "").status, 200, "{part}");
        }
        assert!(page.headers["content-security-policy"].to_str().unwrap().contains("script-src 'self';"));
        assert!(!page.text.contains("<script>"));
    }
    let script = serving.call("GET /docs/swagger-initializer.js", "");
    assert!(script.text.contains("/openapi.json") && !script.text.contains("petstore"), "{}", script.text);
    assert_eq!(serving.call("GET /redoc", "").headers["location"], "/docs");
    assert_eq!(serving.call("GET /docs/nothing", "").status, 404);
}
