//! What is different between two states of a vault: for whoever follows changes that others make.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::entries::Entry;
use super::error::Result;
use super::read::{Seen, index_damaged, walk_from};
use crate::format::keyspace::{self, EntryKey};
use crate::format::record::EntryRecord;
use crate::name::EntryId;
use crate::store::{Snapshot, Walk};

/// How many entries of a state are held at once.
const AT_ONCE: usize = 512;

/// What became of an entry. That it was overwritten in between does not show.
pub enum Difference {
    /// It is new.
    Created(Entry),
    /// It is not as it was.
    Changed {
        /// As it was.
        before: Box<Entry>,
        /// As it is.
        after: Box<Entry>,
    },
    /// It is gone.
    Removed(Entry),
}

impl Seen {
    /// Whether both are the same state.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.revision() == other.0.revision()
    }

    /// Walks what is different in a newer state, in the order of names. Values stay sealed.
    pub fn differences(&self, newer: &Self, visit: &mut dyn FnMut(Difference) -> Result<Walk>) -> Result<()> {
        let (mut old, mut new) = (Entries::of(self.0.as_ref()), Entries::of(newer.0.as_ref()));
        loop {
            let order = match (old.first()?, new.first()?) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                // Most are what they were, to the byte: they need not be taken apart.
                (Some(one), Some(other)) if (&one.key, &one.record) == (&other.key, &other.record) => {
                    old.pass();
                    new.pass();
                    continue;
                }
                (Some(one), Some(other)) => one.key.cmp(&other.key),
            };
            let (before, after) = match order {
                Ordering::Less => (old.take()?, None),
                Ordering::Greater => (None, new.take()?),
                Ordering::Equal => (old.take()?, new.take()?),
            };
            let walk = match (before, after) {
                (Some(before), Some(after)) if before.uid() != after.uid() => match visit(Difference::Removed(before))? {
                    Walk::Continue(()) => visit(Difference::Created(after))?,
                    walk => walk,
                },
                (Some(before), Some(after)) if is_same(&before, &after) => Walk::Continue(()),
                (Some(before), Some(after)) => visit(Difference::Changed { before: before.into(), after: after.into() })?,
                (Some(before), None) => visit(Difference::Removed(before))?,
                (None, Some(after)) => visit(Difference::Created(after))?,
                (None, None) => return Ok(()),
            };
            if walk.is_break() {
                return Ok(());
            }
        }
    }
}

/// Keys may have been renewed, and a rotation begun: that changes a record, and not what an entry is.
fn is_same(before: &Entry, after: &Entry) -> bool {
    (before.version(), before.modified()) == (after.version(), after.modified())
}

/// The entries of a state, some at a time.
struct Entries<'a> {
    state: &'a dyn Snapshot,
    /// Where the next of them begin; `None` behind the last.
    from: Option<Vec<u8>>,
    read: VecDeque<Stored>,
}

/// An entry as it is stored.
struct Stored {
    key: Vec<u8>,
    id: EntryId,
    record: Vec<u8>,
}

impl<'a> Entries<'a> {
    fn of(state: &'a dyn Snapshot) -> Self {
        Self { state, from: Some(vec![keyspace::ENTRY]), read: VecDeque::new() }
    }

    fn first(&mut self) -> Result<Option<&Stored>> {
        if self.read.is_empty()
            && let Some(from) = self.from.take()
        {
            let (state, read, next) = (self.state, &mut self.read, &mut self.from);
            walk_from(state, &from, &[keyspace::ENTRY], &mut |key, value| {
                let EntryKey::Record(id) = keyspace::parse_entry_key(key)? else { return Ok(Walk::Continue(())) };
                if read.len() >= AT_ONCE {
                    *next = Some(key.to_vec());
                    return Ok(Walk::Break(()));
                }
                let record = match value {
                    Some(value) => value.to_vec(),
                    None => state.get(key)?.ok_or_else(index_damaged)?,
                };
                read.push_back(Stored { key: key.to_vec(), id, record });
                Ok(Walk::Continue(()))
            })?;
        }
        Ok(self.read.front())
    }

    fn take(&mut self) -> Result<Option<Entry>> {
        let Some(Stored { id, record, .. }) = self.read.pop_front() else { return Ok(None) };
        Ok(Some(Entry::new(id, EntryRecord::decode(&record)?)))
    }

    fn pass(&mut self) {
        self.read.pop_front();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::format::record::Kind;
    use crate::name::{Environment, Name};
    use crate::secret::SecretValue;
    use crate::store::memory::MemoryStore;
    use crate::vault::{Options, Vault, Write};

    fn id(name: &str) -> EntryId {
        match name.split_once('@') {
            Some((name, environment)) => {
                EntryId { environment: Some(Environment::parse(environment).unwrap()), name: Name::parse(name).unwrap() }
            }
            None => EntryId::plain(Name::parse(name).unwrap()),
        }
    }

    fn said(old: &Seen, new: &Seen) -> Vec<String> {
        let mut said = Vec::new();
        old.differences(new, &mut |difference| {
            said.push(match difference {
                Difference::Created(entry) => format!("+{}", entry.id()),
                Difference::Changed { before, after } => format!("{}:{}-{}", after.id(), before.version(), after.version()),
                Difference::Removed(entry) => format!("-{}", entry.id()),
            });
            Ok(Walk::Continue(()))
        })
        .unwrap();
        said
    }

    #[test]
    fn what_is_new_other_or_gone_is_found_and_nothing_else() {
        let vault = Vault::over(Arc::new(MemoryStore::new()), Options::default()).unwrap();
        let set =
            |name: &str, text: &str, now| vault.set(&id(name), Write::value(SecretValue::from(text), Kind::Text), now).unwrap();
        for number in 0..1500 {
            set(&format!("n{number:04}"), "x", 1);
        }
        for name in ["kept", "changed", "removed", "again", "in@prod"] {
            set(name, "1", 1);
        }
        let old = vault.refresh().unwrap();
        assert!(said(&old, &old).is_empty());
        set("changed", "2", 2);
        set("new", "1", 2);
        set("in@prod", "2", 2);
        set("n1400", "2", 2);
        vault.remove(&[id("removed"), id("again"), id("n0600")], 2).unwrap();
        set("again", "1", 1);
        vault.rename(&id("n0003"), &id("zz"), false, 2).unwrap();
        let new = vault.refresh().unwrap();
        assert!(!old.is_same(&new));
        let mut found = said(&old, &new);
        found.sort();
        let shown = |name: &str| id(name).to_string();
        let mut expected: Vec<String> =
            [("-", "again"), ("+", "again"), ("+", "new"), ("-", "removed"), ("-", "n0600"), ("-", "n0003"), ("+", "zz")]
                .map(|(sign, name)| format!("{sign}{}", shown(name)))
                .to_vec();
        expected.extend(["changed", "in@prod", "n1400"].map(|name| format!("{}:1-2", shown(name))));
        expected.sort();
        assert_eq!(found, expected);
    }
}
