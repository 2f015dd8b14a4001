//! Each call fails: once, with all of its sort from there on, or with all calls from there on.

use vault::store::file::{FileOptions, Known};
use vault::store::{Committed, Store, StoreError};

use crate::bytes::Bytes;
use crate::crash::{Expected, Step, change_header, expected_after, found};
use crate::medium::{Call, Failure, Fault, Medium, Then};
use crate::random::{Random, each_case};
use crate::sample::{COMPACTING, HASTY, PLAIN, SAMPLE, commit};
use crate::state::{Name, State};

const EINTR: i32 = 4;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

/// A vault, what it holds, and the one step that is made while calls fail.
struct Scene {
    name: &'static str,
    state: State,
    /// What may be there after a power cut before the step: more than one if the newest commit is not durable.
    before: Vec<Expected>,
    step: Step,
    options: FileOptions,
}

fn put(number: u8, length: usize) -> Step {
    Step::Commit(vec![(vec![number], Some(vec![number; length])), (vec![0], Some(vec![number]))])
}

fn scenes() -> Vec<Scene> {
    let build = |steps: &[Step]| {
        let medium = Medium::empty();
        SAMPLE.create(&medium).unwrap();
        let store = SAMPLE.open(medium.place()).unwrap();
        let mut expected = expected_after(&None, &Step::Create);
        for step in steps {
            perform(&store, step).unwrap();
            expected = expected_after(&expected, step);
        }
        drop(store);
        (medium.state(), expected)
    };
    let scene = |name, steps: &[Step], step, options| {
        let (state, expected) = build(steps);
        Scene { name, state, before: vec![expected], step, options }
    };
    let three = [put(1, 5), put(2, 2000), put(3, 500)];
    let mut all = vec![
        scene("a commit", &three, put(4, 1500), PLAIN),
        scene("the first commit", &[], put(4, 10), PLAIN),
        scene("a large commit", &three, put(4, 2_500_000), PLAIN),
        scene("a compaction", &three, Step::Compact, PLAIN),
        scene("a header change", &three, Step::ChangeHeader(7), PLAIN),
        scene("a commit that compacts", &[put(1, 5), put(2, 800_000), put(2, 900_000)], put(2, 3000), COMPACTING),
    ];
    // The newest commit is not durable, and something stands behind it.
    let (state, expected) = build(&three[..2]);
    let medium = Medium::new(state);
    medium.arm(Some(Fault { at: 0, of: Some(Call::SetLength), failure: Failure::Errno(EIO), then: Then::Dead }));
    let store = SAMPLE.open(medium.place()).unwrap();
    medium.arm(Some(Fault { at: 1, of: Some(Call::Sync), failure: Failure::Errno(EIO), then: Then::Dead }));
    perform(&store, &three[2]).unwrap_err();
    let mut state = medium.state().killed();
    state.append(&[9; 5000]);
    let newest = expected_after(&expected, &three[2]);
    assert!(found(&Medium::new(state.clone())).unwrap() == newest);
    all.push(Scene {
        name: "a commit on what is not durable",
        state,
        before: vec![newest, expected],
        step: put(4, 100),
        options: PLAIN,
    });
    all
}

fn perform(store: &vault::store::file::FileStore, step: &Step) -> Result<Committed, StoreError> {
    match step {
        Step::Commit(changes) => commit(store, changes),
        Step::Compact => store.compact(5),
        Step::ChangeHeader(mark) => change_header(store, *mark),
        Step::Create | Step::Reopen => unreachable!(),
    }
}

#[test]
fn every_call_fails() {
    let scenes = scenes();
    let mut cases = Vec::new();
    for scene in &scenes {
        let medium = Medium::new(scene.state.clone());
        medium.arm(None);
        let store = SAMPLE.open_with(medium.place(), Known::default(), scene.options).unwrap();
        perform(&store, &scene.step).unwrap();
        let mut failures = vec![Failure::Short];
        for errno in [EINTR, EIO, ENOSPC, EROFS] {
            failures.extend([Failure::Errno(errno), Failure::Partly(errno)]);
        }
        for (at, call) in medium.calls().into_iter().enumerate() {
            for failure in &failures {
                let fits = match failure {
                    Failure::Errno(_) => true,
                    Failure::Partly(_) => matches!(call, Call::Write | Call::Sync),
                    Failure::Short => call == Call::Write,
                };
                for then in [Then::Recovers, Then::SameFails, Then::AllFail] {
                    // An interruption for ever is no failure: whoever is interrupted tries again.
                    let interrupted = matches!(failure, Failure::Errno(EINTR) | Failure::Partly(EINTR));
                    if fits && (then == Then::Recovers || !interrupted) {
                        cases.push((scene, Fault { at, of: None, failure: *failure, then }));
                    }
                }
            }
        }
    }
    each_case(cases.len(), |case| {
        let (scene, fault) = &cases[case];
        let failed = fail(scene, *fault, &mut Random::new(case as u64));
        failed.unwrap_or_else(|error| panic!("{}, {fault:?}: {error}", scene.name));
    });
}

fn fail(scene: &Scene, fault: Fault, random: &mut Random) -> Result<(), String> {
    let old = &scene.before[0];
    let new = &expected_after(old, &scene.step);
    let medium = Medium::new(scene.state.clone());
    medium.arm(Some(fault));
    let store = SAMPLE.open_with(medium.place(), Known::default(), scene.options);
    let outcome = store.as_ref().map_err(|error| format!("{error:?}")).map(|store| perform(store, &scene.step));
    let call = medium.failed().expect("the call is made again");
    medium.arm(None);

    // What other processes see from here on, and what any power cut leaves.
    let (live, durable) = match &outcome {
        Err(_) => (vec![old], scene.before.iter().collect()),
        Ok(Ok(_)) => (vec![new], vec![new]),
        Ok(Err(StoreError::StateUnknown(_))) => (vec![old, new], scene.before.iter().chain([new]).collect()),
        Ok(Err(_)) => (vec![old], scene.before.iter().collect::<Vec<_>>()),
    };
    let what = format!("{call:?} failed, outcome {outcome:?}");
    let seen = found(&medium).map_err(|error| format!("{what}; then it does not open: {error:?}"))?;
    if !live.contains(&&seen) {
        return Err(format!("{what}; others see another state"));
    }
    for (kept, state) in medium.state().power_cuts(random, 2) {
        let left = found(&Medium::new(state)).map_err(|error| format!("{what}; {kept}: does not open: {error:?}"))?;
        if !durable.contains(&&left) {
            return Err(format!("{what}; {kept}: another state"));
        }
    }
    let quiet = fault.then == Then::Recovers || fault.then == Then::SameFails;
    if quiet && fault.failure == Failure::Short && !matches!(outcome, Ok(Ok(_))) {
        return Err(format!("{what}: a short write is to be continued"));
    }
    if fault.then == Then::Recovers && fault.failure == Failure::Errno(EINTR) && matches!(call, Call::Read | Call::Write) {
        let done = matches!(&outcome, Ok(Ok(committed)) if committed.note.is_none());
        if !done {
            return Err(format!("{what}: an interrupted call is to be made again"));
        }
    }

    // This handle goes on, if the state is known; others do in any case.
    let further = Step::Commit(vec![(b"further".to_vec(), Some(b"one".to_vec()))]);
    let mut seen = seen;
    if let (Ok(store), Ok(result)) = (&store, &outcome) {
        let unknown = matches!(result, Err(StoreError::StateUnknown(_)));
        match perform(store, &further) {
            Ok(_) if !unknown => seen = expected_after(&seen, &further),
            Err(StoreError::StateUnknown(_)) if unknown || fault_hit_compaction(result) => {}
            other => return Err(format!("{what}; then the same handle: {other:?}")),
        }
        if unknown && !matches!(store.begin().map(drop), Err(StoreError::StateUnknown(_))) {
            return Err(format!("{what}; the handle works on"));
        }
    }
    let another = SAMPLE.open(medium.place()).map_err(|error| format!("{what}; then: {error:?}"))?;
    perform(&another, &put(5, 30)).map_err(|error| format!("{what}; then a commit: {error:?}"))?;
    another.check().map_err(|error| format!("{what}; then check: {error:?}"))?;
    seen = expected_after(&seen, &put(5, 30));
    for (kept, state) in medium.state().power_cuts(random, 2) {
        if found(&Medium::new(state)).ok().as_ref() != Some(&seen) {
            return Err(format!("{what}; then a commit is lost; {kept}"));
        }
    }
    if medium.has(Name::Temporary) {
        return Err(format!("{what}; the temporary file is left over"));
    }
    Ok(())
}

/// The commit holds, and the compaction behind it left the handle unusable.
fn fault_hit_compaction(result: &Result<Committed, StoreError>) -> bool {
    matches!(result, Ok(committed) if committed.note.is_some())
}

#[test]
fn a_read_only_medium_is_read() {
    let scene = &scenes()[0];
    let medium = Medium::new(scene.state.clone());
    let store = SAMPLE.open(medium.place()).unwrap();
    for call in [Call::Write, Call::CreateTemporary, Call::SetLength, Call::Sync] {
        medium.arm(Some(Fault { at: 0, of: Some(call), failure: Failure::Errno(EROFS), then: Then::SameFails }));
        assert!(found(&medium).unwrap() == scene.before[0]);
        store.check().unwrap();
    }
}

#[test]
fn a_place_that_never_agrees_with_its_file_is_given_up() {
    // A file system whose inode numbers differ between descriptor and path must not make a writer spin for ever.
    let medium = Medium::new(State::with_vault(Bytes::new(&scenes()[0].state.vault().unwrap().to_vec())));
    let store = SAMPLE.open_with(medium.place(), Default::default(), HASTY).unwrap();
    medium.pretend_replaced(true);
    let result = store.begin().map(drop);
    assert!(matches!(result, Err(StoreError::Busy | StoreError::Replaced)), "{result:?}");
    medium.pretend_replaced(false);
    perform(&store, &put(1, 1)).unwrap();
}

/// A file that is mounted by itself, as containers have it, cannot be renamed over.
#[test]
fn a_compaction_that_fails_is_not_tried_with_each_commit() {
    let medium = Medium::empty();
    SAMPLE.create(&medium).unwrap();
    let open = || SAMPLE.open_with(medium.place(), Known::default(), COMPACTING).unwrap();
    let store = open();
    medium.arm(Some(Fault { at: 0, of: Some(Call::Replace), failure: Failure::Errno(16), then: Then::SameFails }));
    let mut notes = Vec::new();
    let mut tried = 0;
    for number in 0..12_u8 {
        notes.extend(commit(&store, &vec![(vec![2], Some(vec![number; 800_000]))]).unwrap().note);
        tried += usize::from(medium.failed().is_some());
    }
    assert!(tried > 0, "there was nothing to compact");
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("could not be compacted") && notes[0].contains("mount point"), "{notes:?}");
    assert_eq!(store.facts().failed_compactions, 1);
    assert!(store.facts().dead > store.facts().live);
    drop(store);
    // Where it can be, it is with the next commit.
    medium.arm(None);
    let store = open();
    assert_eq!(commit(&store, &vec![(vec![2], Some(vec![9; 1000]))]).unwrap().note, None);
    assert!(store.facts().dead < 100_000, "{:?}", store.facts());
}
