//! Whole files: from somebody without keys, and from somebody who may write.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use vault::format::commit::MAX_SEQUENCE;
use vault::format::keyspace;
use vault::store::file::FileStore;
use vault::store::{Batch, Store, StoreError};
use vault::vault::{Entry, Filter, Result, Scope};
use vault::{ErrorKind, Kind, SecretValue, Vault, Write};

use super::reseal;
use super::sample::{BYTES, Contents, SAMPLE, contents, open, unlock};

/// What opens is a state that was committed to the sample, and what a check passes is the sample as it was after that commit.
pub fn file(data: &[u8]) {
    let Ok((_, store)) = open(data, SAMPLE.keys()) else { return };
    let facts = store.facts();
    let at =
        SAMPLE.records.iter().position(|record| record.sequence == facts.revision.sequence).expect("a commit that nobody made");
    let expected = &SAMPLE.states[at];
    let snapshot = store.snapshot().unwrap();
    if let Ok(found) = contents(snapshot.as_ref()) {
        assert!(found == *expected, "a state that nobody committed");
    }
    for (key, value) in expected {
        if let Ok(found) = snapshot.get(key) {
            assert!(found.as_ref() == Some(value), "a value that nobody committed");
        }
    }
    let _ = store.descends_from(&facts.revision);
    if let Ok(checked) = store.check() {
        let end = (checked.bytes - checked.tail) as usize;
        assert!(BYTES.get(..end) == Some(&data[..end]), "a check passes though bytes were changed");
        takes_changes(&store, expected.clone());
    }
}

/// Nothing panics. What a check passes behaves like a map, and takes changes.
pub fn resealed(data: &[u8]) {
    let (bytes, record) = reseal::build(data);
    let mut is_newer = false;
    if let Ok((_, store)) = open(&bytes, SAMPLE.keys()) {
        let checked = store.check();
        let snapshot = store.snapshot().unwrap();
        let found = contents(snapshot.as_ref());
        for key in SAMPLE.states.iter().flat_map(BTreeMap::keys) {
            let value = snapshot.get(key);
            if let (Ok(value), Ok(found)) = (&value, &found) {
                assert!(value.as_ref() == found.get(key), "a walk and a look-up differ");
            }
        }
        is_newer = found.as_ref().is_ok_and(|found| found.keys().any(|key| is_unknown(key)));
        match (checked, found) {
            (Ok(_), Ok(found)) if record.sequence < MAX_SEQUENCE - 8 => {
                takes_changes(&store, found);
                check_is_whole(&store);
            }
            (Ok(_), Err(error)) => panic!("a check passes what cannot be read: {error}"),
            (Ok(_), _) => {}
            (Err(_), _) => {
                // Refused somewhere, or done as far as it goes.
                let _ = commit(&store, &[(b"\x80key", Some(&[1; 2000]))]);
                let _ = store.compact(1);
                let _ = store.snapshot().map(|snapshot| contents(snapshot.as_ref()).is_ok());
            }
        }
    }
    with_file(&bytes, |path| vault(path, is_newer));
}

/// Whether a key is of a keyspace that only a newer version knows, and that nobody else may write beside (section 6).
fn is_unknown(key: &[u8]) -> bool {
    key.first().is_some_and(|space| *space < 0x80 && !matches!(space, 0x01..=0x06 | 0x10 | 0x7e))
}

type Changes<'a> = [(&'a [u8], Option<&'a [u8]>)];

fn commit(store: &FileStore, changes: &Changes<'_>) -> std::result::Result<(), StoreError> {
    let mut batch = Batch::default();
    for (key, value) in changes {
        match value {
            Some(value) => batch.put(key.to_vec(), value.to_vec()),
            None => batch.delete(key.to_vec()),
        }
    }
    store.begin()?.commit(batch, 1).map(drop)
}

fn takes_changes(store: &FileStore, mut expected: Contents) {
    let keys: Vec<Vec<u8>> = expected.keys().cloned().collect();
    let mut changes: Vec<(&[u8], Option<&[u8]>)> = vec![(b"\x01", Some(b"first")), (b"\xff\xff", Some(&[9; 1500]))];
    changes.extend(keys.iter().step_by(3).map(|key| (key.as_slice(), None)));
    changes.extend(keys.iter().skip(1).step_by(3).map(|key| (key.as_slice(), Some(&[1; 300][..]))));
    for (key, value) in &changes {
        match value {
            Some(value) => expected.insert(key.to_vec(), value.to_vec()),
            None => expected.remove(*key),
        };
    }
    match commit(store, &changes) {
        Ok(()) => {}
        // A tree of the highest level has no room above it.
        Err(StoreError::TooLarge(_)) => return,
        Err(error) => panic!("what a check passes takes no change: {error}"),
    }
    assert!(all(store) == expected, "a change changed something else");
    check_is_whole(store);
    let everything: Vec<_> = expected.keys().map(|key| (key.as_slice(), None)).collect();
    store.compact(2).expect("what a check passes is compacted");
    let lineage = |contents: Contents| -> Contents {
        contents.into_iter().filter(|(key, _)| key.first() != Some(&keyspace::LINEAGE)).collect()
    };
    assert!(lineage(all(store)) == lineage(expected.clone()), "compacting changed something");
    check_is_whole(store);
    commit(store, &everything).expect("everything is removed");
    assert!(lineage(all(store)).is_empty());
    check_is_whole(store);
}

fn all(store: &FileStore) -> Contents {
    contents(store.snapshot().unwrap().as_ref()).expect("what was written is read")
}

fn check_is_whole(store: &FileStore) {
    let checked = store.check().expect("what was written holds");
    assert!(checked.live <= checked.bytes && checked.commits > 0);
}

/// Gives the bytes to `run` as a file.
fn with_file(bytes: &[u8], run: impl FnOnce(&Path)) {
    // In memory where the system has a place for it: every write of a vault is made durable.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let thread = format!("{:?}", std::thread::current().id());
    let number: String = thread.chars().filter(char::is_ascii_digit).collect();
    let directory = Directory(parent.join(format!("vault-fuzz-{}-{number}", std::process::id())));
    fs::create_dir_all(&directory.0).unwrap();
    let path = directory.0.join("file");
    fs::write(&path, bytes).unwrap();
    run(&path);
}

struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The same file as the program sees it.
fn vault(path: &Path, is_newer: bool) {
    let Ok(vault) = unlock(path) else { return };
    let everything = Filter { scope: Scope::All, category: None };
    let mut entries = Vec::new();
    let read = vault.entries(&everything, &mut |entry| {
        entries.push(entry);
        Ok(std::ops::ControlFlow::Continue(()))
    });
    let listed = list(&vault, &everything);
    let checked = vault.check();
    for entry in &entries {
        for version in entry.versions() {
            let value = vault.value(entry.id(), Some(version.number));
            assert!(checked.is_err() || may_open(&value), "a check passes what cannot be opened");
        }
    }
    match checked {
        Ok(checked) => {
            read.expect("a check passes what cannot be read");
            assert_eq!(checked.entries, entries.len() as u64);
            assert_eq!(vault.count().unwrap(), checked.entries);
            agrees(&vault, &entries, &listed.expect("a check passes what cannot be listed"));
            works(&vault, &entries, is_newer);
        }
        Err(_) => {
            for entry in entries.iter().take(3) {
                let _ = vault.set(entry.id(), Write::value(SecretValue::from("new"), Kind::Text), 9000);
                let _ = vault.remove(std::slice::from_ref(entry.id()), 9000);
            }
        }
    }
}

fn may_open(value: &Result<SecretValue>) -> bool {
    value.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::NotPermitted)
}

fn list(vault: &Vault, filter: &Filter) -> Result<Vec<(String, String, Option<u64>)>> {
    let mut found = Vec::new();
    vault.list(filter, &mut |one| {
        found.push((one.environment.to_owned(), one.name.to_owned(), one.expires));
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Entries, their listing and the index by category say the same.
fn agrees(vault: &Vault, entries: &[Entry], listed: &[(String, String, Option<u64>)]) {
    let name = |entry: &Entry| (entry.id().environment_text().to_owned(), entry.id().name.as_str().to_owned());
    let with_expiry: Vec<_> = entries.iter().map(|entry| (name(entry).0, name(entry).1, entry.expires())).collect();
    assert!(with_expiry == listed, "entries and their listing differ");
    for category in entries.iter().filter_map(Entry::category) {
        let filter = Filter { scope: Scope::All, category: Some(category.clone()) };
        let of_category: Vec<_> = entries.iter().filter(|entry| entry.category() == Some(category)).map(name).collect();
        let listed: Vec<_> =
            list(vault, &filter).unwrap().into_iter().map(|(environment, name, _)| (environment, name)).collect();
        assert!(of_category == listed, "entries and their categories differ");
    }
}

/// What a check passes is written to as any other vault.
fn works(vault: &Vault, entries: &[Entry], is_newer: bool) {
    let Some(entry) = entries.first() else { return };
    match vault.set(entry.id(), Write::value(SecretValue::from("new"), Kind::Text), 9000) {
        Ok(outcome) => assert!(outcome.version > entry.version() && !is_newer),
        // What is newer, or has no number left, of versions or of commits.
        Err(error) => return assert!(is_newer || entry.version() == u64::MAX || numbers_end(vault), "{error}"),
    }
    assert!(vault.value(entry.id(), None).unwrap().expose() == b"new");
    vault.check().expect("what was written holds");
    if vault.remove(std::slice::from_ref(entry.id()), 9000).is_ok() {
        assert_eq!(vault.check().expect("what was removed is gone").entries + 1, entries.len() as u64);
    }
}

fn numbers_end(vault: &Vault) -> bool {
    vault.facts().is_some_and(|facts| facts.revision.sequence >= MAX_SEQUENCE - 8)
}
