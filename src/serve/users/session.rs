//! Sessions: what a signed-in user presents, and what it is worth.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use uuid::Builder;

use super::failed;
use crate::crypto::{self, Claims};
use crate::format::user::{Role, User};
use crate::secret::SecretValue;
use crate::serve::Server;
use crate::serve::auth::{Caller, bearer};
use crate::serve::committer::now;
use crate::serve::error::{Answer, Problem};
use crate::serve::keeper::Open;
use crate::vault::Error;
use crate::vault::users::{Mark, Session, UserName};

/// How long a session lasts, in seconds.
const LIFETIME: u64 = 3600;

/// A user who has signed in.
pub struct SignedIn {
    /// What names their records.
    pub mark: Mark,
    /// The user, when the request came.
    pub user: User,
}

/// Who presents a session, and whether they may do what wants this role.
pub async fn identify(server: &Arc<Server>, role: Role, headers: &HeaderMap, from: Option<IpAddr>) -> Answer<Caller> {
    let open = server.keeper.open().await.map_err(|error| failed(server, &error))?;
    let Some(token) = bearer(headers) else { return Err(Problem::unauthenticated("Not authenticated")) };
    let (open, seen) = open.ok_or_else(Problem::sealed)?;
    let invalid = || Problem::unauthenticated("Invalid token");
    let keys = server.users.kept_keys(server, &open)?.ok_or_else(invalid)?;
    let token = std::str::from_utf8(token).map_err(|_| invalid())?;
    let claims = keys.verify(token, now() / 1000, LIFETIME).ok_or_else(invalid)?;
    let found = open.vault.user_at(&seen, &UserName::of(&claims.sub)).map_err(|error| failed(server, &error))?;
    let (mark, user) = found.ok_or_else(invalid)?;
    if user.session != claims.ses || user.disabled.is_some() {
        return Err(invalid());
    }
    let name = format!("user:{}", user.name);
    server.limits.credential(&name).map_err(|seconds| Problem::too_many("Too many requests", seconds).for_whom(Some(&name)))?;
    if user.role < role {
        return Err(Problem::forbidden("Not permitted").for_whom(Some(&name)));
    }
    Ok(Caller::signed_in(open, SignedIn { mark, user }, name, from))
}

/// What a user presents from now on.
pub async fn token(server: &Server, open: &Arc<Open>, session: &Session) -> Answer<SecretValue> {
    let keys = server.users.session_keys(server, open).await?;
    let error = |error| failed(server, &Error::from(error));
    let began = now() / 1000;
    let id = Builder::from_random_bytes(crypto::random().map_err(error)?).into_uuid();
    let claims =
        Claims { sub: session.name.clone(), exp: began + LIFETIME, iat: began, jti: id.to_string(), ses: session.number };
    let text = keys.sign(&claims).map_err(error)?;
    Ok(SecretValue::from(text.as_str()))
}
