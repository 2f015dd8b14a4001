//! `/v1`: everything that the command line can do with entries, and what an administrator sees of the vault. One resource, one file.

pub mod audit;
pub mod batch;
pub mod entries;
pub mod entry;
pub mod events;
pub mod export;
pub mod generate;
pub mod history;
pub mod keys;
pub mod precondition;
pub mod relocate;
pub mod rotate;
pub mod selection;
pub mod stats;
pub mod tokens;

#[cfg(test)]
mod tests;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::Server;
use super::configs::respond;
use super::error::{Answer, Problem};
use crate::name::{EntryId, Environment, Name};
use crate::vault::{Entry, Error, ErrorKind};

use super::query::Query;

/// How many bytes of values are put together for one response; the last of them may go beyond. Tests do with less.
const MOST_BYTES: usize = if cfg!(test) { 1000 } else { 32 << 20 };

/// What may take long is done on another thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Answer<T> + Send + 'static) -> Answer<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Problem::internal())?
}

fn missing() -> Problem {
    Problem::not_found("There is no such entry")
}

fn expired() -> Problem {
    Problem::new(StatusCode::GONE, "expired", "The entry has expired")
}

/// A response with a body.
fn reply(status: StatusCode, body: &impl Serialize) -> Answer<Response<Body>> {
    let text = serde_json::to_vec(body).map_err(|_| Problem::internal())?;
    Ok(respond(status, text, None))
}

/// A response about an entry, with its tag.
fn reply_tagged(status: StatusCode, body: &impl Serialize, entry: &Entry) -> Answer<Response<Body>> {
    let mut response = reply(status, body)?;
    let tag = HeaderValue::from_str(&precondition::tag_of(entry)).map_err(|_| Problem::internal())?;
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}

/// An error of the vault as this API says it: without the names and texts that a command line repeats to whoever typed them.
fn refuse(server: &Server, error: &Error) -> Problem {
    let said = match (error.kind(), error.code()) {
        (ErrorKind::NotFound, "version_not_found") => "There is no such version",
        (ErrorKind::NotFound, "field_not_found") => "The value has no such field",
        (ErrorKind::NotFound, "not_found") => "There is no such entry",
        (ErrorKind::Conflict, "exists") => "There is such an entry",
        (ErrorKind::Conflict, "version_mismatch") => "The entry is of another version",
        (ErrorKind::Conflict, _) => "The state of the entry or the vault does not permit it now",
        (ErrorKind::NotPermitted, _) => "Not permitted",
        (ErrorKind::Usage, _) => "What was asked for does not fit the entry",
        (ErrorKind::Busy, _) => "The vault is busy",
        _ => "",
    };
    let problem = Problem::from(error);
    if problem.status.is_server_error() {
        server.lines.error(error);
    }
    if said.is_empty() { problem } else { problem.saying(said) }
}

/// The entry that path and query name; what is wrong with either is noted in the query.
fn target(name: &str, query: &mut Query) -> Option<EntryId> {
    let parsed = Name::parse(name).inspect_err(|error| query.fault("path", "name", &format!("the name {error}"))).ok();
    let environment = environment(query)?;
    Some(EntryId { environment, name: parsed? })
}

/// `?env=`: the environment, or none; the outer `None` for one that is no environment.
fn environment(query: &mut Query) -> Option<Option<Environment>> {
    match query.text("env").filter(|text| !text.is_empty()) {
        None => Some(None),
        Some(text) => Environment::parse(&text)
            .inspect_err(|error| query.fault("query", "env", &format!("the environment {error}")))
            .ok()
            .map(Some),
    }
}
