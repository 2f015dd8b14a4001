//! What every request passes through: who asks, whether they may, what is recorded of it, and what goes with the response.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, USER_AGENT, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::middleware::Next;

use super::Server;
use super::auth::{self, Access, Caller, WRONG_KEY};
use super::error::{Answer, Family, Problem};
use super::limits::{self, Peer};
use super::lines::Line;
use crate::audit::{Action, Actor, Event, Source, Status};
use crate::name::{Category, EntryId};
use crate::vault::{Entry, Error, ErrorKind, Vault};

/// The number of a request, in the log of the server, the log of the vault and the response.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How much of what a client calls itself is kept.
const AGENT: usize = 255;

/// What is known of a route before anything of it runs.
#[derive(Debug, Clone, Copy)]
pub struct RouteInfo {
    /// Its template, as it stands in metrics.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
    /// What is recorded; `None` for what concerns no vault.
    pub action: Option<Action>,
}

/// A request whose asker is known and may ask.
#[derive(Clone)]
pub struct Call {
    /// Who asks.
    pub caller: Caller,
    happened: Arc<Mutex<Vec<Event>>>,
    action: Action,
    trace: Trace,
}

/// By what the records of a request are known.
#[derive(Clone)]
struct Trace {
    request: Arc<str>,
    agent: Option<Arc<str>>,
    from: Option<IpAddr>,
}

impl Trace {
    fn actor(&self, user: Option<String>, key: Option<String>) -> Actor {
        Actor {
            user,
            key,
            client: Some(self.from.map_or_else(|| "local".to_owned(), |address| address.to_string())),
            request: Some(self.request.to_string()),
            agent: self.agent.as_deref().map(str::to_owned),
            ..Actor::new(Source::Serve)
        }
    }
}

impl Call {
    /// The number of the request.
    pub fn request(&self) -> &str {
        &self.trace.request
    }

    /// Who asks, for records that come before the end of the request.
    pub fn actor(&self) -> Actor {
        self.trace.actor(self.caller.name.clone(), self.caller.slot.clone())
    }

    /// The vault, as the caller's key opens it.
    pub fn vault(&self) -> Answer<&Vault> {
        self.caller.vault().ok_or_else(Problem::sealed)
    }

    /// What the request is about, should it be refused: the entry of this name.
    pub fn about(&self, id: &EntryId) {
        self.happened(Event::new(self.action).id(id));
    }

    /// What was done, to this entry.
    pub fn did(&self, entry: &Entry) {
        self.happened(Event::new(self.action).entry(entry));
    }

    /// What was done.
    pub fn happened(&self, event: Event) {
        self.all_happened(vec![event]);
    }

    /// All that was done, an entry each.
    pub fn all_happened(&self, events: Vec<Event>) {
        *self.happened.lock().unwrap_or_else(PoisonError::into_inner) = events;
    }

    /// What the request is recorded as.
    pub fn action(&self) -> Action {
        self.action
    }

    /// Refuses names and environments that the caller has nothing to do with, before anything is looked up.
    pub fn covers(&self, id: &EntryId) -> Answer<()> {
        self.about(id);
        if self.caller.grant.covers(id) { Ok(()) } else { Err(Problem::forbidden("Not permitted for this name or environment")) }
    }

    /// Refuses to put an entry into a category that the caller has nothing to do with.
    pub fn covers_category(&self, category: Option<&Category>) -> Answer<()> {
        if self.caller.grant.covers_category(category) {
            return Ok(());
        }
        Err(Problem::forbidden("Not permitted for this category"))
    }

    /// An entry that the caller may see; of another category it is not there for them.
    pub fn find(&self, id: &EntryId) -> Answer<Option<Entry>> {
        self.covers(id)?;
        let vault = self.vault()?;
        // There was a look at the file when it was found out who asks; the vault of a limited key is another one.
        let entry = match &self.caller.seen {
            Some(seen) if !self.caller.is_limited() => vault.entry_at(seen, id)?,
            _ => vault.entry(id)?,
        };
        Ok(entry.filter(|entry| self.caller.grant.covers_category(entry.category())))
    }
}

impl<S: Send + std::marker::Sync> FromRequestParts<S> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let call = parts.extensions.get::<Self>().cloned();
        call.ok_or_else(Problem::internal)
    }
}

/// The middleware of all routes.
pub async fn around(State((server, route)): State<(Arc<Server>, RouteInfo)>, request: Request, next: Next) -> Response<Body> {
    if [Method::GET, Method::HEAD].contains(request.method()) {
        return answer(server, route, request, next).await;
    }
    // What changes something goes on to its record though the client hangs up.
    let answered = tokio::spawn(answer(server.clone(), route, request, next)).await;
    answered.unwrap_or_else(|error| {
        server.lines.failure("panic", &error.to_string());
        let mut response = Response::new(Body::from(r#"{"detail":"Internal error"}"#));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    })
}

async fn answer(server: Arc<Server>, route: RouteInfo, mut request: Request, next: Next) -> Response<Body> {
    let began = Instant::now();
    let family = Family::of(request.uri().path());
    let peer = request.extensions().get::<Peer>().copied().unwrap_or(Peer::Local);
    let from = limits::client(peer, request.headers(), &server.settings.trusted_proxies);
    let agent = header_text(request.headers(), &USER_AGENT).map(|text| text.chars().take(AGENT).collect::<String>().into());
    let trace = Trace { request: request_id(&server).into(), agent, from };
    let method = request.method().clone();
    let happened: Arc<Mutex<Vec<Event>>> = Arc::default();
    let action = route.action.unwrap_or(Action::Request);

    let mut admitted = admit(&server, route.access, family, request.headers(), from).await;
    // What must be recorded and cannot be is not begun.
    if !method.is_safe()
        && route.action.is_some()
        && let Ok(Caller { open: Some(open), .. }) = &admitted
        && !server.journal.can_record(open).await
    {
        admitted = Err(unrecorded());
    }
    let (caller, mut response) = match admitted {
        Ok(caller) => {
            request.extensions_mut().insert(Call {
                caller: caller.clone(),
                happened: happened.clone(),
                action,
                trace: trace.clone(),
            });
            (Some(caller), next.run(request).await)
        }
        Err(problem) => (None, axum::response::IntoResponse::into_response(problem)),
    };
    let mut problem = response.extensions_mut().remove::<Problem>();
    let who = match &caller {
        Some(caller) => caller.name.clone(),
        None => problem.as_mut().and_then(|problem| problem.who.take()),
    };

    if route.action.is_some() {
        let events = std::mem::take(&mut *happened.lock().unwrap_or_else(PoisonError::into_inner));
        let kept = Kept { server: &server, route, trace: &trace, caller: caller.as_ref(), who: who.as_deref() };
        if let Err(instead) = kept.record(events, problem.as_ref(), response.status()).await {
            // What it held does not leave: it may be a secret, and nobody would know.
            response = axum::response::IntoResponse::into_response(instead);
            problem = response.extensions_mut().remove::<Problem>();
        }
    }
    finish(&server, &mut response, problem.as_ref(), family, &trace.request);
    let took = began.elapsed();
    server.metrics.request(route.path, &method, response.status(), took);
    server.lines.request(&Line {
        request: &trace.request,
        method: &method,
        route: route.path,
        status: response.status().as_u16(),
        took,
        client: from,
        credential: who.as_deref(),
        code: problem.as_ref().map(|problem| problem.code),
    });
    response
}

/// What is kept of a request in the log of the vault.
struct Kept<'a> {
    server: &'a Arc<Server>,
    route: RouteInfo,
    trace: &'a Trace,
    caller: Option<&'a Caller>,
    who: Option<&'a str>,
}

impl Kept<'_> {
    /// Records what a request led to, before its response leaves. `Err`: what is to leave instead.
    async fn record(self, mut events: Vec<Event>, problem: Option<&Problem>, status: StatusCode) -> Answer<()> {
        let Self { server, route, trace, caller, who } = self;
        let action = route.action.unwrap_or(Action::Request);
        let is_refused = problem.is_some() || status.is_client_error() || status.is_server_error();
        let open = caller.and_then(|caller| caller.open.clone()).or_else(|| server.keeper.current());
        // Secrets by id may be open to all: then that is who asks.
        let is_unknown = who.is_none() && !(caller.is_some() && matches!(route.access, Access::Secrets(_)));
        let is_refused_key = problem.is_some_and(|problem| problem.code == WRONG_KEY);
        if is_refused && open.is_none() && !is_refused_key {
            server.budget.refused_while_sealed();
            return Ok(());
        }
        if is_refused && is_unknown && !server.budget.take(trace.from) {
            return Ok(());
        }
        if events.is_empty() {
            events.push(Event::new(action));
        }
        if let Some(problem) = problem {
            events.truncate(1);
            events = events.into_iter().map(|event| event.ended(problem.audit_status(), Some(problem.code))).collect();
        } else if is_refused {
            let ended = if status.is_client_error() { Status::BadRequest } else { Status::Error };
            events = events.into_iter().map(|event| event.ended(ended, None)).collect();
        }
        let actor = trace.actor(who.map(str::to_owned), caller.and_then(|caller| caller.slot.clone()));
        let Some(open) = open else {
            let event = Event::new(Action::Unlock).ended(Status::Denied, Some(WRONG_KEY));
            server.journal.record_refused_key(server.keeper.path(), actor, event).await;
            return Ok(());
        };
        if server.journal.record(&open, actor, events).await { Ok(()) } else { Err(unrecorded()) }
    }
}

fn unrecorded() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "audit_failed", "The request could not be recorded")
}

/// Decides whether a request is heard.
async fn admit(
    server: &Arc<Server>,
    access: Access,
    family: Family,
    headers: &HeaderMap,
    from: Option<IpAddr>,
) -> Answer<Caller> {
    let allowed = &server.settings.allow;
    if !allowed.is_empty() && !from.is_none_or(|address| allowed.iter().any(|network| network.contains(&address))) {
        return Err(Problem::forbidden("Not permitted from this address"));
    }
    let too_many = |seconds| Problem::too_many("Too many requests", seconds);
    server.limits.address(from).map_err(too_many)?;
    auth::identify(server, access, family, headers, from).await
}

/// Puts on what every response has.
fn finish(server: &Server, response: &mut Response<Body>, problem: Option<&Problem>, family: Family, id: &str) {
    if let Some(problem) = problem {
        let body = problem.body(family, id);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, family.content_type());
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        *response.body_mut() = Body::from(body);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID.clone(), id);
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    if server.settings.tls.is_some() {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The number of this request: that of the process, and how many came before.
fn request_id(server: &Server) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}-{count:x}", server.instance)
}

/// The value of an entry is one that the vault says is there, and does not open.
pub fn is_unreadable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotPermitted | ErrorKind::Damaged)
}
