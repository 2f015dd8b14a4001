//! `/configs`: named JSON values with a category, as two generations of another service have them. Without `environment` as the first, with it as the second.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderValue, IF_MATCH};
use axum::http::{HeaderMap, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::IntoParams;

use super::Server;
use super::call::Call;
use super::error::{Answer, Fault, Problem};
use super::events::Happening;
use super::fields::{Fields, Payload};
use super::listing::{Cursor, Listing, Part};
use super::query::{self, OfQuery, Path, Typed as Query};
use super::schemas::{Configuration, ConfigurationUpdate, Message, NewConfiguration};
use crate::format::record::Kind;
use crate::name::{Category, EntryId, Environment, Name};
use crate::secret::SecretValue;
use crate::serve::committer::now;
use crate::vault::{Change, Entry, Error, ErrorKind, Filter, Scope, Write};

/// Parameters of the path's query.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    environment: Option<String>,
    category: Option<String>,
    mode: Option<String>,
    any: Option<String>,
    limit: Option<u64>,
    cursor: Option<String>,
}

impl OfQuery for Parameters {
    fn of(query: &mut query::Query) -> Self {
        Self {
            environment: query.text("environment"),
            category: query.text("category"),
            mode: query.text("mode"),
            any: query.text("any"),
            limit: query.any_number("limit"),
            cursor: query.filled("cursor"),
        }
    }
}

impl Parameters {
    fn environment(&self) -> Answer<Option<Environment>> {
        parse_environment(self.environment.as_deref(), "query")
    }

    fn id(&self, key: &str) -> Answer<EntryId> {
        let environment = self.environment()?;
        // Both forms of the path are the same entry.
        let name = Name::parse(key.strip_suffix('/').unwrap_or(key))
            .map_err(|error| value_error("path", "key", &format!("the key {error}")))?;
        Ok(EntryId { environment, name })
    }

    fn is_full(&self) -> bool {
        self.mode.as_deref() == Some("full")
    }

    fn takes_any(&self) -> bool {
        matches!(self.any.as_deref(), Some("true" | "1" | "yes" | "on" | ""))
    }
}

fn parse_environment(text: Option<&str>, place: &str) -> Answer<Option<Environment>> {
    let parse =
        |text| Environment::parse(text).map_err(|error| value_error(place, "environment", &format!("the environment {error}")));
    text.filter(|text| !text.is_empty()).map(parse).transpose()
}

fn value_error(place: &str, name: &str, what: &str) -> Problem {
    Problem::invalid(vec![Fault::new("value_error", place, name, format!("Value error, {what}"))])
}

/// How messages name an entry.
fn named(id: &EntryId) -> String {
    match &id.environment {
        None => format!("'{}'", id.name),
        Some(environment) => format!("'{}' in environment '{environment}'", id.name),
    }
}

fn not_found(id: &EntryId) -> Problem {
    Problem::not_found(match &id.environment {
        None => format!("Configuration with key '{}' not found", id.name),
        Some(environment) => format!("Configuration with key '{}' not found in environment '{environment}'", id.name),
    })
}

fn expired(id: &EntryId) -> Problem {
    Problem::new(StatusCode::GONE, "expired", format!("Configuration {} has expired", named(id)))
}

/// A number for an entry that stays with it: so many bits of its uid as JSON numbers hold exactly (RFC 8259, section 6).
pub fn number_of(uid: &[u8; 16]) -> u64 {
    let first = u64::from_le_bytes([uid[0], uid[1], uid[2], uid[3], uid[4], uid[5], uid[6], uid[7]]);
    first & ((1 << 53) - 1)
}

/// A time as ISO 8601 in UTC with microseconds.
pub fn time(milliseconds: u64) -> String {
    let time = i64::try_from(milliseconds).ok().and_then(|time| jiff::Timestamp::from_millisecond(time).ok()).unwrap_or_default();
    format!("{time:.6}")
}

/// The value of an entry as a JSON text.
pub fn json_of(kind: Kind, value: &SecretValue) -> Answer<String> {
    let bytes = value.expose();
    let unreadable = || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", "Internal error");
    match kind {
        Kind::Json => {
            let text: &RawValue = serde_json::from_slice(bytes).map_err(|_| unreadable())?;
            Ok(text.get().to_owned())
        }
        Kind::Text => {
            let text = std::str::from_utf8(bytes).map_err(|_| unreadable())?;
            serde_json::to_string(text).map_err(|_| unreadable())
        }
        Kind::Bytes => Ok(format!(r#"{{"encoding":"base64","data":"{}"}}"#, STANDARD.encode(bytes))),
    }
}

/// A JSON value as it is kept: a text as itself, so that a shell gets it without quotes.
pub fn value_of(value: &Value) -> (SecretValue, Kind) {
    match value {
        Value::String(text) => (SecretValue::from(text.as_str()), Kind::Text),
        value => (SecretValue::new(value.to_string().into_bytes().into()), Kind::Json),
    }
}

/// An entry with its value, as this API has it.
pub fn shown(entry: &Entry, value: &str, with_times: bool) -> String {
    let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let id = entry.id();
    let category = entry.category().map_or_else(|| "null".to_owned(), |category| text(category.as_str()));
    let mut shown =
        format!(r#"{{"id":{},"key":{},"category":{category},"value":{value}"#, number_of(entry.uid()), text(id.name.as_str()),);
    if let Some(environment) = &id.environment {
        shown += r#","environment":"#;
        shown += &text(environment.as_str());
    }
    if with_times {
        shown += &format!(r#","created_at":"{}","updated_at":"{}""#, time(entry.created()), time(entry.modified()));
    }
    shown.push('}');
    shown
}

/// A JSON response.
pub fn respond(status: StatusCode, body: impl Into<Body>, version: Option<u64>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(tag) = version.and_then(|version| HeaderValue::from_str(&format!("\"{version}\"")).ok()) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// The version that the client wants to change, if it says so. `*`: whichever there is.
pub fn if_match(headers: &HeaderMap) -> Answer<Option<u64>> {
    let Some(header) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = header.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let number = text.trim_start_matches("W/").trim_matches('"').parse();
    number
        .map(Some)
        .map_err(|_| Problem::new(StatusCode::PRECONDITION_FAILED, "version_mismatch", "The entry is of another version"))
}

/// Read a configuration
#[utoipa::path(get, path = "/configs/{key}", tag = "configurations", params(("key" = String, Path, min_length = 1, max_length = 255), Parameters), responses(
    (status = 200, body = Configuration, headers(("ETag" = String))),
    (status = 404, description = "There is no such configuration"),
    (status = 410, description = "It has expired"),
))]
pub async fn read(call: Call, Path(key): Path<String>, Query(query): Query<Parameters>) -> Answer<Response<Body>> {
    let id = query.id(&key)?;
    let entry = call.find(&id)?.ok_or_else(|| not_found(&id))?;
    call.did(&entry);
    let vault = call.vault()?;
    if entry.is_expired(vault.clock(now()).for_reading()) {
        return Err(expired(&id));
    }
    // A read of some pages that are in memory: not worth another thread.
    let value = json_of(entry.kind(), &vault.value_of(&entry, None)?)?;
    Ok(respond(StatusCode::OK, shown(&entry, &value, query.is_full()), Some(entry.version())))
}

/// What a body says of a configuration.
struct New {
    id: EntryId,
    value: Value,
    category: Change<Category>,
}

fn parse_category(fields: &mut Fields) -> Change<Category> {
    match fields.optional_text("category", 0..=Category::LIMIT) {
        None => Change::Keep,
        Some(text) if text.is_empty() => Change::Clear,
        Some(text) => match Category::parse(&text) {
            Ok(category) => Change::Set(category),
            Err(error) => {
                fields.fault("value_error", "category", format!("Value error, the category {error}"));
                Change::Keep
            }
        },
    }
}

fn parse_value(fields: &mut Fields, any: bool) -> Option<Value> {
    let value = fields.required("value")?;
    if !any && !value.is_object() {
        fields.fault("dict_type", "value", "Input should be a valid dictionary");
        return None;
    }
    Some(value)
}

fn parse_new(payload: &Payload, query: &Parameters) -> Answer<New> {
    let mut fields = Fields::parse(payload)?;
    let key = fields.text("key", 1..=Name::LIMIT);
    let name = key.and_then(|key| match Name::parse(&key) {
        Ok(name) => Some(name),
        Err(error) => {
            fields.fault("value_error", "key", format!("Value error, the key {error}"));
            None
        }
    });
    // Also by one that is none: that is what is wrong then, and not the value.
    let is_of_environment = fields.has("environment") || query.environment.as_deref().is_some_and(|text| !text.is_empty());
    let text = fields.optional_text("environment", 1..=Environment::LIMIT).or_else(|| query.environment.clone());
    let environment = match text.as_deref().filter(|text| !text.is_empty()).map(Environment::parse) {
        None => None,
        Some(Ok(environment)) => Some(environment),
        Some(Err(error)) => {
            fields.fault("value_error", "environment", format!("Value error, the environment {error}"));
            None
        }
    };
    let value = parse_value(&mut fields, is_of_environment || query.takes_any());
    let category = parse_category(&mut fields);
    fields.finish()?;
    match (name, value) {
        (Some(name), Some(value)) => Ok(New { id: EntryId { environment, name }, value, category }),
        // Each that is missing left a fault behind.
        _ => Err(Problem::invalid(Vec::new())),
    }
}

/// Make a configuration
#[utoipa::path(post, path = "/configs", tag = "configurations", params(Parameters), request_body = NewConfiguration, responses(
    (status = 201, body = Configuration, headers(("ETag" = String))),
    (status = 400, description = "There is such a configuration"),
))]
pub async fn create(
    State(server): State<Arc<Server>>,
    call: Call,
    Query(query): Query<Parameters>,
    payload: Payload,
) -> Answer<Response<Body>> {
    let New { id, value, category } = parse_new(&payload, &query)?;
    call.covers(&id)?;
    call.covers_category(match &category {
        Change::Set(category) => Some(category),
        _ => None,
    })?;
    let (secret, kind) = value_of(&value);
    let write = Write { category, create_only: true, ..Write::value(secret, kind) };
    let exists = {
        let environment = id.environment.as_ref().map(|environment| format!(" in environment '{environment}'"));
        format!("Configuration with key '{}' already exists{}", id.name, environment.unwrap_or_default())
    };
    let entry = write_entry(&server, &call, &id, write).await.map_err(|error| match error.code() {
        "exists" => Problem::new(StatusCode::BAD_REQUEST, "exists", exists),
        _ => error.into(),
    })?;
    call.did(&entry);
    server.tell(Happening::created(&entry));
    let with_times = id.environment.is_some();
    Ok(respond(StatusCode::CREATED, shown(&entry, &value.to_string(), with_times), Some(entry.version())))
}

/// Replace the value of a configuration
#[utoipa::path(put, path = "/configs/{key}", tag = "configurations", params(("key" = String, Path, min_length = 1, max_length = 255), Parameters, ("If-Match" = Option<String>, Header)), request_body = ConfigurationUpdate, responses(
    (status = 200, body = Configuration, headers(("ETag" = String))),
    (status = 404, description = "There is no such configuration"),
    (status = 409, description = "A rotation of it is under way"),
    (status = 412, description = "It is of another version"),
))]
pub async fn update(
    State(server): State<Arc<Server>>,
    call: Call,
    Path(key): Path<String>,
    Query(query): Query<Parameters>,
    headers: HeaderMap,
    payload: Payload,
) -> Answer<Response<Body>> {
    let id = query.id(&key)?;
    let mut fields = Fields::parse(&payload)?;
    let value = parse_value(&mut fields, id.environment.is_some() || query.takes_any());
    let category = parse_category(&mut fields);
    fields.finish()?;
    let value = value.ok_or_else(|| Problem::invalid(Vec::new()))?;
    call.find(&id)?.ok_or_else(|| not_found(&id))?;
    match &category {
        Change::Keep => {}
        Change::Clear => call.covers_category(None)?,
        Change::Set(category) => call.covers_category(Some(category))?,
    }
    let (secret, kind) = value_of(&value);
    let if_version = if_match(&headers)?;
    // The new value does not expire because the old one did.
    let write = Write { category, update_only: true, if_version, expires: Change::Clear, ..Write::value(secret, kind) };
    let entry = write_entry(&server, &call, &id, write).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => not_found(&id),
        _ => error.into(),
    })?;
    call.did(&entry);
    server.tell(Happening::updated(&entry));
    let with_times = id.environment.is_some();
    Ok(respond(StatusCode::OK, shown(&entry, &value.to_string(), with_times), Some(entry.version())))
}

/// Writes an entry, unless it is of a category that the caller has nothing to do with, and returns it as it is then.
pub async fn write_entry(server: &Server, call: &Call, id: &EntryId, write: Write) -> Result<Entry, Error> {
    let open = call.caller.open.clone().ok_or_else(|| Error::new(ErrorKind::Locked, "sealed", "The vault is sealed"))?;
    let (id, grant) = (id.clone(), call.caller.grant.clone());
    let change = move |changes: &mut crate::vault::Changes<'_>| {
        let hidden = changes.entry(&id)?.is_some_and(|entry| !grant.covers_category(entry.category()));
        if hidden {
            return Err(Error::new(ErrorKind::NotPermitted, "not_permitted", "Not permitted for this category"));
        }
        changes.set(&id, &write)?;
        changes.entry(&id)?.ok_or_else(|| Error::new(ErrorKind::Internal, "internal", "what was written is not there"))
    };
    server.committer.change(&open, change).await
}

/// Remove a configuration
#[utoipa::path(delete, path = "/configs/{key}", tag = "configurations", params(("key" = String, Path, min_length = 1, max_length = 255), Parameters, ("If-Match" = Option<String>, Header)), responses(
    (status = 200, body = Message),
    (status = 404, description = "There is no such configuration"),
    (status = 409, description = "A rotation of it is under way"),
    (status = 412, description = "It is of another version"),
))]
pub async fn delete(
    State(server): State<Arc<Server>>,
    call: Call,
    Path(key): Path<String>,
    Query(query): Query<Parameters>,
    headers: HeaderMap,
) -> Answer<Response<Body>> {
    let id = query.id(&key)?;
    let if_version = if_match(&headers)?;
    let entry = remove_entry(&server, &call, &id, if_version).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => not_found(&id),
        _ => error.into(),
    })?;
    call.did(&entry);
    server.tell(Happening::deleted(&entry));
    let message = match &id.environment {
        None => format!("Configuration '{}' deleted successfully", id.name),
        Some(environment) => format!("Configuration '{}' deleted successfully in environment '{environment}'", id.name),
    };
    Ok(respond(StatusCode::OK, json!({ "message": message }).to_string(), None))
}

/// Removes an entry that the caller may remove, and returns it as it was.
pub async fn remove_entry(server: &Server, call: &Call, id: &EntryId, if_version: Option<u64>) -> Result<Entry, Error> {
    call.covers(id)
        .map_err(|_| Error::new(ErrorKind::NotPermitted, "not_permitted", "Not permitted for this name or environment"))?;
    let open = call.caller.open.clone().ok_or_else(|| Error::new(ErrorKind::Locked, "sealed", "The vault is sealed"))?;
    let (id, grant) = (id.clone(), call.caller.grant.clone());
    let change = move |changes: &mut crate::vault::Changes<'_>| {
        let entry = changes.entry(&id)?.filter(|entry| grant.covers_category(entry.category()));
        let entry = entry.ok_or_else(|| Error::new(ErrorKind::NotFound, "not_found", "There is no such entry"))?;
        if if_version.is_some_and(|version| version != entry.version()) {
            return Err(Error::new(ErrorKind::Conflict, "version_mismatch", "The entry is of another version"));
        }
        changes.remove(std::slice::from_ref(&id))?;
        Ok(entry)
    };
    server.committer.change(&open, change).await
}

/// List configurations with their values, in the order in which they were made
///
/// With `limit` a page of them, which ends early where the values are large; `x-next-cursor` is the cursor of the next.
#[utoipa::path(get, path = "/configs", tag = "configurations", params(Parameters), responses(
    (status = 200, body = Vec<Configuration>, headers(("x-next-cursor" = Option<String>))),
))]
pub async fn list(State(server): State<Arc<Server>>, call: Call, Query(query): Query<Parameters>) -> Answer<Response<Body>> {
    // Without the parameter all of them, as both generations have it; empty: those without one.
    let scope = match &query.environment {
        None => Scope::All,
        Some(_) => Scope::One(query.environment()?),
    };
    let category = query.category.as_deref().filter(|text| !text.is_empty()).map(Category::parse).transpose();
    // No entry has what is no category.
    let Ok(category) = category else { return Ok(respond(StatusCode::OK, "[]", None)) };
    let after = query.cursor.as_deref().map(parse_cursor).transpose()?;
    let (limit, is_full, asking) = (query.limit, query.is_full(), call.clone());
    let filter = Filter { scope, category };
    let listed = tokio::task::spawn_blocking(move || {
        let mut listing = Listing::of(asking, &filter, after, is_full)?;
        let page = limit.map(|limit| listing.page(usize::try_from(limit).unwrap_or(usize::MAX))).transpose()?;
        Ok::<_, Problem>((listing, page))
    });
    let (listing, page) = listed.await.map_err(|_| Problem::internal())??;
    let Some(Part { text, events, next }) = page else {
        return Ok(respond(StatusCode::OK, listing.into_body(server).await?, None));
    };
    call.all_happened(events);
    let mut response = respond(StatusCode::OK, format!("[{text}]"), None);
    if let Some(next) = next.and_then(|(created, number)| HeaderValue::from_str(&format!("{created}-{number}")).ok()) {
        response.headers_mut().insert("x-next-cursor", next);
    }
    Ok(response)
}

fn parse_cursor(text: &str) -> Answer<Cursor> {
    let parse = || {
        let (created, number) = text.split_once('-')?;
        Some((created.parse().ok()?, number.parse().ok()?))
    };
    parse().ok_or_else(|| value_error("query", "cursor", "not a cursor of this API"))
}
