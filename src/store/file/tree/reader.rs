//! Reading by descent.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::super::storage::{Storage, read_exact};
use super::Root;
use crate::crypto::Hash;
use crate::format::FormatError;
use crate::format::page::{Item, MAX_NODE, MAX_OVERFLOW, Node, PageContext, Reference};
use crate::store::{StoreError, Visit, Walk};

/// Opened nodes are kept up to this many unless more are asked for; a `get` reads entry and value from the same leaf.
pub const CACHE: usize = 256;

/// Reads pages of one file.
pub struct PageReader<'a> {
    /// The file.
    pub storage: &'a dyn Storage,
    /// What its pages are bound to.
    pub context: PageContext<'a>,
    /// Pages lie at or behind this position.
    pub from: u64,
    /// Pages lie before this position.
    pub to: u64,
    /// Nodes that were opened already.
    pub cache: &'a NodeCache,
}

/// Nodes of one file that were opened already, by position, with the hash of their pages: where a commit was undone another page may stand now.
pub struct NodeCache {
    nodes: Mutex<HashMap<u64, (Hash, Arc<Node>)>>,
    most: usize,
}

impl Default for NodeCache {
    fn default() -> Self {
        Self::with_room(CACHE)
    }
}

impl NodeCache {
    /// A cache of so many nodes.
    pub fn with_room(most: usize) -> Self {
        Self { nodes: Mutex::default(), most }
    }
}

impl PageReader<'_> {
    fn sealed(&self, at: &Reference, most: u32) -> Result<Vec<u8>, StoreError> {
        let fits = at.offset >= self.from
            && at.length <= most
            && at.offset.checked_add(u64::from(at.length)).is_some_and(|end| end <= self.to);
        if !fits {
            return Err(FormatError::Malformed("a reference to a page points out of the file").into());
        }
        read_exact(self.storage, at.offset, at.length as usize).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                StoreError::from(FormatError::Malformed("the file ends within a page")).at(at.offset)
            }
            _ => StoreError::Io { doing: "read the vault", source: error },
        })
    }

    fn node(&self, at: &Reference, level: u8) -> Result<Arc<Node>, StoreError> {
        {
            let nodes = self.cache.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, node)) = nodes.get(&at.offset).filter(|(hash, node)| *hash == at.hash && node.level() == level) {
                return Ok(node.clone());
            }
        }
        let node = Arc::new(self.node_uncached(at, level)?);
        let mut nodes = self.cache.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes.len() >= self.cache.most {
            nodes.clear();
        }
        nodes.insert(at.offset, (at.hash, node.clone()));
        Ok(node)
    }

    /// A leaf for a walk. Where there is much room it is kept, for who asks for values of what was walked over; a walk sees each leaf once, and
    /// must not push out what is needed again.
    fn leaf(&self, at: &Reference) -> Result<Arc<Node>, StoreError> {
        if self.cache.nodes.lock().unwrap_or_else(PoisonError::into_inner).len() < self.cache.most / 2 {
            return self.node(at, 0);
        }
        self.node_uncached(at, 0).map(Arc::new)
    }

    pub(super) fn node_uncached(&self, at: &Reference, level: u8) -> Result<Node, StoreError> {
        let sealed = self.sealed(at, MAX_NODE)?;
        self.context.open_node(at, level, sealed).map_err(|error| StoreError::from(error).at(at.offset))
    }

    fn overflow(&self, at: &Reference) -> Result<Vec<u8>, StoreError> {
        let sealed = self.sealed(at, MAX_OVERFLOW)?;
        self.context.open_overflow(at, sealed).map_err(|error| StoreError::from(error).at(at.offset))
    }

    /// The value of a key.
    pub fn get(&self, root: Root, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some((mut at, mut level)) = root else { return Ok(None) };
        loop {
            let node = self.node(&at, level)?;
            let damaged = |error: FormatError| StoreError::from(error).at(at.offset);
            if level == 0 {
                return node.find(key).map_err(damaged)?.map(|item| self.value(&item)).transpose();
            }
            let (mut items, mut child) = (node.items(), None);
            while let Some(item) = items.next_item().map_err(damaged)? {
                if items.key() > key {
                    break;
                }
                child = Some(item);
            }
            match child {
                Some(Item::Child(next)) => at = next,
                _ => return Ok(None),
            }
            level -= 1;
        }
    }

    fn value(&self, item: &Item<'_>) -> Result<Vec<u8>, StoreError> {
        match item {
            Item::Inline(value) => Ok(value.to_vec()),
            Item::Overflow(at) => self.overflow(at),
            Item::Child(_) => Err(FormatError::Malformed("a leaf refers to a node").into()),
        }
    }

    /// Walks `from..to` in ascending order. Bounds that parents give are checked against keys of their children.
    pub fn range(&self, root: Root, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let Some((at, level)) = root else { return Ok(()) };
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        self.range_in(&at, level, &Bounds { low: &[], high: None }, from, to, visit).map(|_| ())
    }

    fn range_in(
        &self,
        at: &Reference,
        level: u8,
        bounds: &Bounds<'_>,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<Walk, StoreError> {
        let node = if level == 0 { self.leaf(at)? } else { self.node(at, level)? };
        let damaged = |error: FormatError| StoreError::from(error).at(at.offset);
        let mut items = node.items();
        if level == 0 {
            while let Some(item) = items.next_item().map_err(damaged)? {
                let key = items.key();
                bounds.check(key).map_err(damaged)?;
                if to.is_some_and(|to| key >= to) {
                    return Ok(Walk::Break(()));
                }
                if key >= from {
                    let value = match item {
                        Item::Inline(value) => Some(value),
                        _ => None,
                    };
                    if visit(key, value)?.is_break() {
                        return Ok(Walk::Break(()));
                    }
                }
            }
            return Ok(Walk::Continue(()));
        }
        let mut next = items.next_item().map_err(damaged)?.map(|item| (items.key().to_vec(), item));
        while let Some((low, item)) = next {
            bounds.check(&low).map_err(damaged)?;
            next = items.next_item().map_err(damaged)?.map(|item| (items.key().to_vec(), item));
            let high = next.as_ref().map(|(key, _)| key.as_slice());
            if to.is_some_and(|to| low.as_slice() >= to) {
                return Ok(Walk::Break(()));
            }
            if high.is_some_and(|high| high <= from) {
                continue;
            }
            let Item::Child(child) = item else { continue };
            let bounds = Bounds { low: &low, high: high.or(bounds.high) };
            if self.range_in(&child, level - 1, &bounds, from, to, visit)?.is_break() {
                return Ok(Walk::Break(()));
            }
        }
        Ok(Walk::Continue(()))
    }

    /// Opens every page that the root reaches; returns the sum of their sealed lengths.
    pub fn verify(&self, root: Root) -> Result<u64, StoreError> {
        match root {
            None => Ok(0),
            Some((at, level)) => self.verify_in(&at, level, &Bounds { low: &[], high: None }, &mut HashSet::new()),
        }
    }

    fn verify_in(&self, at: &Reference, level: u8, bounds: &Bounds<'_>, seen: &mut HashSet<u64>) -> Result<u64, StoreError> {
        refuse_again(seen, at)?;
        let node = self.node_uncached(at, level)?;
        let damaged = |error: FormatError| StoreError::from(error).at(at.offset);
        let mut bytes = u64::from(at.length);
        let mut items = node.items();
        let mut next = items.next_item().map_err(damaged)?.map(|item| (items.key().to_vec(), item));
        while let Some((low, item)) = next {
            bounds.check(&low).map_err(damaged)?;
            next = items.next_item().map_err(damaged)?.map(|item| (items.key().to_vec(), item));
            bytes += match item {
                Item::Inline(_) => 0,
                Item::Overflow(page) => {
                    refuse_again(seen, &page)?;
                    self.overflow(&page)?;
                    u64::from(page.length)
                }
                Item::Child(child) => {
                    let high = next.as_ref().map(|(key, _)| key.as_slice()).or(bounds.high);
                    self.verify_in(&child, level - 1, &Bounds { low: &low, high }, seen)?
                }
            };
        }
        Ok(bytes)
    }
}

/// No page is referred to twice: the count of live bytes would be wrong, and following all references would have no bound.
fn refuse_again(seen: &mut HashSet<u64>, at: &Reference) -> Result<(), StoreError> {
    if seen.insert(at.offset) {
        return Ok(());
    }
    Err(StoreError::from(FormatError::Malformed("a page is referred to twice")).at(at.offset))
}

/// Where the keys of a node lie: `low` inclusive, `high` exclusive.
struct Bounds<'a> {
    low: &'a [u8],
    high: Option<&'a [u8]>,
}

impl Bounds<'_> {
    fn check(&self, key: &[u8]) -> Result<(), FormatError> {
        if key < self.low || self.high.is_some_and(|high| key >= high) {
            return Err(FormatError::Malformed("a key lies outside of what its parent says"));
        }
        Ok(())
    }
}
