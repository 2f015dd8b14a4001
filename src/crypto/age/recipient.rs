//! Public keys that age files are encrypted to, of every kind, by the one text that stands in the header.

use std::str::FromStr;

use age::ssh::ParseRecipientKeyError;
use base64::Engine as _;

use super::super::CryptoError;
use super::callbacks::Attached;
use super::plugin::{PluginRecipient, Wrapping};

/// What a recipient's kind is: which slots it makes, and what opens them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipientKind {
    /// `age1…`: X25519.
    X25519,
    /// `ssh-ed25519 AAAA…` or `ssh-rsa AAAA…`.
    Ssh,
    /// `age1NAME1…`: the plugin NAME encrypts and decrypts.
    Plugin,
    /// `age1tag1…` (P-256) or `age1tagpq1…` (ML-KEM-768 with P-256): encrypted without a plugin, opened by that of the hardware key.
    Tag,
}

/// A public key, known by its canonical text.
#[derive(Clone)]
pub struct AgeRecipient(Key);

#[derive(Clone)]
enum Key {
    X25519(age::x25519::Recipient),
    Ssh(Box<age::ssh::Recipient>),
    Tag(Box<age::tag::Recipient>),
    TagPq(Box<age::tagpq::Recipient>),
    Plugin(PluginRecipient),
}

impl AgeRecipient {
    /// Reads a recipient as people and the header write it. What stands behind an SSH key is its comment, and not kept.
    pub fn parse(text: &str) -> Result<Self, CryptoError> {
        let text = text.trim();
        if text.contains(char::is_whitespace) || text.starts_with("ssh-") {
            return ssh(text).map(|key| Self(Key::Ssh(Box::new(key))));
        }
        let key = match bech32_prefix(text)? {
            prefix if prefix.eq_ignore_ascii_case("age") => {
                refuse_small_order(text)?;
                age::x25519::Recipient::from_str(text).map(Key::X25519).map_err(|_| CryptoError::AgeKey)?
            }
            "age1tag" => age::tag::Recipient::from_str(text).map(Box::new).map(Key::Tag).map_err(|_| CryptoError::AgeKey)?,
            "age1tagpq" => {
                age::tagpq::Recipient::from_str(text).map(Box::new).map(Key::TagPq).map_err(|_| CryptoError::AgeKey)?
            }
            prefix => {
                let name = prefix.strip_prefix("age1").ok_or(CryptoError::AgeKey)?;
                Key::Plugin(PluginRecipient::new(name, text)?)
            }
        };
        Ok(Self(key))
    }

    /// The kind.
    pub fn kind(&self) -> RecipientKind {
        match &self.0 {
            Key::X25519(_) => RecipientKind::X25519,
            Key::Ssh(_) => RecipientKind::Ssh,
            Key::Plugin(_) => RecipientKind::Plugin,
            Key::Tag(_) | Key::TagPq(_) => RecipientKind::Tag,
        }
    }

    /// The plugin without which nothing can be encrypted to it, if it is of that kind.
    pub fn plugin(&self) -> Option<&str> {
        match &self.0 {
            Key::Plugin(key) => Some(key.name()),
            _ => None,
        }
    }

    /// Whether what is encrypted to it is meant to withstand a large quantum computer: ML-KEM-768 beside an elliptic curve. `age1pq1…` is such by
    /// the specification of age; that its plugin keeps to it cannot be seen from here.
    pub fn is_post_quantum(&self) -> bool {
        matches!(&self.0, Key::TagPq(_)) || self.plugin() == Some("pq")
    }

    /// With what a plugin needs; all other kinds need nothing.
    pub fn with_callbacks(mut self, callbacks: Attached) -> Self {
        if let Key::Plugin(key) = &mut self.0 {
            key.callbacks = callbacks;
        }
        self
    }

    /// Runs `make` with what age encrypts to.
    pub(super) fn with_age<T, E: From<CryptoError>>(
        &self,
        make: impl FnOnce(&dyn age::Recipient) -> Result<T, E>,
    ) -> Result<T, E> {
        match &self.0 {
            Key::X25519(key) => make(key),
            Key::Ssh(key) => make(key.as_ref()),
            Key::Tag(key) => make(key.as_ref()),
            Key::TagPq(key) => make(key.as_ref()),
            Key::Plugin(key) => {
                let wrapping = Wrapping::new(key);
                let made = make(&wrapping);
                match wrapping.failure.take() {
                    Some(error) => Err(CryptoError::from(error).into()),
                    None => made,
                }
            }
        }
    }

    pub(super) fn x25519(key: age::x25519::Recipient) -> Self {
        Self(Key::X25519(key))
    }
}

impl std::fmt::Display for AgeRecipient {
    /// The canonical text, which [`AgeRecipient::parse`] reads.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Key::X25519(key) => key.fmt(f),
            Key::Ssh(key) => key.fmt(f),
            Key::Tag(key) => key.fmt(f),
            Key::TagPq(key) => key.fmt(f),
            Key::Plugin(key) => f.write_str(&key.text),
        }
    }
}

fn ssh(text: &str) -> Result<age::ssh::Recipient, CryptoError> {
    check_ssh_blob(text)?;
    let key = age::ssh::Recipient::from_str(text).map_err(|error| match error {
        ParseRecipientKeyError::Unsupported(kind) => {
            CryptoError::SshType(kind.chars().filter(char::is_ascii_graphic).take(60).collect())
        }
        ParseRecipientKeyError::RsaModulusTooLarge | ParseRecipientKeyError::RsaModulusTooSmall => CryptoError::RsaSize,
        _ => CryptoError::AgeKey,
    })?;
    // The parser stops where the key ends, whatever stands there.
    match text.strip_prefix(&key.to_string()) {
        Some(rest) if rest.is_empty() || rest.starts_with([' ', '\t']) => Ok(key),
        _ => Err(CryptoError::AgeKey),
    }
}

/// Refuses public keys that the parser behind this takes and should not: an RSA key with a number that is zero ends it by a panic, and what is
/// encrypted to an Ed25519 key of small order opens to everybody.
fn check_ssh_blob(text: &str) -> Result<(), CryptoError> {
    let mut words = text.split([' ', '\t']);
    let (Some(kind @ ("ssh-ed25519" | "ssh-rsa")), Some(encoded)) = (words.next(), words.next()) else { return Ok(()) };
    let blob = base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|_| CryptoError::AgeKey)?;
    let mut rest = blob.as_slice();
    let mut fields = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| CryptoError::AgeKey)?;
        let (field, behind) = behind.split_at_checked(length).ok_or(CryptoError::AgeKey)?;
        fields.push(field);
        rest = behind;
    }
    let sound = match (kind, fields.as_slice()) {
        ("ssh-ed25519", [_, point]) => {
            let point = <&[u8; 32]>::try_from(*point).map_err(|_| CryptoError::AgeKey)?;
            ed25519_dalek::VerifyingKey::from_bytes(point).is_ok_and(|key| !key.is_weak())
        }
        ("ssh-rsa", [_, exponent, modulus]) => [exponent, modulus].iter().all(|number| number.iter().any(|byte| *byte != 0)),
        _ => false,
    };
    if sound && rest.is_empty() { Ok(()) } else { Err(CryptoError::AgeKey) }
}

/// Refuses X25519 keys of small order (RFC 7748, section 6.1): the shared secret would be zero, and known to everybody.
fn refuse_small_order(text: &str) -> Result<(), CryptoError> {
    let bytes = age_core::primitives::bech32_decode(
        text,
        |_| CryptoError::AgeKey,
        |_| Ok(()),
        |_, bytes| <[u8; 32]>::try_from(bytes.collect::<Vec<_>>()).map_err(|_| CryptoError::AgeKey),
    )?;
    let mut point = bytes;
    // The top bit does not count.
    point[31] &= 0x7f;
    if SMALL_ORDER.contains(&point) { Err(CryptoError::AgeKey) } else { Ok(()) }
}

/// The coordinates of all points whose order divides eight, on the curve and on its twist, reduced and not.
const SMALL_ORDER: [[u8; 32]; 7] = [
    near(0x00, 0x00, 0x00),
    near(0x01, 0x00, 0x00),
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb,
        0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4,
        0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
    // p - 1, p and p + 1
    near(0xec, 0xff, 0x7f),
    near(0xed, 0xff, 0x7f),
    near(0xee, 0xff, 0x7f),
];

const fn near(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut point = [middle; 32];
    point[0] = first;
    point[31] = last;
    point
}

/// What stands before the last `1` of a text whose Bech32 checksum holds (BIP 173, without its limit of length, as age has it).
pub(super) fn bech32_prefix(text: &str) -> Result<&str, CryptoError> {
    let holds = |_, _: bech32::primitives::decode::ByteIter<'_>| Ok(());
    age_core::primitives::bech32_decode(text, |_| CryptoError::AgeKey, |_| Ok(()), holds)?;
    text.rsplit_once('1').map(|(prefix, _)| prefix).ok_or(CryptoError::AgeKey)
}

/// Whether `age-plugin-NAME` can be the name of a program and nothing else: above all not a path (RUSTSEC-2024-0433).
pub fn is_plugin_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.' | b'_'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";
    const TAG: &str = "age1tag1qt8lw0ual6avlwmwatk888yqnmdamm7xfd0wak53ut6elz5c4swx2yqdj4e";

    fn plugin(name: &str) -> String {
        age_core::primitives::bech32_encode(bech32::Hrp::parse(&format!("age1{name}")).unwrap(), &[1, 2, 3])
    }

    fn encode(kind: &str, fields: &[&[u8]]) -> String {
        let mut blob = Vec::new();
        for field in std::iter::once(&kind.as_bytes()).chain(fields) {
            blob.extend_from_slice(&u32::try_from(field.len()).unwrap().to_be_bytes());
            blob.extend_from_slice(field);
        }
        format!("{kind} {}", base64::engine::general_purpose::STANDARD.encode(blob))
    }

    #[test]
    fn keys_of_small_order_are_refused() {
        for point in SMALL_ORDER {
            for top in [0, 0x80] {
                let mut point = point;
                point[31] |= top;
                let text = age_core::primitives::bech32_encode(bech32::Hrp::parse("age").unwrap(), &point);
                assert_eq!(AgeRecipient::parse(&text).err(), Some(CryptoError::AgeKey), "{text}");
            }
        }
    }

    #[test]
    fn what_a_plugin_is_needed_for_and_what_is_post_quantum() {
        let parsed = |text: &str| AgeRecipient::parse(text).unwrap();
        assert_eq!(parsed(&plugin("yubikey")).plugin(), Some("yubikey"));
        assert_eq!(parsed(TAG).plugin(), None);
        assert!(
            !parsed(TAG).is_post_quantum() && !parsed(ED25519).is_post_quantum() && !parsed(&plugin("yubikey")).is_post_quantum()
        );
        assert!(parsed(&plugin("pq")).is_post_quantum());
        // Without anybody who allowed it, no plugin is run.
        let refused = super::super::encrypt_age(&parsed(&plugin("yubikey")), b"x").err().unwrap();
        assert_eq!(refused.to_string(), "the plugin age-plugin-yubikey is not allowed to run");
    }

    #[test]
    fn canonical_texts_are_read_and_written() {
        let x25519 = super::super::X25519Identity::generate().recipient().to_string();
        for (text, kind) in [
            (x25519.as_str(), RecipientKind::X25519),
            (ED25519, RecipientKind::Ssh),
            (TAG, RecipientKind::Tag),
            (&plugin("yubikey"), RecipientKind::Plugin),
            (&plugin("a+b-c.d_9"), RecipientKind::Plugin),
        ] {
            let recipient = AgeRecipient::parse(text).unwrap();
            assert_eq!((recipient.to_string().as_str(), recipient.kind()), (text, kind));
            let spaced = format!(" {text}\n");
            assert_eq!(AgeRecipient::parse(&spaced).unwrap().to_string(), text);
        }
        assert_eq!(AgeRecipient::parse(&format!("{ED25519} me@here")).unwrap().to_string(), ED25519);
    }

    #[test]
    fn what_is_no_recipient() {
        let wrong = |text: &str| AgeRecipient::parse(text).err().unwrap();
        for text in [
            "",
            "age1",
            "age1nope",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            &ED25519[..ED25519.len() - 1],
            &format!("{ED25519}A"),
            &plugin("../x"),
            &plugin("a/b"),
            &plugin("").replace("age11", "age1"),
            &plugin("yubikey").to_uppercase(),
            &format!("{} comment", plugin("yubikey")),
            "AGE-PLUGIN-YUBIKEY-1",
            &encode(
                "ssh-ed25519",
                &[&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
            ),
            &encode("ssh-ed25519", &[&[0; 32]]),
            &encode("ssh-rsa", &[&[1, 0, 1], &[0; 256]]),
            &encode("ssh-rsa", &[&[0], &[0x7f; 256]]),
            &encode("ssh-rsa", &[&[], &[0x7f; 256]]),
        ] {
            assert_eq!(wrong(text), CryptoError::AgeKey, "{text}");
        }
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHFliOyIZs1gxGF3fmDxFykQhE88wy6AKDGFBfn0R6ZuvRmENABZQa9+pj9hMki+LX0qDJbmHTiWDbYv/cmFt/Q=";
        assert_eq!(wrong(ecdsa), CryptoError::SshType("ecdsa-sha2-nistp256".to_owned()));
    }
}
