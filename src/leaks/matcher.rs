//! Many patterns in one pass over a text.
//!
//! A window as long as the shortest pattern moves over the text. The hash of its last four bytes says how far it may jump because no pattern has these
//! bytes where they would have to be (Wu and Manber, "A fast algorithm for multi-pattern searching", 1994). It is built in microseconds where an
//! automaton of a thousand patterns takes milliseconds, which is what starting a program with its secrets may cost at most.

use zeroize::Zeroizing;

use super::forms::Form;
use super::lines::Unwrapped;
use super::units::Units;

/// A form of a unit.
pub(super) struct Pattern {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) form: Form,
    /// Which secrets have it, by number.
    pub(super) secrets: Vec<u32>,
}

/// The bytes that one look at the window hashes.
const BLOCK: usize = 4;
/// The longest window: what it may jump has to fit into a byte, and longer jumps gain nothing.
const MOST_WINDOW: usize = 32;
/// No pattern has this number.
const NONE: u32 = u32::MAX;

/// Finds the units of values in text.
pub struct Matcher {
    labels: Vec<String>,
    /// Sorted by their bytes, each of them once.
    patterns: Vec<Pattern>,
    window: usize,
    /// How many bits of a hash are used.
    bits: u32,
    /// By the hash of the window's last block: how far the window may move.
    jumps: Vec<u8>,
    /// By the same hash: the first pattern whose beginning ends in that block, and for each pattern the next one.
    first: Vec<u32>,
    next: Vec<u32>,
    /// The first bytes of each pattern: most that are in a list by chance need no closer look.
    heads: Vec<[u8; 4]>,
}

/// A part of a text that belongs to a value, and the number of a pattern in it.
#[derive(Clone, Copy)]
pub(super) struct Region {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) pattern: usize,
}

impl Matcher {
    /// A matcher for these units.
    pub fn new(units: Units) -> Self {
        let Units { labels, mut patterns, .. } = units;
        patterns.sort_unstable_by(|a, b| a.bytes.cmp(&b.bytes).then(a.form.cmp(&b.form)));
        patterns.dedup_by(|one, kept| {
            let same = one.bytes == kept.bytes;
            if same {
                kept.secrets.append(&mut one.secrets);
            }
            same
        });
        for pattern in &mut patterns {
            pattern.secrets.sort_unstable();
            pattern.secrets.dedup();
        }
        let window = patterns.iter().map(|pattern| pattern.bytes.len()).min().unwrap_or(0).min(MOST_WINDOW);
        // A table that is mostly empty, so that most windows jump; for a handful of secrets one that is quickly made.
        let blocks = patterns.len() * (window + 1).saturating_sub(BLOCK);
        let bits = (blocks * 8).max(1).ilog2().clamp(13, 20);
        let size = 1 << bits;
        let mut matcher = Self {
            labels,
            window,
            bits,
            jumps: vec![(window + 1).saturating_sub(BLOCK) as u8; size],
            first: vec![NONE; size],
            next: vec![NONE; patterns.len()],
            heads: patterns.iter().map(|pattern| head(&pattern.bytes)).collect(),
            patterns: Vec::new(),
        };
        for (number, pattern) in patterns.iter().enumerate() {
            for end in BLOCK..=window {
                let hash = matcher.hash(&pattern.bytes[end - BLOCK..end]);
                matcher.jumps[hash] = matcher.jumps[hash].min((window - end) as u8);
            }
            let hash = matcher.hash(&pattern.bytes[window - BLOCK..window]);
            matcher.next[number] = std::mem::replace(&mut matcher.first[hash], number as u32);
        }
        matcher.patterns = patterns;
        matcher
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The names of the values that have a pattern, and its form.
    pub(super) fn meaning(&self, pattern: usize) -> (impl Iterator<Item = &str>, Form) {
        let pattern = &self.patterns[pattern];
        (pattern.secrets.iter().filter_map(|secret| self.labels.get(*secret as usize)).map(String::as_str), pattern.form)
    }

    /// Finds the parts of a text that belong to values, by their places in the original: what overlaps is one part. Returns also from where
    /// on it is not known yet, with `more` to come: a part that what is open may belong to waits with it.
    pub(super) fn regions(&self, text: &Unwrapped, more: bool) -> (Vec<Region>, Option<usize>) {
        let mut regions: Vec<Region> = Vec::new();
        // Of several values in a part, the longest names it.
        let mut longest = 0;
        let mut open = self.search(text.text(), more, &mut |found| {
            let length = found.end - found.start;
            match regions.last_mut() {
                Some(last) if found.start < last.end => {
                    last.end = last.end.max(found.end);
                    if length > longest {
                        (longest, last.pattern) = (length, found.pattern);
                    }
                }
                _ => {
                    longest = length;
                    regions.push(Region { start: found.start, end: found.end, pattern: found.pattern });
                }
            }
        });
        if let Some(open) = &mut open {
            if let Some(waiting) = regions.pop_if(|last| last.end > *open) {
                *open = waiting.start;
            }
            *open = text.origin(*open);
        }
        for region in &mut regions {
            (region.start, region.end) = (text.origin(region.start), text.origin(region.end - 1) + 1);
        }
        (regions, open)
    }

    /// Finds the longest pattern at each place where one begins. With `more` to come, it stops at the first place where the text ends before it is
    /// known whether a (longer) pattern stands there, and returns that.
    pub(super) fn search(&self, text: &[u8], more: bool, found: &mut dyn FnMut(Region)) -> Option<usize> {
        if self.patterns.is_empty() {
            return None;
        }
        let mut start = 0;
        while start + self.window <= text.len() {
            let end = start + self.window;
            let hash = self.hash(&text[end - BLOCK..end]);
            let jump = self.jumps[hash];
            if jump > 0 {
                start += usize::from(jump);
                continue;
            }
            if self.verify(&text[start..], start, self.first[hash], found) && more {
                return Some(start);
            }
            start += 1;
        }
        // What is left is shorter than every pattern.
        (start..text.len()).find(|start| more && self.may_begin(&text[*start..]))
    }

    /// Compares the patterns of a list with the beginning of a text; returns whether the text ends within one of them.
    fn verify(&self, text: &[u8], start: usize, list: u32, found: &mut dyn FnMut(Region)) -> bool {
        let mut open = false;
        let mut longest: Option<(usize, usize)> = None;
        let mut number = list;
        let head = head(text);
        while number != NONE {
            if self.heads[number as usize] != head {
                number = self.next[number as usize];
                continue;
            }
            let pattern = &self.patterns[number as usize].bytes;
            if pattern.len() > text.len() {
                open |= pattern.starts_with(text);
            } else if longest.is_none_or(|(length, _)| length < pattern.len()) && text.starts_with(pattern) {
                longest = Some((pattern.len(), number as usize));
            }
            number = self.next[number as usize];
        }
        if let Some((length, pattern)) = longest {
            found(Region { start, end: start + length, pattern });
        }
        open
    }

    /// Whether a pattern begins with this text.
    fn may_begin(&self, text: &[u8]) -> bool {
        let at = self.patterns.partition_point(|pattern| pattern.bytes.as_slice() < text);
        self.patterns.get(at).is_some_and(|pattern| pattern.bytes.starts_with(text))
    }

    fn hash(&self, block: &[u8]) -> usize {
        let word = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
        (word.wrapping_mul(0x9E37_79B1) >> (32 - self.bits)) as usize
    }
}

fn head(text: &[u8]) -> [u8; 4] {
    text.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::record::Kind;
    use crate::secret::SecretValue;

    fn matcher(values: &[String]) -> Matcher {
        let mut units = Units::new(6, |_| false);
        for value in values {
            units.add(value, &SecretValue::from(value.as_str()), Kind::Text);
        }
        Matcher::new(units)
    }

    proptest! {
        /// Compared with a search that does the same in the simplest way.
        #[test]
        fn finds_what_is_there(values in proptest::collection::vec("[ab]{6,12}", 1..6), text in "[ab]{0,80}") {
            let matcher = matcher(&values);
            let longest = |start: usize| {
                matcher.patterns.iter().filter(|pattern| text.as_bytes()[start..].starts_with(&pattern.bytes)).map(|p| p.bytes.len()).max()
            };
            let expected: Vec<(usize, usize)> =
                (0..text.len()).filter_map(|start| longest(start).map(|length| (start, start + length))).collect();
            let mut found = Vec::new();
            assert_eq!(matcher.search(text.as_bytes(), false, &mut |one| found.push((one.start, one.end))), None);
            prop_assert_eq!(&found, &expected);
            let open = (0..text.len()).find(|start| {
                let rest = &text.as_bytes()[*start..];
                matcher.patterns.iter().any(|pattern| pattern.bytes.len() > rest.len() && pattern.bytes.starts_with(rest))
            });
            prop_assert_eq!(matcher.search(text.as_bytes(), true, &mut |_| {}), open);
        }
    }

    #[test]
    fn values_that_are_the_same_are_named_together() {
        let mut units = Units::new(6, |_| false);
        for label in ["one", "two"] {
            units.add(label, &SecretValue::from("the same value"), Kind::Text);
        }
        let matcher = Matcher::new(units);
        let mut names = Vec::new();
        matcher.search(b"-the same value-", false, &mut |found| {
            let (labels, form) = matcher.meaning(found.pattern);
            names.push((labels.map(str::to_owned).collect::<Vec<_>>(), form));
        });
        assert_eq!(names, [(vec!["one".to_owned(), "two".to_owned()], Form::Plain)]);
        assert!(Matcher::new(Units::new(6, |_| false)).is_empty());
    }
}
