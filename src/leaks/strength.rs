//! How hard a value is to guess: what is easy to guess is no secret worth looking for, and must not be published as a fingerprint.

use std::collections::BTreeMap;

use zxcvbn::Score;
use zxcvbn::matching::patterns::MatchPattern;

/// The library looks at this many characters of a value.
const LOOKED_AT: usize = 100;

/// Whether a value is found by guessing a million times or so: it will stand in texts that have nothing to do with the vault.
pub fn is_trivial(value: &[u8]) -> bool {
    // Long and mixed is never trivial; looking closer costs a millisecond a value.
    if value.len() >= 20 && shannon(value) >= 64.0 {
        return false;
    }
    let text = beginning(value);
    zxcvbn::zxcvbn(&text, &[]).score() < Score::Two
}

/// A password of fewer characters is tried out, whatever it is made of.
const SHORT: usize = 8;

/// Whether a secret is shorter than eight characters (bytes, if it is no text).
pub fn is_short(value: &[u8]) -> bool {
    std::str::from_utf8(value).map_or(value.len(), |text| text.chars().count()) < SHORT
}

/// Whether a secret is found by a hundred million guesses, which is what zxcvbn calls somewhat guessable or worse. A long one is as good as its best part.
pub fn is_weak(value: &[u8]) -> bool {
    // Looking costs a millisecond a part; what goes on like this for so long is no password.
    const PARTS: usize = 16;
    let most = PARTS * LOOKED_AT;
    let characters = zeroize::Zeroizing::new(match std::str::from_utf8(value) {
        Ok(text) => text.chars().take(most).collect::<Vec<char>>(),
        Err(_) => value.iter().take(most).copied().map(char::from).collect(),
    });
    let mut parts = characters.chunks(LOOKED_AT);
    parts.all(|part| zxcvbn::zxcvbn(&zeroize::Zeroizing::new(part.iter().collect::<String>()), &[]).score() < Score::Three)
}

/// How many bits of guessing a value withstands, estimated from below: by its characters' frequencies, and where it has words or patterns that
/// guessers know, by these.
pub fn bits(value: &[u8]) -> f64 {
    let frequencies = shannon(value);
    let each = frequencies / value.len().max(1) as f64;
    let text = beginning(value);
    // Words are not better for the blanks between them.
    let joined = zeroize::Zeroizing::new(text.chars().filter(|c| c.is_alphanumeric()).collect::<String>());
    let whole = [&text, &joined].into_iter().map(|text| bits_of_parts(text, each));
    // Of a long text the library takes all for no pattern, because it has no numbers for anything harder: it must see the words one by one.
    let signs = text.chars().filter(|c| !c.is_alphanumeric()).count() as f64 * each;
    let in_runs = signs + runs(&text, RUN).map(|run| bits_of_parts(run, each)).sum::<f64>();
    // What lies behind the characters that the library looks at is not counted.
    whole.fold(frequencies.min(in_runs), f64::min)
}

/// Part by part: the library's own total is a 64-bit number, and of what has no pattern it knows only the length.
fn bits_of_parts(text: &str, each: f64) -> f64 {
    let parts = zxcvbn::zxcvbn(text, &[]);
    let parts = parts.sequence().iter().map(|part| match (&part.pattern, part.guesses) {
        (MatchPattern::BruteForce, _) | (_, None) => part.token.len() as f64 * each,
        (_, Some(guesses)) => (guesses.max(1) as f64).log2().min(part.token.len() as f64 * each),
    });
    parts.sum()
}

/// The library can tell how hard so many characters are, whatever they are.
pub(super) const RUN: usize = 16;

/// The runs of letters and digits of a text, in parts of at most so many characters.
pub(super) fn runs(text: &str, most: usize) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).flat_map(move |mut run| {
        std::iter::from_fn(move || {
            let end = run.char_indices().nth(most).map_or(run.len(), |(at, _)| at);
            let (part, rest) = run.split_at(end);
            run = rest;
            (!part.is_empty()).then_some(part)
        })
    })
}

fn beginning(value: &[u8]) -> zeroize::Zeroizing<String> {
    zeroize::Zeroizing::new(String::from_utf8_lossy(&value[..value.len().min(LOOKED_AT * 4)]).chars().take(LOOKED_AT).collect())
}

/// The length times the entropy of the distribution of its bytes.
pub(super) fn shannon(value: &[u8]) -> f64 {
    let mut counts = BTreeMap::new();
    value.iter().for_each(|byte| *counts.entry(byte).or_insert(0_u32) += 1);
    let length = value.len() as f64;
    counts.values().map(|count| f64::from(*count) * (length / f64::from(*count)).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_or_weak() {
        assert!(is_short(b"") && is_short(b"1234567") && !is_short(b"12345678"));
        assert!(is_short("äöüäöüä".as_bytes()) && is_short(&[0xff; 7]) && !is_short(&[0xff; 8]));
        for weak in ["", "hunter2", "Summer2024!", "passwordpasswordpassword1", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert!(is_weak(weak.as_bytes()), "{weak}");
        }
        assert!(is_weak("password".repeat(100).as_bytes()));
        for sound in ["correct horse battery staple", "q7Zp0LmXw93K", "fK3#vP9!xQ2$", "0c9d7f5e1a2b3c4d5e6f708192a3b4c5"] {
            assert!(!is_weak(sound.as_bytes()), "{sound}");
        }
        // Behind what the library looks at.
        assert!(!is_weak(format!("{}q7Zp0LmXw93KfBt6", "a".repeat(150)).as_bytes()));
        let key: [u8; 16] = std::array::from_fn(|at| (0x9e37_79b9_u32.wrapping_mul(at as u32 + 1) >> 24) as u8 | 0x80);
        assert!(std::str::from_utf8(&key).is_err() && !is_weak(&key) && is_weak(&[0xff; 40]));
    }

    #[test]
    fn what_is_easily_guessed() {
        for trivial in ["password", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "qwertyuiop", "20240101", "production"] {
            assert!(is_trivial(trivial.as_bytes()), "{trivial}");
            assert!(bits(trivial.as_bytes()) < 40.0, "{trivial}");
        }
        for sound in ["p4ss-K92x!", "live_$9f\"Q7", "0c9d7f5e1a2b3c4d5e6f708192a3b4c5"] {
            assert!(!is_trivial(sound.as_bytes()), "{sound}");
        }
        assert!(bits(b"correct horse battery staple") < 80.0);
        assert!(bits(b"12345678901234567890123456789012345678901234567890") < 80.0);
        assert!(bits(b"q7Zp0LmXw93KfBt6RcYd81Vh") > 80.0);
        // Random, with what looks like a pattern in it.
        assert!(bits(b"6c38ca0b5957d4ce7014882bc129dccb") > 80.0);
        assert!(bits(b"YAhJXmdQ3udG7ZA1wsDddc0xcp79607f") > 80.0);
        assert!(bits(b"Tr0ub4dor&3 Tr0ub4dor&3 Tr0ub4dor&3") < 80.0);
        assert!(bits(b"0c9d7f5e1a2b3c4d5e6f708192a3b4c5") > 80.0);
        // Longer than what the library has numbers for.
        assert!(bits(b"the-password-of-the-production-database-is-hunter2") < 80.0);
    }
}
