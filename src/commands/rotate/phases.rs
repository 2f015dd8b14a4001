//! Carrying out a rotation in two phases: apply, verify, and promote; or back.
//!
//! Before each command the vault says that it is about to run, so that whoever finds the journal knows what may have happened. The entry has its
//! old value until the new one is known to count.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::machine::Hold;
use crate::commands::context::Context;
use crate::format::rotation::Phase;
use crate::name::EntryId;
use crate::secret::SecretValue;
use crate::term::script::{Ended, Script};
use crate::vault::{Error, ErrorKind, Outcome, PendingRotation, Result, Vault};

/// A rotation that this process carries out.
pub struct Drive<'a> {
    /// This run of the program.
    pub context: &'a Context,
    /// The vault.
    pub vault: &'a Vault,
    /// The rotation.
    pub pending: PendingRotation,
    /// The entry's lock.
    pub hold: Hold,
    /// Readable when this process is asked to end.
    pub endings: &'a OwnedFd,
    /// Whether the value goes in place though the entry got another one meanwhile.
    pub force: bool,
}

/// Until when others leave a rotation alone that is about to run a command: twice its time, and a minute.
pub fn until(now: u64, timeout: u64) -> u64 {
    now.saturating_add(timeout.saturating_mul(2)).saturating_add(60_000)
}

/// How a command ended, as far as it was this one's affair.
type Step = std::result::Result<(), String>;

impl Drive<'_> {
    /// Carries it out, from wherever it is.
    ///
    /// # Errors
    /// `rotation_failed` if the old value was put back, `rotation_stuck` if neither is known to count, `rotation_conflict` if the entry got another
    /// value meanwhile.
    pub fn run(mut self) -> Result<Outcome> {
        let Some(entry) = self.vault.rotating_entry(&self.pending)? else {
            self.vault.drop_rotation(&self.pending, None, self.context.now())?;
            let message = format!("'{}' is not there any more, and its rotation is over", self.pending.journal.id);
            return Err(Error::new(ErrorKind::NotFound, "not_found", message));
        };
        let id = entry.id().clone();
        let old = self.vault.value_of(&entry, None)?;
        match self.pending.journal.phase {
            Phase::Pending => self.apply(&id, &old),
            Phase::RollingBack => {
                let why = self.pending.journal.events.iter().rev().find_map(|(_, what)| what.strip_prefix("rolling back: "));
                let why = why.unwrap_or("it was interrupted").to_owned();
                self.roll_back(&id, &old, &why)
            }
            phase => {
                // It may have come about: who says so is `verify`, and without one the exit code of `apply`, if that was noted.
                let came_about = match self.verify(&id, true, &old)? {
                    Some(verified) => verified.is_ok(),
                    None => phase == Phase::Applied,
                };
                if came_about { self.promote() } else { self.apply(&id, &old) }
            }
        }
    }

    fn apply(&mut self, id: &EntryId, old: &SecretValue) -> Result<Outcome> {
        self.advance(Phase::Applying, "apply begins")?;
        let apply = self.pending.journal.commands.apply.clone();
        if let Err(why) = self.start(id, &apply, "apply", true, old)? {
            return self.roll_back(id, old, &format!("apply {why}"));
        }
        self.advance(Phase::Applied, "apply ended well")?;
        match self.verify(id, true, old)? {
            Some(Err(why)) => self.roll_back(id, old, &format!("verify {why}")),
            _ => self.promote(),
        }
    }

    fn promote(&mut self) -> Result<Outcome> {
        let promoted = self.vault.promote(&self.pending, self.force, self.context.now());
        if let Err(error) = &promoted
            && error.code() == "rotation_conflict"
        {
            self.advance(Phase::Applied, "the entry got another value meanwhile: not promoted")?;
        }
        promoted
    }

    fn roll_back(&mut self, id: &EntryId, old: &SecretValue, why: &str) -> Result<Outcome> {
        self.advance(Phase::RollingBack, &format!("rolling back: {why}"))?;
        let commands = &self.pending.journal.commands;
        let back = commands.rollback.as_ref().unwrap_or(&commands.apply).clone();
        let put_back = self.start(id, &back, "rollback", false, old)?;
        let is_back = match self.verify(id, false, old)? {
            Some(verified) => verified.map_err(|how| format!("verify of the old value {how}")),
            None => put_back.map_err(|how| format!("rollback {how}")),
        };
        let now = self.context.now();
        match is_back {
            Ok(()) => {
                self.vault.drop_rotation(&self.pending, Some(why), now)?;
                let message = format!("the rotation of '{id}' failed and was rolled back: {why}");
                Err(Error::new(ErrorKind::Io, "rotation_failed", message).hint("its value is what it was"))
            }
            Err(how) => {
                self.advance(Phase::Stuck, &format!("stuck: {how}"))?;
                let message = format!("the rotation of '{id}' failed ({why}), and so did the way back ({how})");
                Err(Error::new(ErrorKind::Io, "rotation_stuck", message).hint(format!(
                    "both values are kept, and the old one is current: `vault rotate --resume {}` tries again, --abort drops the new one",
                    id.as_arguments()
                )))
            }
        }
    }

    /// Asks whether the new or the old value is the one that counts; `None` if there is nobody to ask.
    fn verify(&mut self, id: &EntryId, new: bool, old: &SecretValue) -> Result<Option<Step>> {
        match self.pending.journal.commands.verify.clone() {
            Some(verify) => self.start(id, &verify, "verify", new, old).map(Some),
            None => Ok(None),
        }
    }

    /// Runs a command: the value that is to count on descriptor 3, the other one on 4.
    fn start(&self, id: &EntryId, text: &str, phase: &str, new: bool, old: &SecretValue) -> Result<Step> {
        let journal = &self.pending.journal;
        let values = if new { [&journal.value, old] } else { [old, &journal.value] };
        let variables = [
            ("VAULT_ROTATE_PHASE", phase),
            ("VAULT_ROTATE_ENTRY", id.name.as_str()),
            ("VAULT_ROTATE_ENVIRONMENT", id.environment_text()),
        ];
        let timeout = Duration::from_millis(journal.commands.timeout);
        let script = Script { text, variables: &variables, values: &values, held: self.hold.descriptor(), timeout };
        match script.run(self.endings) {
            Ok(Ended::Well) => Ok(Ok(())),
            Ok(Ended::Badly(how)) => Ok(Err(how)),
            Ok(Ended::Interrupted) => Err(interrupted(id)),
            Err(error) => Ok(Err(format!("could not be started: {error}"))),
        }
    }

    fn advance(&mut self, phase: Phase, what: &str) -> Result<()> {
        let now = self.context.now();
        let until = until(now, self.pending.journal.commands.timeout);
        if self.context.global.verbose {
            self.context.note(&format!("'{}': {what}", self.pending.journal.id));
        }
        self.vault.advance_rotation(&mut self.pending, phase, what, until, now)
    }
}

/// That this process was asked to end while a command ran.
pub fn interrupted(id: &EntryId) -> Error {
    Error::new(ErrorKind::Io, "interrupted", format!("the rotation of '{id}' was interrupted")).hint(format!(
        "`vault rotate --resume {}` goes on where it was, --abort drops it; `vault info` tells whether it is under way",
        id.as_arguments()
    ))
}
