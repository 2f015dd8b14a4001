//! `vault run` as a shell's job: signals, stops, exit codes, terminals, and what is left when it is killed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

use crate::sandbox::{PATIENCE, Sandbox, VAULT, code, is_installed, wait_until};
use crate::terminal::Terminal;

fn filled() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.set("api", "api-secret-4");
    sandbox
}

fn send(process: impl ToString, signal: &str) {
    let sent = std::process::Command::new("kill").args([&format!("-{signal}"), "--", &process.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// The state of a process: R, S, T, or nothing when it is gone.
pub fn state(process: &str) -> String {
    let status = std::fs::read_to_string(Path::new("/proc").join(process).join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("State:"));
    line.map(|line| line.trim()[..1].to_owned()).unwrap_or_default()
}

const SIGNALS: [&str; 9] = ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "TSTP", "CONT", "WINCH"];

fn catches(signal: &str) -> String {
    format!("trap 'echo got {signal}; exit 7' {signal}; echo ready; while :; do sleep 0.05; done")
}

fn line_of(child: &mut Child) -> BufReader<std::process::ChildStdout> {
    BufReader::new(child.stdout.take().unwrap())
}

#[test]
fn every_signal_reaches_the_program_without_a_terminal() {
    let sandbox = filled();
    for signal in SIGNALS {
        let mut command = sandbox.program("setsid", &[VAULT, "run", "--", "sh", "-c", &catches(signal)]).into_command();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = line_of(&mut child).lines().map(Result::unwrap);
        assert_eq!(lines.next().unwrap(), "ready", "{signal}");
        send(child.id(), signal);
        assert_eq!(lines.next().unwrap(), format!("got {signal}"));
        assert_eq!(code(child.wait().unwrap()), 7, "{signal}");
    }
}

#[test]
fn every_signal_reaches_the_program_at_a_terminal() {
    let sandbox = filled();
    for signal in SIGNALS {
        // On a pseudo-terminal of its own; and on the terminal itself, with output into a pipe.
        let terminal = Terminal::new();
        let mut child = terminal.start(&sandbox, &[VAULT, "run", "--mask", "--", "sh", "-c", &catches(signal)]);
        terminal.shows("ready");
        send(child.id(), signal);
        terminal.shows(&format!("got {signal}"));
        assert_eq!(code(child.wait().unwrap()), 7, "{signal}");

        let terminal = Terminal::new();
        let words = [VAULT, "run", "--", "sh", "-c", &catches(signal)];
        let mut child = terminal.start_with(&sandbox, &words, |command| {
            command.stdout(Stdio::piped());
        });
        let mut lines = line_of(&mut child).lines().map(Result::unwrap);
        assert_eq!(lines.next().unwrap(), "ready", "{signal}");
        send(child.id(), signal);
        assert_eq!(lines.next().unwrap(), format!("got {signal}"));
        assert_eq!(code(child.wait().unwrap()), 7, "{signal}");
    }
    // The terminal's own word about its size, on both sides of a pseudo-terminal.
    let terminal = Terminal::new();
    let script = "trap 'stty size; exit 7' WINCH; echo ready; while :; do sleep 0.05; done";
    let mut child = terminal.start(&sandbox, &[VAULT, "run", "--mask", "--", "sh", "-c", script]);
    terminal.shows("ready");
    terminal.resize(20, 70);
    terminal.shows("20 70");
    assert_eq!(code(child.wait().unwrap()), 7);
}

#[test]
fn a_program_stops_and_goes_on() {
    let sandbox = filled();
    // Without a terminal.
    let mut command = sandbox.program("setsid", &[VAULT, "run", "--", "sh", "-c", "echo $$; exec sleep 60"]).into_command();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    line_of(&mut child).read_line(&mut line).unwrap();
    let program = line.trim();
    for _ in 0..2 {
        send(child.id(), "TSTP");
        wait_until("the stop", || state(program) == "T");
        send(child.id(), "CONT");
        wait_until("the end of the stop", || state(program) == "S");
    }
    send(child.id(), "TERM");
    assert_eq!(code(child.wait().unwrap()), 143);

    // As a job of a shell, by a key: with a pseudo-terminal, and without.
    for option in ["--mask", "--files"] {
        let terminal = Terminal::new();
        let script = format!(
            "set -m; vault run {option} --only api -- sh -c 'echo ready; read word; echo got $word; exit 5'
             echo code $?; stty -a | grep -wo -e icanon; fg; echo code $?"
        );
        let mut child = terminal.start(&sandbox, &["bash", "-c", &script]);
        // Behind a pseudo-terminal the keys are the program's from then on that the terminal leaves them alone.
        let keys_pass = || wait_until("the keys", || option == "--files" || !terminal.is_as_ever());
        terminal.shows("ready");
        keys_pass();
        terminal.keys("\u{1a}");
        terminal.shows("code 148\r\nicanon");
        keys_pass();
        terminal.keys("word\r");
        terminal.shows("got word");
        terminal.shows("code 5");
        assert!(child.wait().unwrap().success() && terminal.is_as_ever());
    }
}

#[test]
fn exit_codes_are_exact() {
    let sandbox = filled();
    let loop_of = |options: &str, to: &str| {
        format!(
            "for c in $(seq 0 125); do vault run {options} -- sh -c \"exit $c\" {to}; test $? = $c || echo bad $c; done
             for s in 1 2 3 9 10 13 14 15; do vault run {options} -- sh -c \"kill -$s \\$\\$\" {to}; test $? = $((128 + s)) || echo bad -$s; done
             vault run {options} -- ./none {to} 2> /dev/null; test $? = 127 || echo bad 127
             vault run {options} -- / {to} 2> /dev/null; test $? = 126 || echo bad 126
             echo done"
        )
    };
    for options in ["--only api", "--only api --no-mask"] {
        assert_eq!(sandbox.shell(&loop_of(options, "| cat; test")).run().text().lines().last(), Some("done"));
        assert_eq!(sandbox.shell(&loop_of(options, "> /dev/null")).run().ok().text(), "done\n", "{options}");
    }
    let terminal = Terminal::new();
    let mut child = terminal.start(&sandbox, &["sh", "-c", &loop_of("--only api --mask", "")]);
    child.wait().unwrap();
    assert_eq!(terminal.all(), "done\r\n");
}

#[test]
fn a_pager_keeps_the_terminal() {
    let sandbox = filled();
    let terminal = Terminal::new();
    let script = "vault run --mask --only api -- sh -c 'echo $API; echo error $API >&2; sleep 60' |
        sh -c 'read line; echo got $line; read key < /dev/tty; echo typed $key'";
    let mut child = terminal.start(&sandbox, &["sh", "-c", script]);
    terminal.shows("got [MASKED]");
    terminal.shows("error [MASKED]");
    assert!(terminal.is_as_ever(), "keys are not the pager's");
    terminal.keys("word\r");
    terminal.shows("typed word");
    send(format!("-{}", child.id()), "TERM");
    child.wait().unwrap();
    assert!(!terminal.all().contains("api-secret-4"));
}

#[test]
fn a_job_in_the_background_does_not_stop() {
    let sandbox = filled();
    for to in ["", "> log"] {
        let terminal = Terminal::new();
        let script = format!(
            "set -m; vault run --mask --only api -- sh -c 'echo \"<$API>\"; exit 3' {to} & wait $!; echo code $?; cat log"
        );
        std::fs::write(sandbox.path("work/log"), "").unwrap();
        let mut child = terminal.start(&sandbox, &["bash", "-c", &script]);
        child.wait().unwrap();
        assert!(terminal.all().contains("code 3") && terminal.is_as_ever(), "{:?}", terminal.screen());
        terminal.shows(if to.is_empty() { "<************>" } else { "<[MASKED]>" });
    }
    // Brought to the foreground it gets the keys.
    let terminal = Terminal::new();
    let script = "set -m; vault run --mask --only api -- sh -c 'echo ready; read word; echo got $word' &
        sleep 1; fg > /dev/null; echo code $?";
    let mut child = terminal.start(&sandbox, &["bash", "-c", script]);
    terminal.shows("ready");
    wait_until("the foreground", || !terminal.is_as_ever());
    terminal.keys("word\r");
    terminal.shows("got word");
    terminal.shows("code 0");
    child.wait().unwrap();
    assert!(terminal.is_as_ever());
}

#[test]
fn output_for_another_terminal_goes_there() {
    let sandbox = filled();
    let (own, other) = (Terminal::new(), Terminal::new());
    let script = format!("vault run --mask --only api -- sh -c 'echo x $API' > {}; echo done", other.path.display());
    let mut child = own.start(&sandbox, &["sh", "-c", &script]);
    other.shows("x [MASKED]");
    own.shows("done");
    child.wait().unwrap();
    assert!(!own.all().contains("x "), "{:?}", own.screen());
}

#[test]
fn a_program_does_not_outlive_a_vault_that_is_killed() {
    let sandbox = filled();
    let script = "echo \"pid $$.\"; exec sleep 600";
    let number = |text: &str| Some(text.split_once("pid ")?.1.split_once('.')?.0.to_owned());
    let terminal = Terminal::new();
    let mut child = terminal.start(&sandbox, &[VAULT, "run", "--mask", "--only", "api", "--", "sh", "-c", script]);
    let mut program = None;
    wait_until("the program", || {
        program = number(&terminal.screen());
        program.is_some()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let program = program.unwrap();
    wait_until("the end of the program on a terminal", || ["", "Z"].contains(&state(&program).as_str()));

    let mut child = sandbox.vault(&["run", "--mask", "--only", "api", "--", "sh", "-c", script]).spawn();
    let mut line = String::new();
    line_of(&mut child).read_line(&mut line).unwrap();
    let program = number(&line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the end of the program", || ["", "Z"].contains(&state(&program).as_str()));
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let sandbox = filled();
    for (command, expected) in [("echo hi", 13), ("echo hi; exit 5", 5), ("echo hi; kill -9 $$", 137)] {
        let failed = sandbox.program("sh", &["-c", &format!("vault run --only api -- sh -c '{command}' > /dev/full")]).run();
        assert_eq!(failed.code, expected, "{command}");
        assert!(failed.stderr.contains("error: pass on what the program printed: "), "{}", failed.stderr);
    }
    // A reader who has seen enough is no error.
    sandbox.shell("vault run --only api -- sh -c 'echo a; echo b' | head -n 1; exit ${PIPESTATUS-0}").run().ok();
}

#[test]
fn what_stays_in_the_background_is_not_waited_for_without_end() {
    let sandbox = filled();
    // It has begun before the program ends: of one that does not print in a second nothing is waited for.
    let script = "(while :; do echo tick; touch ticked; sleep 0.2; done) & echo \"pid $!.\"
        until test -e ticked; do sleep 0.05; done; exit 6";
    let start = Instant::now();
    let out = sandbox.vault(&["run", "--only", "api", "--", "sh", "-c", script]).run().ends(6);
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    let text = out.text();
    assert!(text.contains("tick\n"), "{text}");
    let ticking = text.split_once("pid ").unwrap().1.split_once('.').unwrap().0.to_owned();
    wait_until("the end of what nobody reads", || ["", "Z"].contains(&state(&ticking).as_str()));
    // What the program itself printed arrives, however slow its reader is.
    let script = "vault run --only api -- sh -c 'head -c 120000 /dev/zero | tr \"\\0\" x' | (sleep 7; wc -c)";
    assert_eq!(sandbox.shell(script).run().ok().text().trim(), "120000");
}

#[test]
fn limits_are_those_that_vault_was_started_with() {
    let sandbox = filled();
    for (limits, expected) in [("ulimit -Sc 1000", "1000 unlimited"), ("ulimit -c 2000", "2000 2000")] {
        for options in ["--no-mask", "--mask", "--no-mask --files=fifo"] {
            let script = format!(
                "{limits} && ulimit -Sn 100 && vault run {options} -- bash -c 'echo $(ulimit -Sc) $(ulimit -Hc) $(ulimit -Sn)'"
            );
            let out = sandbox.program("bash", &["-c", &script]).run();
            if out.stderr.contains("ulimit") {
                eprintln!("skipped: the hard limit of core dumps is lower here");
                continue;
            }
            assert_eq!(out.ok().text(), format!("{expected} 100\n"), "{options}");
        }
    }
}

/// In a PID namespace whose first process did not begin a session, the session and the group have the number 0.
#[test]
fn a_session_without_a_number_is_one() {
    let sandbox = filled();
    if sandbox.program("unshare", &["--pid", "--fork", "true"]).run().code != 0 {
        eprintln!("skipped: this takes a system that lets this user make PID namespaces");
        return;
    }
    for options in [&["--mask"][..], &["--no-mask"], &["--mask", "--files=fifo"]] {
        let command = [&["--pid", "--fork", VAULT, "run"][..], options, &["--", "sh", "-c", "exit 42"]].concat();
        sandbox.program("unshare", &command).run().ends(42);
        if is_installed("script") {
            let words: Vec<_> = command.iter().map(|word| format!("'{word}'")).collect();
            let line = format!("unshare {}", words.join(" "));
            sandbox.program("script", &["-qefc", &line, "/dev/null"]).env("SHELL", "/bin/sh").run().ends(42);
        }
    }
}

/// The words of a process and its environment, as far as they can be seen.
fn seen_in(process: &Path, file: &str) -> Vec<u8> {
    std::fs::read(process.join(file)).unwrap_or_default()
}

#[test]
fn a_value_is_in_the_environment_of_the_program_alone() {
    let sandbox = Sandbox::new();
    let canary = crate::sandbox::canary();
    sandbox.set("api", &canary);
    let holds = |bytes: &[u8]| bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
    for (option, expected) in [("--mask", 1), ("--no-mask", 1), ("--files", 0), ("--files=fifo", 0)] {
        let mut child = sandbox.vault(&["run", option, "--only", "api", "--", "sleep", "60"]).spawn();
        let mut found: Vec<(PathBuf, &str)> = Vec::new();
        let is_running = |process: &Path| seen_in(process, "cmdline") == b"sleep\x0060\x00" && is_of(process, &sandbox);
        let processes = || std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        wait_until("the program", || processes().any(|process| is_running(&process)));
        for process in processes() {
            let files = ["environ", "cmdline"].into_iter().filter(|file| holds(&seen_in(&process, file)));
            found.extend(files.map(|file| (process.clone(), file)));
        }
        assert_eq!(found.len(), expected, "{option}: {found:?}");
        assert!(found.iter().all(|(process, file)| *file == "environ" && is_running(process)), "{option}: {found:?}");
        send(child.id(), "TERM");
        child.wait().unwrap();
    }
}

fn is_of(process: &Path, sandbox: &Sandbox) -> bool {
    std::fs::read_link(process.join("cwd")).is_ok_and(|directory| directory == sandbox.path("work"))
}

#[test]
fn a_value_is_never_an_argument() {
    if !crate::sandbox::is_installed("strace") {
        return;
    }
    let sandbox = Sandbox::new();
    let canary = crate::sandbox::canary();
    sandbox.set("api", &canary);
    sandbox.write("t", "{{ vault://api }}");
    let log = sandbox.path("trace");
    for (command, in_environment) in [
        ("run --mask --only api -- sh -c 'true; true'", true),
        ("run --no-mask --map A=api -- sh -c 'true; true'", true),
        ("run --watch --mask --only api --shell 'true; true'", true),
        ("run --files --only api -- sh -c 'cat $API'", false),
        ("run --files=fifo --only api -- sh -c 'cat $API'", false),
        ("inject -i t", false),
    ] {
        let run = sandbox.program("strace", &["-f", "-v", "-s", "100000", "-e", "trace=execve", "-o"]).arg(&log);
        let out = run.arg("sh").arg("-c").arg(format!("vault {command}; true")).run();
        if out.code != 0 {
            assert!(std::env::var_os("VAULT_TEST_REQUIRE").is_none(), "strace may not trace here: {}", out.stderr);
            eprintln!("skipped: strace may not trace here");
            return;
        }
        let trace = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
        let calls: Vec<&str> = trace.lines().filter(|line| line.contains("execve(")).collect();
        assert!(!calls.is_empty());
        let holding: Vec<&&str> = calls.iter().filter(|line| line.contains(&canary)).collect();
        assert_eq!(!holding.is_empty(), in_environment, "{command}: {holding:?}");
        for line in holding {
            let (arguments, environment) = line.split_once("], [").unwrap();
            assert!(!arguments.contains(&canary) && environment.contains(&canary), "{command}: {line}");
            assert!(!arguments.contains("/vault\"") && !arguments.contains("vault-run"), "{command}: {line}");
        }
    }
}

/// A value that is read to the end of the stream.
fn rest_of(child: &mut Child) -> String {
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn what_unlocks_the_vault_stays_with_vault() {
    let sandbox = filled();
    sandbox.write("phrase", "seven odd words that nobody will try\n");
    let look = "cat /proc/self/fd/3 2> /dev/null; cat /proc/self/fd/0 2> /dev/null; echo end";
    let init = "VAULT_PASSPHRASE_FILE=phrase vault init --vault p -q; VAULT_PASSPHRASE_FILE=phrase vault set a --vault p -q < t";
    sandbox.write("t", "x");
    sandbox.program("sh", &["-c", init]).without_env("VAULT_KEY_FILE").run().ok();
    for line in [
        format!("vault run --vault p --passphrase-fd 3 --no-mask -- sh -c '{look}' 3< phrase"),
        format!("VAULT_PASSPHRASE_FD=3 vault run --vault p --mask -- sh -c '{look}' 3< phrase"),
        format!("vault run --vault p --passphrase-fd 0 --no-mask -- sh -c '{look}' < phrase"),
        // Also where another key came before it.
        format!("VAULT_PASSPHRASE_FD=3 vault run --key-file ../test.key --no-mask -- sh -c '{look}' 3< phrase"),
        format!("vault run --vault p --passphrase-file /dev/fd/3 --no-mask -- sh -c '{look}' 3< phrase"),
    ] {
        let mut command = sandbox.program("sh", &["-c", &line]).without_env("VAULT_KEY_FILE").into_command();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        assert_eq!(rest_of(&mut child), "end\n", "{line}");
        assert!(child.wait().unwrap().success(), "{line}");
    }
}
