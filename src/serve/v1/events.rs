//! `/v1/events`: what changes, as it happens.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use utoipa::IntoParams;

use crate::serve::Server;
use crate::serve::call::Call;
use crate::serve::error::Answer;
use crate::serve::events::{Wanted, stream};
use crate::serve::query::Query;

/// Of what a subscriber wants to hear.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what subscribe reads")]
pub struct EventParameters {
    /// Only of the entry of this name.
    name: Option<String>,
    /// Only of entries of this environment.
    env: Option<String>,
    /// Only of entries of this category.
    category: Option<String>,
}

/// Listen to what changes, without values
///
/// Server-sent events: `connected`, `created`, `updated`, `deleted`, and `missed` for who is too slow.
#[utoipa::path(get, path = "/v1/events", tag = "entries", params(EventParameters), responses(
    (status = 200, body = String, content_type = "text/event-stream"),
))]
pub async fn subscribe(State(server): State<Arc<Server>>, call: Call, mut query: Query) -> Answer<Response<Body>> {
    let (name, environment, category) = (query.text("name"), query.text("env"), query.text("category"));
    query.finish()?;
    Ok(stream(server, &call, Wanted::new(name, environment, category)))
}
