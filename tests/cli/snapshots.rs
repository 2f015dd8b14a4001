//! Golden files: the help of every command, and errors as they are printed. `VAULT_BLESS=1 cargo test` writes them anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::sandbox::{Output, Sandbox};

#[track_caller]
fn compare(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/snapshots").join(format!("{name}.txt"));
    if std::env::var_os("VAULT_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    if golden != text {
        let differ = golden.lines().zip(text.lines()).find(|(golden, text)| golden != text);
        let (golden, text) = differ.unwrap_or(("(one of them ends here)", ""));
        panic!("{name}.txt differs; VAULT_BLESS=1 writes it anew\n  golden: {golden}\n  now:    {text}");
    }
}

/// A run as a golden file shows it; paths of the sandbox are `[ROOT]`.
fn show(sandbox: &Sandbox, line: &str, output: &Output) -> String {
    let clean = |text: &str| text.replace(sandbox.path("").to_str().unwrap().trim_end_matches('/'), "[ROOT]");
    let mut text = format!("$ vault {line}\n");
    for (name, part) in [("stdout", output.text()), ("stderr", output.stderr.clone())] {
        if !part.is_empty() {
            writeln!(text, "[{name}]\n{}", clean(part.trim_end_matches('\n'))).unwrap();
        }
    }
    writeln!(text, "[exit {}]\n", output.code).unwrap();
    text
}

#[test]
fn help() {
    let sandbox = Sandbox::empty();
    let mut names = crate::help::commands();
    names.extend(["exit-codes".to_owned(), "unlocking".to_owned()]);
    for name in names {
        compare(&format!("help-{name}"), &sandbox.vault(&["help", &name]).run().ok().text());
    }
    compare("help", &sandbox.vault(&["help"]).run().ok().text());
    compare("short-help", &sandbox.vault(&["-h"]).run().ok().text());
    // No golden file is left behind by a command that is gone.
    let count = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/snapshots")).unwrap().count();
    assert_eq!(count, crate::help::commands().len() + 2 + 2 + 2);
}

fn scene() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.set("text", "plain");
    sandbox.set("text", "newer");
    sandbox.vault(&["set", "json", "--json"]).stdin("{\"a\":1}").run().ok();
    sandbox.vault(&["set", "old", "--ttl", "0s"]).stdin("v").run().ok();
    sandbox.set("a-b", "1");
    sandbox.set("a_b", "2");
    sandbox.write("wrong", [9; 32]);
    sandbox.write("short", "abc");
    sandbox.write("text.vault", "hello");
    let mut newer = sandbox.bytes();
    newer[11] = b'2';
    sandbox.write("newer.vault", &newer);
    let mut damaged = sandbox.bytes();
    // In the signature behind the header's text, whose length is in its first line: what is said does not depend on random bytes.
    let text: usize = std::str::from_utf8(&damaged[13..18]).unwrap().parse().unwrap();
    damaged[19 + text + 5] ^= 1;
    sandbox.write("damaged.vault", &damaged);
    sandbox.write("x.env", "TEXT=1\nbroken line\n");
    sandbox.write("y.json", "{\"text\":\"1\"}");
    sandbox
}

const ERRORS: &[&str] = &[
    "get none",
    "get none -e prod",
    "get text field",
    "get json b.c",
    "get text --version 9",
    "get old",
    "get",
    "get text --vault none.vault",
    "get text --vault text.vault",
    "get text --vault newer.vault",
    "get text --vault damaged.vault",
    "get text --vault .",
    "get text --key-file wrong",
    "get text --key-file short",
    "get text --key-file none",
    "get text --expect-vault 00",
    "set text --create-only --generate pin:4",
    "set text --if-version 1 --generate pin:4",
    "set text --generate nope",
    "set text --ttl soon --generate pin:4",
    "set text --meta x --generate pin:4",
    "set text --from-file none",
    "set text --json --from-file text.vault",
    "set new --meta-only --tag t",
    "set text",
    "rm text none",
    "mv text json",
    "mv text text",
    "cp none text",
    "edit text",
    "rollback text --version 7",
    "rotate none --generate pin:4",
    "rotate text --resume",
    "rotate text --generate pin:4 --command x",
    "rotate text --generate pin:4 --grace soon",
    "rotate text --every never",
    "rotate text --trust-commands",
    "rotate --due --generate pin:4",
    "rotate",
    "get text --previous",
    "set text --expires soon --generate pin:4",
    "set text --url x --generate pin:4",
    "prune --expired-for soon",
    "list --where x",
    "find nothing",
    "list --match [",
    "list --reveal",
    "list --unused soon",
    "list --hot x",
    "used-by none",
    "used-by text --since soon",
    "export --format shell",
    "export --format json --prefix X",
    "import x.env",
    "import y.json",
    "import text.vault",
    "init",
    "init --vault new.vault --recipient age1x",
    "backup wrong",
    "restore wrong",
    "restore wrong --force",
    "diff wrong short",
    "man nope",
    "help nope",
    "completions csh",
    "frobnicate",
    "get text --frobnicate",
    "list --format xml",
    "set text --generate pin:4 --from-file x",
];

#[test]
fn errors() {
    let sandbox = scene();
    let before = sandbox.bytes();
    let mut text = String::new();
    for line in ERRORS {
        let arguments: Vec<&str> = line.split(' ').collect();
        text.push_str(&show(&sandbox, line, &sandbox.vault(&arguments).run()));
    }
    compare("errors", &text);
    assert_eq!(sandbox.bytes(), before);
}

#[test]
fn errors_as_json() {
    let sandbox = scene();
    let mut text = String::new();
    for line in ERRORS {
        let mut arguments: Vec<&str> = line.split(' ').collect();
        arguments.extend(["--errors", "json"]);
        let output = sandbox.vault(&arguments).run();
        if output.stderr.is_empty() {
            continue;
        }
        // One object a line; the error is the last.
        let mut lines = output.stderr.lines().map(|line| serde_json::from_str(line).unwrap());
        let object: serde_json::Value = lines.next_back().unwrap();
        assert_eq!((&object["version"], &object["error"]["exit_code"]), (&1.into(), &output.code.into()), "{line}");
        assert_eq!(crate::sandbox::fields(&object["error"]), ["code", "message", "hint", "exit_code"]);
        text.push_str(&show(&sandbox, line, &output));
    }
    compare("errors-json", &text);
}
