//! Verifying a log: every byte, on all cores (FORMAT.md, section 7).
//!
//! A frame is checked against the hash that the frame before it states, so pieces of a log are checked apart from each other: what holds for each
//! frame and its predecessor holds for the whole.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

use super::AuditError;
use super::action::{Action, Status};
use super::anchor::Anchor;
use super::body::Record;
use super::frame::{Base, Chain, Closed, Frame, Keys, LINE, Line, MOST, RecordHash, TAIL, hash_before};
use super::read::{ReadAt, fill};
use crate::format::FormatError;
use crate::format::header::hex;
use crate::vault::AuditAnchor;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A stable word for what it is.
    pub code: &'static str,
    /// The record, if its number can be told.
    pub sequence: Option<u64>,
    /// Where it stands in the file; `None` for what is not there.
    pub offset: Option<u64>,
    /// What it is.
    pub message: String,
}

/// How far somebody knows the log to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Who says so.
    pub by: &'static str,
    /// The log.
    pub log: [u8; 16],
    /// The number of a record.
    pub sequence: u64,
    /// The hash of that record.
    pub hash: RecordHash,
}

impl Expected {
    /// What the vault itself says.
    pub fn of_vault(anchor: &AuditAnchor) -> Self {
        let AuditAnchor { log, sequence, hash, .. } = *anchor;
        Self { by: "the vault", log, sequence, hash }
    }

    /// What this machine remembers.
    pub fn of_machine(anchor: &Anchor) -> Self {
        let Anchor { log, sequence, hash, .. } = *anchor;
        Self { by: "this machine", log, sequence, hash }
    }
}

/// What verifying a log led to.
#[derive(Debug, Default)]
pub struct Verified {
    /// The log.
    pub log: [u8; 16],
    /// What stands for the records before the first, if that can be read.
    pub base: Option<Base>,
    /// How many records there are.
    pub records: u64,
    /// The number of the last.
    pub last: u64,
    /// The hash of the last.
    pub hash: RecordHash,
    /// How many stand in the clear.
    pub clear: u64,
    /// How many are sealed by keys that are not at hand: of these only the chain was verified.
    pub unread: u64,
    /// How many bytes there are.
    pub bytes: u64,
    /// What is wrong, in the order of the file.
    pub findings: Vec<Finding>,
    /// How many findings there are beyond those.
    pub more: u64,
}

/// So many findings are told one by one.
const MOST_FINDINGS: usize = 10_000;
/// What is read at once.
const BLOCK: usize = 1 << 20;

/// Verifies a log, on so many threads.
///
/// # Errors
/// If there is no log of this vault to be verified.
pub fn verify<R: ReadAt + ?Sized>(
    source: &R,
    keys: &Keys,
    expected: &[Expected],
    threads: usize,
) -> Result<Verified, AuditError> {
    let read = |offset, buffer: &mut [u8]| fill(source, offset, buffer).map_err(AuditError::io("read the audit log"));
    let mut start = vec![0; LINE + MOST];
    let filled = read(0, &mut start)?;
    let log = match Line::parse(&start[..filled], keys.id()) {
        Line::Own(log) => log,
        Line::Newer => return Err(AuditError::Newer),
        Line::Other => return Err(AuditError::Foreign("the audit log is that of another vault")),
        Line::Torn | Line::Foreign => return Err(AuditError::Foreign("what stands at the place of the audit log is none")),
    };
    let mut verified = Verified { log, ..Verified::default() };
    let mut chain = Chain::new(keys.id(), &log);
    let first = Frame::first(&start[LINE..filled]);
    let mut walk = Walk { offset: LINE as u64, sequence: None, previous: chain.start(), searching: false };
    match first {
        Some(frame) => {
            match chain.open_base(frame, keys) {
                Ok(base) if base.sequence > 0 || base.hash == chain.start() => verified.base = Some(base),
                Err(Closed::OtherKey) if !keys.are_complete() => {}
                _ => verified.findings.push(finding(
                    "base",
                    Some(frame.sequence()),
                    LINE as u64,
                    "what the log begins with does not hold",
                )),
            }
            walk = Walk {
                offset: (LINE + frame.length()) as u64,
                sequence: Some(frame.sequence()),
                previous: frame.hash(),
                searching: false,
            };
        }
        None => verified.findings.push(finding("base", None, LINE as u64, "the log does not begin with what it should")),
    }
    (verified.last, verified.hash) = (walk.sequence.unwrap_or(0), walk.previous);
    let check = Check { keys, log, wanted: expected };
    let (sender, receiver) = sync_channel::<Piece>(threads.max(1) * 2);
    let receiver = Mutex::new(receiver);
    let mut own = Vec::new();
    let result = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(|| check.work(&receiver))).collect();
        let mut walked = walk.all(source, &mut chain, &mut own, &mut |piece| sender.send(piece).is_ok());
        drop(sender);
        let mut parts = Vec::new();
        for worker in workers {
            match worker.join() {
                Ok(done) => parts.extend(done),
                Err(_) => walked = Err(AuditError::Foreign("the audit log could not be verified to its end")),
            }
        }
        walked.map(|end| (end, parts))
    });
    let (end, parts) = result?;
    verified.bytes = end;
    collect(&mut verified, own, parts, expected);
    Ok(verified)
}

/// Puts together what was found in all pieces.
fn collect(verified: &mut Verified, own: Vec<Finding>, mut parts: Vec<Part>, expected: &[Expected]) {
    parts.sort_by_key(|part| part.offset);
    let mut hits = Vec::new();
    verified.findings.extend(own);
    for part in parts {
        verified.records += part.records;
        verified.clear += part.clear;
        verified.unread += part.unread;
        verified.more += part.more;
        hits.extend(part.hits);
        (verified.last, verified.hash) = part.last;
        verified.findings.extend(part.findings);
    }
    verified.findings.sort_by_key(|finding| finding.offset);
    if verified.findings.len() > MOST_FINDINGS {
        verified.more += (verified.findings.len() - MOST_FINDINGS) as u64;
        verified.findings.truncate(MOST_FINDINGS);
    }
    let base = verified.base.map_or(0, |base| base.sequence);
    hits.extend(verified.base.map(|base| (base.sequence, base.hash)));
    for Expected { by, log, sequence, hash } in expected {
        let absent = |code, message: String| Finding { code, sequence: Some(*sequence), offset: None, message };
        let there = hits.iter().find(|(hit, _)| hit == sequence);
        if *log != verified.log {
            verified.findings.push(absent("other_log", format!("{by} knows the log {}, and this is another one", hex(log))));
        } else if *sequence > verified.last {
            let message = format!("the log ends at record {}, and {by} knows of record {sequence}", verified.last);
            verified.findings.push(absent("cut", message));
        } else if there.is_some_and(|(_, there)| there != hash) {
            verified.findings.push(absent("other_record", format!("record {sequence} is not the one that {by} knows")));
        } else if there.is_none() && *sequence > base {
            verified.findings.push(absent("missing", format!("record {sequence}, of which {by} knows, is not there")));
        }
    }
}

fn finding(code: &'static str, sequence: Option<u64>, offset: u64, message: impl Into<String>) -> Finding {
    Finding { code, sequence, offset: Some(offset), message: message.into() }
}

/// Whole frames, and what stands before them.
struct Piece {
    bytes: Vec<u8>,
    offset: u64,
    sequence: Option<u64>,
    previous: RecordHash,
}

/// Where the cutting of a log into pieces stands.
struct Walk {
    offset: u64,
    /// The number of the frame before; `None` if that is not known.
    sequence: Option<u64>,
    previous: RecordHash,
    /// Behind a place where no frame fits.
    searching: bool,
}

impl Walk {
    /// Cuts the rest of a log into pieces, by what the lengths say; returns where it ends.
    fn all<R: ReadAt + ?Sized>(
        mut self,
        source: &R,
        chain: &mut Chain,
        findings: &mut Vec<Finding>,
        send: &mut dyn FnMut(Piece) -> bool,
    ) -> Result<u64, AuditError> {
        let mut block = Vec::new();
        loop {
            let kept = block.len();
            block.resize(kept + BLOCK, 0);
            let read =
                fill(source, self.offset + kept as u64, &mut block[kept..]).map_err(AuditError::io("read the audit log"))?;
            block.truncate(kept + read);
            let is_end = read < BLOCK;
            block = self.cut(block, is_end, chain, findings, send);
            if is_end {
                let end = self.offset + block.len() as u64;
                if !block.is_empty() && !self.searching {
                    let message = format!("{} bytes at the end are no whole record", block.len());
                    findings.push(finding("torn", None, self.offset, message));
                }
                return Ok(end);
            }
        }
    }

    /// Sends the whole frames of a block, and returns what is left.
    fn cut(
        &mut self,
        mut block: Vec<u8>,
        is_end: bool,
        chain: &mut Chain,
        findings: &mut Vec<Finding>,
        send: &mut dyn FnMut(Piece) -> bool,
    ) -> Vec<u8> {
        loop {
            let mut at = 0;
            let before = (self.sequence, self.previous);
            while !self.searching
                && let Some(frame) = Frame::first(&block[at..])
            {
                (self.sequence, self.previous) = (Some(frame.sequence()), frame.hash());
                at += frame.length();
            }
            let rest = block.split_off(at);
            if at > 0 {
                let offset = self.offset;
                self.offset += at as u64;
                send(Piece { bytes: block, offset, sequence: before.0, previous: before.1 });
            }
            block = rest;
            if block.is_empty() || (!self.searching && !is_end && block.len() < MOST) {
                return block;
            }
            // No frame begins here. The next one that fits the hash before it is where it goes on.
            let found = resume(&block, chain);
            if !self.searching && (found.is_some() || !is_end) {
                let next = self.sequence.map(|sequence| sequence + 1);
                findings.push(finding("length", next, self.offset, "the length of a record does not hold"));
                self.searching = true;
            }
            match found {
                Some(at) => {
                    self.previous = hash_before(&block[..at]);
                    (self.sequence, self.searching) = (None, false);
                    block.drain(..at);
                    self.offset += at as u64;
                }
                None if is_end => return block,
                None => {
                    let gone = block.len() - (MOST + TAIL).min(block.len());
                    block.drain(..gone);
                    self.offset += gone as u64;
                    return block;
                }
            }
        }
    }
}

/// Where in these bytes the first frame begins whose hash holds behind the hash that stands before it.
fn resume(bytes: &[u8], chain: &mut Chain) -> Option<usize> {
    (TAIL..bytes.len())
        .find(|at| Frame::first(&bytes[*at..]).is_some_and(|frame| chain.holds(frame, &hash_before(&bytes[..*at]))))
}

/// What every piece is checked against.
struct Check<'a> {
    keys: &'a Keys,
    log: [u8; 16],
    wanted: &'a [Expected],
}

/// What was found in one piece.
struct Part {
    offset: u64,
    records: u64,
    clear: u64,
    unread: u64,
    last: (u64, RecordHash),
    hits: Vec<(u64, RecordHash)>,
    findings: Vec<Finding>,
    more: u64,
}

impl Check<'_> {
    fn work(&self, pieces: &Mutex<Receiver<Piece>>) -> Vec<Part> {
        let mut chain = Chain::new(self.keys.id(), &self.log);
        let mut parts = Vec::new();
        loop {
            let next = pieces.lock().map(|pieces| pieces.recv());
            let Ok(Ok(piece)) = next else { return parts };
            parts.push(self.piece(&mut chain, &piece));
        }
    }

    fn piece(&self, chain: &mut Chain, piece: &Piece) -> Part {
        let mut part = Part {
            offset: piece.offset,
            records: 0,
            clear: 0,
            unread: 0,
            last: (piece.sequence.unwrap_or(0), piece.previous),
            hits: Vec::new(),
            findings: Vec::new(),
            more: 0,
        };
        let (mut at, mut previous, mut before) = (0, piece.previous, piece.sequence);
        while let Some(frame) = Frame::first(&piece.bytes[at..]) {
            let (sequence, hash) = (frame.sequence(), frame.hash());
            if let Some((code, message)) = self.frame(chain, frame, &previous, before, &mut part) {
                if part.findings.len() < MOST_FINDINGS {
                    part.findings.push(finding(code, Some(sequence), piece.offset + at as u64, message));
                } else {
                    part.more += 1;
                }
            }
            if self.wanted.iter().any(|wanted| wanted.sequence == sequence) {
                part.hits.push((sequence, hash));
            }
            part.records += 1;
            part.last = (sequence, hash);
            (previous, before) = (hash, Some(sequence));
            at += frame.length();
        }
        part
    }

    /// What is wrong with a frame, if something is.
    fn frame(
        &self,
        chain: &mut Chain,
        frame: Frame<'_>,
        previous: &RecordHash,
        before: Option<u64>,
        part: &mut Part,
    ) -> Option<(&'static str, String)> {
        if let Some(before) = before.filter(|before| before.checked_add(1) != Some(frame.sequence())) {
            return Some(("sequence", format!("record {} stands behind record {before}", frame.sequence())));
        }
        if !chain.holds(frame, previous) {
            return Some(("hash", "the record, or the one before it, was altered".to_owned()));
        }
        let body = match chain.open(frame, previous, self.keys) {
            Ok(body) => body,
            Err(Closed::OtherKey) => {
                part.unread += 1;
                let none = ("key", "the record is sealed by a key that the vault never had".to_owned());
                return self.keys.are_complete().then_some(none);
            }
            Err(Closed::NotAuthentic) => return Some(("seal", "the record was not made by a holder of its key".to_owned())),
        };
        let record = match Record::decode(body) {
            Ok(record) => record,
            Err(FormatError::Newer(message)) => return Some(("newer", message)),
            Err(_) => return Some(("body", "the record is not of the expected shape".to_owned())),
        };
        if frame.is_clear() {
            part.clear += 1;
            if record.action != Action::Unlock.word() || record.status == Status::Ok.word() {
                return Some(("clear", "the record stands in the clear, and should not".to_owned()));
            }
        }
        let detail = || record.detail.as_deref().unwrap_or_default().to_owned();
        if record.action == Action::AuditRecovered.word() {
            return Some(("recovered", detail()));
        }
        (record.action == Action::AuditMismatch.word()).then(|| ("mismatch", detail()))
    }
}
