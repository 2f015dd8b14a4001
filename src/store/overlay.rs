//! A state with changes on top, so that the next change sees those before it though they are not committed yet.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::{Batch, Revision, Snapshot, StoreError, Visit, Walk};

/// A state with changes on top that are not committed yet.
pub struct Overlay<'a> {
    base: &'a dyn Snapshot,
    changes: BTreeMap<Box<[u8]>, Option<Box<[u8]>>>,
    entries: i64,
    absorbed: usize,
}

impl<'a> Overlay<'a> {
    /// Nothing on top yet.
    pub fn over(base: &'a dyn Snapshot) -> Self {
        Self { base, changes: BTreeMap::new(), entries: 0, absorbed: 0 }
    }

    /// Puts changes on top.
    pub fn absorb(&mut self, batch: Batch) {
        self.entries += batch.entries();
        let changes = batch.into_sorted();
        let size = |(key, value): &super::Change| key.len() + value.as_ref().map_or(0, |value| value.len());
        self.absorbed = self.absorbed.saturating_add(changes.iter().map(size).sum());
        self.changes.extend(changes);
    }

    /// How many bytes of changes were put on top.
    pub fn absorbed(&self) -> usize {
        self.absorbed
    }

    /// All changes, for one commit.
    pub fn into_batch(self, batch: &mut Batch) {
        for (key, value) in self.changes {
            match value {
                Some(value) => batch.put(key.into_vec(), value.into_vec()),
                None => batch.delete(key.into_vec()),
            }
        }
        batch.count_entries(self.entries);
    }
}

impl Snapshot for Overlay<'_> {
    fn revision(&self) -> Revision {
        self.base.revision()
    }

    fn entries(&self) -> u64 {
        self.base.entries().saturating_add_signed(self.entries)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.changes.get(key) {
            Some(value) => Ok(value.as_deref().map(<[u8]>::to_vec)),
            None => self.base.get(key),
        }
    }

    fn range(&self, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let end = to.map_or(Bound::Unbounded, Bound::Excluded);
        let mut changed = self.changes.range::<[u8], _>((Bound::Included(from), end)).peekable();
        let mut walk = Walk::Continue(());
        self.base.range(from, to, &mut |key, value| {
            while let Some((before, new)) = changed.next_if(|(changed, _)| changed.as_ref() < key) {
                if let Some(new) = new {
                    walk = visit(before, Some(new))?;
                    if walk.is_break() {
                        return Ok(walk);
                    }
                }
            }
            walk = match changed.next_if(|(changed, _)| changed.as_ref() == key) {
                Some((_, Some(new))) => visit(key, Some(new))?,
                Some((_, None)) => Walk::Continue(()),
                None => visit(key, value)?,
            };
            Ok(walk)
        })?;
        for (key, new) in changed {
            if walk.is_break() {
                break;
            }
            if let Some(new) = new {
                walk = visit(key, Some(new))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::memory::MemoryStore;

    #[test]
    fn a_walk_shows_base_and_changes_in_order() {
        let store = MemoryStore::new();
        let mut batch = Batch::default();
        for key in [b"b", b"d", b"f"] {
            batch.put(key.to_vec(), b"old".to_vec());
        }
        store.begin().unwrap().commit(batch, 1).unwrap();
        let snapshot = store.snapshot().unwrap();
        let mut overlay = Overlay::over(snapshot.as_ref());
        let mut batch = Batch::default();
        batch.put(b"a".to_vec(), b"new".to_vec());
        batch.delete(b"b".to_vec());
        batch.put(b"d".to_vec(), b"new".to_vec());
        batch.put(b"e".to_vec(), b"new".to_vec());
        batch.delete(b"e".to_vec());
        batch.put(b"g".to_vec(), b"new".to_vec());
        overlay.absorb(batch);
        let seen = |from: &[u8], to: Option<&[u8]>, most: usize| {
            let mut seen = String::new();
            overlay
                .range(from, to, &mut |key, value| {
                    seen += std::str::from_utf8(key).unwrap();
                    seen += if value == Some(b"new") { "+" } else { "" };
                    Ok(if seen.len() < most { Walk::Continue(()) } else { Walk::Break(()) })
                })
                .unwrap();
            seen
        };
        assert_eq!(seen(b"", None, 99), "a+d+fg+");
        assert_eq!(seen(b"b", Some(b"g"), 99), "d+f");
        assert_eq!(seen(b"", None, 1), "a+");
        assert_eq!(seen(b"e", None, 1), "f");
        assert_eq!(seen(b"g", Some(b"a"), 99), "");
        assert_eq!(overlay.get(b"b").unwrap(), None);
    }
}
