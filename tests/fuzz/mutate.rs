//! Inputs that are nearly good: one of the corpus with some changes, or parts of two.

use crate::random::Random;

/// Longer inputs only take longer.
const MOST: usize = 1 << 16;

const NUMBERS: &[u64] = &[0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff, 1 << 63, u64::MAX];

/// What means something in the text formats, and the first bytes of CBOR items.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    "\"", "'", "\\", "\n", "\r\n", "\t", " #", "=", ": ", ",", "- ", "{", "}", "[", "]", "{}", "[]", "null", "true", "1e5", "-0", "1.10",
    "0x1F", "1_000", "2026-01-01", "\\u0000", "\\ud83d\\ude00", "\\ud800", "\u{feff}", "\u{85}", "\u{2028}", "é", "😀", "\0", "export ",
    "vault_export", "entries", "name", "value", "kind", "encoding", "base64", "json", "bytes", "expires_ms", "tags", "meta", "<<", "&a ",
    "*a", "|\n  ", ">-\n ", "!!str ", "---\n", "? ", "[[slot]]\n", "\"\"\"\n", "$(id)", "${A}", "`", "~1", "~0", ".", "/", "$serde_json::private::Number",
    "\u{18}\u{7f}", "critical = [\"x\"]\n", "words:6", "hex:32", ":99999999999999999999",
];

pub fn mutate(corpus: &[&[u8]], random: &mut Random) -> Vec<u8> {
    let mut input = random.pick(corpus).to_vec();
    if random.chance(15) {
        let other = random.pick(corpus);
        input.truncate(random.below(input.len() + 1));
        input.extend_from_slice(&other[random.below(other.len() + 1)..]);
    }
    for _ in 0..1 << random.below(5) {
        change(&mut input, corpus, random);
    }
    input.truncate(MOST);
    input
}

fn change(input: &mut Vec<u8>, corpus: &[&[u8]], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let near = |random: &mut Random, from: usize, length: usize| (from + 1 + random.below(16)).min(length);
    match random.below(10) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.draw() as u8,
        2 if at < input.len() => input[at] = input[at].wrapping_add_signed(random.below(9) as i8 - 4),
        3 => {
            let end = near(random, at, input.len()).max(at);
            input.drain(at..end);
        }
        4 => {
            // A part once more, some times.
            let from = random.below(input.len() + 1);
            let part = input[from..near(random, from, input.len()).max(from)].repeat(1 + random.below(8));
            input.splice(at..at, part);
        }
        5 | 6 => {
            let word = random.pick(WORDS).bytes();
            input.splice(at..at, word);
        }
        7 => {
            let number = random.pick(NUMBERS).wrapping_sub(random.below(2) as u64);
            let width = *random.pick(&[1, 2, 4, 8]);
            let bytes = if random.chance(50) {
                number.to_le_bytes()[..width].to_vec()
            } else {
                number.to_be_bytes()[8 - width..].to_vec()
            };
            let end = (at + width).min(input.len());
            input.splice(at..end, bytes);
        }
        8 => {
            let other = random.pick(corpus);
            let from = random.below(other.len() + 1);
            let part = &other[from..near(random, from, other.len()).max(from)];
            input.splice(at..at, part.iter().copied());
        }
        9 if random.chance(20) => input.truncate(at),
        _ => {
            let length = 1 + random.below(6);
            let bytes = random.bytes(length);
            input.splice(at..at, bytes);
        }
    }
}
