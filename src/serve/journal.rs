//! Writes the audit log for all requests: what is asked for at the same time is one write, and each asker hears of it before its response leaves.
//!
//! Whoever records writes for all who wait, which takes less than to wake another thread: some system calls into the system's memory. As soon as that is not
//! so, because the medium is slow, another process holds the log, or each write is to be durable, a thread of its own writes, and requests that concern no
//! vault go on.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::committer::now;
use super::keeper::Open;
use crate::audit::{
    self, Actor, Appended, AuditError, DAY, Event, Expected, Happened, Keys, Log, Prune, Reader, Settings, Source, Stay, Sync,
    Tried,
};
use crate::vault::clock::Belief;
use crate::vault::{AuditAnchor, Error, Locked};

/// How many records are one write at most.
const TOGETHER: usize = 256;
/// How many records a log grows before the vault is told how far it reaches.
const ANCHORED_EVERY: u64 = 256;
/// How often this machine writes down how far the log reaches.
const ANCHOR_EVERY: Duration = Duration::from_millis(100);
/// How long the log may be held by another process.
const PATIENCE: Duration = Duration::from_secs(1);
/// A write that takes longer is one of a slow medium.
const SLOW: Duration = Duration::from_millis(5);
/// After so many that were not slow the medium is not slow any more.
const PROVED: u32 = 32;

/// Where the log is, and what happens if it cannot be written.
#[derive(Debug, Clone)]
pub struct JournalSettings {
    /// Whether there is one.
    pub enabled: bool,
    /// Whether no response leaves that could not be recorded.
    pub required: bool,
    /// When records are made durable.
    pub sync: Sync,
    /// Where logs are, if not beside the vault.
    pub directory: Option<PathBuf>,
    /// Where this machine remembers how far logs reached.
    pub memory: Option<PathBuf>,
    /// How many days records are kept; 0: for ever.
    pub retention_days: u64,
}

/// Under which key a record is sealed.
enum Under {
    /// That of an open vault.
    Key(Arc<Open>),
    /// None: the vault of this file is sealed.
    None(PathBuf),
}

impl Under {
    fn generation(&self) -> Option<u64> {
        match self {
            Self::Key(open) => Some(open.generation),
            Self::None(_) => None,
        }
    }
}

struct Line {
    time: u64,
    under: Under,
    actor: Actor,
    events: Vec<Event>,
    asker: oneshot::Sender<bool>,
}

/// Writes records, in the order in which they came.
pub struct Journal {
    settings: JournalSettings,
    waiting: Mutex<VecDeque<Line>>,
    /// The thread that writes while that may take long; it sleeps otherwise.
    writer: Thread,
    /// How many more writes of the thread have to be quick before others write again.
    unproved: AtomicU32,
    /// The log of the opening of the vault with this number.
    log: Mutex<Option<(u64, Log)>>,
    /// How far the log reaches, once the vault is to be told.
    reach: Mutex<Option<AuditAnchor>>,
    /// Makes durable what was written; there is one at a time.
    syncing: Mutex<Option<JoinHandle<std::io::Result<()>>>>,
    complain: Box<dyn Fn(&AuditError) + Send + std::marker::Sync>,
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.writer.unpark();
    }
}

impl Journal {
    /// A journal that has written nothing yet. `complain` hears of what could not be written.
    ///
    /// # Errors
    /// If there is no thread to write.
    pub fn start(
        settings: JournalSettings,
        complain: impl Fn(&AuditError) + Send + std::marker::Sync + 'static,
    ) -> std::io::Result<Arc<Self>> {
        let (hand_over, handed) = std::sync::mpsc::sync_channel::<Weak<Self>>(1);
        let writer = std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
            let Ok(journal) = handed.recv() else { return };
            while let Some(journal) = journal.upgrade() {
                journal.write_waiting(PATIENCE);
                drop(journal);
                std::thread::park();
            }
        })?;
        let journal = Arc::new(Self {
            settings,
            waiting: Mutex::default(),
            writer: writer.thread().clone(),
            unproved: AtomicU32::new(0),
            log: Mutex::default(),
            reach: Mutex::default(),
            syncing: Mutex::default(),
            complain: Box::new(complain),
        });
        // The thread waits for nothing else.
        let _ = hand_over.send(Arc::downgrade(&journal));
        Ok(journal)
    }

    /// Where the log of a vault is.
    pub fn path(&self, open: &Open) -> PathBuf {
        audit::log_path(self.settings.directory.as_deref(), &open.source.id, &open.source.path)
    }

    /// Records what one request did. Returns whether the response may leave: it is recorded, or need not be.
    pub async fn record(&self, open: &Arc<Open>, actor: Actor, events: Vec<Event>) -> bool {
        if !self.settings.enabled {
            return true;
        }
        self.ask(Under::Key(open.clone()), actor, events).await || !self.settings.required
    }

    /// Records that a key was refused while the vault at `path` is sealed, where there is a log: all that is recorded without a key.
    pub async fn record_refused_key(&self, path: &Path, actor: Actor, event: Event) {
        if self.settings.enabled {
            self.ask(Under::None(path.to_owned()), actor, vec![event]).await;
        }
    }

    async fn ask(&self, under: Under, actor: Actor, events: Vec<Event>) -> bool {
        let (asker, mut answer) = oneshot::channel();
        let is_keyed = matches!(under, Under::Key(_));
        lock(&self.waiting).push_back(Line { time: now(), under, actor, events, asker });
        if is_keyed && !self.is_slow() {
            // Others that are answered right now come first, so that one write is for all of them.
            tokio::task::yield_now().await;
            if let Ok(recorded) = answer.try_recv() {
                return recorded;
            }
            self.write_waiting(Duration::ZERO);
        } else {
            self.hand_over();
        }
        answer.await.unwrap_or(false)
    }

    /// Whether writing may take long.
    fn is_slow(&self) -> bool {
        self.settings.sync == Sync::Always || self.unproved.load(Ordering::Relaxed) > 0
    }

    /// Has the thread write what waits.
    fn hand_over(&self) {
        self.unproved.fetch_max(1, Ordering::Relaxed);
        self.writer.unpark();
    }

    /// What the vault is to be told of the log, with the next commit that there is anyhow. It is durable: the vault says nothing of the log that a failure
    /// of power could take back.
    pub fn take_reach(&self) -> Option<AuditAnchor> {
        let reach = lock(&self.reach).take()?;
        let is_durable = lock(&self.log).as_ref().is_some_and(|(_, log)| log.sync().is_ok());
        // Whoever came meanwhile found the log taken.
        self.write_waiting(PATIENCE);
        is_durable.then_some(reach)
    }

    /// The vault was told.
    pub fn note_in_vault(&self, anchor: &AuditAnchor) {
        if let Some((_, log)) = lock(&self.log).as_mut() {
            // It is told again otherwise.
            let _ = log.note_in_vault(&anchor.log, anchor.sequence);
        }
        self.write_waiting(PATIENCE);
    }

    /// Whether nothing may leave or be changed that is not recorded.
    pub fn is_required(&self) -> bool {
        self.settings.enabled && self.settings.required
    }

    /// Whether something that is about to be done can be recorded, where it must be.
    pub async fn can_record(self: &Arc<Self>, open: &Arc<Open>) -> bool {
        if !self.is_required() {
            return true;
        }
        let (journal, open) = (self.clone(), open.clone());
        let probed = tokio::task::spawn_blocking(move || Log::probe(place_of(&journal.settings, &open), open.source.id).is_ok());
        probed.await.unwrap_or(false)
    }

    /// Removes records that were kept long enough, if that was not tried today. Meanwhile records wait. Returns how many went.
    pub fn retain(&self, open: &Open) -> Result<u64, Error> {
        let (days, source) = (self.settings.retention_days, &open.source);
        let clock = open.vault.clock(now());
        // A clock that is not believed must not empty the log.
        if !self.settings.enabled || days == 0 || clock.belief() != Belief::Believed {
            return Ok(0);
        }
        let (now, since) = (clock.now(), clock.now().saturating_sub(days.saturating_mul(DAY)));
        let tried = self.settings.memory.as_deref().map(|directory| Tried::of(directory, &source.id, &source.path));
        let keys = || Ok::<_, Error>(Keys::new(source.duplicate()).with_older(open.vault.older_audit_keys()?));
        let older = keys()?;
        let has_older = || Reader::open(&self.path(open), older).and_then(|mut reader| reader.has_older(now, since));
        if tried.as_ref().is_some_and(|tried| tried.lately(now)) || !has_older().unwrap_or(false) {
            return Ok(0);
        }
        let known: Vec<Expected> = open.vault.audit_anchors()?.iter().map(Expected::of_vault).collect();
        let plan = Prune { stay: Stay::Since(since), dry_run: false, force: false, no_more_than_half: true };
        let actor = Actor { key: Some(source.opened_by.clone()), ..Actor::new(Source::Serve) };
        let pruned = {
            // Whoever records meanwhile waits here rather than for the lock of the log, which has an end.
            let _log = lock(&self.log);
            audit::prune(place_of(&self.settings, open), keys()?, plan, &known, now, &actor)
        };
        self.write_waiting(PATIENCE);
        if let Some(tried) = tried.filter(|_| !matches!(pruned, Err(AuditError::Busy))) {
            tried.note(now);
        }
        Ok(pruned?.removed)
    }

    /// Writes what waits, and lets go of the log: this machine then remembers how far it reaches.
    pub fn close(&self) {
        self.write_waiting(PATIENCE);
        drop(lock(&self.log).take());
    }

    /// Writes what waits, unless somebody else is at it, who then writes this too: whoever lets go of the log looks once more, and whoever comes behind
    /// that look finds the log free. What cannot be written with so much patience is left to the thread.
    fn write_waiting(&self, patience: Duration) {
        while !lock(&self.waiting).is_empty() {
            let mut log = match self.log.try_lock() {
                Ok(log) => log,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let lines = {
                let mut waiting = lock(&self.waiting);
                let Some(generation) = waiting.front().map(|line| line.under.generation()) else { return };
                let alike = waiting.iter().take_while(|line| line.under.generation() == generation).count();
                waiting.drain(..alike.min(TOGETHER)).collect::<Vec<_>>()
            };
            if let Some(back) = self.write(&mut log, lines, patience) {
                let mut waiting = lock(&self.waiting);
                back.into_iter().rev().for_each(|line| waiting.push_front(line));
                drop((waiting, log));
                return self.hand_over();
            }
        }
    }

    /// Writes lines; returns them if another process holds the log for longer than there is patience, and there is more patience elsewhere.
    fn write(&self, kept: &mut Option<(u64, Log)>, lines: Vec<Line>, patience: Duration) -> Option<Vec<Line>> {
        let first = lines.first()?;
        let began = Instant::now();
        let happened: Vec<_> =
            lines.iter().flat_map(|line| line.events.iter().map(move |event| (line.time, &line.actor, event))).collect();
        let is_written = match &first.under {
            // Opening one, and letting go of another, may take long.
            Under::Key(open) if patience < PATIENCE && kept.as_ref().is_none_or(|(of, _)| *of != open.generation) => {
                return Some(lines);
            }
            Under::Key(open) => match self.append(kept, open, &happened, patience) {
                Err(AuditError::Busy) if patience < PATIENCE => return Some(lines),
                written => written.inspect_err(|error| (self.complain)(error)).is_ok(),
            },
            Under::None(_) if patience < PATIENCE => return Some(lines),
            Under::None(path) => self.append_without_key(path, &happened),
        };
        self.note(began.elapsed(), patience);
        for line in lines {
            // Whoever hung up has no use for it.
            let _ = line.asker.send(is_written);
        }
        None
    }

    /// Learns from how long a write took who does the next.
    fn note(&self, took: Duration, patience: Duration) {
        if took > SLOW {
            self.unproved.store(PROVED, Ordering::Relaxed);
        } else if patience > Duration::ZERO {
            let less = |unproved: u32| unproved.checked_sub(1);
            // Nothing to prove any more.
            let _ = self.unproved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    fn append(
        &self,
        kept: &mut Option<(u64, Log)>,
        open: &Arc<Open>,
        happened: &[Happened<'_>],
        patience: Duration,
    ) -> Result<(), AuditError> {
        let generation = open.generation;
        let (_, log) = match kept.take().filter(|(of, _)| *of == generation) {
            Some(same) => kept.insert(same),
            None => kept.insert((generation, log_of(&self.settings, open))),
        };
        log.wait(patience);
        let written = log.append_all(happened);
        // It lets go of the log by and by, and has time then.
        log.wait(PATIENCE);
        if let Ok(Appended { log: id, sequence, hash, in_vault, .. }) = written
            && sequence >= in_vault + ANCHORED_EVERY
        {
            let place = Some(audit::place_mark(log.path()));
            *lock(&self.reach) = Some(AuditAnchor { log: id, sequence, hash, time: now(), place });
        }
        self.sync_in_time(log);
        written.map(drop)
    }

    fn append_without_key(&self, path: &Path, happened: &[Happened<'_>]) -> bool {
        let Ok(locked) = Locked::open(path) else { return false };
        let id = locked.id_bytes();
        let mut log = Log::without_key(place(&self.settings, &id, locked.path()), id);
        match log.append_all(happened) {
            Ok(_) => true,
            // None is begun without a key, and one that is not whole is left as it is.
            Err(AuditError::Missing) => false,
            Err(error) => {
                (self.complain)(&error);
                false
            }
        }
    }

    /// What was written becomes durable in its time.
    fn sync_in_time(&self, log: &Log) {
        let mut syncing = lock(&self.syncing);
        if syncing.as_ref().is_none_or(JoinHandle::is_finished) {
            *syncing = log.sync_later();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn place_of(settings: &JournalSettings, open: &Open) -> Settings {
    place(settings, &open.source.id, &open.source.path)
}

fn place(settings: &JournalSettings, id: &[u8; 16], path: &Path) -> Settings {
    Settings {
        log: audit::log_path(settings.directory.as_deref(), id, path),
        anchor_every: ANCHOR_EVERY,
        anchor: settings.memory.as_ref().map(|directory| directory.join(audit::place(id, path))),
        create_like: Some(path.to_owned()),
        patience: PATIENCE,
        sync: settings.sync,
    }
}

fn log_of(settings: &JournalSettings, open: &Open) -> Log {
    Log::new(place_of(settings, open), Keys::new(open.source.duplicate()))
}
