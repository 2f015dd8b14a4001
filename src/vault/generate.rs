//! Generators of values: `random:32`, `hex:32`, `base64url:32`, `alnum:24`, `password:20`, `words:6`, `uuid`, `pin:6`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::error::{Error, Result};
use crate::crypto;
use crate::secret::SecretValue;

/// What to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generator {
    /// Random bytes in standard base64, by number of bytes.
    Random(usize),
    /// Random bytes in hex digits, by number of bytes.
    Hex(usize),
    /// Random bytes in URL-safe base64 without padding, by number of bytes.
    Base64Url(usize),
    /// Letters and digits, by number of characters.
    Alnum(usize),
    /// Letters, digits and punctuation, at least one of each kind, by number of characters.
    Password(usize),
    /// Words of a list of 7,776, separated by dashes.
    Words(usize),
    /// A version 4 UUID (RFC 9562).
    Uuid,
    /// Decimal digits, by number of digits.
    Pin(usize),
}

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &[u8] = b"0123456789";
// Without quotes, backslash, backtick, dollar and blank: a password that survives being pasted into a shell or a URL form.
const PUNCTUATION: &[u8] = b"!#%&()*+,-./:;<=>?@[]^_{|}~";

impl std::str::FromStr for Generator {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, size) = match text.split_once(':') {
            Some((kind, size)) => {
                (kind, Some(size.parse::<usize>().map_err(|_| Error::usage(format!("'{size}' is not a size")).hint(KINDS))?))
            }
            None => (text, None),
        };
        let size_in = |default: usize, least: usize, most: usize| match size.unwrap_or(default) {
            size if (least..=most).contains(&size) => Ok(size),
            _ => Err(Error::usage(format!("the size of {kind} is {least} to {most}"))),
        };
        match kind {
            "random" => Ok(Self::Random(size_in(32, 1, 65_536)?)),
            "hex" => Ok(Self::Hex(size_in(32, 1, 65_536)?)),
            "base64url" => Ok(Self::Base64Url(size_in(32, 1, 65_536)?)),
            "alnum" => Ok(Self::Alnum(size_in(24, 1, 65_536)?)),
            "password" => Ok(Self::Password(size_in(20, 4, 65_536)?)),
            "words" => Ok(Self::Words(size_in(6, 1, 1024)?)),
            "pin" => Ok(Self::Pin(size_in(6, 1, 1024)?)),
            "uuid" if size.is_none() => Ok(Self::Uuid),
            "uuid" => Err(Error::usage("uuid has no size")),
            _ => Err(Error::usage(format!("'{kind}' is not a kind of generator")).hint(KINDS)),
        }
    }
}

impl std::fmt::Display for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Random(size) => write!(f, "random:{size}"),
            Self::Hex(size) => write!(f, "hex:{size}"),
            Self::Base64Url(size) => write!(f, "base64url:{size}"),
            Self::Alnum(size) => write!(f, "alnum:{size}"),
            Self::Password(size) => write!(f, "password:{size}"),
            Self::Words(size) => write!(f, "words:{size}"),
            Self::Uuid => f.write_str("uuid"),
            Self::Pin(size) => write!(f, "pin:{size}"),
        }
    }
}

const KINDS: &str = "kinds: random:32 hex:32 base64url:32 alnum:24 password:20 words:6 uuid pin:6";

impl Generator {
    /// A new value.
    pub fn generate(self) -> Result<SecretValue> {
        let text: Zeroizing<String> = match self {
            Self::Random(bytes) => Zeroizing::new(STANDARD.encode(&*random(bytes)?)),
            Self::Hex(bytes) => hex(&random(bytes)?),
            Self::Base64Url(bytes) => Zeroizing::new(URL_SAFE_NO_PAD.encode(&*random(bytes)?)),
            Self::Alnum(length) => pick(length, &[LOWER, UPPER, DIGITS].concat())?,
            Self::Pin(length) => pick(length, DIGITS)?,
            Self::Password(length) => password(length)?,
            Self::Words(count) => words(count)?,
            Self::Uuid => uuid()?,
        };
        Ok(SecretValue::from(text.as_str()))
    }
}

fn random(bytes: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut buffer = Zeroizing::new(vec![0; bytes]);
    crypto::random_fill(&mut buffer)?;
    Ok(buffer)
}

/// A number below `limit`, each equally likely: numbers that would favour the first ones are drawn again.
fn below(limit: u32) -> Result<usize> {
    let reject = u32::MAX - u32::MAX % limit;
    loop {
        let number = u32::from_le_bytes(crypto::random()?);
        if number < reject {
            return Ok((number % limit) as usize);
        }
    }
}

fn pick(length: usize, alphabet: &[u8]) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(length));
    for _ in 0..length {
        text.push(char::from(alphabet[below(alphabet.len() as u32)?]));
    }
    Ok(text)
}

/// Drawn whole until each kind of character is in it, which leaves every such password equally likely.
fn password(length: usize) -> Result<Zeroizing<String>> {
    let kinds = [LOWER, UPPER, DIGITS, PUNCTUATION];
    let alphabet = kinds.concat();
    loop {
        let text = pick(length, &alphabet)?;
        if kinds.iter().all(|kind| text.bytes().any(|byte| kind.contains(&byte))) {
            return Ok(text);
        }
    }
}

/// 7,776 words, one a line: one text without pointers, which would all have to be relocated when the program starts.
const WORDS: &str = include_str!(concat!(env!("OUT_DIR"), "/words.txt"));

fn words(count: usize) -> Result<Zeroizing<String>> {
    let list: Vec<&str> = WORDS.lines().collect();
    let mut text = Zeroizing::new(String::with_capacity(count * 10));
    for index in 0..count {
        if index > 0 {
            text.push('-');
        }
        text.push_str(list[below(list.len() as u32)?]);
    }
    Ok(text)
}

fn uuid() -> Result<Zeroizing<String>> {
    let mut bytes = random(16)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    Ok(Zeroizing::new(parts.join("-")))
}

fn hex(bytes: &[u8]) -> Zeroizing<String> {
    // Room for all of it from the start: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(2 * bytes.len()));
    for byte in bytes {
        text.extend([byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn make(spec: &str) -> String {
        let value = spec.parse::<Generator>().unwrap().generate().unwrap();
        String::from_utf8(value.expose().to_vec()).unwrap()
    }

    #[test]
    fn shapes() {
        assert_eq!(STANDARD.decode(make("random:32")).unwrap().len(), 32);
        assert_eq!(make("hex:16").len(), 32);
        assert_eq!(URL_SAFE_NO_PAD.decode(make("base64url:32")).unwrap().len(), 32);
        assert!(make("alnum:24").chars().all(|c| c.is_ascii_alphanumeric()) && make("alnum").len() == 24);
        assert!(make("pin:6").len() == 6 && make("pin:6").chars().all(|c| c.is_ascii_digit()));
        // The EFF's large list of July 2016: sorted, each word once, of 3 to 9 characters.
        let list: Vec<&str> = WORDS.lines().collect();
        assert_eq!((list.len(), list[0], list[7775]), (7776, "abacus", "zoom"));
        assert!(list.is_sorted_by(|one, next| one < next) && list.iter().all(|word| (3..=9).contains(&word.len())));
        assert!(make("words:6").split('-').count() >= 6);
        let uuid = make("uuid");
        assert!(uuid.len() == 36 && uuid.as_bytes()[14] == b'4' && b"89ab".contains(&uuid.as_bytes()[19]));
        for _ in 0..50 {
            let password = make("password:4");
            assert!(password.chars().any(|c| c.is_ascii_punctuation()) && password.chars().any(|c| c.is_ascii_digit()));
        }
        assert_ne!(make("hex:32"), make("hex:32"));
    }

    #[test]
    fn bad_specifications() {
        for spec in ["", "hex:", "hex:0", "hex:x", "uuid:4", "nope", "password:3", "pin:-1"] {
            assert!(spec.parse::<Generator>().is_err(), "{spec}");
        }
    }

    #[test]
    fn every_number_below_a_limit_comes_about_equally_often() {
        let mut counts = [0; 27];
        for _ in 0..27_000 {
            counts[below(27).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
