//! Writing by applying sorted changes, from leaf to root.

use super::super::commit::Appender;
use super::{PageReader, Root};
use crate::format::page::{INLINE, Item, MAX_LEVEL, MAX_OVERFLOW, Node, NodeBuilder, Reference, TARGET};
use crate::store::{Change, StoreError};

/// A child of an inner node while it is being rewritten.
struct Child {
    key: Vec<u8>,
    at: Reference,
    fresh: bool,
}

/// Applies sorted changes to a tree and appends the new pages; the old ones stay as they are.
pub struct TreeWriter<'a, 'b> {
    /// Reads the old pages.
    pub reader: &'a PageReader<'a>,
    /// Takes the new ones.
    pub out: &'a mut Appender<'b>,
    /// Sum of the sealed lengths of the pages that the root reaches.
    pub live: u64,
}

impl TreeWriter<'_, '_> {
    /// Applies `changes` (ascending, no key twice) to the tree of `root`.
    pub fn apply(&mut self, root: Root, changes: &[Change]) -> Result<Root, StoreError> {
        let (children, level) = match root {
            None => (self.leaf(None, &[], changes)?, 0),
            Some((at, level)) => (self.node(&at, level, &[], changes)?, level),
        };
        self.grow(children, level)
    }

    /// Puts inner nodes above `children` of `level` until one is left, and takes away those that hold one child alone.
    fn grow(&mut self, mut children: Vec<Child>, mut level: u8) -> Result<Root, StoreError> {
        while children.len() > 1 {
            if level >= MAX_LEVEL {
                return Err(StoreError::TooLarge("the tree of the vault is too high"));
            }
            level += 1;
            children = self.inner(level, children)?;
        }
        let Some(Child { mut at, .. }) = children.pop() else { return Ok(None) };
        while level > 0 {
            let node = self.reader_node(&at, level)?;
            if node.count() > 1 {
                break;
            }
            let Some(Item::Child(only)) = node.items().next_item()? else { break };
            self.live = self.live.saturating_sub(u64::from(at.length));
            at = only;
            level -= 1;
        }
        Ok(Some((at, level)))
    }

    /// Pages of this commit are still in the appender's hands.
    fn reader_node(&self, at: &Reference, level: u8) -> Result<Node, StoreError> {
        match self.out.pending(at)? {
            Some(sealed) => Ok(self.reader.context.open_node(at, level, sealed)?),
            None => self.reader.node_uncached(at, level),
        }
    }

    fn node(&mut self, at: &Reference, level: u8, low: &[u8], changes: &[Change]) -> Result<Vec<Child>, StoreError> {
        let node = self.reader_node(at, level)?;
        self.live = self.live.saturating_sub(u64::from(at.length));
        if level == 0 {
            return self.leaf(Some(&node), low, changes);
        }
        let mut old = Vec::with_capacity(usize::from(node.count()));
        let mut items = node.items();
        while let Some(item) = items.next_item()? {
            if let Item::Child(at) = item {
                old.push(Child { key: items.key().to_vec(), at, fresh: false });
            }
        }
        // The bound that the parent gives may have sunk since this node was written; what is new below it belongs to the first child.
        if let Some(first) = old.first_mut() {
            first.key = low.to_vec();
        }
        let mut children = Vec::with_capacity(old.len() + 2);
        let mut rest = changes;
        for index in 0..old.len() {
            let mine = match old.get(index + 1) {
                Some(next) => rest.partition_point(|(key, _)| key.as_ref() < next.key.as_slice()),
                None => rest.len(),
            };
            let (head, tail) = rest.split_at(mine);
            rest = tail;
            let Child { key, at, .. } = &old[index];
            if head.is_empty() {
                children.push(Child { key: key.clone(), at: *at, fresh: false });
            } else {
                children.extend(self.node(at, level - 1, key, head)?);
            }
        }
        self.merge_small(level - 1, &mut children)?;
        if children.is_empty() {
            return Ok(Vec::new());
        }
        self.inner_from(level, low, children)
    }

    /// Joins a node that became small with a neighbour, so that a tree from which much was removed does not stay wide.
    fn merge_small(&mut self, level: u8, children: &mut Vec<Child>) -> Result<(), StoreError> {
        let mut index = 0;
        while index < children.len() {
            let child = &children[index];
            if !child.fresh || child.at.length as usize >= TARGET / 4 || children.len() < 2 {
                index += 1;
                continue;
            }
            let left = index.saturating_sub(usize::from(index + 1 == children.len()));
            let pair: Vec<Child> = children.splice(left..left + 2, []).collect();
            let nodes = [self.reader_node(&pair[0].at, level)?, self.reader_node(&pair[1].at, level)?];
            for child in &pair {
                self.live = self.live.saturating_sub(u64::from(child.at.length));
            }
            let mut entries = Vec::new();
            for node in &nodes {
                let mut items = node.items();
                while let Some(item) = items.next_item()? {
                    entries.push((items.key().to_vec(), item));
                }
            }
            let joined = self.chunk(level, &pair[0].key, &mut entries.iter().map(|(key, item)| (key.as_slice(), *item)))?;
            let count = joined.len();
            children.splice(left..left, joined);
            // Two that stayed two are both well filled by now: going back over them would not end.
            index = left + count.max(1);
        }
        Ok(())
    }

    fn leaf(&mut self, node: Option<&Node>, low: &[u8], changes: &[Change]) -> Result<Vec<Child>, StoreError> {
        // Overflow pages stand before the leaf that refers to them; their references are made first.
        let mut fresh = Vec::with_capacity(changes.len());
        for (key, value) in changes {
            if key.len() > crate::format::page::MAX_KEY {
                return Err(StoreError::TooLarge("a key of the tree is too long"));
            }
            fresh.push(match value {
                Some(value) if value.len() > INLINE => Some(Item::Overflow(self.append_overflow(value)?)),
                Some(value) => Some(Item::Inline(value)),
                None => None,
            });
        }
        let mut merged: Vec<(Vec<u8>, Item<'_>)> = Vec::new();
        let mut new = changes.iter().map(|(key, _)| key.as_ref()).zip(fresh).peekable();
        if let Some(node) = node {
            let mut items = node.items();
            while let Some(item) = items.next_item()? {
                let key = items.key();
                while let Some((key, item)) = new.next_if(|(new_key, _)| *new_key < key) {
                    merged.extend(item.map(|item| (key.to_vec(), item)));
                }
                let replaced = new.next_if(|(new_key, _)| *new_key == key);
                if let (Some(_), Item::Overflow(page)) = (&replaced, &item) {
                    self.live = self.live.saturating_sub(u64::from(page.length));
                }
                match replaced {
                    Some((_, item)) => merged.extend(item.map(|item| (key.to_vec(), item))),
                    None => merged.push((key.to_vec(), item)),
                }
            }
            let mut all = merged
                .iter()
                .map(|(key, item)| (key.as_slice(), *item))
                .chain(new.filter_map(|(key, item)| item.map(|item| (key, item))));
            return self.chunk(0, low, &mut all);
        }
        self.chunk(0, low, &mut new.filter_map(|(key, item)| item.map(|item| (key, item))))
    }

    fn inner(&mut self, level: u8, children: Vec<Child>) -> Result<Vec<Child>, StoreError> {
        let low = children[0].key.clone();
        self.inner_from(level, &low, children)
    }

    fn inner_from(&mut self, level: u8, low: &[u8], mut children: Vec<Child>) -> Result<Vec<Child>, StoreError> {
        // Whatever was removed below, the first child answers for everything from the node's lower bound on.
        children[0].key = low.to_vec();
        self.chunk(level, low, &mut children.iter().map(|child| (child.key.as_slice(), Item::Child(child.at))))
    }

    /// Writes items as one or more nodes of about equal size.
    fn chunk<'i>(
        &mut self,
        level: u8,
        low: &[u8],
        items: &mut dyn Iterator<Item = (&'i [u8], Item<'i>)>,
    ) -> Result<Vec<Child>, StoreError> {
        const FEW: usize = 1024;
        let mut head = Vec::with_capacity(64);
        head.extend((&mut *items).take(FEW));
        let mut chunks = Chunks { children: Vec::new(), builder: NodeBuilder::new(level), key: low.to_vec(), last: Vec::new() };
        // Few items are a split: halves leave room on both sides. Many are an import: full pages are what is wanted.
        let limit = if head.len() < FEW { even_limit(level, &head) } else { TARGET };
        for (key, item) in head {
            self.add(&mut chunks, level, limit, key, &item)?;
        }
        for (key, item) in items {
            self.add(&mut chunks, level, TARGET, key, &item)?;
        }
        if chunks.builder.count() > 0 {
            self.close(&mut chunks, level)?;
        }
        Ok(chunks.children)
    }

    fn add(&mut self, chunks: &mut Chunks, level: u8, limit: usize, key: &[u8], item: &Item<'_>) -> Result<(), StoreError> {
        let least = if level == 0 { 1 } else { 2 };
        let full = chunks.builder.count() >= least && chunks.builder.length() >= limit;
        if full || !chunks.builder.has_room(key, item) {
            self.close(chunks, level)?;
            // The shortest key that separates the two nodes keeps the inner ones wide. An inner key is a bound already.
            chunks.key = if level == 0 { separator(&chunks.last, key) } else { key.to_vec() };
        }
        // An inner node's first key is its lower bound.
        let own = if level > 0 && chunks.builder.count() == 0 { chunks.key.clone() } else { key.to_vec() };
        chunks.builder.push(&own, item);
        chunks.last.clear();
        chunks.last.extend_from_slice(key);
        Ok(())
    }

    fn close(&mut self, chunks: &mut Chunks, level: u8) -> Result<(), StoreError> {
        let plaintext = std::mem::replace(&mut chunks.builder, NodeBuilder::new(level)).finish();
        let sealed = self.reader.context.seal_node(self.out.position(), &plaintext)?;
        let at = self.append(sealed)?;
        chunks.children.push(Child { key: std::mem::take(&mut chunks.key), at, fresh: true });
        Ok(())
    }

    fn append_overflow(&mut self, value: &[u8]) -> Result<Reference, StoreError> {
        let sealed = self.reader.context.seal_overflow(self.out.position(), value)?;
        if sealed.len() > MAX_OVERFLOW as usize {
            return Err(StoreError::TooLarge("a value is too long for the tree"));
        }
        self.append(sealed)
    }

    fn append(&mut self, sealed: Vec<u8>) -> Result<Reference, StoreError> {
        let at = self.out.append(&sealed)?;
        self.live += u64::from(at.length);
        Ok(at)
    }
}

struct Chunks {
    children: Vec<Child>,
    builder: NodeBuilder,
    key: Vec<u8>,
    last: Vec<u8>,
}

/// The length at which nodes are closed so that these items make nodes of about equal size.
fn even_limit(level: u8, items: &[(&[u8], Item<'_>)]) -> usize {
    let mut builder = NodeBuilder::new(level);
    let (mut total, mut nodes, mut length) = (0, 1, 0);
    for (key, item) in items {
        if !builder.has_room(key, item) {
            total += length;
            nodes += 1;
            builder = NodeBuilder::new(level);
        }
        length = builder.length_with(key, item);
        builder.push(key, item);
    }
    if nodes == 1 {
        return TARGET;
    }
    // A node is closed by the item that reaches the share, so that what is left never needs one node more.
    (total + length) / nodes
}

/// The shortest key that is above `last` and not above `next`.
fn separator(last: &[u8], next: &[u8]) -> Vec<u8> {
    let shared = last.iter().zip(next).take_while(|(a, b)| a == b).count();
    next[..(shared + 1).min(next.len())].to_vec()
}
