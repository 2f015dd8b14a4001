//! The log of what was done, as bytes: every alteration is found, torn ends are mended, and what stays can be verified.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use vault::audit::{
    Action, Actor, AuditError, Event, Expected, Keys, Log, Prune, Reader, Settings, Source, Status, Stay, Summary, Sync,
    Verified, prune, remembered, verify,
};
use vault::secret::AuditKey;
use vault::store::Walk;
use vault::vault::AuditSource;

const LINE: usize = 80;
const ID: [u8; 16] = [3; 16];

/// A directory that goes when this is dropped.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("vault-audit-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let place = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&place);
        fs::create_dir(&place).unwrap();
        fs::write(place.join("vault"), "").unwrap();
        Self(place)
    }

    fn log(&self) -> PathBuf {
        self.0.join("vault.audit")
    }

    fn settings(&self) -> Settings {
        Settings {
            anchor_every: Duration::ZERO,
            log: self.log(),
            anchor: Some(self.0.join("state/anchor")),
            create_like: Some(self.0.join("vault")),
            patience: Duration::from_secs(20),
            sync: Sync::Every(Duration::from_millis(100)),
        }
    }

    fn append(&self, count: u64) {
        let mut log = Log::new(self.settings(), keys(1));
        for number in 0..count {
            log.append(number, &actor(), &[event(number)]).unwrap();
        }
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.log()).unwrap()
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.log(), keys(1)).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn key(byte: u8) -> AuditKey {
    AuditKey::new(zeroize::Zeroizing::new([byte; 32]))
}

fn source(byte: u8, id: [u8; 16]) -> AuditSource {
    AuditSource { id, path: PathBuf::from("/vault"), key: key(byte), opened_by: String::new(), full: true }
}

fn keys(byte: u8) -> Keys {
    Keys::new(source(byte, ID)).with_older(Vec::new())
}

fn actor() -> Actor {
    Actor { user: Some("1000".to_owned()), process: Some("sh".to_owned()), ..Actor::new(Source::Cli) }
}

/// Records of many lengths.
fn event(number: u64) -> Event {
    let mut uid = [0; 16];
    uid[..8].copy_from_slice(&(number % 7).to_le_bytes());
    let action = if number.is_multiple_of(3) { Action::Set } else { Action::Get };
    Event::new(action).uid(uid).version(number).detail("d".repeat((number % 50) as usize * 7))
}

fn check(bytes: &[u8], expected: &[Expected]) -> Result<Verified, AuditError> {
    verify(bytes, &keys(1), expected, 1)
}

/// Where each frame begins, the base included, and the end.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut all = vec![LINE];
    let mut at = LINE;
    while at < bytes.len() {
        at += u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        all.push(at);
    }
    assert_eq!(at, bytes.len());
    all
}

/// What a machine, or the vault, knows of a log.
fn anchor(bytes: &[u8], record: usize) -> Expected {
    let verified = check(bytes, &[]).unwrap();
    let end = frames(bytes)[record + 1];
    let hash = bytes[end - 36..end - 4].try_into().unwrap();
    Expected { by: "this machine", log: verified.log, sequence: record as u64, hash }
}

#[track_caller]
fn found(bytes: &[u8], expected: &[Expected], what: &str) -> Vec<(&'static str, Option<u64>)> {
    match check(bytes, expected) {
        Ok(verified) => {
            assert!(!verified.findings.is_empty(), "not found: {what}");
            verified.findings.iter().map(|finding| (finding.code, finding.sequence)).collect()
        }
        Err(_) => Vec::new(),
    }
}

const MANY: u64 = 1000;

fn sound(count: u64) -> (Place, Vec<u8>, Vec<usize>) {
    let place = Place::new();
    place.append(count);
    let bytes = place.bytes();
    let frames = frames(&bytes);
    let verified = check(&bytes, &[anchor(&bytes, count as usize)]).unwrap();
    assert_eq!((verified.records, verified.last, verified.findings), (count, count, Vec::new()));
    assert_eq!(frames.len() as u64, count + 2);
    (place, bytes, frames)
}

#[test]
fn every_record_that_was_edited_is_found() {
    let (_place, bytes, frames) = sound(MANY);
    for record in 0..=MANY as usize {
        let (start, end) = (frames[record], frames[record + 1]);
        // Length, sequence, mark, nonce, body, tag, hash, length: another one in each frame.
        let places = [start, start + 5, start + 13, start + 21, start + 60, end - 50, end - 20, end - 3];
        let at = places[record % places.len()];
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (record % 8);
        let found = found(&bad, &[], &format!("record {record}, byte {}", at - start));
        let near = |(_, sequence): &(&str, Option<u64>)| sequence.is_none_or(|s| s.abs_diff(record as u64) <= 1 || s > MANY);
        assert!(found.iter().any(near), "record {record}: {found:?}");
    }
}

#[test]
fn every_bit_of_a_short_log_counts() {
    let (_place, bytes, _) = sound(4);
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        // The last record may be altered so that its own hash is the only one that says so.
        found(&bad, &[], &format!("bit {bit}"));
    }
    for cut in 0..bytes.len() {
        found(&bytes[..cut], &[anchor(&bytes, 4)], &format!("cut at {cut}"));
    }
}

#[test]
fn every_record_that_was_removed_moved_or_doubled_is_found() {
    let (_place, bytes, frames) = sound(MANY);
    let known = [anchor(&bytes, MANY as usize)];
    for record in 1..=MANY as usize {
        let (start, end) = (frames[record], frames[record + 1]);
        let removed = [&bytes[..start], &bytes[end..]].concat();
        let last = record as u64 == MANY;
        // What stands far behind is left out: it is the same each time.
        let bytes = &bytes[..frames[frames.len().min(record + 9) - 1]];
        let removed = if last { removed } else { [&bytes[..start], &bytes[end..]].concat() };
        let what = found(&removed, if last { &known } else { &[] }, &format!("record {record} removed"));
        assert_eq!(what[0].1, Some(if last { MANY } else { record as u64 + 1 }));
        let doubled = [&bytes[..end], &bytes[start..]].concat();
        found(&doubled, &[], &format!("record {record} doubled"));
        if !last {
            let next = frames[record + 2];
            let swapped = [&bytes[..start], &bytes[end..next], &bytes[start..end], &bytes[next..]].concat();
            found(&swapped, &[], &format!("record {record} swapped with the next"));
        }
    }
}

#[test]
fn a_tail_that_was_cut_is_found_as_far_as_an_anchor_reaches() {
    let (_place, bytes, frames) = sound(MANY);
    let (machine, vault) = (anchor(&bytes, MANY as usize), anchor(&bytes, 768));
    for record in 0..MANY as usize {
        let cut = &bytes[..frames[record + 1]];
        assert_eq!(found(cut, &[machine], "cut")[0].0, "cut");
        // The vault says so up to where it was last told.
        let known = check(cut, &[vault]).unwrap().findings;
        assert_eq!(known.is_empty(), record >= 768, "{record}: {known:?}");
    }
}

#[test]
fn a_chain_that_was_computed_anew_without_the_key_is_found() {
    let (_place, bytes, frames) = sound(20);
    for record in 1..=20 {
        // Another body, and all hashes from there on.
        let mut forged = bytes.clone();
        forged[frames[record] + 60] ^= 1;
        rechain(&mut forged, &frames, record);
        let found = found(&forged, &[], "forged");
        assert_eq!(found[0], ("seal", Some(record as u64)));
        // And one that was taken out.
        if record < 20 {
            let removed = [&bytes[..frames[record]], &bytes[frames[record + 1]..]].concat();
            let mut removed = removed;
            let left = self::frames(&removed);
            for at in record..left.len() - 1 {
                removed[left[at] + 4..left[at] + 12].copy_from_slice(&(at as u64).to_le_bytes());
            }
            rechain(&mut removed, &left, record);
            let verified = check(&removed, &[]).unwrap();
            assert_eq!(verified.findings.len(), 20 - record, "{:?}", verified.findings);
        }
    }
}

/// Computes the hashes of all frames from this one on.
fn rechain(bytes: &mut [u8], frames: &[usize], from: usize) {
    let digits: Vec<u8> = (0..16)
        .map(|at| u8::from_str_radix(std::str::from_utf8(&bytes[47 + 2 * at..49 + 2 * at]).unwrap(), 16).unwrap())
        .collect();
    for record in from..frames.len() - 1 {
        let (start, end) = (frames[record], frames[record + 1]);
        let mut hashed = Vec::new();
        let previous = bytes[start - 36..start - 4].to_vec();
        for part in [&b"vault/1 audit chain"[..], &ID, &digits, &previous, &bytes[start..end - 36]] {
            hashed.extend_from_slice(&(part.len() as u64).to_le_bytes());
            hashed.extend_from_slice(part);
        }
        bytes[end - 36..end - 4].copy_from_slice(&vault::crypto::Hash::of(&hashed).0);
    }
}

#[test]
fn the_hashes_are_those_of_the_document() {
    let (_place, bytes, frames) = sound(5);
    let mut again = bytes.clone();
    rechain(&mut again, &frames, 1);
    assert_eq!(again, bytes);
}

#[test]
fn records_of_another_log_or_vault_do_not_fit() {
    let (_one, bytes, frames) = sound(10);
    let (_two, other, _) = sound(10);
    let other_frames = self::frames(&other);
    for record in 1..=10 {
        let (own, theirs) = (frames[record]..frames[record + 1], other_frames[record]..other_frames[record + 1]);
        let mut spliced = [&bytes[..own.start], &other[theirs], &bytes[own.end..]].concat();
        found(&spliced, &[], "spliced");
        let at = self::frames(&spliced);
        rechain(&mut spliced, &at, record);
        found(&spliced, &[], "spliced and chained");
    }
    assert!(matches!(verify(&bytes[..], &Keys::new(source(1, [4; 16])), &[], 1), Err(AuditError::Foreign(_))));
    // A key that the vault never had: found by whoever has all of its keys, counted by whoever has not.
    let all = verify(&bytes[..], &keys(2), &[], 1).unwrap();
    assert_eq!(all.findings.len(), 11);
    let few = verify(&bytes[..], &Keys::new(source(2, ID)), &[], 1).unwrap();
    assert_eq!((few.findings.len(), few.unread, few.records), (0, 10, 10));
    // Records before a change of keys stay readable with the older key.
    let both = verify(&bytes[..], &Keys::new(source(2, ID)).with_older(vec![key(1)]), &[], 1).unwrap();
    assert_eq!((both.findings.len(), both.unread), (0, 0));
}

/// The hash needs no key, so only the seal says that what stands before a record is what stood there when it was made.
#[test]
fn a_record_opens_only_behind_the_one_that_it_was_made_behind() {
    let place = Place::new();
    place.append(5);
    let old = place.bytes();
    place.append(5);
    let one = place.bytes();
    fs::remove_dir_all(place.0.join("state")).unwrap();
    fs::write(place.log(), &old).unwrap();
    let mut log = Log::new(place.settings(), keys(1));
    for number in 0..5 {
        log.append(90 + number, &actor(), &[event(number)]).unwrap();
    }
    let two = place.bytes();
    let (at, there) = (frames(&one), frames(&two));
    // The same number in the same log, from a time line that was given up.
    for record in 7..=10 {
        let mut spliced = [&one[..at[record]], &two[there[record]..there[record + 1]], &one[at[record + 1]..]].concat();
        let frames = frames(&spliced);
        rechain(&mut spliced, &frames, record);
        assert!(found(&spliced, &[], "another time line").contains(&("seal", Some(record as u64))));
    }
    // What stands in the clear can be altered and chained anew; the next record that is sealed tells.
    let refused = Event::new(Action::Unlock).ended(Status::Denied, Some("wrong_key"));
    Log::without_key(place.settings(), ID).append(9, &actor(), &[refused]).unwrap();
    place.append(1);
    let mut altered = place.bytes();
    let frames = frames(&altered);
    let text = altered.windows(9).rposition(|window| window == b"wrong_key").unwrap();
    altered[text] ^= 1;
    rechain(&mut altered, &frames, 11);
    assert_eq!(found(&altered, &[], "the clear record"), [("seal", Some(12))]);
}

#[test]
fn an_older_log_that_was_put_back_is_found_by_the_machine() {
    let place = Place::new();
    place.append(5);
    let old = place.bytes();
    place.append(5);
    fs::write(place.log(), &old).unwrap();
    let known = remembered(&place.0.join("state/anchor")).unwrap();
    let expected = Expected { by: "this machine", log: known.log, sequence: known.sequence, hash: known.hash };
    assert_eq!(found(&place.bytes(), &[expected], "put back"), [("cut", Some(10))]);
    // Whoever appends first writes down what is wrong, and then there is no other trace of it.
    place.append(1);
    let verified = check(&place.bytes(), &[]).unwrap();
    assert_eq!(verified.records, 7);
    assert_eq!(verified.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), ["mismatch"]);
    assert!(verified.findings[0].message.contains("expected record 10"), "{}", verified.findings[0].message);
    place.append(1);
    assert_eq!(check(&place.bytes(), &[]).unwrap().findings.len(), 1);
    // One in which another record stands there: a fork.
    let mut fork = old.clone();
    fs::write(place.log(), &fork).unwrap();
    fs::remove_dir_all(place.0.join("state")).unwrap();
    let mut log = Log::new(Settings { anchor: None, ..place.settings() }, keys(1));
    for number in 0..8 {
        log.append(100 + number, &actor(), &[event(number)]).unwrap();
    }
    fork = place.bytes();
    fs::write(place.log(), &old).unwrap();
    place.append(3);
    fs::write(place.log(), &fork).unwrap();
    place.append(1);
    let findings = check(&place.bytes(), &[]).unwrap().findings;
    assert!(findings.len() == 1 && findings[0].message.contains("that record has hash"), "{findings:?}");
    // No log at all, and another one.
    fs::remove_file(place.log()).unwrap();
    place.append(1);
    let findings = check(&place.bytes(), &[]).unwrap().findings;
    assert!(findings.len() == 1 && findings[0].message.contains("found no log"), "{findings:?}");
}

#[test]
fn a_tail_that_is_torn_at_any_byte_is_cut_and_written_down() {
    let (place, bytes, frames) = sound(6);
    for length in 0..bytes.len() {
        fs::remove_dir_all(place.0.join("state")).unwrap();
        fs::write(place.log(), &bytes[..length]).unwrap();
        place.append(2);
        let verified = check(&place.bytes(), &[]).unwrap();
        let codes: Vec<&str> = verified.findings.iter().map(|finding| finding.code).collect();
        let whole = frames.contains(&length);
        let kept = frames.iter().filter(|frame| **frame <= length && **frame > frames[1]).count() as u64;
        if length == 0 {
            assert_eq!((codes.len(), verified.records), (0, 2));
        } else if whole && length >= frames[1] {
            assert_eq!((codes.len(), verified.records), (0, kept + 2), "{length}");
        } else {
            assert_eq!(codes, ["recovered"], "{length}");
            assert_eq!(verified.records, kept + 3, "{length}");
            assert!(verified.findings[0].message.contains(" bytes at "), "{}", verified.findings[0].message);
        }
    }
    // Zeros, as after a power cut, and what is no log, which stays as it is.
    let mut torn = bytes.clone();
    torn.extend([0; 5000]);
    fs::remove_dir_all(place.0.join("state")).unwrap();
    fs::write(place.log(), &torn).unwrap();
    place.append(1);
    assert_eq!(check(&place.bytes(), &[]).unwrap().records, 8);
    for foreign in ["hello", "VAULT-AUDIT 2 x\n", "VAULT-FILE 1 00000"] {
        fs::write(place.log(), foreign).unwrap();
        let refused = Log::new(place.settings(), keys(1)).append(1, &actor(), &[event(1)]);
        assert!(matches!(refused, Err(AuditError::Foreign(_) | AuditError::Newer)), "{foreign}");
        assert_eq!(place.bytes(), foreign.as_bytes());
    }
}

#[test]
fn a_refusal_stands_in_the_clear_and_repairs_nothing() {
    let place = Place::new();
    let refused = || {
        let event = Event::new(Action::Unlock).ended(Status::Denied, Some("wrong_key"));
        Log::without_key(place.settings(), ID).append(9, &actor(), &[event])
    };
    assert!(matches!(refused(), Err(AuditError::Missing)) && !place.log().exists());
    place.append(2);
    refused().unwrap();
    place.append(1);
    let verified = check(&place.bytes(), &[]).unwrap();
    assert_eq!((verified.records, verified.clear, verified.findings.len()), (4, 1, 0));
    // It is part of the chain: without it the next record does not open.
    let bytes = place.bytes();
    let at = frames(&bytes);
    found(&[&bytes[..at[3]], &bytes[at[4]..]].concat(), &[], "taken out");
    // In the clear nothing else may stand.
    let mut log = Log::without_key(place.settings(), ID);
    log.append(9, &actor(), &[event(1)]).unwrap();
    assert_eq!(check(&place.bytes(), &[]).unwrap().findings[0].code, "clear");
    let torn = &bytes[..bytes.len() - 1];
    fs::write(place.log(), torn).unwrap();
    assert!(matches!(refused(), Err(AuditError::Missing)));
    assert_eq!(place.bytes(), torn);
}

#[test]
fn pruning_keeps_the_chain_and_the_older_key_its_records() {
    let (place, bytes, _) = sound(100);
    let plan = |stay| Prune { stay, dry_run: false, force: false, no_more_than_half: false };
    let run = |plan| prune(place.settings(), keys(1), plan, &[], 1000, &actor()).unwrap();
    let dry = run(Prune { dry_run: true, ..plan(Stay::Since(40)) });
    assert_eq!((dry.removed, dry.kept), (40, 60));
    assert_eq!(place.bytes(), bytes);
    let most = run(Prune { no_more_than_half: true, dry_run: true, ..plan(Stay::Since(60)) });
    assert_eq!((most.removed, most.kept), (50, 50));
    let pruned = run(plan(Stay::Since(40)));
    assert_eq!((pruned.removed, pruned.kept), (40, 60));
    let after = place.bytes();
    let verified = check(&after, &[]).unwrap();
    assert_eq!((verified.records, verified.last, verified.findings.len()), (61, 101, 0));
    assert_eq!(verified.base.map(|base| base.sequence), Some(40));
    // Byte for byte what stood there, behind the new base.
    let old = frames(&bytes);
    assert!(after.windows(bytes.len() - old[41]).any(|window| window == &bytes[old[41]..]));
    // What is known of what went is no finding, what is known of what stayed counts.
    assert_eq!(check(&after, &[anchor(&bytes, 30), anchor(&bytes, 40), anchor(&bytes, 41)]).unwrap().findings, Vec::new());
    place.append(3);
    let pruned = run(plan(Stay::Last(10)));
    assert_eq!((pruned.removed, pruned.kept), (54, 10));
    assert_eq!(check(&place.bytes(), &[]).unwrap().records, 11);
    assert_eq!(run(plan(Stay::Last(1000))).removed, 0);
    // An altered base is found, and so is one of another place in the log.
    let bytes = place.bytes();
    let at = frames(&bytes);
    for bit in (at[0] * 8..at[1] * 8).step_by(3) {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        found(&bad, &[], &format!("bit {bit} of the base"));
    }
    let shorter = [&bytes[..at[1]], &bytes[at[2]..]].concat();
    found(&shorter, &[], "a record behind the base removed");
    // A log that does not hold is not pruned: what is wrong is evidence.
    let mut bad = bytes.clone();
    let middle = at[3] + 30;
    bad[middle] ^= 1;
    fs::write(place.log(), &bad).unwrap();
    let refused = prune(place.settings(), keys(1), plan(Stay::Last(2)), &[], 1000, &actor());
    assert!(matches!(refused, Err(AuditError::Unsound)));
    assert_eq!(place.bytes(), bad);
    prune(place.settings(), keys(1), Prune { force: true, ..plan(Stay::Last(2)) }, &[], 1000, &actor()).unwrap();
    assert!(!place.0.join(".vault.audit.prune").exists());
}

/// What is known of a log elsewhere.
fn known(by: &'static str, log: [u8; 16], sequence: u64, hash: [u8; 32]) -> Expected {
    Expected { by, log, sequence, hash }
}

#[test]
fn pruning_keeps_what_verifying_finds() {
    let plan = Prune { stay: Stay::Last(2), dry_run: false, force: false, no_more_than_half: false };
    let forced = Prune { force: true, ..plan };
    let codes = |bytes: &[u8]| check(bytes, &[]).unwrap().findings.iter().map(|finding| finding.code).collect::<Vec<_>>();
    // The machine knows of records that were cut, and of another log.
    for other in [false, true] {
        let (place, bytes, frames) = sound(20);
        if other {
            let (elsewhere, ..) = sound(20);
            fs::copy(elsewhere.0.join("state/anchor"), place.0.join("state/anchor")).unwrap();
        } else {
            fs::write(place.log(), &bytes[..frames[11]]).unwrap();
        }
        let there = place.bytes();
        for plan in [plan, Prune { dry_run: true, ..plan }, Prune { no_more_than_half: true, ..plan }] {
            let refused = prune(place.settings(), keys(1), plan, &[], 1000, &actor());
            assert!(matches!(refused, Err(AuditError::Unsound)), "{other} {refused:?}");
            assert_eq!(place.bytes(), there);
        }
        prune(place.settings(), keys(1), forced, &[], 1000, &actor()).unwrap();
        assert_eq!(codes(&place.bytes()), ["mismatch"], "{other}");
    }
    // The vault knows of another record than the one that goes.
    let (place, bytes, _) = sound(20);
    let log = check(&bytes, &[]).unwrap().log;
    let wrong = known("the vault", log, 5, [9; 32]);
    let refused = prune(place.settings(), keys(1), plan, &[wrong], 1000, &actor());
    assert!(matches!(refused, Err(AuditError::Unsound)) && place.bytes() == bytes);
    prune(place.settings(), keys(1), forced, &[wrong], 1000, &actor()).unwrap();
    let findings = check(&place.bytes(), &[wrong]).unwrap().findings;
    assert!(findings.len() == 1 && findings[0].code == "mismatch", "{findings:?}");
    assert!(findings[0].message.contains("the vault expected record 5 of log "), "{}", findings[0].message);
    // What is right is no finding, and neither is what is known of logs of other places.
    let (place, bytes, _) = sound(20);
    let right = known("the vault", check(&bytes, &[]).unwrap().log, 5, anchor(&bytes, 5).hash);
    let elsewhere = known("the vault", [7; 16], 500, [9; 32]);
    assert_eq!(prune(place.settings(), keys(1), plan, &[right, elsewhere], 1000, &actor()).unwrap().removed, 18);
    assert_eq!(codes(&place.bytes()), [""; 0]);
}

#[test]
fn a_log_that_was_pruned_while_a_reader_waited_is_verified_as_it_is_now() {
    let place = Place::new();
    place.append(20);
    let mut reader = place.reader();
    let plan = Prune { stay: Stay::Last(5), dry_run: false, force: false, no_more_than_half: false };
    prune(place.settings(), keys(1), plan, &[], 1, &actor()).unwrap();
    place.append(3);
    let verified = reader.verify(&mut |log| {
        let anchor = remembered(&place.0.join("state/anchor")).unwrap();
        assert_eq!(anchor.log, *log);
        vec![Expected::of_machine(&anchor)]
    });
    let verified = verified.unwrap();
    assert_eq!((verified.records, verified.last, verified.findings), (9, 24, Vec::new()));
}

#[test]
fn a_summary_that_reads_less_than_all_is_not_that_of_a_key_that_reads_all() {
    let place = Place::new();
    let cache = place.0.join("summary");
    let append = |keys: Keys, count: u64| {
        let events: Vec<Event> = (0..count).map(event).collect();
        Log::new(place.settings(), keys).append(7, &actor(), &events).unwrap();
    };
    append(keys(1), 10);
    let full = || Keys::new(source(2, ID)).with_older(vec![key(1)]);
    append(full(), 5000);
    let counts = |keys: Keys| {
        let mut summary = Summary::load_or_build(Reader::open(&place.log(), keys).unwrap(), Some(&cache)).unwrap();
        let uses: u64 = summary.rows().unwrap().iter().map(|row| row.reads + row.writes).sum();
        (summary.totals().records(), summary.totals().unread, uses)
    };
    let (less, all) = ((5010, 10, 5000), (5010, 0, 5010));
    assert_eq!(counts(Keys::new(source(2, ID))), less);
    assert!(!cache.exists());
    assert_eq!(counts(full()), all);
    assert!(cache.exists());
    assert_eq!(counts(Keys::new(source(2, ID))), less);
    assert_eq!(counts(full()), all);
    // Where all of it is under the present key both read the same, and share it.
    let plan = Prune { stay: Stay::Last(4500), dry_run: false, force: false, no_more_than_half: false };
    prune(place.settings(), full(), plan, &[], 1, &actor()).unwrap();
    fs::remove_file(&cache).unwrap();
    assert_eq!(counts(Keys::new(source(2, ID))), (4501, 0, 4500));
    assert!(cache.exists());
    assert_eq!(counts(full()), (4501, 0, 4500));
}

#[test]
fn what_stands_in_the_clear_is_no_use_of_an_entry() {
    let place = Place::new();
    place.append(10);
    let before = Summary::load_or_build(place.reader(), None).unwrap().rows().unwrap();
    let mut log = Log::without_key(place.settings(), ID);
    for number in 0..9 {
        log.append(99, &actor(), &[event(number)]).unwrap();
    }
    log.append(99, &actor(), &[Event::new(Action::Unlock).ended(Status::Denied, Some("wrong_key"))]).unwrap();
    let mut summary = Summary::load_or_build(place.reader(), None).unwrap();
    assert_eq!(summary.rows().unwrap(), before);
    assert_eq!(summary.totals().of(Action::Get, Status::Ok) + summary.totals().of(Action::Set, Status::Ok), 10);
    assert_eq!(summary.totals().of(Action::Unlock, Status::Denied), 1);
}

#[test]
fn a_summary_says_what_the_log_says() {
    let place = Place::new();
    let cache = place.0.join("cache/summary");
    let mut log = Log::new(place.settings(), keys(1));
    let mut written = 0;
    let mut grow = |count: u64, log: &mut Log| {
        let events: Vec<Event> = (written..written + count).map(event).collect();
        for (at, events) in events.chunks(100).enumerate() {
            log.append(written + 100 * at as u64, &actor(), events).unwrap();
        }
        written += count;
        written
    };
    // Without a cache, with one that covers all, with one that covers some, with one that is damaged.
    for (count, made) in [(100, false), (5000, true), (100, true), (4200, true), (1, true)] {
        let written = grow(count, &mut log);
        let mut summary = Summary::load_or_build(place.reader(), Some(&cache)).unwrap();
        assert_eq!(cache.exists(), made);
        assert_eq!(summary.totals().records(), written);
        let writes = (0..written).filter(|number| number.is_multiple_of(3)).count() as u64;
        assert_eq!(summary.totals().of(Action::Set, Status::Ok), writes);
        let source = actor().source.word();
        assert_eq!(summary.totals().sum(|counted| counted.source == source && counted.action == "set"), writes);
        assert_eq!(summary.totals().sum(|counted| counted.source == "serve"), 0);
        let rows = summary.rows().unwrap();
        assert_eq!(rows.len(), 7);
        assert_eq!(rows.iter().map(|row| row.reads).sum::<u64>(), written - writes);
        for (at, row) in rows.iter().enumerate() {
            assert_eq!(summary.row(&row.uid).unwrap().as_ref(), Some(row));
            let last = (0..written).rev().find(|number| number % 7 == at as u64 && number % 3 != 0).unwrap();
            let record = summary.last_read(row).unwrap().unwrap();
            assert_eq!((record.version, row.last_read), (Some(last), record.time));
        }
        assert_eq!(summary.row(&[9; 16]).unwrap(), None);
    }
    // Wherever it is altered or cut: what is said is right, and the next one finds a cache that holds.
    let bytes = fs::read(&cache).unwrap();
    let rows = Summary::load_or_build(place.reader(), None).unwrap().rows().unwrap();
    for at in [0, 25, 60, bytes.len() - 4000, bytes.len() - 1] {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        for bad in [&bad, &bytes[..at]] {
            for by_row in [false, true] {
                fs::write(&cache, bad).unwrap();
                let mut summary = Summary::load_or_build(place.reader(), Some(&cache)).unwrap();
                if by_row {
                    assert_eq!(summary.row(&rows[3].uid).unwrap(), Some(rows[3]), "{at}");
                }
                assert_eq!(summary.rows().unwrap(), rows, "{at}");
                assert_eq!(summary.totals().records(), written);
                assert_ne!(fs::read(&cache).unwrap(), *bad, "{at}");
            }
        }
    }
    // After pruning it counts what is there.
    fs::write(&cache, &bytes).unwrap();
    let plan = Prune { stay: Stay::Last(50), dry_run: false, force: false, no_more_than_half: false };
    prune(place.settings(), keys(1), plan, &[], 1, &actor()).unwrap();
    assert_eq!(Summary::load_or_build(place.reader(), Some(&cache)).unwrap().totals().records(), 51);
}

#[test]
fn a_summary_of_many_entries_finds_each() {
    let place = Place::new();
    let cache = place.0.join("summary");
    let uid = |number: u64| {
        let mut uid = [0; 16];
        uid[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        uid
    };
    let events: Vec<Event> = (0..5000).map(|number| Event::new(Action::Get).uid(uid(number % 1234)).version(number)).collect();
    Log::new(place.settings(), keys(1)).append(7, &actor(), &events).unwrap();
    Summary::load_or_build(place.reader(), Some(&cache)).unwrap();
    let mut summary = Summary::load_or_build(place.reader(), Some(&cache)).unwrap();
    for number in 0..1234 {
        let row = summary.row(&uid(number)).unwrap().unwrap();
        assert_eq!(row.reads, if number < 5000 % 1234 { 5 } else { 4 });
    }
    assert_eq!(summary.row(&uid(1234)).unwrap(), None);
    assert_eq!(summary.rows().unwrap().len(), 1234);
}

#[test]
fn records_are_read_from_either_end_and_by_their_place() {
    let (place, ..) = sound(300);
    let mut reader = place.reader();
    let (mut forward, mut backward) = (Vec::new(), Vec::new());
    let each = |all: &mut Vec<_>, item: vault::audit::Item<'_>| {
        let record = item.record.map(|record| record.into_owned());
        all.push((item.sequence, item.offset, record));
        Ok(Walk::Continue(()))
    };
    reader.forward(&mut |item| each(&mut forward, item)).unwrap();
    reader.backward(&mut |item| each(&mut backward, item)).unwrap();
    backward.reverse();
    assert_eq!(forward.len(), 300);
    assert!(forward == backward && forward.iter().all(|(.., record)| record.is_some()));
    let (sequence, offset, record) = forward.swap_remove(120);
    assert_eq!(reader.at(offset).unwrap(), Some((sequence, record.unwrap())));
    assert_eq!(reader.first_time().unwrap(), Some(0));
    // While the last one is being written it is not there yet.
    let bytes = place.bytes();
    fs::write(place.log(), &bytes[..bytes.len() - 7]).unwrap();
    let mut count = 0;
    place
        .reader()
        .backward(&mut |_| {
            count += 1;
            Ok(Walk::Continue(()))
        })
        .unwrap();
    assert_eq!(count, 299);
}

#[test]
fn threads_that_append_at_once_leave_one_chain() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| place.append(100));
        }
    });
    let verified = verify(&fs::File::open(place.log()).unwrap(), &keys(1), &[], 3).unwrap();
    assert_eq!((verified.records, verified.last, verified.findings.len()), (400, 400, 0));
}

#[test]
fn a_kept_log_is_synced_when_it_is_time_and_follows_a_pruned_one() {
    let place = Place::new();
    let seconds = Duration::from_secs(10);
    let mut log = Log::new(Settings { sync: Sync::Every(seconds), ..place.settings() }, keys(1));
    log.append(1, &actor(), &[event(1)]).unwrap();
    let (began, later) = (Instant::now(), log.sync_later().unwrap());
    assert!(!later.is_finished(), "an append waits for nothing");
    later.join().unwrap().unwrap();
    assert!(began.elapsed() >= seconds);
    let always = Settings { sync: Sync::Always, ..place.settings() };
    let mut durable = Log::new(always, keys(1));
    durable.append(1, &actor(), &[event(1)]).unwrap();
    assert!(durable.sync_later().is_none());
    let plan = Prune { stay: Stay::Last(0), dry_run: false, force: false, no_more_than_half: false };
    prune(place.settings(), keys(1), plan, &[], 1, &actor()).unwrap();
    log.append(2, &actor(), &[event(2)]).unwrap();
    let verified = check(&place.bytes(), &[]).unwrap();
    assert_eq!((verified.records, verified.last, verified.findings.len()), (2, 4, 0));
}

#[test]
fn nothing_that_stands_in_a_log_makes_a_reader_fail_badly() {
    let (place, bytes, _) = sound(12);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for _ in 0..600 {
        let mut bad = bytes.clone();
        for _ in 0..1 + random(3) {
            let at =
                if random(4) == 0 { random(bad.len()) } else { LINE.min(bad.len()) + random(bad.len().saturating_sub(LINE)) };
            match random(5) {
                0 if at < bad.len() => bad[at] = [0, 0xff, 1, 0x80][random(4)],
                1 => bad.truncate(at),
                2 => drop(bad.splice(at..at, vec![[0, 0xff][random(2)]; random(40_000)])),
                3 => {
                    let end = at + random(bad.len() - at);
                    let piece = bad[at..end].to_vec();
                    bad.splice(at..at, piece);
                }
                _ => drop(bad.drain(at..at + random(bad.len() - at))),
            }
        }
        fs::write(place.log(), &bad).unwrap();
        if bad != bytes {
            found(&bad, &[anchor(&bytes, 12)], "a random change");
        }
        if let Ok(mut reader) = Reader::open(&place.log(), keys(1)) {
            reader.forward(&mut |_| Ok(Walk::Continue(()))).unwrap();
            reader.backward(&mut |_| Ok(Walk::Continue(()))).unwrap();
            reader.first_time().unwrap();
            let _ = Summary::load_or_build(reader, None).unwrap().rows().unwrap();
        }
        // Whatever it was: what is appended behind it is whole, or nothing was touched.
        match Log::new(place.settings(), keys(1)).append(1, &actor(), &[event(1)]) {
            Ok(appended) => assert_eq!(check(&place.bytes(), &[]).unwrap().hash, appended.hash),
            Err(_) => assert_eq!(place.bytes(), bad),
        }
    }
}
