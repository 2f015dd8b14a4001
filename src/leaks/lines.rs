//! Text without its line ends: what an encoder wrapped, or an editor indented, is one run of characters again.

use zeroize::Zeroizing;

/// A text without line ends and without the blanks that begin a line, and where its bytes come from.
#[derive(Default)]
pub(super) struct Unwrapped {
    text: Zeroizing<Vec<u8>>,
    /// Where runs of bytes begin: here, and in the original.
    runs: Vec<(usize, usize)>,
}

impl Unwrapped {
    /// Takes a text; `beginning` says whether the first bytes stand at the beginning of a line, and what is returned whether the next would.
    pub(super) fn fill(&mut self, original: &[u8], beginning: bool) -> bool {
        self.text.clear();
        self.runs.clear();
        if self.text.capacity() < original.len() {
            // Growing in place would leave the old bytes behind unwiped.
            self.text = Zeroizing::new(Vec::with_capacity(original.len().max(self.text.capacity() * 2)));
        }
        let mut at = 0;
        let mut beginning = beginning;
        while at < original.len() {
            if beginning {
                let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
                at += original[at..].iter().take_while(|byte| blank(byte)).count();
                if at == original.len() {
                    break;
                }
            }
            let end = memchr::memchr2(b'\n', b'\r', &original[at..]).map_or(original.len(), |length| at + length);
            self.runs.push((self.text.len(), at));
            self.text.extend_from_slice(&original[at..end]);
            beginning = end < original.len();
            at = end;
        }
        beginning
    }

    /// The bytes.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where the byte at `position` is in the original.
    pub(super) fn origin(&self, position: usize) -> usize {
        let run = self.runs.partition_point(|(start, _)| *start <= position);
        self.runs.get(run.wrapping_sub(1)).map_or(position, |(start, origin)| origin + position - start)
    }
}

/// A value as it is in an unwrapped text.
pub(super) fn unwrap(value: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut unwrapped = Unwrapped::default();
    unwrapped.fill(value, false);
    unwrapped.text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_and_indentation_vanish_and_positions_are_kept() {
        let original = b"ab\r\n  cd\n\n\tef \n";
        let mut unwrapped = Unwrapped::default();
        assert!(unwrapped.fill(original, false));
        assert_eq!(unwrapped.text(), b"abcdef ");
        for (position, byte) in unwrapped.text().iter().enumerate() {
            assert_eq!(original[unwrapped.origin(position)], *byte);
        }
        assert!(!unwrapped.fill(b"  x", true));
        assert_eq!((unwrapped.text(), unwrapped.origin(0)), (&b"x"[..], 2));
        assert!(unwrapped.fill(b"  ", true));
        assert!(!unwrapped.fill(b"  ", false));
        assert_eq!(*unwrap(b" a\n b "), b" ab ");
    }
}
