//! Walking a log frame by frame, from either end. What is handed on is framed soundly and not verified.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::frame::{Frame, LEAST, LINE, MOST, RecordHash, TAIL, hash_before};

/// Bytes that are read by position: a file, or a test's.
pub trait ReadAt: Sync {
    /// How many there are.
    fn length(&self) -> io::Result<u64>;
    /// Reads at `offset`; fewer bytes than asked for at the end.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

impl ReadAt for File {
    fn length(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_at(buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// Fills as much of `buffer` as there is at `offset`.
pub fn fill<R: ReadAt + ?Sized>(source: &R, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match source.read(offset + done as u64, &mut buffer[done..]) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// A frame, where it stands, and the hash before it.
#[derive(Clone, Copy)]
pub struct Located<'a> {
    /// Where it begins.
    pub offset: u64,
    /// The frame.
    pub frame: Frame<'a>,
    /// The hash of the record before; `None` for a base, which has none.
    pub previous: Option<RecordHash>,
}

/// From the last frame to the first.
pub struct Backward<'a, R: ReadAt + ?Sized> {
    source: &'a R,
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    start: u64,
    /// Where in the buffer the next frame ends.
    end: usize,
    block: usize,
}

/// The largest piece that is read at once on the way back.
const LARGEST: usize = 256 * 1024;
/// The smallest: a few records.
const SMALLEST: usize = 1024;

impl<'a, R: ReadAt + ?Sized> Backward<'a, R> {
    /// From `end`, where a frame ends.
    pub fn new(source: &'a R, end: u64) -> Self {
        Self { source, buffer: Vec::new(), start: end, end: 0, block: SMALLEST }
    }

    /// The frame before; `None` before the first, or where there is none.
    pub fn previous(&mut self) -> io::Result<Option<Located<'_>>> {
        let at = self.start + self.end as u64;
        if at <= LINE as u64 {
            return Ok(None);
        }
        if self.end < 4 {
            self.refill(LEAST)?;
        }
        let length = |this: &Self| match this.buffer[..this.end].last_chunk() {
            Some(bytes) => u32::from_le_bytes(*bytes) as usize,
            None => 0,
        };
        let wanted = length(self);
        if !(LEAST..=MOST).contains(&wanted) || (wanted as u64) > at - LINE as u64 {
            return Ok(None);
        }
        // With the hash of the one before.
        if self.end < wanted + TAIL && self.start > LINE as u64 {
            self.refill(wanted + TAIL)?;
        }
        let Some(frame) = Frame::last(&self.buffer[..self.end]) else { return Ok(None) };
        let begin = self.end - frame.length();
        let offset = self.start + begin as u64;
        let previous = (offset > LINE as u64 && begin >= TAIL).then(|| hash_before(&self.buffer[..begin]));
        self.end = begin;
        Ok(Some(Located { offset, frame, previous }))
    }

    /// Reads the piece that ends where the next frame does.
    fn refill(&mut self, least: usize) -> io::Result<()> {
        let at = self.start + self.end as u64;
        let room = usize::try_from(at - LINE as u64).unwrap_or(usize::MAX);
        let wanted = self.block.max(least).min(room);
        self.block = (self.block * 4).min(LARGEST);
        self.start = at - wanted as u64;
        self.buffer.resize(wanted, 0);
        self.end = fill(self.source, self.start, &mut self.buffer)?;
        if self.end < wanted {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// From a frame to the end.
pub struct Forward<'a, R: ReadAt + ?Sized> {
    source: &'a R,
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    start: u64,
    /// Where in the buffer the next frame begins.
    at: usize,
    filled: usize,
    previous: Option<RecordHash>,
}

impl<'a, R: ReadAt + ?Sized> Forward<'a, R> {
    /// From `offset`, where a frame begins, behind a record of this hash; `None` for the base of the log.
    pub fn new(source: &'a R, offset: u64, previous: Option<RecordHash>) -> Self {
        Self { source, buffer: vec![0; LARGEST], start: offset, at: 0, filled: 0, previous }
    }

    /// Where the next frame begins.
    pub fn offset(&self) -> u64 {
        self.start + self.at as u64
    }

    /// The next frame; `None` at the end, or where there is none.
    pub fn next(&mut self) -> io::Result<Option<Located<'_>>> {
        if self.filled - self.at < MOST {
            self.buffer.copy_within(self.at..self.filled, 0);
            (self.start, self.filled, self.at) = (self.start + self.at as u64, self.filled - self.at, 0);
            self.filled += fill(self.source, self.start + self.filled as u64, &mut self.buffer[self.filled..])?;
        }
        let Some(frame) = Frame::first(&self.buffer[self.at..self.filled]) else { return Ok(None) };
        let located = Located { offset: self.start + self.at as u64, frame, previous: self.previous };
        self.at += frame.length();
        self.previous = Some(frame.hash());
        Ok(Some(located))
    }
}

/// The end of the last frame before `end` whose hash holds, by what `holds` says of each candidate; the bytes behind it were torn.
pub fn last_sound<R: ReadAt + ?Sized>(
    source: &R,
    end: u64,
    holds: &mut dyn FnMut(Located<'_>) -> bool,
) -> io::Result<Option<(u64, u64, RecordHash)>> {
    let mut buffer = vec![0; LARGEST];
    let mut upper = end;
    loop {
        let lower = upper.saturating_sub(LARGEST as u64).max(LINE as u64);
        let size = usize::try_from(upper - lower).unwrap_or(LARGEST);
        let filled = fill(source, lower, &mut buffer[..size])?;
        let block = &buffer[..filled];
        let mut at = filled;
        // Whatever ends further to the front may begin before this block, unless it is the first one.
        let least = if lower == LINE as u64 { LEAST } else { MOST + TAIL };
        while at >= least {
            if let Some(frame) = Frame::last(&block[..at]) {
                let begin = at - frame.length();
                let previous = (begin >= TAIL).then(|| hash_before(&block[..begin]));
                let located = Located { offset: lower + begin as u64, frame, previous };
                if holds(located) {
                    return Ok(Some((lower + at as u64, frame.sequence(), frame.hash())));
                }
            }
            at -= 1;
        }
        if lower == LINE as u64 {
            return Ok(None);
        }
        upper = lower + at as u64;
    }
}
