//! A list of what to look for that gives nothing away: who has it and no key of the vault finds values, and cannot read them.
//!
//! For each value it holds the length, 16 bits of a hash over its first twelve bytes, by which a pass over a text finds where it may stand, and a
//! keyed hash of all of it, by which that is confirmed. The key lies in the list: it makes lists of two vaults incomparable, and hides nothing. What
//! can be guessed could therefore be confirmed by guessing, and stays out: only values of [`Fingerprints::LEAST_BITS`] are listed, and of a value that
//! has a frame (a URL, a setting, a document) only the parts that are so strong alone. A hash over the frame would confirm a guess of what is in it.

use std::collections::HashSet;

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

use super::forms::Form;
use super::lines::{Unwrapped, unwrap};
use super::parts;
use super::scanner::{Hit, lines};
use super::units::{self, Unit};
use crate::crypto::{CryptoError, Hash, keyed_hash, random};
use crate::format::record::Kind;
use crate::secret::SecretValue;

/// What the rolling hash sees at once. Every value of 80 bits is longer.
const WINDOW: usize = 12;

/// Values as they are found by whoever has no key.
#[derive(Serialize, Deserialize)]
pub struct Fingerprints {
    #[serde(rename = "vault_fingerprints")]
    version: u32,
    key: String,
    values: Vec<Fingerprint>,
    /// Name and hash of each, while the list is made.
    #[serde(skip)]
    known: HashSet<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct Fingerprint {
    name: String,
    length: usize,
    /// Of the beginning, in four hex digits.
    window: String,
    hash: String,
}

impl Fingerprints {
    /// The strength that a value must have: as often as the hash must be computed to find it by trial.
    pub const LEAST_BITS: f64 = 80.0;

    /// An empty list with a key of its own.
    pub fn new() -> Result<Self, CryptoError> {
        Ok(Self { version: 1, key: Hash(random()?).to_hex(), values: Vec::new(), known: HashSet::new() })
    }

    /// Adds the parts of a value that are strong enough; returns how many of its lines and leaves have none.
    pub fn add(&mut self, label: &str, value: &SecretValue, kind: Kind) -> usize {
        let key = key_bytes(&self.key);
        let rolling = Rolling::new(&key);
        let mut weak = 0;
        units::each(label, value, kind, &mut |label, unit| {
            // Lines and leaves come one by one: all of them together would confirm a weak one to whoever knows the others.
            let bytes = unit.bytes().trim_ascii();
            if bytes.is_empty() || bytes.contains(&b'\n') || matches!(unit, Unit::Tree(_)) {
                return;
            }
            let mut none = true;
            parts::strong(&unwrap(bytes), Self::LEAST_BITS, &mut |part| {
                if part.len() < WINDOW {
                    return;
                }
                none = false;
                let hash = keyed_hash(&key, part).to_hex();
                if self.known.insert((label.to_owned(), hash.clone())) {
                    let window = format!("{:04x}", rolling.whole(&part[..WINDOW]));
                    self.values.push(Fingerprint { name: label.to_owned(), length: part.len(), window, hash });
                }
            });
            weak += usize::from(none);
        });
        weak
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The list as text.
    pub fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Reads a list; `None` if it is none, or of a newer version.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let list: Self = serde_json::from_slice(text).ok()?;
        let hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let sound = |one: &Fingerprint| one.length >= WINDOW && hex(&one.window, 4) && hex(&one.hash, 64);
        (list.version == 1 && hex(&list.key, 64) && list.values.iter().all(sound)).then_some(list)
    }
}

fn key_bytes(hex: &str) -> [u8; 32] {
    std::array::from_fn(|at| hex.get(at * 2..at * 2 + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or(0))
}

/// A hash of the last twelve bytes that costs the same for each byte, with a table that depends on the key.
struct Rolling([u32; 256]);

impl Rolling {
    fn new(key: &[u8; 32]) -> Self {
        Self(std::array::from_fn(|byte| {
            let hash = keyed_hash(key, &[b'w', byte as u8]).0;
            u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])
        }))
    }

    fn whole(&self, window: &[u8]) -> u16 {
        fold(window.iter().fold(0, |hash: u32, byte| hash.rotate_left(1) ^ self.0[usize::from(*byte)]))
    }

    fn slide(&self, hash: u32, out: u8, into: u8) -> u32 {
        hash.rotate_left(1) ^ self.0[usize::from(out)].rotate_left(WINDOW as u32) ^ self.0[usize::from(into)]
    }
}

fn fold(hash: u32) -> u16 {
    (hash ^ hash >> 16) as u16
}

/// Looks for the values of a list in documents that are in memory.
pub struct FingerprintScanner {
    list: Fingerprints,
    key: [u8; 32],
    rolling: Rolling,
    /// Which hashes of beginnings there are, a bit each.
    windows: Vec<u64>,
    by_window: HashMap<u16, Vec<usize>>,
    hashes: Vec<[u8; 32]>,
    /// The length of the shortest value.
    shortest: usize,
    unwrapped: Unwrapped,
}

impl FingerprintScanner {
    /// Reports what the list knows.
    pub fn new(list: Fingerprints) -> Self {
        let key = key_bytes(&list.key);
        let mut windows = vec![0; 1 << 10];
        let mut by_window: HashMap<u16, Vec<usize>> = HashMap::new();
        for (number, one) in list.values.iter().enumerate() {
            let window = u16::from_str_radix(&one.window, 16).unwrap_or(0);
            windows[usize::from(window >> 6)] |= 1_u64 << (window & 63);
            by_window.entry(window).or_default().push(number);
        }
        let shortest = list.values.iter().map(|one| one.length).min().unwrap_or(usize::MAX / 4);
        let hashes = list.values.iter().map(|one| key_bytes(&one.hash)).collect();
        Self { rolling: Rolling::new(&key), key, windows, by_window, hashes, shortest, unwrapped: Unwrapped::default(), list }
    }

    /// Looks through a document: as it is, and what it has in base64, hex, as `%XX` or JSON strings, and as ASCII in UTF-16.
    pub fn scan(&mut self, document: &[u8], found: &mut dyn FnMut(Hit<'_>)) {
        let mut unwrapped = std::mem::take(&mut self.unwrapped);
        unwrapped.fill(document, true);
        let text = unwrapped.text();
        let mut report = |at: usize, form: Form, number: usize| {
            let line = 1 + lines(&document[..unwrapped.origin(at)]);
            found(Hit { line, form, names: vec![self.list.values[number].name.as_str()] });
        };
        self.find(text, &mut |at, number| report(at, Form::Plain, number));
        for run in runs(text, is_base64, self.shortest * 4 / 3) {
            // Where the groups begin is not known. The first character of a value in the middle of a group is half somebody else's.
            for place in 0..4.min(run.len()) {
                let decoded = decode_base64(&text[run.start + place..run.end]);
                self.find(&decoded, &mut |at, number| report(run.start + place + at * 4 / 3, Form::Base64, number));
            }
        }
        for run in runs(text, |byte| byte.is_ascii_hexdigit(), self.shortest * 2) {
            for place in 0..2.min(run.len()) {
                let decoded = decode_hex(&text[run.start + place..run.end]);
                self.find(&decoded, &mut |at, number| report(run.start + place + at * 2, Form::Hex, number));
            }
        }
        // What is escaped does not go over the end of a line.
        for (number, line) in document.split(|byte| *byte == b'\n').enumerate() {
            let mut report = |form: Form, value: usize| {
                found(Hit { line: number as u64 + 1, form, names: vec![self.list.values[value].name.as_str()] });
            };
            if memchr::memchr(b'%', line).is_some() {
                self.find(&unwrap(&decode_url(line)), &mut |_, value| report(Form::Url, value));
            }
            if memchr::memchr(b'\\', line).is_some() {
                self.find(&unwrap(&decode_json(line)), &mut |_, value| report(Form::Json, value));
            }
            if memchr::memchr(0, line).is_some() {
                let narrow: Vec<u8> = line.iter().copied().filter(|byte| *byte != 0).collect();
                self.find(&unwrap(&narrow), &mut |_, value| report(Form::Utf16, value));
            }
        }
        self.unwrapped = unwrapped;
    }

    fn find(&self, text: &[u8], found: &mut dyn FnMut(usize, usize)) {
        if text.len() < WINDOW {
            return;
        }
        let mut hash = text[..WINDOW].iter().fold(0, |hash: u32, byte| hash.rotate_left(1) ^ self.rolling.0[usize::from(*byte)]);
        let mut at = 0;
        loop {
            let window = fold(hash);
            if self.windows[usize::from(window >> 6)] >> (window & 63) & 1 == 1 {
                self.confirm(text, at, window, found);
            }
            let Some(into) = text.get(at + WINDOW) else { return };
            hash = self.rolling.slide(hash, text[at], *into);
            at += 1;
        }
    }

    fn confirm(&self, text: &[u8], at: usize, window: u16, found: &mut dyn FnMut(usize, usize)) {
        for number in self.by_window.get(&window).into_iter().flatten() {
            let value = text.get(at..at + self.list.values[*number].length);
            if value.is_some_and(|value| keyed_hash(&self.key, value).0 == self.hashes[*number]) {
                found(at, *number);
            }
        }
    }
}

/// The parts of a text that consist of such bytes and are as long as `least`.
fn runs(text: &[u8], is: impl Fn(u8) -> bool, least: usize) -> Vec<std::ops::Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    for (at, byte) in text.iter().chain(std::iter::once(&b'"')).enumerate() {
        if at == text.len() || !is(*byte) {
            if at > start && at - start >= least {
                runs.push(start..at);
            }
            start = at + 1;
        }
    }
    runs
}

pub(super) fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Takes whatever the last group holds.
pub(super) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One alphabet for both.
pub(super) fn standard_base64(text: &[u8]) -> Vec<u8> {
    text.iter()
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect()
}

fn decode_base64(text: &[u8]) -> Vec<u8> {
    let standard = standard_base64(text);
    let whole = if standard.len() % 4 == 1 { standard.len() - 1 } else { standard.len() };
    LENIENT.decode(&standard[..whole]).unwrap_or_default()
}

pub(super) fn decode_hex(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    text.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// What the escapes of JSON strings stand for, also where no string begins or ends.
fn decode_json(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let unit = |rest: &[u8]| {
        let digits = std::str::from_utf8(rest.strip_prefix(b"\\u")?.get(..4)?).ok()?;
        u16::from_str_radix(digits, 16).ok()
    };
    while let Some((byte, behind)) = rest.split_first() {
        if let Some(first) = unit(rest) {
            let second = unit(&rest[6..]).filter(|_| (0xd800..0xdc00).contains(&first));
            let units = [first, second.unwrap_or(0)];
            let length = 1 + usize::from(second.is_some());
            out.extend(String::from_utf16_lossy(&units[..length]).as_bytes());
            rest = &rest[6 * length..];
            continue;
        }
        let escaped = behind.first().filter(|_| *byte == b'\\');
        out.push(match escaped {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(other) => *other,
            None => *byte,
        });
        rest = if escaped.is_some() { &behind[1..] } else { behind };
    }
    out
}

fn decode_url(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let pair = text.get(at + 1..at + 3).filter(|pair| *byte == b'%' && pair.iter().all(u8::is_ascii_hexdigit));
        match pair {
            Some(pair) => out.extend(decode_hex(pair)),
            None => out.push(*byte),
        }
        at += if pair.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    const STRONG: &str = "q7Zp\"0LmXw93/KfBt6RcYd81Vh";

    fn list() -> Fingerprints {
        let mut list = Fingerprints::new().unwrap();
        assert_eq!(list.add("strong", &SecretValue::from(STRONG), Kind::Text), 0);
        assert_eq!(list.add("weak", &SecretValue::from("correct horse battery staple"), Kind::Text), 1);
        list
    }

    #[test]
    fn found_in_every_form_and_nothing_is_readable() {
        let text = list().to_text();
        assert!(!text.contains(STRONG) && !text.contains("weak"));
        let mut scanner = FingerprintScanner::new(Fingerprints::parse(text.as_bytes()).unwrap());
        let hex: String = STRONG.bytes().map(|byte| format!("{byte:02X}")).collect();
        let mut forms = vec![
            (STRONG.to_owned(), Form::Plain),
            (format!("{}\n   {}", &STRONG[..7], &STRONG[7..]), Form::Plain),
            (format!("a{hex}"), Form::Hex),
            (STRONG.replace('"', "%22").replace('/', "%2f"), Form::Url),
            (serde_json::to_string(&format!("x\n{STRONG}")).unwrap(), Form::Json),
            (format!("\\u0071{}", &STRONG[1..].replace('"', "\\u0022")), Form::Json),
        ];
        for before in ["", "a", "ab", "abc"] {
            forms.push((STANDARD.encode(format!("{before}{STRONG}")), Form::Base64));
            forms.push((format!("{before}{}", STANDARD.encode(STRONG)), Form::Base64));
            forms.push((format!("x{}", URL_SAFE_NO_PAD.encode(format!("{before}{STRONG}?"))), Form::Base64));
        }
        for (text, form) in forms {
            let mut hits = Vec::new();
            scanner.scan(format!("one\ntwo {text} three").as_bytes(), &mut |hit| {
                hits.push((hit.line, hit.form, hit.names.join("+")))
            });
            assert_eq!(hits, [(2, form, "strong".to_owned())], "{text}");
        }
        // The same beginning is not the same value.
        scanner.scan(STRONG.replace('V', "W").as_bytes(), &mut |_| unreachable!("only the beginning is there"));
        scanner
            .scan(format!("{} correct horse battery staple", &STRONG[1..]).as_bytes(), &mut |_| unreachable!("nothing is there"));
    }

    #[test]
    fn a_weak_part_of_a_long_value_is_not_published_with_its_frame() {
        let dsn = "postgres://app:hunter2@db.internal.example.com:5432/appdb";
        let object = r#"{"host":"db.internal.example.com","user":"app","password":"hunter2","port":5432}"#;
        let env = "DB_HOST=db.internal.example.com\nDB_USER=app\nDB_PASSWORD=Summer2024!\nDB_NAME=appdb\n";
        let list = |value: &str, kind| {
            let mut list = Fingerprints::new().unwrap();
            let weak = list.add("name", &SecretValue::from(value), kind);
            (list.values.iter().map(|one| one.length).collect::<Vec<_>>(), weak)
        };
        let basic = STANDARD.encode("registry-robot-of-the-team:hunter2-hunter2");
        for (value, kind, weak) in [
            (dsn, Kind::Text, 1),
            (object, Kind::Json, 4),
            (object, Kind::Text, 1),
            (env, Kind::Text, 4),
            ("host=db1;port=5432;user=app;pass=x9k2q;timeout=15", Kind::Text, 1),
            (&basic, Kind::Text, 1),
        ] {
            assert_eq!(list(value, kind), (vec![], weak), "{value}");
        }
        // What is strong is listed, without what stands around it: that could be guessed by whoever knows the strong part.
        let key = "q7Zp0LmXw93KfBt6RcYd81Vh";
        let lengths = |value: &str, kind| list(value, kind).0;
        assert_eq!(lengths(&dsn.replace("hunter2", key), Kind::Text), [key.len()]);
        assert_eq!(lengths(&object.replace("hunter2", key), Kind::Json), [key.len()]);
        assert_eq!(lengths(&format!("{env}API_KEY=\"{key}\"\n"), Kind::Text), [key.len()]);
        assert_eq!(
            lengths(&format!("Endpoint=sb://bus.example.com/;SharedAccessKey=aZ3k9Qm1/{key}=;Name=all"), Kind::Text),
            [key.len() + 9]
        );
        assert_eq!(lengths(&STANDARD.encode(format!("robot:{key}")), Kind::Text), [key.len()]);
        // Signs alone are no frame.
        for whole in [
            STRONG,
            "wJalrXUtn/K7MDENG/bPxRfiCY+zq81Lx0Rk4tVw",
            "6c38ca0b-5957-d4ce-7014-882bc129dccb",
            "x#9@Kv=Lq&2;Zp{8}Wd,4:Ts/7Gh",
        ] {
            assert_eq!(list(whole, Kind::Text), (vec![whole.len()], 0), "{whole}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let text = list().to_text();
        for (from, to) in [
            (": 1,", ": 2,"),
            ("\"key\": \"", "\"key\": \"0"),
            ("\"length\": 2", "\"length\": 1"),
            ("\"window\": \"", "\"window\": \"x"),
        ] {
            let broken = text.replacen(from, to, 1);
            assert_ne!(broken, text);
            let refused = Fingerprints::parse(broken.as_bytes()).is_none();
            assert!(refused || from.contains("length"), "{from}");
        }
        assert!(Fingerprints::parse(b"{}").is_none());
    }
}
