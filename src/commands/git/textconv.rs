//! `vault git textconv`

use std::path::{Path, PathBuf};

use clap::Args;

use super::super::context::{Context, format_time};
use super::super::exit;
use super::super::files::read_file;
use crate::crypto::Hash;
use crate::store::Walk;
use crate::term::output;
use crate::vault::{ErrorKind, Filter, Result, Scope};

/// Print a vault as lines that git can compare: names, versions and metadata, and no value
///
/// Without a key, one line tells whether the file is another one; the same for a file that is no vault.
#[derive(Args, Debug)]
pub struct TextconvArgs {
    /// The vault file
    file: PathBuf,
}

pub fn run(context: &mut Context, args: TextconvArgs) -> Result<u8> {
    // git calls this for each side of each commit that it shows.
    context.global.no_input = true;
    let text = match lines(context, &args.file) {
        Ok(text) => text,
        Err(error) => {
            // If this failed, git would show nothing of any file.
            let Ok(bytes) = read_file(&args.file) else { return Err(error) };
            let (length, hash) = (bytes.len(), Hash::of(&bytes).to_hex());
            match error.kind() {
                ErrorKind::Locked => format!("vault, {length} bytes, {hash}; no key at hand opens it\n"),
                _ => format!("{length} bytes, {hash}; it cannot be read as a vault ({})\n", error.code()),
            }
        }
    };
    output::print(&text)?;
    Ok(exit::OK)
}

fn lines(context: &mut Context, file: &Path) -> Result<String> {
    let vault = context.unlock_exempt(file)?;
    let mut text = String::new();
    vault.entries(&Filter { scope: Scope::All, category: None }, &mut |entry| {
        let mut parts = vec![format!("version {}", entry.version()), entry.kind().word().to_owned()];
        parts.extend(entry.category().map(|category| format!("category {category}")));
        parts.extend(entry.tags().iter().map(|tag| format!("tag {tag}")));
        parts.extend(entry.meta().keys().map(|key| format!("meta {key}")));
        parts.extend(entry.expires().map(|at| format!("expires {}", format_time(at))));
        parts.push(format!("modified {}", format_time(entry.modified())));
        text.push_str(&output::printable(&format!("{}: {}", entry.id(), parts.join(", "))));
        text.push('\n');
        Ok(Walk::Continue(()))
    })?;
    for slot in vault.slots()? {
        text.push_str(&output::printable(&format!("slot {} ({})", slot.label, slot.info.kind)));
        text.push('\n');
    }
    Ok(text)
}
