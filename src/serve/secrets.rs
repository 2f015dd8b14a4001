//! `/vault/secret/…`: secrets that are known by random ids, as another service has them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use uuid::Uuid;

use super::Server;
use super::call::Call;
use super::configs::{respond, write_entry};
use super::error::{Answer, Problem};
use super::events::Happening;
use super::fields::{Fields, Payload};
use super::schemas::{NewSecret, Secret, SecretId};
use crate::format::record::Kind;
use crate::name::{Category, EntryId, Name};
use crate::secret::SecretValue;
use crate::serve::committer::now;
use crate::vault::{Change, Write};

/// The category of entries that are such secrets.
const CATEGORY: &str = "secret";

fn id_of(id: Uuid) -> Answer<EntryId> {
    let name = Name::parse(&id.to_string()).map_err(|_| Problem::not_found("Secret not found"))?;
    Ok(EntryId::plain(name))
}

fn category() -> Option<Category> {
    Category::parse(CATEGORY).ok()
}

/// Keep a secret under a random id
#[utoipa::path(post, path = "/vault/secret/create", tag = "secrets", request_body = NewSecret, responses(
    (status = 200, body = SecretId),
    (status = 400, description = "No base64"),
))]
pub async fn create(State(server): State<Arc<Server>>, call: Call, payload: Payload) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let text = fields.text("secret", 0..=usize::MAX);
    fields.finish()?;
    let text = text.unwrap_or_default();
    let bytes = STANDARD.decode(&text).map_err(|error| {
        let reason = match error {
            base64::DecodeError::InvalidByte(..) => "a character that is not of the standard alphabet",
            base64::DecodeError::InvalidLength(_) => "the length is not a multiple of four",
            base64::DecodeError::InvalidLastSymbol { .. } => "bits behind the last byte that are not zero",
            base64::DecodeError::InvalidPadding => "wrong padding",
        };
        Problem::new(StatusCode::BAD_REQUEST, "invalid_base64", format!("invalid base64: {reason}"))
    })?;
    let uuid = uuid::Builder::from_random_bytes(crate::crypto::random().map_err(crate::vault::Error::from)?).into_uuid();
    let id = id_of(uuid)?;
    call.covers(&id)?;
    call.covers_category(category().as_ref())?;
    let value = SecretValue::new(bytes.into());
    let kind = Kind::of(value.expose());
    let write = Write { category: category().map_or(Change::Keep, Change::Set), create_only: true, ..Write::value(value, kind) };
    let failed = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "create_failed", "create failed");
    let entry = write_entry(&server, &call, &id, write).await.inspect_err(|error| server.lines.error(error)).map_err(failed)?;
    call.did(&entry);
    server.tell(Happening::created(&entry));
    Ok(respond(StatusCode::OK, json!({ "secret_id": uuid.to_string() }).to_string(), None))
}

/// Read a secret by its id
#[utoipa::path(post, path = "/vault/secret/fetch", tag = "secrets", request_body = SecretId, responses(
    (status = 200, body = Secret),
    (status = 404, description = "There is no such secret"),
    (status = 410, description = "It has expired"),
))]
pub async fn fetch(call: Call, payload: Payload) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let uuid = fields.text("secret_id", 0..=usize::MAX).and_then(|text| match Uuid::parse_str(&text) {
        Ok(uuid) => Some(uuid),
        Err(_) => {
            fields.fault("uuid_parsing", "secret_id", "Input should be a valid UUID");
            None
        }
    });
    fields.finish()?;
    let missing = || Problem::not_found("Secret not found");
    let id = id_of(uuid.ok_or_else(missing)?)?;
    let entry = call.find(&id)?.filter(|entry| entry.category().is_some_and(|category| category.as_str() == CATEGORY));
    let entry = entry.ok_or_else(missing)?;
    call.did(&entry);
    let vault = call.vault()?;
    if entry.is_expired(vault.clock(now()).for_reading()) {
        return Err(Problem::new(StatusCode::GONE, "expired", "Secret has expired"));
    }
    let value = vault.value_of(&entry, None)?;
    let body = format!(r#"{{"secret":"{}"}}"#, STANDARD.encode(value.expose()));
    Ok(respond(StatusCode::OK, body, None))
}
