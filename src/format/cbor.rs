//! Deterministic CBOR maps keyed by unsigned integers, with critical and optional keys (SPEC, section 1).
//!
//! A type decodes into itself plus the optional items that this version does not know, and is then encoded again and compared: what is not
//! byte for byte what we would write is refused, so that the rules of determinism need no second implementation.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use zeroize::Zeroizing;

use super::FormatError;

/// Writes CBOR; encoding into memory cannot fail.
pub type Writer<'a> = Encoder<&'a mut Vec<u8>>;

/// Keys from here on are optional: kept when unknown. Unknown keys below are critical.
const OPTIONAL: u64 = 128;
/// How deep items may nest; the outermost container is 1.
const DEPTH: usize = 16;

/// Optional items of a map that this version does not know: kept, and written behind the known ones.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Unknown {
    count: u64,
    bytes: Vec<u8>,
}

impl Unknown {
    /// How many items were kept.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The kept items, key and value, as they were read.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The kept items, those below a key and those above it.
    pub fn around(&self, key: u64) -> (&[u8], &[u8]) {
        let mut decoder = Decoder::new(&self.bytes);
        let mut at = 0;
        // What was kept was read before, so that nothing of it fails.
        while decoder.u64().is_ok_and(|found| found < key) && decoder.skip().is_ok() {
            at = decoder.position();
        }
        self.bytes.split_at(at)
    }
}

/// Any fault of the encoding.
pub fn malformed() -> FormatError {
    FormatError::Malformed("a record is not deterministic CBOR of the expected shape")
}

impl From<minicbor::decode::Error> for FormatError {
    fn from(_: minicbor::decode::Error) -> Self {
        malformed()
    }
}

/// Reads a map: `field` is called with each key, ascending, and says whether it knows it (and then has read its value).
pub fn read_map<'b>(
    decoder: &mut Decoder<'b>,
    mut field: impl FnMut(u64, &mut Decoder<'b>) -> Result<bool, FormatError>,
) -> Result<Unknown, FormatError> {
    let count = decoder.map()?.ok_or_else(malformed)?;
    let mut unknown = Unknown::default();
    let mut last = None;
    for _ in 0..count {
        let start = decoder.position();
        let key = decoder.u64()?;
        if last.is_some_and(|last| last >= key) {
            return Err(malformed());
        }
        last = Some(key);
        if !field(key, decoder)? {
            if key < OPTIONAL {
                return Err(FormatError::Newer(format!("a record has a critical field ({key}) that this version does not know")));
            }
            decoder.skip()?;
            unknown.count += 1;
            unknown.bytes.extend_from_slice(&decoder.input()[start..decoder.position()]);
        }
    }
    Ok(unknown)
}

/// Reads `bytes` as one item with nothing behind it, and refuses it unless `write` gives the same bytes again.
pub fn decode<T>(
    bytes: &[u8],
    read: impl FnOnce(&mut Decoder<'_>) -> Result<T, FormatError>,
    write: impl FnOnce(&T) -> Zeroizing<Vec<u8>>,
) -> Result<T, FormatError> {
    check_form(bytes)?;
    let mut decoder = Decoder::new(bytes);
    let value = read(&mut decoder)?;
    if decoder.position() != bytes.len() || write(&value).as_slice() != bytes {
        return Err(malformed());
    }
    Ok(value)
}

/// Encodes one item. The buffer starts with room for what is usual, so that secrets in it are not left behind by growing.
pub fn encode(capacity: usize, write: impl FnOnce(&mut Writer<'_>) -> Written) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(capacity));
    write(&mut Encoder::new(&mut *out)).expect("writing into memory does not fail");
    out
}

/// What encoding functions return; it is never an error.
pub type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

/// Bytes of exactly `N`.
pub fn array<const N: usize>(decoder: &mut Decoder<'_>) -> Result<[u8; N], FormatError> {
    decoder.bytes()?.try_into().map_err(|_| malformed())
}

/// Length of a definite array.
pub fn array_len(decoder: &mut Decoder<'_>) -> Result<u64, FormatError> {
    decoder.array()?.ok_or_else(malformed)
}

/// `null`, or what `read` reads.
pub fn nullable<'b, T>(
    decoder: &mut Decoder<'b>,
    read: impl FnOnce(&mut Decoder<'b>) -> Result<T, FormatError>,
) -> Result<Option<T>, FormatError> {
    if decoder.datatype()? == Type::Null {
        decoder.null()?;
        return Ok(None);
    }
    read(decoder).map(Some)
}

/// Refuses `bytes` unless they begin with one item as the specification allows it (section 1) and hold nothing else: unsigned integers, byte
/// strings, text, arrays, maps by ascending unsigned integers, booleans and null, all in shortest form and of definite length, nested not too deep.
/// What a type knows is compared byte for byte besides; this also holds for what it keeps without knowing it.
fn check_form(bytes: &[u8]) -> Result<(), FormatError> {
    let mut rest = bytes;
    check_item(&mut rest, DEPTH)?;
    if rest.is_empty() { Ok(()) } else { Err(malformed()) }
}

fn check_item(rest: &mut &[u8], depth: usize) -> Result<(), FormatError> {
    let (major, argument) = head(rest)?;
    match major {
        UNSIGNED => {}
        BYTES | TEXT => {
            let length = usize::try_from(argument).map_err(|_| malformed())?;
            let (content, behind) = rest.split_at_checked(length).ok_or_else(malformed)?;
            *rest = behind;
            if major == TEXT && std::str::from_utf8(content).is_err() {
                return Err(malformed());
            }
        }
        ARRAY | MAP => {
            let depth = depth.checked_sub(1).ok_or_else(malformed)?;
            let mut last = None;
            for _ in 0..argument {
                if major == MAP {
                    let (UNSIGNED, key) = head(rest)? else { return Err(malformed()) };
                    if last.is_some_and(|last| last >= key) {
                        return Err(malformed());
                    }
                    last = Some(key);
                }
                check_item(rest, depth)?;
            }
        }
        SIMPLE if (FALSE..=NULL).contains(&argument) => {}
        _ => return Err(malformed()),
    }
    Ok(())
}

/// Major types (RFC 8949, section 3.1), and the simple values that are allowed.
const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;
const FALSE: u64 = 20;
const NULL: u64 = 22;

/// The head of an item: its major type and its argument, which must be in the shortest form.
fn head(rest: &mut &[u8]) -> Result<(u8, u64), FormatError> {
    let (&initial, behind) = rest.split_first().ok_or_else(malformed)?;
    let (major, short) = (initial >> 5, initial & 0x1f);
    let length = match short {
        0..24 => {
            *rest = behind;
            return Ok((major, u64::from(short)));
        }
        24..=27 => 1usize << (short - 24),
        _ => return Err(malformed()),
    };
    let (digits, behind) = behind.split_at_checked(length).ok_or_else(malformed)?;
    *rest = behind;
    let argument = digits.iter().fold(0u64, |sum, digit| sum << 8 | u64::from(*digit));
    // What fits half as many bytes (or, in one byte, the head itself) is not in its shortest form.
    let least = if length == 1 { 24 } else { 1u64 << (4 * length) };
    if argument < least || major == SIMPLE { Err(malformed()) } else { Ok((major, argument)) }
}
