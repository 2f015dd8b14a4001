//! `/v1/batch`: the values of entries that are named, in one request.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::entries::view_of;
use super::entry::{EntryView, identity};
use super::{MOST_BYTES, blocking, expired, missing, reply};
use crate::audit::Event;
use crate::name::EntryId;
use crate::serve::Server;
use crate::serve::call::Call;
use crate::serve::committer::now;
use crate::serve::error::{Answer, Problem};
use crate::serve::fields::{Fields, Payload};
use crate::vault::field::FieldPath;

/// The most entries in one request.
const MOST: usize = 1000;

/// What to read.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what read reads")]
pub struct Batch {
    #[schema(min_items = 1, max_items = 1000)]
    entries: Vec<BatchItem>,
}

/// An entry, or a part of one.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what read reads")]
pub struct BatchItem {
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    #[schema(max_length = 100)]
    environment: Option<String>,
    #[schema(minimum = 1)]
    version: Option<u64>,
    /// A field of a JSON value.
    field: Option<String>,
}

/// What was read, in the order in which it was asked for.
#[derive(Serialize, ToSchema)]
pub struct BatchResult {
    results: Vec<ItemResult>,
}

/// What became of one item.
#[derive(Serialize, ToSchema)]
pub struct ItemResult {
    name: String,
    environment: Option<String>,
    /// The status that a request for this alone would have: 200, 403, 404, 410 and so on; 413 where the values before are too large for one response.
    #[schema(minimum = 200, maximum = 599)]
    status: u16,
    /// What is wrong, where something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    entry: Option<EntryView>,
}

struct Wanted {
    id: EntryId,
    version: Option<u64>,
    field: Option<FieldPath>,
}

/// Read many entries at once
#[utoipa::path(post, path = "/v1/batch", tag = "values", request_body = Batch, responses((status = 200, body = BatchResult)))]
pub async fn read(State(server): State<Arc<Server>>, call: Call, payload: Payload) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let wanted = fields.objects("entries", 1..=MOST, |item| {
        let id = identity(item, "name", "environment");
        let version = item.optional_number("version");
        let field = item.optional_text("field", 1..=4096);
        let field = item.parsed("field", field, "a field such as db.host or /db/host", |text| FieldPath::parse(text).ok());
        Some(Wanted { id: id?, version, field })
    });
    fields.finish()?;
    let result = blocking(move || {
        let (mut results, mut events) = (Vec::with_capacity(wanted.len()), Vec::with_capacity(wanted.len()));
        let mut size = 0;
        for wanted in &wanted {
            let read = if size > MOST_BYTES { Err(too_large()) } else { one(&server, &call, wanted) };
            let event = Event::new(call.action()).id(&wanted.id).version(wanted.version);
            let (name, environment) = (wanted.id.name.to_string(), wanted.id.environment.as_ref().map(ToString::to_string));
            results.push(match read {
                Ok((view, read)) => {
                    size += view.size();
                    events.push(read);
                    ItemResult { name, environment, status: 200, code: None, entry: Some(view) }
                }
                Err(problem) => {
                    events.push(event.ended(problem.audit_status(), Some(problem.code)));
                    ItemResult { name, environment, status: problem.status.as_u16(), code: Some(problem.code), entry: None }
                }
            });
        }
        call.all_happened(events);
        Ok(BatchResult { results })
    });
    reply(StatusCode::OK, &result.await?)
}

/// The values before take all the room that there is: this one is to be asked for again.
fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The values before it are too large for one response")
}

fn one(server: &Server, call: &Call, wanted: &Wanted) -> Answer<(EntryView, Event)> {
    let entry = call.find(&wanted.id)?.ok_or_else(missing)?;
    let vault = call.vault()?;
    let now = vault.clock(now()).for_reading();
    if entry.is_expired(now) {
        return Err(expired());
    }
    let view = view_of(server, vault, &entry, wanted.version, wanted.field.as_ref(), now)?;
    Ok((view, Event::new(call.action()).entry(&entry).version(wanted.version)))
}
