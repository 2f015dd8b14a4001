//! What is recorded of a run: each read before the value leaves, each write with the version that came of it, and what was refused.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::context::{Context, audit_state_directory};
use super::hooks::Place;
use crate::audit::{self, Action, Actor, Anchor, Appended, AuditError, Class, Event, Keys, Log, Settings, Source, Status};
use crate::format::header::hex;
use crate::name::{EntryId, Environment};
use crate::term::output;
use crate::vault::{AuditAnchor, AuditSource, Entry, Error, ErrorKind, Reference, Result, Vault};

/// How many records a log grows before a writer writes down in the vault how far it reaches.
const ANCHORED_EVERY: u64 = 256;
/// How long a command waits for another process that writes to the log.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a run has to record, and what became of it.
#[derive(Default)]
pub struct Recording {
    /// Whether the key came from the agent.
    through_agent: Cell<bool>,
    /// Files that were opened as copies: a log is not begun beside them.
    copies: RefCell<Vec<PathBuf>>,
    /// The vault of this run, beside the copies.
    own: RefCell<Option<PathBuf>>,
    /// What is to be recorded if the run ends in a refusal.
    pending: RefCell<Option<(AuditSource, Event)>>,
    /// What the vault knows of a log that is not there.
    lost: RefCell<Option<String>>,
    /// Whether this process stays when it has recorded something.
    stays: Cell<bool>,
    /// Said once.
    warned: Cell<bool>,
}

impl Recording {
    /// The key of this run came from the agent.
    pub(super) fn through_agent(&self) {
        self.through_agent.set(true);
    }

    /// The vault was opened to be compared or copied; it is one beside that of the run, unless it is that one.
    pub(super) fn is_copy(&self, vault: &Vault, own: Option<PathBuf>) {
        let path = vault.path().map(Path::to_owned);
        if path != own {
            self.copies.borrow_mut().extend(path);
        }
        *self.own.borrow_mut() = own;
    }
}

impl Context {
    /// This process stays: what it records is made durable in its time.
    pub fn stays(&self) {
        self.recording.stays.set(true);
    }

    /// What the run is about from here on: if it ends in a refusal, that is what was refused. Without a vault there is a server, which records.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if something is about to be changed that could not be recorded, and the configuration says that it must be.
    pub fn about<'a>(&self, vault: impl Into<Option<&'a Vault>>, action: Action, id: Option<&EntryId>) -> Result<()> {
        let Some(vault) = vault.into() else { return Ok(()) };
        let Some(source) = vault.audit_source() else { return Ok(()) };
        if self.is_required()
            && action.class() != Class::Read
            && let Some(settings) = self.settings(&source.id, &source.path)?
            && let Err(error) = Log::probe(settings, source.id)
        {
            return Err(required("nothing was changed, for it could not be recorded", error));
        }
        let event = Event::new(action);
        let event = match id {
            Some(id) => event.id(id),
            None => event,
        };
        *self.recording.lost.borrow_mut() = self.lost_log(vault, &source);
        *self.recording.pending.borrow_mut() = Some((source, event));
        Ok(())
    }

    /// Records what was done, in one write; what follows is no refusal of it any more. Without a vault there is a server, which has recorded it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be recorded and the configuration says that it must be. Otherwise a warning says so, once.
    pub fn record<'a>(&self, vault: impl Into<Option<&'a Vault>>, events: &[Event]) -> Result<()> {
        let Some(vault) = vault.into() else { return Ok(()) };
        let pending = self.recording.pending.borrow_mut().take();
        let (Some(first), Some(source)) = (events.first(), vault.audit_source()) else { return Ok(()) };
        if pending.is_none_or(|(about, _)| about.path != source.path) {
            *self.recording.lost.borrow_mut() = self.lost_log(vault, &source);
        }
        let (class, full) = (first.action().class(), source.full);
        let place = self.place_for_hooks(&source);
        let recorded = self.append(source, events);
        // A read that cannot be recorded and must be does not happen; everything else is done.
        if let Some(place) = place.filter(|_| recorded.is_ok() || class != Class::Read) {
            self.note_for_hooks(place, Some(vault), events);
        }
        let Some((mut log, appended)) = recorded? else { return Ok(()) };
        if matches!(class, Class::Write | Class::Rotate) && full && appended.sequence >= appended.in_vault + ANCHORED_EVERY {
            self.anchor(vault, &mut log, &appended);
        }
        if class != Class::Read {
            self.retain(vault);
        }
        Ok(())
    }

    /// Records that an entry was written, with the version that came of it.
    pub fn record_write<'a>(
        &self,
        vault: impl Into<Option<&'a Vault>>,
        action: Action,
        id: &EntryId,
        version: u64,
    ) -> Result<()> {
        let Some(vault) = vault.into() else { return Ok(()) };
        self.record(vault, &[event_of(vault, action, id).version(version)])
    }

    /// Records that a vault was made.
    pub fn record_making(&self, source: AuditSource) -> Result<()> {
        self.set_aside(&source)?;
        let (place, events) = (self.place_for_hooks(&source), [Event::new(Action::Init)]);
        if let Some(place) = place {
            self.note_for_hooks(place, None, &events);
        }
        self.append(source, &events).map(|_| ())
    }

    /// Another vault stands where one was: the log of that one is kept under another name.
    pub fn set_foreign_log_aside(&self, vault: &Vault) -> Result<()> {
        vault.audit_source().map_or(Ok(()), |source| self.set_aside(&source))
    }

    fn set_aside(&self, source: &AuditSource) -> Result<()> {
        if let Some(kept) = audit::set_aside(&self.audit_paths(source).0, &source.id)? {
            self.note(&format!("the audit log of the vault that was there is kept as {}", kept.display()));
        }
        Ok(())
    }

    /// Records how the run ended, if it ended in a refusal of what it was about.
    pub fn record_refusal(&self, error: &Error) {
        let Some((source, event)) = self.recording.pending.take() else { return };
        if let Some(event) = event.refused(error) {
            let (place, events) = (self.place_for_hooks(&source), [event]);
            // Whatever comes of it, the run ends with what was refused.
            let _ = self.append(source, &events);
            if let Some(place) = place {
                self.note_for_hooks(place, None, &events);
            }
        }
    }

    /// What the run is about is the entry of this name.
    pub fn about_id(&self, id: &EntryId) {
        if let Some((_, event)) = self.recording.pending.borrow_mut().as_mut() {
            *event = Event::new(event.action()).id(id);
        }
    }

    /// What the run is about is the entry of this reference.
    pub fn about_reference(&self, reference: &Reference, environment: Option<&Environment>) {
        let environment = reference.environment.as_ref().or(environment).cloned();
        self.about_id(&EntryId { environment, name: reference.name.clone() });
    }

    /// What the run is about is this entry, which was found.
    pub fn about_entry(&self, entry: &Entry) {
        if let Some((_, event)) = self.recording.pending.borrow_mut().as_mut() {
            *event = event.clone().entry(entry);
        }
    }

    /// How far the vault knows the log that belongs here to reach: what a command on this machine wrote down last, of a log at this place. None with a
    /// limited key.
    pub fn audit_anchor_here(&self, vault: &Vault) -> Result<Option<AuditAnchor>> {
        let Some(source) = vault.audit_source() else { return Ok(None) };
        let place = audit::place_mark(&self.audit_paths(&source).0);
        let anchors = vault.audit_anchors()?.into_iter().filter(|anchor| anchor.place == Some(place));
        Ok(anchors.max_by_key(|anchor| anchor.time))
    }

    /// What the vault knows of a log here, if there is none: whoever begins another one writes that down.
    fn lost_log(&self, vault: &Vault, source: &AuditSource) -> Option<String> {
        let there = self.audit_paths(source).0.symlink_metadata();
        if there.is_ok_and(|there| there.len() > 0) {
            return None;
        }
        let AuditAnchor { log, sequence, hash, .. } = self.audit_anchor_here(vault).ok()??;
        Some(format!("the vault expected record {sequence} of log {} with hash {}; found no log", hex(&log), hex(&hash)))
    }

    /// How far this machine knows the log of a vault to reach.
    pub fn audit_anchor(&self, vault: &Vault) -> Option<Anchor> {
        let (_, anchor) = self.audit_paths(&vault.audit_source()?);
        audit::remembered(&anchor?)
    }

    /// Where the log of a vault is, and where this machine remembers how far it reached.
    pub(super) fn audit_paths(&self, source: &AuditSource) -> (PathBuf, Option<PathBuf>) {
        let directory = self.known_config().and_then(|config| config.audit.directory.clone());
        let anchor = audit_state_directory().map(|directory| directory.join(audit::place(&source.id, &source.path)));
        (audit::log_path(directory.as_deref(), &source.id, &source.path), anchor)
    }

    /// Records that no key opened a vault: in the clear, for there is no key, and without any name.
    pub(super) fn record_refused_unlock(&self, id: [u8; 16], path: &Path, error: &Error) {
        // Nothing was tried where no key was given.
        if ["no_key", "bad_key"].contains(&error.code()) {
            return;
        }
        let Some(event) = Event::new(Action::Unlock).refused(error) else { return };
        self.note_for_hooks(Place::locked(path), None, std::slice::from_ref(&event));
        let Ok(Some(settings)) = self.settings(&id, path) else { return };
        let actor = Actor { directory: None, ..self.actor(None) };
        let _ = Log::without_key(settings, id).append(self.now(), &actor, &[event]);
    }

    /// Appends to the log; `None` if nothing is recorded here.
    pub(super) fn append(&self, source: AuditSource, events: &[Event]) -> Result<Option<(Log, Appended)>> {
        let Some(settings) = self.settings(&source.id, &source.path)? else { return Ok(None) };
        let actor = self.actor(Some(source.opened_by.clone()));
        let is_copy = settings.create_like.is_none();
        let (required, class) = (self.is_required(), events.first().map_or(Class::Read, |event| event.action().class()));
        let place = self.place_for_hooks(&source);
        let mut log = Log::new(settings, Keys::new(source)).knowing(self.recording.lost.take());
        match log.append(self.now(), &actor, events) {
            Ok(appended) => {
                if self.recording.stays.get() {
                    log.sync_later();
                }
                let noticed = [(Action::AuditRecovered, appended.recovered), (Action::AuditMismatch, appended.mismatch)];
                let noticed = noticed.into_iter().filter(|(_, is_so)| *is_so);
                let noticed: Vec<Event> = noticed.map(|(what, _)| Event::new(what).ended(Status::Error, None)).collect();
                if let Some(place) = place {
                    self.note_for_hooks(place, None, &noticed);
                }
                Ok(Some((log, appended)))
            }
            Err(error) if required && class == Class::Read => {
                Err(self::required("nothing left, for it could not be recorded", error))
            }
            Err(error) if required => Err(self::required("it is done, and could not be recorded", error)),
            Err(AuditError::Missing) => Ok(None),
            // The copy of a vault that is not this one's.
            Err(AuditError::Foreign(_)) if is_copy => Ok(None),
            Err(error) if error.is_read_only() => Ok(None),
            Err(error) => {
                if !self.recording.warned.replace(true) {
                    self.note(&format!("warning: not recorded: {}", output::printable(&error.to_string())));
                }
                Ok(None)
            }
        }
    }

    /// Writes down in the vault how far the log reaches. The command did what it should; this comes on top.
    fn anchor(&self, vault: &Vault, log: &mut Log, appended: &Appended) {
        let Appended { log: id, sequence, hash, .. } = *appended;
        let known = vault.audit_anchors().unwrap_or_default();
        let known = known.iter().find(|anchor| anchor.log == id).map_or(0, |anchor| anchor.sequence);
        // By another machine perhaps, or before this one had its memory.
        let known = if known > 0 && known + ANCHORED_EVERY > sequence {
            Some(known)
        } else {
            let anchor = AuditAnchor { log: id, sequence, hash, time: self.now(), place: Some(audit::place_mark(log.path())) };
            vault.put_audit_anchor(&anchor).is_ok().then_some(sequence)
        };
        if let Some(known) = known {
            let _ = log.note_in_vault(&id, known);
        }
    }

    fn is_required(&self) -> bool {
        self.known_config().is_some_and(|config| config.audit.required == Some(true))
    }

    /// Where the log of a vault is, and how it is written; `None` if there is to be none.
    pub(super) fn settings(&self, id: &[u8; 16], path: &Path) -> Result<Option<Settings>> {
        let table = self.known_config().map(|config| config.audit.clone()).unwrap_or_default();
        if table.enabled == Some(false) {
            return Ok(None);
        }
        let is_copy = self.recording.copies.borrow().iter().any(|copy| copy == path);
        let mut log = audit::log_path(table.directory.as_deref(), id, path);
        let own = self.recording.own.borrow();
        // What is done with a copy that has no log of its own stands in that of the vault.
        let place = match own.as_deref() {
            Some(own) if is_copy && !log.exists() => {
                log = audit::log_path(table.directory.as_deref(), id, own);
                own
            }
            _ => path,
        };
        let anchor = audit_state_directory().map(|directory| directory.join(audit::place(id, place)));
        let sync = table.sync()?;
        let patience = match table.required {
            Some(true) => self.lock_patience()?,
            _ => PATIENCE,
        };
        Ok(Some(Settings {
            log,
            anchor,
            anchor_every: Duration::ZERO,
            create_like: (!is_copy).then(|| path.to_owned()),
            patience,
            sync,
        }))
    }

    /// Who runs this.
    pub(super) fn actor(&self, key: Option<String>) -> Actor {
        let source = if self.recording.through_agent.get() { Source::Agent } else { Source::Cli };
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
        Actor {
            user: Some(rustix::process::getuid().as_raw().to_string()),
            process: parent.and_then(name_of),
            pid: parent.and_then(|pid| u64::try_from(pid).ok()),
            directory: std::env::current_dir().ok().map(|directory| directory.to_string_lossy().into_owned()),
            key,
            ..Actor::new(source)
        }
    }
}

/// An action on the entry of this name, with what the vault knows of it now.
pub fn event_of(vault: &Vault, action: Action, id: &EntryId) -> Event {
    let event = Event::new(action);
    match vault.entry(id) {
        Ok(Some(entry)) => event.entry(&entry),
        _ => event.id(id),
    }
}

/// The configuration says that it must be recorded.
fn required(what: &str, error: AuditError) -> Error {
    let error = Error::from(error);
    Error::new(ErrorKind::Io, "audit_required", format!("{what}: {error}"))
        .hint(error.hint_text().unwrap_or("`required` in [audit] of your config.toml says so"))
}

/// What a process is called.
#[cfg(target_os = "linux")]
fn name_of(pid: i32) -> Option<String> {
    let name = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(name.trim_ascii_end()).into_owned())
}

#[cfg(not(target_os = "linux"))]
fn name_of(_pid: i32) -> Option<String> {
    None
}
