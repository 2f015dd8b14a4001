//! Pages of the tree (SPEC, section 4).

use std::sync::Mutex;

use super::FormatError;
use crate::crypto::keys::label;
use crate::crypto::{self, Hash, Transcript};

/// The sealed length at which a writer closes a node.
pub const TARGET: usize = 4096;
/// The longest sealed node that is read.
pub const MAX_NODE: u32 = 65_536;
/// The longest sealed overflow page that is read.
pub const MAX_OVERFLOW: u32 = 33_554_432;
/// The longest key.
pub const MAX_KEY: usize = 4096;
/// A longer value stands in an overflow page.
pub const INLINE: usize = 1024;
/// The highest level of an inner node.
pub const MAX_LEVEL: u8 = 15;

/// Length of an encoded reference.
pub const REFERENCE: usize = 44;

const LEAF: u8 = 1;
const INNER: u8 = 2;
const OVERFLOW: u8 = 3;
const HEAD: usize = 4;

/// Where a sealed page is, and the hash that it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Position in the file.
    pub offset: u64,
    /// Length of the sealed page.
    pub length: u32,
    /// Hash of the sealed page.
    pub hash: Hash,
}

impl Reference {
    /// The 44 bytes.
    pub fn encode(&self) -> [u8; REFERENCE] {
        let mut out = [0; REFERENCE];
        out[..8].copy_from_slice(&self.offset.to_le_bytes());
        out[8..12].copy_from_slice(&self.length.to_le_bytes());
        out[12..].copy_from_slice(&self.hash.0);
        out
    }

    /// Reads the 44 bytes.
    pub fn decode(bytes: &[u8; REFERENCE]) -> Self {
        let mut offset = [0; 8];
        let mut length = [0; 4];
        let mut hash = [0; 32];
        offset.copy_from_slice(&bytes[..8]);
        length.copy_from_slice(&bytes[8..12]);
        hash.copy_from_slice(&bytes[12..]);
        Self { offset: u64::from_le_bytes(offset), length: u32::from_le_bytes(length), hash: Hash(hash) }
    }
}

/// What every page of a file is bound to.
pub struct PageContext<'a> {
    /// The vault's id.
    pub id: &'a [u8; 16],
    /// The file's epoch.
    pub epoch: u64,
    /// Seals pages.
    pub key: &'a [u8; 32],
}

impl PageContext<'_> {
    fn aad(&self, kind: u8, offset: u64) -> Transcript {
        Transcript::new(label::PAGE).bytes(self.id).u64(self.epoch).bytes(&[kind]).u64(offset)
    }

    /// Seals the plaintext of a node at `offset`.
    pub fn seal_node(&self, offset: u64, plaintext: &[u8]) -> Result<Vec<u8>, FormatError> {
        Ok(crypto::seal(self.key, self.aad(plaintext[0], offset).as_bytes(), plaintext)?)
    }

    /// Seals a value too long for a leaf at `offset`.
    pub fn seal_overflow(&self, offset: u64, value: &[u8]) -> Result<Vec<u8>, FormatError> {
        Ok(crypto::seal(self.key, self.aad(OVERFLOW, offset).as_bytes(), value)?)
    }

    /// Opens a node that a reference of a parent (or a commit record) names.
    pub fn open_node(&self, at: &Reference, level: u8, mut sealed: Vec<u8>) -> Result<Node, FormatError> {
        check(at, &sealed)?;
        let kind = if level == 0 { LEAF } else { INNER };
        let plaintext = crypto::open_in_place(self.key, self.aad(kind, at.offset).as_bytes(), &mut sealed)
            .map_err(|_| FormatError::NotAuthentic("a page"))?;
        let (head, _) = plaintext.split_first_chunk::<HEAD>().ok_or(FormatError::Malformed("a page is too short"))?;
        let count = u16::from_le_bytes([head[2], head[3]]);
        if head[0] != kind || head[1] != level || count == 0 {
            return Err(FormatError::Malformed("the head of a page does not fit its place"));
        }
        Ok(Node { sealed, level, count, place: Mutex::default() })
    }

    /// Opens an overflow page.
    pub fn open_overflow(&self, at: &Reference, mut sealed: Vec<u8>) -> Result<Vec<u8>, FormatError> {
        check(at, &sealed)?;
        let length = crypto::open_in_place(self.key, self.aad(OVERFLOW, at.offset).as_bytes(), &mut sealed)
            .map_err(|_| FormatError::NotAuthentic("a page"))?
            .len();
        if length <= INLINE {
            return Err(FormatError::Malformed("an overflow page holds a value that fits a leaf"));
        }
        sealed.copy_within(crypto::NONCE..crypto::NONCE + length, 0);
        sealed.truncate(length);
        Ok(sealed)
    }
}

fn check(at: &Reference, sealed: &[u8]) -> Result<(), FormatError> {
    if sealed.len() != at.length as usize || Hash::of(sealed) != at.hash {
        return Err(FormatError::NotAuthentic("a page"));
    }
    Ok(())
}

/// What stands behind a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A value within the leaf.
    Inline(&'a [u8]),
    /// A value in an overflow page.
    Overflow(Reference),
    /// A child of an inner node.
    Child(Reference),
}

/// An authenticated node, opened in its own buffer.
pub struct Node {
    sealed: Vec<u8>,
    level: u8,
    count: u16,
    /// Where the last search ended: who asks for many keys asks in their order.
    place: Mutex<Option<Place>>,
}

/// A place between the items of a leaf.
struct Place {
    /// The key of the item before it.
    key: Vec<u8>,
    /// How many items come after it, and in how many bytes.
    left: u16,
    bytes: usize,
}

impl Drop for Node {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.sealed);
    }
}

impl Node {
    /// 0 for a leaf.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// How many items the node has.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Length of the node's items, as a measure of how full it is.
    pub fn fill(&self) -> usize {
        self.sealed.len()
    }

    fn bytes(&self) -> &[u8] {
        &self.sealed[crypto::NONCE + HEAD..self.sealed.len() - crypto::TAG]
    }

    /// Walks the items in order; the rules of the specification are checked on the way.
    pub fn items(&self) -> Items<'_> {
        Items { rest: self.bytes(), left: self.count, leaf: self.level == 0, key: Vec::with_capacity(64), first: true }
    }

    /// The item of this key. In a leaf the search goes on where the last one ended, if that is before the key.
    pub fn find(&self, key: &[u8]) -> Result<Option<Item<'_>>, FormatError> {
        // Whoever finds another search under way begins at the beginning.
        let place = self.place.try_lock().ok().and_then(|mut place| place.take());
        let mut items = match place {
            Some(Place { key: before, left, bytes }) if self.level == 0 && before.as_slice() < key => {
                let all = self.bytes();
                Items { rest: &all[all.len() - bytes..], left, leaf: true, key: before, first: false }
            }
            _ => self.items(),
        };
        let mut found = None;
        while let Some(item) = items.next_item()? {
            if items.key() >= key {
                found = (items.key() == key).then_some(item);
                break;
            }
        }
        if let Ok(mut place) = self.place.try_lock() {
            *place = Some(Place { bytes: items.rest.len(), left: items.left, key: items.key });
        }
        Ok(found)
    }
}

/// A walk over the items of a node.
pub struct Items<'a> {
    rest: &'a [u8],
    left: u16,
    leaf: bool,
    key: Vec<u8>,
    first: bool,
}

impl<'a> Items<'a> {
    /// The key of the item that [`next_item`](Self::next_item) returned last.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The next item, or `None` behind the last.
    pub fn next_item(&mut self) -> Result<Option<Item<'a>>, FormatError> {
        if self.left == 0 {
            return if self.rest.is_empty() {
                Ok(None)
            } else {
                Err(FormatError::Malformed("bytes follow the last item of a page"))
            };
        }
        self.left -= 1;
        let shared = self.varint()?;
        let length = self.varint()?;
        let suffix = self.take(length)?;
        if shared > self.key.len() || shared + length > MAX_KEY {
            return Err(FormatError::Malformed("a key in a page is malformed"));
        }
        // Ascending: what replaces the end of the key before must sort behind it.
        if !self.first && suffix <= &self.key[shared..] {
            return Err(FormatError::Malformed("the keys of a page do not ascend"));
        }
        self.first = false;
        self.key.truncate(shared);
        self.key.extend_from_slice(suffix);
        if !self.leaf {
            return Ok(Some(Item::Child(self.reference()?)));
        }
        match self.take(1)?[0] {
            0 => {
                let length = self.varint()?;
                if length > INLINE {
                    return Err(FormatError::Malformed("a value in a leaf is too long"));
                }
                Ok(Some(Item::Inline(self.take(length)?)))
            }
            1 => Ok(Some(Item::Overflow(self.reference()?))),
            _ => Err(FormatError::Malformed("an item of a page is of no known kind")),
        }
    }

    fn reference(&mut self) -> Result<Reference, FormatError> {
        let bytes = self.take(REFERENCE)?;
        let mut array = [0; REFERENCE];
        array.copy_from_slice(bytes);
        Ok(Reference::decode(&array))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(FormatError::Malformed("a page is cut off"))?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    fn varint(&mut self) -> Result<usize, FormatError> {
        // Nearly all are of one byte.
        match self.rest {
            [byte @ ..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(usize::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<usize, FormatError> {
        let malformed = FormatError::Malformed("a length in a page is malformed");
        let mut value = 0u64;
        for index in 0..5 {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                if (byte == 0 && index > 0) || value > u64::from(u32::MAX) {
                    return Err(malformed);
                }
                return usize::try_from(value).map_err(|_| malformed);
            }
        }
        Err(malformed)
    }
}

/// Builds the plaintext of one node.
pub struct NodeBuilder {
    out: Vec<u8>,
    key: Vec<u8>,
    level: u8,
    count: u16,
}

impl NodeBuilder {
    /// An empty node of this level.
    pub fn new(level: u8) -> Self {
        let mut out = Vec::with_capacity(TARGET);
        out.extend_from_slice(&[if level == 0 { LEAF } else { INNER }, level, 0, 0]);
        Self { out, key: Vec::new(), level, count: 0 }
    }

    /// How many items the node has.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// The sealed length.
    pub fn length(&self) -> usize {
        self.out.len() + crypto::OVERHEAD
    }

    /// The sealed length with the item in it.
    pub fn length_with(&self, key: &[u8], item: &Item<'_>) -> usize {
        // At most ten bytes of lengths and one of kind: an estimate that is never too small.
        let value = match item {
            Item::Inline(value) => value.len() + 6,
            Item::Overflow(_) | Item::Child(_) => REFERENCE + 1,
        };
        self.length() + key.len() - self.shared(key) + value + 4
    }

    /// Whether the item still belongs into this node.
    pub fn has_room(&self, key: &[u8], item: &Item<'_>) -> bool {
        let least = if self.level == 0 { 1 } else { 2 };
        self.count < least || (self.length_with(key, item) <= TARGET && self.count < u16::MAX)
    }

    /// Appends an item; keys must come ascending.
    pub fn push(&mut self, key: &[u8], item: &Item<'_>) {
        let shared = self.shared(key);
        put_varint(&mut self.out, shared);
        put_varint(&mut self.out, key.len() - shared);
        self.out.extend_from_slice(&key[shared..]);
        match item {
            Item::Inline(value) => {
                self.out.push(0);
                put_varint(&mut self.out, value.len());
                self.out.extend_from_slice(value);
            }
            Item::Overflow(reference) => {
                self.out.push(1);
                self.out.extend_from_slice(&reference.encode());
            }
            Item::Child(reference) => self.out.extend_from_slice(&reference.encode()),
        }
        self.key.clear();
        self.key.extend_from_slice(key);
        self.count += 1;
    }

    /// The plaintext.
    pub fn finish(mut self) -> Vec<u8> {
        self.out[2..4].copy_from_slice(&self.count.to_le_bytes());
        self.out
    }

    fn shared(&self, key: &[u8]) -> usize {
        self.key.iter().zip(key).take_while(|(a, b)| a == b).count()
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A leaf with these keys, each its own value.
    fn leaf(keys: &[Vec<u8>]) -> Node {
        let context = PageContext { id: &[1; 16], epoch: 0, key: &[2; 32] };
        let mut builder = NodeBuilder::new(0);
        keys.iter().for_each(|key| builder.push(key, &Item::Inline(key)));
        let sealed = context.seal_node(0, &builder.finish()).unwrap();
        let at = Reference { offset: 0, length: sealed.len() as u32, hash: Hash::of(&sealed) };
        context.open_node(&at, 0, sealed).unwrap()
    }

    proptest::proptest! {
        #[test]
        fn a_key_is_found_in_whatever_order_it_is_asked_for(
            keys in proptest::collection::btree_set(proptest::collection::vec(0_u8..3, 0..5), 1..60),
            asked in proptest::collection::vec(proptest::collection::vec(0_u8..3, 0..5), 0..200),
        ) {
            let keys: Vec<Vec<u8>> = keys.into_iter().collect();
            let node = leaf(&keys);
            for key in asked.iter().chain(&keys) {
                let found = keys.contains(key).then_some(Item::Inline(key));
                assert_eq!(node.find(key).unwrap(), found, "{key:?}");
            }
        }
    }
}
