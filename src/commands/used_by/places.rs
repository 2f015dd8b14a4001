//! Where files refer to an entry: references in any text, and what a project's `vault.toml` gives to programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use memchr::{memchr_iter, memmem};
use serde::Deserialize;
use toml::Spanned;

use crate::commands::context::Context;
use crate::commands::files::{files_below, read_file};
use crate::name::{Category, Name};
use crate::term::output;
use crate::vault::mention::{self, Mention, mention_at};
use crate::vault::{Reference, Result};

/// What is looked for.
pub struct Wanted<'a> {
    /// The entry's name.
    pub name: &'a Name,
    /// The categories of the entries of this name.
    pub categories: BTreeSet<&'a Category>,
}

/// What was found.
#[derive(Default)]
pub struct Places {
    /// File, line, and how the entry is named there.
    pub found: Vec<(String, u64, &'static str)>,
    /// How many files were looked through.
    pub files: u64,
    /// How many could not be read.
    pub unread: u64,
}

/// As much of a file is in memory at once.
const BLOCK: usize = 4 << 20;

impl Places {
    /// Looks through the files below a path.
    pub fn look(&mut self, context: &Context, path: &Path, no_ignore: bool, wanted: &Wanted<'_>) -> Result<()> {
        for file in files_below(path, no_ignore)? {
            let (shown, looked) = match file {
                Ok(file) => (shown(&file), self.look_into(&file, wanted).map_err(|error| error.to_string())),
                Err(error) => ("a place that could not be read".to_owned(), Err(error.to_string())),
            };
            match looked {
                Ok(()) => self.files += 1,
                Err(error) => {
                    context.note(&format!("warning: {}: {}", output::printable(&shown), output::printable(&error)));
                    self.unread += 1;
                }
            }
        }
        Ok(())
    }

    fn look_into(&mut self, path: &PathBuf, wanted: &Wanted<'_>) -> io::Result<()> {
        let mut found = BTreeSet::new();
        references(&mut File::open(path)?, wanted.name, &mut |line, mention| {
            let how = match mention {
                Mention::Template => "template",
                Mention::Text => "reference",
            };
            found.insert((line, how));
        })?;
        if path.file_name().is_some_and(|name| name == "vault.toml") {
            found.extend(project(path, wanted));
        }
        let shown = shown(path);
        self.found.extend(found.into_iter().map(|(line, how)| (shown.clone(), line, how)));
        Ok(())
    }
}

fn shown(path: &Path) -> String {
    path.strip_prefix("./").unwrap_or(path).to_string_lossy().into_owned()
}

/// Looks for references to an entry, in a file of any size.
fn references(file: &mut dyn Read, name: &Name, found: &mut dyn FnMut(u64, Mention)) -> io::Result<()> {
    let finder = memmem::Finder::new(Reference::SCHEME);
    let lines = |text: &[u8]| memchr_iter(b'\n', text).count() as u64;
    let mut block = Vec::new();
    // What stands before `from` was looked at; `line` is that of the byte there.
    let (mut line, mut from) = (1, 0);
    loop {
        let missing = BLOCK - block.len();
        let read = file.take(missing as u64).read_to_end(&mut block)?;
        let is_end = read < missing;
        let until = if is_end { block.len() } else { block.len() - mention::BEHIND };
        for at in finder.find_iter(&block[from..until.max(from)]).map(|at| from + at).collect::<Vec<_>>() {
            line += lines(&block[from..at]);
            from = at;
            if let Some(mention) = mention_at(&block, at, name) {
                found(line, mention);
            }
        }
        if is_end {
            return Ok(());
        }
        // One that begins just before the end of what was searched is found with the next block.
        let behind = until - (Reference::SCHEME.len() - 1);
        line += lines(&block[from..behind]);
        block.drain(..behind - mention::BEFORE);
        from = mention::BEFORE;
    }
}

/// What a project's file says that `run` gives to programs, and what `config` reads.
#[derive(Deserialize)]
struct Project {
    #[serde(default)]
    run: Run,
    #[serde(default)]
    config: Config,
}

#[derive(Deserialize, Default)]
struct Config {
    #[serde(default)]
    map: BTreeMap<String, Spanned<String>>,
}

#[derive(Deserialize, Default)]
struct Run {
    #[serde(default)]
    only: Vec<Spanned<String>>,
    category: Option<Spanned<String>>,
}

/// Where the tables `[run]` and `[config]` of a `vault.toml` name the entry; nothing if it is none that can be read.
fn project(path: &Path, wanted: &Wanted<'_>) -> Vec<(u64, &'static str)> {
    let Some(text) = read_file(path).ok().and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()) else { return Vec::new() };
    let Ok(Project { run, config }) = toml::from_str(&text) else { return Vec::new() };
    let line = |at: usize| 1 + memchr_iter(b'\n', &text.as_bytes()[..at.min(text.len())]).count() as u64;
    let named = run.only.iter().filter(|name| name.get_ref().trim() == wanted.name.as_str());
    let mut found: Vec<_> = named.map(|name| (line(name.span().start), "run.only")).collect();
    let is_wanted = |category: &&Spanned<String>| wanted.categories.iter().any(|wanted| wanted.as_str() == category.get_ref());
    if let Some(category) = run.category.as_ref().filter(is_wanted).filter(|_| run.only.is_empty()) {
        found.push((line(category.span().start), "run.category"));
    }
    let is_reference = |target: &&Spanned<String>| {
        // Whole references are found as such.
        let plain = !target.get_ref().starts_with(Reference::SCHEME);
        plain && Reference::parse_plain(target.get_ref()).is_ok_and(|reference| reference.name == *wanted.name)
    };
    found.extend(config.map.values().filter(is_reference).map(|target| (line(target.span().start), "config.map")));
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_over_the_ends_of_blocks() {
        let name = Name::parse("db").unwrap();
        let reference = b"{{ vault://db }}";
        for end in [BLOCK - mention::BEHIND, BLOCK, 2 * BLOCK - mention::BEHIND - mention::BEFORE] {
            for before in end - 20..end + 4 {
                let mut text = vec![b'x'; before];
                text[7] = b'\n';
                text[before - 1] = b'\n';
                text.extend_from_slice(reference);
                text.extend(std::iter::repeat_n(b'y', 3 * mention::BEHIND));
                text.extend_from_slice(b"\nvault://db");
                let mut found = Vec::new();
                references(&mut text.as_slice(), &name, &mut |line, mention| found.push((line, mention))).unwrap();
                assert_eq!(found, [(3, Mention::Template), (4, Mention::Text)], "{before}");
            }
        }
    }
}
