//! Keys that the agent holds: taken silently by every command, handed over by `unlock`.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use super::context::{Context, parse_duration};
use crate::agent::client;
use crate::agent::protocol::Hold;
use crate::process::Protection;
use crate::term::output;
use crate::vault::{Error, ErrorKind, KeptSlot, Locked, OpenedSlot, Result};

/// How long an agent holds what it was given, unless told otherwise.
const TTL: Duration = Duration::from_secs(15 * 60);
/// How long it holds what nobody asks for.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// How long the agent is to hold a key.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// At most, in milliseconds.
    pub ttl: u64,
    /// While nobody asks for it, in milliseconds.
    pub idle: u64,
}

impl Context {
    /// What the agent holds for this vault. An agent that cannot be used is passed over, with a note.
    pub(super) fn held_slot(&self, locked: &Locked) -> Option<OpenedSlot> {
        let asked = client::keys(bytes(locked.path()), locked.stamps()).map_err(|error| error.to_string());
        let opened = asked.and_then(|kept| kept.map(|kept| locked.reopen(&kept)).transpose().map_err(|error| error.to_string()));
        opened.unwrap_or_else(|why| {
            self.note(&format!("warning: the agent was passed over: {}", output::printable(&why)));
            None
        })
    }

    /// Gives the agent what a slot of the vault at `path` gave, and starts one if there is none.
    pub(super) fn hand_over(&self, path: &Path, slot: KeptSlot, times: Times) -> Result<()> {
        let hold = Hold { path: bytes(path).to_vec(), slot, ttl: times.ttl, idle: times.idle };
        let held = client::hold(hold).map_err(|error| agent_failed(&error))?;
        if held.memory == Protection::Plain.word() {
            self.note("warning: the system does not lock memory for the agent (`ulimit -l`): the key may be written to swap");
        }
        Ok(())
    }

    /// Hands over what a passphrase opened that was typed just now. Without an agent it is only asked for again.
    pub(super) fn hand_over_on_demand(&mut self, path: &Path, slot: KeptSlot) {
        let handed = self.agent_times(None, None).and_then(|times| self.hand_over(path, slot, times));
        if let Err(error) = handed {
            self.note(&format!("warning: the vault stays locked: {}", output::printable(&error.to_string())));
        }
    }

    /// How long the agent is to hold a key: as options say, else the configuration.
    pub(super) fn agent_times(&mut self, ttl: Option<&str>, idle: Option<&str>) -> Result<Times> {
        let config = self.config()?;
        let choose = |option: Option<&str>, configured: Option<&String>, default: Duration| {
            let Some(text) = option.or(configured.map(String::as_str)) else { return Ok(default.as_millis() as u64) };
            match parse_duration(text)? {
                0 => Err(Error::usage("the agent cannot hold a key for no time")),
                time => Ok(time),
            }
        };
        Ok(Times { ttl: choose(ttl, config.agent_ttl.as_ref(), TTL)?, idle: choose(idle, config.agent_idle.as_ref(), IDLE)? })
    }
}

/// An agent that does not do what it should.
pub fn agent_failed(error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::PermissionDenied => ErrorKind::NotPermitted,
        _ => ErrorKind::Io,
    };
    Error::new(kind, "agent_failed", format!("the agent cannot be used: {error}"))
}

/// A path as the agent knows it.
pub fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// A time that is left, for people: `14m 59s`.
pub fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (0, hours, minutes, _) => format!("{hours}h {minutes}m"),
        (days, hours, ..) => format!("{days}d {hours}h"),
    }
}
