//! What a right and a limit keep from whom.

use serde_json::{Value, json};

use super::Serving;
use crate::format::token::Rights;

#[test]
fn a_limited_token_sees_and_changes_nothing_else() {
    let serving = Serving::start("limits");
    for (name, environment, category) in [
        ("app/in", "prod", "db"),
        ("app/out", "prod", "ci"),
        ("app/none", "prod", ""),
        ("other", "prod", "db"),
        ("app/in", "", "db"),
    ] {
        let body = json!({ "name": name, "environment": environment, "category": category, "value": name });
        assert_eq!(serving.call("POST /v1/entries", body).status, 201);
    }
    let limited = serving.token(|token| {
        token.rights = Rights::READ.and(Rights::WRITE).and(Rights::ROTATE);
        token.categories = Some(vec!["db".to_owned()]);
        token.environments = Some(vec!["prod".to_owned()]);
        token.names = Some(vec!["app/*".to_owned()]);
    });
    let call = |request: &str, body: Value| serving.as_token(&limited, request, &[], &body.to_string());

    for (request, body) in [
        ("GET /v1/entries/{}", json!(null)),
        ("PATCH /v1/entries/{}", json!({ "tags": [] })),
        ("PATCH /v1/entries/{}&field=x", json!({ "value": 1 })),
        ("DELETE /v1/entries/{}", json!(null)),
        ("GET /v1/history/{}", json!(null)),
        ("POST /v1/rollback/{}", json!({ "version": 1 })),
        ("POST /v1/rotate/{}", json!({ "generate": "pin" })),
        ("POST /v1/rotate/{}", json!({ "generate": "pin", "grace": "1h" })),
        ("POST /v1/copy/{}", json!({ "name": "app/new", "environment": "prod" })),
        ("POST /v1/move/{}", json!({ "name": "app/new", "environment": "prod" })),
    ] {
        let of = |target: &str| call(&request.replace("{}", target), body.clone()).status.as_u16();
        // Of another category it is not there; other names and environments are no secret.
        assert_eq!((of("app/out?env=prod"), of("app/none?env=prod")), (404, 404), "{request}");
        assert_eq!((of("other?env=prod"), of("app/in?env=")), (403, 403), "{request}");
    }
    for (request, body) in [
        ("PUT /v1/entries/app/out?env=prod", json!({ "value": 1 })),
        ("PUT /v1/entries/app/new?env=prod", json!({ "value": 1 })),
        ("PUT /v1/entries/app/in?env=prod", json!({ "value": 1, "category": "ci" })),
        ("PATCH /v1/entries/app/in?env=prod", json!({ "category": null })),
        ("POST /v1/entries", json!({ "name": "app/new", "environment": "prod", "value": 1 })),
        ("POST /v1/entries", json!({ "name": "app/out", "environment": "prod", "value": 1, "category": "db" })),
        ("POST /v1/entries", json!({ "name": "app/new", "value": 1, "category": "db" })),
        ("POST /v1/copy/app/in?env=prod", json!({ "name": "new", "environment": "prod" })),
        ("POST /v1/move/app/in?env=prod", json!({ "name": "app/new" })),
        ("POST /v1/copy/app/in?env=prod", json!({ "name": "app/out", "environment": "prod", "overwrite": true })),
    ] {
        assert_eq!(call(request, body.clone()).status, 403, "{request} {body}");
    }
    // Nothing of it came about.
    for (name, version) in [("app/in?env=prod", 1), ("app/out?env=prod", 1), ("app/in?env=", 1)] {
        assert_eq!(serving.call(&format!("GET /v1/entries/{name}"), "").json()["version"], json!(version), "{name}");
    }

    let listed = call("GET /v1/entries", json!(null)).json();
    assert_eq!(listed["entries"].as_array().unwrap().len(), 1);
    let exported = call("POST /v1/export", json!({})).json();
    assert_eq!((exported["entries"].as_array().unwrap().len(), &exported["entries"][0]["value"]), (1, &json!("app/in")));
    assert_eq!(call("GET /v1/stats", json!(null)).json()["entries"], json!(1));
    let items: Vec<_> = ["app/in", "app/out", "other"].map(|name| json!({ "name": name, "environment": "prod" })).to_vec();
    let batch = call("POST /v1/batch", json!({ "entries": items })).json();
    let got: Vec<_> = batch["results"].as_array().unwrap().iter().map(|item| item["status"].clone()).collect();
    assert_eq!((got, &batch["results"][0]["entry"]["value"]), (vec![json!(200), json!(404), json!(403)], &json!("app/in")));
    for request in ["GET /v1/audit", "GET /v1/keys", "GET /v1/tokens", "POST /v1/tokens", "DELETE /v1/tokens/0011223344556677"] {
        assert_eq!(call(request, json!({})).status, 403, "{request}");
    }
    assert_eq!(call("POST /v1/rotate/app/in?env=prod", json!({ "generate": "pin" })).status, 200);
}

#[test]
fn each_right_opens_its_own_routes() {
    let serving = Serving::start("rights");
    serving.call("POST /v1/entries", json!({ "name": "a", "value": "v" }));
    let right = |right| serving.token(|token| token.rights = right);
    let (read, write, rotate) = (right(Rights::READ), right(Rights::WRITE), right(Rights::ROTATE));
    for (request, body, expected) in [
        ("GET /v1/entries", json!(null), [200, 403, 403]),
        ("GET /v1/entries/a", json!(null), [200, 403, 403]),
        ("GET /v1/history/a", json!(null), [200, 403, 403]),
        ("GET /v1/stats", json!(null), [200, 403, 403]),
        ("POST /v1/batch", json!({ "entries": [{ "name": "a" }] }), [200, 403, 403]),
        ("POST /v1/export", json!({}), [200, 403, 403]),
        ("POST /v1/generate", json!({ "generate": "hex:4" }), [200, 200, 200]),
        ("PUT /v1/entries/a", json!({ "value": 2 }), [403, 200, 403]),
        ("PATCH /v1/entries/a", json!({ "tags": [] }), [403, 200, 403]),
        ("POST /v1/rotate/a", json!({ "value": "w" }), [403, 403, 200]),
        ("POST /v1/rollback/a", json!({ "version": 1 }), [403, 200, 403]),
        ("GET /v1/tokens", json!(null), [403, 403, 403]),
    ] {
        let got = [&read, &write, &rotate].map(|token| serving.as_token(token, request, &[], &body.to_string()).status.as_u16());
        assert_eq!(got, expected, "{request}");
    }
    let nobody = serving.as_token("none", "GET /v1/entries", &[], "");
    assert_eq!((nobody.status.as_u16(), nobody.headers["content-type"].to_str().unwrap()), (401, "application/problem+json"));
}
