//! `/v1/entries`: entries and their values.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ETAG, HeaderValue, LOCATION};
use axum::http::{Response, StatusCode};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::entry::{EntryContents, EntryView, contents, identity, json_value, unread};
use super::precondition::{Precondition, tag_of};
use super::selection::{Selection, SelectionParameters};
use super::{blocking, expired, missing, refuse, reply, reply_tagged, target};
use crate::audit::Event;
use crate::format::record::Kind;
use crate::name::{Category, EntryId};
use crate::secret::SecretValue;
use crate::serve::Server;
use crate::serve::call::Call;
use crate::serve::committer::now;
use crate::serve::error::{Answer, Problem};
use crate::serve::events::Happening;
use crate::serve::fields::{Fields, LARGEST, Payload};
use crate::serve::query::{Path, Query};
use crate::vault::field::{self, FieldPath};
use crate::vault::{Change, Changes, Entry, Error, ErrorKind, Grant, Write};

/// Which entry.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what target reads")]
pub struct TargetParameters {
    /// Its environment; exactly this one.
    #[param(max_length = 100)]
    env: Option<String>,
}

/// Which part of an entry.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what read reads")]
pub struct PartParameters {
    /// The value of this version, not of the current one.
    #[param(minimum = 1)]
    version: Option<u64>,
    /// Only this field of a JSON value: `db.host`, or `/db/host`.
    field: Option<String>,
}

/// Which part of an entry is written.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what patch reads")]
pub struct FieldParameters {
    /// `value` becomes this field of the JSON value: `db.host`, or `/db/host`.
    field: Option<String>,
}

/// A page of entries.
#[derive(Serialize, ToSchema)]
pub struct EntryPage {
    pub(super) entries: Vec<EntryView>,
    /// The cursor of the next page; null on the last.
    pub(super) next: Option<String>,
}

/// An entry that is to be made.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what create reads")]
pub struct NewEntry {
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    #[schema(max_length = 100)]
    environment: Option<String>,
    #[schema(inline)]
    #[serde(flatten)]
    contents: EntryContents,
}

/// What becomes of an entry.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what patch reads")]
pub struct EntryChanges {
    /// A new value; with `?field=` of that field alone.
    #[schema(value_type = Option<Value>)]
    value: Option<serde_json::Value>,
    #[schema(value_type = Option<super::entry::KindView>)]
    kind: Option<String>,
    #[schema(max_length = 100)]
    category: Option<String>,
    #[schema(max_items = 64)]
    tags: Option<Vec<String>>,
    /// Metadata by key; null takes a key away.
    meta: Option<std::collections::BTreeMap<String, Option<String>>>,
    /// A time with an offset (RFC 3339), a day, or a duration from now such as 30d; null: never.
    expires: Option<String>,
}

/// List entries, without their values
#[utoipa::path(get, path = "/v1/entries", tag = "entries", params(SelectionParameters), responses((status = 200, body = EntryPage)))]
pub async fn list(call: Call, mut query: Query) -> Answer<Response<Body>> {
    let selection = Selection::of_query(&mut query);
    query.finish()?;
    let page = blocking(move || {
        let (entries, next) = selection.page(&call)?;
        let now = call.vault()?.clock(now()).for_reading();
        Ok(EntryPage { entries: entries.iter().map(|entry| EntryView::of(entry, now)).collect(), next })
    });
    reply(StatusCode::OK, &page.await?)
}

/// Make an entry
#[utoipa::path(post, path = "/v1/entries", tag = "entries", request_body = NewEntry, responses(
    (status = 201, body = EntryView, headers(("ETag" = String), ("Location" = String))),
    (status = 409, description = "There is such an entry"),
))]
pub async fn create(State(server): State<Arc<Server>>, call: Call, payload: Payload) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let id = identity(&mut fields, "name", "environment");
    let write = contents(&mut fields, true, now());
    fields.finish()?;
    let id = id.ok_or_else(unread)?;
    let entry = write_entry(&server, &call, &id, Write { create_only: true, ..write }, Precondition::default()).await?.0;
    made(&server, &call, &entry, true)
}

/// Read an entry with its value
#[utoipa::path(get, path = "/v1/entries/{name}", tag = "entries", params(
    ("name" = String, Path, min_length = 1, max_length = 255), TargetParameters, PartParameters, ("If-None-Match" = Option<String>, Header),
), responses(
    (status = 200, body = EntryView, headers(("ETag" = String))),
    (status = 304, description = "The client knows it as it is"),
    (status = 404, description = "There is no such entry, version or field"),
    (status = 410, description = "The entry has expired"),
))]
pub async fn read(
    State(server): State<Arc<Server>>,
    call: Call,
    Path(name): Path,
    mut query: Query,
    precondition: Precondition,
) -> Answer<Response<Body>> {
    let id = target(&name, &mut query);
    let version = query.number("version", 1..=LARGEST);
    let path = query.parsed("field", "not a field such as db.host or /db/host", |text| FieldPath::parse(text).ok());
    query.finish()?;
    let entry = call.find(&id.ok_or_else(unread)?)?.ok_or_else(missing)?;
    let vault = call.vault()?;
    call.happened(Event::new(call.action()).entry(&entry).version(version));
    let now = vault.clock(now()).for_reading();
    if entry.is_expired(now) {
        return Err(expired());
    }
    if precondition.is_known(&entry) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(ETAG, HeaderValue::from_str(&tag_of(&entry)).map_err(|_| Problem::internal())?);
        return Ok(response);
    }
    let view = view_of(&server, vault, &entry, version, path.as_ref(), now)?;
    reply_tagged(StatusCode::OK, &view, &entry)
}

/// An entry with the value of a version, or a field of that.
pub fn view_of(
    server: &Server,
    vault: &crate::vault::Vault,
    entry: &Entry,
    version: Option<u64>,
    path: Option<&FieldPath>,
    now: u64,
) -> Answer<EntryView> {
    let value = vault.value_of(entry, version).map_err(|error| refuse(server, &error))?;
    let number = version.unwrap_or(entry.version());
    let kind = entry.versions().find(|version| version.number == number).map_or(entry.kind(), |version| version.kind);
    let (value, kind) = match path {
        None => (value, kind),
        Some(path) => {
            let part = field::get_json(&value, path).map_err(|error| refuse(server, &error))?;
            (part, Kind::Json)
        }
    };
    EntryView::of(entry, now).with(number, kind, &value)
}

/// Write a value, whether or not there is such an entry
///
/// Category, tags and metadata that are not named stay. `If-None-Match: *` makes an entry and changes none; `If-Match` changes one that is as the client knows it.
#[utoipa::path(put, path = "/v1/entries/{name}", tag = "entries", params(
    ("name" = String, Path, min_length = 1, max_length = 255), TargetParameters,
    ("If-Match" = Option<String>, Header), ("If-None-Match" = Option<String>, Header),
), request_body = EntryContents, responses(
    (status = 200, body = EntryView, headers(("ETag" = String))),
    (status = 201, description = "It is new", body = EntryView, headers(("ETag" = String), ("Location" = String))),
    (status = 409, description = "A rotation of it is under way"),
    (status = 412, description = "It is not as the client expects"),
))]
pub async fn put(
    State(server): State<Arc<Server>>,
    call: Call,
    Path(name): Path,
    mut query: Query,
    precondition: Precondition,
    payload: Payload,
) -> Answer<Response<Body>> {
    let id = target(&name, &mut query);
    let mut fields = Fields::parse(&payload)?;
    let write = contents(&mut fields, true, now());
    fields.finish_with(query)?;
    let (entry, created) = write_entry(&server, &call, &id.ok_or_else(unread)?, write, precondition).await?;
    made(&server, &call, &entry, created)
}

/// Change what is named of an entry
///
/// Without `value` no version is made. With `?field=` the value becomes a field of the JSON value that is there.
#[utoipa::path(patch, path = "/v1/entries/{name}", tag = "entries", params(
    ("name" = String, Path, min_length = 1, max_length = 255), TargetParameters, FieldParameters, ("If-Match" = Option<String>, Header),
), request_body = EntryChanges, responses(
    (status = 200, body = EntryView, headers(("ETag" = String))),
    (status = 404, description = "There is no such entry"),
    (status = 409, description = "A rotation of it is under way"),
    (status = 412, description = "It is not as the client expects"),
))]
pub async fn patch(
    State(server): State<Arc<Server>>,
    call: Call,
    Path(name): Path,
    mut query: Query,
    precondition: Precondition,
    payload: Payload,
) -> Answer<Response<Body>> {
    let id = target(&name, &mut query);
    let path = query.parsed("field", "not a field such as db.host or /db/host", |text| FieldPath::parse(text).ok());
    let mut fields = Fields::parse(&payload)?;
    let part = if path.is_some() { fields.required("value") } else { None };
    let write = contents(&mut fields, false, now());
    fields.finish_with(query)?;
    let id = id.ok_or_else(unread)?;
    let entry = match path.zip(part) {
        None => write_entry(&server, &call, &id, Write { update_only: true, ..write }, precondition).await?.0,
        Some((path, part)) => {
            let write = Write { update_only: true, ..write };
            let part = json_value(&part);
            change_entry(&server, &call, &id, move |changes, old, grant| {
                let old = old.ok_or_else(no_entry)?;
                precondition.check(Some(&old))?;
                permit(grant, Some(&old), &write)?;
                changes.update(old.id(), None, &mut |current| {
                    let value = field::set(current.map(|(_, value)| value), &path, &part, true)?;
                    Ok(write.with_value(value, Kind::Json))
                })
            })
            .await?
        }
    };
    made(&server, &call, &entry, false)
}

/// Remove an entry with all its versions
#[utoipa::path(delete, path = "/v1/entries/{name}", tag = "entries", params(
    ("name" = String, Path, min_length = 1, max_length = 255), TargetParameters, ("If-Match" = Option<String>, Header),
), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "There is no such entry"),
    (status = 409, description = "A rotation of it is under way"),
    (status = 412, description = "It is not as the client expects"),
))]
pub async fn delete(
    State(server): State<Arc<Server>>,
    call: Call,
    Path(name): Path,
    mut query: Query,
    precondition: Precondition,
) -> Answer<Response<Body>> {
    let id = target(&name, &mut query);
    query.finish()?;
    let id = id.ok_or_else(unread)?;
    let removed = change(&server, &call, &id, move |changes, id, grant| {
        let old = visible(changes.entry(id)?, grant).ok_or_else(no_entry)?;
        precondition.check(Some(&old))?;
        changes.remove(std::slice::from_ref(id))?;
        Ok(old)
    });
    let entry = removed.await?;
    call.did(&entry);
    server.tell(Happening::deleted(&entry));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// What is said of an entry that was written.
pub fn made(server: &Server, call: &Call, entry: &Entry, created: bool) -> Answer<Response<Body>> {
    call.did(entry);
    server.tell(if created { Happening::created(entry) } else { Happening::updated(entry) });
    let now = call.vault()?.clock(now()).for_reading();
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = reply_tagged(status, &EntryView::of(entry, now), entry)?;
    if created {
        let location = HeaderValue::from_str(&location(entry.id())).map_err(|_| Problem::internal())?;
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

fn location(id: &EntryId) -> String {
    let name = escaped(id.name.as_str(), "/");
    match &id.environment {
        None => format!("/v1/entries/{name}"),
        Some(environment) => format!("/v1/entries/{name}?env={}", escaped(environment.as_str(), "")),
    }
}

/// A text as part of a URI (RFC 3986, section 2.3).
fn escaped(text: &str, also: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.as_bytes().contains(&byte);
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if plain(byte) {
            out.push(char::from(byte))
        } else {
            out += &format!("%{byte:02X}")
        }
        out
    })
}

/// Makes a change to an entry whose name and environment the caller may change, for which the closure is called under the lock, perhaps twice.
pub async fn change<T: Send + 'static>(
    server: &Server,
    call: &Call,
    id: &EntryId,
    mut make: impl FnMut(&mut Changes<'_>, &EntryId, &Grant) -> crate::vault::Result<T> + Send + 'static,
) -> Answer<T> {
    call.covers(id)?;
    let open = call.caller.open.clone().ok_or_else(Problem::sealed)?;
    let (id, grant) = (id.clone(), call.caller.grant.clone());
    let changed = server.committer.change(&open, move |changes| make(changes, &id, &grant)).await;
    changed.map_err(|error| refuse(server, &error))
}

/// As [`change`], of an entry: the closure gets it as it is, unless it is of a category that the caller has nothing to do with. Returns it as it is then.
pub async fn change_entry<T>(
    server: &Server,
    call: &Call,
    id: &EntryId,
    mut make: impl FnMut(&mut Changes<'_>, Option<Entry>, &Grant) -> crate::vault::Result<T> + Send + 'static,
) -> Answer<Entry> {
    let changed = change(server, call, id, move |changes, id, grant| {
        make(changes, visible(changes.entry(id)?, grant), grant)?;
        changes.entry(id)?.ok_or_else(|| Error::new(ErrorKind::Internal, "internal", "what was written is not there"))
    });
    changed.await
}

/// An entry, if the caller has something to do with its category.
pub fn visible(entry: Option<Entry>, grant: &Grant) -> Option<Entry> {
    entry.filter(|entry| grant.covers_category(entry.category()))
}

/// That there is no entry, as whoever may not know of it hears too.
pub fn no_entry() -> Error {
    Error::new(ErrorKind::NotFound, "not_found", "there is no such entry")
}

/// Refuses a write that would put an entry into a category that the caller has nothing to do with.
fn permit(grant: &Grant, old: Option<&Entry>, write: &Write) -> crate::vault::Result<()> {
    let category: Option<&Category> = match &write.category {
        Change::Keep => old.and_then(Entry::category),
        Change::Clear => None,
        Change::Set(category) => Some(category),
    };
    if grant.covers_category(category) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotPermitted, "not_permitted", "not permitted for this category"))
}

/// Writes an entry, and returns it as it is then, and whether it is new.
async fn write_entry(
    server: &Server,
    call: &Call,
    id: &EntryId,
    write: Write,
    precondition: Precondition,
) -> Answer<(Entry, bool)> {
    let written = change(server, call, id, move |changes, id, grant| {
        let there = changes.entry(id)?;
        let hidden = there.is_some();
        let old = visible(there, grant);
        if hidden && old.is_none() {
            // Whoever may not know of it learns as much from what a new one would be refused with, and no more.
            let not_permitted = || Error::new(ErrorKind::NotPermitted, "not_permitted", "not permitted for this category");
            return Err(if write.update_only { no_entry() } else { not_permitted() });
        }
        precondition.check(old.as_ref())?;
        permit(grant, old.as_ref(), &write)?;
        let created = changes.set(id, &write)?.created;
        let entry = changes.entry(id)?;
        entry
            .map(|entry| (entry, created))
            .ok_or_else(|| Error::new(ErrorKind::Internal, "internal", "what was written is not there"))
    });
    written.await
}

/// A value that a change may need twice.
pub fn again(value: &SecretValue) -> SecretValue {
    SecretValue::new(value.expose().to_vec().into())
}
