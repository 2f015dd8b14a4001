//! `/backup` and `/import`: all entries under a passphrase, in one text. What is in it is an export that stock `age` opens and `vault import` reads.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::HeaderName;
use axum::http::{HeaderMap, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Server;
use super::call::{Call, is_unreadable};
use super::committer::now;
use super::configs::{respond, time};
use super::error::{Answer, Fault, Problem};
use super::events::Happening;
use super::fields::Payload;
use super::query::{self, OfQuery, Typed as Query};
use crate::audit::Event;
use crate::crypto::{self, decrypt_age_with_passphrase, encrypt_age_with_passphrase};
use crate::interchange::{self, Format, Row};
use crate::name::{Category, EntryId, Environment, Name, Tag};
use crate::store::Walk;
use crate::vault::{Change, Changes, Entry, Error, ErrorKind, Filter, Grant, Result, Scope, Write};

/// The passphrase of the backup.
static PASSWORD: HeaderName = HeaderName::from_static("x-backup-password");
/// What every export begins with; the backup's own words stand behind the first member.
const HEAD: &str = "{\"vault_export\":1,";

/// Which entries.
#[derive(Debug, Default, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Part {
    /// Only of this category
    category: Option<String>,
    /// Only of this environment
    environment: Option<String>,
}

impl OfQuery for Part {
    fn of(query: &mut query::Query) -> Self {
        Self { category: query.filled("category"), environment: query.filled("environment") }
    }
}

/// What to import.
#[derive(Debug, Default, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The backup, unless it is in the body
    backup_data: Option<String>,
    /// Whether entries that exist get the value of the backup
    overwrite: Option<bool>,
}

impl OfQuery for Wanted {
    fn of(query: &mut query::Query) -> Self {
        Self { backup_data: query.text("backup_data"), overwrite: query.flag("overwrite") }
    }
}

fn password(headers: &HeaderMap) -> Answer<Zeroizing<String>> {
    let text = headers.get(&PASSWORD).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty());
    let missing = || Problem::invalid(vec![Fault::new("missing", "header", "x-backup-password", "Field required")]);
    text.map(|text| Zeroizing::new(text.to_owned())).ok_or_else(missing)
}

/// Back up entries under a passphrase
#[utoipa::path(post, path = "/backup", tag = "configurations", params(Part, ("X-Backup-Password" = String, Header)), responses((status = 200, body = Value)))]
pub async fn backup(
    State(server): State<Arc<Server>>,
    call: Call,
    headers: HeaderMap,
    Query(part): Query<Part>,
) -> Answer<Response<Body>> {
    let password = password(&headers)?;
    let parse = |text: &str| Environment::parse(text).map_err(|_| Problem::not_found("There is no such environment"));
    let environment = part.environment.as_deref().map(parse).transpose()?;
    let parse = |text: &str| Category::parse(text).map_err(|_| Problem::not_found("There is no such category"));
    let category = part.category.as_deref().map(parse).transpose()?;
    let scope = environment.map_or(Scope::All, |environment| Scope::One(Some(environment)));
    let made = tokio::task::spawn_blocking(move || {
        let _one = server.backups.try_lock().map_err(|_| Problem::too_many("Another backup is being made", 5))?;
        make(&call, &Filter { scope, category }, &password)
    });
    made.await.map_err(|_| Problem::internal())?
}

fn make(call: &Call, filter: &Filter, password: &str) -> Answer<Response<Body>> {
    let vault = call.vault()?;
    let grant = &call.caller.grant;
    let (mut rows, mut events) = (Vec::new(), Vec::new());
    vault.entries(filter, &mut |entry| {
        if grant.covers(entry.id()) && grant.covers_category(entry.category()) {
            let value = match vault.value_of(&entry, None) {
                Ok(value) => value,
                // One that does not open keeps nobody from the others.
                Err(error) if is_unreadable(&error) => return Ok(Walk::Continue(())),
                Err(error) => return Err(error),
            };
            let mut row = Row::new(entry.id().name.to_string(), entry.kind(), Zeroizing::new(value.expose().to_vec()));
            row.environment = entry.id().environment.as_ref().map(ToString::to_string);
            row.category = entry.category().map(ToString::to_string);
            row.tags = entry.tags().iter().map(ToString::to_string).collect();
            row.meta.clone_from(entry.meta());
            row.expires = entry.expires();
            rows.push(row);
            events.push(Event::new(call.action()).entry(&entry));
        }
        Ok(Walk::Continue(()))
    })?;
    let id = uuid::Builder::from_random_bytes(crypto::random().map_err(Error::from)?).into_uuid();
    let at = time(now());
    let export = interchange::write(Format::Json, &rows).map_err(|_| Problem::internal())?;
    let mut text = Zeroizing::new(Vec::with_capacity(export.len() + 256));
    text.extend_from_slice(HEAD.as_bytes());
    text.extend_from_slice(format!("\"backup_id\":\"{id}\",\"backup_timestamp\":\"{at}\",").as_bytes());
    text.extend_from_slice(export.strip_prefix(HEAD.as_bytes()).ok_or_else(Problem::internal)?);
    let sealed = encrypt_age_with_passphrase(password, &text).map_err(Error::from)?;
    call.all_happened(events);
    let body = json!({
        "backup_data": STANDARD.encode(sealed),
        "total_keys": rows.len(),
        "backup_timestamp": at,
        "backup_id": id.to_string(),
    });
    Ok(respond(StatusCode::OK, body.to_string(), None))
}

/// Bring entries back from a backup
///
/// The backup is in the parameter or in the body, as it is or as the field `backup_data` of an object.
#[utoipa::path(post, path = "/import", tag = "configurations", params(Wanted, ("X-Backup-Password" = String, Header)), request_body = Option<Value>, responses((status = 200, body = Value)))]
pub async fn import(
    State(server): State<Arc<Server>>,
    call: Call,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
    payload: Payload,
) -> Answer<Response<Body>> {
    let password = password(&headers)?;
    let data = match wanted.backup_data {
        // A plus sign of base64 is a blank in a query that was not escaped.
        Some(data) => data.replace(' ', "+"),
        None => in_body(&payload)?,
    };
    let opened = tokio::task::spawn_blocking({
        let server = server.clone();
        move || {
            let _one = server.backups.try_lock().map_err(|_| Problem::too_many("Another backup is being opened", 5))?;
            open(&data, &password)
        }
    });
    let Opened { id, at, rows } = opened.await.map_err(|_| Problem::internal())??;
    let (total, overwrite, grant) = (rows.len(), wanted.overwrite.unwrap_or(false), call.caller.grant.clone());
    let open = call.caller.open.clone().ok_or_else(Problem::sealed)?;
    let mut writes: Vec<_> = rows.into_iter().map(write_of).collect();
    let led_to = server.committer.change(&open, move |changes| {
        let mut led_to = LedTo::default();
        for (name, write) in &mut writes {
            match take(changes, &grant, overwrite, write) {
                Ok(Some(made)) => led_to.imported.push(made),
                Ok(None) => led_to.skipped += 1,
                Err(_) => led_to.failed.push(name.clone()),
            }
        }
        Ok(led_to)
    });
    let LedTo { imported, skipped, failed } = led_to.await?;
    for (entry, created) in &imported {
        server.tell(if *created { Happening::created(entry) } else { Happening::updated(entry) });
    }
    call.all_happened(imported.iter().map(|(entry, _)| Event::new(call.action()).entry(entry)).collect());
    let body = json!({
        "message": "Import completed",
        "backup_id": id,
        "backup_timestamp": at,
        "total_in_backup": total,
        "imported": imported.len(),
        "skipped": skipped,
        "failed": failed.len(),
        "failed_keys": failed,
    });
    Ok(respond(StatusCode::OK, body.to_string(), None))
}

fn in_body(payload: &Payload) -> Answer<String> {
    let missing = || Problem::invalid(vec![Fault::new("missing", "query", "backup_data", "Field required")]);
    let text = std::str::from_utf8(&payload.0).map_err(|_| missing())?.trim();
    let field = serde_json::from_str::<Value>(text).ok().and_then(|value| match value {
        Value::String(text) => Some(text),
        value => value.get("backup_data")?.as_str().map(str::to_owned),
    });
    field.or_else(|| Some(text.to_owned()).filter(|text| !text.is_empty() && !text.starts_with('{'))).ok_or_else(missing)
}

struct Opened {
    id: Value,
    at: Value,
    rows: Vec<Row>,
}

fn open(data: &str, password: &str) -> Answer<Opened> {
    let wrong = |what: &str| Problem::new(StatusCode::BAD_REQUEST, "bad_backup", what);
    let sealed = STANDARD.decode(data).map_err(|_| wrong("The backup is not base64"))?;
    let text = decrypt_age_with_passphrase(password, &sealed).map_err(|_| wrong("Wrong password, or not a backup"))?;
    let rows = interchange::read(Format::Json, &text).map_err(|_| wrong("Not a backup"))?;
    let head: Value = serde_json::from_slice(&text).map_err(|_| wrong("Not a backup"))?;
    Ok(Opened { id: head["backup_id"].clone(), at: head["backup_timestamp"].clone(), rows })
}

#[derive(Default)]
struct LedTo {
    imported: Vec<(Entry, bool)>,
    skipped: u64,
    failed: Vec<String>,
}

/// An entry of a backup, by the name that stands there; what is no legal name is none.
fn write_of(row: Row) -> (String, Option<(EntryId, Write)>) {
    let name = row.name.clone();
    let parse = || {
        let environment = row.environment.as_deref().map(Environment::parse).transpose().ok()?;
        let id = EntryId { environment, name: Name::parse(&row.name).ok()? };
        let category = row.category.as_deref().map(Category::parse).transpose().ok()?;
        let tags = row.tags.iter().map(|tag| Tag::parse(tag)).collect::<std::result::Result<BTreeSet<_>, _>>().ok()?;
        let mut write = Write::value(row.value.into(), row.kind);
        write.category = category.map_or(Change::Keep, Change::Set);
        write.tags = if tags.is_empty() { Change::Keep } else { Change::Set(tags) };
        write.meta = row.meta.into_iter().map(|(key, value)| (key, Some(value))).collect();
        write.expires = row.expires.map_or(Change::Clear, Change::Set);
        Some((id, write))
    };
    (name, parse())
}

fn take(
    changes: &mut Changes<'_>,
    grant: &Grant,
    overwrite: bool,
    write: &Option<(EntryId, Write)>,
) -> Result<Option<(Entry, bool)>> {
    let refused = || Error::new(ErrorKind::NotPermitted, "not_permitted", "Not permitted for this entry");
    let Some((id, write)) = write else { return Err(Error::usage("not a name")) };
    let there = changes.entry(id)?;
    let (old, new) = (
        there.as_ref().map(|entry| entry.category().cloned()),
        match &write.category {
            Change::Set(category) => Some(category.clone()),
            _ => there.as_ref().and_then(|entry| entry.category().cloned()),
        },
    );
    let permitted =
        grant.covers(id) && grant.covers_category(new.as_ref()) && old.is_none_or(|old| grant.covers_category(old.as_ref()));
    if !permitted {
        return Err(refused());
    }
    if there.is_some() && !overwrite {
        return Ok(None);
    }
    changes.set(id, write)?;
    Ok(changes.entry(id)?.map(|entry| (entry, there.is_none())))
}
