//! `/v1/keys`: who can open the vault. Keys are changed where a key is at hand: on the command line.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{blocking, refuse, reply};
use crate::serve::Server;
use crate::serve::call::Call;
use crate::serve::error::Answer;
use crate::vault::SlotView;

/// The slots.
#[derive(Serialize, ToSchema)]
pub struct Slots {
    slots: Vec<SlotItem>,
}

/// A slot: something that opens the vault.
#[derive(Serialize, ToSchema)]
#[schema(as = Slot)]
pub struct SlotItem {
    label: String,
    /// Such as passphrase, raw-key or age.
    kind: String,
    /// Whether it opens all of the vault.
    full: bool,
    /// What a limited one opens: `category:C`, `env:E`.
    only: BTreeSet<String>,
    /// Its public half.
    recipient: String,
    post_quantum: bool,
    /// Whether the server opened the vault with it.
    in_use: bool,
}

impl From<SlotView> for SlotItem {
    fn from(slot: SlotView) -> Self {
        let SlotView { label, info, compartments, in_use } = slot;
        let (full, post_quantum) = (info.full, info.post_quantum);
        Self { label, kind: info.kind, full, only: compartments, recipient: info.recipient, post_quantum, in_use }
    }
}

/// List what opens the vault
#[utoipa::path(get, path = "/v1/keys", tag = "administration", responses((status = 200, body = Slots)))]
pub async fn list(State(server): State<Arc<Server>>, call: Call) -> Answer<Response<Body>> {
    let slots = blocking(move || {
        let slots = call.vault()?.slots().map_err(|error| refuse(&server, &error))?;
        Ok(Slots { slots: slots.into_iter().map(SlotItem::from).collect() })
    });
    reply(StatusCode::OK, &slots.await?)
}
