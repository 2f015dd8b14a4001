//! `vault rotate --apply`: the new value counts when it is verified, and until then the old one does.

use std::fs;
use std::time::{Duration, Instant};

use vault::{Options, Vault};

use crate::sandbox::{Sandbox, VAULT, canary, is_installed, now, plain};

/// A service that takes a value: `apply` puts it into a file, `verify` looks whether it is there.
const APPLY: &str = "cat <&3 > service";
const VERIFY: &str = "cmp -s /dev/fd/3 service";

fn scene() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.set("a", "old");
    sandbox.write("service", "old");
    sandbox
}

fn service(sandbox: &Sandbox) -> Vec<u8> {
    fs::read(sandbox.path("work/service")).unwrap()
}

fn info(sandbox: &Sandbox) -> serde_json::Value {
    sandbox.vault(&["info", "a", "--format", "json"]).run().ok().json()
}

/// Nothing is under way, and the vault is sound.
#[track_caller]
fn settled(sandbox: &Sandbox) {
    let info = info(sandbox);
    assert_eq!((&info["rotation_pending"], &info["rotation"]), (&false.into(), &serde_json::Value::Null), "{info}");
    sandbox.vault(&["check"]).run().ok();
}

fn rotate(sandbox: &Sandbox, more: &[&str]) -> crate::sandbox::Run {
    sandbox.vault(&[&["rotate", "a"], more].concat()).stdin("new")
}

/// Leaves a rotation as a crash does: its process is killed by the command that it runs.
fn crash(sandbox: &Sandbox, apply: &str, verify: &str) {
    assert_eq!(rotate(sandbox, &["--apply", apply, "--verify", verify]).run().code, 137);
}

#[test]
fn a_value_that_is_verified_becomes_the_current_one() {
    let sandbox = scene();
    let apply = "cat <&3 > service; cat <&4 > before; echo \"$VAULT_ROTATE_PHASE $VAULT_ROTATE_ENTRY ($VAULT_ROTATE_ENVIRONMENT)\"; vault get a > meanwhile 2>&1; true";
    let verify = "cmp /dev/fd/3 service && echo $VAULT_ROTATE_PHASE && ! read line";
    let done = rotate(&sandbox, &["--apply", apply, "--verify", verify, "--grace", "1h"]).run().ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("", "apply a ()\nverify\n'a' is at version 2\n"));
    assert_eq!((sandbox.get("a"), service(&sandbox)), (b"new".to_vec(), b"new".to_vec()));
    assert_eq!(fs::read(sandbox.path("work/before")).unwrap(), b"old");
    // What unlocks the vault is not passed on.
    assert!(fs::read_to_string(sandbox.path("work/meanwhile")).unwrap().starts_with("error: no key is given"));
    assert_eq!(sandbox.vault(&["get", "a", "--previous"]).run().ok().stdout, b"old");
    settled(&sandbox);
    // Nothing is done in a dry run.
    let before = sandbox.bytes();
    let said = rotate(&sandbox, &["--apply", "exit 1", "--dry-run"]).run().ok().stderr;
    assert_eq!(said, "'a' would get the value on standard input as version 3, if it can be applied\n");
    assert_eq!(sandbox.bytes(), before);
}

#[test]
fn what_is_not_verified_is_rolled_back() {
    for (more, why) in [
        (
            &["--apply", "cat <&3 > service; test $VAULT_ROTATE_PHASE = rollback", "--verify", VERIFY][..],
            "apply ended with exit code 1",
        ),
        (&["--apply", APPLY, "--verify", "test $(cat service) = old"], "verify ended with exit code 1"),
        (&["--apply", APPLY, "--verify", "test $(cat service) = old", "--rollback", "cat <&3 > service; exit 1"], "verify ended"),
        (&["--apply", "exit 3", "--rollback", "cat <&3 > service"], "apply ended with exit code 3"),
        (
            &["--apply", "cat <&3 > service; test $VAULT_ROTATE_PHASE = rollback || sleep 60", "--timeout", "20s"],
            "apply took longer than 20 s",
        ),
        (&["--apply", "no-such-program", "--verify", VERIFY], "apply ended with exit code 127"),
    ] {
        let sandbox = scene();
        let done = rotate(&sandbox, more).run().fails(10, "the rotation of 'a' failed and was rolled back");
        assert!(done.stderr.contains(why), "{}", done.stderr);
        assert_eq!((sandbox.get("a"), service(&sandbox)), (b"old".to_vec(), b"old".to_vec()), "{more:?}");
        assert!(info(&sandbox)["rotation_failed"]["what"].as_str().unwrap().contains(why));
        settled(&sandbox);
        // The next one that comes about ends the memory of it.
        rotate(&sandbox, &["--apply", APPLY]).run().ok();
        assert_eq!(info(&sandbox)["rotation_failed"], serde_json::Value::Null);
    }
}

#[test]
fn what_can_be_neither_verified_nor_rolled_back_is_kept_and_can_be_tried_again() {
    let sandbox = scene();
    sandbox.write("down", "");
    let (apply, verify) = ("! test -e down && cat <&3 > service", "! test -e down && cmp -s /dev/fd/3 service");
    let stuck = rotate(&sandbox, &["--apply", apply, "--verify", verify]).run().fails(10, "so did the way back");
    assert!(stuck.stderr.contains("--resume"));
    assert_eq!(sandbox.get("a"), b"old");
    let state = info(&sandbox);
    assert_eq!((&state["rotation"]["phase"], &state["rotation_pending"]), (&"stuck".into(), &true.into()));
    assert!(sandbox.vault(&["list", "--long"]).run().ok().text().contains("rotation pending"));
    let shown = sandbox.vault(&["info", "a"]).run().ok().text();
    assert!(
        shown.contains("under way (stuck)") && shown.contains("the new value is stored") && !shown.contains("new\n"),
        "{shown}"
    );
    sandbox.vault(&["rotate", "a", "--resume"]).run().fails(10, "so did the way back");
    fs::remove_file(sandbox.path("work/down")).unwrap();
    sandbox.vault(&["rotate", "--resume"]).run().ok();
    assert_eq!((sandbox.get("a"), service(&sandbox)), (b"new".to_vec(), b"new".to_vec()));
    settled(&sandbox);
    sandbox.vault(&["rotate", "a", "--resume"]).run().fails(3, "no rotation of 'a' is under way");
    sandbox.vault(&["rotate", "--resume"]).run().ok();
}

#[test]
fn an_entry_is_not_written_while_its_rotation_is_under_way() {
    let sandbox = scene();
    sandbox.set("b", "v");
    crash(&sandbox, "kill -9 $PPID", VERIFY);
    for arguments in [
        &["set", "a"][..],
        &["rotate", "a"],
        &["rotate", "a", "--apply", APPLY],
        &["set", "a", "--field", "x"],
        &["rollback", "a", "--version", "1"],
        &["cp", "b", "a", "--force"],
    ] {
        let refused = sandbox.vault(arguments).stdin("x").run();
        // A field of a value that is no JSON is another fault.
        assert!(refused.code == 6 || arguments.contains(&"--field"), "{arguments:?} {}", refused.stderr);
    }
    sandbox.vault(&["rm", "a"]).run().fails(6, "a rotation of 'a' is under way");
    // What is no value may change, and the name may too.
    sandbox.vault(&["set", "a", "--meta-only", "--meta", "k=v", "--ttl", "0s"]).run().ok();
    assert!(sandbox.vault(&["prune"]).run().ok().stderr.contains("'a' stays"));
    sandbox.vault(&["set", "a", "--meta-only", "--no-expiry"]).run().ok();
    sandbox.vault(&["mv", "a", "c"]).run().ok();
    sandbox.vault(&["rotate", "c", "--abort"]).run().ok();
    sandbox.vault(&["mv", "c", "a"]).run().ok();
    let apply = "test -e again && cat <&3 > service || { touch again; kill -9 $PPID; }";
    crash(&sandbox, apply, VERIFY);
    sandbox.vault(&["mv", "a", "c"]).run().ok();
    sandbox.vault(&["rotate", "c", "--resume"]).run().ok();
    assert_eq!((sandbox.get("c"), service(&sandbox)), (b"new".to_vec(), b"new".to_vec()));
    sandbox.vault(&["mv", "c", "a"]).run().ok();
    settled(&sandbox);
}

#[test]
fn a_value_that_came_meanwhile_is_not_replaced_unless_that_is_said() {
    let sandbox = scene();
    let apply = "test -e again && cat <&3 > service || { touch again; kill -9 $PPID; }";
    crash(&sandbox, apply, VERIFY);
    sandbox.vault(&["set", "a", "--force"]).stdin("meanwhile").run().ok();
    sandbox.vault(&["rotate", "a", "--resume"]).run().fails(6, "is at version 2, and was at 1");
    assert_eq!(sandbox.get("a"), b"meanwhile");
    let events = info(&sandbox)["rotation"]["events"].to_string();
    assert!(events.contains("got another value meanwhile"), "{events}");
    sandbox.vault(&["rotate", "a", "--resume", "--force"]).run().ok();
    assert_eq!((sandbox.get("a"), service(&sandbox)), (b"new".to_vec(), b"new".to_vec()));
    settled(&sandbox);

    let sandbox = scene();
    crash(&sandbox, "kill -9 $PPID", VERIFY);
    let dropped = sandbox.vault(&["rotate", "a", "--abort"]).run().ok();
    assert!(dropped.stderr.contains("stays at version 1") && dropped.stderr.contains("not undone"));
    assert_eq!(sandbox.get("a"), b"old");
    settled(&sandbox);
    sandbox.vault(&["rotate", "a", "--abort"]).run().fails(3, "no rotation");

    let sandbox = scene();
    crash(&sandbox, "kill -9 $PPID", VERIFY);
    let uid = sandbox.library(Options::default()).entry(&plain("a")).unwrap().unwrap().uid_hex();
    sandbox.vault(&["rm", "a", "--force"]).run().ok();
    assert!(sandbox.library(Options::default()).system_get("rotation", &uid).unwrap().is_none());
    sandbox.vault(&["check"]).run().ok();
}

#[test]
fn a_rotation_that_somebody_carries_out_is_left_alone() {
    let sandbox = scene();
    let mut running =
        rotate(&sandbox, &["--apply", "touch started; while test -e started; do sleep 0.01; done; cat <&3 > service"]).spawn();
    crate::sandbox::wait_until("the rotation", || sandbox.path("work/started").exists());
    for arguments in [&["rotate", "a", "--resume"][..], &["rotate", "a", "--generate", "pin:4", "--apply", APPLY]] {
        sandbox.vault(arguments).run().fails(7, "is being rotated by another process");
    }
    // Another machine knows nothing of locks here: the time in the journal keeps it away.
    let elsewhere = sandbox.path("elsewhere");
    sandbox.vault(&["rotate", "a", "--resume"]).env("XDG_STATE_HOME", &elsewhere).run().fails(7, "which has until");
    fs::remove_file(sandbox.path("work/started")).unwrap();
    assert!(running.wait().unwrap().success());
    assert_eq!(sandbox.get("a"), b"new");
    settled(&sandbox);
    // Whoever lost it to somebody else does not end it.
    let lost =
        rotate(&sandbox, &["--apply", &format!("'{VAULT}' rotate a --abort --key-file '{}'", sandbox.key().display())]).run();
    lost.fails(6, "taken up or ended by somebody else");
    assert_eq!(sandbox.get("a"), b"new");
    settled(&sandbox);
}

#[test]
fn what_was_left_running_does_not_keep_the_lock_for_ever() {
    let sandbox = scene();
    // A service that is started by the command and stays; the rotation ends well, and the lock with it.
    let stays = "cat <&3 > service; sleep 600 > /dev/null 2>&1 & echo $! > pid";
    rotate(&sandbox, &["--apply", stays]).run().ok();
    rotate(&sandbox, &["--apply", APPLY]).run().ok();
    // One that is left by a process that was killed keeps the lock until the time of the rotation is over.
    crash(&sandbox, "sleep 600 > /dev/null 2>&1 & echo $! > pid2; kill -9 $PPID", VERIFY);
    sandbox.vault(&["rotate", "a", "--resume"]).run().fails(7, "by another process");
    let vault = sandbox.library(Options::default());
    let entry = vault.entry(&plain("a")).unwrap().unwrap();
    let mut pending = vault.pending_rotation(&entry).unwrap().unwrap();
    let phase = pending.journal.phase;
    vault.advance_rotation(&mut pending, phase, "its time is over", 1, now()).unwrap();
    sandbox.vault(&["rotate", "a", "--resume"]).run().ok();
    settled(&sandbox);
    sandbox.shell("kill $(cat pid pid2)").run();
}

#[test]
fn values_are_neither_arguments_nor_variables_nor_in_the_file() {
    let sandbox = Sandbox::new();
    let (old, new) = (canary(), canary());
    sandbox.set("a", &old);
    let look =
        "cat /proc/self/environ /proc/$$/environ /proc/$$/cmdline /proc/$PPID/cmdline >> seen; ls -l /proc/$$/fd >> seen; true";
    sandbox.vault(&["rotate", "a", "--apply", look, "--verify", look]).stdin(&new).run().ok();
    let failing = format!("{look}; test $VAULT_ROTATE_PHASE = rollback");
    sandbox.vault(&["rotate", "a", "--apply", &failing]).stdin(&old).run().ends(10);
    crash(&sandbox, "kill -9 $PPID", "true");
    let seen = fs::read(sandbox.path("work/seen")).unwrap();
    assert!(seen.windows(19).any(|window| window == b"VAULT_ROTATE_PHASE="));
    for (path, _) in sandbox.files("").into_iter().filter(|(path, _)| path.is_file()) {
        let bytes = fs::read(&path).unwrap();
        for value in [&old, &new] {
            assert!(!bytes.windows(32).any(|window| window == value.as_bytes()), "{}", path.display());
        }
    }
    for (path, mode) in sandbox.files("state") {
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
}

/// Killed at every system call that could leave something half done, and inside of each command: the vault has the old value, or one that was
/// verified, and `--resume` ends it.
#[test]
fn killed_at_every_step_it_can_be_gone_on_with() {
    if !is_installed("strace") {
        return;
    }
    let sandbox = scene();
    if sandbox.program("strace", &["-o", "/dev/null", "true"]).run().code != 0 {
        eprintln!("skipped: strace may not trace here");
        return;
    }
    let image = sandbox.bytes();
    let reset = || {
        fs::write(sandbox.file(), &image).unwrap();
        let _ = fs::remove_dir_all(sandbox.path("state"));
        sandbox.write("service", "old");
    };
    let check = |at: &str| {
        let value = sandbox.get("a");
        assert!(
            value == b"old" || (value == b"new" && service(&sandbox) == b"new"),
            "{at}: {:?}",
            String::from_utf8_lossy(&value)
        );
        sandbox.vault(&["check"]).run().ok();
        let resumed = sandbox.vault(&["rotate", "--resume"]).run();
        assert_eq!(resumed.code, 0, "{at}: {}", resumed.stderr);
        assert_eq!(sandbox.get("a"), service(&sandbox), "{at}");
        settled(&sandbox);
    };
    let mut kills = 0;
    // Both ways: one that comes about, and one that has to go back.
    for verify in [VERIFY, "test $(cat <&3) = old && cmp -s /dev/fd/3 service"] {
        for call in ["fdatasync", "pwrite64", "flock", "dup3", "memfd_create", "clone", "vfork", "wait4"] {
            for number in 1.. {
                reset();
                let inject = format!("inject={call}:signal=KILL:when={number}");
                let run = sandbox.program("strace", &["-o", "/dev/null", "-e", &inject, VAULT]);
                let run = ["rotate", "a", "--apply", APPLY, "--verify", verify].into_iter().fold(run, |run, word| run.arg(word));
                let output = run.stdin("new").run();
                if output.code != 137 {
                    assert!([0, 10].contains(&output.code), "{call} {number}: {}", output.stderr);
                    break;
                }
                kills += 1;
                let at = format!("killed at {call} {number}");
                if verify == VERIFY {
                    check(&at);
                    continue;
                }
                assert_eq!(sandbox.get("a"), b"old", "{at}");
                let resumed = sandbox.vault(&["rotate", "--resume"]).run();
                assert!([0, 10].contains(&resumed.code), "{at}: {}", resumed.stderr);
                assert_eq!((sandbox.get("a"), service(&sandbox)), (b"old".to_vec(), b"old".to_vec()), "{at}");
                settled(&sandbox);
            }
        }
    }
    assert!(kills > 20, "{kills}");
    // From inside, before and after the command has done its work.
    for (apply, verify) in [
        ("mkdir once && kill -9 $PPID; cat <&3 > service", VERIFY),
        ("cat <&3 > service; mkdir once && kill -9 $PPID; true", VERIFY),
        (APPLY, "mkdir once && kill -9 $PPID; cmp -s /dev/fd/3 service"),
        (APPLY, "cmp -s /dev/fd/3 service; code=$?; mkdir once && kill -9 $PPID; exit $code"),
    ] {
        reset();
        let _ = fs::remove_dir(sandbox.path("work/once"));
        assert_eq!(rotate(&sandbox, &["--apply", apply, "--verify", verify]).run().code, 137);
        check(&format!("{apply} / {verify}"));
        assert_eq!(sandbox.get("a"), b"new");
    }
    for place in ["apply", "rollback", "verify"] {
        reset();
        let _ = fs::remove_dir(sandbox.path("work/once"));
        let kill = |phase: &str| if phase == place { "mkdir once && kill -9 $PPID;" } else { "" };
        let apply = format!("{} cat <&3 > service", kill("apply"));
        let verify = format!("{} test $(cat <&3) = old && cmp -s /dev/fd/3 service", kill("verify"));
        let back = format!("{} cat <&3 > service", kill("rollback"));
        assert_eq!(rotate(&sandbox, &["--apply", &apply, "--verify", &verify, "--rollback", &back]).run().code, 137);
        sandbox.vault(&["rotate", "a", "--resume"]).run().fails(10, "was rolled back");
        assert_eq!((sandbox.get("a"), service(&sandbox)), (b"old".to_vec(), b"old".to_vec()), "{place}");
        settled(&sandbox);
    }
}

#[test]
fn an_interrupt_ends_the_command_and_leaves_the_rest_to_be_gone_on_with() {
    let sandbox = scene();
    let apply = "test -e started && exec cat <&3 > service; touch started; sleep 60; touch late";
    let running = rotate(&sandbox, &["--apply", apply, "--verify", VERIFY]).spawn();
    crate::sandbox::wait_until("the rotation", || sandbox.path("work/started").exists());
    let since = Instant::now();
    sandbox.program("kill", &["-INT", &running.id().to_string()]).run().ok();
    let ended = running.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(13), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("was interrupted") && since.elapsed() < Duration::from_secs(50));
    assert_eq!(sandbox.get("a"), b"old");
    sandbox.vault(&["rotate", "a", "--resume"]).run().ok();
    assert_eq!(sandbox.get("a"), b"new");
    settled(&sandbox);
}

#[test]
fn commands_of_others_are_not_run() {
    let sandbox = scene();
    crash(&sandbox, "touch ran; kill -9 $PPID", VERIFY);
    fs::remove_file(sandbox.path("work/ran")).unwrap();
    let away = sandbox.path("away");
    // The time of whoever began it is over, as another machine sees it.
    let vault = sandbox.library(Options::default());
    let expire = |vault: &Vault| {
        let mut pending = vault.pending_rotation(&vault.entry(&plain("a")).unwrap().unwrap()).unwrap().unwrap();
        vault.advance_rotation(&mut pending, vault::format::rotation::Phase::Applying, "over", 1, now()).unwrap();
    };
    expire(&vault);
    let away = |arguments: &[&str]| sandbox.vault(arguments).env("XDG_STATE_HOME", &away);
    away(&["rotate", "a", "--resume"]).run().fails(12, "were not given on this machine");
    assert!(!sandbox.path("work/ran").exists());
    away(&["rotate", "a", "--trust-commands"]).run().ends(2);
    let shown = away(&["rotate", "a", "--trust-commands", "--dry-run"]).run().ok().text();
    assert!(shown.contains("apply   touch ran; kill -9 $PPID") && shown.contains("verify"), "{shown}");
    away(&["rotate", "a", "--resume"]).run().fails(12, "were not given");
    away(&["rotate", "a", "--trust-commands", "--yes"]).run().ok();
    assert_eq!(away(&["rotate", "a", "--resume"]).run().code, 137);
    assert!(sandbox.path("work/ran").exists());
}

#[test]
fn a_rotation_under_way_outlives_new_keys_and_a_merge() {
    let sandbox = scene();
    sandbox.vault(&["key", "add", "--label", "leaver", "--key-file", "leaver.key"]).run().ok();
    let apply = "test -e again && cat <&3 > service || { touch again; kill -9 $PPID; }";
    crash(&sandbox, apply, VERIFY);
    for keys in [&["rotate", "--master"][..], &["rotate", "--data"], &["rotate", "--data", "--reseal"], &["remove", "leaver"]] {
        sandbox.vault(&[&["key"], keys].concat()).run();
        sandbox.vault(&["check"]).run().ok();
        assert_eq!(info(&sandbox)["rotation"]["phase"], "applying");
    }
    // Whoever was removed could read the value that was about to come.
    fs::copy(sandbox.file(), sandbox.path("work/theirs")).unwrap();
    sandbox.vault(&["set", "b", "--vault", "theirs"]).stdin("x").run().ok();
    sandbox.vault(&["set", "c"]).stdin("x").run().ok();
    sandbox.vault(&["merge", "theirs"]).run().ok();
    sandbox.vault(&["check"]).run().ok();
    sandbox.vault(&["rotate", "--resume"]).run().ok();
    assert_eq!((sandbox.get("a"), service(&sandbox)), (b"new".to_vec(), b"new".to_vec()));
    settled(&sandbox);
    let exposed = sandbox.vault(&["key", "exposure", "leaver"]).run();
    assert!(exposed.text().starts_with("a  v2"), "{}", exposed.text());
    // The copy learns that it is over.
    sandbox.vault(&["merge", sandbox.file().to_str().unwrap(), "--vault", "theirs"]).run().ok();
    let there = sandbox.vault(&["info", "a", "--vault", "theirs", "--format", "json"]).run().ok().json();
    assert_eq!((&there["rotation_pending"], &there["rotation"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(sandbox.vault(&["get", "a", "--vault", "theirs"]).run().ok().stdout, b"new");
}

#[test]
fn a_limited_key_rotates_nothing_and_sees_what_is_under_way() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "a", "--category", "ci"]).stdin("old").run().ok();
    sandbox.vault(&["key", "add", "--label", "ci", "--key-file", "ci.key", "--only", "category:ci"]).run().ok();
    crash(&sandbox, "kill -9 $PPID", VERIFY);
    let limited = |arguments: &[&str]| sandbox.vault(arguments).env("VAULT_KEY_FILE", "ci.key").run();
    for arguments in [
        &["rotate", "a", "--generate", "pin:4"][..],
        &["rotate", "a", "--generate", "pin:4", "--apply", "touch ran"],
        &["rotate", "a", "--command", "touch ran; echo x", "--force"],
        &["rotate", "a", "--every", "1d"],
        &["rotate", "a", "--no-schedule"],
        &["rotate", "a", "--resume"],
        &["rotate", "a", "--abort"],
        &["rotate", "a", "--trust-commands"],
        &["rotate", "--resume"],
        &["rotate", "--due"],
        &["prune"],
    ] {
        assert_eq!(limited(arguments).code, 12, "{arguments:?}");
    }
    assert!(!sandbox.path("work/ran").exists());
    assert!(limited(&["info", "a"]).ok().text().contains("under way"));
    assert_eq!(limited(&["get", "a"]).ok().stdout, b"old");
    limited(&["check"]).ok();
}

#[test]
fn large_values_are_refused_before_anything_is_done() {
    let sandbox = scene();
    let before = sandbox.bytes();
    let large = vec![b'x'; (1 << 20) + 1];
    sandbox.vault(&["rotate", "a", "--apply", "touch ran"]).stdin(&large).run().fails(2, "at most 1 MiB");
    assert_eq!(sandbox.bytes(), before);
    sandbox.vault(&["rotate", "a", "--apply", "cat <&3 | wc -c > size"]).stdin(&large[1..]).run().ok();
    assert_eq!(fs::read_to_string(sandbox.path("work/size")).unwrap().trim(), "1048576");
}

#[test]
fn what_a_hint_says_finds_the_entry() {
    let sandbox = Sandbox::new();
    let name = "it's a";
    sandbox.vault(&["set", name, "-e", "prod"]).stdin("old").run().ok();
    sandbox.set(name, "another");
    sandbox.write("down", "");
    let apply = "! test -e down && cat <&3 > service";
    let hinted = |stderr: &str| {
        let command = stderr.lines().find_map(|line| line.split("`vault rotate").nth(1)?.split('`').next());
        format!("vault rotate {}", command.unwrap_or_else(|| panic!("{stderr}")))
    };
    let rotate = |more: &[&str]| sandbox.vault(&[&["rotate", name, "-e", "prod"], more].concat()).stdin("new").run();
    let stuck = rotate(&["--apply", apply]).fails(10, "so did the way back");
    let pending = rotate(&["--generate", "pin:4"]).fails(6, "is under way");
    let (again, same) = (hinted(&stuck.stderr), hinted(&pending.stderr));
    assert_eq!(again, same);
    fs::remove_file(sandbox.path("work/down")).unwrap();
    // Where the commands were not given, they are asked about, by a hint of its own.
    let elsewhere = sandbox.path("elsewhere");
    let waits = sandbox.vault(&["info", name, "-e", "prod", "--format", "json"]).run().ok().json();
    assert_eq!(waits["rotation"]["phase"], "stuck");
    let vault = sandbox.library(Options::default());
    let mut pending = vault.pending_rotations().unwrap().remove(0);
    let phase = pending.journal.phase;
    vault.advance_rotation(&mut pending, phase, "its time is over", 1, now()).unwrap();
    let untrusted = sandbox.shell(&again).env("XDG_STATE_HOME", &elsewhere).run().fails(12, "'it's a (prod)' were not given");
    sandbox.shell(&format!("{} --yes", hinted(&untrusted.stderr))).run().ok();
    sandbox.shell(&again).run().ok();
    assert_eq!(sandbox.vault(&["get", name, "-e", "prod"]).run().ok().stdout, b"new");
    assert_eq!(sandbox.get(name), b"another");
}
