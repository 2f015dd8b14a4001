//! Who asks: a passphrase of the vault, an API token, or nobody; and what each route wants.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, HeaderName};
use axum::http::{HeaderMap, StatusCode};
use zeroize::Zeroizing;

use super::Server;
use super::committer::now;
use super::error::{Answer, Family, Fault, Problem};
use super::keeper::{KeyRefused, Open, Session};
use super::users::session::{self, SignedIn};
use crate::format::token::Rights;
use crate::format::user::Role;
use crate::vault::{Error, Grant, PresentedToken, Seen, TokenId, TokenRefused, Vault};

static USER_KEY: HeaderName = HeaderName::from_static("x-user-key");
static API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The code of a key that opens nothing.
pub const WRONG_KEY: &str = "wrong_key";
/// The shortest passphrase that is looked at, in characters.
const SHORTEST: usize = 8;

/// What a route wants of whoever calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing; sealed or not.
    Open,
    /// A credential of any kind that holds.
    Any,
    /// A credential with this right.
    Needs(Rights),
    /// The session of a user of this role or a higher one.
    Session(Role),
    /// As [`Access::Needs`], unless the configuration opens the secrets by id to all.
    Secrets(Rights),
}

/// Who asks.
#[derive(Clone)]
pub struct Caller {
    /// The vault when the request came.
    pub open: Option<Arc<Open>>,
    /// Its newest state then.
    pub seen: Option<Seen>,
    /// The token that they presented.
    pub token: Option<TokenId>,
    session: Option<Arc<Session>>,
    /// What they may do.
    pub grant: Grant,
    /// What they are called in logs: `key:…`, `token:…`.
    pub name: Option<String>,
    /// From where.
    pub from: Option<IpAddr>,
    /// The public half of the slot that their passphrase opened.
    pub slot: Option<String>,
    /// The user whose session they presented.
    pub user: Option<Arc<SignedIn>>,
}

impl Caller {
    fn nobody(open: Option<Arc<Open>>, grant: Grant, from: Option<IpAddr>) -> Self {
        Self { open, seen: None, token: None, session: None, grant, name: None, from, slot: None, user: None }
    }

    /// A user who has signed in.
    pub(super) fn signed_in(open: Arc<Open>, user: SignedIn, name: String, from: Option<IpAddr>) -> Self {
        Self { name: Some(name), user: Some(Arc::new(user)), ..Self::nobody(Some(open), Grant::none(), from) }
    }

    /// Whether their key opens some compartments only.
    pub fn is_limited(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.limited.is_some())
    }

    /// The vault as their key opens it.
    pub fn vault(&self) -> Option<&Vault> {
        let limited = self.session.as_ref().and_then(|session| session.limited.as_ref());
        limited.or_else(|| self.open.as_ref().map(|open| &open.vault))
    }
}

/// Finds out who asks, and whether they may.
pub async fn identify(
    server: &Arc<Server>,
    access: Access,
    family: Family,
    headers: &HeaderMap,
    from: Option<IpAddr>,
) -> Answer<Caller> {
    let right = match access {
        Access::Open => return Ok(Caller::nobody(server.keeper.current(), Grant::none(), from)),
        Access::Session(role) => return session::identify(server, role, headers, from).await,
        Access::Any => None,
        Access::Needs(right) | Access::Secrets(right) => Some(right),
    };
    let mut counted = None;
    let caller = if let Some(token) = token_of(headers)? {
        let (caller, is_counted) = by_token(server, newest(server).await?.ok_or_else(Problem::sealed)?, token, from)?;
        counted = caller.token.filter(|_| is_counted);
        caller
    } else if let Some(key) = headers.get(&USER_KEY) {
        by_key(server, key.as_bytes(), from).await?
    } else if matches!(access, Access::Secrets(_)) && server.settings.open_secret_api {
        let (open, seen) = newest(server).await?.ok_or_else(Problem::sealed)?;
        Caller { seen: Some(seen), ..Caller::nobody(Some(open), Grant::all(), from) }
    } else if newest(server).await?.is_none() {
        return Err(Problem::sealed());
    } else {
        return Err(missing(family, access));
    };
    if right.is_some_and(|right| !caller.grant.has(right)) {
        return Err(Problem::forbidden("Not permitted").for_whom(caller.name.as_deref()));
    }
    if let Some(name) = &caller.name {
        let too_many = |seconds| Problem::too_many("Too many requests", seconds).for_whom(Some(name));
        server.limits.credential(name).map_err(too_many)?;
    }
    // Last, so that no use is used up by what is refused for another reason.
    if let (Some(id), Some(open)) = (counted, &caller.open) {
        let used = server.committer.change(open, move |changes| changes.use_token(id)).await;
        if !used.map_err(|error| broken(server, &error))? {
            return Err(wrong_token(server, from));
        }
    }
    Ok(caller)
}

/// The vault and its newest state; `None` while it is sealed. Each look is two calls of the system, so a request has one where it can.
async fn newest(server: &Server) -> Answer<Option<(Arc<Open>, Seen)>> {
    server.keeper.open().await.map_err(|error| broken(server, &error))
}

fn missing(family: Family, access: Access) -> Problem {
    match (family, access) {
        (Family::Detail, Access::Needs(_) | Access::Any) => {
            Problem::invalid(vec![Fault::new("missing", "header", "x-user-key", "Field required")])
        }
        _ => Problem::unauthenticated("Not authenticated"),
    }
}

/// What stands behind `Authorization: Bearer`. Another scheme is for somebody else, such as a proxy.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// The token that a request presents; `None` if it presents none.
fn token_of(headers: &HeaderMap) -> Answer<Option<PresentedToken>> {
    match bearer(headers).or_else(|| headers.get(&API_KEY).map(|value| value.as_bytes())) {
        None => Ok(None),
        Some(text) => match std::str::from_utf8(text).ok().and_then(|text| PresentedToken::parse(text.trim())) {
            Some(token) => Ok(Some(token)),
            None => Err(Problem::unauthenticated("Invalid token")),
        },
    }
}

fn wrong_token(server: &Server, from: Option<IpAddr>) -> Problem {
    match server.limits.wrong(from) {
        Ok(()) => Problem::unauthenticated("Invalid token"),
        Err(seconds) => Problem::too_many("Too many invalid credentials", seconds),
    }
}

/// Who presents a token, and whether its uses are counted.
fn by_token(
    server: &Server,
    (open, seen): (Arc<Open>, Seen),
    token: PresentedToken,
    from: Option<IpAddr>,
) -> Answer<(Caller, bool)> {
    let id = token.id();
    match open.vault.grant(&seen, &token, from, now()).map_err(|error| broken(server, &error))? {
        Ok((record, grant)) => {
            let name = Some(format!("token:{id}"));
            let caller = Caller { seen: Some(seen), token: Some(id), name, ..Caller::nobody(Some(open), grant, from) };
            Ok((caller, record.uses.is_some()))
        }
        // Whoever has the secret may know what became of it.
        Err(TokenRefused::Elsewhere) => {
            Err(Problem::forbidden("Not permitted from this address").for_whom(Some(&format!("token:{id}"))))
        }
        Err(TokenRefused::Unknown | TokenRefused::Revoked | TokenRefused::Expired | TokenRefused::UsedUp) => {
            Err(wrong_token(server, from))
        }
    }
}

async fn by_key(server: &Arc<Server>, key: &[u8], from: Option<IpAddr>) -> Answer<Caller> {
    // Characters, where it is text.
    let length = std::str::from_utf8(key).map_or(key.len(), |text| text.chars().count());
    if length < SHORTEST {
        let detail = "x-user-key header missing or too short (minimum 8 characters)";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail));
    }
    let mut seconds = 1;
    let admit = || match server.limits.wrong(from) {
        Ok(()) => true,
        Err(wait) => {
            seconds = wait;
            false
        }
    };
    let mut session = server.keeper.session(Zeroizing::new(key.to_vec()), from, admit).await;
    let mut current = newest(server).await?;
    if let (Ok(found), Some((open, _))) = (&session, &current)
        && !found.is_of(open)
    {
        // The keys of the vault changed while it was derived: once more, by those that there are.
        session = server.keeper.session(Zeroizing::new(key.to_vec()), from, || true).await;
        current = newest(server).await?;
    }
    let session = session.map_err(|refused| match refused {
        KeyRefused::Wrong => Problem::new(StatusCode::UNAUTHORIZED, WRONG_KEY, "Invalid user key"),
        KeyRefused::Busy => Problem::too_many("Too many keys are being tried", seconds),
        KeyRefused::Failed(error) => broken(server, &error),
    })?;
    let (open, seen) = current.ok_or_else(Problem::sealed)?;
    if !session.is_of(&open) {
        return Err(Problem::sealed());
    }
    let (grant, slot, name) = (session.grant.clone(), session.slot.clone(), Some(session.name.clone()));
    let nobody = Caller::nobody(Some(open), grant, from);
    Ok(Caller { seen: Some(seen), session: Some(session), name, slot: Some(slot), ..nobody })
}

/// The vault cannot be read: for the client a status, for the server's log what it is.
fn broken(server: &Server, error: &Error) -> Problem {
    server.lines.error(error);
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The vault cannot be read now").retry_after(1)
}
