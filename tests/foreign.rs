//! A vault that somebody else made stands where this machine knows one. Recipients stand in the clear, so a stranger can make a vault
//! that the user's own identity opens.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use vault::crypto::X25519Identity;
use vault::{Credential, EntryId, ErrorKind, Kind, Locked, Name, NewSlot, Options, SecretValue, Vault, Write};

#[test]
fn a_foreign_vault_is_refused_until_it_is_trusted() {
    let directory = std::env::temp_dir().join(format!("vault-foreign-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    let (path, foreign) = (directory.join("a.vault"), directory.join("foreign.vault"));
    let own = directory.join("own.vault");
    for (path, value) in [(&path, "real"), (&foreign, "evil")] {
        let seen = directory.join(value);
        Vault::create(path, &[("me".to_owned(), NewSlot::Recipient(identity().recipient()))], 1).unwrap();
        open(path, &seen, false).unwrap().set(&id(), Write::value(SecretValue::from(value), Kind::Text), 1).unwrap();
    }
    std::fs::copy(&path, &own).unwrap();
    let seen = directory.join("real");

    std::fs::copy(&foreign, &path).unwrap();
    let refused = |path: &Path| open(path, &seen, false).err().map(|error| (error.kind(), error.code()));
    assert_eq!(refused(&path), Some((ErrorKind::NotPermitted, "other_signing_key")));
    assert_eq!(refused(&path), Some((ErrorKind::NotPermitted, "other_signing_key")), "asked twice, it is taken");
    // At a path of its own it is a first sight.
    assert_eq!(refused(&foreign), None);

    // Trusted, it is the one that is known; then it is the old one that is foreign.
    let trusted = open(&path, &seen, true).unwrap();
    assert_eq!(trusted.value(&id(), None).unwrap().expose(), b"evil");
    assert_eq!(refused(&path), None);
    std::fs::copy(&own, &path).unwrap();
    assert_eq!(refused(&path), Some((ErrorKind::NotPermitted, "other_signing_key")));

    // One that is made anew on purpose is no stranger.
    std::fs::remove_file(&path).unwrap();
    Vault::create(&path, &[("me".to_owned(), NewSlot::Recipient(identity().recipient()))], 2).unwrap();
    Vault::forget(&seen, &path).unwrap();
    assert_eq!(refused(&path), None);
    std::fs::remove_dir_all(&directory).unwrap();
}

fn identity() -> X25519Identity {
    X25519Identity::from_secret(&[9; 32]).unwrap()
}

fn id() -> EntryId {
    EntryId::plain(Name::parse("pw").unwrap())
}

fn open(path: &Path, seen: &Path, trust: bool) -> Result<Vault, vault::Error> {
    let options = Options { witness_directory: Some(seen.to_owned()), trust, ..Options::default() };
    Locked::open(path)?.unlock(&Credential::Identities(vec![identity().into()]), options)
}
