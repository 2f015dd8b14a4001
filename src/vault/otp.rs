//! One-time codes by time (TOTP, RFC 6238) and by counter (HOTP, RFC 4226), from what a site hands out: an `otpauth://` URI as authenticator
//! apps read it, or its bare base32 secret.
//!
//! `otpauth://totp/LABEL?secret=BASE32[&algorithm=SHA1|SHA256|SHA512][&digits=6..8][&period=SECONDS]`, and `otpauth://hotp/…` with `counter=N`.
//! Other parameters are left alone. No error has a word of the value.

use zeroize::Zeroizing;

use super::error::{Error, ErrorKind, Result};
use crate::crypto::{OtpHash, otp_number};
use crate::secret::{OtpKey, SecretValue};

const SCHEME: &str = "otpauth://";

/// What a value says about its codes.
pub struct OneTime {
    key: OtpKey,
    hash: OtpHash,
    digits: u32,
    moving: Moving,
}

/// What makes each code another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moving {
    /// The time, in steps of so many seconds.
    Time(u64),
    /// A counter, which both sides move on with each code: the one of the next code.
    Counter(u64),
}

impl OneTime {
    /// Reads a value: the URI, or the secret alone, with a code of six digits every 30 seconds.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if it is neither.
    pub fn parse(value: &SecretValue) -> Result<Self> {
        let text = text(value)?;
        match after_scheme(text) {
            Some(rest) => parse_uri(rest),
            None => {
                let key = bare(text)
                    .ok_or_else(|| malformed("it is neither an otpauth:// URI nor a base32 secret of 16 digits or more"))?;
                Ok(Self { key, hash: OtpHash::Sha1, digits: 6, moving: Moving::Time(30) })
            }
        }
    }

    /// What makes each code another one.
    pub fn moving(&self) -> Moving {
        self.moving
    }

    /// The code at `now`, in milliseconds since 1970; by counter, the one of the counter as it is.
    pub fn code(&self, now: u64) -> SecretValue {
        let counter = match self.moving {
            Moving::Time(period) => now / 1000 / period,
            Moving::Counter(counter) => counter,
        };
        let number = otp_number(self.hash, &self.key, counter) % 10_u32.pow(self.digits);
        let text = Zeroizing::new(format!("{number:0width$}", width = self.digits as usize));
        SecretValue::from(text.as_str())
    }

    /// For how many seconds the code at `now` still holds; by counter, until it is used.
    pub fn seconds_left(&self, now: u64) -> Option<u64> {
        match self.moving {
            Moving::Time(period) => Some(period - now / 1000 % period),
            Moving::Counter(_) => None,
        }
    }
}

/// The value as an `otpauth://` URI: as it is if it is one, else the secret under the label `name`.
pub fn uri(value: &SecretValue, name: &str) -> Result<SecretValue> {
    OneTime::parse(value)?;
    let text = text(value)?;
    if after_scheme(text).is_some() {
        return Ok(SecretValue::from(text));
    }
    let mut uri = Zeroizing::new(String::with_capacity(SCHEME.len() + 32 + 3 * name.len() + text.len()));
    uri.push_str(SCHEME);
    uri.push_str("totp/");
    uri.push_str(&percent(name));
    uri.push_str("?secret=");
    uri.extend(text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()));
    Ok(SecretValue::from(uri.as_str()))
}

/// The URI with its counter moved on by one, and nothing else changed.
///
/// # Errors
/// [`ErrorKind::Usage`] if its codes do not go by a counter, or the counter is at its end.
pub fn advanced(value: &SecretValue) -> Result<SecretValue> {
    let Moving::Counter(counter) = OneTime::parse(value)?.moving else {
        return Err(malformed("its codes do not go by a counter"));
    };
    let next = counter.checked_add(1).ok_or_else(|| malformed("its counter is at its end"))?;
    let text = text(value)?;
    let (front, query) = text.split_once('?').ok_or_else(|| malformed("it has no parameters"))?;
    let mut uri = Zeroizing::new(String::with_capacity(text.len() + 20));
    uri.push_str(front);
    for (at, pair) in query.split('&').enumerate() {
        uri.push(if at == 0 { '?' } else { '&' });
        if pair.starts_with("counter=") {
            uri.push_str(&format!("counter={next}"));
        } else {
            uri.push_str(pair);
        }
    }
    Ok(SecretValue::from(uri.as_str()))
}

fn parse_uri(rest: &str) -> Result<OneTime> {
    let (front, query) = rest.split_once('?').ok_or_else(|| malformed("it has no parameters"))?;
    let (kind, _label) = front.split_once('/').ok_or_else(|| malformed("it has no label"))?;
    let (mut key, mut hash, mut digits, mut period, mut counter) = (None, None, None, None, None);
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "secret" => {
                once(&mut key, decode(value).and_then(|text| base32(&text)), "the secret is not base32, or there are two")?
            }
            "algorithm" => {
                once(&mut hash, algorithm(value), "the algorithm is none of SHA1, SHA256 and SHA512, or there are two")?
            }
            "digits" => once(
                &mut digits,
                value.parse().ok().filter(|digits| (6..=8).contains(digits)),
                "a code has 6, 7 or 8 digits, which is said once",
            )?,
            "period" => once(
                &mut period,
                value.parse().ok().filter(|period| *period > 0),
                "the period is a number of seconds, which is said once",
            )?,
            "counter" => once(&mut counter, value.parse().ok(), "the counter is a number, which is said once")?,
            // Codes of another alphabet (Steam's): what is printed here would be wrong.
            "encoder" => return Err(malformed("its codes are not of decimal digits")),
            _ => {}
        }
    }
    let moving = match (kind.to_ascii_lowercase().as_str(), counter) {
        ("totp", _) => Moving::Time(period.unwrap_or(30)),
        ("hotp", Some(counter)) => Moving::Counter(counter),
        ("hotp", None) => return Err(malformed("it goes by a counter and has none")),
        _ => return Err(malformed("its type is neither totp nor hotp")),
    };
    let key = key.ok_or_else(|| malformed("it has no secret"))?;
    Ok(OneTime { key, hash: hash.unwrap_or(OtpHash::Sha1), digits: digits.unwrap_or(6), moving })
}

fn once<T>(place: &mut Option<T>, value: Option<T>, what: &str) -> Result<()> {
    let value = value.filter(|_| place.is_none()).ok_or_else(|| malformed(what))?;
    *place = Some(value);
    Ok(())
}

fn algorithm(text: &str) -> Option<OtpHash> {
    match text.to_ascii_uppercase().replace('-', "").trim_start_matches("HMAC") {
        "SHA1" => Some(OtpHash::Sha1),
        "SHA256" => Some(OtpHash::Sha256),
        "SHA512" => Some(OtpHash::Sha512),
        _ => None,
    }
}

fn text(value: &SecretValue) -> Result<&str> {
    std::str::from_utf8(value.expose()).map(str::trim).map_err(|_| malformed("it is not text"))
}

fn after_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(rest)
}

/// A text as a part of a URI, with all but unreserved characters as `%XX` (RFC 3986, section 2.1).
pub(super) fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// A part of a URI with its `%XX` decoded (RFC 3986, section 2.1).
fn decode(text: &str) -> Option<Zeroizing<String>> {
    let mut decoded = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let digits = rest.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        decoded.push_str(&rest[..at]);
        // What is decoded here is base32, so that only ASCII has a meaning.
        decoded.push(char::from(u8::from_str_radix(digits, 16).ok()?));
        rest = &rest[at + 3..];
    }
    decoded.push_str(rest);
    Some(decoded)
}

/// A secret alone: of 80 bits or more, which is the least that sites hand out, and in groups of one size if in groups. Else many a passphrase would
/// be taken for one.
fn bare(text: &str) -> Option<OtpKey> {
    let digits = text.trim_end_matches('=');
    let size = digits.find([' ', '-']).unwrap_or(digits.len());
    let mut groups = digits.split([' ', '-']).rev();
    let even = groups.next().is_some_and(|last| last.len() <= size) && groups.all(|group| group.len() == size);
    base32(text).filter(|key| even && key.expose().len() >= 10)
}

/// Base32 (RFC 4648, section 6) as people copy it: either case, in groups, with padding or without. Bits behind the last whole byte are not looked
/// at, because authenticator apps do not either.
pub(super) fn base32(text: &str) -> Option<OtpKey> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() * 5 / 8 + 1));
    let (mut held, mut bits, mut count) = (0_u32, 0, 0_usize);
    for byte in text.trim_end_matches('=').bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
        let digit = match byte.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            number @ b'2'..=b'7' => number - b'2' + 26,
            _ => return None,
        };
        held = (held << 5 | u32::from(digit)) & 0xfff;
        bits += 5;
        count += 1;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    // With 1, 3 or 6 digits in its last group of eight, a text was cut.
    (count > 0 && ![1, 3, 6].contains(&(count % 8))).then(|| OtpKey::new(bytes))
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::Usage, "not_otp", format!("the value is nothing that one-time codes are made from: {what}"))
        .hint("it is what a site shows when codes are set up: an otpauth:// URI, or a base32 secret; of JSON, name the field")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KEY20: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    const KEY32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA";
    const KEY64: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNA";

    fn parse(text: &str) -> Result<OneTime> {
        OneTime::parse(&SecretValue::from(text))
    }

    fn code(text: &str, seconds: u64) -> String {
        shown(&parse(text).unwrap().code(seconds * 1000))
    }

    fn shown(value: &SecretValue) -> String {
        String::from_utf8(value.expose().to_vec()).unwrap()
    }

    /// RFC 6238, appendix B, with the keys of its erratum 2866: one for each hash, as long as its output.
    #[test]
    fn codes_by_time_of_the_specification() {
        for (seconds, sha1, sha256, sha512) in [
            (59, "94287082", "46119246", "90693936"),
            (1_111_111_109, "07081804", "68084774", "25091201"),
            (1_111_111_111, "14050471", "67062674", "99943326"),
            (1_234_567_890, "89005924", "91819424", "93441116"),
            (2_000_000_000, "69279037", "90698825", "38618901"),
            (20_000_000_000, "65353130", "77737706", "47863826"),
        ] {
            for (algorithm, key, expected) in [("SHA1", KEY20, sha1), ("SHA256", KEY32, sha256), ("SHA512", KEY64, sha512)] {
                let uri = format!("otpauth://totp/x?secret={key}&algorithm={algorithm}&digits=8");
                assert_eq!(code(&uri, seconds), expected, "{algorithm} at {seconds}");
            }
        }
    }

    /// RFC 4226, appendix D.
    #[test]
    fn codes_by_counter_of_the_specification() {
        let expected = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
        let mut value = SecretValue::from(format!("otpauth://hotp/x?counter=0&secret={KEY20}&issuer=a%20b").as_str());
        for (counter, code) in (0..).zip(expected) {
            let otp = OneTime::parse(&value).unwrap();
            assert_eq!((otp.moving(), otp.seconds_left(7)), (Moving::Counter(counter), None));
            assert_eq!(shown(&otp.code(0)), code);
            value = advanced(&value).unwrap();
            assert_eq!(shown(&value), format!("otpauth://hotp/x?counter={}&secret={KEY20}&issuer=a%20b", counter + 1));
        }
        let last = format!("otpauth://hotp/x?secret={KEY20}&counter={}", u64::MAX);
        assert!(parse(&last).is_ok() && advanced(&SecretValue::from(last.as_str())).is_err());
        assert!(advanced(&SecretValue::from(KEY20)).is_err());
    }

    #[test]
    fn secrets_are_read_as_people_copy_them() {
        let bare = code(KEY20, 59);
        assert_eq!(bare, "287082");
        for text in [
            "gezd gnbv gy3t qojq gezd gnbv gy3t qojq",
            " GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n",
            "GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV-GY3T-QOJQ",
            "OTPAUTH://TOTP/x?secret=gezdgnbvgy3tqojqgezdgnbvgy3tqojq",
            "otpauth://totp/a%3Ab?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ%3D%3D&issuer=a&image=x&period=30&digits=6&algorithm=sha-1",
            "otpauth://totp/?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&algorithm=HmacSHA1",
        ] {
            assert_eq!(code(text, 59), bare, "{text}");
        }
        assert_eq!(code("otpauth://totp/x?secret=MZXW6YQ", 0), code("otpauth://totp/x?secret=MZXW6YQ=", 0));
        assert_eq!(code("GEZDGNBVGY3TQOJQGE", 0), code("GEZDGNBVGY3TQOJQGE======", 0));
        assert_eq!(code(&format!("otpauth://totp/x?secret={KEY20}&digits=7&period=60"), 119), "4287082");
        let otp = parse(KEY20).unwrap();
        assert_eq!((otp.seconds_left(59_999), otp.seconds_left(60_000), otp.seconds_left(0)), (Some(1), Some(30), Some(30)));
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_repeated() {
        for text in [
            "",
            "=",
            "A",
            "ABC",
            "correct horse batteries stapled",
            "correct-horse",
            "GEZDGNBVGY3TQOJ",
            "GEZDGNBVGY3TQOJ8",
            "{\"otp\":\"GEZDGNBV\"}",
            "otpauth://totp/x",
            "otpauth://totp?secret=GEZDGNBV",
            "otpauth://totp/x?secret=",
            "otpauth://totp/x?secret=G%",
            "otpauth://totp/x?secret=G%4",
            "otpauth://totp/x?secret=G%\u{e9}EZDGNBV",
            "otpauth://totp/x?secret=GEZDGNBV&secret=GEZDGNBV",
            "otpauth://totp/x?secret=GEZDGNBV&digits=5",
            "otpauth://totp/x?secret=GEZDGNBV&digits=9",
            "otpauth://totp/x?secret=GEZDGNBV&period=0",
            "otpauth://totp/x?secret=GEZDGNBV&algorithm=MD5",
            "otpauth://totp/x?secret=GEZDGNBV&encoder=steam",
            "otpauth://hotp/x?secret=GEZDGNBV",
            "otpauth://hotp/x?secret=GEZDGNBV&counter=-1",
            "otpauth://steam/x?secret=GEZDGNBV",
            "otpauth-migration://offline?data=GEZDGNBV",
        ] {
            let error = parse(text).err().unwrap_or_else(|| unreachable!("{text} is taken"));
            assert_eq!((error.kind(), error.code()), (ErrorKind::Usage, "not_otp"), "{text}");
            assert!(!error.to_string().contains("GEZD") && !error.to_string().contains("horse"), "{error}");
        }
        assert!(OneTime::parse(&SecretValue::new(vec![0xff; 8].into())).is_err());
    }

    #[test]
    fn a_secret_becomes_a_uri_and_a_uri_stays_as_it_is() {
        let made = uri(&SecretValue::from("gezd gnbv gy3t qojq=="), "home/wi fi:ä").unwrap();
        assert_eq!(shown(&made), "otpauth://totp/home%2Fwi%20fi%3A%C3%A4?secret=GEZDGNBVGY3TQOJQ");
        assert_eq!(code(&shown(&made), 5), code("gezdgnbvgy3tqojq", 5));
        let given = "otpauth://totp/x?issuer=y&secret=gezdgnbv";
        assert_eq!(shown(&uri(&SecretValue::from(given), "name").unwrap()), given);
        assert!(uri(&SecretValue::from("no secret that is long"), "name").is_err());
    }
}
