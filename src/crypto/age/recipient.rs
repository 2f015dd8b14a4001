//! Public keys that age files are encrypted to, of every kind, by the one text that stands in the header.

use std::str::FromStr;

use age::ssh::ParseRecipientKeyError;

use super::super::CryptoError;

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

/// A recipient that only a plugin can encrypt to.
#[derive(Clone)]
struct PluginRecipient {
    text: String,
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
                age::x25519::Recipient::from_str(text).map(Key::X25519).map_err(|_| CryptoError::AgeKey)?
            }
            "age1tag" => age::tag::Recipient::from_str(text).map(Box::new).map(Key::Tag).map_err(|_| CryptoError::AgeKey)?,
            "age1tagpq" => {
                age::tagpq::Recipient::from_str(text).map(Box::new).map(Key::TagPq).map_err(|_| CryptoError::AgeKey)?
            }
            prefix => {
                let name = prefix.strip_prefix("age1").ok_or(CryptoError::AgeKey)?;
                if !is_plugin_name(name) || text.contains(|c: char| c.is_ascii_uppercase()) {
                    return Err(CryptoError::AgeKey);
                }
                Key::Plugin(PluginRecipient { text: text.to_owned() })
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

    pub(super) fn x25519(key: age::x25519::Recipient) -> Self {
        Self(Key::X25519(key))
    }

    pub(super) fn as_age(&self) -> Result<&dyn age::Recipient, CryptoError> {
        match &self.0 {
            Key::X25519(key) => Ok(key),
            Key::Ssh(key) => Ok(key.as_ref()),
            Key::Tag(key) => Ok(key.as_ref()),
            Key::TagPq(key) => Ok(key.as_ref()),
            Key::Plugin(_) => Err(CryptoError::AgeKey),
        }
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

/// What stands before the last `1` of a text whose Bech32 checksum holds (BIP 173, without its limit of length, as age has it).
pub(super) fn bech32_prefix(text: &str) -> Result<&str, CryptoError> {
    let holds = |_, _: bech32::primitives::decode::ByteIter<'_>| Ok(());
    age_core::primitives::bech32_decode(text, |_| CryptoError::AgeKey, |_| Ok(()), holds)?;
    text.rsplit_once('1').map(|(prefix, _)| prefix).ok_or(CryptoError::AgeKey)
}

/// Whether `age-plugin-NAME` can be the name of a program and nothing else: above all not a path (RUSTSEC-2024-0433).
pub(super) fn is_plugin_name(name: &str) -> bool {
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
        ] {
            assert_eq!(wrong(text), CryptoError::AgeKey, "{text}");
        }
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHFliOyIZs1gxGF3fmDxFykQhE88wy6AKDGFBfn0R6ZuvRmENABZQa9+pj9hMki+LX0qDJbmHTiWDbYv/cmFt/Q=";
        assert_eq!(wrong(ecdsa), CryptoError::SshType("ecdsa-sha2-nistp256".to_owned()));
    }
}
