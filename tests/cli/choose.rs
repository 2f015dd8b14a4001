//! Choosing an entry at a terminal, where none is named.

use std::fs;

use crate::prompts::at_terminal;
use crate::sandbox::Sandbox;

const UP: &str = "\x1b[A";

fn scene() -> Sandbox {
    let sandbox = Sandbox::new();
    for name in ["db-prod", "db-test", "mail", "web/github"] {
        sandbox.set(name, format!("value of {name}"));
    }
    sandbox.vault(&["set", "only-prod", "-e", "prod"]).stdin("special").run().ok();
    sandbox
}

/// What `get` printed when this was typed, and what the terminal showed.
fn choose(sandbox: &Sandbox, command: &str, typed: &[&str]) -> (String, String) {
    let dialogue: Vec<(&str, &str)> = typed.iter().map(|keys| (" of ", *keys)).collect();
    let session = at_terminal(sandbox, &format!("{command} > out; code=$?; stty -a; exit $code"), &dialogue).ends(0);
    assert!(session.screen.contains(" echo ") && session.screen.contains(" icanon "), "{}", session.screen);
    (fs::read_to_string(sandbox.path("work/out")).unwrap(), session.screen)
}

#[test]
fn what_is_typed_narrows_the_names_down() {
    let sandbox = scene();
    let (value, screen) = choose(&sandbox, "vault get", &["ghub", "\r"]);
    assert_eq!(value, "value of web/github");
    assert!(screen.contains("> db-prod") && screen.contains("Entry (4 of 4): "), "{screen:?}");
    assert!(screen.contains("> web/github") && screen.contains("Entry (1 of 4): g"), "{screen:?}");
    // Only names are shown, and only those of the environment.
    assert!(!screen.contains("value of") && !screen.contains("only-prod"), "{screen:?}");
    // All at once, faster than it is drawn.
    assert_eq!(choose(&sandbox, "vault get", &["dbtest\r"]).0, "value of db-test");
    // Also where standard error is not the terminal.
    assert_eq!(choose(&sandbox, "vault get 2> err", &["mail\r"]).0, "value of mail");
    assert_eq!(fs::read_to_string(sandbox.path("work/err")).unwrap(), "");
}

#[test]
fn keys_move_through_the_list() {
    let sandbox = scene();
    assert_eq!(choose(&sandbox, "vault get", &["\r"]).0, "value of db-prod");
    assert_eq!(choose(&sandbox, "vault get", &[UP, "\t", "\r"]).0, "value of mail");
    assert_eq!(choose(&sandbox, "vault get", &[UP, UP, "\x1b[B", "\r"]).0, "value of db-test");
    // Not beyond its ends.
    assert_eq!(choose(&sandbox, "vault get", &["\x1b[B", "\r"]).0, "value of db-prod");
    assert_eq!(choose(&sandbox, "vault get", &[UP, UP, UP, UP, UP, UP, "\r"]).0, "value of web/github");
    // What was typed can be taken back; where nothing matches, a return chooses nothing.
    assert_eq!(choose(&sandbox, "vault get", &["mailx", "\r", "\x7f", "\r"]).0, "value of mail");
    assert_eq!(choose(&sandbox, "vault get", &["zzz", "\x15", "\r"]).0, "value of db-prod");
}

#[test]
fn environments_as_the_command_reads_them() {
    let sandbox = scene();
    assert_eq!(choose(&sandbox, "vault get -e prod", &["onlyp\r"]).0, "special");
    assert_eq!(choose(&sandbox, "vault get -e prod", &["mail\r"]).0, "value of mail");
    let (text, screen) = choose(&sandbox, "vault info -e prod", &["\r"]);
    assert!(text.starts_with("name           only-prod\n") && screen.contains("Entry (1 of 1): "), "{text} {screen:?}");
    sandbox.set("code", "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&period=1000000000000");
    assert_eq!(choose(&sandbox, "vault otp", &["code\r"]).0, "755224");
    let edit = "EDITOR=\"sh -c 'echo new > \\$0'\" vault edit";
    choose(&sandbox, edit, &["mail\r"]);
    assert_eq!(sandbox.get("mail"), b"new");
    let session = at_terminal(&sandbox, "vault get -e none --vault empty.vault", &[]);
    assert_eq!(session.code, 5, "{}", session.screen);
    sandbox.vault(&["init", "-q", "--vault", "empty.vault", "--key-file", "../test.key"]).run().ok();
    let session = at_terminal(&sandbox, "vault get --vault empty.vault", &[]).ends(3);
    assert!(session.screen.contains("error: there is no entry to choose"), "{}", session.screen);
}

#[test]
fn leaving_it_chooses_nothing() {
    let sandbox = scene();
    for key in ["\x1b", "\x03"] {
        let command = "vault get > out; code=$?; stty -a; exit $code";
        let session = at_terminal(&sandbox, command, &[(" of 4", "ma"), ("(1 of 4): ma", key)]).ends(130);
        assert!(
            session.screen.contains("error: no entry was chosen") && session.screen.contains(" echo "),
            "{:?}",
            session.screen
        );
        assert_eq!(fs::read(sandbox.path("work/out")).unwrap(), b"");
    }
}

#[test]
fn nothing_is_offered_where_nobody_may_be_asked() {
    let sandbox = scene();
    for command in ["vault get --no-input", "echo mail | vault get", "vault get < /dev/null", "echo mail | vault edit"] {
        let session = at_terminal(&sandbox, command, &[]).ends(2);
        assert!(session.screen.contains("error: no entry is named") && !session.screen.contains("Entry"), "{}", session.screen);
    }
    // Without any terminal, and before a vault is looked for.
    for command in ["get", "otp", "info", "edit"] {
        sandbox.vault(&[command, "--vault", "none"]).stdin("mail\n").run().fails(2, "no entry is named");
        sandbox.vault(&[command]).run().fails(2, "no entry is named");
    }
}

#[test]
fn a_long_list_and_long_names_fit_the_screen() {
    let sandbox = scene();
    let long = format!("{}-end", "x".repeat(200));
    sandbox.set(&long, "value of the long one");
    let all: String = (0..300).map(|number| format!("N{number}=v\n")).collect();
    sandbox.vault(&["import", "-", "--format", "dotenv"]).stdin(all).run().ok();
    let (value, screen) = choose(&sandbox, "stty rows 6 cols 40; vault get", &["xxend", "\r"]);
    assert_eq!(value, "value of the long one");
    assert!(screen.contains('…') && !screen.contains("-end"), "{screen:?}");
    // Five lines above the one that is typed in.
    let first = screen.split("Entry (305 of 305)").next().unwrap();
    assert_eq!(first.matches("\r\n").count(), 5, "{first:?}");
    let up = UP.repeat(7);
    let (value, _) = choose(&sandbox, "stty rows 6 cols 40; vault get", &[&up, "\r"]);
    assert_eq!(value, "v");
}
