//! `/v1/stats`: the vault by numbers.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{blocking, reply};
use crate::serve::call::Call;
use crate::serve::committer::now;
use crate::serve::error::Answer;
use crate::store::Walk;
use crate::vault::{Filter, Scope};

/// What the caller may know of, by numbers.
#[derive(Default, Serialize, ToSchema)]
pub struct Statistics {
    entries: u64,
    versions: u64,
    expired: u64,
    /// Due for another value.
    due: u64,
    /// By category; entries without one are not among them.
    categories: BTreeMap<String, u64>,
    environments: BTreeMap<String, u64>,
    tags: BTreeMap<String, u64>,
    kinds: BTreeMap<&'static str, u64>,
}

/// Count entries
#[utoipa::path(get, path = "/v1/stats", tag = "entries", responses((status = 200, body = Statistics)))]
pub async fn count(call: Call) -> Answer<Response<Body>> {
    let counted = blocking(move || {
        let vault = call.vault()?;
        let now = vault.clock(now()).for_reading();
        let grant = &call.caller.grant;
        let mut counted = Statistics::default();
        vault.entries(&Filter { scope: Scope::All, category: None }, &mut |entry| {
            if !grant.covers(entry.id()) || !grant.covers_category(entry.category()) {
                return Ok(Walk::Continue(()));
            }
            counted.entries += 1;
            counted.versions += entry.versions().count() as u64;
            counted.expired += u64::from(entry.is_expired(now));
            counted.due += u64::from(entry.is_due(now));
            if let Some(category) = entry.category() {
                *counted.categories.entry(category.to_string()).or_default() += 1;
            }
            if let Some(environment) = &entry.id().environment {
                *counted.environments.entry(environment.to_string()).or_default() += 1;
            }
            for tag in entry.tags() {
                *counted.tags.entry(tag.to_string()).or_default() += 1;
            }
            *counted.kinds.entry(entry.kind().word()).or_default() += 1;
            Ok(Walk::Continue(()))
        })?;
        Ok(counted)
    });
    reply(StatusCode::OK, &counted.await?)
}
