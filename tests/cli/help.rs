//! `vault help`

use crate::sandbox::Sandbox;

/// The names of all commands.
pub fn commands() -> Vec<String> {
    vault::commands::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

#[test]
fn the_commands_are_these() {
    let expected = "init get set list info rm mv cp edit find history rollback generate otp rotate prune export import encrypt decrypt file run inject \
                    config redact mask scan check compact backup restore diff merge git key unlock lock status serve token user selftest bench agent trust audit stats used-by doctor \
                    completions man help";
    assert_eq!(commands().join(" "), expected);
}

#[test]
fn help_is_data() {
    let sandbox = Sandbox::empty();
    for arguments in [&["help"][..], &["--help"], &["-h"], &["get", "--help"], &["get", "-h"], &["help", "get"], &["--version"]] {
        let help = sandbox.vault(arguments).run().ok();
        assert!(!help.stdout.is_empty() && help.stderr.is_empty(), "{arguments:?}");
    }
    assert_eq!(sandbox.vault(&["--version"]).run().ok().text(), format!("vault {}\n", env!("CARGO_PKG_VERSION")));
    let topic = sandbox.vault(&["help", "exit-codes"]).run().ok().text();
    for code in 0..=14 {
        assert!(topic.contains(&format!("\n  {code:>2}  ")), "{code} in {topic}");
    }
    assert!(sandbox.vault(&["help", "unlocking"]).run().ok().text().contains("VAULT_PASSPHRASE_CMD"));
    sandbox.vault(&["help", "nope"]).run().fails(2, "no such subcommand or topic");
    // Without a command there is help, but nothing was done.
    let none = sandbox.vault(&[]).run().ends(2);
    assert!(none.stdout.is_empty() && none.stderr.contains("Usage: vault"));
    assert!(sandbox.files("state").is_empty() && sandbox.files("data").is_empty());
}
