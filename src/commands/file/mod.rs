//! `vault file`: one file for each of its subcommands, and what they share.

mod decrypt;
mod edit;
mod encrypt;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::context::Context;
use crate::crypto::{Hash, Hasher};
use crate::term::output;
use crate::vault::{Error, ErrorKind, Result, Vault};

/// Whole files under the keys of the vault
///
/// What `encrypt` writes beside a file, as FILE.vault, `decrypt`, `edit`, `vault decrypt` and the layers of `vault config` read. Whoever opens the
/// vault reads it; what comes out is a line that names the vault and the key, and an age file.
#[derive(Args, Debug)]
pub struct FileArgs {
    #[command(subcommand)]
    command: FileCommand,
}

#[derive(Subcommand, Debug)]
enum FileCommand {
    Encrypt(encrypt::EncryptArgs),
    Decrypt(decrypt::DecryptArgs),
    Edit(edit::EditArgs),
}

pub fn run(context: &mut Context, args: FileArgs) -> Result<u8> {
    match args.command {
        FileCommand::Encrypt(args) => encrypt::run(context, args),
        FileCommand::Decrypt(args) => decrypt::run(context, args),
        FileCommand::Edit(args) => edit::run(context, args),
    }
}

/// What stands behind the name of an encrypted file.
const SUFFIX: &str = ".vault";

/// Refuses to write over a file.
fn refuse_existing(path: &Path, force: bool) -> Result<()> {
    if force || path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Conflict, "exists", format!("{} is there already", shown(path)))
        .hint("write over it with --force, or elsewhere with --out"))
}

fn shown(path: &Path) -> String {
    output::printable(&path.display().to_string())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The hash of what passes through, on the way to somewhere else.
struct Hashing<T> {
    inner: T,
    hasher: Hasher,
}

impl<T> Hashing<T> {
    fn new(inner: T) -> Self {
        Self { inner, hasher: Hasher::default() }
    }

    fn hash(&self) -> Hash {
        self.hasher.finish()
    }
}

impl<T: std::io::Read> std::io::Read for Hashing<T> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

impl<T: std::io::Write> std::io::Write for Hashing<T> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// The hash of what an encrypted file holds.
fn hash_of_plaintext(vault: &Vault, path: &Path) -> Result<Hash> {
    let file = std::fs::File::open(path).map_err(|error| Error::io(format!("read {}", path.display()), &error))?;
    let mut sink = Hashing::new(std::io::sink());
    vault.decrypt_to(&mut std::io::BufReader::with_capacity(64 * 1024, file), &mut sink)?;
    Ok(sink.hash())
}
