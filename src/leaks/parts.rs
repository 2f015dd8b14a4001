//! Which parts of a value are strong enough alone to be published as fingerprints.
//!
//! Of `postgres://app:hunter2@db.example.com/app` everything but one word can be known to whoever tries words. So what has a frame is taken apart at
//! its signs, what is encoded text is decoded, and only the parts that are strong without the rest are handed on. A password of letters and signs has
//! no frame: no word stands in it.

use base64::Engine as _;
use zeroize::Zeroizing;
use zxcvbn::matching::Match;
use zxcvbn::matching::patterns::MatchPattern;

use super::fingerprint::{LENIENT, decode_hex, is_base64, standard_base64};
use super::strength::{RUN, bits, runs, shannon};

/// Where a text with a frame is taken apart, first at these, which base64 does not have, then at what it has.
const SIGNS: [&[u8]; 3] = [b":@&;,\"'`{}<>()[]|\\?# \t\r\n\x0b\x0c", b"=", b"/"];
/// What has more parts is no password of letters and signs.
const MOST_PARTS: usize = 16;
/// So often encoded text may be encoded text again.
const DEPTH: usize = 3;

/// Hands on the parts of a value that withstand `least` bits of guessing, whatever is known of the rest.
pub(super) fn strong(value: &[u8], least: f64, found: &mut dyn FnMut(&[u8])) {
    take_apart(value, least, DEPTH, found);
}

fn take_apart(text: &[u8], least: f64, depth: usize, found: &mut dyn FnMut(&[u8])) {
    let text = text.trim_ascii();
    // No part of it can have more.
    if shannon(text) < least {
        return;
    }
    if let Some(inner) = decoded(text).filter(|_| depth > 0) {
        return take_apart(&inner, least, depth - 1, found);
    }
    if !has_frame(text) {
        if bits(text) >= least {
            found(text);
        }
        return;
    }
    for signs in SIGNS {
        let is = |byte: &u8| signs.contains(byte);
        if text.iter().any(is) {
            return text.split(is).for_each(|part| take_apart(part, least, depth, found));
        }
    }
}

/// Whether some of a text may be known, and the rest not: it has several parts, and one is or has a word, or the first names the others (`KEY=`).
fn has_frame(text: &[u8]) -> bool {
    let is_sign = |byte: &u8| SIGNS.iter().any(|signs| signs.contains(byte));
    let parts = text.split(is_sign).filter(|part| !part.is_empty()).count();
    let name = text.iter().position(is_sign).unwrap_or(0);
    let is_named = name > 0 && !text[0].is_ascii_digit() && matches!(text[name], b'=' | b':');
    parts > MOST_PARTS || (parts > 1 && (is_named || has_word(text)))
}

fn has_word(text: &[u8]) -> bool {
    let text = Zeroizing::new(String::from_utf8_lossy(text).into_owned());
    runs(&text, RUN).any(|run| {
        // In a run of few characters the library finds what there is.
        zxcvbn::zxcvbn(run, &[]).sequence().iter().any(|part| is_word(part, run))
    })
}

/// A word of five letters or more; one of four, which random text often has, if no other letters stand beside it.
fn is_word(part: &Match, run: &str) -> bool {
    let MatchPattern::Dictionary(word) = &part.pattern else { return false };
    let letter = |at: Option<usize>| at.and_then(|at| run.chars().nth(at)).is_some_and(char::is_alphabetic);
    let alone = !letter(part.i.checked_sub(1)) && !letter(Some(part.j + 1));
    !word.l33t && !word.reversed && part.j + 1 - part.i >= if alone { 4 } else { 5 }
}

/// The text that base64 or hex digits stand for, if it is text. Random bytes of this length are none.
fn decoded(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    const LEAST: usize = 16;
    let digits = text.trim_ascii_end();
    let unpadded = &digits[..digits.iter().rposition(|byte| *byte != b'=').map_or(0, |at| at + 1)];
    let bytes = match () {
        () if unpadded.len() >= LEAST * 2 && digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit) => {
            Zeroizing::new(decode_hex(digits))
        }
        () if unpadded.len() >= LEAST && unpadded.len() % 4 != 1 && unpadded.iter().copied().all(is_base64) => {
            Zeroizing::new(LENIENT.decode(&*Zeroizing::new(standard_base64(unpadded))).ok()?)
        }
        () => return None,
    };
    let plain = |c: char| !c.is_control() || c.is_whitespace();
    std::str::from_utf8(&bytes).is_ok_and(|text| text.chars().all(plain)).then_some(bytes)
}
