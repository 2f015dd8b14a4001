//! Users who sign in with a password and a code, and keep sensitive data: as another service had them, and what it lacked.
//!
//! Everything under one name happens one after the other, and is counted there whether or not it is a user's.

pub mod account;
pub mod admin;
pub mod data;
pub mod factor;
pub mod hashing;
pub mod schemas;
pub mod session;

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, RateLimiter};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard, Semaphore};
use zeroize::Zeroizing;

use super::Server;
use super::call::Call;
use super::committer::now;
use super::error::{Answer, Problem};
use super::keeper::Open;
use super::limits::{KEPT, check, group, quota};
use crate::audit::Event;
use crate::crypto::{Hash, SessionKeys};
use crate::secret::{Passphrase, SessionSecret};
use crate::vault::users::{Found, Mark, NewPassword, Peppers, Proof, UserName, new_verifier, prove};
use crate::vault::{Changes, Error, ErrorKind};
use hashing::{Hashing, Place};

/// So many names share one lock; under one name one thing happens at a time.
const STRIPES: usize = 256;
/// How many messages are put together at once.
const SENDING: usize = 64;
/// How many lists of what users keep are put together at once.
const LISTS: usize = 4;
/// Messages with codes to one user, or to one address: so many at once, and one more each so often.
const MESSAGES: NonZeroU32 = NonZeroU32::new(5).expect("5 is not zero");
const MESSAGE_EVERY: Duration = Duration::from_secs(180);
/// Messages that one address of a client asks for, of users whose password it has not given: so many at once, and one more each so often.
const ASKED: (NonZeroU32, Duration) = (NonZeroU32::new(30).expect("30 is not zero"), Duration::from_secs(10));
/// The same for all of them.
const ASKED_BY_ALL: (NonZeroU32, Duration) = (NonZeroU32::new(120).expect("120 is not zero"), Duration::from_millis(500));

/// How users are dealt with; all of it comes from the edge.
pub struct UserSettings {
    /// Whether everybody may become a user.
    pub registration: bool,
    /// How many users there may be.
    pub most: u64,
    /// What is mixed into verifiers of passwords.
    pub peppers: Peppers,
    /// What signs sessions; `None`: what the vault keeps.
    pub session_secret: Option<SessionSecret>,
    /// How many attempts of one address may fail at once; one more may each second.
    pub failures: NonZeroU32,
    /// Who the codes of an authenticator app are said to be for.
    pub issuer: String,
}

impl Default for UserSettings {
    fn default() -> Self {
        Self {
            registration: true,
            most: 100_000,
            peppers: Peppers::default(),
            session_secret: None,
            failures: NonZeroU32::new(300).unwrap_or(NonZeroU32::MIN),
            issuer: "vault".to_owned(),
        }
    }
}

/// What the routes of users share.
pub struct Users {
    settings: Arc<UserSettings>,
    hashing: Hashing,
    stripes: Vec<AsyncMutex<()>>,
    failures: DefaultKeyedRateLimiter<Option<IpAddr>>,
    registrations: DefaultKeyedRateLimiter<Option<IpAddr>>,
    /// Addresses that are not heard, and until when.
    refused: Mutex<HashMap<Option<IpAddr>, Instant>>,
    messages: Messages,
    own: Option<Arc<SessionKeys>>,
    /// How many users there were when they were last counted, and have come since; counting takes long.
    count: AtomicU64,
    /// Messages are put together behind the answers, so many at once.
    sending: Arc<Semaphore>,
    /// Lists of what users keep are put together a few at a time: each may take megabytes.
    lists: Semaphore,
    /// What the secret in the vault gives, and of which opening of it.
    kept: Mutex<Option<(u64, Arc<SessionKeys>)>>,
}

impl Users {
    /// Starts what compares passwords.
    pub fn start(settings: UserSettings) -> std::io::Result<Self> {
        let to_fail = quota(settings.failures, Duration::from_secs(1));
        Ok(Self {
            hashing: Hashing::start()?,
            stripes: (0..STRIPES).map(|_| AsyncMutex::new(())).collect(),
            failures: RateLimiter::keyed(to_fail),
            registrations: RateLimiter::keyed(to_fail),
            refused: Mutex::default(),
            messages: Messages::default(),
            own: settings.session_secret.as_ref().map(|secret| Arc::new(SessionKeys::new(secret))),
            count: AtomicU64::new(u64::MAX),
            sending: Arc::new(Semaphore::new(SENDING)),
            lists: Semaphore::new(LISTS),
            kept: Mutex::default(),
            settings: Arc::new(settings),
        })
    }

    /// What sessions are signed with; made if there is nothing yet.
    async fn session_keys(&self, server: &Server, open: &Arc<Open>) -> Answer<Arc<SessionKeys>> {
        if let Some(keys) = self.kept_keys(server, open)? {
            return Ok(keys);
        }
        let made = server.committer.change(open, |changes| changes.session_secret()).await;
        let secret = made.map_err(|error| failed(server, &error))?;
        Ok(self.keep(open, &secret))
    }

    /// What sessions are verified with; `None`: none was ever signed.
    fn kept_keys(&self, server: &Server, open: &Arc<Open>) -> Answer<Option<Arc<SessionKeys>>> {
        if let Some(own) = &self.own {
            return Ok(Some(own.clone()));
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((generation, keys)) = kept
            && generation == open.generation
        {
            return Ok(Some(keys));
        }
        let secret = open.vault.session_secret().map_err(|error| failed(server, &error))?;
        Ok(secret.map(|secret| self.keep(open, &secret)))
    }

    fn keep(&self, open: &Open, secret: &SessionSecret) -> Arc<SessionKeys> {
        let keys = Arc::new(SessionKeys::new(secret));
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((open.generation, keys.clone()));
        keys
    }

    /// How many users there may be, for the commit that makes one; it counts them only where there may be too many.
    fn most(&self) -> u64 {
        let known = self.count.load(Ordering::Relaxed);
        if known < self.settings.most { u64::MAX } else { self.settings.most }
    }

    /// One more user was made.
    fn one_more(&self, open: &Open) {
        // Not more often than they could have become too many.
        let known = self.count.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if known == 0 || known >= self.settings.most {
            self.count.store(open.vault.count_users().unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Refuses an address from which too much failed.
    fn admit(&self, from: Option<IpAddr>) -> Answer<()> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let Some(until) = refused.get(&from.map(group)).copied() else { return Ok(()) };
        if until <= now {
            refused.remove(&from.map(group));
            return Ok(());
        }
        Err(Problem::too_many("Too many failed attempts from this address", (until - now).as_secs() + 1))
    }

    /// Counts a failure of an address. This machine is many: a proxy, a container, a test; the locks of names hold for them as well.
    fn count_failure(&self, from: Option<IpAddr>) {
        if is_here(from) {
            return;
        }
        let from = from.map(group);
        if let Err(seconds) = check(&self.failures, &from) {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if refused.len() > KEPT {
                refused.retain(|_, until| *until > now);
            }
            refused.insert(from, now + Duration::from_secs(seconds));
        }
    }
}

/// How many messages with codes leave.
struct Messages {
    /// To a user for whom somebody asks; and for who has given the password.
    by_user: [DefaultKeyedRateLimiter<[u8; 16]>; 2],
    by_mailbox: DefaultKeyedRateLimiter<[u8; 16]>,
    by_client: DefaultKeyedRateLimiter<Option<IpAddr>>,
    by_all: DefaultDirectRateLimiter,
}

impl Default for Messages {
    fn default() -> Self {
        let to_one = quota(MESSAGES, MESSAGE_EVERY);
        Self {
            by_user: [RateLimiter::keyed(to_one), RateLimiter::keyed(to_one)],
            by_mailbox: RateLimiter::keyed(to_one),
            by_client: RateLimiter::keyed(quota(ASKED.0, ASKED.1)),
            by_all: RateLimiter::direct(quota(ASKED_BY_ALL.0, ASKED_BY_ALL.1)),
        }
    }
}

impl Messages {
    /// Whether one more may leave. Strangers may ask for codes of others: that uses up nothing of what a user has who has given the password.
    fn admit(&self, user: Mark, mailbox: &str, from: Option<IpAddr>, is_pending: bool) -> bool {
        if is_pending {
            return check(&self.by_user[1], user.bytes()).is_ok();
        }
        let mut mark = [0; 16];
        mark.copy_from_slice(&Hash::of(mailbox.to_lowercase().as_bytes()).0[..16]);
        (is_here(from) || check(&self.by_client, &from.map(group)).is_ok())
            && check(&self.by_user[0], user.bytes()).is_ok()
            && check(&self.by_mailbox, &mark).is_ok()
            && self.by_all.check().is_ok()
    }
}

/// Whether a client is on this machine.
fn is_here(from: Option<IpAddr>) -> bool {
    from.is_none_or(|address| address.is_loopback())
}

/// Where a client is, in eight bytes: a code completes a sign-in only where its password was given.
fn place_of(from: Option<IpAddr>) -> [u8; 8] {
    let elsewhere = from.filter(|_| !is_here(from));
    let text = elsewhere.map_or_else(|| "local".to_owned(), |address| group(address).to_string());
    let mut place = [0; 8];
    place.copy_from_slice(&Hash::of(text.as_bytes()).0[..8]);
    place
}

/// The vault as it is now, for a request without a credential that opens it.
async fn vault_of(server: &Server) -> Answer<Arc<Open>> {
    let open = server.keeper.open().await.map_err(|error| failed(server, &error))?;
    open.map(|(open, _)| open).ok_or_else(Problem::sealed)
}

/// An attempt under a name, which nobody else makes meanwhile.
struct Attempt<'a> {
    server: &'a Arc<Server>,
    open: Arc<Open>,
    found: Arc<Found>,
    from: Option<IpAddr>,
    _place: Place,
    _alone: MutexGuard<'a, ()>,
}

impl<'a> Attempt<'a> {
    /// Begins one: finds who it is about. Nothing tells whether it is anybody.
    async fn begin(server: &'a Arc<Server>, call: &Call, typed: &str) -> Answer<Self> {
        let users = &server.users;
        let from = call.caller.from;
        users.admit(from)?;
        let place = users.hashing.place(from)?;
        let open = vault_of(server).await?;
        let name = UserName::of(typed);
        let mark = open.vault.user_mark(&name).map_err(|error| failed(server, &error))?;
        let alone = users.hashing.patiently(users.stripes[mark.index(STRIPES)].lock()).await?;
        let found = open.vault.find_user(&name, now()).map_err(|error| failed(server, &error))?;
        if let Some(user) = &found.user {
            // What is no user's name may be a password that was typed in the wrong place.
            call.happened(Event::new(call.action()).detail(&*user.name));
        }
        Ok(Self { server, open, found: Arc::new(found), from, _place: place, _alone: alone })
    }

    /// The same for the user who asks, as long as they are who they were when their session was looked at.
    async fn of_asker(server: &'a Arc<Server>, call: &Call) -> Answer<Self> {
        let asker = account::asker(call)?;
        let attempt = Self::begin(server, call, &asker.user.name).await?;
        let is_same = attempt
            .found
            .user
            .as_ref()
            .is_some_and(|user| (user.uid, user.session, user.disabled) == (asker.user.uid, asker.user.session, None));
        if is_same { Ok(attempt) } else { Err(Problem::unauthenticated("Invalid token")) }
    }

    /// What a password proves, and the verifier that is to take the place of an old one.
    async fn prove(&self, password: Zeroizing<String>) -> Answer<(Proof, Option<NewPassword>)> {
        let (found, open, settings) = (self.found.clone(), self.open.clone(), self.server.users.settings.clone());
        let proved = self.server.users.hashing.run(move || {
            let password = Passphrase::new(Zeroizing::new(password.as_bytes().to_vec()));
            let vault = open.vault.id_bytes();
            let proof = prove(found.user.as_ref(), &password, &settings.peppers, vault)?;
            let new = (proof == Proof::Stale).then(|| new_verifier(&password, &settings.peppers, vault)).transpose()?;
            Ok::<_, Error>((proof, new))
        });
        let proved = proved.await?.map_err(|error| failed(self.server, &error))?;
        if proved.0 == Proof::Unknown {
            // That is no failure of whoever signs in.
            self.server.lines.failure(
                "pepper",
                "a password cannot be compared: the pepper of its verifier is not at hand (PEPPER, PEPPER_OLD)",
            );
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(Problem::new(status, "no_pepper", "The password cannot be compared now").retry_after(60));
        }
        Ok(proved)
    }

    /// Does something in one commit.
    async fn change<T: Send + 'static>(
        &self,
        make: impl FnMut(&mut Changes<'_>) -> crate::vault::Result<T> + Send + 'static,
    ) -> Answer<T> {
        self.server.committer.change(&self.open, make).await.map_err(|error| failed(self.server, &error))
    }

    /// Counts the failure where it came from.
    fn failed(&self) {
        self.server.users.count_failure(self.from);
    }
}

/// A verifier for a new password.
async fn verifier_of(server: &Arc<Server>, open: &Arc<Open>, password: Zeroizing<String>) -> Answer<NewPassword> {
    let (open, settings) = (open.clone(), server.users.settings.clone());
    let made = server.users.hashing.run(move || {
        let password = Passphrase::new(Zeroizing::new(password.as_bytes().to_vec()));
        new_verifier(&password, &settings.peppers, open.vault.id_bytes())
    });
    made.await?.map_err(|error| failed(server, &error))
}

/// Nobody is heard under a name.
fn locked(seconds: u64) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "locked", "Too many failed attempts. Try again later.").retry_after(seconds)
}

/// An error of the vault as these routes say it.
fn failed(server: &Server, error: &Error) -> Problem {
    let (status, detail) = match (error.kind(), error.code()) {
        (ErrorKind::Conflict, "user_exists") => (StatusCode::BAD_REQUEST, "Username already exists"),
        (ErrorKind::Conflict, "too_many_users") => (StatusCode::CONFLICT, "There are as many users as there may be"),
        (ErrorKind::Conflict, "too_much_data") => (StatusCode::CONFLICT, "As much is kept for this user as may be"),
        (ErrorKind::Conflict, "last_admin") => (StatusCode::CONFLICT, "No administrator would be left"),
        (ErrorKind::NotFound, "no_user") => (StatusCode::NOT_FOUND, "There is no such user"),
        _ => {
            let problem = Problem::from(error);
            if problem.status.is_server_error() {
                server.lines.error(error);
            }
            return problem.saying("The request could not be carried out now");
        }
    };
    Problem::new(status, error.code(), detail)
}
