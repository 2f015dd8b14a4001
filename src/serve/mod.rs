//! `vault serve`: the vault as a REST API. The only room with an executor; it knows neither the agent nor the command line.
//!
//! A request passes [`call::around`], where it is known who asks and whether they may, and where what was done is recorded before the response leaves.
//! Reads go to the vault directly, changes through [`committer::Committer`], and records through [`journal::Journal`]: both do for all who
//! wait at once what each would have to do alone.

pub mod auth;
pub mod backup;
pub mod budget;
pub mod call;
pub mod committer;
pub mod configs;
pub mod cors;
pub mod docs;
pub mod error;
pub mod events;
pub mod fields;
pub mod follow;
pub mod journal;
pub mod keeper;
pub mod limits;
pub mod lines;
pub mod listen;
pub mod listing;
pub mod mail;
pub mod metrics;
pub mod openapi;
pub mod query;
pub mod routes;
pub mod schemas;
pub mod secrets;
pub mod service;
pub mod system;
pub mod tls;
pub mod users;
pub mod v1;
pub mod webhooks;

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};

use budget::Budget;
use committer::Committer;
use events::Happening;
use follow::{By, Follow};
use journal::Journal;
use keeper::Keeper;
use limits::Limits;
use lines::Lines;
use listen::{Accepting, Addresses, Bound, Listen};
use mail::{Mail, MailWay, Sender};
use metrics::Metrics;
use tls::{Tls, TlsSettings};
use users::{UserSettings, Users};
use webhooks::Hook;

use crate::audit::{Actor, Source};
use crate::crypto;
use crate::vault::{Error, ErrorKind, Result};

/// How often one record says how many refusals have none of their own.
const SUMMED_UP_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked whether it was tried today to remove old records.
const RETAINED_EVERY: Duration = Duration::from_secs(60 * 60);
/// How long lines that wait may keep the end from coming.
const LAST_LINES: Duration = Duration::from_secs(1);
/// In what units room for bodies is counted, in bytes.
const UNIT: usize = 1024;
/// How many happenings a subscriber may be behind.
const HAPPENINGS: usize = 1024;

/// How the server behaves; all of it comes from the edge.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens.
    pub listen: Vec<Listen>,
    /// TLS on all addresses.
    pub tls: Option<TlsSettings>,
    /// Listen in plain where others than this machine hear it.
    pub insecure_plain_http: bool,
    /// How many connections there may be.
    pub max_connections: usize,
    /// How long the head of a request may take.
    pub header_timeout: Duration,
    /// How long the body may take.
    pub body_timeout: Duration,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// How long requests that are under way may take when the server ends.
    pub drain: Duration,
    /// How many of them one address may have; `None`: as many as are usual, except for this machine.
    pub max_connections_per_address: Option<usize>,
    /// How many bytes a body may have.
    pub max_body: usize,
    /// How many bytes all bodies that are under way may have.
    pub max_bodies: usize,
    /// From where requests are heard; empty: from everywhere.
    pub allow: Vec<IpNet>,
    /// Proxies whose word on who their client is counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Secrets by id are for all who can connect.
    pub open_secret_api: bool,
    /// Requests a second of one address.
    pub rate_by_address: Option<NonZeroU32>,
    /// Requests a second of one credential.
    pub rate_by_credential: Option<NonZeroU32>,
    /// Origins whose pages may read answers.
    pub cors_origins: Vec<String>,
    /// Who is told what changes.
    pub webhooks: Vec<Hook>,
    /// How many threads answer; `None`: as many as there are processors.
    pub workers: Option<usize>,
    /// How mail leaves, if it does.
    pub mail: Option<MailWay>,
    /// From whom it is.
    pub mail_from: Sender,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            tls: None,
            insecure_plain_http: false,
            max_connections: 10_240,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            max_connections_per_address: None,
            max_body: 1 << 20,
            max_bodies: 128 << 20,
            allow: Vec::new(),
            trusted_proxies: Vec::new(),
            open_secret_api: false,
            rate_by_address: None,
            rate_by_credential: None,
            cors_origins: Vec::new(),
            webhooks: Vec::new(),
            workers: None,
            mail: None,
            mail_from: Sender::default(),
        }
    }
}

/// A server: everything that its routes share.
pub struct Server {
    /// How it behaves.
    pub settings: Settings,
    /// Keeps the vault.
    pub keeper: Arc<Keeper>,
    /// Commits changes.
    pub committer: Committer,
    /// Records what is done.
    pub journal: Arc<Journal>,
    /// Limits rates.
    pub limits: Limits,
    /// Limits records of callers whom nobody knows.
    pub budget: Budget,
    /// Numbers.
    pub metrics: Metrics,
    /// Lines on standard error.
    pub lines: Lines,
    /// Sends mail.
    pub mail: Option<Mail>,
    /// Tells requests of this process from those of others.
    pub instance: u64,
    /// Users who sign in.
    pub users: Users,
    /// Held by whoever makes or opens a backup: each takes a gigabyte for its passphrase.
    pub backups: std::sync::Mutex<()>,
    /// Room for bodies, in units of [`UNIT`] bytes.
    bodies: Arc<Semaphore>,
    /// What others change.
    pub follow: Follow,
    happenings: broadcast::Sender<Happening>,
    /// Changes when those who were let in before may not be any more.
    doubts: watch::Sender<u64>,
    draining: watch::Sender<bool>,
}

impl Server {
    /// A server that does not listen yet.
    pub fn new(
        settings: Settings,
        users: UserSettings,
        keeper: Arc<Keeper>,
        journal: Arc<Journal>,
        lines: Lines,
    ) -> Result<Arc<Self>> {
        let committer = Committer::start(journal.clone(), {
            let lines = lines.clone();
            move |note| lines.notice(note)
        })
        .map_err(|error| Error::io("start the thread that commits", &error))?;
        let limits = Limits::new(settings.rate_by_address, settings.rate_by_credential);
        let instance = u64::from_le_bytes(crypto::random()?);
        let (happenings, draining) = (broadcast::Sender::new(HAPPENINGS), watch::Sender::new(false));
        let (metrics, budget) = (Metrics::new(), Budget::default());
        metrics.count("log_lines_dropped", "Lines on standard error that found no room", lines.dropped());
        metrics.count("audit_summarised", "Refusals that a record stands for which counts them", budget.total());
        metrics.count("commits_failed", "Commits that the file or its medium did not take", committer.failures());
        // At least one body of every size that is taken.
        let bodies =
            Arc::new(Semaphore::new(settings.max_bodies.max(settings.max_body).div_ceil(UNIT).min(Semaphore::MAX_PERMITS)));
        let users = Users::start(users).map_err(|error| Error::io("start the threads that compare passwords", &error))?;
        let mail = settings.mail.clone().map(|way| Mail::start(way, settings.mail_from.clone(), lines.clone(), metrics.mail()));
        let mail = mail.transpose().map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => Error::new(ErrorKind::Usage, "mail", format!("mail: {error}")),
            _ => Error::io("start the thread that carries mail", &error),
        })?;
        Ok(Arc::new(Self {
            settings,
            keeper,
            committer,
            journal,
            limits,
            budget,
            metrics,
            lines,
            mail,
            instance,
            users,
            backups: std::sync::Mutex::new(()),
            bodies,
            follow: Follow::default(),
            doubts: watch::Sender::new(0),
            happenings,
            draining,
        }))
    }

    /// Room for a body of so many bytes; `None` if there is none now.
    fn room_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        self.bodies.clone().try_acquire_many_owned(units).ok()
    }

    /// Tells those who listen for what changes, if it was not told yet.
    pub fn tell(&self, happening: Happening) {
        self.tell_by(happening, By::Request);
    }

    fn tell_by(&self, happening: Happening, by: By) {
        if self.has_listeners() {
            // They may be gone by now.
            self.follow.tell(happening, by, |news| drop(self.happenings.send(news)));
        }
    }

    /// Whether somebody listens for what changes.
    pub fn has_listeners(&self) -> bool {
        self.happenings.receiver_count() > 0
    }

    /// Those who stay connected look once more whether they still may: keys or tokens are other ones, perhaps.
    pub fn ask_again(&self) {
        self.doubts.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Changes when they are to look.
    pub fn asked_again(&self) -> watch::Receiver<u64> {
        self.doubts.subscribe()
    }

    /// Whether it is about to end.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Becomes true when it is about to end.
    pub fn drained(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Serves until a signal ends it (SIGTERM, SIGINT); SIGHUP reads certificates anew. `ready` is told where it listens.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a listener that would send secrets in plain, [`ErrorKind::Io`] if it cannot listen.
    pub fn run(self: &Arc<Self>, ready: impl FnOnce(&[String])) -> Result<()> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        if let Some(workers) = self.settings.workers {
            builder.worker_threads(workers);
        }
        let runtime = builder.thread_name("serve").enable_all().build().map_err(|error| Error::io("start the server", &error))?;
        let served = runtime.block_on(self.serve(ready));
        if let (Some(mail), Ok(end)) = (&self.mail, &served) {
            let left = mail.finish(*end);
            if left > 0 {
                self.lines.failure("mail", &format!("{left} messages were not sent: the server ended"));
            }
        }
        runtime.shutdown_timeout(Duration::from_secs(1));
        self.journal.close();
        self.lines.finish(LAST_LINES);
        served.map(|_| ())
    }

    /// Returns by when what is still under way has to be done.
    async fn serve(self: &Arc<Self>, ready: impl FnOnce(&[String])) -> Result<Instant> {
        let tls = self.settings.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
        let bound = self.bind(tls.is_some())?;
        let (terminate, interrupt, hang_up) =
            (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?, hear(SignalKind::hangup())?);
        let names: Vec<String> = bound.iter().map(|socket| socket.name(tls.is_some())).collect();
        let room = Arc::new(Semaphore::new(self.settings.max_connections));
        let addresses = Addresses::new(&self.settings);
        self.metrics.count("http_connections_refused", "Connections of addresses that had too many", addresses.refused());
        let shared =
            Accepting { server: self.clone(), router: routes::router(self), room: room.clone(), addresses, tls: tls.clone() };
        let begin = |socket| tokio::spawn(shared.clone().accept_all(socket, self.drained()));
        let accepting: Vec<_> = bound.into_iter().map(begin).collect();
        let beside = [
            tokio::spawn(self.clone().sum_up()),
            tokio::spawn(self.clone().retain()),
            tokio::spawn(follow::follow(self.clone())),
        ];
        ready(&names);
        self.until_ended(tls.as_deref(), terminate, interrupt, hang_up).await;
        let end = Instant::now() + self.settings.drain;
        self.draining.send_replace(true);
        for task in accepting {
            // It has ended, one way or another.
            let _ = task.await;
        }
        // All room is free when no connection is left. What takes longer is cut off; what was acknowledged is durable.
        let all = u32::try_from(self.settings.max_connections).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout_at(end.into(), room.acquire_many(all)).await;
        beside.iter().for_each(tokio::task::JoinHandle::abort);
        self.record_summaries().await;
        Ok(end)
    }

    /// Records now and then what has no record of its own.
    async fn sum_up(self: Arc<Self>) {
        loop {
            tokio::time::sleep(SUMMED_UP_EVERY).await;
            self.record_summaries().await;
        }
    }

    /// Looks now and then whether records of the log were kept long enough; once a day that is tried.
    async fn retain(self: Arc<Self>) {
        loop {
            if let Some(open) = self.keeper.current() {
                let server = self.clone();
                let retained = tokio::task::spawn_blocking(move || match server.journal.retain(&open) {
                    Ok(0) => {}
                    Ok(removed) => {
                        server.lines.notice(&format!("{removed} records of the audit log were kept long enough and went"))
                    }
                    Err(error) => server.lines.error(&error),
                });
                // What fails is tried again.
                let _ = retained.await;
            }
            tokio::time::sleep(RETAINED_EVERY).await;
        }
    }

    async fn record_summaries(&self) {
        let Some(open) = self.keeper.current() else { return };
        let events = self.budget.summaries();
        if !events.is_empty() && !self.journal.record(&open, Actor::new(Source::Serve), events.clone()).await {
            self.budget.give_back(&events);
        }
    }

    fn bind(&self, is_tls: bool) -> Result<Vec<Bound>> {
        let settings = &self.settings;
        let mut bound = Vec::new();
        for listen in &settings.listen {
            let opened = Bound::open(listen).map_err(|error| Error::io(format!("listen on {listen}"), &error))?;
            bound.extend(opened);
        }
        for socket in bound.iter().filter(|socket| !socket.is_local()) {
            let name = socket.name(is_tls);
            if !is_tls && !settings.insecure_plain_http {
                return Err(Error::new(ErrorKind::Usage, "plain_http", format!("{name} would send secrets over the network in plain"))
                    .hint("give it a certificate (--tls-cert, --tls-key), or put it behind a proxy on this machine (or say --insecure-plain-http)"));
            }
            if settings.open_secret_api {
                let message = format!("{name} would give secrets by id to everybody on the network");
                return Err(Error::new(ErrorKind::Usage, "open_secret_api", message)
                    .hint("open-secret-api is for listeners that only this machine reaches"));
            }
        }
        Ok(bound)
    }

    async fn until_ended(&self, tls: Option<&Tls>, mut terminate: Signal, mut interrupt: Signal, mut hang_up: Signal) {
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = hang_up.recv() => match tls.map(Tls::reload) {
                    Some(Ok(())) => self.lines.notice("the certificate was read anew"),
                    Some(Err(error)) => self.lines.error(&error),
                    None => {}
                }
            }
        }
    }
}

fn hear(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|error| Error::io("wait for signals", &error))
}
