//! Hooks: what the user's configuration has run when something was done or refused.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::sandbox::{Run, Sandbox, identity, is_installed};

/// A hook that writes down what it was told, by tabs.
const TELL: &str = r#"printf '%s\t%s\t%s\t%s\t%s\n' "$VAULT_HOOK_EVENT" "$VAULT_HOOK_RESULT" "$VAULT_HOOK_ENTRY" "$VAULT_HOOK_ENVIRONMENT" "$VAULT_HOOK_VERSION" >> "$HOME/told""#;

fn configure(sandbox: &Sandbox, text: &str) {
    fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    fs::write(sandbox.path("config/vault/config.toml"), text).unwrap();
}

fn hook(options: &str, command: &str) -> String {
    format!("[[hook]]\n{options}\ncommand = '''\n{command}'''\n")
}

/// A machine with a vault and these hooks.
fn with(hooks: &[(&str, &str)]) -> Sandbox {
    let sandbox = Sandbox::new();
    let text: String = hooks.iter().map(|(options, command)| hook(options, command)).collect();
    configure(&sandbox, &text);
    sandbox
}

fn told_at(sandbox: &Sandbox) -> PathBuf {
    sandbox.path("home/told")
}

/// What hooks wrote since this was last asked: lines, without blanks at their ends.
fn told(sandbox: &Sandbox) -> Vec<String> {
    let text = fs::read_to_string(told_at(sandbox)).unwrap_or_default();
    let _ = fs::remove_file(told_at(sandbox));
    text.lines().map(|line| line.trim_end().replace('\t', " ")).collect()
}

fn set(sandbox: &Sandbox, name: &str, value: &str) -> Run {
    sandbox.vault(&["set", name]).stdin(value)
}

#[test]
fn every_event_can_be_waited_for() {
    let sandbox = with(&[("on = ['any']", TELL)]);
    let (_, recipient) = identity();
    sandbox.write("wrong", [9; 32]);
    let lines = "
        vault init --vault other.vault --key-file other.key = init ok
        printf v | vault set a = set ok a  1
        printf v | vault set a -e prod = set ok a prod 1
        printf w | vault rotate a = rotate ok a  2
        vault get a = get ok a  2
        vault get a --version 1 = get ok a  1
        vault list =
        vault info a =
        vault rotate a --every 30d --generate hex:8 = schedule ok a  2
        vault get none; true = get not_found none
        printf v | vault set a --create-only; true = set conflict a
        printf v | vault set old --ttl 0s = set ok old  1
        vault get old; true = get expired old  1
        vault prune = prune ok old
        printf v | vault encrypt --out enc = encrypt ok
        vault decrypt enc = decrypt ok
        vault get a --key-file wrong; true = unlock denied
        vault key add --label r --recipient RECIPIENT = key-add ok
        vault key remove r = key-remove ok
        vault export --format json = export ok a  2,export ok a prod 1
        vault rm a = rm ok a  2
        vault audit prune --keep 1 = audit-prune ok
        truncate -s -9 ../test.vault.audit; printf v | vault set b = audit-recovered error,audit-mismatch error,set ok b  1
    ";
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let (command, expected) = line.rsplit_once('=').unwrap();
        let output = sandbox.shell(&command.replace("RECIPIENT", &recipient)).run().ok();
        assert!(!output.stderr.contains("hook"), "`{command}`: {}", output.stderr);
        assert_eq!(told(&sandbox).join(","), expected.trim(), "`{command}`");
    }
}

#[test]
fn an_unlocked_agent_is_an_event() {
    let sandbox = with(&[("on = ['unlock', 'lock']", TELL)]);
    sandbox.shell("vault unlock > /dev/null 2>&1; vault lock --stop > /dev/null 2>&1").run().ok();
    assert_eq!(told(&sandbox)[0], "unlock ok");
}

#[test]
fn filters_choose_entries() {
    let sandbox = with(&[
        ("on = ['set']\nmatch = 'db/*'", "echo name >> $HOME/told"),
        ("on = ['write']\nenvironment = 'prod'", "echo environment >> $HOME/told"),
        ("on = ['delete']\nmatch = 'db/*'\nenvironment = ''", "echo both >> $HOME/told"),
    ]);
    for (arguments, expected) in [
        (&["set", "db/a"][..], "name"),
        (&["set", "web"], ""),
        (&["set", "db/a", "-e", "prod"], "name,environment"),
        (&["set", "web", "-e", "prod"], "environment"),
        (&["rm", "db/a", "-e", "prod"], "environment"),
        (&["rm", "db/a"], "both"),
        (&["rm", "web"], ""),
    ] {
        sandbox.vault(arguments).stdin("v").run().ok();
        assert_eq!(told(&sandbox).join(","), expected, "{arguments:?}");
    }
}

#[test]
fn a_value_is_given_only_on_demand_and_that_is_recorded() {
    let sandbox = with(&[
        ("on = ['set', 'rm', 'get']\nvalue = true", "cat <&3 >> $HOME/told && echo >> $HOME/told || echo none >> $HOME/told"),
        (
            "on = ['set']",
            "[ -e /dev/fd/3 ] && echo open >> $HOME/told; env >> $HOME/env; tr '\\0' '\\n' < /proc/$$/cmdline >> $HOME/env; true",
        ),
    ]);
    set(&sandbox, "a", "s3cret-v4lue").run().ok();
    assert_eq!(told(&sandbox), ["s3cret-v4lue"]);
    set(&sandbox, "a", "newer-v4lue").run().ok();
    told(&sandbox);
    // That of the event, not the current one.
    let got = sandbox.vault(&["get", "a", "--version", "1"]).run().ok();
    assert_eq!((got.text().as_str(), told(&sandbox)), ("s3cret-v4lue", vec!["s3cret-v4lue".to_owned()]));
    sandbox.vault(&["rm", "a"]).run().ok();
    assert_eq!(told(&sandbox), ["none"]);
    let seen = fs::read_to_string(sandbox.path("home/env")).unwrap();
    assert!(seen.contains("VAULT_HOOK_ENTRY=a") && seen.contains("VAULT_HOOK_VAULT=") && !seen.contains("v4lue"), "{seen}");
    // What unlocks the vault is not passed on.
    assert!(seen.contains("VAULT_FILE=") && !seen.contains("VAULT_KEY_FILE"), "{seen}");
    let records = sandbox.vault(&["audit", "show", "--action", "hook"]).run().ok().text();
    assert_eq!(records.lines().count(), 3, "{records}");
    assert!(records.contains("hook  ok  a  v1") && records.contains("given the value, on 'set'"), "{records}");
}

#[test]
fn a_project_has_no_hooks() {
    let sandbox = Sandbox::new();
    sandbox.write("vault.toml", hook("on = ['any']", "echo ran >> $HOME/told"));
    set(&sandbox, "a", "v").run().ok();
    sandbox.vault(&["get", "none"]).run().fails(3, "there is no entry");
    assert!(!told_at(&sandbox).exists());
}

#[test]
fn a_hook_that_fails_is_told_of_and_changes_nothing() {
    for (command, how) in [
        ("exit 7", "ended with exit code 7"),
        ("kill -9 $$", "was ended by signal 9"),
        ("exec 2> /dev/null; /no/such/program", "ended with exit code 127"),
        ("sleep 60", "took longer than 0.3 s and was ended"),
    ] {
        // Whatever is to end by itself has the time for it.
        let timeout = if command == "sleep 60" { "300ms" } else { "50s" };
        let options = format!("on = ['set', 'refusal']\ntimeout = '{timeout}'");
        let sandbox = with(&[(&options, command), ("on = ['set']\ntimeout = '50s'", TELL)]);
        let began = Instant::now();
        let output = set(&sandbox, "a", "v").run().ok();
        assert!(began.elapsed() < Duration::from_secs(50));
        assert_eq!(output.stderr, format!("warning: the hook on 'set' of 'a' {how}; what was done stands\n"));
        // The next one runs all the same.
        assert_eq!(told(&sandbox), ["set ok a  1"]);
        assert_eq!(sandbox.get("a"), b"v");
        let output = sandbox.vault(&["get", "none"]).run().fails(3, "there is no entry 'none'");
        assert!(output.stderr.contains(&format!("the hook on 'get' of 'none' {how}")), "{}", output.stderr);
        let records = sandbox.vault(&["audit", "show", "--action", "hook", "--format", "json"]).run().ok().json();
        let records = records["records"].as_array().unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(
            (&records[0]["result"], &records[0]["error"], &records[0]["name"]),
            (&"error".into(), &"hook_failed".into(), &"a".into())
        );
        assert_eq!(records[0]["detail"], format!("on 'set': it {how}"));
        assert!(set(&sandbox, "a", "v").arg("-q").run().ok().stderr.is_empty());
        let json = set(&sandbox, "a", "v").arg("--errors").arg("json").run().ok().stderr;
        let note: serde_json::Value = serde_json::from_str(json.trim_end()).unwrap();
        assert!(note["note"].as_str().unwrap().starts_with("warning: the hook"), "{json}");
    }
}

#[test]
fn a_hook_that_hangs_is_waited_for_once() {
    let sandbox = with(&[("on = ['rm']\ntimeout = '15s'", "echo x >> $HOME/told; sleep 60")]);
    for name in ["a", "b", "c"] {
        sandbox.set(name, "v");
    }
    let output = sandbox.vault(&["rm", "a", "b", "c"]).run().ok();
    assert!(output.stderr.ends_with("warning: a hook that took too long was not run for 2 more events\n"), "{}", output.stderr);
    assert_eq!((told(&sandbox).len(), sandbox.list().len()), (1, 0));
}

#[test]
fn what_a_hook_prints_is_no_data() {
    let sandbox = with(&[("on = ['get']", "echo printed; cat")]);
    sandbox.set("a", "v");
    let output = sandbox.vault(&["get", "a"]).stdin("input").run().ok();
    assert_eq!((output.text().as_str(), output.stderr.as_str()), ("v", "printed\n"));
}

#[test]
fn hooks_of_hooks_do_not_run() {
    let sandbox = with(&[("on = ['set']", "echo ran >> $HOME/told; vault set b --generate hex:4 --key-file ../test.key")]);
    let output = set(&sandbox, "a", "v").run().ok();
    assert!(output.stderr.is_empty(), "{}", output.stderr);
    assert_eq!((told(&sandbox).len(), sandbox.list()), (1, vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn hooks_run_before_a_program_takes_the_place() {
    let sandbox = with(&[("on = ['run']\nmatch = 'a'", TELL), ("on = ['run']\nmatch = 'k'", "kill -INT $PPID; sleep 60")]);
    sandbox.set("a", "value-of-a");
    sandbox.set("k", "value-of-k");
    // By `exec`, and beside a program whose output is masked.
    for options in [&["--no-mask"][..], &[]] {
        let mut arguments = vec!["run", "--only", "a"];
        arguments.extend(options);
        arguments.extend(["--", "sh", "-c", "cat \"$HOME/told\"; exit 7"]);
        let output = sandbox.vault(&arguments).run().ends(7);
        assert_eq!(output.text(), "run\tok\ta\t\t1\n");
        assert_eq!(told(&sandbox).len(), 1);
    }
    // Who interrupts them does not want the program either.
    let output = sandbox.vault(&["run", "--no-mask", "--only", "k", "--", "touch", "started"]).run().ends(130);
    assert!(output.stderr.contains("the hook on 'run' of 'k' was interrupted"), "{}", output.stderr);
    assert!(!sandbox.path("work/started").exists());
}

#[test]
fn without_a_log_hooks_run_as_well() {
    let sandbox = Sandbox::new();
    configure(&sandbox, &format!("[audit]\nenabled = false\n{}", hook("on = ['set', 'refusal']\nvalue = true", TELL)));
    set(&sandbox, "a", "v").run().ok();
    sandbox.vault(&["get", "none"]).run().ends(3);
    assert_eq!(told(&sandbox), ["set ok a  1", "get not_found none"]);
}

#[test]
fn what_is_not_recorded_and_must_be_is_given_to_nobody() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "v");
    configure(
        &sandbox,
        &format!(
            "[audit]\nrequired = true\n{}",
            hook("on = ['read']\nvalue = true", "echo ran >> $HOME/told; cat <&3 >> $HOME/told")
        ),
    );
    sandbox.vault(&["get", "a"]).run().ok();
    assert_eq!(told(&sandbox), ["ran", "v"]);
    fs::remove_file(sandbox.path("test.vault.audit")).unwrap();
    fs::create_dir(sandbox.path("test.vault.audit")).unwrap();
    sandbox.vault(&["get", "a"]).run().fails(13, "could not be recorded");
    assert!(!told_at(&sandbox).exists());
}

#[test]
fn no_other_process_sees_the_value() {
    if !is_installed("strace") {
        return;
    }
    let sandbox = with(&[("on = ['set', 'get']\nvalue = true", "cat <&3 > /dev/null")]);
    if sandbox.program("strace", &["-o", "/dev/null", "true"]).run().code != 0 {
        return;
    }
    let trace = sandbox.path("tmp/trace");
    let run = sandbox.program("strace", &["-f", "-v", "-s", "100000", "-e", "trace=execve", "-o"]).arg(&trace);
    run.arg("vault").arg("set").arg("a").stdin("s3cret-v4lue").run().ok();
    let text = fs::read_to_string(&trace).unwrap();
    assert!(text.contains("/bin/sh") && text.contains("VAULT_HOOK_EVENT=set") && !text.contains("v4lue"));
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused() {
    let sandbox = Sandbox::new();
    for (text, words) in [
        ("[[hook]]\non = ['set']", "missing field `command`"),
        ("[[hook]]\ncommand = 'true'", "missing field `on`"),
        ("[[hook]]\non = []\ncommand = 'true'", "a hook needs `on` and `command`"),
        ("[[hook]]\non = ['sets']\ncommand = 'true'", "'sets' is no event that a hook can wait for"),
        ("[[hook]]\non = ['hook']\ncommand = 'true'", "'hook' is no event"),
        ("[[hook]]\non = ['set']\ncommand = 'true'\nmatch = '['", "the pattern of a hook is malformed"),
        ("[[hook]]\non = ['set']\ncommand = 'true'\ntimeout = '0s'", "an interval cannot be zero"),
        ("[[hook]]\non = ['set']\ncommand = 'true'\nenvironment = ' '", "environment of a hook"),
        ("[[hook]]\non = ['set']\ncommand = 'true'\nvalues = true", "unknown field `values`"),
        ("[[hook]]\non = 'set'\ncommand = 'true'", "expected a sequence"),
    ] {
        configure(&sandbox, text);
        let output = sandbox.vault(&["get", "a"]).run().fails(2, words);
        assert!(output.stderr.contains("config.toml"), "{}", output.stderr);
    }
}
