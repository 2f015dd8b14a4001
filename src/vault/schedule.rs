//! When entries are due for another value: by schedules of their own, or by their tier.

use super::entries::Entry;
use super::error::{Error, ErrorKind, Result};
use super::read::{entry_in, not_found};
use super::records::put_record;
use super::rotation::refuse_pending;
use super::{Vault, Write, field};
use crate::format::header::hex;
use crate::format::keyspace;
use crate::format::record::{EntryRecord, Kind};
use crate::format::rotation::shortened;
use crate::format::schedule::{Failures, Schedule};
use crate::name::EntryId;
use crate::secret::SecretValue;
use crate::store::{Batch, Snapshot};

/// The metadata that names an entry's tier.
pub const TIER: &str = "tier";

/// How long it takes until the first failure is tried again, and at most, in milliseconds.
const BACK_OFF: (u64, u64) = (5 * 60_000, 24 * 3_600_000);

/// A value for an entry that is due.
pub struct DueRotation {
    /// The entry, as it was when the value was made.
    pub entry: Entry,
    /// The value.
    pub value: SecretValue,
    /// How long the old one counts afterwards, in milliseconds.
    pub grace: u64,
}

impl Vault {
    /// The schedule of an entry.
    ///
    /// # Errors
    /// [`NotPermitted`](super::ErrorKind::NotPermitted) with a limited key.
    pub fn schedule(&self, entry: &Entry) -> Result<Option<Schedule>> {
        self.read(&mut |state| self.schedule_in(state.as_ref(), &entry.record().uid))
    }

    /// How often an entry gets another value: by its schedule, or else its tier.
    pub fn interval(&self, entry: &Entry, schedule: Option<&Schedule>) -> Option<u64> {
        schedule.map(|schedule| schedule.every).or_else(|| self.tier_interval(entry.record()))
    }

    /// Gives entries schedules, all of them in one commit. Each is due when its interval is over.
    ///
    /// # Errors
    /// [`NotFound`](super::ErrorKind::NotFound) if one is not there, [`Usage`](super::ErrorKind::Usage) for a schedule that cannot be kept.
    pub fn set_schedules(&self, schedules: &[(EntryId, Schedule)], now: u64) -> Result<Option<String>> {
        if schedules.iter().any(|(_, schedule)| !schedule.fits()) {
            return Err(Error::usage("a schedule has an interval, one source of values, and commands of at most 16,384 bytes"));
        }
        self.change(now, &mut |snapshot, batch| {
            for (id, schedule) in schedules {
                let entry = entry_in(snapshot, id)?.ok_or_else(|| not_found(id))?;
                self.system_put_in(batch, Schedule::RECORD, &entry.uid_hex(), &schedule.encode())?;
                let record = EntryRecord { due: Some(now.saturating_add(schedule.every)), ..entry.record().clone() };
                put_record(batch, id, &record, Some(entry.record()));
            }
            Ok(())
        })
        .map(|((), note)| note)
    }

    /// Takes an entry's schedule away; what its tier asks for is left. Returns whether there was one.
    pub fn remove_schedule(&self, id: &EntryId, now: u64) -> Result<(bool, Option<String>)> {
        self.change(now, &mut |snapshot, batch| {
            let entry = entry_in(snapshot, id)?.ok_or_else(|| not_found(id))?;
            let record = entry.record();
            let had = self.schedule_in(snapshot, &record.uid)?.is_some();
            if had {
                batch.delete(keyspace::system(Schedule::RECORD, &entry.uid_hex()));
                let due = self.tier_interval(record).map(|every| written(record).saturating_add(every));
                put_record(batch, id, &EntryRecord { due, ..record.clone() }, Some(record));
            }
            Ok(had)
        })
    }

    /// Gives those of these entries another value that are still there and due, in one commit. Returns the versions that are current now, `None` for
    /// what was not due any more.
    pub fn rotate_due(&self, rotations: &[DueRotation], now: u64) -> Result<(Vec<Option<u64>>, Option<String>)> {
        self.change(now, &mut |snapshot, batch| {
            let mut versions = Vec::with_capacity(rotations.len());
            for DueRotation { entry, value, grace } in rotations {
                let id = entry.id();
                let still = entry_in(snapshot, id)?.filter(|now_there| now_there.record().uid == entry.record().uid);
                let still = still.filter(|entry| entry.is_due(now) && refuse_pending(snapshot, entry).is_ok());
                let Some(still) = still else {
                    versions.push(None);
                    continue;
                };
                let kind = still.kind_of_next(value);
                let value = SecretValue::new(zeroize::Zeroizing::new(value.expose().to_vec()));
                let write = Write::rotation(value, kind, *grace);
                versions.push(Some(self.write_entry(snapshot, batch, id, &write, now)?.0));
            }
            Ok(versions)
        })
    }

    /// Notes in an entry's schedule that its rotation failed, and when it may be tried again. Nothing is noted of one that has none.
    pub fn note_failure(&self, entry: &Entry, code: &str, now: u64) -> Result<Option<Failures>> {
        let uid = &entry.record().uid;
        let noted = self.change(now, &mut |snapshot, batch| {
            let Some(mut schedule) = self.schedule_in(snapshot, uid)? else { return Ok(None) };
            let count = schedule.failed.as_ref().map_or(0, |failed| failed.count).saturating_add(1);
            let (first, most) = BACK_OFF;
            let wait = u32::try_from(count - 1).ok().and_then(|doubled| 1_u64.checked_shl(doubled)).unwrap_or(u64::MAX);
            let next = now.saturating_add(first.saturating_mul(wait).min(most));
            schedule.failed = Some(Failures { count, time: now, code: shortened(code), next });
            self.system_put_in(batch, Schedule::RECORD, &hex(uid), &schedule.encode())?;
            Ok(schedule.failed)
        })?;
        Ok(noted.0)
    }

    /// Brings times that lie further ahead than their interval back to one interval from now: a clock that was ahead has set them. Returns how many.
    pub fn correct_dues(&self, now: u64) -> Result<u64> {
        let corrected = self.change(now, &mut |snapshot, batch| {
            let mut late = Vec::new();
            super::read::walk(snapshot, &[keyspace::DUE], &mut |key, _| {
                let (due, id) = keyspace::parse_time(key)?;
                if due > now {
                    late.push((due, id));
                }
                Ok(crate::store::Walk::Continue(()))
            })?;
            let mut count = 0;
            for (due, id) in late {
                let entry = entry_in(snapshot, &id)?.ok_or_else(super::read::index_damaged)?;
                let record = entry.record();
                let schedule = match self.schedule_in(snapshot, &record.uid) {
                    // What cannot be read, as one of a newer version, keeps its time, and no other from being corrected.
                    Err(error) if error.kind() == ErrorKind::Damaged => continue,
                    schedule => schedule?,
                };
                let interval = self.interval(&entry, schedule.as_ref());
                if let Some(soon) = interval.map(|every| now.saturating_add(every)).filter(|soon| *soon < due) {
                    put_record(batch, &id, &EntryRecord { due: Some(soon), ..record.clone() }, Some(record));
                    count += 1;
                }
            }
            Ok(count)
        })?;
        Ok(corrected.0)
    }

    pub(super) fn schedule_in(&self, snapshot: &dyn Snapshot, uid: &[u8; 16]) -> Result<Option<Schedule>> {
        let content = self.system_get_in(snapshot, Schedule::RECORD, &hex(uid))?;
        Ok(content.map(|content| Schedule::decode(&content)).transpose()?)
    }

    fn tier_interval(&self, record: &EntryRecord) -> Option<u64> {
        record.meta.get(TIER).and_then(|tier| self.options.tiers.get(tier).copied())
    }

    /// When a record that is about to be written is due: one interval after its value, by its schedule or else its tier. A value that is new also
    /// ends the count of failures.
    pub(super) fn next_due(
        &self,
        snapshot: &dyn Snapshot,
        batch: &mut Batch,
        record: &EntryRecord,
        old: Option<&EntryRecord>,
        new_value: bool,
        now: u64,
    ) -> Result<Option<u64>> {
        let tier_changed = old.and_then(|old| old.meta.get(TIER)) != record.meta.get(TIER);
        if !new_value && !tier_changed {
            return Ok(record.due);
        }
        // Where there is a schedule, there is a time; so that other writes do not look for one.
        if let Some(old) = old.filter(|old| old.due.is_some())
            && let Some(mut schedule) = self.schedule_in(snapshot, &record.uid)?
        {
            if new_value && schedule.failed.take().is_some() {
                self.system_put_in(batch, Schedule::RECORD, &hex(&record.uid), &schedule.encode())?;
            }
            return Ok(if new_value { Some(now.saturating_add(schedule.every)) } else { old.due });
        }
        Ok(match (self.tier_interval(record), old) {
            (Some(every), _) => Some(written(record).saturating_add(every)),
            (None, _) if tier_changed => None,
            // A tier that only the configuration of another place knows: the interval is the one that there was.
            (None, Some(old)) => old.due.map(|due| now.saturating_add(due.saturating_sub(written(old)))),
            (None, None) => None,
        })
    }
}

/// When the current value was written.
fn written(record: &EntryRecord) -> u64 {
    record.versions.last().map_or(record.created, |version| version.created)
}

impl Entry {
    /// The kind of a value that takes the place of the current one: JSON that is replaced by JSON stays JSON.
    pub fn kind_of_next(&self, value: &SecretValue) -> Kind {
        let json = self.kind() == Kind::Json && field::check_json(value.expose()).is_ok();
        if json { Kind::Json } else { Kind::of(value.expose()) }
    }
}
