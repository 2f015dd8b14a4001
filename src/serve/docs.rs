//! `/openapi.json`, and `/docs`, which shows it; everything that the page needs is in the program.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION};
use axum::http::{Response, StatusCode};
use utoipa_swagger_ui::Config;

use super::configs::respond;
use super::error::{Answer, Problem};
use super::openapi;
use super::query::Path;

/// The page. Its links are whole: it answers to `/docs` and to `/docs/`.
const INDEX: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>vault: the REST API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="stylesheet" href="/docs/index.css">
<link rel="icon" href="/docs/favicon-32x32.png" sizes="32x32">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/swagger-ui-standalone-preset.js"></script>
<script src="/docs/swagger-initializer.js"></script>
</body>
</html>
"#;

/// Scripts of the page come from here alone. It styles elements one by one, and has small pictures in its style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The description of this API
#[utoipa::path(get, path = "/openapi.json", tag = "description", responses((status = 200, body = serde_json::Value)))]
pub async fn description() -> Response<Body> {
    static TEXT: LazyLock<Vec<u8>> = LazyLock::new(|| serde_json::to_vec(&openapi::describe()).unwrap_or_default());
    respond(StatusCode::OK, TEXT.as_slice(), None)
}

/// The description, for people
#[utoipa::path(get, path = "/docs", tag = "description", responses((status = 200, body = String, content_type = "text/html")))]
pub async fn index() -> Response<Body> {
    page(INDEX.into(), "text/html; charset=utf-8")
}

/// What the page needs
#[utoipa::path(get, path = "/docs/{file}", tag = "description", params(("file" = String, Path)), responses(
    (status = 200, content((String = "text/css"), (String = "text/javascript"), (String = "text/html"), (String = "image/png"))),
    (status = 404, description = "The page needs no such file"),
))]
pub async fn file(Path(file): Path) -> Answer<Response<Body>> {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
        // Nothing is asked of an outside service, and no credential is kept in the browser.
        Arc::new(Config::new(["/openapi.json"]).validator_url("none").persist_authorization(false))
    });
    let found = utoipa_swagger_ui::serve(&file, CONFIG.clone()).ok().flatten();
    let found = found.filter(|_| !["index.html", ""].contains(&file.as_str())).ok_or_else(|| Problem::not_found("Not Found"))?;
    let mut response = page(found.bytes.into_owned().into(), "application/octet-stream");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(&found.content_type).unwrap_or(HeaderValue::from_static("text/plain")));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    if let Some(encoding) = found.gzpipped.then_some("gzip") {
        headers.insert(axum::http::header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    Ok(response)
}

/// Where another service has its page: it is `/docs` here
#[utoipa::path(get, path = "/redoc", tag = "description", responses((status = 307, description = "See /docs", headers(("Location" = String)))))]
pub async fn elsewhere() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/docs"));
    response
}

fn page(body: Body, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}
