//! `/sensitive-data`: what users keep, each for themselves. Nothing that one asks tells of what is another's.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde_json::json;
use zeroize::Zeroizing;

use super::account::asker;
use super::failed;
use super::schemas::{NewSensitiveData, SensitiveData};
use super::session::SignedIn;
use crate::audit::Event;
use crate::format::user::Datum;
use crate::serve::Server;
use crate::serve::call::Call;
use crate::serve::configs::{respond, time};
use crate::serve::error::{Answer, Problem};
use crate::serve::fields::{Fields, Payload};
use crate::serve::keeper::Open;
use crate::serve::query::Path;
use crate::serve::schemas::Message;
use crate::vault::users::{DatumId, MAX_KIND, MAX_VALUE};

fn missing() -> Problem {
    Problem::not_found("Data not found or not authorized")
}

fn read(payload: &Payload) -> Answer<(String, Zeroizing<String>)> {
    let mut fields = Fields::parse(payload)?;
    let kind = fields.text("data_type", 1..=MAX_KIND);
    let value = fields.text("value", 0..=MAX_VALUE).map(Zeroizing::new);
    if value.as_ref().is_some_and(|value| value.len() > MAX_VALUE) {
        fields.fault("string_too_long", "value", format!("String should have at most {MAX_VALUE} bytes"));
    }
    fields.finish()?;
    let (kind, value) = (kind.unwrap_or_default(), value.unwrap_or_default());
    // Their form alone: the sum of the digits is not looked at.
    if kind == "card_number" && !(value.len() == 16 && value.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_card", "Invalid card number"));
    }
    Ok((kind, value))
}

fn shown(id: DatumId, kind: &str, value: &str) -> Response<Body> {
    respond(StatusCode::OK, json!({ "id": id.to_string(), "data_type": kind, "value": value }).to_string(), None)
}

/// Keep something
#[utoipa::path(post, path = "/sensitive-data", tag = "users", request_body = NewSensitiveData, responses(
    (status = 200, body = SensitiveData),
    (status = 400, description = "No card number"),
    (status = 409, description = "As much is kept as may be"),
))]
pub async fn create(State(server): State<Arc<Server>>, call: Call, payload: Payload) -> Answer<Response<Body>> {
    let asker = asker(&call)?;
    let (kind, value) = read(&payload)?;
    let open = call.caller.open.clone().ok_or_else(Problem::sealed)?;
    let (kind, value) = (Arc::new(kind), Arc::new(value));
    let (of_change, value_of_change) = (kind.clone(), value.clone());
    let added = server
        .committer
        .change(&open, move |changes| changes.add_datum(asker.mark, &asker.user.uid, &of_change, &value_of_change));
    let id = added.await.map_err(|error| failed(&server, &error))?;
    call.happened(Event::new(call.action()).detail(id.to_string()));
    Ok(shown(id, &kind, &value))
}

/// All that is kept for the user who asks
#[utoipa::path(get, path = "/sensitive-data", tag = "users", responses((status = 200, body = Vec<SensitiveData>)))]
pub async fn list(State(server): State<Arc<Server>>, call: Call) -> Answer<Response<Body>> {
    let asker = asker(&call)?;
    let open = call.caller.open.clone().ok_or_else(Problem::sealed)?;
    let mut text = listed(&server, &open, &asker, false).await?;
    Ok(respond(StatusCode::OK, std::mem::take(&mut *text), None))
}

/// All that is kept for a user, as a JSON text.
pub(super) async fn listed(
    server: &Arc<Server>,
    open: &Arc<Open>,
    asker: &Arc<SignedIn>,
    with_times: bool,
) -> Answer<Zeroizing<Vec<u8>>> {
    let (open, asker) = (open.clone(), asker.clone());
    let _turn = server.users.lists.acquire().await.map_err(|_| Problem::internal())?;
    let listed =
        tokio::task::spawn_blocking(move || Ok::<_, crate::vault::Error>(text_of(&open.vault.data(&asker.user)?, with_times)));
    listed.await.map_err(|_| Problem::internal())?.map_err(|error| failed(server, &error))
}

fn text_of(data: &[(DatumId, Datum)], with_times: bool) -> Zeroizing<Vec<u8>> {
    let room: usize = data.iter().map(|(_, datum)| 192 + 2 * datum.kind.len() + datum.value.len() * 2).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    text.push(b'[');
    for (at, (id, datum)) in data.iter().enumerate() {
        let mut item = json!({ "id": id.to_string(), "data_type": datum.kind, "value": datum.value.as_str() });
        if with_times {
            item["created_at"] = time(datum.created).into();
            item["updated_at"] = time(datum.modified).into();
        }
        if at > 0 {
            text.push(b',');
        }
        text.extend_from_slice(item.to_string().as_bytes());
    }
    text.push(b']');
    text
}

/// Replace something that is kept
#[utoipa::path(put, path = "/sensitive-data/{id}", tag = "users", params(("id" = String, Path)), request_body = NewSensitiveData, responses(
    (status = 200, body = SensitiveData),
    (status = 400, description = "No card number"),
    (status = 404, description = "There is nothing of this id, or it is another's"),
))]
pub async fn replace(
    State(server): State<Arc<Server>>,
    call: Call,
    Path(id): Path<String>,
    payload: Payload,
) -> Answer<Response<Body>> {
    let asker = asker(&call)?;
    let (kind, value) = read(&payload)?;
    let id = DatumId::parse(&id).ok_or_else(missing)?;
    let open = call.caller.open.clone().ok_or_else(Problem::sealed)?;
    let (kind, value) = (Arc::new(kind), Arc::new(value));
    let (of_change, value_of_change) = (kind.clone(), value.clone());
    let replaced = server
        .committer
        .change(&open, move |changes| changes.replace_datum(asker.mark, &asker.user.uid, id, &of_change, &value_of_change));
    if !replaced.await.map_err(|error| failed(&server, &error))? {
        return Err(missing());
    }
    call.happened(Event::new(call.action()).detail(id.to_string()));
    Ok(shown(id, &kind, &value))
}

/// Remove something that is kept
#[utoipa::path(delete, path = "/sensitive-data/{id}", tag = "users", params(("id" = String, Path)), responses(
    (status = 200, body = Message),
    (status = 404, description = "There is nothing of this id, or it is another's"),
))]
pub async fn remove(State(server): State<Arc<Server>>, call: Call, Path(id): Path<String>) -> Answer<Response<Body>> {
    let asker = asker(&call)?;
    let id = DatumId::parse(&id).ok_or_else(missing)?;
    let open = call.caller.open.clone().ok_or_else(Problem::sealed)?;
    let removed = server.committer.change(&open, move |changes| changes.remove_datum(asker.mark, &asker.user.uid, id));
    if !removed.await.map_err(|error| failed(&server, &error))? {
        return Err(missing());
    }
    call.happened(Event::new(call.action()).detail(id.to_string()));
    Ok(respond(StatusCode::OK, json!({ "message": "Data deleted successfully" }).to_string(), None))
}
