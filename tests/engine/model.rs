//! Random changes against an ordered map.

use std::ops::Bound;
use std::sync::Arc;

use vault::store::file::storage::{OsPlace, Place};
use vault::store::file::{FileStore, Known};
use vault::store::{Batch, Revision, Snapshot, Store, StoreError};

use crate::medium::Medium;
use crate::random::{Random, each_case, scaled};
use crate::sample::{COMPACTING, Changes, Contents, PLAIN, SAMPLE, apply, batch, contents_of, contents_within};

#[test]
fn random_changes_agree_with_an_ordered_map() {
    each_case(scaled(2000), |case| {
        let steps = if case % 40 == 0 { 5 } else { 8 };
        run(Medium::empty().place(), &mut Random::new(case as u64), steps, case % 40 == 0);
    });
}

#[test]
fn the_same_on_a_file_system() {
    let directory = std::env::temp_dir().join(format!("vault-engine-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    each_case(scaled(10), |case| {
        let path = directory.join(format!("{case}.vault"));
        run(Arc::new(OsPlace::new(&path).unwrap()), &mut Random::new(case as u64), 8, false);
        assert!(matches!(SAMPLE.create(&OsPlace::new(&path).unwrap()), Err(StoreError::Exists)));
    });
    let left: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "left over: {left:?}");
    std::fs::remove_dir_all(&directory).unwrap();
}

struct Run<'a> {
    store: FileStore,
    model: Contents,
    held: Vec<(Arc<dyn Snapshot>, Contents)>,
    revisions: Vec<Revision>,
    random: &'a mut Random,
}

fn run(place: Arc<dyn Place>, random: &mut Random, steps: usize, bulk: bool) {
    SAMPLE.create(place.as_ref()).unwrap();
    let options = if random.chance(50) { COMPACTING } else { PLAIN };
    let store = SAMPLE.open_with(place.clone(), Known::default(), options).unwrap();
    let keys = keys(random, bulk);
    let mut run = Run { store, model: Contents::new(), held: Vec::new(), revisions: Vec::new(), random };
    for _ in 0..steps {
        match run.random.below(100) {
            0..8 => {
                let known = Known { acknowledged: run.store.acknowledged().filter(|_| run.random.chance(50)) };
                run.store = SAMPLE.open_with(place.clone(), known, options).unwrap();
            }
            8..16 => {
                run.store.compact(3).unwrap();
            }
            16..20 => run.refused(),
            20..24 => {
                let all = run.model.keys().map(|key| (key.clone(), None)).collect();
                run.commit(&all);
            }
            _ => {
                let changes = changes(run.random, &keys, bulk);
                run.commit(&changes);
            }
        }
        run.compare(&keys);
    }
}

impl Run<'_> {
    fn commit(&mut self, changes: &Changes) {
        let before = self.model.len();
        apply(&mut self.model, changes);
        let mut batch = batch(changes);
        batch.count_entries(self.model.len() as i64 - before as i64);
        let transaction = self.store.begin().unwrap();
        let revision = transaction.snapshot().revision();
        let committed = transaction.commit(batch, 2).unwrap();
        assert!(committed.note.is_none(), "{:?}", committed.note);
        assert!(committed.revision.sequence > revision.sequence || changes.is_empty());
    }

    /// A change that does not fit is refused as a whole.
    fn refused(&mut self) {
        let mut batch = Batch::default();
        batch.put(vec![1], vec![1]);
        batch.put(vec![2; 4097], Vec::new());
        let result = self.store.begin().unwrap().commit(batch, 2);
        assert!(matches!(result, Err(StoreError::TooLarge(_))), "{result:?}");
    }

    fn compare(&mut self, keys: &[Vec<u8>]) {
        let checked = self.store.check().unwrap();
        let facts = self.store.facts();
        assert_eq!(checked.live, facts.live);
        assert_eq!(checked.tail, 0);
        let snapshot = self.store.snapshot().unwrap();
        assert!(contents_of(snapshot.as_ref()).unwrap() == self.model, "the whole differs");
        assert_eq!(snapshot.entries(), self.model.len() as u64);
        for _ in 0..6 {
            let mut key = self.random.pick(keys).clone();
            match self.random.below(4) {
                0 => key.push(0),
                1 => {
                    key.pop();
                }
                _ => {}
            }
            assert!(snapshot.get(&key).unwrap().as_ref() == self.model.get(&key), "{} bytes of key", key.len());
            let end = self.random.pick(keys).clone();
            let to = self.random.chance(80).then_some(end.as_slice());
            let expected: Contents = match to {
                Some(to) if to <= key.as_slice() => Contents::new(),
                to => self
                    .model
                    .range::<[u8], _>((Bound::Included(key.as_slice()), to.map_or(Bound::Unbounded, Bound::Excluded)))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect(),
            };
            assert!(contents_within(snapshot.as_ref(), &key, to).unwrap() == expected, "a range differs");
        }
        for (held, contents) in &self.held {
            assert!(contents_of(held.as_ref()).unwrap() == *contents, "a snapshot changed");
        }
        let revision = snapshot.revision();
        for earlier in &self.revisions {
            assert!(self.store.descends_from(earlier).unwrap(), "{revision:?} does not descend from {earlier:?}");
        }
        let stranger = Revision { sequence: 1, hash: vault::crypto::Hash::of(b"stranger") };
        assert!(!self.store.descends_from(&stranger).unwrap());
        self.revisions.push(revision);
        if self.random.chance(30) {
            self.held.push((snapshot, self.model.clone()));
            self.held.truncate(2);
        }
    }
}

/// A set of keys of one style, so that they meet again.
fn keys(random: &mut Random, bulk: bool) -> Vec<Vec<u8>> {
    let style = random.below(4);
    let count = if bulk { 2500 } else { *random.pick(&[3, 12, 60, 200]) };
    let prefix = random.bytes(4090);
    let shared = *random.pick(&[0, 1, 20, 300, 4090]);
    let mut keys: Vec<Vec<u8>> = (0..count)
        .map(|number| match style {
            0 => {
                let length = random.below(4);
                random.bytes(length)
            }
            1 if !bulk => [&prefix[..shared], &random.bytes(3)].concat(),
            2 if !bulk => {
                let length = *random.pick(&[0, 1, 2, 255, 256, 1000, 4000, 4095, 4096]);
                random.bytes(length)
            }
            _ => format!("{:05}/{}", random.below(count * 2), "n".repeat(number % 30)).into_bytes(),
        })
        .collect();
    // The keyspace in which the engine remembers earlier records is its own.
    for key in keys.iter_mut().filter(|key| key.first() == Some(&0x7e)) {
        key[0] = 0x7f;
    }
    keys
}

fn changes(random: &mut Random, keys: &[Vec<u8>], bulk: bool) -> Changes {
    let most = if bulk { 1500 } else { *random.pick(&[1, 1, 3, 20, 80]) };
    let deletes = *random.pick(&[0, 30, 90]);
    (0..=random.below(most))
        .map(|_| {
            let key = random.pick(keys).clone();
            if random.chance(deletes) {
                return (key, None);
            }
            let length = match random.below(200) {
                0 if !bulk => 100_000 + random.below(300_000),
                1..10 => *random.pick(&[1023, 1024, 1025, 2000, 5000]),
                10..40 => *random.pick(&[0, 1]),
                _ => random.below(120),
            };
            (key, Some(random.bytes(length)))
        })
        .collect()
}

#[test]
fn high_trees_of_long_keys() {
    // Two keys to an inner node make trees as high as those of a large vault. Whole ends of them come and go, so that roots
    // collapse and lower bounds sink.
    each_case(scaled(40), |case| {
        let medium = Medium::empty();
        SAMPLE.create(&medium).unwrap();
        let store = SAMPLE.open(medium.place()).unwrap();
        let mut random = Random::new(case as u64);
        let stem = vec![b'k'; *random.pick(&[1000, 2000, 4090])];
        let key = |number: usize| [&stem[..], format!("{number:04}").as_bytes()].concat();
        let mut model = Contents::new();
        for round in 0..8 {
            let (low, high) = *random.pick(&[(0, 400), (0, 200), (200, 400), (100, 300), (350, 400), (0, 50)]);
            let deletes = *random.pick(&[0, 0, 50, 95, 100]);
            let changes: Changes = (0..*random.pick(&[5, 50, 150, 400]))
                .map(|_| (key(low + random.below(high - low)), (!random.chance(deletes)).then(|| vec![round; 10])))
                .collect();
            apply(&mut model, &changes);
            store.begin().unwrap().commit(batch(&changes), 1).unwrap();
            store.check().unwrap();
            assert!(contents_of(store.snapshot().unwrap().as_ref()).unwrap() == model);
            for number in 0..400 {
                let value = store.snapshot().unwrap().get(&key(number)).unwrap();
                assert!(value.as_ref() == model.get(&key(number)), "round {round}, key {number}");
            }
        }
    });
}

#[test]
fn a_root_that_collapsed_takes_keys_below_its_old_ones() {
    let stem = vec![b'k'; 4090];
    let key = |number: usize| [&stem[..], format!("{number:04}").as_bytes()].concat();
    // One key to a leaf, two to an inner node.
    each_case(63, |cut| {
        let medium = Medium::empty();
        SAMPLE.create(&medium).unwrap();
        let store = SAMPLE.open(medium.place()).unwrap();
        let mut model = Contents::new();
        for (numbers, value) in [(0..64, Some(vec![1])), (0..cut, None), (0..cut, Some(vec![2]))] {
            let changes: Changes = numbers.map(|number| (key(number), value.clone())).collect();
            apply(&mut model, &changes);
            store.begin().unwrap().commit(batch(&changes), 1).unwrap();
            store.check().unwrap();
            assert!(contents_of(store.snapshot().unwrap().as_ref()).unwrap() == model);
        }
    });
}

#[test]
fn a_value_beyond_the_limit_of_pages_is_refused() {
    let medium = Medium::empty();
    SAMPLE.create(&medium).unwrap();
    let store = SAMPLE.open(medium.place()).unwrap();
    let value = vec![5; 33_554_432 - 40];
    let mut exact = Batch::default();
    exact.put(vec![1], value.clone());
    let revision = store.begin().unwrap().commit(exact, 1).unwrap().revision;
    let mut beyond = Batch::default();
    beyond.put(vec![1], [value.as_slice(), &[5]].concat());
    assert!(matches!(store.begin().unwrap().commit(beyond, 1), Err(StoreError::TooLarge(_))));
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.revision(), revision);
    assert!(snapshot.get(&[1]).unwrap() == Some(value));
    assert_eq!(store.check().unwrap().tail, 0);
}
