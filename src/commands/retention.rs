//! How long records are kept.

use super::context::{Context, audit_state_directory};
use crate::audit::{self, Action, AuditError, DAY, Event, Expected, Keys, Prune, Pruned, Stay, Tried};
use crate::term::output;
use crate::vault::{Result, Vault};

impl Context {
    /// From when on records are kept, if the configuration says so.
    pub fn audit_retention(&mut self, now: u64) -> Result<Option<u64>> {
        let days = self.config()?.audit.retention_days.unwrap_or(0);
        Ok((days > 0).then(|| now.saturating_sub(days.saturating_mul(DAY))))
    }

    /// Removes records from the front of the log of a vault.
    pub fn prune_audit(&self, vault: &Vault, plan: Prune) -> Result<Pruned> {
        let source = vault.audit_source().ok_or(AuditError::Missing)?;
        let settings = self.settings(&source.id, &source.path)?.ok_or(AuditError::Missing)?;
        let actor = self.actor(Some(source.opened_by.clone()));
        let (full, place) = (source.full, self.place_for_hooks(&source));
        let keys = Keys::new(source);
        let keys = if full { keys.with_older(vault.older_audit_keys()?) } else { keys };
        let known: Vec<Expected> = vault.audit_anchors()?.iter().map(Expected::of_vault).collect();
        let is_trial = plan.dry_run;
        let pruned = audit::prune(settings, keys, plan, &known, self.now(), &actor)?;
        if pruned.removed > 0 && !is_trial {
            // What counted the records counts others now, and makes its summary anew: here, where a while does not matter.
            let _ = self.audit_summary(vault);
            if let Some(place) = place {
                let event = Event::new(Action::AuditPrune).detail(format!("{} records were removed", pruned.removed));
                self.note_for_hooks(place, None, &[event]);
            }
        }
        Ok(pruned)
    }

    /// Applies what the configuration says about how long records are kept, at most once a day. The command did what it should; this comes on top, and if
    /// it is not possible that is said once a day.
    pub(super) fn retain(&self, vault: &Vault) {
        let days = self.known_config().and_then(|config| config.audit.retention_days).unwrap_or(0);
        // By a clock that is believed.
        let (Some(source), Ok(now)) = (vault.audit_source().filter(|_| days > 0), self.time_for_changes(vault)) else { return };
        let since = now.saturating_sub(days.saturating_mul(DAY));
        let tried = audit_state_directory().map(|directory| Tried::of(&directory, &source.id, &source.path));
        let has_older = || self.audit_reader(vault).is_ok_and(|mut reader| reader.has_older(now, since).unwrap_or(false));
        if tried.as_ref().is_some_and(|tried| tried.lately(now)) || !has_older() {
            return;
        }
        // A clock that is years ahead must not empty the log: the greater part never goes at once.
        let plan = Prune { stay: Stay::Since(since), dry_run: false, force: false, no_more_than_half: true };
        let pruned = self.prune_audit(vault, plan);
        if pruned.as_ref().is_err_and(|error| error.code() == "audit_busy") {
            return;
        }
        if let Some(tried) = tried {
            tried.note(now);
        }
        if let Err(error) = pruned {
            let error = output::printable(&error.to_string());
            self.note(&format!("warning: records of the audit log that are older than {days} days were not removed: {error}"));
        }
    }
}
