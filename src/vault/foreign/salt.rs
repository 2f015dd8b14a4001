//! Salts as text.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The bytes that the text of a salt stands for. `hex:`, `b64:` and `text:` say it; otherwise it is guessed as the original library does: hex digits
/// of even number, else base64, else the text itself.
pub(super) fn normalise(text: &str) -> std::result::Result<Vec<u8>, &'static str> {
    if let Some(text) = text.strip_prefix("text:") {
        return Ok(text.as_bytes().to_vec());
    }
    if let Some(digits) = text.strip_prefix("hex:") {
        return from_hex(digits).ok_or("is not hex digits");
    }
    if let Some(encoded) = text.strip_prefix("b64:") {
        let encoded = encoded.trim_end_matches('=');
        return URL_SAFE_NO_PAD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded)).map_err(|_| "is not base64");
    }
    let even = text.chars().count().is_multiple_of(2);
    let guessed = if even { from_hex(text) } else { None };
    Ok(guessed.or_else(|| from_lenient_base64(text)).unwrap_or_else(|| text.as_bytes().to_vec()))
}

/// Pairs of hex digits, with white space between them as Python's `bytes.fromhex` allows it.
pub(in crate::vault) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut rest = text.chars();
    while let Some(first) = rest.next() {
        // What Python takes for white space here, which is one more than Rust does.
        if first.is_ascii_whitespace() || first == '\u{b}' {
            continue;
        }
        let (high, low) = (first.to_digit(16)?, rest.next()?.to_digit(16)?);
        bytes.push((high * 16 + low) as u8);
    }
    Some(bytes)
}

/// Base64 as Python's `urlsafe_b64decode` reads it: what is not of the alphabet is passed over, and behind whole padding nothing is read.
fn from_lenient_base64(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut position, mut left, mut pads) = (0, 0u8, 0);
    for byte in text.bytes() {
        let digit = match byte {
            b'=' => {
                pads += usize::from(position >= 2);
                if position >= 2 && position + pads >= 4 {
                    return Some(bytes);
                }
                continue;
            }
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => continue,
        };
        pads = 0;
        match position {
            0 => left = digit,
            1 => {
                bytes.push(left << 2 | digit >> 4);
                left = digit & 0x0f;
            }
            2 => {
                bytes.push(left << 4 | digit >> 2);
                left = digit & 0x03;
            }
            _ => bytes.push(left << 6 | digit),
        }
        position = (position + 1) % 4;
    }
    (position == 0).then_some(bytes)
}
