//! What others do in between: readers take no lock, writers wait for one, and other programs replace the file.

use std::sync::{Arc, Mutex};

use vault::store::file::FileStore;
use vault::store::{Committed, Store, StoreError};

use crate::medium::{Call, Failure, Fault, Medium, Then};
use crate::sample::{Changes, Contents, HASTY, PLAIN, SAMPLE, apply, commit, contents, contents_of};
use crate::state::State;

fn put(key: u8, value: u8) -> Changes {
    vec![(vec![key], Some(vec![value; 700]))]
}

/// A vault with two commits; and the same with a third that may still be undone.
fn states() -> [(State, Contents); 2] {
    let medium = Medium::empty();
    SAMPLE.create(&medium).unwrap();
    let store = SAMPLE.open(medium.place()).unwrap();
    let mut model = Contents::new();
    let mut put = |key, value| {
        apply(&mut model, &put(key, value));
        commit(&store, &put(key, value)).unwrap();
        (medium.state(), model.clone())
    };
    put(1, 1);
    [put(2, 2), put(1, 3)]
}

/// Reads everything, once more if a newer state has come meanwhile.
fn read(store: &FileStore) -> Result<Contents, StoreError> {
    let snapshot = store.snapshot()?;
    match contents_of(snapshot.as_ref()) {
        Err(StoreError::Damaged { .. }) if store.snapshot()?.revision() != snapshot.revision() => Ok(contents(store)?.1),
        result => result,
    }
}

#[test]
fn a_commit_that_is_undone_while_it_is_read_is_no_damage() {
    let [(old, old_contents), (new, new_contents)] = states();
    for after in 0.. {
        let medium = Medium::new(new.clone());
        let (target, old) = (medium.clone(), old.clone());
        medium.meanwhile(Call::Read, after, move || target.become_state(old));
        let read = SAMPLE.open(medium.place()).and_then(|store| read(&store));
        let read = read.unwrap_or_else(|error| panic!("undone before read {after}: {error:?}"));
        assert!(read == old_contents || read == new_contents, "undone before read {after}");
        if !medium.has_happened() {
            assert!(after > 4);
            return;
        }
    }
}

#[test]
fn a_commit_that_was_undone_does_not_stay_with_a_reader() {
    let [(old, old_contents), _] = states();
    let medium = Medium::new(old);
    let reader = Arc::new(SAMPLE.open(medium.place()).unwrap());
    let writer = SAMPLE.open(medium.place()).unwrap();
    // The fsync of the commit fails; before it is undone, the reader sees it. (The first fsync settles what was there.)
    let seen = Arc::new(Mutex::new(None));
    let (eyes, store) = (seen.clone(), reader.clone());
    medium.meanwhile(Call::SetLength, 0, move || *eyes.lock().unwrap() = Some(contents(&store).unwrap()));
    medium.arm(Some(Fault { at: 1, of: Some(Call::Sync), failure: Failure::Errno(5), then: Then::Recovers }));
    commit(&writer, &put(2, 8)).unwrap_err();
    let (undone, _) = seen.lock().unwrap().take().unwrap();
    // The next one is exactly as long.
    let revision = commit(&writer, &put(2, 9)).unwrap().revision;
    assert_eq!(undone.sequence, revision.sequence);
    let mut expected = old_contents;
    apply(&mut expected, &put(2, 9));
    let (now, contents) = contents(&reader).unwrap();
    assert_eq!(now, revision);
    assert!(contents == expected);
}

#[test]
fn snapshots_outlive_rewrites() {
    let [_, (state, model)] = states();
    let medium = Medium::new(state);
    let store = SAMPLE.open(medium.place()).unwrap();
    let snapshot = store.snapshot().unwrap();
    store.compact(1).unwrap();
    commit(&store, &put(1, 77)).unwrap();
    assert!(contents_of(snapshot.as_ref()).unwrap() == model);
    let fresh = store.snapshot().unwrap();
    assert_eq!(fresh.revision().sequence, snapshot.revision().sequence + 2);
    assert_eq!(fresh.get(&[1]).unwrap(), Some(vec![77; 700]));
}

type Change = fn(&FileStore) -> Result<Committed, StoreError>;

const CHANGES: [(&str, Change); 3] = [
    ("commit", |store| commit(store, &put(4, 4))),
    ("compact", |store| store.compact(1)),
    ("header", |store| crate::crash::change_header(store, 5)),
];

#[test]
fn a_writer_that_waited_goes_on_in_the_file_that_was_renamed_over_its_own() {
    for (name, change) in CHANGES {
        let [_, (state, model)] = states();
        let medium = Medium::new(state);
        let [first, second] = [(); 2].map(|()| SAMPLE.open(medium.place()).unwrap());
        // The second one has opened the file, and then the first one rewrites it.
        let others = Arc::new(first);
        let compacting = others.clone();
        medium.meanwhile(Call::Lock, 0, move || {
            compacting.compact(1).unwrap();
            commit(&compacting, &put(3, 3)).unwrap();
        });
        change(&second).unwrap();
        let mut expected = model;
        apply(&mut expected, &put(3, 3));
        if name == "commit" {
            apply(&mut expected, &put(4, 4));
        }
        for store in [others.as_ref(), &second, &SAMPLE.open(medium.place()).unwrap()] {
            assert!(contents(store).unwrap().1 == expected, "{name}");
        }
    }
}

#[test]
fn one_writer_at_a_time() {
    let [_, (state, _)] = states();
    let medium = Medium::new(state);
    let [first, second] = [PLAIN, HASTY].map(|options| SAMPLE.open_with(medium.place(), Default::default(), options).unwrap());
    let transaction = first.begin().unwrap();
    assert!(matches!(second.begin().map(drop), Err(StoreError::Busy)));
    assert!(matches!(second.compact(1), Err(StoreError::Busy)));
    drop(transaction);
    commit(&second, &put(1, 1)).unwrap();
    commit(&first, &put(1, 2)).unwrap();
    // A reader's key does not write.
    let file = vault::store::file::OpenedFile::open(&medium).unwrap();
    let reader = FileStore::new(medium.place(), file, SAMPLE.reading_keys(), Default::default(), PLAIN).unwrap();
    assert!(matches!(reader.begin().map(drop), Err(StoreError::ReadOnlyKey)));
    assert_eq!(contents(&reader).unwrap(), contents(&first).unwrap());
}

/// A program such as git replaces the file at any look at the path that a writer takes: either the change is in the file that is
/// there in the end, or it is not acknowledged. The file of the other program is never overwritten.
#[test]
fn a_file_that_is_replaced_by_another_program() {
    for (name, change) in CHANGES {
        for removed in [false, true] {
            let [(older, older_contents), (state, _)] = states();
            let mut refused = 0;
            for after in 0.. {
                let medium = Medium::new(state.clone());
                let store = SAMPLE.open(medium.place()).unwrap();
                let foreign = older.vault().unwrap().clone();
                let target = medium.clone();
                medium.meanwhile(Call::PathStatus, after, move || match removed {
                    true => target.remove(),
                    false => target.put_in_place(&foreign),
                });
                let outcome = change(&store);
                if !medium.has_happened() {
                    assert!(outcome.is_ok() && refused > 0, "{name}: {outcome:?}, refused {refused} times");
                    break;
                }
                match outcome {
                    Ok(_) => {
                        assert!(!removed, "{name}: acknowledged, and the file is gone");
                        let mut expected = older_contents.clone();
                        if name == "commit" {
                            apply(&mut expected, &put(4, 4));
                        }
                        assert!(contents(&SAMPLE.open(medium.place()).unwrap()).unwrap().1 == expected, "{name}, look {after}");
                    }
                    Err(error) => {
                        refused += 1;
                        let said = matches!(error, StoreError::Replaced | StoreError::Missing | StoreError::Io { .. });
                        assert!(said, "{name}, look {after}: {error:?}");
                        let there = medium.state().vault().map(|bytes| bytes.to_vec());
                        let foreign = (!removed).then(|| older.vault().unwrap().to_vec());
                        assert!(there == foreign, "{name}, look {after}: the other program's file was touched");
                    }
                }
            }
        }
    }
}
