//! Age files of any length, in constant memory.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, Read, Write};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use zeroize::Zeroizing;

use super::{AgeRecipient, Opens};
use crate::crypto::CryptoError;

/// What ends a stream early.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The input could not be read.
    #[error("{0}")]
    Read(io::Error),
    /// The output could not be written.
    #[error("{0}")]
    Write(io::Error),
    /// The rest is not authentic, or is missing. What was released before is authentic, and is not all.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// How much of a stream is in memory in the clear; age authenticates as much at a time.
const CHUNK: usize = 64 * 1024;
/// The longest header of a stream's age file. One stanza and what age adds at random are some hundred bytes; the parser would take any length.
const MAX_HEADER: u64 = 16 * 1024;
/// The longest line of an armored stream, line end included; the format has 64 columns, the parser would take any length.
const MAX_LINE: usize = 100;

/// Encrypts all that `reader` gives to `recipient`, as an age file that goes to `writer` as it is made. If it fails, what was written is cut: it
/// lacks the last chunk, and nobody takes it for whole. Returns the length of the plaintext.
pub fn encrypt_age_stream(
    recipient: &AgeRecipient,
    armor: bool,
    reader: &mut dyn Read,
    writer: &mut dyn Write,
) -> Result<u64, StreamError> {
    let encryptor: age::Encryptor = recipient
        .with_age(|recipient| age::Encryptor::with_recipients(std::iter::once(recipient)).map_err(|_| CryptoError::AgeKey))?;
    let format = if armor { Format::AsciiArmor } else { Format::Binary };
    let armored = ArmoredWriter::wrap_output(writer, format).map_err(StreamError::Write)?;
    let mut sealing = encryptor.wrap_output(armored).map_err(StreamError::Write)?;
    let mut chunk = Zeroizing::new(vec![0; CHUNK]);
    let mut length = 0;
    loop {
        let count = match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(StreamError::Read(error)),
        };
        sealing.write_all(&chunk[..count]).map_err(StreamError::Write)?;
        length += count as u64;
    }
    let armored = sealing.finish().map_err(StreamError::Write)?;
    armored.finish().and_then(|writer| writer.flush()).map_err(StreamError::Write)?;
    Ok(length)
}

/// Decrypts an age file, armored or not. Each chunk goes to `writer` when it was authenticated, before the rest was read: only if this returns
/// well was all of it there. Returns the length of the plaintext.
pub fn decrypt_age_stream(identity: &impl Opens, reader: &mut dyn BufRead, writer: &mut dyn Write) -> Result<u64, StreamError> {
    let failure = RefCell::new(None);
    let header = Cell::new(Some(MAX_HEADER));
    let armored = reader.fill_buf().map_err(StreamError::Read)?.first() == Some(&b'-');
    let source = Source { reader, failure: &failure, line: if armored { Some(0) } else { None } };
    let source = io::BufReader::with_capacity(CHUNK, source);
    let mut body: Box<dyn BufRead + '_> =
        if armored { Box::new(io::BufReader::new(ArmoredReader::new(source))) } else { Box::new(source) };
    let result = decrypt_chunks(identity, HeaderBound { reader: body.as_mut(), left: &header }, &header, writer);
    match failure.take() {
        Some(error) => Err(StreamError::Read(error)),
        None => result,
    }
}

fn decrypt_chunks(
    identity: &impl Opens,
    body: HeaderBound<'_, '_>,
    header: &Cell<Option<u64>>,
    writer: &mut dyn Write,
) -> Result<u64, StreamError> {
    let decryptor = age::Decryptor::new_buffered(body).map_err(|_| CryptoError::Authentication)?;
    header.set(None);
    let mut opening = decryptor.decrypt(std::iter::once(identity.as_age())).map_err(|_| CryptoError::Authentication)?;
    let mut chunk = Zeroizing::new(vec![0; CHUNK]);
    let mut length = 0;
    loop {
        let count = match opening.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(CryptoError::Authentication.into()),
        };
        writer.write_all(&chunk[..count]).and_then(|()| writer.flush()).map_err(StreamError::Write)?;
        length += count as u64;
    }
    Ok(length)
}

/// The input of a stream. It keeps a failure of the system apart from data that does not hold, and refuses lines that no armor has.
struct Source<'a> {
    reader: &'a mut dyn BufRead,
    failure: &'a RefCell<Option<io::Error>>,
    line: Option<usize>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.reader.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failure.replace(Some(error));
                return Err(kind.into());
            }
        };
        if let Some(line) = &mut self.line {
            for byte in &buffer[..count] {
                *line = if *byte == b'\n' { 0 } else { *line + 1 };
                if *line > MAX_LINE {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
        Ok(count)
    }
}

/// Ends a header that is too long, before it fills the memory.
struct HeaderBound<'a, 'b> {
    reader: &'a mut (dyn BufRead + 'b),
    left: &'a Cell<Option<u64>>,
}

impl Read for HeaderBound<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.reader.read(buffer)?;
        self.left.set(self.left.get().map(|left| left.saturating_sub(taken as u64)));
        Ok(taken)
    }
}

impl BufRead for HeaderBound<'_, '_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let all = self.reader.fill_buf()?;
        match self.left.get() {
            Some(0) => Err(io::ErrorKind::InvalidData.into()),
            Some(left) => Ok(&all[..all.len().min(usize::try_from(left).unwrap_or(usize::MAX))]),
            None => Ok(all),
        }
    }

    fn consume(&mut self, amount: usize) {
        self.left.set(self.left.get().map(|left| left.saturating_sub(amount as u64)));
        self.reader.consume(amount);
    }
}
