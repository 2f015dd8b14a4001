//! What bad input gets: each case its own line, its own exit code, and the vault as it was.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::sandbox::{Sandbox, VAULT, is_installed, is_root, within};

/// A vault with two entries, and a value that a test may look for.
fn scene() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.set("a", "first");
    sandbox.vault(&["set", "j", "--json"]).stdin("{\"b\":{\"c\":1}}").run().ok();
    sandbox
}

#[test]
fn every_case_has_its_line_and_its_code() {
    let sandbox = scene();
    sandbox.write("wrong", [9; 32]);
    sandbox.write("text", "hello");
    sandbox.write("empty", "");
    sandbox.write("large", vec![b'x'; (16 << 20) + 1]);
    let mut newer = sandbox.bytes();
    newer[11] = b'2';
    sandbox.write("newer", &newer);
    let long = "n".repeat(256);
    let cases: &[(&[&str], &str, i32, &str)] = &[
        (&["get", "a", "--key-file", "wrong"], "", 4, "the key does not open this vault"),
        (&["set", "a", "--key-file", "wrong"], "v", 4, "the key does not open this vault"),
        (&["get", "a", "--key-file", "empty"], "", 4, "empty does not hold a key"),
        (&["get", "a", "--vault", "none"], "", 5, "there is no vault at none"),
        (&["set", "a", "--vault", "none"], "v", 5, "there is no vault at none"),
        (&["get", "a", "--vault", "none/none"], "", 5, "there is no vault at none/none"),
        (&["get", "a", "--vault", "text"], "", 8, "this is not a vault file"),
        (&["get", "a", "--vault", "empty"], "", 8, "the vault is damaged"),
        (&["get", "a", "--vault", "newer"], "", 8, "the file has format 2, this version knows format 1"),
        (&["set", "a", "--vault", "newer"], "v", 8, "the file has format 2, this version knows format 1"),
        (&["set", "a\nb"], "v", 2, "the name holds a control character"),
        (&["set", "a\u{85}b"], "v", 2, "the name holds a control character"),
        (&["get", "a\tb"], "", 2, "the name holds a control character"),
        (&["set", ""], "v", 2, "the name is empty"),
        (&["set", &long], "v", 2, "the name is longer than 255 characters"),
        (&["set", " a"], "v", 2, "the name begins or ends with a blank"),
        (&["set", "a\u{2003}"], "v", 2, "the name begins or ends with a blank"),
        (&["mv", "a", "a\u{0}b".trim_end_matches("\u{0}b")], "", 2, "are the same"),
        (&["set", "a", "--from-file", "large"], "", 2, "the value of 'a' is larger than 16 MiB"),
        (&["get", "j", "b.x"], "", 3, "the value has no field 'b.x'"),
        (&["get", "j", "/b/c/d"], "", 3, "the value has no field 'b.c.d'"),
        (&["get", "a", "b"], "", 3, "the value is not JSON, so it has no fields"),
        (&["get", "none"], "", 3, "there is no entry 'none'"),
        (&["get", "a", "--version", "2"], "", 3, "'a' has no version 2"),
        (&["set", "a", "--json"], "{", 2, "the value is not JSON (line 1, column 1)"),
        (&["set", "a", "--lock-timeout", "soon"], "v", 2, "'soon' is not a duration"),
    ];
    let before = sandbox.bytes();
    let mut lines = std::collections::BTreeMap::new();
    for (arguments, stdin, code, words) in cases {
        let run = sandbox.vault(arguments);
        let failed = if stdin.is_empty() { run.run() } else { run.stdin(stdin).run() }.fails(*code, words);
        let line = failed.stderr.lines().next().unwrap().to_owned();
        // The same words never stand for two different codes.
        assert_eq!(*lines.entry(line).or_insert(*code), *code);
        assert!(failed.stderr.lines().count() <= 2 && failed.stderr.lines().skip(1).all(|line| line.starts_with("hint: ")));
        assert!(sandbox.bytes() == before, "{arguments:?} changed the vault");
    }
    assert_eq!(fs::read(sandbox.path("work/newer")).unwrap(), newer);
    assert!(!sandbox.path("work/none").exists());
}

#[test]
fn what_is_not_utf_8_is_refused_where_text_is_asked() {
    let sandbox = scene();
    let before = sandbox.bytes();
    let broken = OsStr::from_bytes(b"a\xff");
    for command in ["get", "set", "rm", "info"] {
        let refused = sandbox.vault(&[command]).arg(broken).stdin("v").run().fails(2, "UTF-8");
        assert!(refused.stderr.is_ascii(), "{}", refused.stderr);
    }
    sandbox.vault(&["set", "x", "--category"]).arg(broken).stdin("v").run().fails(2, "UTF-8");
    assert_eq!(sandbox.bytes(), before);
    // A path is not text: any bytes will do.
    fs::copy(sandbox.file(), sandbox.path("work").join(broken)).unwrap();
    fs::copy(sandbox.file(), sandbox.path("work/line\nbreak")).unwrap();
    sandbox.vault(&["get", "a", "--vault"]).arg(broken).run().ok();
    sandbox.vault(&["get", "a"]).env("VAULT_FILE", broken).run().ok();
    let failed = sandbox.vault(&["get", "none", "--vault", "line\nbreak"]).run().fails(3, "no entry");
    assert!(failed.stderr.lines().count() == 2);
    sandbox.vault(&["get", "none", "--vault", "no\nline"]).run().fails(5, "no vault at no\\nline");
}

#[test]
fn a_lock_that_is_held_is_waited_for_and_no_longer_than_said() {
    let sandbox = scene();
    sandbox.vault(&["backup", "copy"]).run().ok();
    let file = fs::OpenOptions::new().read(true).write(true).open(sandbox.file()).unwrap();
    fs2::FileExt::lock_exclusive(&file).unwrap();
    let before = sandbox.bytes();
    for arguments in [
        &["set", "a"][..],
        &["rm", "a"],
        &["mv", "a", "b"],
        &["cp", "a", "b"],
        &["rotate", "a", "--generate", "pin:4"],
        &["rollback", "a", "--version", "1"],
        &["import", "-", "--format", "dotenv"],
        &["compact"],
        &["set", "a", "--meta-only", "--tag", "t"],
        &["set", "j", "--field", "x"],
        &["restore", "copy", "--force"],
        &["key", "rotate", "--master"],
    ] {
        let mut line = arguments.to_vec();
        line.extend(["--lock-timeout", "200ms"]);
        within(Duration::from_secs(5), || {
            let start = Instant::now();
            let busy = sandbox.vault(&line).stdin("A=1\n").run().fails(7, "another process is writing to the vault");
            assert!(busy.stderr.contains("hint: try again, or wait longer with --lock-timeout"));
            assert!(start.elapsed() >= Duration::from_millis(200), "{arguments:?} waited {:?}", start.elapsed());
        });
    }
    assert_eq!(sandbox.bytes(), before);
    // Readers do not wait.
    for arguments in [&["get", "a"][..], &["list"], &["check"], &["export", "--format", "json"], &["backup", "another"]] {
        within(Duration::from_secs(5), || drop(sandbox.vault(arguments).run().ok()));
    }
    sandbox.write("vault.toml", "lock-timeout = \"100ms\"\n");
    sandbox.vault(&["set", "a"]).stdin("v").run().ends(7);
    // Whoever waits gets its turn.
    let waiting = sandbox.vault(&["set", "a", "--lock-timeout", "30s"]).stdin("second").spawn();
    std::thread::sleep(Duration::from_millis(100));
    fs2::FileExt::unlock(&file).unwrap();
    assert!(waiting.wait_with_output().unwrap().status.success());
    assert_eq!(sandbox.get("a"), b"second");
}

#[test]
fn no_flip_gives_a_wrong_value_or_a_panic() {
    let sandbox = scene();
    let good = sandbox.bytes();
    let flipped = sandbox.path("work/flipped");
    let mut noticed = 0;
    for at in (0..good.len()).step_by(151) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&flipped, &bytes).unwrap();
        let got = sandbox.vault(&["get", "a", "--vault", "flipped"]).run();
        match got.code {
            0 => assert_eq!(got.stdout, b"first", "byte {at}"),
            8 => {
                got.fails(8, "");
            }
            // An older commit is the newest that can be read: `a` is in it, or not yet.
            3 => assert!(got.stderr.contains("no entry 'a'"), "byte {at}: {}", got.stderr),
            4 => assert!(at < 4096, "byte {at}: {}", got.stderr),
            code => panic!("byte {at}: exit {code}: {}", got.stderr),
        }
        let checked = sandbox.vault(&["check", "--vault", "flipped"]).run();
        let sound = checked.code == 0;
        // A commit that cannot be read is told as a tail.
        noticed += usize::from(!sound || checked.text().contains("belong to no commit"));
        assert!(!checked.stderr.contains("panicked") && matches!(checked.code, 0 | 4 | 8 | 10), "byte {at}: {}", checked.stderr);
        assert!(fs::read(&flipped).unwrap() == bytes, "byte {at}: the file was changed");
    }
    assert_eq!(noticed, good.len().div_ceil(151), "a flip was not noticed by check");
}

#[test]
fn a_commit_that_was_acknowledged_does_not_vanish_silently() {
    let sandbox = scene();
    let good = sandbox.bytes();
    sandbox.set("a", "second");
    let after = sandbox.bytes();
    // This machine acknowledged the second value. Whatever becomes of its bytes, it is not the first one without a word.
    for at in (good.len()..after.len()).step_by(97) {
        let mut bytes = after.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(sandbox.file(), &bytes).unwrap();
        let got = sandbox.vault(&["get", "a"]).run();
        match got.code {
            0 => assert_eq!(got.stdout, b"second", "byte {at}"),
            _ => {
                got.fails(8, "");
            }
        }
        let set = sandbox.vault(&["set", "b"]).stdin("v").run();
        assert!(matches!(set.code, 0 | 8), "byte {at}: {}", set.stderr);
    }
    for length in (0..after.len()).step_by(149) {
        fs::write(sandbox.file(), &after[..length]).unwrap();
        let got = sandbox.vault(&["get", "a"]).run();
        let set = sandbox.vault(&["set", "b"]).stdin("v").run();
        if got.code == 0 {
            // A cut leaves an older copy, which is read with a warning and not written.
            assert!(got.stdout == b"first" && got.stderr.starts_with("warning: "), "cut at {length}: {}", got.stderr);
            set.fails(11, "older");
        } else {
            got.fails(8, "");
            set.fails(8, "");
        }
        assert_eq!(fs::metadata(sandbox.file()).unwrap().len(), length as u64);
    }
}

#[test]
fn paths_that_are_no_vault() {
    let sandbox = scene();
    fs::create_dir(sandbox.path("work/directory")).unwrap();
    sandbox.program("mkfifo", &["fifo"]).run().ok();
    std::os::unix::fs::symlink("loop", sandbox.path("work/loop")).unwrap();
    std::os::unix::fs::symlink(sandbox.file(), sandbox.path("work/link")).unwrap();
    let endless = "x/".repeat(2040) + "x";
    let name = "n".repeat(300);
    for (path, code, words) in [
        ("directory", 13, "not a regular file"),
        ("fifo", 13, "not a regular file"),
        ("/dev/null", 13, "not a regular file"),
        ("loop", 13, "symbolic links"),
        (&endless, 5, "no vault"),
        (&name, 13, "name too long"),
        ("directory/", 13, "not a regular file"),
        ("", 2, "a value is required"),
    ] {
        for command in ["get", "set"] {
            let failed = sandbox.vault(&[command, "a", "--vault", path]).stdin("v").run();
            let failed = failed.ends(code);
            assert!(failed.stderr.to_lowercase().contains(words), "{path}: {}", failed.stderr);
        }
    }
    // A link to a vault is that vault.
    sandbox.vault(&["set", "a", "--vault", "link"]).stdin("through").run().ok();
    assert_eq!(sandbox.get("a"), b"through");
    assert!(sandbox.path("work/link").symlink_metadata().unwrap().is_symlink());
    // With a second name, it can be written but not rewritten.
    fs::hard_link(sandbox.file(), sandbox.path("work/second")).unwrap();
    sandbox.set("a", "both");
    assert_eq!(sandbox.vault(&["get", "a", "--vault", "second"]).run().ok().stdout, b"both");
    sandbox.vault(&["compact"]).run().fails(13, "more than one hard link");
}

#[test]
fn closed_descriptors_are_not_written_through() {
    let sandbox = scene();
    let before = sandbox.bytes();
    // Whatever is opened first gets a low number; a message must not end in it.
    for script in
        ["vault get none 2>&-", "vault get a >&-", "vault get none <&- >&- 2>&-", "vault list <&- >&- 2>&-", "vault frob 2>&-"]
    {
        sandbox.shell(script).run();
        assert_eq!(sandbox.bytes(), before, "{script}");
    }
    for script in ["vault get a >&-", "vault list >&-", "vault key list >&-"] {
        sandbox.shell(script).run().fails(13, "write to standard output: it is closed");
    }
    sandbox.shell("vault import - --format dotenv <&-").run().fails(2, "there is nothing to import");
    sandbox.shell("printf v | vault set none >&- 2>&-").run().ok();
    sandbox.vault(&["check"]).run().ok();
}

/// Runs a script whose name `disk` is a file system of so many KiB; nothing where that is not allowed.
fn on_small_disk(sandbox: &Sandbox, kib: usize, script: &str) -> Option<crate::sandbox::Output> {
    let script = format!("mount -t tmpfs -o size={kib}k none disk || exit 99\n{script}");
    let output = sandbox.program("unshare", &["-rm", "sh", "-c", &script]).run();
    (output.code != 99 && !output.stderr.contains("unshare:")).then_some(output)
}

/// Sets an entry with a size limit that grows until it succeeds, and looks each time whether all or nothing was done.
/// Prints the exit code, and whether the file is as it was.
const WRITE: &str = "rm -rf $XDG_STATE_HOME; cksum < disk/v > before
    vault --vault disk/v $DO < value 2> errors; code=$?
    cksum < disk/v > after; cmp -s before after && same=same || same=changed
    vault --vault disk/v get a > got 2> /dev/null; vault --vault disk/v check > /dev/null 2>&1 || echo unsound
    cmp -s value got && new=new || new=old
    echo $code $same $new $(ls -A disk | grep -vc audit)";

#[test]
fn a_full_disk_changes_nothing() {
    let mut sandbox = scene();
    fs::create_dir(sandbox.path("work/disk")).unwrap();
    if !is_installed("unshare") || on_small_disk(&sandbox, 100, "true").is_none() {
        eprintln!("skipped: no small file system may be mounted here");
        return;
    }
    sandbox.write("value", vec![b'v'; 30_000]);
    let start = sandbox.bytes().len() / 1024;
    for (command, least) in [("set a --raw", 2), ("compact", 1)] {
        sandbox.set_env("DO", command);
        let (mut failed, mut done) = (0, 0);
        for kib in (start..start + 90).step_by(4) {
            let output = on_small_disk(&sandbox, kib, &format!("cp ../test.vault disk/v\n{WRITE}\ncat errors >&2")).unwrap();
            match output.text().as_str() {
                "13 same old 1\n" => {
                    failed += 1;
                    assert!(output.stderr.contains("No space left on device"), "{}", output.stderr);
                    assert!(output.stderr.contains("hint: the vault is as it was; make room"), "{}", output.stderr);
                }
                "0 changed new 1\n" if command != "compact" => done += 1,
                "0 changed old 1\n" if command == "compact" => done += 1,
                other => panic!("{kib} KiB for {command}: {other}{}", output.stderr),
            }
        }
        assert!(failed >= least && done >= 2, "{command}: {failed} failed, {done} done");
    }
}

#[test]
fn a_size_limit_changes_nothing_and_kills_nothing() {
    let mut sandbox = scene();
    sandbox.write("value", vec![b'v'; 30_000]);
    fs::create_dir(sandbox.path("work/disk")).unwrap();
    let (mut failed, mut done) = (0, 0);
    sandbox.set_env("DO", "set a --raw");
    let start = sandbox.bytes().len() / 512;
    // The unit of `ulimit -f` is 512 or 1024 bytes, as the shell likes.
    for blocks in (start / 2..start + 90).step_by(3) {
        let limited = WRITE.replacen("vault ", &format!("ulimit -f {blocks}; vault "), 1);
        let script =
            format!("cp ../test.vault disk/v; {}", limited.replacen("cksum < disk/v > after", "cksum < disk/v | cat > after", 1));
        let output = sandbox.shell(&format!("{script}\ncat errors >&2")).run();
        match output.text().as_str() {
            "13 same old 1\n" => {
                failed += 1;
                assert!(output.stderr.contains("File too large"), "{}", output.stderr);
            }
            "0 changed new 1\n" => done += 1,
            other => panic!("{blocks} blocks: {other}{}", output.stderr),
        }
    }
    assert!(failed >= 5 && done >= 2, "{failed} failed, {done} done");
}

/// What makes a command run as somebody for whom permissions count.
fn ordinary(sandbox: &Sandbox) -> Option<&'static str> {
    if !is_root() {
        return Some("");
    }
    if !is_installed("setpriv") {
        return None;
    }
    for (path, _) in sandbox.files("") {
        std::os::unix::fs::lchown(path, Some(65_534), Some(65_534)).unwrap();
    }
    sandbox.copy_binary();
    Some("setpriv --reuid 65534 --regid 65534 --clear-groups")
}

#[test]
fn a_vault_that_may_not_be_written_can_be_read() {
    let sandbox = scene();
    let Some(ordinary) = ordinary(&sandbox) else { return };
    let program = if ordinary.is_empty() { VAULT } else { "../vault" };
    let run = |line: &str| sandbox.shell(&format!("printf v | {ordinary} {program} {line}")).run();
    run("set a").ok();
    let before = sandbox.bytes();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&sandbox.file(), 0o400);
    for line in ["set a", "rm a", "compact", "import - --format dotenv"] {
        let refused = run(line);
        if line.starts_with("import") {
            refused.ends(2);
            continue;
        }
        let refused = refused.fails(13, "open the vault for writing: Permission denied");
        assert!(refused.stderr.contains("hint: the vault is as it was; it can be read where it cannot be written"));
    }
    assert_eq!(run("get a").ok().stdout, b"v");
    assert_eq!(sandbox.bytes(), before);
    mode(&sandbox.file(), 0o000);
    run("get a").fails(13, "open the vault: Permission denied");
    mode(&sandbox.file(), 0o600);
    // A directory in which nothing may be made: an everyday write needs nothing there, a rewrite does.
    mode(&sandbox.path(""), 0o555);
    run("set a").ok();
    run("compact").fails(13, "create the temporary file of a rewrite: Permission denied");
    assert_eq!(run("get a").ok().stdout, b"v");
    mode(&sandbox.path(""), 0o755);
    // Nor does anything need a place to remember in.
    fs::remove_dir_all(sandbox.path("state")).unwrap();
    mode(&sandbox.path(""), 0o555);
    run("get a").ok();
    run("set a").ok();
    mode(&sandbox.path(""), 0o755);
}

#[test]
fn a_read_only_file_system_is_read() {
    let sandbox = scene();
    if !is_installed("unshare") {
        return;
    }
    fs::create_dir(sandbox.path("work/disk")).unwrap();
    fs::copy(sandbox.file(), sandbox.path("work/disk/v")).unwrap();
    let script = "mount --bind disk disk && mount -o remount,bind,ro disk || exit 99
        vault get a --vault disk/v || exit; printf v | vault set a --vault disk/v";
    let output = sandbox.program("unshare", &["-rm", "sh", "-c", script]).run();
    if output.code == 99 || output.stderr.contains("unshare:") {
        eprintln!("skipped: nothing may be mounted here");
        return;
    }
    assert_eq!((output.code, output.stdout.as_slice()), (13, &b"first"[..]), "{}", output.stderr);
    assert!(output.stderr.contains("error: open the vault for writing: Read-only file system"), "{}", output.stderr);
}

#[test]
fn without_a_terminal_nothing_is_asked() {
    let sandbox = Sandbox::empty();
    sandbox.write("phrase", "seven odd words that nobody will try\n");
    sandbox.vault(&["init", "--vault", "v", "--passphrase-file", "phrase", "-q"]).run().ok();
    if !is_installed("setsid") {
        return;
    }
    let start = Instant::now();
    let run = |line: &[&str]| {
        let mut arguments = vec!["-w", VAULT];
        arguments.extend(line);
        sandbox.program("setsid", &arguments)
    };
    run(&["get", "a", "--vault", "v"]).run().fails(4, "no key is given");
    // What is piped is a value, and no answer.
    run(&["set", "a", "--vault", "v"]).stdin("seven odd words that nobody will try\n").run().fails(4, "no key is given");
    run(&["init", "--vault", "w"]).stdin("a\na\n").run().fails(4, "no passphrase is given");
    run(&["get", "a", "--vault", "v", "--no-input"]).run().fails(4, "no key is given");
    run(&["export", "--format", "age", "--vault", "v", "--passphrase-file", "phrase"])
        .run()
        .fails(2, "needs a recipient, or a terminal");
    assert!(!sandbox.path("work/w").exists());
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_vault_that_is_not_this_machines_newest_is_not_written() {
    let sandbox = scene();
    let old = sandbox.bytes();
    sandbox.set("a", "second");
    fs::write(sandbox.file(), &old).unwrap();
    sandbox
        .vault(&["set", "a"])
        .stdin("third")
        .run()
        .fails(11, "this copy of the vault is older than one that this machine has seen");
    assert_eq!(sandbox.bytes(), old);
    let json = sandbox.vault(&["set", "a", "--errors", "json"]).stdin("third").run().ends(11);
    let object: serde_json::Value = serde_json::from_str(json.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&object["error"]["code"], &object["error"]["exit_code"]), (&"older_than_seen".into(), &11.into()));
}
