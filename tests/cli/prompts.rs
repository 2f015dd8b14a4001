//! At a real terminal: what is asked, what is shown, and that standard output has only data.

use std::fs;

use crate::sandbox::{Sandbox, code, wait_until, wait_until_or};
use crate::terminal::Terminal;

const PHRASE: &str = "seven odd words that nobody will try";

/// What a command at a terminal ended with, and all that the terminal showed.
pub struct Session {
    pub code: i32,
    pub screen: String,
}

/// Runs a shell command at a terminal; each pair of the dialogue is a text that is waited for, and what is typed then.
pub fn at_terminal(sandbox: &Sandbox, command: &str, dialogue: &[(&str, &str)]) -> Session {
    let terminal = Terminal::new();
    let mut child = terminal.start_with(sandbox, &["sh", "-c", command], |started| {
        started.env("TERM", "xterm");
    });
    let mut seen = 0;
    for (expected, typed) in dialogue {
        let mut at = None;
        wait_until_or(
            || {
                at = terminal.screen()[seen..].find(expected);
                at.is_some()
            },
            || format!("`{command}` did not show {expected:?} but: {}", terminal.screen()),
        );
        seen += at.unwrap() + expected.len();
        // The question stands before echo is off, and what is typed before that is shown, or thrown away. An interrupt is neither.
        if !["", "\u{3}"].contains(typed) {
            wait_until_or(|| !terminal.echoes(), || format!("`{command}` echoes at {expected:?}: {}", terminal.screen()));
        }
        terminal.keys(typed);
    }
    let mut status = None;
    wait_until(command, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    Session { code: code(status.unwrap()), screen: terminal.all() }
}

impl Session {
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.screen);
        self
    }
}

/// A vault that opens by a passphrase and holds `a`.
fn scene() -> Sandbox {
    let mut sandbox = Sandbox::empty();
    sandbox.write("phrase", PHRASE);
    sandbox.set_env("VAULT_FILE", sandbox.path("work/v"));
    sandbox.vault(&["init", "-q", "--passphrase-file", "phrase"]).run().ok();
    sandbox.vault(&["set", "a", "--passphrase-file", "phrase"]).stdin("value").run().ok();
    sandbox
}

#[test]
fn a_new_passphrase_is_asked_twice_and_not_shown() {
    let sandbox = scene();
    let typed = format!("{PHRASE}\n");
    let session = at_terminal(
        &sandbox,
        "vault init --vault new > out",
        &[
            ("New passphrase", &typed),
            ("New passphrase (again)", "something else\n"),
            ("they differ; once more", ""),
            ("New passphrase", &typed),
            ("New passphrase (again)", &typed),
        ],
    )
    .ends(0);
    assert!(!session.screen.contains(PHRASE) && !session.screen.contains("something else"), "{}", session.screen);
    assert!(session.screen.contains("made new"));
    assert_eq!(fs::read(sandbox.path("work/out")).unwrap(), b"");
    sandbox.vault(&["list", "--vault", "new", "--passphrase-file", "phrase"]).run().ok();
}

#[test]
fn the_passphrase_is_asked_on_the_terminal_and_the_value_goes_to_standard_output() {
    let sandbox = scene();
    let typed = format!("{PHRASE}\n");
    let session = at_terminal(&sandbox, "vault get a > out", &[("Passphrase for", &typed)]).ends(0);
    assert!(!session.screen.contains(PHRASE) && !session.screen.contains("value"), "{}", session.screen);
    assert_eq!(fs::read(sandbox.path("work/out")).unwrap(), b"value");
    // Also where standard error is no terminal: then it has nothing of the question.
    at_terminal(&sandbox, "vault get a > out 2> err", &[("Passphrase for", &typed)]).ends(0);
    assert_eq!(fs::read(sandbox.path("work/out")).unwrap(), b"value");
    assert_eq!(fs::read_to_string(sandbox.path("work/err")).unwrap(), "");
    let session = at_terminal(&sandbox, "vault get a > out", &[("Passphrase for", "wrong\n")]).ends(4);
    assert!(session.screen.contains("error: the passphrase does not open this vault"), "{}", session.screen);
    assert_eq!(fs::read(sandbox.path("work/out")).unwrap(), b"");
    // Asked once, however many files are opened.
    at_terminal(&sandbox, "vault backup copy > out", &[("Passphrase for", &typed)]).ends(0);
}

#[test]
fn what_is_piped_is_data_and_never_an_answer() {
    let sandbox = scene();
    let typed = format!("{PHRASE}\n");
    at_terminal(&sandbox, "printf 'piped\\n' | vault set b > out", &[("Passphrase for", &typed)]).ends(0);
    assert_eq!(sandbox.vault(&["get", "b", "--passphrase-file", "phrase"]).run().ok().stdout, b"piped");
    // Not even if it is the passphrase: nobody types, and nothing is opened.
    let session = at_terminal(&sandbox, "cat phrase | vault get a", &[("Passphrase for", "\u{3}")]);
    assert!(session.code != 0 && !session.screen.contains("value"), "{}", session.screen);
}

#[test]
fn nothing_is_asked_if_that_is_forbidden() {
    let sandbox = scene();
    let session = at_terminal(&sandbox, "vault get a --no-input", &[]).ends(4);
    assert!(session.screen.contains("error: no key is given"), "{}", session.screen);
    let session = at_terminal(&sandbox, "vault set a --no-input --passphrase-file phrase", &[]).ends(2);
    assert!(session.screen.contains("error: there is no value"), "{}", session.screen);
    at_terminal(&sandbox, "vault init --vault new --no-input", &[]).ends(4);
    at_terminal(&sandbox, "vault rotate a --no-input --passphrase-file phrase", &[]).ends(2);
}

#[test]
fn a_value_is_typed_twice_and_shown_with_a_line_end() {
    let sandbox = Sandbox::new();
    let session = at_terminal(&sandbox, "vault set a", &[("Value of a", "typed\n"), ("(again)", "typed\n")]).ends(0);
    assert!(!session.screen.contains("typed"), "{}", session.screen);
    assert_eq!(sandbox.get("a"), b"typed");
    at_terminal(&sandbox, "vault rotate a", &[("New value of a", "rotated\n"), ("(again)", "rotated\n")]).ends(0);
    assert_eq!(at_terminal(&sandbox, "vault get a", &[]).ends(0).screen, "rotated\r\n");
    assert_eq!(at_terminal(&sandbox, "vault get a -n", &[]).ends(0).screen, "rotated");
    let generated = at_terminal(&sandbox, "vault generate pin:6", &[]).ends(0).screen;
    assert!(generated.len() == 8 && generated.ends_with("\r\n"), "{generated:?}");
    // A pipe gets the value alone, also if the rest is a terminal.
    assert_eq!(at_terminal(&sandbox, "vault get a | od -An -c | tr -d ' \\n'", &[]).ends(0).screen, "rotated");

    sandbox.set("bytes", b"\x1b[2J\xff");
    let session = at_terminal(&sandbox, "vault get bytes", &[]).ends(2);
    assert!(session.screen.contains("error: the value is not text") && !session.screen.contains("[2J"), "{:?}", session.screen);
    at_terminal(&sandbox, "vault get bytes > out", &[]).ends(0);
    let session = at_terminal(
        &sandbox,
        "vault export --format age --recipient age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj",
        &[],
    );
    assert!(session.ends(2).screen.contains("the backup is binary"));
}

#[test]
fn an_age_backup_may_have_a_passphrase_of_its_own() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "value");
    let dialogue = [("Passphrase of the backup", "own\n"), ("(again)", "own\n")];
    at_terminal(&sandbox, "vault export --format age > backup.age", &dialogue).ends(0);
    sandbox.vault(&["rm", "a"]).run().ok();
    at_terminal(&sandbox, "vault import backup.age", &[("Passphrase of the backup", "other\n")]).ends(4);
    at_terminal(&sandbox, "vault import backup.age", &[("Passphrase of the backup", "own\n")]).ends(0);
    assert_eq!(sandbox.get("a"), b"value");
    at_terminal(&sandbox, "vault export --format age > backup.age", &[("Passphrase of the backup", "\n"), ("(again)", "\n")])
        .ends(2);
}

#[test]
fn an_import_shows_its_progress_on_terminals_only() {
    let sandbox = Sandbox::new();
    let all: String = (0..20_000).map(|number| format!("N{number}=v\n")).collect();
    sandbox.write("all.env", all);
    let session = at_terminal(&sandbox, "vault import all.env > out", &[]).ends(0);
    assert!(session.screen.contains("/20000 entries"), "{:?}", session.screen);
    at_terminal(&sandbox, "vault import all.env --overwrite > out 2> err", &[]).ends(0);
    assert_eq!(fs::read_to_string(sandbox.path("work/err")).unwrap(), "0 created, 20000 updated, 0 skipped\n");
    assert_eq!(fs::read(sandbox.path("work/out")).unwrap(), b"");
}

#[test]
fn an_interrupt_at_a_question_changes_nothing_and_leaves_a_terminal_that_echoes() {
    let sandbox = scene();
    let before = fs::read(sandbox.path("work/v")).unwrap();
    let session = at_terminal(&sandbox, "trap : INT; vault set a; stty -a", &[("Value of a", "\u{3}")]);
    assert!(session.screen.contains(" echo "), "{}", session.screen);
    assert_eq!(fs::read(sandbox.path("work/v")).unwrap(), before);
}

#[test]
fn an_interrupt_at_the_editor_leaves_no_file() {
    let mut sandbox = Sandbox::in_memory();
    sandbox.set("a", "old");
    let before = sandbox.bytes();
    sandbox.set_env("EDITOR", "sh -c 'echo ready; exec sleep 20'");
    let session = at_terminal(&sandbox, "vault edit a", &[("ready", "\u{3}")]);
    assert_ne!(session.code, 0, "{}", session.screen);
    assert!(sandbox.files("runtime").is_empty(), "{:?}", sandbox.files("runtime"));
    assert_eq!(sandbox.bytes(), before);
}
