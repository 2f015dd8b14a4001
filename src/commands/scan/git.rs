//! What git keeps, by way of git itself: what is staged, and everything that can be reached from a reference.
//!
//! Only by its plumbing: what `git diff` and `git log` print is subject to settings.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::finder::Finder;
use super::names;
use super::report::Report;
use crate::process::UNLOCK_VARIABLES;
use crate::vault::{Error, ErrorKind, Result};

/// The form in which git gives each object: the rest is what the list of objects says beside its name.
const BATCH: &str = "--batch=%(objectname) %(objecttype) %(objectsize) %(rest)";

/// Looks through what is staged.
pub fn staged(finder: &mut Finder, report: &mut Report) -> Result<()> {
    // Before the first commit, against the empty tree.
    let head = git(&["rev-parse", "--verify", "--quiet", "HEAD^{tree}"]).output().map_err(cannot)?;
    let base = if head.status.success() { head.stdout } else { output(&["hash-object", "-t", "tree", "--stdin"])? };
    let base = String::from_utf8_lossy(&base).trim().to_owned();
    let list = output(&["diff-index", "--cached", "--raw", "-z", "--no-abbrev", "--no-renames", "--diff-filter=ACMT", &base])?;
    let mut parts = list.split(|byte| *byte == 0);
    let mut objects = String::new();
    let mut paths = Vec::new();
    while let (Some(change), Some(path)) = (parts.next().filter(|part| !part.is_empty()), parts.next()) {
        names::look(finder, report, "", path, None);
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

/// Looks through the files, names, commit messages and tags of the whole history, and the settings of the repository.
pub fn history(finder: &mut Finder, report: &mut Report) -> Result<()> {
    let blobs = ["rev-list", "--objects", "--all", "--filter=object:type=blob", "--filter-provided-objects"];
    piped(&blobs, "blob", &|_, rest| rest.to_owned(), finder, report)?;
    piped(&["rev-list", "--all"], "commit", &|object, _| format!("commit {}", &object[..12.min(object.len())]), finder, report)?;
    let tags = ["for-each-ref", "--format=%(objectname) %(refname:short)", "refs/tags"];
    piped(&tags, "tag", &|_, rest| format!("tag {rest}"), finder, report)?;
    let references = output(&["for-each-ref", "--format=%(refname)"])?;
    for name in references.split(|byte| *byte == b'\n') {
        names::look(finder, report, "ref ", name, None);
    }
    changes(finder, report)?;
    settings(finder, report)
}

/// Goes through what each commit changed, the oldest first: looks at the names of files, and tells which commit brought what was found, and where.
fn changes(finder: &mut Finder, report: &mut Report) -> Result<()> {
    let mut wanted = report.objects();
    let mut seen = HashSet::new();
    let mut commits = git(&["rev-list", "--all", "--topo-order", "--reverse"]).stdout(Stdio::piped()).spawn().map_err(cannot)?;
    let list = commits.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let arguments =
        ["diff-tree", "--stdin", "-r", "-m", "--root", "--raw", "-z", "--no-abbrev", "--no-renames", "--diff-filter=AMT"];
    let mut changes = git(&arguments).stdin(list).stdout(Stdio::piped()).spawn().map_err(cannot)?;
    if let Some(stdout) = changes.stdout.take() {
        let mut reader = BufReader::with_capacity(256 * 1024, stdout);
        let mut commit = String::new();
        // A commit; or a change, and the name of what was changed.
        while let Some(first) = word(&mut reader)? {
            let Some(change) = first.strip_prefix(b":") else {
                commit = String::from_utf8_lossy(&first).into_owned();
                continue;
            };
            let object = change.split(|byte| *byte == b' ').nth(3).map(|object| String::from_utf8_lossy(object).into_owned());
            let name = word(&mut reader)?.unwrap_or_default();
            if let Some(numbers) = object.and_then(|object| wanted.remove(&object)) {
                let place = names::shown(finder, &name);
                numbers.into_iter().for_each(|number| report.set_commit(number, &commit, &place));
            }
            if !seen.contains(&name) {
                names::look(finder, report, "", &name, Some(&commit));
                seen.insert(name);
            }
        }
    }
    ended(commits, "rev-list")?;
    ended(changes, "diff-tree")
}

/// What comes up to the next zero.
fn word(reader: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    let mut word = Vec::new();
    let length = reader.read_until(0, &mut word).map_err(|error| Error::io("read from git", &error))?;
    word.pop_if(|last| *last == 0);
    Ok((length > 0).then_some(word))
}

/// Addresses with tokens in them.
fn settings(finder: &mut Finder, report: &mut Report) -> Result<()> {
    let path = output(&["rev-parse", "--git-path", "config"])?;
    let path = String::from_utf8_lossy(&path).trim_end_matches('\n').to_owned();
    let Ok(mut file) = File::open(&path) else { return Ok(()) };
    let place = names::shown(finder, path.as_bytes());
    finder
        .look(&mut file, &mut |finding| report.add(&place, None, finding))
        .map_err(|error| Error::io("read git's settings", &error))?;
    report.looked();
    Ok(())
}

/// What git knows of a repository: a path that `rev-parse` answers with.
pub fn place(what: &[&str]) -> Result<PathBuf> {
    let path = output(&[&["rev-parse"], what].concat())?;
    Ok(PathBuf::from(OsStr::from_bytes(path.strip_suffix(b"\n").unwrap_or(&path))))
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
            let mut findings = Vec::new();
            finder.look(&mut content, &mut |finding| findings.push(finding)).map_err(fail)?;
            if !findings.is_empty() {
                let place = names::shown(finder, name(object, words.next().unwrap_or_default()).as_bytes());
                findings.into_iter().for_each(|finding| report.add(&place, Some(object), finding));
            }
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
