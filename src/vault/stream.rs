//! Encrypted streams: data of any length under the vault's data keys, outside of the file (SPEC, section 9).

use std::io::{BufRead, Read, Write};

use super::error::{Error, ErrorKind, Result};
use super::{Vault, compartment_in, not_permitted};
use crate::crypto::keys::stream_identity;
use crate::crypto::{self, StreamError, X25519Identity};
use crate::format::header::hex;
use crate::format::stream::{MAX_LINE, StreamLine};
use crate::format::{FormatError, keyspace};
use crate::name::{Category, Environment};

/// What a stream says of itself without any key.
#[derive(Debug, Clone)]
pub struct StreamInfo {
    /// The id of the vault that encrypted it, in hex digits.
    pub vault: String,
    /// The category to whose keys it is limited.
    pub category: Option<Category>,
    /// The environment to whose keys it is limited.
    pub environment: Option<Environment>,
    /// The number of the data key.
    pub key: u64,
}

/// Reads the line before a stream. Nothing of it is verified: that takes the key that it names.
///
/// # Errors
/// [`ErrorKind::Damaged`] if no stream begins there, or one of a newer format.
pub fn stream_info(reader: &mut dyn BufRead) -> Result<StreamInfo> {
    let line = read_line(reader)?;
    let (category, environment) = line.of();
    Ok(StreamInfo { vault: hex(&line.id), category, environment, key: line.number })
}

impl Vault {
    /// Encrypts all that `reader` gives, in constant memory, under the newest data key of the compartment of this category and environment. If it
    /// fails, what was written is cut, and nobody takes it for whole. Returns the length of the plaintext.
    ///
    /// # Errors
    /// [`ErrorKind::NotPermitted`] if the key at hand is limited to other compartments, [`ErrorKind::Io`] if reading or writing fails.
    pub fn encrypt_to(
        &self,
        category: Option<&Category>,
        environment: Option<&Environment>,
        armor: bool,
        reader: &mut dyn Read,
        writer: &mut dyn Write,
    ) -> Result<u64> {
        let compartment = compartment_in(self.keys.data(), category, environment);
        let key = self.keys.data().newest(&compartment).ok_or_else(not_permitted)?;
        let recipient = stream_identity(&key.key, &self.id)?.recipient();
        let line = StreamLine { id: self.id, compartment, number: key.number };
        writer.write_all(line.print().as_bytes()).map_err(|error| failed(StreamError::Write(error)))?;
        crypto::encrypt_age_stream(&recipient, armor, reader, writer).map_err(failed)
    }

    /// Decrypts a stream in constant memory. Each part goes to `writer` as soon as it is authentic: what was written is all of the plaintext only if
    /// this returns well. Returns its length.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] if another vault encrypted it, [`ErrorKind::NotPermitted`] if the key at hand is limited to other compartments,
    /// [`ErrorKind::NotFound`] if its data key is no longer there, [`ErrorKind::Damaged`] if it was altered or cut.
    pub fn decrypt_to(&self, reader: &mut dyn BufRead, writer: &mut dyn Write) -> Result<u64> {
        let line = read_line(reader)?;
        let identity = self.stream_key(&line)?;
        crypto::decrypt_age_stream(&identity, reader, writer).map_err(failed)
    }

    fn stream_key(&self, line: &StreamLine) -> Result<X25519Identity> {
        if line.id != self.id {
            let message = format!("the stream was encrypted by the vault {}, and this is {}", hex(&line.id), hex(&self.id));
            return Err(Error::new(ErrorKind::Locked, "other_vault", message).hint("say where that one is with --vault"));
        }
        let missing = |code, message: String| Error::new(ErrorKind::NotFound, code, message);
        let number = line.number;
        let newest = match self.keys.data().newest(&line.compartment) {
            Some(newest) => newest,
            None if self.limited() => return Err(not_permitted()),
            None => {
                return Err(missing(
                    "key_not_found",
                    "the vault has no keys of the category or environment of the stream".into(),
                )
                .hint("the vault may be an older copy"));
            }
        };
        if number == newest.number {
            return Ok(stream_identity(&newest.key, &self.id)?);
        }
        if number > newest.number {
            let message = format!("the stream needs data key {number}, and the newest of this vault is {}", newest.number);
            return Err(missing("key_not_found", message).hint("the vault may be an older copy"));
        }
        self.read(&mut |state| {
            if state.get(&keyspace::older_key(&line.compartment, number))?.is_none() {
                let message = format!("data key {number}, which the stream needs, was destroyed when the vault was resealed");
                return Err(missing("key_destroyed", message).hint("only a copy of the vault from before has it"));
            }
            let older = self.older_key(state.as_ref(), &line.compartment, number, newest)?;
            Ok(stream_identity(&older.key, &self.id)?)
        })
    }
}

/// Reads a line, never more than the longest.
fn read_line(reader: &mut dyn BufRead) -> Result<StreamLine> {
    let mut line = Vec::new();
    reader.take(MAX_LINE as u64).read_until(b'\n', &mut line).map_err(|error| failed(StreamError::Read(error)))?;
    StreamLine::parse(&line).map_err(|error| match error {
        FormatError::Newer(what) => Error::new(ErrorKind::Damaged, "newer_format", what).hint("use a newer version of vault"),
        _ => damaged(),
    })
}

fn failed(error: StreamError) -> Error {
    match error {
        StreamError::Read(error) => Error::io("read the input", &error),
        StreamError::Write(error) => Error::io("write the output", &error),
        StreamError::Crypto(crypto::CryptoError::Authentication) => damaged(),
        StreamError::Crypto(error) => error.into(),
    }
}

fn damaged() -> Error {
    Error::new(ErrorKind::Damaged, "damaged_stream", "the stream is damaged, was tampered with, or is cut")
        .hint("fetch it again from where it came from")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::format::slot::{DataKeys, NumberedKey, OlderKey};
    use crate::secret::DataKey;
    use crate::store::memory::MemoryStore;
    use crate::store::{Batch, Store};
    use crate::vault::{Keys, Options};

    fn vault() -> (Arc<MemoryStore>, Vault) {
        let store = Arc::new(MemoryStore::new());
        (store.clone(), Vault::over(store, Options::default()).unwrap())
    }

    fn data(vault: &mut Vault) -> &mut DataKeys {
        match &mut vault.keys {
            Keys::Full(_, ring) => &mut ring.data,
            Keys::Limited(data) => data,
        }
    }

    fn encrypted(vault: &Vault, armor: bool, plaintext: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert_eq!(vault.encrypt_to(None, None, armor, &mut &plaintext[..], &mut out).unwrap(), plaintext.len() as u64);
        out
    }

    fn decrypted(vault: &Vault, stream: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        vault.decrypt_to(&mut &stream[..], &mut out).map(|_| out)
    }

    fn key(byte: u8, number: u64) -> NumberedKey {
        NumberedKey::new(number, 1, DataKey::new([byte; 32].into()))
    }

    #[test]
    fn every_length_returns() {
        let (_, vault) = vault();
        for length in [0, 1, 47, 48, 49, 65_535, 65_536, 65_537, 131_072, 3 << 20] {
            let plaintext: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            for armor in [false, true] {
                let stream = encrypted(&vault, armor, &plaintext);
                assert_eq!(stream.is_ascii(), armor);
                assert!(decrypted(&vault, &stream).unwrap() == plaintext, "{length} {armor}");
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let (_, vault) = vault();
        for armor in [false, true] {
            let stream = encrypted(&vault, armor, b"plaintext");
            for bit in 0..stream.len() * 8 {
                let mut bad = stream.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                let kind = decrypted(&vault, &bad).err().map(|error| error.kind());
                assert!(kind.is_some(), "bit {bit}");
            }
            for cut in 0..stream.len() {
                let cut_off = decrypted(&vault, &stream[..cut]);
                // Armor may lack its last line end.
                assert!(cut_off.is_err() || (armor && cut + 1 == stream.len()), "{cut}");
            }
            assert!(decrypted(&vault, &[&stream[..], b"x"].concat()).is_err());
        }
    }

    /// Of what was released before the cut, every byte is right; and it is never taken for all.
    #[test]
    fn a_cut_stream_is_never_whole() {
        let (_, vault) = vault();
        let plaintext: Vec<u8> = (0..3 << 16).map(|at| (at % 253) as u8).collect();
        let stream = encrypted(&vault, false, &plaintext);
        let header = stream.len() - plaintext.len() - 3 * 16;
        let borders = (0..3).flat_map(|chunk| [0, 1].map(|more| header + chunk * (65_536 + 16) + more));
        for cut in (0..stream.len()).step_by(1000).chain(borders) {
            let mut out = Vec::new();
            let error = vault.decrypt_to(&mut &stream[..cut], &mut out).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "{cut}");
            assert!(plaintext.starts_with(&out) && out.len() < plaintext.len(), "{cut}");
        }
    }

    #[test]
    fn the_line_is_bound() {
        let (_, mut vault) = vault();
        data(&mut vault).advance("category:ci", key(1, 7)).unwrap();
        data(&mut vault).advance("", key(2, 7)).unwrap();
        let stream = encrypted(&vault, false, b"plaintext");
        let text = String::from_utf8_lossy(&stream).into_owned();
        let id = vault.id();
        assert!(text.starts_with(&format!("VAULT-ENCRYPTED 1 {id} - 7\n")), "{text}");
        let body = &stream[stream.iter().position(|byte| *byte == b'\n').unwrap() + 1..];
        let kind = |line: &str| {
            let stream = [line.as_bytes(), b"\n", body].concat();
            decrypted(&vault, &stream).map_err(|error| error.kind())
        };
        assert_eq!(kind(&format!("VAULT-ENCRYPTED 1 {id} - 7")).unwrap(), b"plaintext");
        for (line, expected) in [
            (format!("VAULT-ENCRYPTED 1 {id} category:ci 7"), ErrorKind::Damaged),
            (format!("VAULT-ENCRYPTED 1 {id} category:other 7"), ErrorKind::NotFound),
            (format!("VAULT-ENCRYPTED 1 {id} - 8"), ErrorKind::NotFound),
            (format!("VAULT-ENCRYPTED 1 {id} - 6"), ErrorKind::NotFound),
            (format!("VAULT-ENCRYPTED 1 {} - 7", "00".repeat(16)), ErrorKind::Locked),
            (format!("VAULT-ENCRYPTED 2 {id} - 7"), ErrorKind::Damaged),
        ] {
            assert_eq!(kind(&line), Err(expected), "{line}");
        }
    }

    #[test]
    fn another_vault_is_told_by_its_id_and_not_by_its_keys() {
        let (_, mut one) = vault();
        let (_, mut other) = vault();
        for vault in [&mut one, &mut other] {
            data(vault).advance("", key(2, 7)).unwrap();
        }
        let stream = encrypted(&one, false, b"plaintext");
        assert_eq!(decrypted(&other, &stream).unwrap_err().code(), "other_vault");
        // The id is the salt of the derivation as well: with the line rewritten the stream still does not open.
        let forged = String::from_utf8_lossy(&stream[..80]).contains(&one.id());
        assert!(forged);
        let at = stream.windows(32).position(|window| window == one.id().as_bytes()).unwrap();
        let rewritten = [&stream[..at], other.id().as_bytes(), &stream[at + 32..]].concat();
        assert_eq!(decrypted(&other, &rewritten).unwrap_err().code(), "damaged_stream");
    }

    #[test]
    fn older_keys_open_until_they_are_destroyed() {
        let (store, mut vault) = vault();
        let mut streams = vec![(1, encrypted(&vault, false, b"under 1"))];
        for number in 2..=4 {
            let before = data(&mut vault).advance("", key(number as u8, number)).unwrap().unwrap();
            let mut batch = Batch::default();
            let older = OlderKey { id: &vault.id, compartment: "", number: before.number };
            let sealed = older.seal(&before, vault.keys.data().newest("").unwrap()).unwrap();
            batch.put(keyspace::older_key("", before.number), sealed);
            store.begin().unwrap().commit(batch, number).unwrap();
            streams.push((number, encrypted(&vault, false, format!("under {number}").as_bytes())));
        }
        for (number, stream) in &streams {
            assert_eq!(decrypted(&vault, stream).unwrap(), format!("under {number}").as_bytes());
        }
        let mut batch = Batch::default();
        batch.delete(keyspace::older_key("", 1));
        store.begin().unwrap().commit(batch, 9).unwrap();
        let error = decrypted(&vault, &streams[0].1).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, "key_destroyed"));
        assert!(decrypted(&vault, &streams[1].1).is_ok());
    }

    #[test]
    fn a_header_or_a_line_without_end_does_not_fill_the_memory() {
        let (_, vault) = vault();
        let line = StreamLine { id: vault.id, compartment: String::new(), number: 1 }.print();
        for (start, filler) in [
            ("", b'x'),
            (line.as_str(), b'x'),
            (&format!("{line}age-encryption.org/v1\n-> "), b'x'),
            (&format!("{line}age-encryption.org/v1\n-> X25519 "), b'a'),
            (&format!("{line}-----BEGIN AGE ENCRYPTED FILE-----\n"), b'A'),
            (&format!("{line}-----BEGIN AGE ENCRYPTED FILE-----\n"), b'\n'),
        ] {
            let taken = std::cell::Cell::new(0);
            struct Endless<'a>(&'a [u8], u8, &'a std::cell::Cell<u64>);
            impl Read for Endless<'_> {
                fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                    // Not for ever: who does read all of it must fail below, and not take the machine with it.
                    let count = if self.2.get() > 8 << 20 {
                        0
                    } else if self.0.is_empty() {
                        buffer.fill(self.1);
                        buffer.len()
                    } else {
                        self.0.read(buffer)?
                    };
                    self.2.set(self.2.get() + count as u64);
                    Ok(count)
                }
            }
            let mut reader = std::io::BufReader::new(Endless(start.as_bytes(), filler, &taken));
            assert!(vault.decrypt_to(&mut reader, &mut std::io::sink()).is_err());
            assert!(taken.get() < 1 << 20, "{start:?}: {} bytes were read", taken.get());
        }
    }
}
