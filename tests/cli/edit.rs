//! `vault edit`

use std::fs;
use std::path::PathBuf;

use crate::sandbox::{Sandbox, canary, is_installed, wait_until};
use crate::terminal::Terminal;

/// An editor that is a shell script; `$1` is the file.
fn editor(sandbox: &Sandbox, script: &str) -> PathBuf {
    sandbox.script("../editor", script)
}

/// Real editors leave nothing of a value that was yanked, deleted and changed in them, where the user's own configuration would have them keep it.
#[test]
fn editors_keep_nothing() {
    for (name, rc) in [("vim", ".vimrc"), ("nvim", ".config/nvim/init.vim")] {
        if !is_installed(name) {
            continue;
        }
        let sandbox = Sandbox::new();
        let canary = canary();
        sandbox.set("a", &canary);
        let rc = sandbox.path("home").join(rc);
        fs::create_dir_all(rc.parent().unwrap()).unwrap();
        let kept = "set backup writebackup undofile history=50\nset backupdir=~ undodir=~ directory=~\n";
        fs::write(rc, kept).unwrap();
        let terminal = Terminal::new();
        let mut child = terminal.start_with(&sandbox, &["vault", "edit", "a"], |started| {
            started.env("EDITOR", name).env("TERM", "xterm").env("SHELL", "/bin/sh");
        });
        terminal.shows(&canary);
        terminal.keys("yyddPA-new\u{1b}:wq\r");
        let mut status = None;
        wait_until(name, || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{}", terminal.screen());
        let edited = String::from_utf8(sandbox.get("a")).unwrap();
        assert_eq!(edited.trim_end(), format!("{canary}-new"), "{name} did not edit");
        for (path, _) in sandbox.files("").into_iter().filter(|(path, _)| path.is_file()) {
            let bytes = fs::read(&path).unwrap();
            assert!(
                !bytes.windows(canary.len()).any(|part| part == canary.as_bytes()),
                "{name} leaves the value in {}",
                path.display()
            );
        }
    }
}

#[test]
fn what_unlocks_does_not_reach_the_programs_that_are_started() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "old");
    let record = sandbox.path("record");
    let script = format!("env > '{}'; echo new > \"$1\"", record.display());
    let key = sandbox.key();
    let run = sandbox.vault(&["edit", "a", "--key-file", key.to_str().unwrap()]).env("EDITOR", editor(&sandbox, &script));
    let run =
        run.env("VAULT_PASSPHRASE", "canary").env("VAULT_KEY", "canary").env("VAULT_SERVER_TOKEN", "canary").env("KEPT", "yes");
    run.run().ok();
    let seen = fs::read_to_string(&record).unwrap();
    assert!(seen.contains("KEPT=yes") && seen.contains("VAULT_FILE=") && !seen.contains("canary"), "{seen}");
    assert!(!seen.contains("VAULT_KEY_FILE"), "{seen}");
    // Nor those that give a passphrase.
    let command = "env > record2; echo x";
    sandbox.vault(&["get", "a"]).env("VAULT_PASSPHRASE_CMD", command).env("VAULT_KEY", "canary").run().ends(4);
    let seen = fs::read_to_string(sandbox.path("work/record2")).unwrap();
    assert!(seen.contains("VAULT_FILE=") && !seen.contains("canary"), "{seen}");
}

#[test]
fn the_file_is_private_in_memory_and_gone_afterwards() {
    let sandbox = Sandbox::in_memory();
    sandbox.set("a", "old");
    let record = sandbox.path("record");
    let script = format!(
        "{{ echo \"$#\"; echo \"$1\"; stat -c %a \"$1\"; stat -c %a \"$(dirname \"$1\")\"; cat \"$1\"; }} > '{}'; echo new > \"$1\"",
        record.display()
    );
    let edited = sandbox.vault(&["edit", "a"]).env("EDITOR", editor(&sandbox, &script)).run().ok();
    assert!(edited.stdout.is_empty() && edited.stderr.is_empty(), "{}", edited.stderr);
    let seen = fs::read_to_string(&record).unwrap();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!((lines[0], lines[2], lines[3], lines[4]), ("1", "600", "700", "old"));
    let path = PathBuf::from(lines[1]);
    assert!(path.starts_with(sandbox.path("runtime")) && !path.exists() && !path.parent().unwrap().exists());
    assert!(sandbox.files("runtime").is_empty() && sandbox.files("tmp").is_empty());
    // The name is not to be guessed: it is another one each time.
    sandbox.vault(&["edit", "a"]).env("EDITOR", editor(&sandbox, &script)).run().ok();
    assert_ne!(fs::read_to_string(&record).unwrap().lines().nth(1).unwrap(), lines[1]);
    // An editor ends the last line; the value did not, and does not.
    assert_eq!(sandbox.get("a"), b"new");
}

#[test]
fn without_a_runtime_directory_the_file_is_in_shared_memory() {
    let sandbox = Sandbox::new();
    if !std::path::Path::new("/dev/shm").is_dir() {
        eprintln!("skipped: there is no /dev/shm");
        return;
    }
    let record = sandbox.path("record");
    let script = editor(&sandbox, &format!("echo \"$1\" > '{}'; printf v > \"$1\"", record.display()));
    sandbox.vault(&["edit", "new entry"]).env("EDITOR", &script).without_env("XDG_RUNTIME_DIR").run().ok();
    let path = PathBuf::from(fs::read_to_string(&record).unwrap().trim());
    assert!(path.starts_with("/dev/shm/") && !path.parent().unwrap().exists());
    assert_eq!(sandbox.get("new entry"), b"v");
}

#[test]
fn a_new_value_does_not_expire() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "a", "--ttl", "0s"]).stdin("old").run().ok();
    sandbox.vault(&["edit", "a"]).env("EDITOR", editor(&sandbox, "true")).run().ok();
    sandbox.vault(&["get", "a"]).run().fails(9, "'a' has expired");
    let edited = sandbox.vault(&["edit", "a"]).env("EDITOR", editor(&sandbox, "echo new > \"$1\"")).run().ok();
    assert!(edited.stderr.contains("note: 'a' does not expire any more"), "{}", edited.stderr);
    assert_eq!(sandbox.get("a"), b"new");
}

#[test]
fn nothing_changed_is_nothing_written() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "old");
    let before = sandbox.bytes();
    for script in ["true", "echo old > \"$1\"", "printf old > \"$1\""] {
        let edited = sandbox.vault(&["edit", "a"]).env("VISUAL", editor(&sandbox, script)).run().ok();
        assert_eq!(edited.stderr, "nothing changed\n");
    }
    assert_eq!(sandbox.bytes(), before);
}

#[test]
fn an_editor_that_fails_changes_nothing_and_leaves_nothing() {
    let sandbox = Sandbox::in_memory();
    sandbox.set("a", "old");
    let before = sandbox.bytes();
    for (script, words) in [
        ("echo new > \"$1\"; exit 1", "the editor ended with exit status: 1; nothing was changed"),
        ("echo new > \"$1\"; kill -9 $$", "nothing was changed"),
        ("rm \"$1\"", "read the edited file"),
    ] {
        sandbox.vault(&["edit", "a"]).env("EDITOR", editor(&sandbox, script)).run().fails(13, words);
    }
    sandbox.vault(&["edit", "a"]).env("EDITOR", "/no/such/editor").run().fails(13, "the editor ended");
    sandbox.vault(&["edit", "a"]).run().fails(2, "no editor is set");
    assert_eq!(sandbox.bytes(), before);
    assert!(sandbox.files("runtime").is_empty());
}

#[test]
fn a_change_in_the_meantime_is_not_lost() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "old");
    // What unlocks the vault does not reach the editor, and so not what the editor starts.
    let script = format!("printf theirs | vault set a --key-file '{}'; echo mine > \"$1\"", sandbox.key().display());
    sandbox.vault(&["edit", "a"]).env("EDITOR", editor(&sandbox, &script)).run().fails(6, "'a' is at version 2, not 1");
    assert_eq!(sandbox.get("a"), b"theirs");
}

#[test]
fn json_stays_json_and_bytes_are_not_text() {
    let sandbox = Sandbox::new();
    sandbox.vault(&["set", "j", "--json"]).stdin("{}").run().ok();
    sandbox.vault(&["edit", "j"]).env("EDITOR", editor(&sandbox, "echo '{' > \"$1\"")).run().fails(2, "not JSON");
    sandbox.vault(&["edit", "j"]).env("EDITOR", editor(&sandbox, "echo '{\"a\":1}' > \"$1\"")).run().ok();
    assert_eq!(sandbox.vault(&["get", "j", "a"]).run().ok().stdout, b"1");
    sandbox.set("b", b"\xff");
    sandbox.vault(&["edit", "b"]).env("EDITOR", editor(&sandbox, "true")).run().fails(2, "the value is not text");
}

#[test]
fn the_editor_is_a_command_line_and_set_has_it_too() {
    let sandbox = Sandbox::new();
    let script = editor(&sandbox, "printf \"$1\" > \"$2\"");
    let line = format!("'{}' 'two words'", script.display());
    sandbox.vault(&["set", "a", "--editor", "--category", "c"]).env("EDITOR", &line).run().ok();
    assert_eq!(sandbox.get("a"), b"two words");
    sandbox.vault(&["set", "a", "--editor"]).env("EDITOR", "true").run().fails(2, "the editor left nothing");
    // VISUAL stands before EDITOR, unless it is empty.
    sandbox.vault(&["set", "a", "--editor"]).env("VISUAL", "").env("EDITOR", &line).run().ok();
    sandbox.vault(&["set", "a", "--editor"]).env("VISUAL", &line).env("EDITOR", "false").run().ok();
}

#[test]
fn a_vault_that_was_replaced_by_an_older_copy_is_not_written_to() {
    let sandbox = Sandbox::new();
    sandbox.set("a", "1");
    fs::copy(sandbox.file(), sandbox.path("older")).unwrap();
    sandbox.set("other", "kept");
    let newest = sandbox.bytes();
    // While the editor runs, a sync tool puts an older copy back.
    let script = format!("echo 2 > \"$1\"; mv '{}' '{}'", sandbox.path("older").display(), sandbox.file().display());
    sandbox.vault(&["edit", "a"]).env("EDITOR", editor(&sandbox, &script)).run().fails(11, "older copy");
    sandbox.vault(&["set", "a"]).stdin("3").run().fails(11, "older than one that this machine has seen");
    fs::write(sandbox.file(), newest).unwrap();
    assert_eq!((sandbox.get("a"), sandbox.get("other")), (b"1".to_vec(), b"kept".to_vec()));
}
