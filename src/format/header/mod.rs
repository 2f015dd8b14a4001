//! The header: who can open the vault (SPEC, section 3).

mod text;

use std::collections::BTreeSet;

use text::Text;
use zeroize::Zeroizing;

use super::cbor::{self, Unknown};
use super::{BLOCK, FormatError, align_up};
use crate::crypto::keys::{Commitments, label};
use crate::crypto::{self, Argon2Cost, Hash, Signer, Transcript, Verifier};

/// Length of the line in front of the text.
pub const LINE: usize = 19;
/// The most bytes that a header may have.
pub const MAX: usize = 65_536;
/// The most slots that a header may have.
pub const MAX_SLOTS: usize = 64;

const MAGIC: &[u8] = b"VAULT-FILE ";
const SIGNATURE: usize = 64;
/// Features that a header may call critical and that this version knows: none yet.
const KNOWN_CRITICAL: &[&str] = &[];

/// What a slot asks of whoever wants to open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotKind {
    /// A passphrase: salt and cost of Argon2id.
    Passphrase([u8; 16], Argon2Cost),
    /// A raw 32-byte key.
    Raw,
    /// An age X25519 identity.
    Age,
    /// The private half of an SSH key.
    Ssh,
    /// An age plugin.
    Plugin,
    /// A kind that this version does not know and does not try.
    Other(String),
}

impl SlotKind {
    /// The word in the header.
    pub fn word(&self) -> &str {
        match self {
            Self::Passphrase(..) => "passphrase",
            Self::Raw => "raw",
            Self::Age => "age",
            Self::Ssh => "ssh",
            Self::Plugin => "plugin",
            Self::Other(word) => word,
        }
    }
}

/// What is sealed in the header about a slot: enough to wrap its keys anew without the help of whoever holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotLabel {
    /// What people call the slot.
    pub text: String,
    /// The compartments of a limited slot.
    pub compartments: BTreeSet<String>,
    unknown: Unknown,
}

impl SlotLabel {
    /// A label of a full slot.
    pub fn full(text: &str) -> Self {
        Self::limited(text, BTreeSet::new())
    }

    /// A label of a slot that opens these compartments.
    pub fn limited(text: &str, compartments: BTreeSet<String>) -> Self {
        Self { text: text.to_owned(), compartments, ..Self::default() }
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        cbor::encode(256, |e| {
            let limited = !self.compartments.is_empty();
            e.map(1 + u64::from(limited) + self.unknown.count())?.u8(0)?.str(&self.text)?;
            if limited {
                e.u8(1)?.array(self.compartments.len() as u64)?;
                for compartment in &self.compartments {
                    e.str(compartment)?;
                }
            }
            e.writer_mut().extend_from_slice(self.unknown.bytes());
            Ok(())
        })
    }

    fn read(d: &mut minicbor::Decoder<'_>) -> Result<Self, FormatError> {
        let mut label = Self::default();
        label.unknown = cbor::read_map(d, |field, d| {
            match field {
                0 => label.text = d.str()?.to_owned(),
                1 => {
                    for _ in 0..cbor::array_len(d)? {
                        label.compartments.insert(d.str()?.to_owned());
                    }
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(label)
    }
}

/// One way to unlock.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// What opens it.
    pub kind: SlotKind,
    /// Whether it gives everything, or some compartments to read.
    pub full: bool,
    /// The public half: `age1…`, or what else age takes for a recipient of the kind.
    pub recipient: String,
    /// The sealed label.
    pub label: Vec<u8>,
    /// A complete age file to the recipient.
    pub wrap: Vec<u8>,
    extra: toml::Table,
}

impl Slot {
    /// A slot; the label is sealed under the index key's label key.
    pub fn new(
        id: &[u8; 16],
        label_key: &[u8; 32],
        kind: SlotKind,
        full: bool,
        recipient: String,
        label: &SlotLabel,
        wrap: Vec<u8>,
    ) -> Result<Self, FormatError> {
        let mut slot = Self { kind, full, recipient, label: Vec::new(), wrap, extra: toml::Table::new() };
        slot.seal_label(id, label_key, label)?;
        Ok(slot)
    }

    /// Seals the label under another index key's label key.
    pub fn seal_label(&mut self, id: &[u8; 16], label_key: &[u8; 32], label: &SlotLabel) -> Result<(), FormatError> {
        let padded = super::padding::pad(&label.encode());
        self.label = crypto::seal(label_key, Self::label_aad(id, &self.recipient).as_bytes(), &padded)?;
        Ok(())
    }

    /// Opens the label.
    pub fn open_label(&self, id: &[u8; 16], label_key: &[u8; 32]) -> Result<SlotLabel, FormatError> {
        let padded = crypto::open(label_key, Self::label_aad(id, &self.recipient).as_bytes(), &self.label)
            .map_err(|_| FormatError::NotAuthentic("the label of a slot"))?;
        cbor::decode(super::padding::unpad(&padded)?, SlotLabel::read, SlotLabel::encode)
    }

    fn label_aad(id: &[u8; 16], recipient: &str) -> Transcript {
        Transcript::new(label::SLOT_LABEL).bytes(id).bytes(recipient.as_bytes())
    }
}

/// What the header says. Made by reading only through [`UnverifiedHeader`].
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// The vault's id, for its life.
    pub id: [u8; 16],
    /// Counts the rewrites of the file.
    pub epoch: u64,
    /// The public signing key.
    pub signing_key: [u8; 32],
    /// Number of the master key.
    pub master: u64,
    /// The sealed key ring.
    pub ring: Vec<u8>,
    /// Commits to the master key.
    pub master_commitment: [u8; 32],
    /// Commits to the index key.
    pub index_commitment: [u8; 32],
    /// The ways to unlock, in the order in which they were added.
    pub slots: Vec<Slot>,
    extra: toml::Table,
}

impl Header {
    /// A header without slots yet.
    pub fn new(id: [u8; 16], signing_key: [u8; 32], master: u64, ring: Vec<u8>, commitments: Commitments) -> Self {
        let Commitments { master: master_commitment, index: index_commitment } = commitments;
        Self {
            id,
            epoch: 1,
            signing_key,
            master,
            ring,
            master_commitment,
            index_commitment,
            slots: Vec::new(),
            extra: toml::Table::new(),
        }
    }

    /// The same header whatever the epoch: two copies of which nobody changed keys or slots since they parted have the same.
    pub fn without_epoch(&self) -> Self {
        Self { epoch: 0, ..self.clone() }
    }

    /// The signed bytes, zeros to a multiple of a block behind them.
    pub fn encode(&self, signer: &Signer) -> Result<Vec<u8>, FormatError> {
        if self.slots.is_empty() || self.slots.len() > MAX_SLOTS {
            return Err(FormatError::TooLarge("a vault has 1 to 64 slots"));
        }
        let text =
            toml::to_string(&Text::from(self)).map_err(|_| FormatError::Malformed("the header cannot be written as TOML"))?;
        let mut bytes = format!("VAULT-FILE 1 {:05}\n", text.len()).into_bytes();
        bytes.extend_from_slice(text.as_bytes());
        let total = align_up((bytes.len() + SIGNATURE) as u64).unwrap_or(u64::MAX);
        if total > MAX as u64 {
            return Err(FormatError::TooLarge("the header would be larger than 64 KiB: fewer or shorter slots"));
        }
        let signature = signer.sign(&signed(&bytes));
        bytes.extend_from_slice(&signature);
        bytes.resize(total as usize, 0);
        Ok(bytes)
    }
}

/// A header whose bytes were parsed and not yet authenticated: good for trying slots, for nothing else.
#[derive(Debug, Clone)]
pub struct UnverifiedHeader {
    header: Header,
    length: u64,
    signed: Vec<u8>,
    signature: [u8; SIGNATURE],
    hash: Hash,
}

/// The length of the whole header, from its first bytes (at least [`LINE`] of them).
pub fn length(start: &[u8]) -> Result<usize, FormatError> {
    let rest = start.strip_prefix(MAGIC).ok_or(FormatError::Malformed("this is not a vault file"))?;
    let malformed = FormatError::Malformed("the first line of the header is malformed");
    if !rest.starts_with(b"1 ") {
        // Digits without leading zeros, however many: `parse` would take a sign, and end somewhere.
        let digits: String = rest.iter().take_while(|byte| byte.is_ascii_digit()).map(|byte| char::from(*byte)).collect();
        let ends = rest.get(digits.len()) == Some(&b' ');
        return Err(if ends && !digits.is_empty() && !digits.starts_with('0') {
            let shown: String = digits.chars().take(20).collect();
            FormatError::Newer(format!("the file has format {shown}, this version knows format 1"))
        } else {
            malformed
        });
    }
    let digits = rest.get(2..7).ok_or(malformed.clone())?;
    if !digits.iter().all(u8::is_ascii_digit) || rest.get(7) != Some(&b'\n') {
        return Err(malformed);
    }
    let text = digits.iter().fold(0usize, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    let total = align_up((LINE + text + SIGNATURE) as u64).ok_or(malformed.clone())? as usize;
    if total > MAX { Err(malformed) } else { Ok(total) }
}

impl UnverifiedHeader {
    /// Parses all bytes of a header: exactly as many as [`length`] says.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        if length(bytes)? != bytes.len() {
            return Err(FormatError::Malformed("the header is cut off"));
        }
        // `length` accepted the five digits.
        let text_len = bytes[13..18].iter().fold(0usize, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        let (signed, rest) = bytes.split_at(LINE + text_len);
        let (signature, zeros) = rest.split_first_chunk::<SIGNATURE>().ok_or(FormatError::Malformed("the header is cut off"))?;
        if zeros.len() as u64 >= BLOCK || zeros.iter().any(|&byte| byte != 0) {
            return Err(FormatError::Malformed("the end of the header is not zero"));
        }
        let text = std::str::from_utf8(&signed[LINE..]).map_err(|_| FormatError::Malformed("the header is not UTF-8"))?;
        let text: Text = toml::from_str(text).map_err(|_| FormatError::Malformed("the header is not the expected TOML"))?;
        Ok(Self {
            header: text.into_header()?,
            length: bytes.len() as u64,
            signed: signed.to_vec(),
            signature: *signature,
            hash: Hash::of(bytes),
        })
    }

    /// The vault's id, as claimed.
    pub fn id(&self) -> &[u8; 16] {
        &self.header.id
    }

    /// The slots that may be tried.
    pub fn slots(&self) -> &[Slot] {
        &self.header.slots
    }

    /// The sealed key ring and the number of its master key, as claimed.
    pub fn sealed_ring(&self) -> (u64, &[u8]) {
        (self.header.master, &self.header.ring)
    }

    /// The public signing key, as claimed.
    pub fn claimed_signing_key(&self) -> &[u8; 32] {
        &self.header.signing_key
    }

    /// The commitments to master and index key, as claimed.
    pub fn commitments(&self) -> Commitments {
        Commitments { master: self.header.master_commitment, index: self.header.index_commitment }
    }

    /// The epoch, as claimed.
    pub fn epoch(&self) -> u64 {
        self.header.epoch
    }

    /// How many bytes the header has.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The hash that every commit record of the file must hold.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The header, once a commit record that verified under `trusted` (a key that came out of a slot) held this header's hash.
    pub fn authenticated(&self, trusted: &Verifier, record_header_hash: &Hash) -> Result<&Header, FormatError> {
        if trusted.public() != &self.header.signing_key || record_header_hash != &self.hash {
            return Err(FormatError::NotAuthentic("the header"));
        }
        Ok(&self.header)
    }

    /// Verifies the header's own signature under `trusted`.
    pub fn verify_signature(&self, trusted: &Verifier) -> Result<(), FormatError> {
        trusted.verify(&signed(&self.signed), &self.signature).map_err(|_| FormatError::NotAuthentic("the header"))
    }
}

fn signed(bytes: &[u8]) -> Transcript {
    Transcript::new(label::HEADER_SIGNATURE).bytes(bytes)
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Exactly `N` bytes from lower-case hex digits.
pub fn unhex<const N: usize>(text: &str) -> Result<[u8; N], FormatError> {
    let malformed = FormatError::Malformed("hex digits in the header are malformed");
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(malformed.clone()),
    };
    if text.len() != 2 * N {
        return Err(malformed);
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::secret::SigningSeed;

    fn sample() -> (Header, Signer) {
        let signer = Signer::new(&SigningSeed::new(Zeroizing::new([1; 32])));
        let mut header = Header::new([3; 16], signer.public(), 1, vec![9; 300], Commitments { master: [1; 32], index: [2; 32] });
        let recipient = crypto::X25519Identity::generate().recipient().to_string();
        header
            .slots
            .push(Slot::new(&[3; 16], &[5; 32], SlotKind::Raw, true, recipient, &SlotLabel::full("ci"), vec![1, 2, 3]).unwrap());
        (header, signer)
    }

    #[test]
    fn round_trip() {
        let (header, signer) = sample();
        let bytes = header.encode(&signer).unwrap();
        assert_eq!(bytes.len() % 4096, 0);
        let read = UnverifiedHeader::parse(&bytes).unwrap();
        let verifier = Verifier::new(&signer.public()).unwrap();
        read.verify_signature(&verifier).unwrap();
        assert_eq!(read.slots()[0].open_label(&[3; 16], &[5; 32]).unwrap().text, "ci");
        assert_eq!(read.header.encode(&signer).unwrap(), bytes);
    }

    #[test]
    fn optional_keys_are_kept_and_critical_ones_refused() {
        let (mut header, signer) = sample();
        header.extra.insert("colour".into(), "blue".into());
        header.slots[0].extra.insert("hint".into(), 7.into());
        let bytes = header.encode(&signer).unwrap();
        let read = UnverifiedHeader::parse(&bytes).unwrap();
        assert_eq!(read.header.encode(&signer).unwrap(), bytes);
        // The text alone: behind it stands a signature of any bytes.
        let length: usize = std::str::from_utf8(&bytes[13..18]).unwrap().parse().unwrap();
        let text = std::str::from_utf8(&bytes[LINE..LINE + length]).unwrap();
        let text = format!("critical = [\"future\"]\n{text}");
        let header = toml::from_str::<Text>(&text).unwrap().into_header();
        assert!(matches!(header, Err(FormatError::Newer(_))));
    }

    #[test]
    fn first_line() {
        assert!(matches!(length(b"VAULT-FILE 2 00010\n"), Err(FormatError::Newer(_))));
        assert!(matches!(length(b"VAULT-FILE 123 0010\n"), Err(FormatError::Newer(_))));
        for bad in [
            "",
            "VAULT-FILE 1 ",
            "VAULT-FILE 1 0001 \n",
            "VAULT-FILE 1 99999\n",
            "VAULT-FILE 0 00001\n",
            "VAULT-FILE +2 00010\n",
            "VAULT-FILE 02 00010\n",
            "age-encryption.org/v1\n",
        ] {
            assert!(matches!(length(bad.as_bytes()), Err(FormatError::Malformed(_))), "{bad}");
        }
    }
}
