//! The forms in which a value may be printed.

use zeroize::Zeroizing;

/// How a value was written where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// As it is.
    Plain,
    /// In base64 (RFC 4648, sections 4 and 5).
    Base64,
    /// In base64, and that in base64 again.
    Base64Twice,
    /// In hex digits.
    Hex,
    /// With characters as `%XX` (RFC 3986, section 2.1).
    Url,
    /// As a JSON string has it (RFC 8259, section 7).
    Json,
    /// As it stands between single quotes in a shell script.
    Shell,
    /// In UTF-16, of either order.
    Utf16,
}

impl Form {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Base64 => "base64",
            Self::Base64Twice => "base64 twice",
            Self::Hex => "hex",
            Self::Url => "url",
            Self::Json => "json",
            Self::Shell => "shell",
            Self::Utf16 => "utf-16",
        }
    }
}

type Bytes = Zeroizing<Vec<u8>>;

/// Every form of a value but the plain one.
pub(super) fn encoded(value: &[u8], add: &mut dyn FnMut(Form, Bytes)) {
    for url_safe in [false, true] {
        for place in 0..3 {
            let core = base64_core(value, place, url_safe);
            if !url_safe {
                for outer in 0..3 {
                    add(Form::Base64Twice, base64_core(&core, outer, false));
                }
            }
            add(Form::Base64, core);
        }
    }
    for digits in [LOWER, UPPER] {
        let mut hex = with_room(value.len() * 2);
        value.iter().for_each(|byte| hex.extend(pair(*byte, digits)));
        add(Form::Hex, hex);
    }
    for kept in KEPT_IN_URLS {
        for digits in [LOWER, UPPER] {
            add(Form::Url, url(value, kept, digits));
        }
    }
    if let Ok(text) = std::str::from_utf8(value) {
        for style in [JsonStyle::Least, JsonStyle::Slash, JsonStyle::Ascii(LOWER), JsonStyle::Ascii(UPPER), JsonStyle::Html] {
            let once = json(text, style);
            if *once != value
                && let Ok(text) = std::str::from_utf8(&once)
            {
                add(Form::Json, json(text, style));
            }
            add(Form::Json, once);
        }
    }
    if value.contains(&b'\'') {
        let mut quoted = with_room(value.len() * 4);
        for byte in value {
            match byte {
                b'\'' => quoted.extend(br"'\''"),
                other => quoted.push(*other),
            }
        }
        add(Form::Shell, quoted);
    }
}

/// A text in UTF-16, of both orders, without a first or last zero: so most texts are the same in both.
pub(super) fn utf16(text: &str) -> [Bytes; 2] {
    [u16::to_le_bytes, u16::to_be_bytes].map(|bytes| {
        let mut wide = with_room(text.len() * 2);
        text.encode_utf16().for_each(|unit| wide.extend(bytes(unit)));
        let first = usize::from(wide.first() == Some(&0));
        let last = wide.len() - usize::from(wide.last() == Some(&0));
        Zeroizing::new(wide[first..last].to_vec())
    })
}

/// Room for all of it from the start: growing would leave copies behind unwiped.
fn with_room(length: usize) -> Bytes {
    Zeroizing::new(Vec::with_capacity(length))
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

fn pair(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The base64 characters that a value alone decides, whatever stands before and behind it, if `place` bytes of its first group of three are
/// somebody else's.
fn base64_core(value: &[u8], place: usize, url_safe: bool) -> Bytes {
    let alphabet = if url_safe { URL_SAFE } else { STANDARD };
    let first = (place * 8).div_ceil(6);
    let behind = (place + value.len()) * 8 / 6;
    let mut core = with_room(behind.saturating_sub(first));
    for character in first..behind {
        let bit = character * 6 - place * 8;
        let at = |index: usize| u32::from(value.get(index).copied().unwrap_or(0));
        let pair = at(bit / 8) << 8 | at(bit / 8 + 1);
        core.push(alphabet[(pair >> (10 - bit % 8) & 63) as usize]);
    }
    core
}

/// What encoders leave alone beside letters and digits; a `+` first stands for a blank. RFC 3986; forms; `encodeURIComponent`; `encodeURI`.
const KEPT_IN_URLS: [&[u8]; 4] = [b"-._~", b"+-._*", b"-._~!*'()", b"-._~!*'();,/?:@&=+$#"];

fn url(value: &[u8], kept: &[u8], digits: &[u8; 16]) -> Bytes {
    let (plus, kept) = match kept {
        [b'+', rest @ ..] => (true, rest),
        kept => (false, kept),
    };
    let mut out = with_room(value.len() * 3);
    for byte in value {
        match byte {
            b' ' if plus => out.push(b'+'),
            byte if byte.is_ascii_alphanumeric() || kept.contains(byte) => out.push(*byte),
            byte => {
                out.push(b'%');
                out.extend(pair(*byte, digits));
            }
        }
    }
    out
}

/// What is escaped beyond what must be.
#[derive(Clone, Copy)]
enum JsonStyle<'a> {
    Least,
    Slash,
    Ascii(&'a [u8; 16]),
    Html,
}

fn json(text: &str, style: JsonStyle<'_>) -> Bytes {
    let digits = match style {
        JsonStyle::Ascii(digits) => digits,
        _ => LOWER,
    };
    let mut out = with_room(text.len() * 6);
    let unit = |out: &mut Bytes, unit: u16| {
        out.extend(b"\\u");
        unit.to_be_bytes().into_iter().for_each(|byte| out.extend(pair(byte, digits)));
    };
    for character in text.chars() {
        let short = match character {
            '"' => Some(b'"'),
            '\\' => Some(b'\\'),
            '\n' => Some(b'n'),
            '\r' => Some(b'r'),
            '\t' => Some(b't'),
            '\u{8}' => Some(b'b'),
            '\u{c}' => Some(b'f'),
            '/' if matches!(style, JsonStyle::Slash) => Some(b'/'),
            _ => None,
        };
        let long = match style {
            _ if character < ' ' => true,
            JsonStyle::Ascii(_) => character > '~',
            JsonStyle::Html => matches!(character, '<' | '>' | '&' | '\'' | '\u{2028}' | '\u{2029}'),
            _ => false,
        };
        match short {
            Some(letter) => out.extend([b'\\', letter]),
            None if long => character.encode_utf16(&mut [0; 2]).iter().for_each(|half| unit(&mut out, *half)),
            None => out.extend(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn forms(value: &[u8]) -> Vec<(Form, Vec<u8>)> {
        let mut all = Vec::new();
        encoded(value, &mut |form, bytes| all.push((form, bytes.to_vec())));
        all
    }

    fn has(value: &[u8], form: Form, text: &str) -> bool {
        forms(value).contains(&(form, text.as_bytes().to_vec()))
    }

    #[test]
    fn each_form_is_what_encoders_write() {
        let value = "a/b \"é\"\n<&>'+";
        for (form, text) in [
            (Form::Hex, "612f622022c3a9220a3c263e272b"),
            (Form::Hex, "612F622022C3A9220A3C263E272B"),
            (Form::Url, "a%2Fb%20%22%C3%A9%22%0A%3C%26%3E%27%2B"),
            (Form::Url, "a%2fb%20%22%c3%a9%22%0a%3c%26%3e%27%2b"),
            (Form::Url, "a%2Fb+%22%C3%A9%22%0A%3C%26%3E%27%2B"),
            (Form::Url, "a%2Fb%20%22%C3%A9%22%0A%3C%26%3E'%2B"),
            (Form::Url, "a/b%20%22%C3%A9%22%0A%3C&%3E'+"),
            (Form::Json, r#"a/b \"é\"\n<&>'+"#),
            (Form::Json, r#"a\/b \"é\"\n<&>'+"#),
            (Form::Json, r#"a/b \"\u00e9\"\n<&>'+"#),
            (Form::Json, r#"a/b \"\u00E9\"\n<&>'+"#),
            (Form::Json, r#"a/b \"é\"\n\u003c\u0026\u003e\u0027+"#),
            (Form::Json, r#"a/b \\\"é\\\"\\n<&>'+"#),
            (Form::Shell, "a/b \"é\"\n<&>'\\''+"),
        ] {
            assert!(has(value.as_bytes(), form, text), "{text}");
        }
        assert!(has("x😀\u{1}".as_bytes(), Form::Json, r"x\ud83d\ude00\u0001"));
    }

    proptest! {
        #[test]
        fn base64_is_found_wherever_the_value_stands(
            value in proptest::collection::vec(any::<u8>(), 6..40), before in proptest::collection::vec(any::<u8>(), 0..7),
            behind in proptest::collection::vec(any::<u8>(), 0..7)
        ) {
            let whole = [before, value.clone(), behind].concat();
            let inside = |text: &str, form| {
                forms(&value).iter().any(|(found, core)| *found == form && text.contains(std::str::from_utf8(core).unwrap()))
            };
            let once = STANDARD.encode(&whole);
            assert!(inside(&once, Form::Base64));
            assert!(inside(&URL_SAFE_NO_PAD.encode(&whole), Form::Base64));
            assert!(inside(&STANDARD.encode(format!("x{once}")), Form::Base64Twice));
        }

        #[test]
        fn json_is_what_the_library_writes(value in ".{0,40}") {
            let text = serde_json::to_string(&value).unwrap();
            prop_assert!(has(value.as_bytes(), Form::Json, &text[1..text.len() - 1]));
        }
    }
}
