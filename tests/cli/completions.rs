//! `vault completions`, and what the shell is answered while somebody types.

use crate::sandbox::{Output, Sandbox};

#[test]
fn a_script_for_every_shell() {
    let sandbox = Sandbox::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = sandbox.vault(&["completions", shell]).run().ok().text();
        assert!(script.contains("VAULT_COMPLETE") && script.contains("vault"), "{shell}: {script}");
    }
    sandbox.vault(&["completions", "csh"]).run().ends(2);
    for shell in ["bash", "zsh", "fish"] {
        if crate::sandbox::is_installed(shell) {
            let option = if shell == "fish" { "--no-execute" } else { "-n" };
            let check = format!("vault completions {shell} > script && {shell} {option} script");
            sandbox.shell(&check).run().ok();
        }
    }
}

/// Asks as bash does, with the cursor behind the last word.
fn complete(sandbox: &Sandbox, words: &[&str]) -> Output {
    let mut line = vec!["--", "vault"];
    line.extend(words);
    let index = words.len().to_string();
    let run = sandbox.vault(&line).env("VAULT_COMPLETE", "bash").env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_INDEX", index);
    run.env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "true").run().ok()
}

#[test]
fn names_of_entries_complete() {
    let mut sandbox = Sandbox::new();
    for name in ["db_prod", "db_test", "web"] {
        sandbox.set(name, "v");
    }
    sandbox.vault(&["set", "db_staging", "-e", "prod"]).stdin("v").run().ok();
    assert_eq!(complete(&sandbox, &["get", "db"]).text(), "db_prod\ndb_test");
    assert_eq!(complete(&sandbox, &["-e", "prod", "get", "db"]).text(), "db_staging");
    assert_eq!(complete(&sandbox, &["rm", "web", "db_p"]).text(), "db_prod");
    let other = complete(&sandbox, &["--vault", "none", "get", "db"]);
    assert_eq!((other.text().as_str(), other.stderr.as_str()), ("", ""));
    assert!(complete(&sandbox, &["ge"]).text().lines().eq(["get", "generate"]));
    // Without a key at hand nothing is asked and nothing is said.
    sandbox.remove_env("VAULT_KEY_FILE");
    let none = complete(&sandbox, &["get", "db"]);
    assert_eq!((none.text().as_str(), none.stderr.as_str()), ("", ""));
    let key = sandbox.key();
    assert_eq!(complete(&sandbox, &["--key-file", key.to_str().unwrap(), "get", "w"]).text(), "web");
}
