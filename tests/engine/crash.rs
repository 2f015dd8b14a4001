//! Power cuts and kills at every point: what was acknowledged stays, what was not is there as a whole or not at all.

use vault::crypto::Hash;
use vault::store::StoreError;
use vault::store::file::storage::FileId;
use vault::store::file::{FileStore, Known, Renewal};

use crate::medium::{Call, Failure, Fault, Medium, Then};
use crate::random::{Random, each_case, scaled};
use crate::sample::{COMPACTING, Changes, Contents, PLAIN, SAMPLE, apply, commit, contents};
use crate::state::{Name, State};

/// One step of a script.
#[derive(Clone)]
pub enum Step {
    Create,
    Commit(Changes),
    Compact,
    /// Replaces what a slot wraps, which the engine does not look into.
    ChangeHeader(u8),
    /// Another process takes over.
    Reopen,
}

/// What a vault holds: its entries, and the mark that a header change left. None before it was created.
pub type Expected = Option<(Contents, u8)>;

pub fn expected_after(expected: &Expected, step: &Step) -> Expected {
    let (mut contents, mut mark) = expected.clone().unwrap_or_default();
    match step {
        Step::Commit(changes) => apply(&mut contents, changes),
        Step::ChangeHeader(new) => mark = *new,
        Step::Create | Step::Compact | Step::Reopen => {}
    }
    Some((contents, mark))
}

/// What is there now, as a new process finds it.
pub fn found(medium: &Medium) -> Result<Expected, StoreError> {
    match SAMPLE.open(medium.place()) {
        Ok(store) => holds(&store).map(Some),
        Err(StoreError::Missing) => Ok(None),
        Err(error) => Err(error),
    }
}

fn holds(store: &FileStore) -> Result<(Contents, u8), StoreError> {
    let (_, contents) = contents(store)?;
    Ok((contents, store.header()?.slots[0].wrap[0]))
}

/// What a machine remembers of the vault.
type Memory = Option<(Hash, FileId)>;

/// A script that was run: what each stage of it holds, and what the machine had acknowledged.
pub struct Script {
    pub medium: Medium,
    stages: Vec<(Expected, Memory)>,
}

impl Script {
    /// Runs the steps; `compact`: whether commits compact by themselves.
    pub fn run(steps: &[Step], compact: bool) -> Self {
        let medium = Medium::empty();
        medium.record();
        let options = if compact { COMPACTING } else { PLAIN };
        let mut stages: Vec<(Expected, Memory)> = vec![(None, None)];
        let mut store = None;
        for (stage, step) in steps.iter().enumerate() {
            medium.set_stage(stage);
            let (before, memory) = stages[stage].clone();
            if matches!(step, Step::Create) {
                SAMPLE.create(&medium).unwrap();
                stages.push((expected_after(&before, step), None));
                continue;
            }
            if matches!(step, Step::Reopen) {
                store = None;
            }
            let open = || SAMPLE.open_with(medium.place(), Known { acknowledged: memory }, options).unwrap();
            let store = store.get_or_insert_with(open);
            match step {
                Step::Commit(changes) => drop(commit(store, changes).unwrap()),
                Step::Compact => drop(store.compact(5).unwrap()),
                Step::ChangeHeader(mark) => drop(change_header(store, *mark).unwrap()),
                Step::Create | Step::Reopen => {}
            }
            stages.push((expected_after(&before, step), store.acknowledged()));
        }
        medium.set_stage(steps.len());
        // The moment behind the last acknowledgement is a point, too.
        drop(store);
        vault::store::file::storage::Place::remove_temporary(&medium).unwrap();
        Self { medium, stages }
    }

    /// What may be there when a crash comes in a stage: what it began with, or what it was about to make of it.
    fn allowed(&self, stage: usize) -> Vec<Expected> {
        self.stages[stage..self.stages.len().min(stage + 2)].iter().map(|(expected, _)| expected.clone()).collect()
    }
}

pub fn change_header(store: &FileStore, mark: u8) -> Result<vault::store::Committed, StoreError> {
    // Not the ring: whoever unlocked another one has to unlock anew.
    store.renew(6, |header, _| {
        let mut header = header.clone();
        header.slots[0].wrap[0] = mark;
        Ok::<_, StoreError>(Renewal::of_header(header))
    })
}

/// Every style has its own kind of step besides small commits: none, a large commit, compactions, header changes, commits that
/// compact by themselves.
fn random_steps(random: &mut Random, style: usize) -> Vec<Step> {
    const LARGE: usize = 1_060_000;
    let mut steps = vec![Step::Create];
    for number in 0..4 + random.below(3) {
        steps.push(match style % 5 {
            1 if number == 1 => Step::Commit(random_changes(random, LARGE)),
            2 if random.chance(40) => Step::Compact,
            3 if random.chance(40) => Step::ChangeHeader(number as u8 + 1),
            4 if number == 1 || number == 2 => Step::Commit(random_changes(random, LARGE)),
            _ if random.chance(25) => Step::Reopen,
            _ => Step::Commit(random_changes(random, 0)),
        });
    }
    steps
}

/// A few small changes, and, if `large` is above 0, a value of that size.
fn random_changes(random: &mut Random, large: usize) -> Changes {
    let mut changes: Changes = (0..1 + random.below(4))
        .map(|_| {
            let key = vec![b'k', random.below(12) as u8];
            let length = *random.pick(&[0, 10, 300, 1500, 6000]);
            (key, random.chance(80).then(|| random.bytes(length)))
        })
        .collect();
    if large > 0 {
        changes.push((b"large".to_vec(), Some(random.bytes(large))));
    }
    changes
}

fn probe(number: u8) -> Changes {
    vec![(vec![b'p', number], Some(vec![number; 40])), (b"probe".to_vec(), Some(vec![number]))]
}

/// Somebody opens the vault after a crash, sees one of what is allowed, and commits. Returns what he saw, and what there is now.
fn recover(medium: &Medium, allowed: &[Expected], memory: Memory, number: u8) -> Result<[Expected; 2], String> {
    let seen = found(medium).map_err(|error| format!("does not open: {error:?}"))?;
    if !allowed.contains(&seen) {
        return Err("holds what was never committed, or lost what was".to_owned());
    }
    if seen.is_none() {
        SAMPLE.create(medium).map_err(|error| format!("cannot be created: {error:?}"))?;
    }
    let store = SAMPLE
        .open_with(medium.place(), Known { acknowledged: memory }, PLAIN)
        .map_err(|error| format!("does not open again: {error:?}"))?;
    let changes = probe(number);
    commit(&store, &changes).map_err(|error| format!("a further commit: {error:?}"))?;
    let now = expected_after(&seen, &Step::Commit(changes));
    let after = holds(&store).map_err(|error| format!("after a further commit: {error:?}"))?;
    if now.as_ref() != Some(&after) {
        return Err("a further commit changed something else".to_owned());
    }
    store.check().map_err(|error| format!("check after a further commit: {error:?}"))?;
    if medium.has(Name::Temporary) {
        return Err("the temporary file of a rewrite is left over".to_owned());
    }
    Ok([seen, now])
}

/// Recovers, and recovers again from crashes while the first recovery was at work.
fn recover_twice(state: State, allowed: &[Expected], memory: Memory, random: &mut Random) -> Result<(), String> {
    let medium = Medium::new(state);
    medium.record();
    let [seen, now] = recover(&medium, allowed, memory, 1)?;
    medium.set_stage(1);
    drop(vault::store::file::storage::Place::remove_temporary(&medium));
    // What the second process acknowledged is there after any power cut; before that, the first crash may still take its part.
    for point in medium.take_points() {
        let mut allowed = allowed.to_vec();
        allowed.extend([seen.clone(), now.clone()]);
        if seen.is_none() {
            allowed.push(Some(Default::default()));
        }
        if point.stage == 1 {
            allowed = vec![now.clone()];
        }
        let what = format!("second crash before {:?}, stage {}", point.before, point.stage);
        let cuts = point.state.power_cuts(random, 2);
        for _ in 0..cuts.len().min(2) {
            let (kept, state) = random.pick(&cuts);
            recover(&Medium::new(state.clone()), &allowed, memory, 2).map_err(|error| format!("{what}; {kept}: {error}"))?;
        }
        if random.chance(70) {
            continue;
        }
        // Killed instead; a third process goes on, and then the power fails.
        let medium = Medium::new(point.state.killed());
        let [_, third] = recover(&medium, &allowed, memory, 2).map_err(|error| format!("{what}; killed: {error}"))?;
        recover(&Medium::new(medium.state().cut()), &[third], None, 3)
            .map_err(|error| format!("{what}; killed, then cut: {error}"))?;
    }
    Ok(())
}

#[test]
fn every_crash_point_of_scripts() {
    each_case(scaled(50), |case| {
        let mut random = Random::new(1000 + case as u64);
        let steps = random_steps(&mut random, case);
        let script = Script::run(&steps, case % 5 == 4);
        let rewritten = SAMPLE.open(script.medium.place()).unwrap().facts().epoch > 1;
        assert!(rewritten || case % 5 != 4, "the large commits are to make the vault compact itself");
        // Large files take their time.
        let (samples, most) = if matches!(case % 5, 1 | 4) { (2, 6) } else { (4, usize::MAX) };
        for (number, point) in script.medium.take_points().into_iter().enumerate() {
            let allowed = script.allowed(point.stage);
            let (_, memory) = script.stages[point.stage];
            let memory = memory.filter(|_| random.chance(50));
            let at = format!("point {number} before {:?}, stage {}", point.before, point.stage);
            let mut cuts = point.state.power_cuts(&mut random, samples);
            while cuts.len() > most {
                cuts.swap_remove(random.below(cuts.len()));
            }
            for (image, (kept, state)) in cuts.into_iter().enumerate() {
                let outcome = if (image + number) % 12 == 0 {
                    recover_twice(state, &allowed, memory, &mut random)
                } else {
                    recover(&Medium::new(state), &allowed, memory, 1).map(|_| ())
                };
                outcome.unwrap_or_else(|error| panic!("{at}; {kept}: {error}"));
            }
            recover_twice(point.state.killed(), &allowed, memory, &mut random)
                .unwrap_or_else(|error| panic!("{at}; killed: {error}"));
        }
    });
}

/// An fsync fails and leaves the pages clean in memory; its process dies before it can undo anything. The next one sees the commit
/// in memory, and its own fsync succeeds: what it builds on must have been made durable by then.
#[test]
fn a_failed_fsync_of_one_process_is_settled_by_the_next() {
    each_case(scaled(5), |case| {
        let mut random = Random::new(2000 + case as u64);
        let steps = random_steps(&mut random, case);
        let script = Script::run(&steps, case % 5 == 4);
        let points = script.medium.take_points();
        for (number, point) in
            points.iter().enumerate().filter(|(_, point)| matches!(point.before, Call::Sync | Call::SyncDirectory))
        {
            let allowed = script.allowed(point.stage);
            let (_, memory) = script.stages[point.stage];
            for failure in [Failure::Errno(5), Failure::Partly(5)] {
                let at = format!("point {number} before {:?}, stage {}, {failure:?}", point.before, point.stage);
                let mut state = point.state.killed();
                if point.before == Call::Sync {
                    state.fail_fsync(failure);
                }
                for memory in [None, memory] {
                    settle(state.clone(), &allowed, memory, 2, &mut random)
                        .unwrap_or_else(|error| panic!("{at}, {}: {error}", memory.is_some()));
                }
            }
        }
    });
}

/// The next process commits; at each of its own fsyncs it may fail and die as well, and another one comes.
fn settle(state: State, allowed: &[Expected], memory: Memory, deep: usize, random: &mut Random) -> Result<(), String> {
    let medium = Medium::new(state.clone());
    medium.arm(None);
    let [seen, now] = recover(&medium, allowed, memory, deep as u8)?;
    let syncs = medium.calls().iter().filter(|call| **call == Call::Sync).count();
    for (kept, state) in medium.state().power_cuts(random, 3) {
        recover(&Medium::new(state), std::slice::from_ref(&now), None, 9)
            .map_err(|error| format!("lost what was built on a failed fsync; {kept}: {error}"))?;
    }
    if deep == 0 {
        return Ok(());
    }
    for at in 0..syncs {
        let medium = Medium::new(state.clone());
        medium.arm(Some(Fault { at, of: Some(Call::Sync), failure: Failure::Errno(5), then: Then::Dead }));
        let outcome = recover(&medium, allowed, memory, deep as u8);
        if outcome.is_ok() {
            return Err(format!("acknowledged after fsync {at} failed"));
        }
        let mut allowed = allowed.to_vec();
        allowed.extend([seen.clone(), now.clone()]);
        if seen.is_none() {
            allowed.push(Some(Default::default()));
        }
        settle(medium.state().killed(), &allowed, memory, deep - 1, random)
            .map_err(|error| format!("fsync {at} too: {error}"))?;
    }
    Ok(())
}

/// The rename of a rewrite is done, its fsync of the directory is not; others commit into the new file, each killed behind its
/// append; the last one acknowledges, and the power fails.
#[test]
fn names_are_durable_before_anything_is_acknowledged_in_a_renamed_file() {
    for compact in [true, false] {
        let rewrite = if compact { Step::Compact } else { Step::ChangeHeader(3) };
        let put = |n: u8| Step::Commit(vec![(vec![n], Some(vec![n; 9]))]);
        let script = Script::run(&[Step::Create, put(1), put(2), rewrite], false);
        let points = script.medium.take_points();
        let renamed = points.iter().find(|point| point.before == Call::SyncDirectory && point.stage == 3);
        let renamed = renamed.unwrap().state.killed();
        // A reader notes the first record of a file as durable, since its bytes are.
        let reader = SAMPLE.open(Medium::new(renamed.clone()).place()).unwrap();
        assert!(reader.facts().first_of_file);
        let noted = Some((reader.facts().revision.hash, reader.file_id()));
        let mut states = vec![(renamed.clone(), script.allowed(3), None), (renamed, script.allowed(3), noted)];
        for chain in 0..3u8 {
            let mut next = Vec::new();
            for (state, allowed, memory) in &states {
                let medium = Medium::new(state.clone());
                medium.record();
                let [_, now] = recover(&medium, allowed, *memory, chain).unwrap();
                for (kept, state) in medium.state().power_cuts(&mut Random::new(0), 2) {
                    let outcome = recover(&Medium::new(state), std::slice::from_ref(&now), None, 9);
                    outcome.unwrap_or_else(|error| panic!("chain {chain}; {kept}: {error}"));
                }
                let mut allowed = allowed.clone();
                allowed.push(now);
                next.extend(medium.take_points().into_iter().map(|point| (point.state.killed(), allowed.clone(), *memory)));
            }
            states = next;
        }
    }
}
