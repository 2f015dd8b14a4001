//! What is recorded: an action, what it was done to, how it ended, and who did it.

use std::sync::Arc;

use super::action::{Action, Status};
use crate::name::EntryId;
use crate::vault::{Entry, Error};

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Event {
    pub(super) action: Action,
    pub(super) status: Status,
    pub(super) environment: Option<String>,
    pub(super) name: Option<String>,
    pub(super) uid: Option<[u8; 16]>,
    pub(super) version: Option<u64>,
    pub(super) code: Option<&'static str>,
    pub(super) detail: Option<String>,
    pub(super) process: Option<(Arc<str>, u64)>,
}

impl Event {
    /// An action that went well.
    pub fn new(action: Action) -> Self {
        Self {
            action,
            status: Status::Ok,
            environment: None,
            name: None,
            uid: None,
            version: None,
            code: None,
            detail: None,
            process: None,
        }
    }

    /// What was done.
    pub fn action(&self) -> Action {
        self.action
    }

    /// How it ended.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The entry's name.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The entry's environment.
    pub fn environment_text(&self) -> Option<&str> {
        self.environment.as_deref()
    }

    /// The version of the entry.
    pub fn version_number(&self) -> Option<u64> {
        self.version
    }

    /// The code of the error.
    pub fn error_code(&self) -> Option<&'static str> {
        self.code
    }

    /// What else there is to say.
    pub fn detail_text(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// What came of it: another action, on the same entry.
    pub fn followed_by(&self, action: Action) -> Self {
        let Self { environment, name, uid, version, .. } = self.clone();
        Self { environment, name, uid, version, ..Self::new(action) }
    }

    /// To this entry, at its current version.
    pub fn entry(self, entry: &Entry) -> Self {
        let mut event = self.id(entry.id());
        (event.uid, event.version) = (Some(*entry.uid()), Some(entry.version()));
        event
    }

    /// To the entry of this name.
    pub fn id(mut self, id: &EntryId) -> Self {
        self.environment = id.environment.as_ref().map(ToString::to_string);
        self.name = Some(id.name.as_str().to_owned());
        self
    }

    /// To the entry of this identity.
    pub fn uid(mut self, uid: [u8; 16]) -> Self {
        self.uid = Some(uid);
        self
    }

    /// To this version; `None` leaves it as it is.
    pub fn version(mut self, version: impl Into<Option<u64>>) -> Self {
        self.version = version.into().or(self.version);
        self
    }

    /// What else there is to say: counts, labels, never a value.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// For this program, of this number.
    pub fn process(mut self, name: impl Into<Arc<str>>, number: u64) -> Self {
        self.process = Some((name.into(), number));
        self
    }

    /// It ended so.
    pub fn ended(mut self, status: Status, code: Option<&'static str>) -> Self {
        (self.status, self.code) = (status, code);
        self
    }

    /// It was refused; `None` if the error is none that is recorded.
    pub fn refused(self, error: &Error) -> Option<Self> {
        Status::of(error).map(|status| self.ended(status, Some(error.code())))
    }
}

/// Through what the key came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A command that was given it.
    Cli,
    /// A command that had it from the agent.
    Agent,
    /// The server.
    Serve,
}

impl Source {
    /// The word of the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cli => "cli",
            Self::Agent => "agent",
            Self::Serve => "serve",
        }
    }
}

/// Who does something; the edges say it.
#[derive(Debug, Clone)]
pub struct Actor {
    /// Through what the key came.
    pub source: Source,
    /// The number of the user of the system in digits; of the server the name of its user.
    pub user: Option<String>,
    /// The program for which it was done: the one that started the command.
    pub process: Option<String>,
    /// Its number.
    pub pid: Option<u64>,
    /// The working directory.
    pub directory: Option<String>,
    /// From where a request came.
    pub client: Option<String>,
    /// The number of a request.
    pub request: Option<String>,
    /// What a client calls itself.
    pub agent: Option<String>,
    /// The slot: its public half.
    pub key: Option<String>,
}

impl Actor {
    /// Somebody of whom nothing else is known.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            user: None,
            process: None,
            pid: None,
            directory: None,
            client: None,
            request: None,
            agent: None,
            key: None,
        }
    }
}
