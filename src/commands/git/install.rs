//! `vault git install`

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use super::super::context::Context;
use super::super::exit;
use super::super::files::write_verified;
use crate::vault::{Error, ErrorKind, Result};

/// Set up the diff and the merge of vaults in the repository of the working directory
///
/// Writes to the repository's own configuration, which is not shared, and a line to .gitattributes, which is: whoever clones
/// it calls this once. A line in .gitignore keeps out the audit logs, which are each machine's own.
#[derive(Args, Debug)]
pub struct InstallArgs {
    /// Which files are vaults, as .gitattributes has it
    #[arg(long, value_name = "PATTERN", default_value = "*.vault")]
    pattern: String,
    /// Also let git keep its credentials in the vault
    #[arg(long)]
    credentials: bool,
}

pub fn run(context: &mut Context, args: InstallArgs) -> Result<u8> {
    if args.pattern.is_empty() || args.pattern.contains(char::is_whitespace) || args.pattern.starts_with(['#', '!', '"', '[']) {
        return Err(Error::usage("the pattern holds no blanks, and begins with none of # ! \" ["));
    }
    let root = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?);
    let program = std::env::current_exe().map_err(|error| Error::io("find this program", &error))?;
    let program = program.to_str().ok_or_else(|| Error::usage("the path of this program is not text"))?;
    let quoted = format!("'{}'", program.replace('\'', "'\\''"));
    let mut settings = vec![
        ("diff.vault.textconv", format!("{quoted} git textconv")),
        ("merge.vault.name", "entries and fields of vaults".to_owned()),
        ("merge.vault.driver", format!("{quoted} merge %O %A %B")),
    ];
    if args.credentials {
        settings.push(("credential.helper", format!("!{quoted} git credential")));
    }
    let line = format!("{} diff=vault merge=vault -text", args.pattern);
    if add_line(&root.join(".gitattributes"), &line)? {
        context.note(&format!("added to .gitattributes: {line}"));
    }
    let logs = format!("{}.audit*", args.pattern);
    if add_line(&root.join(".gitignore"), &logs)? {
        context.note(&format!("added to .gitignore: {logs}"));
    }
    for (key, value) in &settings {
        git(&["config", "--local", key, value])?;
    }
    context.note("git diffs and merges vaults of this repository by vault");
    Ok(exit::OK)
}

/// Runs git in the working directory; what it prints, without the line end.
fn git(arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").args(arguments).output().map_err(|error| Error::io("start git", &error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::new(ErrorKind::Io, "git_failed", format!("git {} failed: {said}", arguments[0]))
            .hint("the working directory has to be in a git repository"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
}

/// Adds a line to a file, unless it is there. Returns whether it was added.
fn add_line(path: &Path, line: &str) -> Result<bool> {
    let doing = || format!("write {}", path.display());
    // What a link points to may be anybody's, and git does not follow it.
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return Err(Error::new(ErrorKind::Io, "symbolic_link", format!("{} is a symbolic link", path.display()))
            .hint("git passes over it; put a file in its place"));
    }
    let old = match std::fs::read_to_string(path) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::io(doing(), &error)),
    };
    if old.lines().any(|old| old.trim() == line) {
        return Ok(false);
    }
    let end = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
    let mode = std::fs::metadata(path).map_or_else(|_| Permissions::from_mode(0o644), |found| found.permissions());
    write_verified(path, format!("{old}{end}{line}\n").as_bytes(), |made| {
        std::fs::set_permissions(made, mode).map_err(|error| Error::io(doing(), &error))
    })?;
    Ok(true)
}
