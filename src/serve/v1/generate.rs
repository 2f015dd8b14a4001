//! `/v1/generate`: random values.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::entry::raw;
use super::rotate::generator;
use super::{refuse, reply};
use crate::format::record::Kind;
use crate::serve::Server;
use crate::serve::call::Call;
use crate::serve::configs::json_of;
use crate::serve::error::Answer;
use crate::serve::fields::{Fields, Payload};
use crate::vault::generate::Generator;

/// What is generated where nothing is said.
const USUAL: Generator = Generator::Password(20);

/// What to generate.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what generate reads")]
pub struct Generate {
    /// random:32, hex:32, base64url:32, alnum:24, password:20, words:6, uuid, pin:6
    #[schema(default = "password:20")]
    generate: Option<String>,
}

/// A value that is kept nowhere.
#[derive(Serialize, ToSchema)]
pub struct Generated {
    #[schema(value_type = String)]
    value: Box<RawValue>,
}

/// Generate a random value, which is not kept
#[utoipa::path(post, path = "/v1/generate", tag = "values", request_body = Generate, responses((status = 200, body = Generated)))]
pub async fn generate(State(server): State<Arc<Server>>, _: Call, payload: Payload) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let generator = generator(&mut fields, "generate").unwrap_or(USUAL);
    fields.finish()?;
    let value = generator.generate().map_err(|error| refuse(&server, &error))?;
    reply(StatusCode::OK, &Generated { value: raw(json_of(Kind::Text, &value)?)? })
}
