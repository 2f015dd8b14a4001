//! `/v1/history` and `/v1/rollback`: the values that an entry had.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::entries::{TargetParameters, change_entry, made, no_entry};
use super::entry::{KindView, unread};
use super::precondition::Precondition;
use super::{missing, reply_tagged, target};
use crate::serve::Server;
use crate::serve::call::Call;
use crate::serve::configs::time;
use crate::serve::error::Answer;
use crate::serve::fields::{Fields, Payload};
use crate::serve::query::{Path, Query};

/// The versions of an entry, without their values.
#[derive(Serialize, ToSchema)]
pub struct History {
    name: String,
    environment: Option<String>,
    /// Those that are kept, oldest first.
    versions: Vec<VersionView>,
}

/// A version of an entry.
#[derive(Serialize, ToSchema)]
#[schema(as = Version)]
pub struct VersionView {
    version: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(value_type = KindView)]
    kind: &'static str,
    current: bool,
}

/// The version that is to be current again.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what rollback reads")]
pub struct Rollback {
    #[schema(minimum = 1)]
    version: u64,
}

/// List the versions of an entry; `GET /v1/entries/{name}?version=` reads one
#[utoipa::path(get, path = "/v1/history/{name}", tag = "versions", params(
    ("name" = String, Path, min_length = 1, max_length = 255), TargetParameters,
), responses(
    (status = 200, body = History, headers(("ETag" = String))),
    (status = 404, description = "There is no such entry"),
))]
pub async fn list(call: Call, Path(name): Path, mut query: Query) -> Answer<Response<Body>> {
    let id = target(&name, &mut query);
    query.finish()?;
    let entry = call.find(&id.ok_or_else(unread)?)?.ok_or_else(missing)?;
    call.did(&entry);
    let versions = entry.versions().map(|version| VersionView {
        version: version.number,
        created_at: time(version.created),
        kind: version.kind.word(),
        current: version.current,
    });
    let id = entry.id();
    let (name, environment) = (id.name.to_string(), id.environment.as_ref().map(ToString::to_string));
    reply_tagged(StatusCode::OK, &History { name, environment, versions: versions.collect() }, &entry)
}

/// Make the value of an older version current again, as a new version
#[utoipa::path(post, path = "/v1/rollback/{name}", tag = "versions", params(
    ("name" = String, Path, min_length = 1, max_length = 255), TargetParameters, ("If-Match" = Option<String>, Header),
), request_body = Rollback, responses(
    (status = 200, body = super::entry::EntryView, headers(("ETag" = String))),
    (status = 404, description = "There is no such entry or version"),
    (status = 409, description = "A rotation of it is under way"),
    (status = 412, description = "It is not as the client expects"),
))]
pub async fn rollback(
    State(server): State<Arc<Server>>,
    call: Call,
    Path(name): Path,
    mut query: Query,
    precondition: Precondition,
    payload: Payload,
) -> Answer<Response<Body>> {
    let id = target(&name, &mut query);
    let mut fields = Fields::parse(&payload)?;
    let number = fields.required_number("version");
    fields.finish_with(query)?;
    let (id, number) = (id.ok_or_else(unread)?, number.ok_or_else(unread)?);
    let changed = change_entry(&server, &call, &id, move |changes, old, _| {
        let old = old.ok_or_else(no_entry)?;
        precondition.check(Some(&old))?;
        changes.rollback(old.id(), number)
    });
    made(&server, &call, &changed.await?, false)
}
