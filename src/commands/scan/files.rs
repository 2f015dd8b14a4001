//! Files, below a directory or one by one.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use ignore::{DirEntry, WalkBuilder};

use super::finder::Finder;
use super::names;
use super::report::Report;
use crate::commands::context::Context;
use crate::term::output;
use crate::vault::{Error, Result};

/// Looks through what is at a path: all below a directory, or whatever else can be read.
pub fn look(context: &Context, path: &Path, no_ignore: bool, finder: &mut Finder, report: &mut Report) -> Result<()> {
    let fail = |error: std::io::Error| Error::io(format!("read {}", path.display()), &error);
    if !fs::metadata(path).map_err(fail)?.is_dir() {
        // Also a pipe, and what a link leads to: whoever names it wants it read.
        let mut file = File::open(path).map_err(fail)?;
        return document(path, &mut file, finder, report).map_err(fail);
    }
    let mut walk = WalkBuilder::new(path);
    // Hidden files are where values are.
    walk.standard_filters(!no_ignore).require_git(false).hidden(false).sort_by_file_name(Ord::cmp);
    walk.filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git");
    below(context, &walk, finder, report, &mut |entry, finder, report| {
        let kept = entry.path().join(".git");
        if entry.file_type().is_some_and(|kind| kind.is_dir()) && fs::symlink_metadata(&kept).is_ok_and(|kept| kept.is_dir()) {
            // Its settings have addresses with tokens in them. No list of what to ignore is meant for it; objects are compressed: see --history.
            let mut walk = WalkBuilder::new(&kept);
            walk.standard_filters(false).sort_by_file_name(Ord::cmp).filter_entry(|entry| entry.file_name() != "objects");
            below(context, &walk, finder, report, &mut |_, _, _| {});
        }
    });
    Ok(())
}

fn below(
    context: &Context,
    walk: &WalkBuilder,
    finder: &mut Finder,
    report: &mut Report,
    visit: &mut dyn FnMut(&DirEntry, &mut Finder, &mut Report),
) {
    let unreadable = |what: &str, error: &dyn std::fmt::Display, report: &mut Report| {
        context.note(&format!("warning: {}: {}", output::printable(what), output::printable(&error.to_string())));
        report.could_not_read();
    };
    for entry in walk.build() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                unreadable("a place that could not be read", &error, report);
                continue;
            }
        };
        names::look(finder, report, "", plain(entry.path()), None);
        let looked = match entry.file_type() {
            Some(kind) if kind.is_file() => {
                File::open(entry.path()).and_then(|mut file| document(entry.path(), &mut file, finder, report))
            }
            Some(kind) if kind.is_symlink() => fs::read_link(entry.path())
                .and_then(|target| document(entry.path(), &mut target.as_os_str().as_bytes(), finder, report)),
            _ => Ok(()),
        };
        if let Err(error) = looked {
            let shown = names::shown(finder, plain(entry.path()));
            unreadable(&shown, &error, report);
        }
        visit(&entry, finder, report);
    }
}

fn document(path: &Path, document: &mut dyn Read, finder: &mut Finder, report: &mut Report) -> std::io::Result<()> {
    let mut findings = Vec::new();
    let looked = finder.look(document, &mut |finding| findings.push(finding));
    if !findings.is_empty() {
        let place = names::shown(finder, plain(path));
        findings.into_iter().for_each(|finding| report.add(&place, None, finding));
    }
    if looked.is_ok() {
        report.looked();
    }
    looked
}

fn plain(path: &Path) -> &[u8] {
    path.strip_prefix("./").unwrap_or(path).as_os_str().as_bytes()
}
