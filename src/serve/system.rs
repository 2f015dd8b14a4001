//! `/v1/sys/…`: opening the vault of a running server, and closing it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use zeroize::Zeroizing;

use super::Server;
use super::call::Call;
use super::configs::respond;
use super::error::{Answer, Problem};
use super::fields::{Fields, SmallPayload};
use super::keeper::KeyRefused;
use super::schemas::{SealStatus, Sealed, UnsealKey};
use crate::secret::RawKey;
use crate::vault::Credential;

/// Whether the vault is open
#[utoipa::path(get, path = "/v1/sys/seal-status", tag = "sealing", responses((status = 200, body = SealStatus)))]
pub async fn status(State(server): State<Arc<Server>>) -> Response<Body> {
    let sealed = server.keeper.current().is_none();
    respond(StatusCode::OK, json!({ "sealed": sealed, "version": env!("CARGO_PKG_VERSION") }).to_string(), None)
}

/// Open the vault by a passphrase, or a raw key of 32 bytes in base64
///
/// Whoever has no key cannot get in the way of it: nothing is collected.
#[utoipa::path(post, path = "/v1/sys/unseal", tag = "sealing", request_body = UnsealKey, responses(
    (status = 200, body = Sealed),
    (status = 401, description = "The key opens nothing"),
    (status = 403, description = "The key opens only a part of the vault"),
))]
pub async fn unseal(
    State(server): State<Arc<Server>>,
    call: Call,
    SmallPayload(payload): SmallPayload,
) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let passphrase = fields.optional_text("passphrase", 1..=1024).map(|text| Zeroizing::new(text.into_bytes()));
    let raw = fields.optional_text("key", 1..=64).map(Zeroizing::new);
    if passphrase.is_some() == raw.is_some() {
        fields.fault("value_error", "passphrase", "Value error, either a passphrase or a key");
    }
    fields.finish()?;
    let wrong = || Problem::new(StatusCode::UNAUTHORIZED, "wrong_key", "The key opens nothing");
    let from = call.caller.from;
    let mut wait = 1;
    if let Some(passphrase) = passphrase {
        let admit = || server.limits.wrong(from).inspect_err(|seconds| wait = *seconds).is_ok();
        let found = server.keeper.session(passphrase, from, admit).await;
        found.map_err(|refused| match refused {
            KeyRefused::Wrong => wrong(),
            KeyRefused::Busy => Problem::too_many("Too many keys are being tried", wait),
            KeyRefused::Failed(error) => error.into(),
        })?;
    } else if let Some(raw) = raw {
        server.limits.wrong(from).map_err(|seconds| Problem::too_many("Too many invalid credentials", seconds))?;
        let mut bytes = Zeroizing::new([0; 32]);
        let exact = STANDARD.decode_slice(raw.as_bytes(), bytes.as_mut_slice()).is_ok_and(|length| length == 32);
        if !exact {
            return Err(wrong());
        }
        let keeper = server.keeper.clone();
        let opened = tokio::task::spawn_blocking(move || match keeper.current() {
            // One that is open is not opened by another key; but that is to be a key.
            Some(_) => keeper.proves(&Credential::RawKey(RawKey::new(bytes))),
            None => keeper.unseal(Credential::RawKey(RawKey::new(bytes))).map(drop),
        });
        let opened = opened.await.map_err(|_| Problem::internal())?;
        opened.map_err(|error| if error.code() == "wrong_key" { wrong() } else { error.into() })?;
    }
    if server.keeper.current().is_none() {
        return Err(Problem::forbidden("A key that opens only a part of the vault does not unseal it"));
    }
    Ok(respond(StatusCode::OK, r#"{"sealed":false}"#, None))
}

/// Close the vault: its keys are forgotten until somebody brings one
#[utoipa::path(post, path = "/v1/sys/seal", tag = "sealing", responses((status = 200, body = Sealed)))]
pub async fn seal(State(server): State<Arc<Server>>) -> Response<Body> {
    server.keeper.seal();
    server.ask_again();
    respond(StatusCode::OK, r#"{"sealed":true}"#, None)
}
