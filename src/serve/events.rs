//! `/sse/subscribe`: what changes, as it happens, without values.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::response::IntoResponse as _;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;

use super::Server;
use super::call::Call;
use super::committer::now;
use super::configs::{number_of, time};
use super::error::Answer;
use super::keeper::Open;
use super::query::Query;
use crate::name::{Category, EntryId};
use crate::vault::{Entry, TokenId, TokenRefused};

/// How often a connection on which nothing happens is kept alive.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Something that happened to an entry.
#[derive(Debug, Clone)]
pub struct Happening {
    what: &'static str,
    id: EntryId,
    number: u64,
    category: Option<Category>,
    version: u64,
    time: u64,
    rotations: u64,
    is_rotation: bool,
}

impl Happening {
    fn of(what: &'static str, entry: &Entry) -> Self {
        let (id, category) = (entry.id().clone(), entry.category().cloned());
        Self {
            what,
            id,
            number: number_of(entry.uid()),
            category,
            version: entry.version(),
            time: entry.modified(),
            rotations: entry.rotated(),
            is_rotation: false,
        }
    }

    /// An entry was made.
    pub fn created(entry: &Entry) -> Self {
        Self::of("created", entry)
    }

    /// An entry was changed.
    pub fn updated(entry: &Entry) -> Self {
        Self::of("updated", entry)
    }

    /// An entry got another value in the place of an older one.
    pub fn rotated(entry: &Entry) -> Self {
        Self { is_rotation: true, ..Self::of("updated", entry) }
    }

    /// What happened; a rotation is an update as well.
    pub fn event(&self) -> &'static str {
        if self.is_rotation { "rotated" } else { self.what }
    }

    /// What is told of it.
    pub fn json(&self) -> Value {
        json!({
            "event": self.what,
            "id": self.number,
            "key": self.id.name.as_str(),
            "environment": self.id.environment.as_ref().map(ToString::to_string),
            "category": self.category.as_ref().map(ToString::to_string),
            "version": self.version,
            "timestamp": time(self.time),
        })
    }

    /// An entry was removed.
    pub fn deleted(entry: &Entry) -> Self {
        Self::of("deleted", entry)
    }

    /// Whether the entry was made.
    pub fn is_creation(&self) -> bool {
        self.what == "created"
    }

    /// Whether the entry went.
    pub fn is_deletion(&self) -> bool {
        self.what == "deleted"
    }

    /// The entry: its number, and where it is.
    pub fn entry(&self) -> (u64, EntryId) {
        (self.number, self.id.clone())
    }

    /// How it is: its number, version and time.
    pub fn state(&self) -> (u64, u64, u64) {
        (self.number, self.version, self.time)
    }

    /// How often it was rotated.
    pub fn rotations(&self) -> u64 {
        self.rotations
    }

    /// The same of an entry that is gone since.
    pub fn as_deletion(self) -> Self {
        Self { what: "deleted", is_rotation: false, ..self }
    }

    /// The same of an entry of which it was told that it is gone: it is there again.
    pub fn as_made_again(self) -> Self {
        if self.is_deletion() { self } else { Self { what: "created", is_rotation: false, ..self } }
    }

    /// The same of an entry of which it is known that it is there, rotated so often: it is not made once more, but changed.
    pub fn as_change_of_known(self, rotations: u64) -> Self {
        if !self.is_creation() {
            return self;
        }
        Self { what: "updated", is_rotation: self.rotations > rotations, ..self }
    }
}

/// What a subscriber wants to hear of.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    key: Option<String>,
    environment: Option<String>,
    category: Option<String>,
}

impl Wanted {
    /// What happens to the entry of this name, in this environment, of this category; all, where nothing is said.
    pub fn new(key: Option<String>, environment: Option<String>, category: Option<String>) -> Self {
        Self { key, environment, category }
    }

    fn wants(&self, happening: &Happening) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|wanted| wanted.is_empty() || wanted == text);
        is(&self.key, happening.id.name.as_str())
            && is(&self.environment, happening.id.environment_text())
            && is(&self.category, happening.category.as_ref().map_or("", Category::as_str))
    }
}

/// Listen to what changes, without values
///
/// Server-sent events: `connected`, `created`, `updated`, `deleted`, and `missed` for who is too slow.
#[utoipa::path(get, path = "/sse/subscribe", tag = "configurations", params(Wanted), responses(
    (status = 200, body = String, content_type = "text/event-stream"),
))]
pub async fn subscribe(State(server): State<Arc<Server>>, call: Call, mut query: Query) -> Answer<Response<Body>> {
    let (key, environment, category) = (query.text("key"), query.text("environment"), query.text("category"));
    query.finish()?;
    Ok(stream(server, &call, Wanted { key, environment, category }))
}

/// What happens from now on, as events.
pub fn stream(server: Arc<Server>, call: &Call, wanted: Wanted) -> Response<Body> {
    let mut happenings = server.happenings.subscribe();
    if let (Some(open), Some(seen)) = (&call.caller.open, &call.caller.seen) {
        server.follow.begin(open, seen);
    }
    let (grant, generation) = (call.caller.grant.clone(), call.caller.open.as_ref().map(|open| open.generation));
    let (mut ended, token, mut asked_again) = (server.drained(), call.caller.token, server.asked_again());
    let expires = call.caller.open.as_ref().zip(token).and_then(|(open, token)| open.vault.token(token).ok()?.expires);
    let id = call.request().to_owned();
    let stream = async_stream::stream! {
        let connected = json!({
            "subscription_id": id,
            "filters": { "key": wanted.key, "environment": wanted.environment, "category": wanted.category },
            "timestamp": time(now()),
        });
        yield Ok::<_, Infallible>(Event::default().event("connected").data(connected.to_string()));
        loop {
            let happening = tokio::select! {
                happening = happenings.recv() => Some(happening),
                _ = ended.wait_for(|draining| *draining) => break,
                _ = asked_again.changed() => None,
                () = until(expires) => None,
            };
            // Whoever was let in by keys that the vault has no more, or by a vault that was sealed since, asks again.
            let open = server.keeper.current();
            let is_same = open.as_ref().map(|open| open.generation) == generation;
            if !is_same || !open.zip(token).is_none_or(|(open, token)| is_good(&open, token)) {
                break;
            }
            match happening {
                None => {}
                Some(Ok(happening)) if wanted.wants(&happening) && grant.covers(&happening.id) && grant.covers_category(happening.category.as_ref()) => {
                    yield Ok(Event::default().event(happening.what).data(happening.json().to_string()));
                }
                Some(Ok(_)) => {}
                // Slower than what happens: it is told, so that it reads anew.
                Some(Err(RecvError::Lagged(missed))) => {
                    yield Ok(Event::default().event("missed").data(json!({ "missed": missed }).to_string()));
                }
                Some(Err(RecvError::Closed)) => break,
            }
        }
    };
    let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive")).into_response();
    // Names are secret. What is only not to be used without being asked for again, as streams of events are by themselves, may still be kept.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Waits for a time in milliseconds since 1970; for none, for ever.
async fn until(time: Option<u64>) {
    match time {
        // A clock that is set back makes it wait once more.
        Some(time) => tokio::time::sleep(Duration::from_millis(time.saturating_sub(now()) + 1)).await,
        None => std::future::pending().await,
    }
}

/// Whether a token is still one. Listening is one request, which the last use may have been for.
fn is_good(open: &Open, token: TokenId) -> bool {
    open.vault.token(token).is_ok_and(|token| matches!(token.refused(now()), None | Some(TokenRefused::UsedUp)))
}
