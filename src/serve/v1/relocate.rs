//! `/v1/copy` and `/v1/move`: an entry under another name or in another environment.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use utoipa::ToSchema;

use super::entries::{TargetParameters, change, made, no_entry, visible};
use super::entry::{EntryView, identity, unread};
use super::precondition::Precondition;
use super::target;
use crate::audit::Event;
use crate::name::EntryId;
use crate::serve::Server;
use crate::serve::call::Call;
use crate::serve::error::{Answer, Fault, Problem};
use crate::serve::events::Happening;
use crate::serve::fields::{Fields, Payload};
use crate::serve::query::{Path, Query};
use crate::vault::{Entry, Error, ErrorKind};

/// Where an entry goes.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what relocate reads")]
pub struct Destination {
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// None, if this says nothing.
    #[schema(max_length = 100)]
    environment: Option<String>,
    /// Replace what is there.
    overwrite: Option<bool>,
}

/// Copy the current value and the metadata of an entry
#[utoipa::path(post, path = "/v1/copy/{name}", tag = "entries", params(
    ("name" = String, Path, min_length = 1, max_length = 255), TargetParameters, ("If-Match" = Option<String>, Header),
), request_body = Destination, responses(
    (status = 201, body = EntryView, headers(("ETag" = String), ("Location" = String))),
    (status = 404, description = "There is no such entry"),
    (status = 409, description = "There is such an entry at the destination"),
    (status = 412, description = "It is not as the client expects"),
))]
pub async fn copy(
    State(server): State<Arc<Server>>,
    call: Call,
    Path(name): Path,
    query: Query,
    precondition: Precondition,
    payload: Payload,
) -> Answer<Response<Body>> {
    let (_, entry) = relocate(&server, &call, &name, query, precondition, &payload, false).await?;
    made(&server, &call, &entry, true)
}

/// Give an entry another name or environment; its versions go with it
#[utoipa::path(post, path = "/v1/move/{name}", tag = "entries", params(
    ("name" = String, Path, min_length = 1, max_length = 255), TargetParameters, ("If-Match" = Option<String>, Header),
), request_body = Destination, responses(
    (status = 201, body = EntryView, headers(("ETag" = String), ("Location" = String))),
    (status = 404, description = "There is no such entry"),
    (status = 409, description = "There is such an entry at the destination"),
    (status = 412, description = "It is not as the client expects"),
))]
pub async fn rename(
    State(server): State<Arc<Server>>,
    call: Call,
    Path(name): Path,
    query: Query,
    precondition: Precondition,
    payload: Payload,
) -> Answer<Response<Body>> {
    let (old, entry) = relocate(&server, &call, &name, query, precondition, &payload, true).await?;
    server.tell(Happening::deleted(&old));
    let response = made(&server, &call, &entry, true);
    call.happened(Event::new(call.action()).entry(&entry).detail(format!("from '{}'", old.id())));
    response
}

/// Copies or moves, and returns the entry as it was and as it is.
async fn relocate(
    server: &Server,
    call: &Call,
    name: &str,
    mut query: Query,
    precondition: Precondition,
    payload: &Payload,
    moves: bool,
) -> Answer<(Entry, Entry)> {
    let from = target(name, &mut query);
    let mut fields = Fields::parse(payload)?;
    let to = identity(&mut fields, "name", "environment");
    let overwrite = fields.optional_flag("overwrite").unwrap_or(false);
    fields.finish_with(query)?;
    let (from, to): (EntryId, EntryId) = (from.ok_or_else(unread)?, to.ok_or_else(unread)?);
    if from == to {
        return Err(Problem::invalid(vec![Fault::new("value_error", "body", "name", "Value error, where it is already")]));
    }
    call.covers(&to)?;
    let relocated = change(server, call, &from, move |changes, from, grant| {
        let old = visible(changes.entry(from)?, grant).ok_or_else(no_entry)?;
        precondition.check(Some(&old))?;
        let there = changes.entry(&to)?;
        if there.as_ref().is_some_and(|there| overwrite && !grant.covers_category(there.category())) {
            return Err(Error::new(ErrorKind::NotPermitted, "not_permitted", "not permitted for this category"));
        }
        if moves {
            changes.rename(from, &to, overwrite)?;
        } else {
            changes.copy(from, &to, overwrite)?;
        }
        let new = changes.entry(&to)?;
        new.map(|new| (old, new)).ok_or_else(|| Error::new(ErrorKind::Internal, "internal", "what was written is not there"))
    });
    relocated.await
}
