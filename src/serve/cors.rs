//! Pages of other origins (the Fetch standard, "CORS protocol"): heard only from origins that are named, and never with cookies, of which there are none.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use axum::http::{Method, Response, StatusCode};
use axum::middleware::Next;

use super::Server;

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const HEADERS: &str = "authorization, content-type, if-match, if-none-match, x-api-key, x-backup-password, x-user-key";
const EXPOSED: &str = "etag, location, retry-after, x-next-cursor, x-request-id";
/// How long a browser may remember what it was told, in seconds.
const REMEMBERED: &str = "600";

/// Whether a text is an origin: a scheme and a host, perhaps a port, and nothing else.
pub fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._:[]".contains(c);
    ["http", "https"].contains(&scheme) && !host.is_empty() && host.chars().all(plain)
}

/// Answers what browsers ask beforehand, and says in answers who may read them. In place only where origins are named.
pub async fn around(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response<Body> {
    let is_named = |origin: &&HeaderValue| server.settings.cors_origins.iter().any(|own| own.as_bytes() == origin.as_bytes());
    let origin = request.headers().get(ORIGIN).filter(is_named).cloned();
    let is_question = request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match &origin {
        Some(_) if is_question => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED));
            response
        }
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        for text in ["https://app.example.org", "http://localhost:3000", "https://[::1]:8443"] {
            assert!(is_origin(text), "{text}");
        }
        for text in
            ["*", "null", "https://", "https://*", "https://a.b/", "https://a.b/c", "ftp://a", "https://A.b", "https://u@a"]
        {
            assert!(!is_origin(text), "{text}");
        }
    }
}
