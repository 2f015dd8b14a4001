//! Removing records from the front, so that what stays can be verified as before (FORMAT.md, section 6).

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::AuditError;
use super::action::{Action, Status};
use super::anchor;
use super::body::Record;
use super::event::{Actor, Event};
use super::frame::{Base, Chain, Frame, Keys, LINE, Line, MOST, line};
use super::log::Log;
use super::read::{Forward, Located, fill};
use super::settings::Settings;
use super::verify::{Expected, verify};
use crate::format::header::hex;
use crate::store::file::storage::{sync_directory, take_after};

/// What stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// Records from this time on, in milliseconds, with all that were appended behind the first of them.
    Since(u64),
    /// The last so many records.
    Last(u64),
}

/// How records are removed.
#[derive(Debug, Clone, Copy)]
pub struct Prune {
    /// What stays.
    pub stay: Stay,
    /// Only say what would go.
    pub dry_run: bool,
    /// Also where the log does not hold: what is evidence of that may go as well.
    pub force: bool,
    /// Take half at most: a clock that is wrong must not empty a log.
    pub no_more_than_half: bool,
}

/// What pruning led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// How many records went.
    pub removed: u64,
    /// How many stayed.
    pub kept: u64,
}

/// Where a log is cut.
struct Cut {
    /// Where the first frame begins that stays.
    offset: u64,
    base: Base,
    removed: u64,
    kept: u64,
}

/// Removes records from the front of a log, and records that. `known` is what others than this machine know, of this log or of others.
///
/// # Errors
/// [`AuditError::Unsound`] if the log does not hold, or is not what is known of it.
pub fn prune(
    settings: Settings,
    keys: Keys,
    plan: Prune,
    known: &[Expected],
    now: u64,
    actor: &Actor,
) -> Result<Pruned, AuditError> {
    let mut log = Log::new(Settings { create_like: None, ..settings.clone() }, keys);
    let (file, metadata) = log.locked()?;
    let keys = log.take_keys()?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let machine = settings.anchor.as_deref().and_then(anchor::load);
    let known = known.iter().copied().filter(|known| Some(known.log) == log_of(&file, &keys));
    let expected: Vec<Expected> = machine.as_ref().map(Expected::of_machine).into_iter().chain(known).collect();
    let verified = verify(&file, &keys, &expected, threads)?;
    let noted = ["recovered", "mismatch"];
    if !plan.force && verified.findings.iter().any(|finding| !noted.contains(&finding.code)) {
        return Err(AuditError::Unsound);
    }
    let (id, cut) = find(&file, &keys, &plan, now)?;
    let pruned = Pruned { removed: cut.removed, kept: cut.kept };
    if plan.dry_run || cut.removed == 0 {
        return Ok(pruned);
    }
    let temporary = temporary(&settings.log);
    let written = write(&file, &temporary, &metadata, &keys, &id, &cut).and_then(|new| {
        let again = verify(&new, &keys, &[], threads)?;
        let same = again.records == cut.kept && again.last == verified.last && again.hash == verified.hash;
        let sound = plan.force || again.findings.iter().all(|finding| noted.contains(&finding.code));
        if same && sound { Ok(()) } else { Err(AuditError::Unsound) }
    });
    let replaced = written
        .and_then(|()| std::fs::rename(&temporary, &settings.log).map_err(AuditError::io("put the new audit log in its place")));
    if replaced.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    replaced?;
    sync_directory(&settings.log).map_err(AuditError::io("sync the directory of the audit log"))?;
    // The lock went with the old file; whoever waits for it finds another one at the path.
    drop(file);
    let mut events = Vec::new();
    // What does not fit and goes is written down: nothing that stays could tell of it.
    for Expected { by, log, sequence, hash } in &expected {
        let is_wrong = verified.findings.iter().any(|finding| finding.offset.is_none() && finding.sequence == Some(*sequence));
        if is_wrong && *log == verified.log && *sequence < cut.base.sequence {
            let (log, hash) = (hex(log), hex(hash));
            let detail =
                format!("{by} expected record {sequence} of log {log} with hash {hash}; it was another one, and was removed");
            events.push(Event::new(Action::AuditMismatch).ended(Status::Error, None).detail(detail));
        }
    }
    events.push(
        Event::new(Action::AuditPrune).detail(format!("{} records up to number {} were removed", cut.removed, cut.base.sequence)),
    );
    log.give_keys(keys).append(now, actor, &events)?;
    Ok(pruned)
}

/// The id of a log.
fn log_of(file: &File, keys: &Keys) -> Option<[u8; 16]> {
    let mut start = [0; LINE];
    fill(file, 0, &mut start).ok()?;
    match Line::parse(&start, keys.id()) {
        Line::Own(log) => Some(log),
        _ => None,
    }
}

/// Where to cut.
fn find(file: &File, keys: &Keys, plan: &Prune, now: u64) -> Result<([u8; 16], Cut), AuditError> {
    let failed = || AuditError::io("read the audit log");
    let mut start = vec![0; LINE + MOST];
    let filled = fill(file, 0, &mut start).map_err(failed())?;
    let Line::Own(id) = Line::parse(&start[..filled], keys.id()) else { return Err(AuditError::Unsound) };
    let base = Frame::first(&start[LINE..filled]).ok_or(AuditError::Unsound)?;
    let begin = (LINE + base.length()) as u64;
    let mut chain = Chain::new(keys.id(), &id);
    let mut total = 0;
    if plan.no_more_than_half || matches!(plan.stay, Stay::Last(_)) {
        let mut walk = Forward::new(file, begin, Some(base.hash()));
        while walk.next().map_err(failed())?.is_some() {
            total += 1;
        }
    }
    let mut cut =
        Cut { offset: begin, base: Base { time: now, sequence: base.sequence(), hash: base.hash() }, removed: 0, kept: 0 };
    let mut walk = Forward::new(file, begin, Some(base.hash()));
    while let Some(Located { offset, frame, previous }) = walk.next().map_err(failed())? {
        let goes = cut.kept == 0
            && (!plan.no_more_than_half || (cut.removed + 1) * 2 <= total)
            && match plan.stay {
                Stay::Last(count) => cut.removed + count < total,
                Stay::Since(time) => {
                    let body = previous.and_then(|previous| chain.open(frame, &previous, keys).ok());
                    // What does not open stays unless something older behind it goes: it says nothing about its time.
                    body.and_then(|body| Record::decode(body).ok()).is_some_and(|record| record.time < time)
                }
            };
        if goes {
            cut.removed += 1;
            cut.offset = offset + frame.length() as u64;
            (cut.base.sequence, cut.base.hash) = (frame.sequence(), frame.hash());
        } else {
            cut.kept += 1;
        }
    }
    Ok((id, cut))
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".prune");
    path.with_file_name(name)
}

/// Writes the new log beside the old one, and makes it durable.
fn write(file: &File, temporary: &Path, old: &Metadata, keys: &Keys, id: &[u8; 16], cut: &Cut) -> Result<File, AuditError> {
    let failed = || AuditError::io("write the new audit log");
    // Under the lock, so what stands there was left by one that was killed.
    match std::fs::remove_file(temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed()(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut new = options.read(true).write(true).create_new(true).mode(0o600).open(temporary).map_err(failed())?;
    take_after(&new, old).map_err(failed())?;
    let mut head = line(keys.id(), id).into_bytes();
    Chain::new(keys.id(), id).write_base(keys.newest(), &cut.base, &mut head)?;
    new.write_all(&head).map_err(failed())?;
    let mut rest = file.try_clone().map_err(failed())?;
    rest.seek(SeekFrom::Start(cut.offset)).map_err(failed())?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match rest.read(&mut buffer).map_err(failed())? {
            0 => break,
            count => new.write_all(&buffer[..count]).map_err(failed())?,
        }
    }
    new.sync_all().map_err(failed())?;
    Ok(new)
}
