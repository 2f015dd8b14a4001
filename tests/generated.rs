//! `completions/` and `man/` hold what the program prints. `VAULT_BLESS=1 cargo test --test generated` writes them anew.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

const SHELLS: &[(&str, &str)] =
    &[("bash", "vault.bash"), ("zsh", "_vault"), ("fish", "vault.fish"), ("elvish", "vault.elv"), ("powershell", "vault.ps1")];

#[test]
fn completions_are_what_the_program_prints() {
    let files = SHELLS.iter().map(|(shell, file)| ((*file).to_owned(), printed(&["completions", shell])));
    compare("completions", files.collect());
}

#[test]
fn man_pages_are_what_the_program_prints() {
    let mut files = BTreeMap::from([("vault.1".to_owned(), printed(&["man"]))]);
    for subcommand in vault::commands::command().get_subcommands() {
        let name = subcommand.get_name();
        files.insert(format!("vault-{name}.1"), printed(&["man", name]));
    }
    assert!(files.len() > 20, "subcommands are missing");
    for (name, text) in &files {
        // An option without a word of explanation stands between two marks of a paragraph.
        let silent = text.lines().collect::<Vec<_>>().windows(3).any(|lines| lines[0] == ".TP" && lines[2] == ".TP");
        assert!(!silent, "{name} has an option without a text");
    }
    compare("man", files);
}

#[test]
fn the_binary_says_where_it_is_only_by_name() {
    for (shell, file) in SHELLS {
        let text = printed(&["completions", shell]);
        assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "{file} names a directory of the machine that built it");
        assert!(text.contains("VAULT_COMPLETE"), "{file} does not ask the program");
    }
}

fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_vault")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn compare(directory: &str, files: BTreeMap<String, String>) {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(directory);
    if std::env::var_os("VAULT_BLESS").is_some() {
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        for (name, text) in &files {
            std::fs::write(directory.join(name), text).unwrap();
        }
    }
    let there: BTreeMap<String, String> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    let names = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&there), names(&files), "{}: VAULT_BLESS=1 writes it anew", directory.display());
    for (name, text) in &files {
        assert!(there[name] == *text, "{}: VAULT_BLESS=1 writes it anew", directory.join(name).display());
    }
}
