//! What git keeps, by way of git itself: what is staged, and everything that can be reached from a reference.

use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::finder::Finder;
use super::report::Report;
use crate::process::UNLOCK_VARIABLES;
use crate::vault::{Error, ErrorKind, Result};

/// The form in which git gives each object: the rest is what the list of objects says beside its name.
const BATCH: &str = "--batch=%(objectname) %(objecttype) %(objectsize) %(rest)";

/// Looks through what is staged.
pub fn staged(finder: &mut Finder, report: &mut Report) -> Result<()> {
    let list =
        output(&["diff", "--cached", "--raw", "-z", "--no-abbrev", "--no-renames", "--diff-filter=ACMT", "--no-ext-diff"])?;
    let mut parts = list.split(|byte| *byte == 0);
    let mut objects = String::new();
    let mut paths = Vec::new();
    while let (Some(change), Some(path)) = (parts.next().filter(|part| !part.is_empty()), parts.next()) {
        let change = String::from_utf8_lossy(change).into_owned();
        let mut words = change.split(' ');
        // A submodule is a commit of another repository.
        if let (Some(mode), Some(object)) = (words.nth(1), words.nth(1))
            && mode != "160000"
        {
            objects.push_str(&format!("{object} {}\n", paths.len()));
            paths.push(String::from_utf8_lossy(path).into_owned());
        }
    }
    let mut contents =
        git(&["cat-file", BATCH, "--buffer"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(cannot)?;
    let mut stdin = contents.stdin.take();
    // On a thread of its own: git may write before it has read everything.
    let feeder = std::thread::spawn(move || stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(objects.as_bytes())));
    let name = |_: &str, rest: &str| rest.parse().ok().and_then(|number: usize| paths.get(number).cloned()).unwrap_or_default();
    objects_of(&mut contents, "blob", &name, finder, report)?;
    // If git did not take them, it has failed, and that is said.
    let _ = feeder.join();
    ended(contents, "cat-file")
}

/// Looks through the files, commit messages and tags of the whole history.
pub fn history(finder: &mut Finder, report: &mut Report) -> Result<()> {
    let blobs = ["rev-list", "--objects", "--all", "--filter=object:type=blob", "--filter-provided-objects"];
    piped(&blobs, "blob", &|_, rest| rest.to_owned(), finder, report)?;
    piped(&["rev-list", "--all"], "commit", &|object, _| format!("commit {}", &object[..12.min(object.len())]), finder, report)?;
    let tags = ["for-each-ref", "--format=%(objectname) %(refname:short)", "refs/tags"];
    piped(&tags, "tag", &|_, rest| format!("tag {rest}"), finder, report)
}

/// Where the repository keeps its hooks.
pub fn hooks() -> Result<PathBuf> {
    let path = output(&["rev-parse", "--git-path", "hooks"])?;
    Ok(PathBuf::from(String::from_utf8_lossy(&path).trim_end_matches('\n').to_owned()))
}

/// Looks through the objects of a kind that one git lists and another one opens. Their names go from the one to the other directly.
fn piped(list: &[&str], kind: &str, name: &dyn Fn(&str, &str) -> String, finder: &mut Finder, report: &mut Report) -> Result<()> {
    let mut lister = git(list).stdout(Stdio::piped()).spawn().map_err(cannot)?;
    let objects = lister.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let mut contents = git(&["cat-file", BATCH, "--buffer"]).stdin(objects).stdout(Stdio::piped()).spawn().map_err(cannot)?;
    objects_of(&mut contents, kind, name, finder, report)?;
    ended(lister, list[0])?;
    ended(contents, "cat-file")
}

fn objects_of(
    contents: &mut Child,
    kind: &str,
    name: &dyn Fn(&str, &str) -> String,
    finder: &mut Finder,
    report: &mut Report,
) -> Result<()> {
    let Some(stdout) = contents.stdout.take() else { return Ok(()) };
    let mut reader = BufReader::with_capacity(256 * 1024, stdout);
    let fail = |error: io::Error| Error::io("read from git", &error);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(fail)? == 0 {
            return Ok(());
        }
        let header = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
        let mut words = header.splitn(4, ' ');
        let (Some(object), Some(found), Some(Ok(size))) = (words.next(), words.next(), words.next().map(str::parse::<u64>))
        else {
            // An object that is not there, as in a partial clone.
            report.could_not_read();
            continue;
        };
        let mut content = (&mut reader).take(size);
        if found == kind {
            let place = name(object, words.next().unwrap_or_default());
            finder.look(&mut content, &mut |finding| report.add(&place, Some(object), finding)).map_err(fail)?;
            report.looked();
        }
        let rest = content.limit();
        io::copy(&mut (&mut reader).take(rest + 1), &mut io::sink()).map_err(fail)?;
    }
}

fn git(arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.args(arguments).stdin(Stdio::null());
    UNLOCK_VARIABLES.iter().for_each(|name| {
        command.env_remove(name);
    });
    command
}

fn output(arguments: &[&str]) -> Result<Vec<u8>> {
    let mut child = git(arguments).stdout(Stdio::piped()).spawn().map_err(cannot)?;
    let mut text = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_end(&mut text).map_err(|error| Error::io("read from git", &error))?;
    }
    ended(child, arguments[0])?;
    Ok(text)
}

fn cannot(error: io::Error) -> Error {
    Error::io("start git", &error)
}

fn ended(mut child: Child, what: &str) -> Result<()> {
    match child.wait().map_err(cannot)?.success() {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Io, "git_failed", format!("git {what} failed")).hint("what git said stands above")),
    }
}
