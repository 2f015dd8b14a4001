//! Text without its line ends: what an encoder wrapped, or an editor indented, is one run of characters again.

use zeroize::Zeroizing;

/// More line ends and blanks than these are no wrapping and no indentation: they stay, as one line end, which no value has. Otherwise what may be the
/// first byte of a value would hold back as many of them as come.
const MOST_BLANKS: usize = 4096;

/// A text without line ends and without the blanks that begin a line, and where its bytes come from.
#[derive(Default)]
pub(super) struct Unwrapped {
    /// The text, and room behind it.
    room: Zeroizing<Vec<u8>>,
    length: usize,
    /// Where runs of bytes begin: here, and in the original.
    runs: Vec<(usize, usize)>,
}

impl Unwrapped {
    /// Takes a text; `beginning` says whether the first bytes stand at the beginning of a line, and what is returned whether the next would.
    pub(super) fn fill(&mut self, original: &[u8], beginning: bool) -> bool {
        self.fill_over(original, beginning, MOST_BLANKS)
    }

    fn fill_over(&mut self, original: &[u8], beginning: bool, most_blanks: usize) -> bool {
        self.runs.clear();
        if self.room.len() < original.len() + WORD {
            // Growing in place would leave the old bytes behind unwiped.
            self.room = Zeroizing::new(vec![0; (original.len() + WORD).max(self.room.len() * 2)]);
        }
        let (mut at, mut length) = (0, 0);
        let mut beginning = beginning;
        let mut is_short = false;
        while at < original.len() {
            if beginning {
                let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
                let blanks = original[at..].iter().take_while(|byte| blank(byte)).count();
                if blanks > most_blanks {
                    self.runs.push((length, at));
                    self.room[length] = b'\n';
                    length += 1;
                }
                at += blanks;
                if at == original.len() {
                    break;
                }
            }
            self.runs.push((length, at));
            let rest = &original[at..];
            // Of a short line, a call to look for its end and one to copy it would cost more than the line. The next is mostly like it.
            let mut line = if is_short { short_line(rest, &mut self.room[length..]) } else { 0 };
            if !is_short || line == SHORT {
                let end = memchr::memchr2(b'\n', b'\r', &rest[line..]).map_or(rest.len(), |more| line + more);
                self.room[length + line..length + end].copy_from_slice(&rest[line..end]);
                line = end;
            }
            is_short = line <= SHORT;
            (at, length) = (at + line, length + line);
            beginning = at < original.len();
        }
        self.length = length;
        beginning
    }

    /// The bytes.
    pub(super) fn text(&self) -> &[u8] {
        &self.room[..self.length]
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
    unwrapped.fill_over(value, false, usize::MAX);
    unwrapped.room.truncate(unwrapped.length);
    unwrapped.room
}

const WORD: usize = 8;
const SHORT: usize = 2 * WORD;

/// Copies a line up to its end, or its first [`SHORT`] bytes; returns how many. What is copied behind them is overwritten by the next line.
fn short_line(text: &[u8], room: &mut [u8]) -> usize {
    let mut length = 0;
    while length < SHORT {
        let rest = &text[length..];
        let (word, most) = match rest.first_chunk::<WORD>() {
            Some(word) => (*word, WORD),
            None => {
                let mut word = [0; WORD];
                word[..rest.len()].copy_from_slice(rest);
                (word, rest.len())
            }
        };
        room[length..length + WORD].copy_from_slice(&word);
        let before = before_line_end(u64::from_le_bytes(word)).min(most);
        length += before;
        if before < WORD {
            break;
        }
    }
    length
}

/// How many of eight bytes stand before the first line end.
fn before_line_end(word: u64) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; WORD]);
    // The high bit of each byte that is zero, and perhaps of some behind it.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let ends = zero(word ^ (ONES * b'\n' as u64)) | zero(word ^ (ONES * b'\r' as u64));
    ends.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Compared with the same done byte by byte, for lines that are short, long, and both.
        #[test]
        fn lines_of_all_lengths_are_joined(lines in proptest::collection::vec("[ \t]{0,3}[a-z ]{0,40}[\r\n]{0,2}", 0..12), beginning: bool) {
            let original = lines.concat().into_bytes();
            let mut expected = Vec::new();
            let mut begins = beginning;
            for (at, byte) in original.iter().enumerate() {
                begins = matches!(byte, b'\r' | b'\n') || (begins && matches!(byte, b' ' | b'\t'));
                if !begins {
                    expected.push((at, *byte));
                }
            }
            let mut unwrapped = Unwrapped::default();
            prop_assert_eq!(unwrapped.fill(&original, beginning), begins);
            let found: Vec<(usize, u8)> = unwrapped.text().iter().enumerate().map(|(at, byte)| (unwrapped.origin(at), *byte)).collect();
            prop_assert_eq!(found, expected);
        }
    }

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
