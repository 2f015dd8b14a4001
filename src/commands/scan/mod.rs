//! `vault scan`

mod finder;
mod git;
mod report;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::context::{Context, OutputFormat};
use super::files::{read_file, write_private};
use super::{exit, leaks};
use crate::leaks::{FingerprintScanner, Fingerprints, Matcher, Scanner, Units, is_trivial};
use crate::term::output;
use crate::vault::{Error, ErrorKind, Result};
use finder::Finder;
use report::Report;

/// Look for the vault's own values in files, staged changes, history, or standard input
///
/// Finds all values that the key opens, with the versions that are kept: plain and encoded, and over the ends of lines. It prints where and
/// which, never a value, and ends with 10 if there is one. Values shorter than 8 characters, and those that are easily guessed, are not looked
/// for; a note names them.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ScanArgs {
    #[command(subcommand)]
    command: Option<ScanCommand>,
    /// A file, a directory, or - for standard input [default: the working directory]
    path: Option<PathBuf>,
    /// What is staged for the next commit
    #[arg(long, conflicts_with_all = ["path", "history"])]
    staged: bool,
    /// Every file and message of every commit that can be reached
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
    /// The list has the names of entries and nothing by which a value could be read. Only values of 80 bits and more go in: weaker ones could be
    /// found by trying.
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
        return install_hook(context);
    }
    let mut finder = finder(context, args.fingerprints.as_deref())?;
    let mut report = Report::new();
    if args.staged {
        git::staged(&mut finder, &mut report)?;
    } else if args.history {
        git::history(&mut finder, &mut report)?;
    } else if args.path.as_deref() == Some(Path::new("-")) {
        finder.look(&mut std::io::stdin().lock(), &mut |finding| report.add("-", None, finding)).map_err(cannot_read)?;
        report.looked();
    } else {
        files(context, args.path.as_deref().unwrap_or(Path::new(".")), args.no_ignore, &mut finder, &mut report)?;
    }
    report.print(args.format)?;
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
    let mut units = Units::new(8, is_trivial);
    leaks::collect(&context.unlock()?, &mut |label, value, kind| units.add(label, value, kind))?;
    leaks::note_skipped(context, units.skipped());
    Ok(Finder::Values(Box::new(Scanner::new(Arc::new(Matcher::new(units))))))
}

fn files(context: &Context, path: &Path, no_ignore: bool, finder: &mut Finder, report: &mut Report) -> Result<()> {
    std::fs::symlink_metadata(path).map_err(|error| Error::io(format!("read {}", path.display()), &error))?;
    let mut walk = ignore::WalkBuilder::new(path);
    // Hidden files are where values are; git's own are looked through with --history.
    walk.standard_filters(!no_ignore).require_git(false).hidden(false).filter_entry(|entry| entry.file_name() != ".git");
    walk.sort_by_file_name(Ord::cmp);
    let unreadable = |what: &str, error: &dyn std::fmt::Display| {
        context.note(&format!("warning: {}: {}", output::printable(what), output::printable(&error.to_string())));
    };
    for entry in walk.build() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                unreadable("a place that could not be read", &error);
                report.could_not_read();
                continue;
            }
        };
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        let shown = entry.path().strip_prefix("./").unwrap_or(entry.path()).to_string_lossy().into_owned();
        let looked = File::open(entry.path())
            .and_then(|mut file| finder.look(&mut file, &mut |finding| report.add(&shown, None, finding)));
        match looked {
            Ok(()) => report.looked(),
            Err(error) => {
                unreadable(&shown, &error);
                report.could_not_read();
            }
        }
    }
    Ok(())
}

fn export_fingerprints(context: &mut Context, out: Option<&Path>) -> Result<u8> {
    let vault = context.unlock()?;
    let mut list = Fingerprints::new()?;
    let mut weak = 0;
    leaks::collect(&vault, &mut |label, value, kind| weak += list.add(label, value, kind))?;
    match out {
        Some(path) => write_private(path, list.to_text().as_bytes())?,
        None => output::print(&list.to_text())?,
    }
    context
        .note(&format!("{} values and parts of values are in the list, {weak} are weaker than 80 bits and left out", list.len()));
    Ok(exit::OK)
}

const HOOK: &str = "#!/bin/sh\n# Stops a commit that would hold a value of the vault.\nexec vault scan --staged --no-input\n";

fn install_hook(context: &Context) -> Result<u8> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = git::hooks()?.join("pre-commit");
    if std::fs::read_to_string(&path).is_ok_and(|text| text == HOOK) {
        context.note(&format!("{} was there already", path.display()));
        return Ok(exit::OK);
    }
    let fail = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::new(ErrorKind::Conflict, "exists", format!("there is another hook at {}", path.display()))
                .hint("let it run: vault scan --staged")
        }
        _ => Error::io(format!("write {}", path.display()), &error),
    };
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(fail)?;
    }
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, HOOK.as_bytes())).map_err(fail)?;
    context.note(&format!("made {}", path.display()));
    Ok(exit::OK)
}
