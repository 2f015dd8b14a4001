//! What the service is, how it is, and what is in it by numbers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use serde_json::json;
use utoipa::IntoParams;

use super::Server;
use super::call::Call;
use super::configs::respond;
use super::error::{Answer, Problem};
use super::query::{self, OfQuery, Typed as Query};
use super::schemas::{Health, Ready, Service, Stats};
use crate::store::Walk;
use crate::vault::{Filter, Scope};

/// What the service is
#[utoipa::path(get, path = "/", tag = "service", responses((status = 200, body = Service)))]
pub async fn describe() -> Response<Body> {
    let body = json!({
        "service": "vault",
        "version": env!("CARGO_PKG_VERSION"),
        "features": ["encryption", "categories", "environments", "versions", "expiry", "tokens", "audit", "events", "metrics"],
        "endpoints": {
            "create": "POST /configs",
            "read": "GET /configs/{key}",
            "update": "PUT /configs/{key}",
            "delete": "DELETE /configs/{key}",
            "list": "GET /configs",
        },
    });
    respond(StatusCode::OK, body.to_string(), None)
}

/// The process answers
#[utoipa::path(get, path = "/health", tag = "service", responses((status = 200, body = Health)))]
pub async fn health() -> Response<Body> {
    respond(StatusCode::OK, r#"{"status":"healthy"}"#, None)
}

/// The vault is open, and its file is there and is the one that was opened
#[utoipa::path(get, path = "/ready", tag = "service", responses(
    (status = 200, description = "It reads; whether it writes as well it says", body = Ready),
    (status = 503, description = "It is sealed, about to end, or cannot read its file", body = Ready),
))]
pub async fn ready(State(server): State<Arc<Server>>) -> Response<Body> {
    if server.is_draining() {
        return respond(StatusCode::SERVICE_UNAVAILABLE, r#"{"ready":false,"reason":"draining"}"#, None);
    }
    match server.keeper.open().await {
        Ok(Some(_)) => {
            let asking = server.clone();
            let looked =
                tokio::task::spawn_blocking(move || asking.committer.failing().or_else(|| refuses_writes(asking.keeper.path())));
            match looked.await.ok().flatten() {
                None => respond(StatusCode::OK, r#"{"ready":true}"#, None),
                // Whoever only reads is served as well as ever.
                Some(reason) => {
                    let body = json!({ "ready": true, "writable": false, "reason": reason });
                    respond(StatusCode::OK, body.to_string(), None)
                }
            }
        }
        Ok(None) => respond(StatusCode::SERVICE_UNAVAILABLE, r#"{"ready":false,"reason":"sealed"}"#, None),
        Err(error) => {
            server.lines.error(&error);
            respond(StatusCode::SERVICE_UNAVAILABLE, json!({ "ready": false, "reason": error.code() }).to_string(), None)
        }
    }
}

/// Why the medium of a file takes no writes, as far as it can be told without one.
fn refuses_writes(path: &Path) -> Option<&'static str> {
    use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};
    let medium = statvfs(path).ok()?;
    if medium.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Some("read_only");
    }
    if medium.f_bavail == 0 {
        return Some("disk_full");
    }
    access(path, Access::WRITE_OK).is_err().then_some("not_permitted")
}

/// Numbers for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "service", responses(
    (status = 200, body = String, content_type = "application/openmetrics-text"),
))]
pub async fn metrics(State(server): State<Arc<Server>>) -> Answer<Response<Body>> {
    let open = server.keeper.current();
    let entries = open.as_ref().and_then(|open| open.vault.count().ok());
    let failed_compactions = open.and_then(|open| open.vault.facts()).map_or(0, |facts| facts.failed_compactions);
    let mut response =
        Response::new(Body::from(server.metrics.text(entries, failed_compactions).map_err(|_| Problem::internal())?));
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// Parameters of `GET /stats`.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatsParameters {
    environment: Option<String>,
}

impl OfQuery for StatsParameters {
    fn of(query: &mut query::Query) -> Self {
        Self { environment: query.text("environment") }
    }
}

/// Configurations by numbers
#[utoipa::path(get, path = "/stats", tag = "configurations", params(StatsParameters), responses((status = 200, body = Stats)))]
pub async fn stats(call: Call, Query(query): Query<StatsParameters>) -> Answer<Response<Body>> {
    let counted = tokio::task::spawn_blocking(move || count(&call, query.environment.as_deref())).await;
    counted.map_err(|_| Problem::internal())?
}

fn count(call: &Call, environment: Option<&str>) -> Answer<Response<Body>> {
    let grant = &call.caller.grant;
    let (mut total, mut categories, mut environments) = (0_u64, BTreeMap::<String, u64>::new(), BTreeMap::<String, u64>::new());
    call.vault()?.entries(&Filter { scope: Scope::All, category: None }, &mut |entry| {
        let of = entry.id().environment_text();
        if grant.covers(entry.id()) && grant.covers_category(entry.category()) && environment.is_none_or(|wanted| wanted == of) {
            total += 1;
            if let Some(category) = entry.category() {
                *categories.entry(category.to_string()).or_default() += 1;
            }
            if !of.is_empty() {
                *environments.entry(of.to_owned()).or_default() += 1;
            }
        }
        Ok(Walk::Continue(()))
    })?;
    let body = json!({
        "total_keys": total,
        "total_categories": categories.len(),
        "total_environments": environments.len(),
        "keys_by_category": categories,
        "keys_by_environment": environments,
    });
    Ok(respond(StatusCode::OK, body.to_string(), None))
}
