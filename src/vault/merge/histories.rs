//! Ten thousand small histories, merged, and compared with the model. Each is made anew from its number, which a failure tells.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::model::{Expected, Model, PATHS, State, Uid, Value, Way, Written, model};
use super::{Ancestor, Joining, Merged, Side, by_uid};
use crate::format::record::Kind;
use crate::name::{Category, EntryId, Environment, Name, Tag};
use crate::secret::SecretValue;
use crate::store::memory::MemoryStore;
use crate::store::{Batch, Snapshot, Store, Walk};
use crate::vault::{Change, Options, Vault, Write};

const HISTORIES: u64 = 10_000;
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

struct Chance(u64);

impl Chance {
    /// A number below `end` (SplitMix64).
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn name(&mut self) -> String {
        NAMES[self.below(NAMES.len() as u64) as usize].to_owned()
    }

    fn value(&mut self) -> Value {
        match self.below(6) {
            0 => Value::Bytes(self.below(2)),
            1 | 2 => Value::Text(self.below(4)),
            _ => Value::Json(
                PATHS.iter().filter_map(|path| Some((*path, self.below(4))).filter(|(_, number)| *number > 0)).collect(),
            ),
        }
    }
}

impl Value {
    fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Bytes(_) => Kind::Bytes,
            Self::Json(_) => Kind::Json,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(number) => format!("text {number}").into_bytes(),
            Self::Bytes(number) => vec![0xff, *number as u8],
            Self::Json(fields) => {
                let part = |inner: bool| {
                    let fields = fields.iter().filter(|(path, _)| path.starts_with("in.") == inner);
                    fields.map(|(path, number)| format!("\"{}\":{number},", path.trim_start_matches("in."))).collect::<String>()
                };
                format!("{{{}\"in\":{{{}}}}}", part(false), part(true).trim_end_matches(',')).into_bytes()
            }
        }
    }

    fn read(bytes: &[u8], kind: Kind) -> Self {
        let number = |value: &serde_json::Value| value.as_u64().unwrap();
        match kind {
            Kind::Text => Self::Text(std::str::from_utf8(bytes).unwrap().trim_start_matches("text ").parse().unwrap()),
            Kind::Bytes => Self::Bytes(u64::from(bytes[1])),
            Kind::Json => {
                let json: serde_json::Value = serde_json::from_slice(bytes).unwrap();
                let at = |path: &str| json.pointer(&format!("/{}", path.replace('.', "/"))).map(number);
                Self::Json(PATHS.iter().filter_map(|path| Some((*path, at(path)?))).collect())
            }
        }
    }
}

/// A vault in memory, what it should hold, and the clock of whoever writes to it.
struct Writer<'v> {
    vault: &'v Vault,
    state: State,
    keep: usize,
    time: u64,
    step: u64,
}

fn id(name: &str) -> EntryId {
    // One of the names is there in an environment.
    let environment = (name == "f").then(|| Environment::parse("prod").unwrap());
    EntryId { environment, name: Name::parse(name).unwrap() }
}

fn category(number: u64) -> Category {
    Category::parse(&format!("c{number}")).unwrap()
}

impl Writer<'_> {
    fn uid_of(&self, name: &str) -> Option<Uid> {
        self.state.iter().find(|(_, entry)| entry.name == name).map(|(uid, _)| *uid)
    }

    fn write(&mut self, name: &str, value: Value) {
        let write = Write::value(SecretValue::new(value.bytes().into()), value.kind());
        let outcome = self.vault.set(&id(name), write, self.time).unwrap();
        let uid = self.vault.entry(&id(name)).unwrap().unwrap().record().uid;
        let entry = self.state.entry(uid).or_insert_with(|| Model {
            name: name.to_owned(),
            written: Vec::new(),
            category: None,
            expires: None,
            tags: BTreeSet::new(),
            meta: BTreeMap::new(),
        });
        entry.written.push(Written { number: outcome.version, time: self.time, value });
        let surplus = entry.written.len().saturating_sub(self.keep);
        entry.written.drain(..surplus);
    }

    /// One change of any kind, if it can be made.
    fn change(&mut self, chance: &mut Chance) {
        self.time += self.step;
        let name = chance.name();
        let what = chance.below(12);
        let Some(uid) = self.uid_of(&name) else { return self.write(&name, chance.value()) };
        match what {
            0..=4 => self.write(&name, chance.value()),
            5 => {
                self.vault.remove(&[id(&name)], self.time).unwrap();
                self.state.remove(&uid);
            }
            6 | 7 => {
                let to = chance.name();
                if self.uid_of(&to).is_none() {
                    self.vault.rename(&id(&name), &id(&to), false, self.time).unwrap();
                    self.state.get_mut(&uid).unwrap().name = to;
                }
            }
            8 => {
                let written = self.state[&uid].written.clone();
                let old = &written[chance.below(written.len() as u64) as usize];
                let outcome = self.vault.rollback(&id(&name), old.number, self.time).unwrap();
                let entry = self.state.get_mut(&uid).unwrap();
                entry.written.push(Written { number: outcome.version, time: self.time, value: old.value.clone() });
                entry.expires = None;
                let surplus = entry.written.len().saturating_sub(self.keep);
                entry.written.drain(..surplus);
            }
            _ => {
                let entry = self.state.get_mut(&uid).unwrap();
                let mut write = Write::default();
                match chance.below(6) {
                    0 => {
                        entry.category = Some(chance.below(3)).filter(|number| *number > 0);
                        write.category = entry.category.map_or(Change::Clear, |number| Change::Set(category(number)));
                    }
                    1 => {
                        entry.expires = Some(chance.below(3)).filter(|number| *number > 0);
                        write.expires = entry.expires.map_or(Change::Clear, Change::Set);
                    }
                    2 => {
                        let tag = format!("t{}", chance.below(3));
                        if !entry.tags.remove(&tag) {
                            entry.tags.insert(tag);
                        }
                        write.tags = Change::Set(entry.tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect());
                    }
                    _ => {
                        let key = format!("k{}", chance.below(2));
                        let value = Some(chance.below(4).to_string()).filter(|value| value != "0");
                        match &value {
                            Some(value) => entry.meta.insert(key.clone(), value.clone()),
                            None => entry.meta.remove(&key),
                        };
                        write.meta.insert(key, value);
                    }
                }
                self.vault.set(&id(&name), write, self.time).unwrap();
            }
        }
    }
}

/// Makes a store what it was.
fn put_back(store: &MemoryStore, state: &dyn Snapshot) {
    let transaction = store.begin().unwrap();
    let mut batch = Batch::default();
    let now = transaction.snapshot();
    now.range(&[], None, &mut |key, _| {
        batch.delete(key.to_vec());
        Ok(Walk::Continue(()))
    })
    .unwrap();
    batch.count_entries(state.entries() as i64 - now.entries() as i64);
    state
        .range(&[], None, &mut |key, value| {
            batch.put(key.to_vec(), value.unwrap().to_vec());
            Ok(Walk::Continue(()))
        })
        .unwrap();
    transaction.commit(batch, 0).unwrap();
}

/// The whole state of a store.
fn read(vault: &Vault, snapshot: &dyn Snapshot) -> State {
    let mut state = State::new();
    for (uid, entry) in by_uid(snapshot).unwrap() {
        let record = entry.record();
        let written = record.versions.iter().map(|version| Written {
            number: version.number,
            time: version.created,
            value: Value::read(vault.value_in(snapshot, &entry, Some(version.number)).unwrap().expose(), version.kind),
        });
        let number = |category: &Category| category.as_str()[1..].parse().unwrap();
        let model = Model {
            name: entry.id().name.as_str().to_owned(),
            written: written.collect(),
            category: record.category.as_ref().map(number),
            expires: record.expires,
            tags: record.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
            meta: record.meta.clone(),
        };
        assert!(entry.id().environment.is_some() == model.name.starts_with('f'));
        state.insert(uid, model);
    }
    state
}

/// A vault whose copies went apart.
struct History {
    number: u64,
    store: Arc<MemoryStore>,
    vault: Vault,
    /// The ancestor, if the merge is to know it.
    base: Option<(State, Arc<dyn Snapshot>)>,
    sides: [(State, Arc<dyn Snapshot>); 2],
    way: Way,
}

impl History {
    fn new(number: u64) -> Self {
        let mut chance = Chance(number);
        let mut keep = || [1, 2, 3, 10][chance.below(4) as usize];
        let (keep, merge_keep) = (keep(), keep());
        let store = Arc::new(MemoryStore::new());
        let mut vault = Vault::over(store.clone(), Options { keep_versions: keep, ..Options::default() }).unwrap();
        let grown = |chance: &mut Chance, state: State, time: u64, step: u64, most: u64| {
            let mut writer = Writer { vault: &vault, state, keep, time, step };
            (0..chance.below(most)).for_each(|_| writer.change(chance));
            (writer.state, store.snapshot().unwrap())
        };
        let base = grown(&mut chance, State::new(), 0, 1, 10);
        let is_known = chance.below(3) > 0;
        // With an ancestor, writes of one millisecond can be told apart; without one, the time has to.
        let step = if is_known { 1 + chance.below(2) } else { 2 };
        let own = grown(&mut chance, base.0.clone(), 100, step, 8);
        put_back(&store, base.1.as_ref());
        let other = grown(&mut chance, base.0.clone(), 99 + step % 2, step, 8);
        vault.options.keep_versions = merge_keep;
        let way = Way { favour: if chance.below(2) == 0 { Side::Own } else { Side::Other }, keep: merge_keep, now: 1000 };
        Self { number, store, vault, base: Some(base).filter(|_| is_known), sides: [own, other], way }
    }

    /// Merges the other side into the one of this number. Returns the state, and the conflicts, by the names that entries have then.
    fn merge(&self, into: usize, favour: Side) -> (State, Merged) {
        let (own, other) = (self.sides[into].1.as_ref(), self.sides[1 - into].1.as_ref());
        put_back(&self.store, own);
        let vault = &self.vault;
        let base = self.base.as_ref().map(|(_, state)| Ancestor { vault, state: state.clone() });
        let joining = Joining { own: vault, own_state: own, other: vault, other_state: other, base, favour, now: self.way.now };
        let mut batch = Batch::default();
        let merged = joining.run(&mut batch).unwrap();
        self.store.begin().unwrap().commit(batch, 0).unwrap();
        // Every index key, and nothing that is left over.
        vault.check().unwrap();
        (read(vault, self.store.snapshot().unwrap().as_ref()), merged)
    }

    fn compare(&self) -> Expected {
        let number = self.number;
        let [(own, _), (other, _)] = &self.sides;
        let base = self.base.as_ref().map(|(state, _)| state);
        let mut expected = model(base, own, other, self.way);
        let (state, merged) = self.merge(0, self.way.favour);
        for uid in &expected.renamed {
            let (name, start) = (&state[uid].name, format!("{} (", expected.state[uid].name));
            assert!(name.starts_with(&start), "{name}");
            expected.state.get_mut(uid).unwrap().name.clone_from(name);
        }
        assert_eq!(state, expected.state, "history {number}");
        assert_eq!(
            (merged.added, merged.changed, merged.removed),
            (expected.added, expected.changed, expected.removed),
            "history {number}"
        );
        assert_eq!(merged.system_conflicts, 0);
        let found = |id: &EntryId| state.iter().find(|(_, entry)| entry.name == id.name.as_str()).unwrap();
        let mut conflicts: Vec<(Uid, String)> =
            merged.conflicts.iter().map(|conflict| (*found(&conflict.id).0, conflict.what.clone())).collect();
        conflicts.sort();
        assert_eq!(conflicts, expected.conflicts, "history {number}");
        for conflict in merged.conflicts.iter().filter(|conflict| conflict.what == "value" || conflict.what.starts_with('#')) {
            // Said without the model: nothing that a side held is lost, and where to find what is not current is told.
            let (uid, entry) = found(&conflict.id);
            let ours = &own[uid];
            let theirs = other.get(uid).or_else(|| other.values().find(|entry| entry.name == ours.name)).unwrap();
            let newest = [ours, theirs].map(|side| &side.written.last().unwrap().value);
            assert!(newest.iter().all(|value| entry.written.iter().any(|written| written.value == **value)), "history {number}");
            let told = entry.written.iter().find(|written| Some(written.number) == conflict.other).unwrap();
            assert_eq!(&told.value, newest[if self.way.favour == Side::Own { 1 } else { 0 }], "history {number}");
        }
        expected
    }

    /// Whoever takes the other's changes, the outcome is the same if the same side is favoured; but for names that meet.
    fn compare_turned(&self) {
        let turned = if self.way.favour == Side::Own { Side::Other } else { Side::Own };
        let seen = [(0, self.way.favour), (1, turned)].map(|(into, favour)| {
            let (state, merged) = self.merge(into, favour);
            let conflicts = merged.conflicts.into_iter().map(|conflict| (conflict.id.name.as_str().to_owned(), conflict.what));
            let entries = state.into_values().map(|mut entry| {
                let current = entry.written.pop().map(|written| written.value);
                (entry.name, current, entry.category, entry.expires, entry.tags, entry.meta)
            });
            let (mut conflicts, mut entries) = (conflicts.collect::<Vec<_>>(), entries.collect::<Vec<_>>());
            conflicts.sort();
            entries.sort_by(|one, two| one.0.cmp(&two.0));
            (conflicts, entries)
        });
        if !seen.iter().any(|(conflicts, _)| conflicts.iter().any(|(_, what)| what == "name")) {
            assert_eq!(seen[0], seen[1], "history {}", self.number);
        }
    }
}

#[test]
fn ten_thousand_histories_are_merged_as_the_model_says() {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let (mut kinds, mut outcomes) = (BTreeMap::<String, u64>::new(), [0; 3]);
    let seen: Vec<Vec<Expected>> = std::thread::scope(|scope| {
        let part = |first: u64| {
            move || {
                let compared = (first..HISTORIES).step_by(threads as usize).map(|number| {
                    let history = History::new(number);
                    history.compare_turned();
                    history.compare()
                });
                compared.collect()
            }
        };
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(part(first))).collect();
        parts.into_iter().map(|part| part.join().unwrap()).collect()
    });
    for expected in seen.into_iter().flatten() {
        for (_, what) in &expected.conflicts {
            let kind = if what.starts_with('#') { "#" } else { what.split(' ').next().unwrap_or_default() };
            *kinds.entry(kind.to_owned()).or_default() += 1;
        }
        for (sum, count) in outcomes.iter_mut().zip([expected.added, expected.changed, expected.removed]) {
            *sum += count;
        }
    }
    // What never comes up is not proved.
    for kind in ["value", "#", "name", "removed", "category", "expiry", "meta"] {
        assert!(kinds.get(kind).is_some_and(|count| *count > 20), "{kind}: {kinds:?}");
    }
    assert!(outcomes.iter().all(|count| *count > 100), "{outcomes:?}");
}
