//! What a request is refused with, and how that looks on the wire: the one map from errors to statuses.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::audit::Status;
use crate::vault::{Error, ErrorKind};

/// A refusal. It never quotes what was sent: that may be a secret.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The status of the response.
    pub status: StatusCode,
    /// A stable code, as in the errors of the command line.
    pub code: &'static str,
    /// Who is refused, if they proved who they are: what they are called in logs.
    pub who: Option<String>,
    detail: Detail,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug, Clone)]
enum Detail {
    Text(String),
    Fields(Vec<Fault>),
}

/// What is wrong with one part of a request.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The kind of the fault, such as `missing`.
    pub kind: &'static str,
    /// Where: `body`, `query`, `header` or `path`, and the name of the field.
    pub place: Vec<String>,
    /// In words.
    pub message: String,
}

impl Fault {
    /// A fault of the field `name` in `place`.
    pub fn new(kind: &'static str, place: &str, name: &str, message: impl Into<String>) -> Self {
        Self { kind, place: vec![place.to_owned(), name.to_owned()], message: message.into() }
    }
}

/// A result whose error is the response.
pub type Answer<T> = std::result::Result<T, Problem>;

impl Problem {
    /// A refusal in words.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, who: None, detail: Detail::Text(detail.into()), headers: Vec::new() }
    }

    /// A request that is not well-formed: all that is wrong with it.
    pub fn invalid(faults: Vec<Fault>) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: "invalid_request",
            who: None,
            detail: Detail::Fields(faults),
            headers: Vec::new(),
        }
    }

    /// What is wrong with the request, field by field.
    pub fn into_faults(self) -> Vec<Fault> {
        match self.detail {
            Detail::Fields(faults) => faults,
            Detail::Text(_) => Vec::new(),
        }
    }

    /// Nobody said who they are.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
            .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// Whoever asks may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "not_permitted", detail)
    }

    /// Too much was asked; to be tried again after so many seconds.
    pub fn too_many(detail: impl Into<String>, seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).retry_after(seconds)
    }

    /// The vault is not open.
    pub fn sealed() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "sealed", "The vault is sealed").retry_after(5)
    }

    /// Something failed inside; the server's log says what, if anything does.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error")
    }

    /// Something is not there.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// The same for somebody who proved who they are.
    pub fn for_whom(mut self, who: Option<&str>) -> Self {
        self.who = who.map(str::to_owned);
        self
    }

    /// The same in other words.
    pub fn saying(mut self, detail: &str) -> Self {
        self.detail = Detail::Text(detail.to_owned());
        self
    }

    /// When to try again.
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// Adds a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// How the log of the vault calls it.
    pub fn audit_status(&self) -> Status {
        match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => Status::Denied,
            StatusCode::NOT_FOUND => Status::NotFound,
            StatusCode::GONE => Status::Expired,
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Status::Conflict,
            status if status.is_client_error() => Status::BadRequest,
            _ => Status::Error,
        }
    }

    /// The body as the services of old had it, or as RFC 9457 has it.
    pub fn body(&self, family: Family, request: &str) -> Vec<u8> {
        let faults = |faults: &[Fault]| -> Value {
            faults.iter().map(|fault| json!({ "type": fault.kind, "loc": fault.place, "msg": fault.message })).collect()
        };
        let value = match (family, &self.detail) {
            (Family::Detail, Detail::Text(text)) => json!({ "detail": text }),
            (Family::Detail, Detail::Fields(fields)) => json!({ "detail": faults(fields) }),
            (Family::Problem, detail) => {
                let mut value = json!({
                    "type": format!("urn:vault:error:{}", self.code),
                    "title": self.status.canonical_reason().unwrap_or("Error"),
                    "status": self.status.as_u16(),
                    "code": self.code,
                    "request_id": request,
                });
                match detail {
                    Detail::Text(text) => value["detail"] = json!(text),
                    Detail::Fields(fields) => {
                        value["detail"] = json!("The request is not well-formed");
                        value["errors"] = faults(fields);
                    }
                }
                value
            }
        };
        value.to_string().into_bytes()
    }
}

/// How errors look, which depends on the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `{"detail": …}`
    Detail,
    /// Problem details (RFC 9457).
    Problem,
}

impl Family {
    /// That of a path.
    pub fn of(path: &str) -> Self {
        if path == "/v1" || path.starts_with("/v1/") { Self::Problem } else { Self::Detail }
    }

    /// The content type of errors.
    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Detail => "application/json",
            Self::Problem => "application/problem+json",
        })
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Usage => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict if error.code() == "version_mismatch" => StatusCode::PRECONDITION_FAILED,
            ErrorKind::Conflict if ["keys_changed", "replaced", "conflict"].contains(&error.code()) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Expired => StatusCode::GONE,
            ErrorKind::NotPermitted => StatusCode::FORBIDDEN,
            ErrorKind::Busy => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Locked => StatusCode::UNAUTHORIZED,
            ErrorKind::Network => StatusCode::BAD_GATEWAY,
            ErrorKind::Internal | ErrorKind::NoVault | ErrorKind::Damaged | ErrorKind::Stale | ErrorKind::Io => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        let detail = match status {
            // What failed inside is for the server's log.
            StatusCode::INTERNAL_SERVER_ERROR => "Internal error".to_owned(),
            _ => error.to_string(),
        };
        let problem = Self::new(status, error.code(), detail);
        if status == StatusCode::SERVICE_UNAVAILABLE { problem.retry_after(1) } else { problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, Family::Detail.content_type());
        for (name, value) in &self.headers {
            response.headers_mut().append(name, value.clone());
        }
        // The body depends on the route, which is known where all responses pass.
        response.extensions_mut().insert(self);
        response
    }
}
