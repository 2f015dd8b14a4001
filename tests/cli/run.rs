//! `vault run`

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;

use crate::sandbox::{PATIENCE, Sandbox, VAULT, canary, code, is_installed, wait_until, wait_until_or};

fn filled() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "svc/db-prod", "--category", "db"]).stdin("db-secret-1").run().ok();
    sandbox.vault(&["set", "json", "--json"]).stdin(r#"{"host":"leaf-secret-2","port":5432}"#).run().ok();
    sandbox.vault(&["set", "api", "-e", "prod"]).stdin("prod-secret-3").run().ok();
    sandbox.set("api", "api-secret-4");
    sandbox
}

/// The environment that `run` gives, without what this machine adds.
fn environment(sandbox: &Sandbox, options: &[&str]) -> Vec<String> {
    let mut arguments = vec!["run", "--no-mask"];
    arguments.extend(options);
    arguments.extend(["--", "env"]);
    let mut lines: Vec<String> =
        sandbox.vault(&arguments).env("KEEP", "kept").run().ok().text().lines().map(str::to_owned).collect();
    lines.retain(|line| {
        !["PATH=", "HOME=", "LANG=", "TMPDIR=", "XDG_", "VAULT_FILE=", "PWD="].iter().any(|name| line.starts_with(name))
    });
    lines.sort();
    lines
}

#[test]
fn variables_are_those_of_the_entries_that_are_asked_for() {
    let sandbox = filled();
    for (options, expected) in [
        (&[][..], &["API=api-secret-4", "JSON_HOST=leaf-secret-2", "JSON_PORT=5432", "KEEP=kept", "SVC_DB_PROD=db-secret-1"][..]),
        (&["-e", "prod", "--only", "api"], &["API=prod-secret-3", "KEEP=kept"]),
        (&["--only", "api,svc/db-prod", "--prefix", "P_"], &["KEEP=kept", "P_API=api-secret-4", "P_SVC_DB_PROD=db-secret-1"]),
        (&["--category", "db"], &["KEEP=kept", "SVC_DB_PROD=db-secret-1"]),
        (&["--map", "A=json#host", "--map", "B=vault://api?env=prod"], &["A=leaf-secret-2", "B=prod-secret-3", "KEEP=kept"]),
        (&["--map", "API=svc/db-prod", "--only", "api"], &["API=db-secret-1", "KEEP=kept"]),
        (&["--map", "KEEP=api"], &["KEEP=api-secret-4"]),
        (&["--map", "KEEP=api", "--preserve-env"], &["KEEP=kept"]),
        (&["--map", "KEEP=api", "--preserve-env", "--clean-env"], &["KEEP=api-secret-4"]),
        (&["--map", "A=api", "--clean-env"], &["A=api-secret-4"]),
    ] {
        assert_eq!(environment(&sandbox, options), expected, "{options:?}");
    }
}

#[test]
fn files_and_projects_name_variables_too() {
    let sandbox = filled();
    sandbox.write(".env.run", "A=plain $HOME\nB='vault://api?env=prod'\nC=\"x-{{ vault://json#host }}-y\"\n");
    assert_eq!(
        environment(&sandbox, &["--env-file", ".env.run"]),
        ["A=plain $HOME", "B=prod-secret-3", "C=x-leaf-secret-2-y", "KEEP=kept"]
    );
    sandbox.write("bad.env", "A=vault://none\n");
    sandbox.vault(&["run", "--env-file", "bad.env", "--", "touch", "started"]).run().fails(3, "A: there is no entry 'none'");
    sandbox.write("bad.env", "A='canary\n");
    let failed = sandbox.vault(&["run", "--env-file", "bad.env", "--", "touch", "started"]).run().fails(2, "bad.env: line 1");
    assert!(!failed.stderr.contains("canary"));
    sandbox.write("vault.toml", "[run.variables]\nT = \"vault://api\"\nU = \"text\"\n");
    assert_eq!(environment(&sandbox, &[]), ["KEEP=kept", "T=api-secret-4", "U=text"]);
    assert_eq!(environment(&sandbox, &["--map", "U=json#port"]), ["KEEP=kept", "T=api-secret-4", "U=5432"]);
    sandbox.write("vault.toml", "[run]\nonly = [\"api\"]\nprefix = \"P_\"\n");
    assert_eq!(environment(&sandbox, &[]), ["KEEP=kept", "P_API=api-secret-4"]);
    assert!(!sandbox.path("work/started").exists());
}

#[test]
fn nothing_starts_unless_everything_is_there() {
    let sandbox = filled();
    sandbox.vault(&["set", "late", "--ttl", "0s"]).stdin("v").run().ok();
    for (options, code, words) in [
        (&["--only", "api,none"][..], 3, "there is no entry 'none'"),
        (&["--map", "A=none"], 3, "there is no entry 'none'"),
        (&["--map", "A=json#none"], 3, ""),
        (&["--only", "api", "--category", "db"], 3, "not in this category"),
        (&["--only", "late"], 9, "expired"),
        (&["--map", "PATH=api"], 2, "PATH is never set"),
        (&["--map", "LD_PRELOAD=api"], 2, "LD_PRELOAD is never set"),
        (&["--map", "A-B=api"], 2, "not the name of a variable"),
        (&["--map", "A=api", "--map", "A=json"], 6, "twice"),
        (&["--map", "A"], 2, "--map is"),
    ] {
        let mut arguments = vec!["run"];
        arguments.extend(options);
        arguments.extend(["--", "touch", "started"]);
        sandbox.vault(&arguments).run().fails(code, words);
    }
    sandbox.set("a-b", "1");
    sandbox.set("a_b", "2");
    sandbox.vault(&["run", "--", "touch", "started"]).run().fails(6, "\"a-b\" and \"a_b\" would both become the variable A_B");
    sandbox.vault(&["run"]).run().ends(2);
    assert!(!sandbox.path("work/started").exists());
}

#[test]
fn what_decides_how_programs_run_is_neither_set_nor_passed_on() {
    let sandbox = Sandbox::new();
    for name in ["path", "home", "ps1", "ld_preload", "ok", "9nine"] {
        sandbox.set(name, "from-the-vault");
    }
    sandbox.set("bytes", b"\xff\0");
    let out = sandbox.vault(&["run", "--no-mask", "--", "env"]).env("VAULT_PASSPHRASE_CMD", "").env("VAULT_KEY", "").run().ok();
    assert_eq!(
        out.stderr,
        "note: left out, because no variable can have their name or value: 9nine, bytes, home, ld_preload, path, ps1 (--map gives another name)\n"
    );
    let text = out.text();
    assert_eq!(text.matches("from-the-vault").count(), 1, "{text}");
    assert!(text.contains("VAULT_FILE=") && !text.contains("VAULT_KEY") && !text.contains("VAULT_PASSPHRASE"), "{text}");
}

#[test]
fn the_program_takes_the_place_of_vault() {
    let sandbox = filled();
    // The same process, so that whoever signals it signals the program; and what this process ignores, it does not.
    let script = "echo $$; exec grep SigIgn /proc/self/status";
    let mut child = sandbox.vault(&["run", "--no-mask", "--", "sh", "-c", script]).spawn();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next().unwrap(), child.id().to_string());
    let ignored = u64::from_str_radix(lines.next().unwrap().trim_start_matches("SigIgn:").trim(), 16).unwrap();
    assert_eq!(ignored & (1 << 12 | 1 << 24), 0, "SIGPIPE or SIGXFSZ is ignored: {ignored:x}");
}

#[test]
fn exit_codes_are_the_programs_own() {
    let sandbox = filled();
    sandbox.write("script", "#!/bin/sh\nexit 3\n");
    fs::write(sandbox.path("work/plain"), "x").unwrap();
    for mask in ["--mask", "--no-mask"] {
        let run = |command: &[&str]| sandbox.vault(&[&["run", mask, "--"][..], command].concat()).run();
        run(&["sh", "-c", "exit 42"]).ends(42);
        run(&["sh", "-c", "kill -TERM $$"]).ends(143);
        run(&["none-such"]).fails(127, "there is no program 'none-such'");
        run(&["./script"]).fails(126, "'./script' cannot be executed");
        run(&["/"]).fails(126, "cannot be executed");
    }
    let shell = sandbox.vault(&["run", "--no-mask", "--shell", "echo \"$API\" $1; exit 5", "--", "word"]).run().ends(5);
    assert_eq!(shell.text(), "api-secret-4 word\n");
    let json = sandbox.vault(&["run", "--errors", "json", "--", "none-such"]).run().ends(127);
    assert!(json.stderr.contains("\"code\":\"command_not_found\""), "{}", json.stderr);
}

#[test]
fn programs_are_found_as_the_system_finds_them() {
    let sandbox = filled();
    let work = sandbox.path("work");
    for directory in ["plain", "taken/tool", "first", "second", "near"] {
        fs::create_dir_all(work.join(directory)).unwrap();
    }
    fs::write(work.join("plain/tool"), "#!/bin/sh\necho plain\n").unwrap();
    for directory in ["first", "second", "near"] {
        sandbox.script(format!("{directory}/tool"), &format!("echo {directory} $0"));
    }
    // What cannot be started is passed over.
    for (name, interpreter) in [("absent", "/nonexistent/sh"), ("plain", "/dev/null")] {
        sandbox.executable(&work.join("first").join(name), &format!("#!{interpreter}\n"));
        sandbox.script(format!("second/{name}"), "echo second \"$API\" $0 $1");
    }
    // Without a first line that names a shell it is for sh.
    sandbox.executable(&sandbox.path("work/second/lines"), "echo lines\n");
    let path = |relative: &str| {
        let absolute = ["plain", "taken", "first", "second"].map(|directory| work.join(directory).display().to_string());
        format!("{relative}{}:{}", absolute.join(":"), std::env::var("PATH").unwrap())
    };
    for mask in ["--mask", "--no-mask"] {
        let run = |relative: &str, command: &[&str]| {
            sandbox.vault(&[&["run", mask, "--"][..], command].concat()).env("PATH", path(relative)).run()
        };
        assert_eq!(run("", &["tool"]).ok().text(), format!("first {}\n", work.join("first/tool").display()));
        assert_eq!(run("near:", &["tool"]).ok().text(), "near near/tool\n");
        assert_eq!(run("", &["lines"]).ok().text(), "lines\n");
        for name in ["absent", "plain"] {
            let expected = format!("second api-secret-4 {} word\n", work.join("second").join(name).display());
            let run = sandbox.vault(&["run", "--clean-env", mask, "--", name, "word"]).env("PATH", path(""));
            let expected = if mask == "--mask" { expected.replace("api-secret-4", "[MASKED]") } else { expected };
            assert_eq!(run.run().ok().text(), expected);
            fs::remove_file(work.join("second").join(name)).unwrap();
            let error = if name == "absent" { (127, "there is no program") } else { (126, "cannot be executed") };
            sandbox.vault(&["run", mask, "--", name]).env("PATH", path("")).run().fails(error.0, error.1);
            sandbox.script(format!("second/{name}"), "echo second \"$API\" $0 $1");
        }
        // What it is called is what was typed.
        assert_eq!(run("", &["cat", "/proc/self/cmdline"]).ok().stdout, b"cat\0/proc/self/cmdline\0");
    }
}

/// A program that prints a value in chunks of every size and in every form, with pauses that are shorter than what is waited for.
#[test]
fn nothing_passes_in_any_chunk_or_form() {
    let sandbox = Sandbox::new();
    let secret = format!("{}/\"é'&", canary());
    sandbox.set("secret", &secret);
    sandbox.set("pem", format!("-----BEGIN X-----\n{}\n{}\n-----END X-----\n", canary(), canary()));
    let pem = String::from_utf8(sandbox.get("pem")).unwrap();
    let standard = base64::engine::general_purpose::STANDARD;
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let url: String =
        secret.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect();
    let mut forms = vec![
        secret.clone(),
        hex(&secret),
        hex(&secret).to_uppercase(),
        url,
        serde_json::to_string(&secret).unwrap(),
        secret.replace('\'', "'\\''"),
        standard.encode(standard.encode(&secret)),
        pem.clone(),
        pem.replace('\n', "\r\n"),
        standard.encode(&pem),
    ];
    for before in ["", "x", "xy"] {
        let base64 = standard.encode(format!("{before}{secret}"));
        forms.push(base64.as_bytes().chunks(11).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\n"));
        forms.push(base64);
    }
    // Every form is printed by a file that is read in chunks; what is to be seen is the same for all sizes.
    for (number, form) in forms.iter().enumerate() {
        sandbox.write(&format!("form{number}"), format!("<{form}>"));
    }
    let mut seen = None;
    for size in [4096, 1, 2, 3, 5, 7, 16] {
        let script = format!("for f in form*; do dd if=$f bs={size} 2>/dev/null; echo; dd if=$f bs={size} >&2 2>/dev/null; done");
        in_time(|| {
            let out = sandbox.vault(&["run", "--", "sh", "-c", &script]).run().ok();
            let text = out.text();
            for form in &forms {
                assert!(!text.contains(form.as_str()), "{form} passed in {text}");
            }
            assert!(text.matches("[MASKED]").count() >= forms.len(), "{text}");
            let parts = [secret[..32].to_owned(), hex(&secret[..32])];
            let parts: Vec<&str> = parts.iter().map(String::as_str).chain(pem.lines().skip(1).take(2)).collect();
            let is_whole = out.stderr == text.replace(">\n", ">")
                && !parts.iter().any(|part| text.contains(part))
                && text == *seen.get_or_insert_with(|| text.clone());
            if is_whole { Ok(()) } else { Err(format!("in chunks of {size}: {text} and on standard error: {}", out.stderr)) }
        });
    }
    // And at every single border.
    let sandbox = Sandbox::new();
    sandbox.set("secret", canary());
    for border in 1..32 {
        let script = format!(
            "printf '%s' \"$(printf '%s' \"$SECRET\" | cut -c1-{border})\"; printf '%s|' \"$(printf '%s' \"$SECRET\" | cut -c{}-)\"",
            border + 1
        );
        in_time(|| {
            let text = sandbox.vault(&["run", "--", "sh", "-c", &script]).run().ok().text();
            assert!(text.ends_with("[MASKED]|"), "{text}");
            if text == "[MASKED]|" { Ok(()) } else { Err(format!("at {border}: {text}")) }
        });
    }
}

/// What may be the beginning of a value is held for a twentieth of a second. On a machine that is busy with other things a program can take longer from
/// one piece to the next, and then the beginning passes. So it holds at once, or else three times one after the other: what holds now and then
/// does not.
#[track_caller]
fn in_time(mut attempt: impl FnMut() -> Result<(), String>) {
    let Err(mut fault) = attempt() else { return };
    let mut together = 0;
    for _ in 1..20 {
        match attempt() {
            Ok(()) => together += 1,
            Err(how) => (together, fault) = (0, how),
        }
        if together == 3 {
            return;
        }
    }
    panic!("{fault}");
}

#[test]
fn a_prompt_comes_in_time() {
    let sandbox = Sandbox::new();
    sandbox.set("word", "Password-value");
    let mut tries = Vec::new();
    // Nothing is ever shown before its time. How much later it is shown depends on what else the machine does: what counts is the best of some tries.
    while tries.len() < 10 && tries.iter().all(|waited| *waited >= Duration::from_millis(500)) {
        let script = "echo ready; read go; printf 'Passw'; read end";
        let mut child = sandbox.vault(&["run", "--", "sh", "-c", script]).into_command();
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = started(&mut child);
        let start = Instant::now();
        stdin.write_all(b"\n").unwrap();
        let mut buffer = [0; 5];
        // The program itself waits for ever.
        stdout.read_exact(&mut buffer).unwrap();
        let waited = start.elapsed();
        assert_eq!(&buffer, b"Passw");
        assert!(waited >= Duration::from_millis(40) && waited < PATIENCE, "{waited:?}");
        tries.push(waited);
        drop(stdin);
        child.wait().unwrap();
    }
    assert!(tries.iter().any(|waited| *waited < Duration::from_millis(500)), "{tries:?}");
}

fn started(child: &mut Child) -> BufReader<std::process::ChildStdout> {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    lines
}

pub fn signal(child: &Child, name: &str) {
    Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
}

#[test]
fn signals_reach_the_program_behind_a_mask() {
    let sandbox = filled();
    for name in ["TERM", "INT", "HUP", "QUIT"] {
        let script = format!("trap 'echo got {name}; exit 7' {name}; echo ready; while :; do sleep 0.05; done");
        let mut child = sandbox.vault(&["run", "--", "sh", "-c", &script]).spawn();
        let mut rest = started(&mut child);
        signal(&child, name);
        let mut text = String::new();
        rest.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), code(child.wait().unwrap())), (format!("got {name}\n").as_str(), 7));
    }
    let mut child = sandbox.vault(&["run", "--", "sh", "-c", "echo ready; exec sleep 60"]).spawn();
    let _rest = started(&mut child);
    signal(&child, "TERM");
    assert_eq!(code(child.wait().unwrap()), 143);
}

#[test]
fn values_in_files_are_gone_at_the_end_and_when_killed() {
    let sandbox = Sandbox::in_memory();
    sandbox.set("api", "api-secret-4");
    sandbox.set("bytes", b"\xff\0\n");
    let script = "cat $API; printf ' '; stat -c %a $API; od -An -tx1 $BYTES; dirname $API";
    let out = sandbox.vault(&["run", "--no-mask", "--files", "--only", "api,bytes", "--", "sh", "-c", script]).run().ok().text();
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("api-secret-4 600"));
    assert_eq!(lines.next(), Some(" ff 00 0a"));
    let directory = lines.next().unwrap();
    assert!(directory.starts_with(sandbox.path("runtime").to_str().unwrap()), "{directory}");
    assert!(!fs::exists(directory).unwrap());
    let masked = sandbox.vault(&["run", "--files", "--only", "api", "--", "sh", "-c", "cat $API"]).run().ok();
    assert_eq!(masked.text(), "[MASKED]");

    let script = "cat $API $API; cat $API | head -c 3; echo; stat -c '%F %a' $API; echo ready; exec sleep 60";
    let mut child = sandbox.vault(&["run", "--no-mask", "--files=fifo", "--only", "api", "--", "sh", "-c", script]).spawn();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "api-secret-4api-secret-4api");
    assert_eq!(lines.next().unwrap(), "fifo 600");
    assert_eq!(lines.next().unwrap(), "ready");
    // Not looked into: what is in it goes between one look and the next.
    let left = || {
        let mut names = fs::read_dir(sandbox.path("runtime")).unwrap().map(|entry| entry.unwrap().file_name());
        names.any(|name| name.to_string_lossy().starts_with("vault-run"))
    };
    assert!(left());
    assert!(sandbox.files("runtime").iter().any(|(path, _)| path.symlink_metadata().unwrap().file_type().is_fifo()));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the removal of the files", || !left());
}

#[test]
fn a_change_of_the_vault_starts_the_program_anew() {
    let sandbox = filled();
    let mut child =
        sandbox.vault(&["run", "--no-mask", "--watch", "--only", "api", "--", "sh", "-c", "echo $API; exec sleep 60"]).spawn();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "api-secret-4");
    sandbox.set("api", "api-secret-5");
    assert_eq!(lines.next().unwrap(), "api-secret-5");
    signal(&child, "TERM");
    assert_eq!(code(child.wait().unwrap()), 143);
}

#[test]
fn a_change_while_the_program_is_ended_for_the_one_before_is_seen() {
    let sandbox = filled();
    let script = "trap 'touch ending; until test -e changed; do sleep 0.05; done; exit' TERM
        echo $API; for i in $(seq 600); do sleep 0.1; done";
    let options = ["run", "--no-mask", "--watch", "--only", "api", "--", "sh", "-c", script];
    let mut child = sandbox.vault(&options).spawn();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "api-secret-4");
    sandbox.set("api", "api-secret-5");
    wait_until("the end of the program", || sandbox.path("work/ending").exists());
    sandbox.set("api", "api-secret-6");
    sandbox.write("changed", "");
    assert_eq!(lines.find(|line| line != "api-secret-5").as_deref(), Some("api-secret-6"));
    signal(&child, "TERM");
    assert_eq!(code(child.wait().unwrap()), 0);
}

/// A terminal of its own by way of tmux; skipped where it is not.
struct Tmux<'a> {
    sandbox: &'a Sandbox,
    socket: String,
}

impl<'a> Tmux<'a> {
    fn new(sandbox: &'a Sandbox, command: &str) -> Self {
        // A server that was killed may still be there when the next one starts.
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let tmux = Self { sandbox, socket: sandbox.path(format!("tmux{number}")).to_str().unwrap().to_owned() };
        let script = format!("{command}; echo \"ended $?\"; exec sleep 600");
        tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "bash", "-c", &script]);
        tmux
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut all = vec!["-S", &self.socket];
        all.extend(arguments);
        self.sandbox.program("tmux", &all).env("TERM", "xterm-256color").env("SHELL", "/bin/bash").run().text()
    }

    fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys"][..], keys].concat());
    }

    fn screen(&self) -> String {
        self.run(&["capture-pane", "-p", "-e"])
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        wait_until_or(|| self.screen().contains(text), || format!("{text:?} is not on the screen:\n{}", self.screen()));
    }

    /// The screen with this on it, once nothing changes any more. Time alone says nothing: it also passes while nothing here runs.
    #[track_caller]
    fn settled(&self, mark: &str) -> String {
        let (mut screen, mut since, mut looks) = (self.screen(), Instant::now(), 0);
        wait_until_or(
            || {
                let now = self.screen();
                looks += 1;
                if now != screen {
                    (screen, since, looks) = (now, Instant::now(), 0);
                }
                screen.contains(mark) && since.elapsed() > Duration::from_secs(1) && looks >= 50
            },
            || format!("{mark:?} does not stay on the screen:\n{}", self.screen()),
        );
        screen
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

#[test]
fn a_terminal_behind_a_mask_is_a_terminal() {
    if !is_installed("tmux") || !is_installed("bash") {
        return;
    }
    let sandbox = filled();
    let script = "trap 'stty size' WINCH; trap 'echo interrupted; exit 9' INT; \
                  test -t 0 && test -t 1 && test -t 2 && echo is a terminal; stty size; echo \"<$API>\"; while :; do sleep 0.05; done";
    sandbox.write("script", script);
    let tmux = Tmux::new(&sandbox, &format!("{VAULT} run --mask --only api -- bash script"));
    tmux.shows("is a terminal\n24 80\n<************>");
    tmux.run(&["resize-window", "-x", "70", "-y", "20"]);
    tmux.shows("20 70");
    tmux.keys(&["C-c"]);
    tmux.shows("interrupted\nended 9");
    drop(tmux);

    // Under a shell with job control: stopped, in the shell, and back.
    sandbox.write("jobs", "trap 'echo on' CONT; echo ready; while read -r line; do echo \"got $line $API\"; done");
    let tmux = Tmux::new(&sandbox, "PS1='prompt>' bash --norc -i");
    tmux.shows("prompt>");
    tmux.keys(&[&format!("{VAULT} run --mask --only api -- bash jobs"), "Enter"]);
    tmux.shows("ready");
    tmux.keys(&["C-z"]);
    tmux.shows("Stopped");
    tmux.keys(&["stty -a | grep -o ' echo '; echo back", "Enter"]);
    tmux.shows("\n echo\nback\n");
    tmux.keys(&["fg", "Enter"]);
    // What is typed before it is in the foreground waits for it.
    tmux.keys(&["word", "Enter"]);
    tmux.shows("got word ************");
    tmux.keys(&["C-d"]);
    wait_until("the prompt", || tmux.screen().trim_end().ends_with("prompt>"));
    tmux.keys(&["echo code $?", "Enter"]);
    tmux.shows("code 0");
}

#[test]
fn programs_that_paint_the_screen_look_the_same_behind_a_mask() {
    if !is_installed("tmux") || !is_installed("bash") {
        return;
    }
    let sandbox = filled();
    let text: String = (1..200).map(|line| format!("line {line} api-secret-? \u{1b}[31mred\u{1b}[0m über\n")).collect();
    sandbox.write("text", &text);
    sandbox.write("leak", text.replace("api-secret-?", "api-secret-4"));
    for (program, command, keys, mark) in [
        ("less", "less -R", &["G", "k", "k", "?", "1", "5", "0", "Enter"][..], "line 151"),
        ("vim", "vim -u NONE -n", &[":set number", "Enter", "50G", "dd", "i", "typed", "Escape"], "typed"),
        ("top", "top -d 600 -p 1", &[], "PID"),
    ] {
        if !is_installed(program) {
            continue;
        }
        let screen = |prefix: &str, file: &str| {
            let file = if program == "top" { "" } else { file };
            let tmux = Tmux::new(&sandbox, &format!("{prefix} {command} {file}"));
            if program != "top" {
                tmux.shows("line 1 ");
            }
            for key in keys {
                tmux.keys(&[key]);
                std::thread::sleep(Duration::from_millis(80));
            }
            tmux.settled(mark)
        };
        let masked = format!("{VAULT} run --mask --only api --");
        if program == "top" {
            // Its figures change from one run to the next.
            let shape =
                |screen: String| screen.lines().filter(|line| line.contains("PID")).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(shape(screen(&masked, "")), shape(screen("", "")));
            continue;
        }
        let plain = screen("", "text");
        assert_eq!(screen(&masked, "text"), plain, "{program}");
        let leak = screen(&masked, "leak");
        assert!(!leak.contains("api-secret-4"), "{leak}");
        assert_eq!(leak.replace("leak", "text").replace("************", "api-secret-?"), plain, "{program}");
    }
}

#[test]
fn no_file_and_no_entry_decides_which_code_runs() {
    let sandbox = filled();
    sandbox.write("evil.sh", "echo evil $API");
    let names = [
        "PATH",
        "LD_PRELOAD",
        "DYLD_INSERT_LIBRARIES",
        "BASH_ENV",
        "ENV",
        "IFS",
        "PROMPT_COMMAND",
        "PS4",
        "SHELLOPTS",
        "BASHOPTS",
        "NODE_OPTIONS",
        "PYTHONSTARTUP",
        "PYTHONPATH",
        "PYTHONHOME",
        "PERL5OPT",
        "PERL5LIB",
        "RUBYOPT",
        "RUBYLIB",
        "JAVA_TOOL_OPTIONS",
        "_JAVA_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_COUNT",
        "GIT_EXEC_PATH",
        "GIT_EXTERNAL_DIFF",
        "GIT_PAGER",
        "PAGER",
        "EDITOR",
        "VISUAL",
        "BROWSER",
        "X_PRELOAD",
        "XDG_CONFIG_HOME",
        "MAKEFLAGS",
        // What unlocks a vault, in all its forms: `vault` itself runs the third.
        "VAULT_PASSPHRASE_FD",
        "VAULT_PASSPHRASE_FILE",
        "VAULT_PASSPHRASE_CMD",
        "VAULT_PASSPHRASE",
        "VAULT_IDENTITY",
        "VAULT_KEY",
        "VAULT_KEY_FILE",
        "VAULT_SERVER_TOKEN",
        "VAULT_SERVER_TOKEN_FILE",
        "VAULT_FILE",
    ];
    for name in names {
        let refused = |options: &[&str]| {
            let line = [&["run"][..], options, &["--", "touch", "started"]].concat();
            sandbox.vault(&line).run().fails(2, &format!("{name} is never set"));
        };
        sandbox.write("vault.toml", format!("[run.variables]\n{name} = \"./evil.sh\"\n"));
        refused(&[]);
        sandbox.write("vault.toml", "");
        sandbox.write(".env.run", format!("{name}=./evil.sh\n"));
        refused(&["--env-file", ".env.run"]);
        let entry = name.to_lowercase();
        sandbox.set(&entry, "./evil.sh");
        refused(&["--only", &entry]);
        let all = sandbox.vault(&["run", "--no-mask", "--", "env"]).run().ok();
        assert!(all.stderr.contains(&entry) && !all.text().contains("evil"), "{}", all.stderr);
        // A person at the command line may, but for what nobody may.
        let mapped = sandbox.vault(&["run", "--no-mask", "--map", &format!("{name}={entry}"), "--", "/bin/true"]).run();
        let never = ["PATH", "LD_PRELOAD", "DYLD_INSERT_LIBRARIES"].contains(&name);
        assert_eq!(mapped.code, if never { 2 } else { 0 }, "{name}: {}", mapped.stderr);
        sandbox.vault(&["rm", &entry, "-q"]).run().ok();
    }
    assert!(!sandbox.path("work/started").exists());
}

#[test]
fn modes_of_files_are_private() {
    let sandbox = Sandbox::in_memory();
    sandbox.set("api", "api-secret-4");
    let script = "stat -c %a $(dirname $API)";
    let out = sandbox.vault(&["run", "--no-mask", "--files", "--only", "api", "--", "sh", "-c", script]).run().ok();
    assert_eq!(out.text(), "700\n");
    assert_eq!(fs::metadata(sandbox.path("runtime")).unwrap().permissions().mode() & 0o777, 0o755);
}
