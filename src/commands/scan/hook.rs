//! The hook by which git scans what is staged before each commit.

use std::fs::Permissions;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::super::context::{Context, path_variable};
use super::super::exit;
use super::super::files::write_verified;
use super::git;
use crate::vault::{Error, ErrorKind, Result};

/// How a hook of ours begins.
const BEGIN: &str = "#!/bin/sh\n# Stops a commit that would hold a value of the vault.\nexec vault ";

pub fn install(context: &Context) -> Result<u8> {
    let top = resolved(&git::place(&["--show-toplevel"])?);
    let hooks = git::place(&["--git-path", "hooks"])?;
    let common = resolved(&git::place(&["--git-common-dir"])?);
    if ![&top, &common].iter().any(|own| resolved(&hooks).starts_with(own)) {
        return Err(Error::new(
            ErrorKind::Conflict,
            "shared_hooks",
            format!(
                "{} is not this repository's alone (core.hooksPath): a hook there would be run in others too",
                hooks.display()
            ),
        )
        .hint("call `vault scan --staged` in a hook there yourself, or set core.hooksPath for this repository"));
    }
    let (path, hook) = (hooks.join("pre-commit"), text(context, &top)?);
    let fail = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::new(ErrorKind::Conflict, "exists", format!("there is another hook at {}", path.display()))
                .hint("let it run: vault scan --staged")
        }
        _ => Error::io(format!("write {}", path.display()), &error),
    };
    match std::fs::read_to_string(&path) {
        Ok(old) if old == hook => {
            context.note(&format!("{} was there already", path.display()));
            return Ok(exit::OK);
        }
        // One of ours, for another vault.
        Ok(old) if old.starts_with(BEGIN) && old.lines().count() == 3 => {
            write_verified(&path, hook.as_bytes(), |made| {
                std::fs::set_permissions(made, Permissions::from_mode(0o755)).map_err(fail)
            })?;
        }
        _ => {
            std::fs::create_dir_all(&hooks).map_err(fail)?;
            let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path);
            file.and_then(|mut file| std::io::Write::write_all(&mut file, hook.as_bytes())).map_err(fail)?;
        }
    }
    context.note(&format!("made {}", path.display()));
    Ok(exit::OK)
}

/// The hook. A vault that is named for this run is named in it: git runs it in `top`, and without the option.
fn text(context: &Context, top: &Path) -> Result<String> {
    let Some(vault) = context.global.vault.clone().or_else(|| path_variable("VAULT_FILE")) else {
        return Ok(format!("{BEGIN}scan --staged --no-input\n"));
    };
    let vault = resolved(vault.parent().unwrap_or(&vault)).join(vault.file_name().unwrap_or_default());
    let vault = vault.strip_prefix(top).unwrap_or(&vault);
    let shown = vault.to_str().filter(|text| !text.contains('\n'));
    let shown = shown.ok_or_else(|| Error::usage("the path of the vault is not a line of text"))?;
    Ok(format!("{BEGIN}--vault='{}' scan --staged --no-input\n", shown.replace('\'', "'\\''")))
}

/// A path without links, as far as it is there.
fn resolved(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(path), ..) => path,
        (Err(_), Some(parent), Some(name)) => resolved(parent).join(name),
        _ => path.to_owned(),
    }
}
