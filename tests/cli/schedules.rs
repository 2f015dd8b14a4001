//! `vault rotate --every` and `--due`: what is due is rotated once, whoever finds it.

use std::collections::BTreeSet;
use std::fs;

use vault::format::rotation::Commands;
use vault::format::schedule::Schedule;
use vault::vault::ImportPolicy;
use vault::{EntryId, Kind, Options, SecretValue, Write};

use crate::sandbox::{Sandbox, is_installed, now, plain, wait_until};

const HOUR: u64 = 3_600_000;

fn schedule(generate: Option<&str>) -> Schedule {
    let mut schedule = Schedule::new(HOUR, 60_000);
    schedule.generate = generate.map(str::to_owned);
    schedule
}

fn printed(command: &str) -> Schedule {
    let mut schedule = schedule(None);
    schedule.command = Some(command.to_owned());
    schedule
}

fn applied(generate: &str, phases: Commands) -> Schedule {
    let mut schedule = schedule(Some(generate));
    schedule.phases = Some(phases);
    schedule
}

/// Gives entries a schedule by which they have been due for an hour.
fn make_due(sandbox: &Sandbox, names: &[&str], schedule: &Schedule) {
    let schedules: Vec<(EntryId, Schedule)> = names.iter().map(|name| (plain(name), schedule.clone())).collect();
    sandbox.library(Options::default()).set_schedules(&schedules, now() - 2 * HOUR).unwrap();
}

fn info(sandbox: &Sandbox, name: &str) -> serde_json::Value {
    sandbox.vault(&["info", name, "--format", "json"]).run().ok().json()
}

fn due(sandbox: &Sandbox) -> serde_json::Value {
    sandbox.vault(&["rotate", "--due", "--format", "json"]).run().json()["entries"].clone()
}

#[test]
fn a_schedule_is_set_shown_moved_and_taken_away() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "v");
    let said = sandbox.vault(&["rotate", "a", "--every", "36h", "--generate", "hex:8", "--grace", "1h"]).run().ok().stderr;
    assert!(said.starts_with("'a' is due every 1d12h, for the first time at "), "{said}");
    assert_eq!(sandbox.get("a"), b"v", "it is not rotated at once");
    let first = info(&sandbox, "a");
    assert_eq!((&first["schedule"]["every"], &first["schedule"]["generate"]), (&"1d12h".into(), &"hex:8".into()));
    assert_eq!(first["is_due"], false);
    let text = sandbox.vault(&["info", "a"]).run().ok().text();
    assert!(text.contains("schedule           every 1d12h") && text.contains("due  "), "{text}");
    assert!(sandbox.vault(&["list", "--due"]).run().ok().text().is_empty());
    assert_eq!(sandbox.vault(&["list", "--due-within", "2d"]).run().ok().text(), "a\n");
    assert!(sandbox.vault(&["list", "--long"]).run().ok().text().contains("due 2"));
    // Every new value moves the time, in whatever way it comes.
    make_due(&sandbox, &["a"], &schedule(Some("hex:8")));
    for arguments in
        [&["set", "a"][..], &["rotate", "a"], &["rollback", "a", "--version", "1"], &["rotate", "a", "--apply", "true"]]
    {
        make_due(&sandbox, &["a"], &schedule(Some("hex:8")));
        assert_eq!(sandbox.vault(&["list", "--due"]).run().ends(10).text(), "a\n");
        sandbox.vault(arguments).stdin("w").run().ok();
        assert!(sandbox.vault(&["list", "--due"]).run().ok().text().is_empty(), "{arguments:?}");
    }
    make_due(&sandbox, &["a"], &schedule(Some("hex:8")));
    sandbox.vault(&["set", "a", "--meta-only", "--tag", "t"]).run().ok();
    sandbox.vault(&["list", "--due"]).run().ends(10);
    // A move keeps it, a copy has none, and it goes with the entry.
    sandbox.vault(&["mv", "a", "b"]).run().ok();
    sandbox.vault(&["cp", "b", "c"]).run().ok();
    assert_eq!(
        (&info(&sandbox, "b")["schedule"]["every"], &info(&sandbox, "c")["due"]),
        (&"1h".into(), &serde_json::Value::Null)
    );
    let uid = sandbox.library(Options::default()).entry(&plain("b")).unwrap().unwrap().uid_hex();
    sandbox.vault(&["rotate", "b", "--no-schedule"]).run().ok();
    assert_eq!(info(&sandbox, "b")["due"], serde_json::Value::Null);
    assert!(sandbox.vault(&["rotate", "b", "--no-schedule"]).run().ok().stderr.contains("no schedule of its own"));
    sandbox.vault(&["rotate", "b", "--every", "1d", "--now", "--generate", "hex:8"]).run().ok();
    assert_eq!(sandbox.get("b").len(), 16);
    sandbox.vault(&["check"]).run().ok();
    sandbox.vault(&["rm", "b", "--purge"]).run().ok();
    assert!(sandbox.library(Options::default()).system_get("schedule", &uid).unwrap().is_none());
    sandbox.vault(&["check"]).run().ok();
    for (arguments, words) in [
        (&["--every", "0s"][..], "cannot be zero"),
        (&["--every", "1mo"], "not a duration"),
        (&["--every", "1d", "--apply", "true"], "needs --generate or --command"),
    ] {
        sandbox.vault(&[&["rotate", "c"], arguments].concat()).run().fails(2, words);
    }
    sandbox.vault(&["rotate", "none", "--every", "1d"]).run().fails(3, "no entry");
    sandbox.vault(&["rotate", "c", "--due"]).run().ends(2);
    sandbox.vault(&["rotate", "c", "--every", "1d", "--resume"]).run().ends(2);
    sandbox.vault(&["rotate", "--due", "--generate", "pin:4"]).run().fails(2, "no new value");
}

#[test]
fn what_is_due_is_rotated() {
    let sandbox = Sandbox::new();
    for name in ["generated", "printed", "applied", "reminded", "later", "untouched"] {
        sandbox.set(name, "old");
    }
    make_due(&sandbox, &["generated"], &schedule(Some("hex:8")));
    make_due(&sandbox, &["reminded"], &schedule(None));
    sandbox.vault(&["rotate", "later", "--every", "1d", "--generate", "pin:4"]).run().ok();
    make_due(&sandbox, &["printed"], &printed("echo printed"));
    let phases = Commands {
        apply: "cat <&3 > service".into(),
        verify: Some("cmp -s /dev/fd/3 service".into()),
        rollback: None,
        timeout: 60_000,
    };
    make_due(&sandbox, &["applied"], &applied("hex:4", phases));
    for name in ["printed", "applied"] {
        sandbox.vault(&["rotate", name, "--trust-commands", "--yes"]).run().ok();
    }
    let before = sandbox.bytes();
    let dry = sandbox.vault(&["rotate", "--due", "--dry-run"]).run().ends(10).text();
    assert!(
        dry.contains("generated  would be rotated by hex:8") && dry.contains("applied    would be rotated in two phases"),
        "{dry}"
    );
    assert_eq!(sandbox.bytes(), before);
    let text = sandbox.vault(&["rotate", "--due"]).run().ends(10).text();
    for line in [
        "generated  rotated, version 2",
        "printed    rotated, version 2",
        "applied    rotated, version 2",
        "reminded   needs a person",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!((sandbox.get("generated").len(), sandbox.get("printed")), (16, b"printed".to_vec()));
    assert_eq!(sandbox.get("applied"), fs::read(sandbox.path("work/service")).unwrap());
    assert_eq!((sandbox.get("later"), sandbox.get("untouched")), (b"old".to_vec(), b"old".to_vec()));
    assert_eq!(sandbox.vault(&["get", "generated", "--previous"]).run().ok().stdout, b"old");
    assert_eq!(sandbox.vault(&["list", "--due"]).run().ends(10).text(), "reminded\n");
    sandbox.vault(&["rotate", "reminded"]).stdin("by a person").run().ok();
    assert_eq!(due(&sandbox), serde_json::json!([]));
    // A limit leaves the rest for the next time.
    make_due(&sandbox, &["generated", "later", "untouched"], &schedule(Some("pin:4")));
    assert_eq!(sandbox.vault(&["rotate", "--due", "--limit", "2"]).run().ok().text().lines().count(), 2);
    assert_eq!(sandbox.vault(&["rotate", "--due"]).run().ok().text().lines().count(), 1);
    sandbox.vault(&["check"]).run().ok();
}

#[test]
fn what_fails_is_written_down_and_tried_again_later() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "old");
    let failing = printed("test -e works && echo fine");
    make_due(&sandbox, &["a"], &failing);
    // Whoever can write the vault does not have commands run here.
    let refused = due(&sandbox);
    assert_eq!((&refused[0]["result"], &refused[0]["code"]), (&"failed".into(), &"untrusted_commands".into()));
    assert_eq!(info(&sandbox, "a")["schedule"]["failures"], 0);
    sandbox.vault(&["rotate", "a", "--trust-commands", "--yes"]).run().ok();
    let failed = due(&sandbox);
    assert_eq!((&failed[0]["result"], &failed[0]["code"]), (&"failed".into(), &"command_failed".into()));
    let waits = sandbox.vault(&["rotate", "--due", "--format", "json"]).run().ends(10).json();
    assert_eq!((&waits["entries"][0]["result"], &waits["entries"][0]["code"]), (&"waiting".into(), &"command_failed".into()));
    let shown = info(&sandbox, "a");
    assert_eq!(
        (&shown["schedule"]["failures"], &shown["schedule"]["last_failure"]["code"]),
        (&1.into(), &"command_failed".into())
    );
    assert_eq!(sandbox.get("a"), b"old");
    // Another value by another way ends it.
    sandbox.write("works", "");
    sandbox.vault(&["rotate", "a"]).stdin("by hand").run().ok();
    assert_eq!(info(&sandbox, "a")["schedule"]["failures"], 0);
    // The time until the next attempt doubles, up to a day.
    let vault = sandbox.library(Options::default());
    let entry = vault.entry(&plain("a")).unwrap().unwrap();
    let minutes: Vec<u64> = (0..12).map(|_| (vault.note_failure(&entry, "x", 0).unwrap().unwrap().next) / 60_000).collect();
    assert_eq!(minutes, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440, 1440]);
    // What fails in two phases is rolled back, and counted as well.
    let phases =
        Commands { apply: "true".into(), verify: Some("test $(cat <&3) = kept".into()), rollback: None, timeout: 60_000 };
    sandbox.set("b", "kept");
    make_due(&sandbox, &["b"], &applied("hex:4", phases));
    sandbox.vault(&["rotate", "b", "--trust-commands", "--yes"]).run().ok();
    let failed = due(&sandbox);
    assert_eq!((&failed[0]["name"], &failed[0]["code"]), (&"b".into(), &"rotation_failed".into()));
    assert!(failed[0]["next_attempt"].is_string() && sandbox.get("b") == b"kept");
}

#[test]
fn what_was_interrupted_is_gone_on_with() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "old");
    let apply = "mkdir once && kill -9 $PPID; cat <&3 > service";
    let phases = Commands { apply: apply.into(), verify: None, rollback: None, timeout: 60_000 };
    make_due(&sandbox, &["a"], &applied("hex:4", phases));
    sandbox.vault(&["rotate", "a", "--trust-commands", "--yes"]).run().ok();
    assert_eq!(sandbox.vault(&["rotate", "--due"]).run().code, 137);
    assert_eq!(sandbox.get("a"), b"old");
    assert_eq!(sandbox.vault(&["rotate", "--due"]).run().ok().text(), "a  rotated, version 2\n");
    assert_eq!(sandbox.get("a"), fs::read(sandbox.path("work/service")).unwrap());
}

/// Ten at once, each over all twenty entries.
#[test]
fn ten_at_once_rotate_each_entry_once() {
    let names: Vec<String> = (0..20).map(|number| format!("e{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let phases = Commands {
        apply: "echo $VAULT_ROTATE_ENTRY >> log; cat <&3 > service-$VAULT_ROTATE_ENTRY".into(),
        verify: Some("cmp -s /dev/fd/3 service-$VAULT_ROTATE_ENTRY".into()),
        rollback: None,
        timeout: 60_000,
    };
    let command = "echo $VAULT_ROTATE_ENTRY >> log; echo $$";
    for kind in [schedule(Some("hex:8")), printed(command), applied("hex:8", phases)] {
        let sandbox = Sandbox::new();
        for name in &names {
            sandbox.set(name, "old");
        }
        make_due(&sandbox, &names, &kind);
        let has_commands = kind.command.is_some() || kind.phases.is_some();
        if has_commands {
            for name in &names {
                sandbox.vault(&["rotate", name, "--trust-commands", "--yes"]).run().ok();
            }
        }
        let running: Vec<_> = (0..10).map(|_| sandbox.vault(&["rotate", "--due"]).spawn()).collect();
        for run in running {
            let ended = run.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
        for name in &names {
            assert_eq!(info(&sandbox, name)["current_version"], 2, "{name}");
        }
        if has_commands {
            let log = fs::read_to_string(sandbox.path("work/log")).unwrap();
            let ran: BTreeSet<&str> = log.lines().collect();
            assert_eq!((log.lines().count(), ran.len()), (20, 20), "{log}");
        }
        assert!(sandbox.vault(&["list", "--due"]).run().ok().text().is_empty());
        sandbox.vault(&["check"]).run().ok();
    }
}

/// What is not due costs nothing: the reads of the file are those of ten rotations, among a hundred thousand schedules. A walk over all of their times
/// alone reads more than is allowed.
#[test]
fn only_what_is_due_is_touched() {
    const ALL: usize = 100_000;
    if !is_installed("strace") {
        return;
    }
    let sandbox = Sandbox::new();
    if sandbox.program("strace", &["-o", "/dev/null", "true"]).run().code != 0 {
        eprintln!("skipped: strace may not trace here");
        return;
    }
    let vault = sandbox.library(Options::default());
    let name = |number: usize| format!("entry/{number:06}");
    let rows = (0..ALL).map(|number| (plain(&name(number)), Write::value(SecretValue::from("old"), Kind::Text))).collect();
    vault.import(rows, ImportPolicy::Refuse, false, now(), &mut |_| ()).unwrap();
    let (some, others): (Vec<usize>, Vec<usize>) = (0..ALL).partition(|number| number % (ALL / 10) == 7);
    let schedules = |numbers: &[usize]| -> Vec<(EntryId, Schedule)> {
        numbers.iter().map(|number| (plain(&name(*number)), schedule(Some("hex:8")))).collect()
    };
    vault.set_schedules(&schedules(&others), now()).unwrap();
    vault.set_schedules(&schedules(&some), now() - 2 * HOUR).unwrap();
    let reads = |arguments: &[&str]| {
        let log = sandbox.path("trace");
        let run = sandbox.program("strace", &["-f", "-e", "trace=pread64", "-o"]).arg(&log).arg(crate::sandbox::VAULT);
        let output = arguments.iter().fold(run, |run, argument| run.arg(argument)).run().ok();
        (fs::read_to_string(&log).unwrap().lines().filter(|line| line.contains("pread64(")).count(), output)
    };
    // One more that is rotated by itself, as a measure.
    let (single, _) = reads(&["rotate", &name(50), "--generate", "hex:8"]);
    let (ten, output) = reads(&["rotate", "--due"]);
    assert_eq!(output.text().lines().count(), 10);
    assert!(ten <= 5 * single, "{ten} reads for ten, {single} for one");
    let (none, output) = reads(&["rotate", "--due"]);
    assert!(output.stdout.is_empty() && none <= 20, "{none} reads where nothing is due");
    let mut changed = 0;
    let filter = vault::vault::Filter { scope: vault::vault::Scope::All, category: None };
    vault
        .entries(&filter, &mut |entry| {
            changed += usize::from(entry.version() > 1);
            Ok(vault::store::Walk::Continue(()))
        })
        .unwrap();
    assert_eq!(changed, 11);
}

#[test]
fn presets_by_tier() {
    let sandbox = Sandbox::new();
    let due_in = |name: &str| {
        let entry = sandbox.library(Options::default()).entry(&plain(name)).unwrap().unwrap();
        entry.due().map(|due| (due.saturating_sub(now()) + HOUR) / (24 * HOUR))
    };
    sandbox.vault(&["set", "c", "--tier", "critical"]).stdin("v").run().ok();
    sandbox.vault(&["set", "h", "--tier", "high"]).stdin("v").run().ok();
    sandbox.vault(&["set", "l", "--tier", "low"]).stdin("v").run().ok();
    assert_eq!((due_in("c"), due_in("h"), due_in("l")), (Some(7), Some(30), None));
    // A project may say when and by which generator, and nothing else.
    let project = "[tiers.critical]\nevery = \"2d\"\n[tiers.low]\nevery = \"90d\"\ngenerate = \"hex:8\"\ngrace = \"2h\"\ncommand = \"touch ran\"\n";
    sandbox.write("vault.toml", project);
    sandbox.vault(&["set", "c"]).stdin("w").run().ok();
    sandbox.vault(&["set", "l", "--meta-only", "--tier", "low"]).run().ok();
    assert_eq!((due_in("c"), due_in("l")), (Some(2), None), "a tier that stays as it is does not move the time");
    sandbox.vault(&["set", "l"]).stdin("w").run().ok();
    assert_eq!(due_in("l"), Some(90));
    // Away from the project the interval is what it was.
    fs::remove_file(sandbox.path("work/vault.toml")).unwrap();
    sandbox.vault(&["set", "l"]).stdin("x").run().ok();
    assert_eq!(due_in("l"), Some(90));
    // An own schedule wins; without it the tier's interval counts from the value.
    sandbox.vault(&["rotate", "c", "--every", "1d"]).run().ok();
    sandbox.vault(&["set", "c"]).stdin("x").run().ok();
    assert_eq!(due_in("c"), Some(1));
    sandbox.vault(&["rotate", "c", "--no-schedule"]).run().ok();
    assert_eq!(due_in("c"), Some(7));
    sandbox.vault(&["set", "c", "--meta-only", "--tier", ""]).run().ok();
    assert_eq!(due_in("c"), None);
    // What is due by its tier is rotated by its preset, or by a person.
    let vault =
        sandbox.library(Options { tiers: [("low".to_owned(), HOUR), ("x".to_owned(), HOUR)].into(), ..Options::default() });
    for (name, tier, value, kind) in
        [("by-preset", "low", "v", Kind::Text), ("json", "low", "{}", Kind::Json), ("by-hand", "x", "v", Kind::Text)]
    {
        let meta = [("tier".to_owned(), Some(tier.to_owned()))].into();
        vault.set(&plain(name), Write { meta, ..Write::value(SecretValue::from(value), kind) }, now() - 2 * HOUR).unwrap();
    }
    sandbox.write("vault.toml", project);
    let found = due(&sandbox);
    let results: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["name"].as_str().unwrap(), entry["result"].as_str().unwrap()))
        .collect();
    assert_eq!(results, [("by-hand", "needs_person"), ("by-preset", "rotated"), ("json", "needs_person")]);
    assert!(!sandbox.path("work/ran").exists());
    assert!(sandbox.vault(&["info", "by-preset"]).run().ok().text().contains("previous "));
    sandbox.write("vault.toml", "[tiers.low]\nevery = \"soon\"\n");
    sandbox.vault(&["get", "l"]).run().fails(2, "the tier 'low' of the configuration");
}

/// The log of the vault cannot be written any more.
const SPOIL: &str = "rm -f \"$VAULT_FILE.audit\"; mkdir \"$VAULT_FILE.audit\"";

#[test]
fn what_must_be_recorded_and_cannot_be_does_not_happen() {
    let sandbox = Sandbox::new();
    for name in ["a", "b", "c"] {
        sandbox.set(name, "old");
    }
    fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    fs::write(sandbox.path("config/vault/config.toml"), "[audit]\nrequired = true\n").unwrap();
    // The first of them is kept for one commit with others.
    make_due(&sandbox, &["c"], &schedule(Some("hex:8")));
    make_due(&sandbox, &["a"], &printed(&format!("{SPOIL}; echo new")));
    make_due(&sandbox, &["b"], &printed("echo new"));
    for name in ["a", "b"] {
        sandbox.vault(&["rotate", name, "--trust-commands", "--yes"]).run().ok();
    }
    // What is done is told, and nothing more is.
    let told = sandbox.vault(&["rotate", "--due"]).run().ends(13);
    assert!(told.stderr.contains("it is done, and could not be recorded"), "{}", told.stderr);
    assert_eq!(told.text(), "a  rotated, version 2\n");
    let vault = sandbox.library(Options::default());
    let version = |name: &str| vault.entry(&plain(name)).unwrap().unwrap().version();
    assert_eq!((version("a"), version("b"), version("c")), (2, 1, 1));
    let before = sandbox.bytes();
    let refused = sandbox.vault(&["rotate", "--due"]).run().fails(13, "nothing was changed, for it could not be recorded");
    assert!(refused.stdout.is_empty());
    assert_eq!(sandbox.bytes(), before);
    sandbox.vault(&["rotate", "--due", "--dry-run"]).run().ok();
}

#[test]
fn what_was_done_before_an_end_is_recorded_and_told() {
    let sandbox = Sandbox::new();
    for name in ["a", "b", "c"] {
        sandbox.set(name, "old");
    }
    make_due(&sandbox, &["a"], &printed("echo new"));
    make_due(&sandbox, &["b"], &printed("touch started; sleep 60"));
    make_due(&sandbox, &["c"], &schedule(Some("hex:8")));
    for name in ["a", "b"] {
        sandbox.vault(&["rotate", name, "--trust-commands", "--yes"]).run().ok();
    }
    let round = sandbox.vault(&["rotate", "--due"]).spawn();
    wait_until("the command", || sandbox.path("work/started").exists());
    // What another one is at is not said to be done.
    let beside = sandbox.vault(&["rotate", "--due"]).run().ok().text();
    assert_eq!(beside, "b  being rotated by another process\nc  rotated, version 2\n");
    sandbox.program("kill", &["-TERM", &round.id().to_string()]).run().ok();
    let ended = round.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(13), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "a  rotated, version 2\n");
    let records = sandbox.vault(&["audit", "show", "--format", "json"]).run().ok().text();
    let recorded = |name: &str| {
        let name = format!("\"name\":\"{name}\"");
        records.lines().filter(|line| line.contains("\"rotate\"") && line.contains(&name)).count()
    };
    assert_eq!((recorded("a"), recorded("c")), (1, 1), "{records}");
}

#[test]
fn what_cannot_be_read_keeps_no_other_from_its_rotation() {
    let sandbox = Sandbox::new();
    for name in ["a", "b", "b2", "c"] {
        sandbox.set(name, "old");
    }
    make_due(&sandbox, &["a"], &schedule(Some("newer:9")));
    make_due(&sandbox, &["b", "b2", "c"], &schedule(Some("hex:8")));
    assert_eq!(sandbox.vault(&["rotate", "b2", "--generate", "pin:4", "--apply", "kill -9 $PPID"]).run().code, 137);
    // A schedule with a field that a later version cannot do without, and a journal that is none.
    let vault = sandbox.library(Options::default());
    let uid = |name: &str| vault.entry(&plain(name)).unwrap().unwrap().uid_hex();
    let spoil = |name: &str| {
        let bytes = vault.system_get("schedule", &uid(name)).unwrap().unwrap();
        vault.system_put("schedule", &uid(name), &[&[bytes[0] + 1], &bytes[1..], &[9, 1]].concat(), now()).unwrap();
    };
    spoil("b");
    vault.system_put("rotation", &uid("b2"), &[0], now()).unwrap();
    let dry = sandbox.vault(&["rotate", "--due", "--dry-run"]).run().ends(10).text();
    assert!(dry.contains("c   would be rotated by hex:8"), "{dry}");
    let found = due(&sandbox);
    let results: Vec<_> = (0..4).map(|at| (&found[at]["result"], &found[at]["code"])).collect();
    let nothing = serde_json::Value::Null;
    assert_eq!(results[0], (&"failed".into(), &"usage".into()), "{found}");
    assert_eq!(results[1], (&"failed".into(), &"newer_format".into()), "{found}");
    assert_eq!(results[2], (&"failed".into(), &"damaged".into()), "{found}");
    assert_eq!(results[3], (&"rotated".into(), &nothing), "{found}");
    assert!(found[0]["next_attempt"].is_string() && found[1]["next_attempt"].is_null(), "{found}");
    assert_eq!(due(&sandbox)[0]["result"], "waiting");
    // Nor does one that is not due keep the times of others from being corrected.
    for name in ["d", "e"] {
        sandbox.set(name, "old");
        vault.set_schedules(&[(plain(name), schedule(Some("hex:8")))], now() + 10 * HOUR).unwrap();
    }
    spoil("d");
    let corrected = sandbox.vault(&["rotate", "--due", "--trust-clock"]).run().ends(10);
    assert!(corrected.stderr.contains("note: 1 entries were due later"), "{}", corrected.stderr);
}

/// Without a schedule there is no place for when it may be tried again: its commands would run in every round.
#[test]
fn what_was_begun_by_hand_is_left_to_a_person() {
    let sandbox = Sandbox::new();
    let vault = sandbox.library(Options { tiers: [("critical".to_owned(), HOUR)].into(), ..Options::default() });
    let meta = [("tier".to_owned(), Some("critical".to_owned()))].into();
    let write = Write { meta, ..Write::value(SecretValue::from("old"), Kind::Text) };
    vault.set(&plain("a"), write, now() - 2 * HOUR).unwrap();
    let apply = "echo >> ran; false";
    sandbox.vault(&["rotate", "a", "--generate", "pin:4", "--apply", apply]).run().fails(10, "so did the way back");
    let ran = fs::read(sandbox.path("work/ran")).unwrap();
    for _ in 0..2 {
        let found = due(&sandbox);
        assert_eq!((&found[0]["name"], &found[0]["result"]), (&"a".into(), &"needs_person".into()), "{found}");
    }
    let told = sandbox.vault(&["rotate", "--due"]).run().ends(10).text();
    assert!(told.contains("--resume"), "{told}");
    assert_eq!(fs::read(sandbox.path("work/ran")).unwrap(), ran);
}

#[test]
fn no_command_is_run_where_another_rotation_has_begun_since() {
    let sandbox = Sandbox::new();
    for name in ["a", "b"] {
        sandbox.set(name, "old");
    }
    let begun = "vault rotate b --generate pin:4 --apply 'kill -9 $PPID' --key-file ../test.key";
    make_due(&sandbox, &["a"], &printed(&format!("{begun} >&2; echo new")));
    make_due(&sandbox, &["b"], &printed("touch ran; echo new"));
    for name in ["a", "b"] {
        sandbox.vault(&["rotate", name, "--trust-commands", "--yes"]).run().ok();
    }
    let told = sandbox.vault(&["rotate", "--due"]).run().ok().text();
    assert_eq!(told, "a  rotated, version 2\nb  being rotated by another process\n");
    assert!(!sandbox.path("work/ran").exists());
    assert_eq!(sandbox.get("b"), b"old");
}
