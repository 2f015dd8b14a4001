//! Entries by the times at which they expire or are due, found by their indexes; and the end of what has expired.

use super::entries::Entry;
use super::error::{ErrorKind, Result};
use super::read::{entry_in, index_damaged, walk};
use super::records::remove_entry;
use super::rotation::refuse_pending;
use super::{Scope, Vault};
use crate::format::keyspace;
use crate::name::{Category, EntryId};
use crate::store::{Snapshot, Walk};

/// Which times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Those at which entries expire.
    Expiry,
    /// Those at which they are due for another value.
    Due,
}

impl Times {
    /// That of an entry, if it has one.
    pub fn of(self, entry: &Entry) -> Option<u64> {
        match self {
            Self::Expiry => entry.expires(),
            Self::Due => entry.due(),
        }
    }
}

/// What a prune removed, or would.
#[derive(Debug, Default)]
pub struct Pruned {
    /// The entries, and when they expired, in the order of these times.
    pub removed: Vec<(EntryId, u64)>,
    /// Those that stay because a rotation of them is under way.
    pub kept: Vec<EntryId>,
    /// Something that the user should know though it is done.
    pub note: Option<String>,
}

impl Vault {
    /// Walks the entries whose time is at most `until`, earliest first, by their index: it costs what it finds.
    pub fn entries_by_time(
        &self,
        times: Times,
        until: u64,
        scope: &Scope,
        visit: &mut dyn FnMut(Entry) -> Result<Walk>,
    ) -> Result<()> {
        self.read(&mut |state| {
            by_time(state.as_ref(), times, until, &mut |id, _| {
                if !is_in(&id, scope) {
                    return Ok(Walk::Continue(()));
                }
                let entry = entry_in(state.as_ref(), &id)?.ok_or_else(index_damaged)?;
                visit(entry.found_in(state))
            })
        })
    }

    /// Whether any entry expires ever.
    pub fn has_expiries(&self) -> Result<bool> {
        let mut found = false;
        self.read(&mut |state| {
            by_time(state.as_ref(), Times::Expiry, u64::MAX, &mut |_, _| {
                found = true;
                Ok(Walk::Break(()))
            })
        })?;
        Ok(found)
    }

    /// Removes the entries that expired at `until` or before, with all their versions: what is expired is looked for under the lock, and all of it goes in
    /// one commit, or in a few if there are very many. With `dry_run` nothing is removed.
    pub fn prune(&self, until: u64, scope: &Scope, category: Option<&Category>, dry_run: bool, now: u64) -> Result<Pruned> {
        const AT_ONCE: usize = 10_000;
        let mut pruned = Pruned::default();
        if dry_run {
            let snapshot = self.store.snapshot()?;
            let (found, kept) = expired(snapshot.as_ref(), until, scope, category, usize::MAX)?;
            pruned.kept = kept;
            pruned.removed = found.into_iter().map(|(entry, at)| (entry.id().clone(), at)).collect();
            return Ok(pruned);
        }
        loop {
            let ((found, kept), note) = self.change(now, &mut |snapshot, batch| {
                let (found, kept) = expired(snapshot, until, scope, category, AT_ONCE)?;
                found.iter().try_for_each(|(entry, _)| remove_entry(snapshot, batch, entry))?;
                Ok((found, kept))
            })?;
            let done = found.len() < AT_ONCE;
            pruned.removed.extend(found.into_iter().map(|(entry, at)| (entry.id().clone(), at)));
            pruned.note = note.or(pruned.note);
            if done {
                pruned.kept = kept;
                return Ok(pruned);
            }
        }
    }
}

/// Entries with the times at which they expired, and those that stay.
type Expired = (Vec<(Entry, u64)>, Vec<EntryId>);

fn expired(snapshot: &dyn Snapshot, until: u64, scope: &Scope, category: Option<&Category>, most: usize) -> Result<Expired> {
    let (mut found, mut kept) = (Vec::new(), Vec::new());
    by_time(snapshot, Times::Expiry, until, &mut |id, at| {
        if !is_in(&id, scope) {
            return Ok(Walk::Continue(()));
        }
        let entry = entry_in(snapshot, &id)?.ok_or_else(index_damaged)?;
        if category.is_some() && entry.category() != category {
            return Ok(Walk::Continue(()));
        }
        match refuse_pending(snapshot, &entry) {
            Ok(()) => found.push((entry, at)),
            Err(error) if error.kind() == ErrorKind::Conflict => kept.push(id),
            Err(error) => return Err(error),
        }
        Ok(if found.len() < most { Walk::Continue(()) } else { Walk::Break(()) })
    })?;
    Ok((found, kept))
}

fn is_in(id: &EntryId, scope: &Scope) -> bool {
    match scope {
        Scope::All => true,
        Scope::One(environment) => id.environment == *environment,
    }
}

/// Walks an index of times up to one.
fn by_time(snapshot: &dyn Snapshot, times: Times, until: u64, visit: &mut dyn FnMut(EntryId, u64) -> Result<Walk>) -> Result<()> {
    let space = match times {
        Times::Expiry => keyspace::EXPIRY,
        Times::Due => keyspace::DUE,
    };
    walk(snapshot, &[space], &mut |key, _| {
        let (at, id) = keyspace::parse_time(key)?;
        if at > until { Ok(Walk::Break(())) } else { visit(id, at) }
    })
}
