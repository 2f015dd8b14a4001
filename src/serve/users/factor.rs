//! The second factor of the user who asks: an app that makes the codes, recovery codes, and none of it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde_json::json;
use zeroize::Zeroizing;

use super::account::{asker, begun, confirmed, proofs_of};
use super::schemas::{AppSecret, CodeOnly, ConfirmedPassword, RecoveryCodes, SessionToken};
use super::{Attempt, failed};
use crate::interchange::qr::Modules;
use crate::secret::OtpKey;
use crate::serve::Server;
use crate::serve::call::Call;
use crate::serve::configs::respond;
use crate::serve::error::{Answer, Problem};
use crate::serve::fields::{Fields, SmallPayload};
use crate::vault::users::{base32, end_sessions, new_otp_key, new_recovery, otp_uri, turn_off_second_factor};

/// Begin to use an authenticator app; it counts when a code of it has arrived
#[utoipa::path(post, path = "/2fa/enroll", tag = "users", request_body = ConfirmedPassword, responses(
    (status = 200, body = AppSecret),
    (status = 400, description = "The password or the code is wrong"),
))]
pub async fn enroll(
    State(server): State<Arc<Server>>,
    call: Call,
    SmallPayload(payload): SmallPayload,
) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let (password, code) = proofs_of(&mut fields);
    fields.finish()?;
    let key = Arc::new(new_otp_key().map_err(|error| failed(&server, &error))?);
    let kept = key.clone();
    let enrolled = confirmed(&server, &call, password, code, move |user, _| {
        user.otp_new = Some(OtpKey::new(Zeroizing::new(kept.expose().to_vec())));
        Ok(())
    });
    let (session, _) = enrolled.await?;
    let (uri, secret) = (otp_uri(&key, &server.users.settings.issuer, &session.name), base32(key.expose()));
    let uri = Zeroizing::new(String::from_utf8_lossy(uri.expose()).into_owned());
    let qr = Modules::of(&uri).map(|modules| modules.svg());
    let body = json!({ "uri": uri.as_str(), "secret": secret.as_str(), "qr": qr.as_ref().map(|qr| qr.as_str()) });
    Ok(respond(StatusCode::OK, body.to_string(), None))
}

/// Use the authenticator app from now on: all sessions end, and a new one begins
#[utoipa::path(post, path = "/2fa/confirm", tag = "users", request_body = CodeOnly, responses(
    (status = 200, body = SessionToken),
    (status = 400, description = "The code does not hold"),
))]
pub async fn confirm(
    State(server): State<Arc<Server>>,
    call: Call,
    SmallPayload(payload): SmallPayload,
) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let code = Zeroizing::new(fields.text("otp", 0..=4096).unwrap_or_default());
    fields.finish()?;
    let attempt = Attempt::of_asker(&server, &call).await?;
    let found = attempt.found.clone();
    let session = attempt.settle(attempt.change(move |changes| changes.confirm_app(&found, &code)).await?)?;
    begun(&server, &attempt.open, &session).await
}

/// Ask for no code any more: all sessions end, and a new one begins
#[utoipa::path(post, path = "/2fa/disable", tag = "users", request_body = ConfirmedPassword, responses(
    (status = 200, body = SessionToken),
    (status = 400, description = "The password or the code is wrong"),
))]
pub async fn disable(
    State(server): State<Arc<Server>>,
    call: Call,
    SmallPayload(payload): SmallPayload,
) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let (password, code) = proofs_of(&mut fields);
    fields.finish()?;
    let change = confirmed(&server, &call, password, code, |user, state| {
        turn_off_second_factor(user, state)?;
        end_sessions(user, state);
        Ok(())
    });
    let (session, open) = change.await?;
    begun(&server, &open, &session).await
}

/// Make new recovery codes; those before count no more
#[utoipa::path(post, path = "/2fa/recovery-codes", tag = "users", request_body = ConfirmedPassword, responses(
    (status = 200, body = RecoveryCodes),
    (status = 400, description = "The password or the code is wrong, or the second factor is off"),
))]
pub async fn recovery(
    State(server): State<Arc<Server>>,
    call: Call,
    SmallPayload(payload): SmallPayload,
) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let (password, code) = proofs_of(&mut fields);
    fields.finish()?;
    let asker = asker(&call)?;
    if !asker.user.second_factor {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "second_factor_off", "The second factor is off"));
    }
    let open = call.caller.open.clone().ok_or_else(Problem::sealed)?;
    let (codes, verifiers) = new_recovery(&asker.user.uid, open.vault.id_bytes()).map_err(|error| failed(&server, &error))?;
    confirmed(&server, &call, password, code, move |user, _| {
        user.recovery.clone_from(&verifiers);
        Ok(())
    })
    .await?;
    let texts: Vec<_> = codes.iter().map(|code| String::from_utf8_lossy(code.expose()).into_owned()).collect();
    Ok(respond(StatusCode::OK, json!({ "recovery_codes": texts }).to_string(), None))
}
