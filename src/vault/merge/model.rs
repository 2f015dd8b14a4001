//! What a merge is to be: per entry and per field, from whole states, without a record, a seal or a batch.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use super::Side;

/// The fields of JSON values. Every object has the inner one, so a path is there or not on its own.
pub(super) const PATHS: [&str; 4] = ["x", "y", "in.x", "in.y"];

pub(super) type Uid = [u8; 16];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(u64),
    Bytes(u64),
    Json(BTreeMap<&'static str, u64>),
}

/// Two writes are the same if all of it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub number: u64,
    pub time: u64,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Model {
    pub name: String,
    /// Those that are kept; the last is the current one.
    pub written: Vec<Written>,
    pub category: Option<u64>,
    pub expires: Option<u64>,
    pub tags: BTreeSet<String>,
    pub meta: BTreeMap<String, String>,
}

pub(super) type State = BTreeMap<Uid, Model>;

/// What a merge is to lead to. Of versions, the numbers and values.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub state: State,
    /// New entries whose name was taken: what they are called begins with it.
    pub renamed: BTreeSet<Uid>,
    pub conflicts: Vec<(Uid, String)>,
    pub added: u64,
    pub changed: u64,
    pub removed: u64,
}

/// Of two values and the old one, what is to be, and whether both changed it. Without an ancestor (`None`), what is different is in conflict.
fn three<T: Clone + PartialEq>(old: Option<&T>, own: &T, other: &T, favour: Side) -> (T, bool) {
    let changed = |side: &T| old != Some(side);
    match (changed(own), changed(other)) {
        _ if own == other => (own.clone(), false),
        (true, false) => (own.clone(), false),
        (false, _) => (other.clone(), false),
        (true, true) if favour == Side::Own => (own.clone(), true),
        (true, true) => (other.clone(), true),
    }
}

/// How a merge goes about it.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub favour: Side,
    pub keep: usize,
    pub now: u64,
}

/// Joins an entry, and says what is in conflict.
fn join(own: &Model, other: &Model, base: Option<&Model>, related: bool, way: Way) -> (Model, Vec<String>) {
    let Way { favour, keep, now } = way;
    let (newest, foreign) = (own.written.last().unwrap(), other.written.last().unwrap());
    let base = base.or_else(|| {
        let own_is_older = other.written.contains(newest) && foreign != newest;
        let other_is_older = own.written.contains(foreign) && foreign != newest;
        match (own_is_older, other_is_older) {
            (true, false) if related => Some(own),
            (false, true) if related => Some(other),
            _ => None,
        }
    });
    let mut conflicts = Vec::new();
    let mut told = |(is_conflict, what): (bool, String)| conflicts.extend(is_conflict.then_some(what));
    let mut joined = own.clone();
    let (name, both) = three(base.map(|base| &base.name), &own.name, &other.name, favour);
    joined.name = name;
    told((both, "name".to_owned()));
    let (category, both) = three(base.map(|base| &base.category), &own.category, &other.category, favour);
    joined.category = category;
    told((both, "category".to_owned()));
    let (expires, both) = three(base.map(|base| &base.expires), &own.expires, &other.expires, favour);
    joined.expires = expires;
    told((both, "expiry".to_owned()));
    // A tag or a key that only one side has was added there, or removed on the other one.
    for tag in ["t0", "t1", "t2"] {
        let has = |model: &Model| model.tags.contains(tag);
        let (is_there, _) = three(Some(&base.is_some_and(has)), &has(own), &has(other), favour);
        let _ = if is_there { joined.tags.insert(tag.to_owned()) } else { joined.tags.remove(tag) };
    }
    for key in ["k0", "k1"] {
        let value = |model: &Model| model.meta.get(key).cloned();
        let (value, both) = three(Some(&base.and_then(value)), &value(own), &value(other), favour);
        joined.meta.remove(key);
        joined.meta.extend(value.map(|value| (key.to_owned(), value)));
        told((both, format!("meta {key}")));
    }
    // The newest write that both have; what the ancestor had is one of them, kept or not.
    let shared =
        own.written.iter().filter(|written| related && other.written.contains(written)).map(|written| written.number).max();
    let ancestor = base.filter(|_| related).and_then(|base| base.written.last());
    let parted = shared.max(ancestor.map(|written| written.number)).unwrap_or(0);
    let new: Vec<&Written> = other.written.iter().filter(|written| written.number > parted).collect();
    if new.is_empty() {
        return (limited(joined, keep, &[]), conflicts);
    }
    if newest.number <= parted {
        joined.written.extend(new.into_iter().cloned());
        return (limited(joined, keep, &[]), conflicts);
    }
    let mut push = |value: &Value, time: u64| {
        let number = joined.written.last().unwrap().number + 1;
        joined.written.push(Written { number, time, value: value.clone() });
    };
    if newest.value == foreign.value {
        let between = &new[..new.len() - 1];
        between.iter().for_each(|written| push(&written.value, written.time));
        if !between.is_empty() {
            push(&newest.value, now);
        }
        return (limited(joined, keep, &[]), conflicts);
    }
    let mut held = vec![newest.number, newest.number + new.len() as u64];
    let before = conflicts.len();
    new.iter().for_each(|written| push(&written.value, written.time));
    if let (Value::Json(one), Value::Json(two)) = (&newest.value, &foreign.value) {
        let old = own.written.iter().find(|written| written.number == parted).or(ancestor).map(|written| &written.value);
        let mut fields = BTreeMap::new();
        for path in PATHS {
            let old = match old {
                Some(Value::Json(old)) => old.get(path),
                _ => None,
            };
            let (value, both) = three(Some(&old), &one.get(path), &two.get(path), favour);
            fields.extend(value.map(|value| (path, *value)));
            conflicts.extend(both.then(|| format!("#{path}")));
        }
        push(&Value::Json(fields), now);
    } else {
        conflicts.push("value".to_owned());
        if favour == Side::Own {
            push(&newest.value, now);
            held[0] = held[1] + 1;
        }
    }
    if conflicts.len() == before {
        held.clear();
    }
    (limited(joined, keep, &held), conflicts)
}

/// No more versions than are to be kept, but those that hold what is in conflict.
fn limited(mut entry: Model, keep: usize, held: &[u64]) -> Model {
    let last = entry.written.last().unwrap().number;
    while entry.written.len() > keep {
        let goes = |written: &Written| written.number != last && !held.contains(&written.number);
        let Some(at) = entry.written.iter().position(goes) else { break };
        entry.written.remove(at);
    }
    entry
}

/// What is to become of two states.
pub(super) fn model(base: Option<&State>, own: &State, other: &State, way: Way) -> Expected {
    let mut expected = Expected::default();
    let mut told = Vec::new();
    let old = |uid: &Uid| base.and_then(|base| base.get(uid));
    let mut unmoved = BTreeSet::new();
    let mut only_own = BTreeMap::new();
    for (uid, ours) in own {
        match (other.get(uid), old(uid)) {
            (None, Some(old)) if old == ours => expected.removed += 1,
            (None, old) => {
                only_own.insert(ours.name.as_str(), *uid);
                told.extend(old.map(|_| (*uid, "removed".to_owned())));
                expected.state.insert(*uid, ours.clone());
            }
            (Some(theirs), old) if ours == theirs || old == Some(theirs) => {
                expected.state.insert(*uid, ours.clone());
            }
            (Some(theirs), old) => {
                let (joined, conflicts) = join(ours, theirs, old, true, way);
                told.extend(conflicts.into_iter().map(|what| (*uid, what)));
                expected.state.insert(*uid, joined);
                expected.changed += 1;
            }
        }
    }
    let mut new = BTreeMap::new();
    for (uid, theirs) in other.iter().filter(|(uid, _)| !own.contains_key(*uid)) {
        match (only_own.get(theirs.name.as_str()), old(uid)) {
            (_, Some(old)) if old == theirs => {}
            (Some(twin), old) => {
                let (joined, conflicts) = join(&own[twin], theirs, None, false, way);
                told.extend(conflicts.into_iter().map(|what| (*twin, what)));
                told.extend(old.map(|_| (*twin, "removed".to_owned())));
                expected.state.insert(*twin, joined);
                expected.changed += 1;
            }
            (None, old) => {
                told.extend(old.map(|_| (*uid, "removed".to_owned())));
                new.insert(*uid, limited(theirs.clone(), way.keep, &[]));
                expected.added += 1;
            }
        }
    }
    // A name belongs to whoever has it on the own side and keeps it; one that cannot have its new name keeps the old one, and so on.
    loop {
        unmoved.extend(
            expected.state.iter().filter(|(uid, entry)| own[*uid].name == entry.name).map(|(_, entry)| entry.name.clone()),
        );
        let Some((uid, entry)) =
            expected.state.iter_mut().find(|(uid, entry)| own[*uid].name != entry.name && unmoved.contains(&entry.name))
        else {
            break;
        };
        entry.name.clone_from(&own[uid].name);
        if !told.contains(&(*uid, "name".to_owned())) {
            told.push((*uid, "name".to_owned()));
        }
    }
    let names: BTreeSet<String> = expected.state.values().map(|entry| entry.name.clone()).collect();
    for (uid, entry) in new {
        if names.contains(&entry.name) {
            expected.renamed.insert(uid);
            told.push((uid, "name".to_owned()));
        }
        expected.state.insert(uid, entry);
    }
    told.sort();
    expected.conflicts = told;
    expected
}
