//! Many processes at once: killed, stopped, racing each other, and reading while the file is replaced.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::{Sandbox, wait_until};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
}

/// A value that shows which write it is of, and whether all of it is there.
fn value(number: u64, length: usize) -> Vec<u8> {
    let mut value = format!("{number}:").into_bytes();
    while value.len() < length {
        value.push((number.wrapping_mul(value.len() as u64 ^ 0x9E37_79B9) >> 3) as u8);
    }
    value
}

/// Which write a value is of; it must be all of it.
#[track_caller]
fn number_of(found: &[u8]) -> u64 {
    let end = found.iter().position(|byte| *byte == b':').unwrap();
    let number = std::str::from_utf8(&found[..end]).unwrap().parse().unwrap();
    assert!(value(number, found.len()) == found, "the value of write {number} is mixed up");
    number
}

fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % below
}

/// Kills a writer at a random moment, again and again. A write counts as acknowledged once the writer has exited with 0 and that
/// is in a file that is fsynced; none of these may be lost, and what was in flight is there whole or not at all.
#[test]
fn no_acknowledged_write_is_lost_to_kill_9() {
    const KILLS: usize = 200;
    const KEYS: u64 = 8;
    let sandbox = Sandbox::new();
    let mut acknowledged = BTreeMap::new();
    let path = sandbox.path("acknowledged");
    let mut log = OpenOptions::new().create_new(true).append(true).open(&path).unwrap();
    let start = Instant::now();
    for number in 0..KEYS {
        sandbox.set(&format!("k{number}"), value(number, 100));
        acknowledged.insert(number % KEYS, number);
    }
    let typical = start.elapsed() / u32::try_from(KEYS).unwrap();
    // How long a writer may live at most. It follows what else the machine does: of the writers about half are to be hit.
    let mut most = u64::try_from(typical.as_micros()).unwrap() * 2;
    let (mut kills, mut acks, mut survived) = (0, 0, 0);
    let mut number = KEYS;
    // Kills that never hit a running writer, or always hit one before it wrote, would test nothing.
    while kills < KILLS || ((acks == 0 || survived == 0) && kills < 50 * KILLS) {
        number += 1;
        let key = number % KEYS;
        let name = format!("k{key}");
        // Now and then large, so that the file fills with dead bytes and is compacted; now and then a compaction alone.
        let compacts = number.is_multiple_of(11);
        let length = if number.is_multiple_of(3) { 150_000 } else { 2_000 };
        let run = if compacts {
            sandbox.vault(&["compact"])
        } else {
            sandbox.vault(&["set", &name, "--raw"]).stdin(value(number, length))
        };
        let mut child = run.spawn();
        std::thread::sleep(Duration::from_micros(random(most)));
        signal(&child, Signal::KILL);
        let status = child.wait().unwrap();
        match status.code() {
            Some(0) if compacts => most -= most / 20,
            Some(0) => {
                most -= most / 20;
                writeln!(log, "{key} {number}").unwrap();
                log.sync_data().unwrap();
                acknowledged.insert(key, number);
                acks += 1;
            }
            None => {
                kills += 1;
                most += most / 20 + 1;
            }
            Some(code) => panic!("a writer ended with {code}: {:?}", child.stderr.map(std::io::read_to_string)),
        }
        let found = number_of(&sandbox.get(&name));
        if found != acknowledged[&key] {
            assert!(
                found == number && status.code().is_none() && !compacts,
                "{name} is of write {found}, acknowledged is {}",
                acknowledged[&key]
            );
            // It was not acknowledged and is there: from now on it has to stay.
            acknowledged.insert(key, number);
            survived += 1;
        }
    }
    let lines = fs::read_to_string(&path).unwrap();
    assert_eq!(lines.lines().count(), acks);
    for (key, number) in &acknowledged {
        assert_eq!(number_of(&sandbox.get(&format!("k{key}"))), *number);
    }
    sandbox.vault(&["check"]).run().ok();
    // What a killed compaction left goes with the next write.
    sandbox.vault(&["compact"]).run().ok();
    let left: Vec<_> = sandbox.files("").into_iter().filter(|(path, _)| path.to_string_lossy().contains(".test.vault")).collect();
    assert!(left.is_empty(), "{left:?}");
    eprintln!("{kills} kills, {acks} acknowledged writes, {survived} that were in flight and hold; lost: 0");
    assert!(acks > 0 && survived > 0, "{acks} acknowledged, {survived} in flight");
}

#[test]
fn eight_processes_lose_no_update() {
    const PROCESSES: u64 = 8;
    const ROUNDS: u64 = 250;
    let sandbox = Sandbox::new();
    // Otherwise who cannot have the log within a second goes on without it, and says so.
    fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    fs::write(sandbox.path("config/vault/config.toml"), "lock-timeout = \"5m\"\n[audit]\nrequired = true\n").unwrap();
    sandbox.set("counter", "0");
    let (increments, conflicts, compactions) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for process in 0..PROCESSES {
            let (sandbox, increments, conflicts) = (&sandbox, &increments, &conflicts);
            workers.push(scope.spawn(move || {
                let name = format!("own {process}");
                for round in 1..=ROUNDS {
                    let written = value(process * ROUNDS + round, if round % 10 == 0 { 30_000 } else { 300 });
                    let before = (round - 1).to_string();
                    let set = sandbox.vault(&["set", &name, "--raw", "--if-version", &before]).stdin(&written).run().ok();
                    assert!(set.stderr.is_empty(), "{}", set.stderr);
                    assert!(sandbox.get(&name) == written, "{name} is not what was set in round {round}");
                    if round % 10 == process % 10 {
                        // Version n + 1 of the counter holds n: what is read says which version it must still be.
                        loop {
                            let number: u64 = String::from_utf8(sandbox.get("counter")).unwrap().parse().unwrap();
                            let (version, next) = ((number + 1).to_string(), (number + 1).to_string());
                            let set = sandbox.vault(&["set", "counter", "--if-version", &version]).stdin(next).run();
                            if set.code == 0 {
                                increments.fetch_add(1, Ordering::Relaxed);
                                break;
                            }
                            set.fails(6, "'counter' is at version");
                            conflicts.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            }));
        }
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // Whoever asks for the lock now and then gets it seldom: it goes to no queue.
                sandbox.vault(&["compact", "-q"]).run().ok();
                compactions.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let results: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        for result in results {
            result.unwrap();
        }
    });
    for process in 0..PROCESSES {
        let info = sandbox.vault(&["info", &format!("own {process}"), "--format", "json"]).run().ok().json();
        assert_eq!(info["current_version"], ROUNDS);
        assert_eq!(number_of(&sandbox.get(&format!("own {process}"))), (process + 1) * ROUNDS);
    }
    let increments = increments.into_inner();
    assert_eq!((increments, sandbox.get("counter")), (PROCESSES * ROUNDS / 10, increments.to_string().into_bytes()));
    sandbox.vault(&["check"]).run().ok();
    let compactions = compactions.into_inner();
    assert!(compactions > 5, "{compactions} compactions");
    eprintln!("{increments} increments, {} conflicts, {compactions} compactions; lost: 0", conflicts.into_inner());
}

/// Starts a writer and stops it in the middle, while it holds the lock.
fn stopped_writer(sandbox: &Sandbox) -> Child {
    for _ in 0..200 {
        // The one before may have put another file there.
        let file = File::open(sandbox.file()).unwrap();
        let is_held = || match fs2::FileExt::try_lock_shared(&file) {
            Ok(()) => {
                fs2::FileExt::unlock(&file).unwrap();
                false
            }
            Err(_) => true,
        };
        let mut child = sandbox.vault(&["import", "large.json", "--overwrite", "--lock-timeout", "60s"]).spawn();
        while !is_held() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        // One that has ended, and been asked about, can be sent nothing.
        if child.try_wait().unwrap().is_none() {
            signal(&child, Signal::STOP);
            std::thread::sleep(Duration::from_millis(20));
            let held = is_held();
            if child.try_wait().unwrap().is_none() {
                if held {
                    return child;
                }
                signal(&child, Signal::CONT);
            }
        }
        assert!(child.wait().unwrap().success());
    }
    panic!("no writer could be stopped while it held the lock");
}

#[test]
fn a_stopped_holder_of_the_lock_makes_others_give_up_and_not_write() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "first");
    let text = "x".repeat(12 << 20);
    sandbox.write("large.json", format!("{{\"large 1\":\"{text}\",\"large 2\":\"{text}\"}}"));
    let mut holder = stopped_writer(&sandbox);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                sandbox.vault(&["set", "a", "--lock-timeout", "400ms"]).stdin("v").run().fails(7, "another process is writing")
            });
        }
    });
    assert_eq!(sandbox.get("a"), b"first");
    // One that waits, and gets its turn when the holder goes on.
    let waiting = sandbox.vault(&["set", "a", "--lock-timeout", "60s"]).stdin("second").spawn();
    std::thread::sleep(Duration::from_millis(100));
    signal(&holder, Signal::CONT);
    assert!(holder.wait().unwrap().success());
    assert!(waiting.wait_with_output().unwrap().status.success());
    assert!(sandbox.get("a") == b"second" && sandbox.get("large 2").len() == text.len());
    sandbox.vault(&["check"]).run().ok();

    // A holder that is killed holds nothing: the next writer does not wait for a timeout.
    let mut holder = stopped_writer(&sandbox);
    signal(&holder, Signal::KILL);
    holder.wait().unwrap();
    let start = Instant::now();
    sandbox.set("a", "third");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(sandbox.get("a"), b"third");
    sandbox.vault(&["check"]).run().ok();
}

#[test]
fn readers_see_one_state_while_the_file_is_replaced() {
    let sandbox = Sandbox::new();
    let pair = |number: u64| format!("{{\"x\":\"{number}\",\"y\":\"{number}\"}}");
    let import =
        |number: u64| sandbox.vault(&["import", "-", "--format", "json", "--overwrite", "-q"]).stdin(pair(number)).run().ok();
    import(0);
    let (done, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for reader in 0..4 {
            let (sandbox, done, reads) = (&sandbox, &done, &reads);
            scope.spawn(move || {
                let mut newest = 0;
                while !done.load(Ordering::Relaxed) {
                    let number = if reader == 0 {
                        let exported = sandbox.vault(&["export", "--format", "dotenv"]).run().ok().text();
                        let numbers: Vec<u64> = exported
                            .lines()
                            .filter_map(|line| line.split('\'').nth(1))
                            .map(|text| text.parse().unwrap())
                            .collect();
                        assert_eq!((numbers.len(), numbers[0]), (2, numbers[1]), "{exported}");
                        numbers[0]
                    } else {
                        String::from_utf8(sandbox.get("x")).unwrap().parse().unwrap()
                    };
                    assert!(number >= newest, "first {newest}, then {number}");
                    newest = number;
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // At least; and as often as it takes for the readers to have had their part of it.
        for number in 1.. {
            import(number);
            sandbox.vault(&["compact", "-q"]).run().ok();
            if number >= 80 && (reads.load(Ordering::Relaxed) > 100 || number > 8000) {
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let reads = reads.into_inner();
    eprintln!("{reads} reads while the file was replaced");
    assert!(reads > 100);
}

#[test]
fn a_listing_or_export_outlives_what_is_removed_meanwhile() {
    let sandbox = Sandbox::new();
    let all: String = (0..300).map(|number| format!("N{number}=v\n")).collect();
    sandbox.vault(&["import", "-", "--format", "dotenv", "-q"]).stdin(&all).run().ok();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..60 {
                sandbox.vault(&["rm", &format!("N{number}")]).run().ok();
            }
            done.store(true, Ordering::Relaxed);
        });
        for line in [&["export", "--format", "json"][..], &["list", "--format", "json", "--reveal"], &["find", "v", "--values"]] {
            let (sandbox, done) = (&sandbox, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    sandbox.vault(line).run().ok();
                }
            });
        }
    });
}

#[test]
fn a_vault_is_made_once() {
    let sandbox = Sandbox::empty();
    sandbox.vault(&["init", "--vault", "other", "--key-file", "k", "-q"]).run().ok();
    for round in 0..10 {
        let path = format!("v{round}");
        let children: Vec<_> =
            (0..8).map(|_| sandbox.vault(&["init", "--vault", &path, "--key-file", "k", "-q"]).spawn()).collect();
        let codes: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap().status.code().unwrap()).collect();
        assert_eq!(
            (codes.iter().filter(|code| **code == 0).count(), codes.iter().filter(|code| **code == 6).count()),
            (1, 7),
            "{codes:?}"
        );
        sandbox.vault(&["check", "--vault", &path, "--key-file", "k"]).run().ok();
    }
    // The key, and each vault with its log.
    assert_eq!(sandbox.files("work").len(), 23, "{:?}", sandbox.files("work"));
}

#[test]
fn a_reader_of_a_pipe_that_goes_away_stops_a_large_listing() {
    let sandbox = Sandbox::new();
    let all: String = (0..20_000).map(|number| format!("NAME_{number}=v\n")).collect();
    sandbox.vault(&["import", "-", "--format", "dotenv", "-q"]).stdin(&all).run().ok();
    let mut child = sandbox.vault(&["list"]).spawn();
    drop(child.stdout.take());
    let mut code = None;
    wait_until("an end", || {
        code = child.try_wait().unwrap();
        code.is_some()
    });
    assert_eq!(code.unwrap().code(), Some(0));
}
