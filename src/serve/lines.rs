//! What the server says on standard error: a line for each request and each failure, as text or JSON. Never a name of an entry, never a value.
//!
//! A thread of its own writes: whoever reads the log may stop reading, and requests go on. What does not find room meanwhile is lost, and counted.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use axum::http::Method;
use prometheus_client::metrics::counter::Counter;
use serde_json::json;

use super::committer::now;
use crate::vault::Error;

/// How many lines may wait to be written.
const WAITING: usize = 4096;
/// How many bytes are one write at most; the last line of them may go beyond.
const TOGETHER: usize = 32 << 10;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
    /// Failures only.
    Quiet,
}

/// A request that was answered.
pub struct Line<'a> {
    /// Its number.
    pub request: &'a str,
    /// Its method.
    pub method: &'a Method,
    /// The template of its route: names of entries stand in paths.
    pub route: &'a str,
    /// The status of the response.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
    /// From where it came.
    pub client: Option<IpAddr>,
    /// Who asked.
    pub credential: Option<&'a str>,
    /// The code of the error.
    pub code: Option<&'a str>,
}

/// Writes lines.
#[derive(Debug, Clone)]
pub struct Lines {
    format: LineFormat,
    queue: SyncSender<Message>,
    dropped: Counter,
}

#[derive(Debug)]
enum Message {
    Line(String),
    /// Everything before this is written when the sender is dropped.
    Mark {
        _reached: SyncSender<()>,
    },
}

impl Lines {
    /// Lines on standard error.
    ///
    /// # Errors
    /// If there is no standard error, or no thread to write to it.
    pub fn start(format: LineFormat) -> io::Result<Self> {
        Self::to(File::from(io::stderr().as_fd().try_clone_to_owned()?), format)
    }

    /// Lines in another place.
    pub fn to(mut place: File, format: LineFormat) -> io::Result<Self> {
        let (queue, waiting) = sync_channel(WAITING);
        let dropped = Counter::default();
        let lost = dropped.clone();
        std::thread::Builder::new().name("lines".to_owned()).spawn(move || write_all(&mut place, format, &waiting, &lost))?;
        Ok(Self { format, queue, dropped })
    }

    /// How many lines found no room.
    pub fn dropped(&self) -> Counter {
        self.dropped.clone()
    }

    /// Waits until what was said is written, but not for ever.
    pub fn finish(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let (sender, reached) = sync_channel(0);
        let mut mark = Message::Mark { _reached: sender };
        while let Err(TrySendError::Full(again)) = self.queue.try_send(mark) {
            if Instant::now() >= end {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
            mark = again;
        }
        // The end of the channel is what is waited for.
        let _ = reached.recv_timeout(end.saturating_duration_since(Instant::now()));
    }

    fn say(&self, line: String) {
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.dropped.inc();
        }
    }

    /// A request was answered.
    pub fn request(&self, line: &Line<'_>) {
        let microseconds = u64::try_from(line.took.as_micros()).unwrap_or(u64::MAX);
        if self.format == LineFormat::Quiet {
            return;
        }
        let client = line.client.map_or_else(|| "local".to_owned(), |address| address.to_string());
        match self.format {
            LineFormat::Quiet => {}
            LineFormat::Json => self.say(
                json!({
                    "time": now(), "level": "info", "event": "request", "request": line.request, "method": line.method.as_str(),
                    "route": line.route, "status": line.status, "microseconds": microseconds, "client": client,
                    "credential": line.credential, "code": line.code,
                })
                .to_string(),
            ),
            LineFormat::Text => self.say(format!(
                "{} {} {} {} {microseconds}us {client} {}{}",
                line.request,
                line.method,
                line.route,
                line.status,
                line.credential.unwrap_or("-"),
                line.code.map_or_else(String::new, |code| format!(" {code}")),
            )),
        }
    }

    /// Something failed inside. Messages of errors hold no secret, and are not sent to clients because they tell of files.
    pub fn error(&self, error: &Error) {
        self.failure(error.code(), &error.to_string());
    }

    /// Something failed that is no error of the vault.
    pub fn failure(&self, code: &str, message: &str) {
        self.say(failure(self.format, code, message));
    }

    /// Something that whoever runs the server should know.
    pub fn notice(&self, message: &str) {
        self.say(match self.format {
            LineFormat::Json => json!({ "time": now(), "level": "info", "event": "notice", "message": message }).to_string(),
            LineFormat::Text | LineFormat::Quiet => message.escape_debug().to_string(),
        });
    }
}

fn failure(format: LineFormat, code: &str, message: &str) -> String {
    match format {
        LineFormat::Json => {
            json!({ "time": now(), "level": "error", "event": "failure", "code": code, "message": message }).to_string()
        }
        LineFormat::Text | LineFormat::Quiet => format!("error: {code}: {}", message.escape_debug()),
    }
}

fn write_all(place: &mut File, format: LineFormat, waiting: &Receiver<Message>, dropped: &Counter) {
    let (mut told, mut text, mut marks) = (0, String::new(), Vec::new());
    while let Ok(first) = waiting.recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => {
                    text += &line;
                    text.push('\n');
                }
                mark @ Message::Mark { .. } => marks.push(mark),
            }
            next = if text.len() < TOGETHER { waiting.try_recv().ok() } else { None };
        }
        let lost = dropped.get();
        if lost > told {
            text += &failure(format, "lines_lost", &format!("{} lines found no room and were lost", lost - told));
            text.push('\n');
            told = lost;
        }
        // A log that nobody reads any more stops nothing.
        let _ = place.write_all(text.as_bytes());
        text.clear();
        marks.clear();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_reader_that_stops_stops_nobody() {
        let (reader, writer) = std::io::pipe().unwrap();
        let lines = Lines::to(File::from(std::os::fd::OwnedFd::from(writer)), LineFormat::Text).unwrap();
        let began = Instant::now();
        for number in 0..20_000 {
            lines.notice(&format!("line {number} {}", "x".repeat(100)));
        }
        lines.finish(Duration::from_millis(100));
        assert!(began.elapsed() < Duration::from_secs(5));
        let lost = lines.dropped().get();
        assert!(lost > 10_000, "{lost}");
        // Who reads again sees how many are missing.
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            File::from(std::os::fd::OwnedFd::from(reader)).read_to_string(&mut text).unwrap();
            text
        });
        lines.finish(Duration::from_secs(10));
        drop(lines);
        let text = reading.join().unwrap();
        let said = text.lines().filter(|line| line.starts_with("line ")).count() as u64;
        let missing: u64 = text
            .lines()
            .filter_map(|line| line.strip_prefix("error: lines_lost: ")?.split(' ').next()?.parse::<u64>().ok())
            .sum();
        assert_eq!((said + lost, missing), (20_000, lost));
    }
}
