//! Stores with one encrypted file for each secret: pass and gopass (gpg, or age), and kbs2 (age).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use super::super::context::Context;
use super::super::files::{read_all, read_file};
use crate::vault::{Error, ErrorKind, Result};

/// A file of a store: the name of its secret, and where it is.
pub(super) struct Encrypted {
    pub name: String,
    pub path: PathBuf,
}

/// The files below a directory with one of these extensions, by name; an empty one stands for all files. What begins with a dot is the store's own.
pub(super) fn files(root: &Path, extensions: &[&str]) -> Result<Vec<Encrypted>> {
    let mut found = Vec::new();
    let mut open = vec![(root.to_owned(), String::new())];
    while let Some((directory, prefix)) = open.pop() {
        let fail = |error: std::io::Error| Error::io(format!("read {}", directory.display()), &error);
        for entry in std::fs::read_dir(&directory).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                return Err(Error::usage(format!("{} has a name that is not text", path.display())));
            };
            if name.starts_with('.') {
                continue;
            }
            let status = std::fs::metadata(&path).map_err(fail)?;
            // A link to a directory could lead in circles.
            let linked = path.is_symlink();
            if status.is_dir() && !linked {
                open.push((path.clone(), format!("{prefix}{name}/")));
            } else if status.is_file() {
                let stem = extensions.iter().find_map(|extension| match *extension {
                    "" => Some(name),
                    extension => name.strip_suffix(extension)?.strip_suffix('.'),
                });
                found.extend(stem.map(|stem| Encrypted { name: format!("{prefix}{stem}"), path: path.clone() }));
            }
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    if found.is_empty() {
        return Err(Error::usage(format!("there is no secret in {}", root.display())));
    }
    Ok(found)
}

/// What gpg makes of a file. It asks for what it needs by its own agent, unless nothing may be asked.
pub(super) fn decrypt_gpg(context: &Context, path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let mut command = Command::new("gpg");
    command.args(["--batch", "--quiet", "--yes"]);
    if context.global.no_input {
        command.args(["--pinentry-mode", "error"]);
    }
    // The keys of vaults are none of its business.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("VAULT_")) {
        command.env_remove(name);
    }
    command.arg("--decrypt").arg("--").arg(path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::new(ErrorKind::Io, "no_gpg", "gpg is not installed")
            .hint("it decrypts the files of such a store: install GnuPG"),
        _ => Error::io("start gpg", &error),
    })?;
    let expected = std::fs::metadata(path).map_or(0, |status| status.len());
    let content = match &mut child.stdout {
        Some(stdout) => read_all(stdout, usize::try_from(expected).unwrap_or(0).min(1 << 30) + 4096, "read what gpg decrypts")?,
        None => Zeroizing::default(),
    };
    let status = child.wait().map_err(|error| Error::io("wait for gpg", &error))?;
    if !status.success() {
        return Err(Error::new(ErrorKind::Locked, "wrong_key", format!("gpg does not decrypt {}", path.display()))
            .hint("`gpg --decrypt` of that file says why; the secret key has to be at hand"));
    }
    Ok(content)
}

/// Reads one file whole.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    read_file(path)
}
