//! A program that keeps its secrets in a vault of its own, through the library.
//!
//!   cargo run --example embed
//!
//! It needs no terminal and no environment: the program says where the file is, which key opens it, and what time it is.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use vault::{
    Credential, EntryId, Environment, Error, ErrorKind, Kind, Locked, Name, NewSlot, Options, RawKey, SecretValue, Vault, Write,
};

#[allow(dead_code, reason = "a test includes this file and calls `run`")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::temp_dir().join(format!("vault-embed-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let result = run(&directory);
    std::fs::remove_dir_all(&directory)?;
    result
}

/// Works in `directory`, which must be there.
pub fn run(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let path = directory.join("app.vault");

    // A real program reads these 32 bytes from where it keeps its one secret: a file that only it may read, or a key service.
    let key = || RawKey::new([7; 32].into());
    Vault::create(&path, &[("app".to_owned(), NewSlot::RawKey(key()))], now()?)?;

    // A locked vault and an open one are different types: nothing can be read before it is unlocked. With a directory for the witness, this
    // machine remembers what it has seen, and an older copy of the file is noticed.
    let options = || Options { witness_directory: Some(directory.join("seen")), ..Options::default() };
    let vault = Locked::open(&path)?.unlock(&Credential::RawKey(key()), options())?;

    // A name is valid once it is a `Name`; a value prints nothing, wipes itself, and opens by `expose` alone.
    let id = EntryId::plain(Name::parse("svc/mail")?);
    vault.set(&id, Write::value(SecretValue::from("first"), Kind::Text), now()?)?;
    let written = vault.set(&id, Write::value(SecretValue::from("second"), Kind::Text), now()?)?;
    assert_eq!(written.version, 2);
    assert_eq!(vault.value(&id, None)?.expose(), b"second");
    assert_eq!(vault.value(&id, Some(1))?.expose(), b"first");

    // The environment `prod` has no entry of its own yet; asking with a fallback gives the general one.
    let prod = EntryId { environment: Some(Environment::parse("prod")?), name: id.name.clone() };
    let entry = vault.entry_or_fallback(&prod)?.ok_or("the entry is gone")?;
    assert_eq!(entry.version(), 2);

    // Two writers that read version 2: the second to write is told, and loses nothing.
    let change = |text: &str| Write { if_version: Some(2), ..Write::value(SecretValue::from(text), Kind::Text) };
    vault.set(&id, change("mine"), now()?)?;
    let refused = vault.set(&id, change("theirs"), now()?).err().ok_or("the second write was taken")?;
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    println!("{}", explain(&refused));

    // A wrong key is one kind of error, a vault that is not there another.
    let wrong = Credential::RawKey(RawKey::new([8; 32].into()));
    let error = Locked::open(&path)?.unlock(&wrong, options()).err().ok_or("a wrong key opened the vault")?;
    assert_eq!(error.kind(), ErrorKind::Locked);
    println!("{}", explain(&error));
    let error = Locked::open(&directory.join("elsewhere.vault")).err().ok_or("there is a vault elsewhere")?;
    assert_eq!(error.kind(), ErrorKind::NoVault);
    println!("{}", explain(&error));

    // Every byte of the file, and every value, verified.
    let checked = vault.check()?;
    assert_eq!((checked.entries, checked.values), (1, 3));
    Ok(())
}

/// An error says what went wrong, has a stable code for programs, and where it can, a hint for people. It never holds a value.
fn explain(error: &Error) -> String {
    format!("{}: {error} ({})", error.code(), error.hint_text().unwrap_or("no hint"))
}

/// Milliseconds since 1970. The library never looks at a clock.
fn now() -> Result<u64, Box<dyn std::error::Error>> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}
