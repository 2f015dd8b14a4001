//! `vault scan`

mod files;
mod finder;
mod git;
mod hook;
mod names;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::context::{Context, OutputFormat};
use super::files::{read_file, standard_input, write_private};
use super::{exit, leaks};
use crate::audit::{Action, Event};
use crate::leaks::{FingerprintScanner, Fingerprints, Matcher, Scanner, Units, is_trivial};
use crate::term::output;
use crate::vault::{Error, ErrorKind, Result};
use finder::Finder;
use report::Report;

/// Look for the vault's own values in files, staged changes, history, or standard input
///
/// Finds all values that the key opens, with the versions that are kept: plain and encoded, and over the ends of lines, also in names. It prints where
/// and which, never a value, and ends with 10 if there is one. Values shorter than 8 characters, and those that are easily guessed, are not looked
/// for; a note names them.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ScanArgs {
    #[command(subcommand)]
    command: Option<ScanCommand>,
    /// A file, a pipe, a directory, or - for standard input [default: the working directory]
    path: Option<PathBuf>,
    /// What is staged for the next commit
    #[arg(long, conflicts_with_all = ["path", "history"])]
    staged: bool,
    /// Every file, name and message of every commit that can be reached, branches, tags, and the repository's settings
    #[arg(long, conflicts_with = "path")]
    history: bool,
    /// Let git scan what is staged before each commit of this repository
    #[arg(long, conflicts_with_all = ["path", "staged", "history", "fingerprints"])]
    install_hook: bool,
    /// Also files that .gitignore and the like leave out
    #[arg(long)]
    no_ignore: bool,
    /// Look for what this list knows, without any key (see export-fingerprints)
    #[arg(long, value_name = "FILE")]
    fingerprints: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

#[derive(Subcommand, Debug)]
enum ScanCommand {
    /// Print a list by which others find values without any key
    ///
    /// The list has the names of entries and nothing by which a value could be read. Only values of 80 bits and more go in, and of a URL, a line of
    /// settings, or a document only the parts that are so strong alone: weaker ones could be found by trying.
    ExportFingerprints {
        /// Write to this file, 0600, instead
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub fn run(context: &mut Context, args: ScanArgs) -> Result<u8> {
    if let Some(ScanCommand::ExportFingerprints { out }) = &args.command {
        return export_fingerprints(context, out.as_deref());
    }
    if args.install_hook {
        return hook::install(context);
    }
    let mut finder = finder(context, args.fingerprints.as_deref())?;
    let mut report = Report::new();
    if args.staged {
        git::staged(&mut finder, &mut report)?;
    } else if args.history {
        git::history(&mut finder, &mut report)?;
    } else if args.path.as_deref() == Some(Path::new("-")) {
        finder.look(&mut standard_input()?, &mut |finding| report.add("-", None, finding)).map_err(cannot_read)?;
        report.looked();
    } else {
        files::look(context, args.path.as_deref().unwrap_or(Path::new(".")), args.no_ignore, &mut finder, &mut report)?;
    }
    report.print(args.format)?;
    if report.is_empty() {
        context.note("note: there was nothing to look through");
    }
    if report.has_findings() {
        return Ok(exit::FINDINGS);
    }
    match report.unread() {
        0 => Ok(exit::OK),
        count => Err(Error::new(ErrorKind::Io, "io", format!("nothing was found, but {count} files could not be read"))),
    }
}

fn cannot_read(error: std::io::Error) -> Error {
    Error::io("read what is to be scanned", &error)
}

fn finder(context: &mut Context, fingerprints: Option<&Path>) -> Result<Finder> {
    if let Some(path) = fingerprints {
        let list = Fingerprints::parse(&read_file(path)?)
            .ok_or_else(|| Error::usage(format!("{} is no list of fingerprints that this version reads", path.display())))?;
        return Ok(Finder::Fingerprints(Box::new(FingerprintScanner::new(list))));
    }
    let mut units = Units::new(8, is_trivial).with_utf16();
    let vault = context.unlock()?;
    context.record(&vault, &[Event::new(Action::Scan)])?;
    leaks::collect(&vault, &mut |label, value, kind| units.add(label, value, kind))?;
    leaks::note_skipped(context, units.skipped());
    Ok(Finder::values(Scanner::new(Arc::new(Matcher::new(units)))))
}

fn export_fingerprints(context: &mut Context, out: Option<&Path>) -> Result<u8> {
    let vault = context.unlock()?;
    let mut list = Fingerprints::new()?;
    let mut weak = 0;
    leaks::collect(&vault, &mut |label, value, kind| weak += list.add(label, value, kind))?;
    context.record(&vault, &[Event::new(Action::Scan).detail(format!("fingerprints of {} values", list.len()))])?;
    match out {
        Some(path) => write_private(path, list.to_text().as_bytes())?,
        None => output::print(&list.to_text())?,
    }
    context
        .note(&format!("{} values and parts of values are in the list, {weak} are weaker than 80 bits and left out", list.len()));
    Ok(exit::OK)
}
