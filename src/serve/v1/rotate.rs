//! `/v1/rotate`: another value in the place of an older one.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use serde_json::Value;
use utoipa::ToSchema;

use super::entries::{TargetParameters, again, change_entry, made, no_entry};
use super::entry::unread;
use super::precondition::Precondition;
use super::{missing, refuse, target};
use crate::serve::Server;
use crate::serve::call::Call;
use crate::serve::configs::value_of;
use crate::serve::error::Answer;
use crate::serve::events::Happening;
use crate::serve::fields::{Fields, Payload};
use crate::serve::query::{Path, Query};
use crate::vault::generate::Generator;
use crate::vault::{Write, clock};

/// How long the value before counts, in milliseconds, where neither the request nor a schedule says so.
const GRACE: u64 = 24 * 3_600_000;

/// How the new value comes about: one of `generate` and `value`.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what rotate reads")]
pub struct RotationBody {
    /// What generates it: random:32, hex:32, base64url:32, alnum:24, password:20, words:6, uuid, pin:6
    generate: Option<String>,
    /// The value, which is in use already.
    #[schema(value_type = Option<Value>)]
    value: Option<Value>,
    /// How long the value before counts as well, such as 24h.
    grace: Option<String>,
}

/// Give an entry another value
#[utoipa::path(post, path = "/v1/rotate/{name}", tag = "versions", params(
    ("name" = String, Path, min_length = 1, max_length = 255), TargetParameters, ("If-Match" = Option<String>, Header),
), request_body = RotationBody, responses(
    (status = 200, body = super::entry::EntryView, headers(("ETag" = String))),
    (status = 404, description = "There is no such entry"),
    (status = 409, description = "A rotation of it is under way"),
    (status = 412, description = "It is not as the client expects"),
))]
pub async fn rotate(
    State(server): State<Arc<Server>>,
    call: Call,
    Path(name): Path,
    mut query: Query,
    precondition: Precondition,
    payload: Payload,
) -> Answer<Response<Body>> {
    let id = target(&name, &mut query);
    let mut fields = Fields::parse(&payload)?;
    let generator = generator(&mut fields, "generate");
    let value = fields.any("value").filter(|value| *value != Value::Null);
    if generator.is_some() == value.is_some() {
        fields.fault("value_error", "generate", "Value error, either a generator or a value");
    }
    let grace = fields.optional_text("grace", 1..=64);
    let grace = fields.parsed("grace", grace, "a duration such as 24h", clock::duration);
    fields.finish_with(query)?;
    let id = id.ok_or_else(unread)?;
    let (value, kind) = match (generator, value) {
        (Some(generator), _) => (generator.generate().map_err(|error| refuse(&server, &error))?, None),
        (None, Some(value)) => {
            let (value, kind) = value_of(&value);
            (value, Some(kind))
        }
        (None, None) => return Err(unread()),
    };
    let grace = match grace {
        Some(grace) => grace,
        None => {
            let entry = call.find(&id)?.ok_or_else(missing)?;
            let schedule = call.vault()?.schedule(&entry).map_err(|error| refuse(&server, &error))?;
            schedule.and_then(|schedule| schedule.grace).unwrap_or(GRACE)
        }
    };
    let changed = change_entry(&server, &call, &id, move |changes, old, _| {
        let old = old.ok_or_else(no_entry)?;
        precondition.check(Some(&old))?;
        let kind = kind.unwrap_or_else(|| old.kind_of_next(&value));
        changes.set(old.id(), &Write::rotation(again(&value), kind, grace))
    });
    let entry = changed.await?;
    server.tell(Happening::rotated(&entry));
    made(&server, &call, &entry, false)
}

/// A generator, as `vault generate` spells it.
pub fn generator(fields: &mut Fields, name: &str) -> Option<Generator> {
    let text = fields.optional_text(name, 1..=64);
    let what = "a generator such as random:32, hex:32, base64url:32, alnum:24, password:20, words:6, uuid or pin:6";
    fields.parsed(name, text, what, |text| text.parse().ok())
}
