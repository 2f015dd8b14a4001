//! Rotations in two phases: the new value is in the vault before anything is done with it, and becomes the current one when it is known to count.
//!
//! What is under way stands in a journal, a system record that is bound to the entry's uid. Whoever carries a rotation out changes its journal only if it
//! is still theirs: the number of their run stands in it.

use zeroize::Zeroizing;

use super::entries::Entry;
use super::error::{Error, ErrorKind, Result};
use super::read::{entry_in, index_damaged, not_found, walk};
use super::records::put_record;
use super::write::Circumstances;
use super::{Outcome, Vault, Write};
use crate::format::header::{hex, unhex};
use crate::format::keyspace::{self, EntryKey};
use crate::format::record::{EntryRecord, Kind};
use crate::format::rotation::{Commands, Journal, Owner, Phase, shortened};
use crate::format::schedule::Schedule;
use crate::name::EntryId;
use crate::secret::SecretValue;
use crate::store::{Batch, Snapshot, Walk};

/// How a rotation begins.
pub struct Start {
    /// What is to be run.
    pub commands: Commands,
    /// How long the old value counts afterwards, in milliseconds.
    pub grace: u64,
    /// Who carries it out.
    pub owner: Owner,
    /// The current version must be this one.
    pub if_version: Option<u64>,
    /// Only if the entry is due at this time.
    pub if_due: Option<u64>,
}

impl Commands {
    /// Refuses commands that cannot be kept.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if one of them is empty or too long.
    pub fn check(&self) -> Result<()> {
        if self.fit() { Ok(()) } else { Err(Error::usage(Self::LIMIT)) }
    }
}

/// A rotation that is under way, as one process holds it.
pub struct PendingRotation {
    uid: [u8; 16],
    /// What stands in the vault about it.
    pub journal: Journal,
}

impl PendingRotation {
    /// What tells the entry from every other one, in hex digits.
    pub fn uid(&self) -> String {
        hex(&self.uid)
    }
}

impl Vault {
    /// Begins the rotation of an entry: its new value is in the vault from here on. `None` if it is not due any more.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such entry, [`ErrorKind::Conflict`] if a rotation of it is under way, [`ErrorKind::Usage`] for a value of
    /// more than 1 MiB, or for commands that cannot be kept.
    pub fn begin_rotation(
        &self,
        id: &EntryId,
        (value, kind): (SecretValue, Option<Kind>),
        start: Start,
        now: u64,
    ) -> Result<Option<PendingRotation>> {
        let mut made: Option<Journal> = None;
        let Start { commands, grace, owner, if_version, if_due } = start;
        commands.check()?;
        let mut first = Some((value, commands, owner));
        let (uid, _) = self.change(now, &mut |snapshot, batch| {
            let entry = entry_in(snapshot, id)?.ok_or_else(|| not_found(id))?;
            if if_due.is_some_and(|due| !entry.is_due(due)) {
                return Ok(None);
            }
            refuse_pending(snapshot, &entry)?;
            if let Some(expected) = if_version {
                entry.expect_version(expected)?;
            }
            if let Some((value, commands, owner)) = first.take() {
                let kind = kind.unwrap_or_else(|| entry.kind_of_next(&value));
                let journal = Journal::new(id.clone(), entry.version(), (value, kind), now, commands, grace, owner);
                made = Some(journal.map_err(|error| Error::new(ErrorKind::Usage, "value_too_large", error.to_string()))?);
            }
            let journal = made.as_mut().ok_or_else(index_damaged)?;
            // The change is made anew if another one came first.
            (journal.base, journal.events) = (entry.version(), Vec::new());
            journal.note(now, "the new value is stored");
            // The mark tells whoever reads the entry that there is a journal.
            let mut record = entry.record().clone();
            record.rotations.pending = true;
            put_record(batch, id, &record, Some(entry.record()));
            self.put_journal(batch, &entry.record().uid, journal)?;
            Ok(Some(entry.record().uid))
        })?;
        Ok(uid.zip(made).map(|(uid, journal)| PendingRotation { uid, journal }))
    }

    /// The rotation of an entry, if one is under way.
    ///
    /// # Errors
    /// [`ErrorKind::NotPermitted`] with a limited key.
    pub fn pending_rotation(&self, entry: &Entry) -> Result<Option<PendingRotation>> {
        let uid = entry.record().uid;
        let journal = self.read(&mut |state| self.journal_in(state.as_ref(), &uid))?;
        Ok(journal.map(|journal| PendingRotation { uid, journal }))
    }

    /// Refuses an entry whose rotation is under way, before somebody works on a value for it.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if it is.
    pub fn refuse_rotating(&self, entry: &Entry) -> Result<()> {
        self.read(&mut |state| refuse_pending(state.as_ref(), entry))
    }

    /// All rotations that are under way.
    pub fn pending_rotations(&self) -> Result<Vec<PendingRotation>> {
        let mut pending = Vec::new();
        self.system_range(Journal::RECORD, &mut |name, content| {
            let uid = unhex(name).map_err(|_| index_damaged())?;
            pending.push(PendingRotation { uid, journal: Journal::decode(&content)? });
            Ok(Walk::Continue(()))
        })?;
        Ok(pending)
    }

    /// The entry that a rotation is of, as it is called now.
    pub fn rotating_entry(&self, pending: &PendingRotation) -> Result<Option<Entry>> {
        self.read(&mut |state| {
            let found = entry_of(state.as_ref(), &pending.journal.id, &pending.uid)?;
            Ok(found.map(|entry| entry.found_in(state)))
        })
    }

    /// Makes a rotation that somebody left this process's own.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if it is no longer as it was found.
    pub fn take_over(&self, pending: &mut PendingRotation, owner: Owner, now: u64) -> Result<()> {
        pending.journal = self.change_journal(pending, now, &|journal| {
            journal.owner = owner.clone();
            journal.note(now, "taken up again");
        })?;
        Ok(())
    }

    /// Notes how far a rotation has come, and that it is this process's own until a time.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if somebody else has taken it.
    pub fn advance_rotation(&self, pending: &mut PendingRotation, phase: Phase, what: &str, until: u64, now: u64) -> Result<()> {
        pending.journal = self.change_journal(pending, now, &|journal| {
            (journal.phase, journal.owner.until) = (phase, until);
            journal.note(now, what);
        })?;
        Ok(())
    }

    /// Makes the new value the current one, and ends the rotation: one commit.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] without `force` if the entry got another value meanwhile.
    pub fn promote(&self, pending: &PendingRotation, force: bool, now: u64) -> Result<Outcome> {
        let uid = &pending.uid;
        let (version, note) = self.change(now, &mut |snapshot, batch| {
            let journal = self.own_journal(snapshot, pending)?;
            let entry = entry_of(snapshot, &journal.id, uid)?.ok_or_else(|| not_found(&journal.id))?;
            if entry.version() != journal.base && !force {
                let message = format!(
                    "'{}' is at version {}, and was at {} when its rotation began; the new value is kept",
                    entry.id(),
                    entry.version(),
                    journal.base
                );
                return Err(Error::new(ErrorKind::Conflict, "rotation_conflict", message).hint(format!(
                    "put it in place all the same with `vault rotate --resume --force {}`, or drop it with --abort",
                    entry.id().as_arguments()
                )));
            }
            batch.delete(keyspace::system(Journal::RECORD, &hex(uid)));
            let value = SecretValue::new(Zeroizing::new(journal.value.expose().to_vec()));
            let write = Write::rotation(value, journal.kind, journal.grace);
            let circumstances = Circumstances { ends_rotation: true, ..Circumstances::default() };
            self.write_version(snapshot, batch, entry.id(), &write, circumstances, now).map(|(version, _)| version)
        })?;
        Ok(Outcome { version, created: false, note })
    }

    /// Ends a rotation that did not come about; the value is what it was. `failed`: what is remembered of that.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if somebody else has taken it.
    pub fn drop_rotation(&self, pending: &PendingRotation, failed: Option<&str>, now: u64) -> Result<Option<String>> {
        let uid = &pending.uid;
        self.change(now, &mut |snapshot, batch| {
            let journal = self.own_journal(snapshot, pending)?;
            batch.delete(keyspace::system(Journal::RECORD, &hex(uid)));
            if let Some(entry) = entry_of(snapshot, &journal.id, uid)? {
                let old = entry.record();
                let mut record = old.clone();
                record.rotations.pending = false;
                if let Some(failed) = failed {
                    record.rotations.failed = Some((now, shortened(failed)));
                }
                put_record(batch, entry.id(), &record, Some(old));
            }
            Ok(())
        })
        .map(|((), note)| note)
    }

    /// Changes a journal that is still the one that was found.
    fn change_journal(&self, pending: &PendingRotation, now: u64, change: &dyn Fn(&mut Journal)) -> Result<Journal> {
        self.change(now, &mut |snapshot, batch| {
            let mut journal = self.own_journal(snapshot, pending)?;
            change(&mut journal);
            self.put_journal(batch, &pending.uid, &journal)?;
            Ok(journal)
        })
        .map(|(journal, _)| journal)
    }

    /// The journal, if nobody else has taken it.
    fn own_journal(&self, snapshot: &dyn Snapshot, pending: &PendingRotation) -> Result<Journal> {
        let journal = self.journal_in(snapshot, &pending.uid)?;
        journal.filter(|journal| journal.owner.run == pending.journal.owner.run).ok_or_else(|| {
            let message = format!("the rotation of '{}' was taken up or ended by somebody else", pending.journal.id);
            Error::new(ErrorKind::Conflict, "rotation_lost", message).hint("`vault info` tells how it stands")
        })
    }

    /// Notes in the journal of an entry that is given another name.
    pub(super) fn rename_journal(&self, snapshot: &dyn Snapshot, batch: &mut Batch, entry: &Entry, to: &EntryId) -> Result<()> {
        if entry.is_rotating()
            && let Some(mut journal) = self.journal_in(snapshot, &entry.record().uid)?
        {
            journal.id = to.clone();
            self.put_journal(batch, &entry.record().uid, &journal)?;
        }
        Ok(())
    }

    /// Reads each journal and each schedule.
    pub(super) fn check_rotations(&self, snapshot: &dyn Snapshot) -> Result<()> {
        self.system_range_in(snapshot, Journal::RECORD, &mut |name, content| {
            unhex::<16>(name).map_err(|_| index_damaged())?;
            Journal::decode(&content)?;
            Ok(Walk::Continue(()))
        })?;
        self.system_range_in(snapshot, Schedule::RECORD, &mut |name, content| {
            unhex::<16>(name).map_err(|_| index_damaged())?;
            Schedule::decode(&content)?;
            Ok(Walk::Continue(()))
        })
    }

    fn journal_in(&self, snapshot: &dyn Snapshot, uid: &[u8; 16]) -> Result<Option<Journal>> {
        let content = self.system_get_in(snapshot, Journal::RECORD, &hex(uid))?;
        Ok(content.map(|content| Journal::decode(&content)).transpose()?)
    }

    fn put_journal(&self, batch: &mut Batch, uid: &[u8; 16], journal: &Journal) -> Result<()> {
        self.system_put_in(batch, Journal::RECORD, &hex(uid), &journal.encode())
    }
}

/// Refuses to write or remove what a rotation is about to replace.
pub(super) fn refuse_pending(snapshot: &dyn Snapshot, entry: &Entry) -> Result<()> {
    // The mark says where to look; a merge may have kept it without the journal.
    if !entry.is_rotating() || snapshot.get(&keyspace::system(Journal::RECORD, &entry.uid_hex()))?.is_none() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Conflict, "rotation_pending", format!("a rotation of '{}' is under way", entry.id()))
        .hint(format!("carry it through with `vault rotate --resume {}`, or drop it with --abort", entry.id().as_arguments())))
}

/// The entry of this uid: where it was, or wherever it is by now.
fn entry_of(snapshot: &dyn Snapshot, id: &EntryId, uid: &[u8; 16]) -> Result<Option<Entry>> {
    if let Some(entry) = entry_in(snapshot, id)?.filter(|entry| entry.record().uid == *uid) {
        return Ok(Some(entry));
    }
    let mut found = None;
    walk(snapshot, &[keyspace::ENTRY], &mut |key, value| {
        let EntryKey::Record(id) = keyspace::parse_entry_key(key)? else { return Ok(Walk::Continue(())) };
        let record = match value {
            Some(value) => EntryRecord::decode(value)?,
            None => EntryRecord::decode(&snapshot.get(key)?.ok_or_else(index_damaged)?)?,
        };
        if record.uid != *uid {
            return Ok(Walk::Continue(()));
        }
        found = Some(Entry::new(id, record));
        Ok(Walk::Break(()))
    })?;
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::name::Name;
    use crate::store::memory::MemoryStore;
    use crate::vault::Options;

    fn owner(run: u8) -> Owner {
        Owner { host: "h".into(), place: "p".into(), process: 7, until: 9, run: [run; 8] }
    }

    fn start(if_due: Option<u64>) -> Start {
        let commands = Commands { apply: "a".into(), verify: None, rollback: None, timeout: 1 };
        Start { commands, grace: 5, owner: owner(1), if_version: None, if_due }
    }

    fn vault() -> (Vault, EntryId) {
        let vault = Vault::over(Arc::new(MemoryStore::new()), Options::default()).unwrap();
        let id = EntryId::plain(Name::parse("a").unwrap());
        vault.set(&id, Write::value(SecretValue::from("old"), Kind::Text), 1).unwrap();
        (vault, id)
    }

    #[test]
    fn whoever_lost_a_rotation_changes_nothing_any_more() {
        let (vault, id) = vault();
        let mut first = vault.begin_rotation(&id, (SecretValue::from("new"), None), start(None), 2).unwrap().unwrap();
        let entry = vault.entry(&id).unwrap().unwrap();
        let mut second = vault.pending_rotation(&entry).unwrap().unwrap();
        vault.take_over(&mut second, owner(2), 3).unwrap();
        let refused = [
            vault.advance_rotation(&mut first, Phase::Applied, "x", 9, 4),
            vault.take_over(&mut first, owner(3), 4),
            vault.promote(&first, true, 4).map(|_| ()),
            vault.drop_rotation(&first, None, 4).map(|_| ()),
        ];
        assert!(refused.iter().all(|refused| refused.as_ref().unwrap_err().code() == "rotation_lost"));
        assert_eq!(vault.value(&id, None).unwrap().expose(), b"old");
        vault.promote(&second, false, 5).unwrap();
        let entry = vault.entry(&id).unwrap().unwrap();
        assert_eq!((entry.version(), entry.is_rotating(), entry.rotated()), (2, false, 1));
        assert_eq!(vault.value(&id, None).unwrap().expose(), b"new");
        assert!(vault.pending_rotations().unwrap().is_empty());
        vault.check().unwrap();
    }

    #[test]
    fn one_begins_once_and_only_where_it_is_due() {
        let (vault, id) = vault();
        let begin = |if_due| vault.begin_rotation(&id, (SecretValue::from("new"), None), start(if_due), 2);
        assert!(begin(Some(100)).unwrap().is_none(), "it has no time");
        let schedule = Schedule::new(10, 1);
        vault.set_schedules(&[(id.clone(), schedule)], 1).unwrap();
        assert!(begin(Some(10)).unwrap().is_none() && begin(Some(11)).unwrap().is_some());
        assert_eq!(begin(None).err().unwrap().code(), "rotation_pending");
        let versions = Start { if_version: Some(7), ..start(None) };
        let entry = vault.entry(&id).unwrap().unwrap();
        vault.drop_rotation(&vault.pending_rotation(&entry).unwrap().unwrap(), Some("x"), 3).unwrap();
        let refused = vault.begin_rotation(&id, (SecretValue::from("new"), None), versions, 4);
        assert_eq!(refused.err().unwrap().code(), "version_mismatch");
        let entry = vault.entry(&id).unwrap().unwrap();
        assert_eq!((entry.failed_rotation(), entry.is_rotating(), entry.due()), (Some((3, "x")), false, Some(11)));
        vault.check().unwrap();
    }
}
