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

/// How many bits of guessing a value withstands, estimated from below: by its characters' frequencies, and where it has words or patterns that
/// guessers know, by these.
pub fn bits(value: &[u8]) -> f64 {
    let frequencies = shannon(value);
    let each = frequencies / value.len().max(1) as f64;
    let text = beginning(value);
    // Words are not better for the blanks between them.
    let joined = zeroize::Zeroizing::new(text.chars().filter(|c| c.is_alphanumeric()).collect::<String>());
    [&text, &joined].into_iter().fold(frequencies, |least, text| {
        // Part by part: the library's own total is a 64-bit number, and of what has no pattern it knows only the length.
        let parts = zxcvbn::zxcvbn(text, &[]);
        let parts = parts.sequence().iter().map(|part| match (&part.pattern, part.guesses) {
            (MatchPattern::BruteForce, _) | (_, None) => part.token.len() as f64 * each,
            (_, Some(guesses)) => (guesses.max(1) as f64).log2().min(part.token.len() as f64 * each),
        });
        let sum: f64 = parts.sum();
        // What lies behind the characters that the library looks at is not counted.
        least.min(sum)
    })
}

fn beginning(value: &[u8]) -> zeroize::Zeroizing<String> {
    zeroize::Zeroizing::new(String::from_utf8_lossy(&value[..value.len().min(LOOKED_AT * 4)]).chars().take(LOOKED_AT).collect())
}

/// The length times the entropy of the distribution of its bytes.
fn shannon(value: &[u8]) -> f64 {
    let mut counts = BTreeMap::new();
    value.iter().for_each(|byte| *counts.entry(byte).or_insert(0_u32) += 1);
    let length = value.len() as f64;
    counts.values().map(|count| f64::from(*count) * (length / f64::from(*count)).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
