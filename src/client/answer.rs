//! What a server answered: read whole, within a limit, and its refusals as errors of the vault.

use serde::Deserialize;
use ureq::Body;
use ureq::http::Response;
use zeroize::Zeroizing;

use crate::vault::{Error, ErrorKind, Result};

/// The longest answer that is read: a page of values, escaped.
const MOST: u64 = 512 << 20;

/// An answer.
pub struct Answer {
    status: u16,
    retry_after: Option<u64>,
    body: Zeroizing<Vec<u8>>,
}

/// A refusal (RFC 9457), as far as it matters here.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Problem {
    code: String,
    detail: String,
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    loc: Vec<String>,
    msg: String,
}

impl Answer {
    pub(super) fn read(mut response: Response<Body>) -> std::result::Result<Self, ureq::Error> {
        let status = response.status().as_u16();
        let seconds = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let body = Zeroizing::new(response.body_mut().with_config().limit(MOST).read_to_vec()?);
        Ok(Self { status, retry_after: seconds, body })
    }

    /// Its status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Its body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether it says that there is no such entry, rather than no such version of one.
    pub fn is_missing_entry(&self) -> bool {
        self.status == 404 && self.problem().is_some_and(|problem| problem.code == "not_found")
    }

    /// The answer, unless it is a refusal.
    pub fn good(self) -> Result<Self> {
        match self.status {
            200..=299 => Ok(self),
            _ => Err(self.refusal()),
        }
    }

    fn problem(&self) -> Option<Problem> {
        serde_json::from_slice::<Problem>(&self.body).ok().filter(|problem| !problem.code.is_empty())
    }

    fn refusal(&self) -> Error {
        let Some(problem) = self.problem() else {
            return Error::new(
                ErrorKind::Network,
                "not_a_server",
                format!("what answers there, with status {}, is no server of vault", self.status),
            )
            .hint("the address is that under which the server's paths are, without /v1");
        };
        let faults: Vec<String> = problem.errors.iter().map(|fault| format!("{}: {}", fault.loc.join("."), fault.msg)).collect();
        let said = if faults.is_empty() { problem.detail } else { faults.join("; ") };
        let (kind, code) = match (self.status, problem.code.as_str()) {
            (401, _) => (ErrorKind::Locked, "bad_token"),
            (403, _) => (ErrorKind::NotPermitted, "not_permitted"),
            (404, _) => (ErrorKind::NotFound, "not_found"),
            (409, "exists") => (ErrorKind::Conflict, "exists"),
            (409, _) => (ErrorKind::Conflict, "conflict"),
            (410, _) => (ErrorKind::Expired, "expired"),
            (412, _) => (ErrorKind::Conflict, "version_mismatch"),
            (429, _) | (503, "busy" | "conflict" | "keys_changed" | "replaced") => (ErrorKind::Busy, "busy"),
            (503, "sealed") => (ErrorKind::Network, "sealed"),
            (400..=499, _) => (ErrorKind::Usage, "refused"),
            _ => (ErrorKind::Network, "remote"),
        };
        let error = Error::new(kind, code, format!("the server says: {said}"));
        match (kind, self.retry_after) {
            (ErrorKind::Locked, _) => {
                error.hint("the token is wrong, revoked, expired or used up; `vault token list` tells which")
            }
            (ErrorKind::NotPermitted, _) => error
                .hint("the token does not have this right, or not from this address; `vault token show` tells what it may do"),
            (ErrorKind::Usage, _) if self.status == 413 => error.hint("`vault serve --max-body` says how much it takes"),
            (ErrorKind::Network, _) if code == "sealed" => error.hint("somebody has to unseal it: POST /v1/sys/unseal"),
            (ErrorKind::Network, _) => error.hint("its log says what happened"),
            (_, Some(seconds)) => error.hint(format!("try again in {seconds} seconds")),
            _ => error,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: &str) -> Error {
        let body = format!(r#"{{"type":"urn:x","status":{status},"code":"{code}","detail":"words","request_id":"1"}}"#);
        Answer { status, retry_after: Some(7), body: Zeroizing::new(body.into_bytes()) }.good().err().unwrap()
    }

    #[test]
    fn refusals_are_the_errors_that_the_vault_gives() {
        for (status, code, kind) in [
            (401, "unauthenticated", ErrorKind::Locked),
            (403, "not_permitted", ErrorKind::NotPermitted),
            (404, "not_found", ErrorKind::NotFound),
            (409, "exists", ErrorKind::Conflict),
            (410, "expired", ErrorKind::Expired),
            (412, "version_mismatch", ErrorKind::Conflict),
            (413, "too_large", ErrorKind::Usage),
            (422, "invalid_request", ErrorKind::Usage),
            (429, "rate_limited", ErrorKind::Busy),
            (500, "internal", ErrorKind::Network),
            (503, "busy", ErrorKind::Busy),
            (503, "sealed", ErrorKind::Network),
        ] {
            assert_eq!(refusal(status, code).kind(), kind, "{status} {code}");
        }
        assert!(refusal(429, "rate_limited").hint_text().unwrap().contains("7 seconds"));
    }

    #[test]
    fn an_answer_of_something_else_is_none_of_a_server() {
        for body in ["<html>Not Found</html>", "{}", ""] {
            for status in [301, 404, 500] {
                let answer = Answer { status, retry_after: None, body: Zeroizing::new(body.as_bytes().to_vec()) };
                assert!(!answer.is_missing_entry());
                let error = answer.good().err().unwrap();
                assert_eq!((error.kind(), error.code()), (ErrorKind::Network, "not_a_server"), "{body}");
            }
        }
    }
}
