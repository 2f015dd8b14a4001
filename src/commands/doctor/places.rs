//! Files: who may read and write them, and whether git keeps keys.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::Report;
use crate::commands::context::Context;
use crate::process;
use crate::vault::Result;

/// Looks at the vault's file and at the files that keys are read from.
pub fn look(context: &mut Context, vault: &Path, report: &mut Report) -> Result<()> {
    let shown = |path: &Path| path.display().to_string();
    if let Ok(metadata) = std::fs::metadata(vault) {
        if metadata.mode() & 0o022 != 0 {
            report.problem(
                "vault_writable",
                format!("others may write to {}", shown(vault)),
                "chmod go-w; nobody can forge it, and anybody can destroy it",
            );
        }
        if metadata.mode() & 0o044 != 0 {
            report.warn(
                "vault_readable",
                format!("others may read {}", shown(vault)),
                "chmod go-r, unless it is meant to be shared: whoever has it can guess passphrases",
            );
        }
        if metadata.nlink() > 1 {
            report.warn(
                "hard_links",
                format!("{} has more than one hard link", shown(vault)),
                "it cannot be compacted, and its keys cannot change, before it has one",
            );
        }
        look_at_directory(vault, "vault_directory", report);
    }
    for path in context.key_files()? {
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if !metadata.is_file() {
            continue;
        }
        if metadata.mode() & 0o077 != 0 {
            report.problem(
                "key_readable",
                format!("others may read the key {}", shown(&path)),
                "chmod 600, and replace the key if they may have",
            );
        }
        if !is_own(&metadata) {
            report.problem(
                "key_of_another",
                format!("the key {} belongs to another user", shown(&path)),
                "whoever owns it can read and replace it",
            );
        }
        look_at_directory(&path, "key_directory", report);
        look_at_git(&path, report);
    }
    Ok(())
}

fn is_own(metadata: &Metadata) -> bool {
    [rustix::process::geteuid().as_raw(), 0].contains(&metadata.uid())
}

/// A directory that others may write to lets them put another file in its place; the sticky bit keeps them from that.
fn look_at_directory(file: &Path, code: &'static str, report: &mut Report) {
    let Some(directory) = file.canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned)) else { return };
    let Ok(metadata) = std::fs::metadata(&directory) else { return };
    if metadata.mode() & 0o022 != 0 && metadata.mode() & 0o1000 == 0 {
        report.warn(code, format!("others may replace files in {}", directory.display()), "chmod go-w");
    }
}

fn look_at_git(key: &Path, report: &mut Report) {
    let Ok(key) = key.canonicalize() else { return };
    let Some(directory) = key.parent() else { return };
    // What git is started for must not be what a repository's configuration says.
    let git = |arguments: &[&str]| {
        let mut command = process::child("git");
        command
            .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-C"])
            .arg(directory)
            .args(arguments)
            .arg("--")
            .arg(&key);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().ok().map(|status| status.success())
    };
    if !in_work_tree(directory) {
        return;
    }
    let shown = key.display();
    if git(&["ls-files", "--error-unmatch"]) == Some(true) {
        report.problem(
            "key_in_git",
            format!("git tracks the key {shown}"),
            "git rm --cached it, take it out of the history, and replace the key: `vault key add`, `vault key remove`",
        );
    } else if git(&["check-ignore", "--quiet"]) == Some(false) {
        report.warn(
            "key_in_work_tree",
            format!("the key {shown} lies in a git work tree and is not ignored"),
            "put it into .gitignore, or elsewhere",
        );
    }
}

fn in_work_tree(directory: &Path) -> bool {
    directory.ancestors().map(|ancestor| ancestor.join(".git")).any(|git: PathBuf| git.exists())
}
