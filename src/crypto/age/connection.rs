//! The conversation with a plugin (C2SP, age-plugin): stanzas to and fro over its standard streams.
//!
//! What a plugin writes is bounded in every direction before it is kept: the client of the `age` crate is not, and it also looks for the program by
//! itself, waits for ever, and prints the conversation, file key included, if a variable says so.

use std::io::{self, ErrorKind};

use age_core::format::{Stanza, is_arbitrary_string, read};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::{Zeroize as _, Zeroizing};

use super::callbacks::{Attached, Callbacks, PluginError, PluginProcess};

/// The longest stanza that a plugin may send: a post-quantum one takes some 2 KiB.
const MAX_STANZA: usize = 64 * 1024;
/// How many stanzas a plugin may send in one conversation.
const MAX_STANZAS: usize = 1000;
/// How much of what a plugin says is shown.
const MAX_TEXT: usize = 500;
const COLUMNS: usize = 64;

/// A running plugin.
pub(super) struct Connection<'a> {
    name: &'a str,
    callbacks: &'a dyn Callbacks,
    process: Box<dyn PluginProcess>,
    /// What was read and is not yet taken. It may hold a file key.
    buffer: Zeroizing<Vec<u8>>,
    filled: usize,
    received: usize,
    errors: Vec<String>,
}

impl<'a> Connection<'a> {
    /// Starts the plugin, if it may run.
    pub(super) fn open(name: &'a str, machine: &str, callbacks: &'a Attached) -> Result<Self, PluginError> {
        let callbacks = callbacks.get().ok_or_else(|| PluginError::NotAllowed(name.to_owned()))?;
        let process = callbacks.start(name, machine)?;
        // All the room at once: growing would leave copies behind.
        let buffer = Zeroizing::new(vec![0; MAX_STANZA]);
        Ok(Self { name, callbacks, process, buffer, filled: 0, received: 0, errors: Vec::new() })
    }

    /// Sends a stanza.
    pub(super) fn send(&mut self, command: &str, arguments: &[&str], body: &[u8]) -> Result<(), PluginError> {
        let encoded = Zeroizing::new(STANDARD_NO_PAD.encode(body));
        let head: usize = arguments.iter().map(|argument| argument.len() + 1).sum();
        // All the room at once: growing would leave copies of what may be a file key behind.
        let room = command.len() + head + encoded.len() + encoded.len() / COLUMNS + 8;
        let mut text = Zeroizing::new(String::with_capacity(room));
        text.push_str("-> ");
        text.push_str(command);
        for argument in arguments {
            text.push(' ');
            text.push_str(argument);
        }
        text.push('\n');
        let mut rest = encoded.as_str();
        while rest.len() >= COLUMNS {
            let (line, behind) = rest.split_at(COLUMNS);
            text.push_str(line);
            text.push('\n');
            rest = behind;
        }
        // The last line is shorter than the others, and empty if need be.
        text.push_str(rest);
        text.push('\n');
        let sent = self.process.write_all(text.as_bytes()).and_then(|()| self.process.flush());
        sent.map_err(|error| self.broken(&error))
    }

    /// The next stanza that this conversation is about. Questions and messages to the person are answered on the way, and what is not known is
    /// declined. `None`: the plugin is done.
    pub(super) fn receive(&mut self) -> Result<Option<Answer>, PluginError> {
        loop {
            let answer = self.next()?;
            let text = || format!("age-plugin-{}: {}", self.name, shown(&answer.0.body));
            match answer.0.tag.as_str() {
                "done" => return Ok(None),
                "msg" => {
                    self.callbacks.message(&text());
                    self.accept(b"")?;
                }
                "request-public" => {
                    let reply = self.callbacks.public(&text());
                    self.answer(reply.as_deref().map(str::as_bytes))?;
                }
                "request-secret" => {
                    let reply = self.callbacks.secret(&text());
                    self.answer(reply.as_ref().map(|secret| secret.as_bytes()))?;
                }
                "confirm" => {
                    let word = |at: usize| Some(shown(&STANDARD_NO_PAD.decode(answer.0.args.get(at)?).ok()?));
                    let reply = word(0).and_then(|yes| self.callbacks.confirm(&text(), &yes, word(1).as_deref()));
                    match reply {
                        Some(yes) => self.send("ok", &[if yes { "yes" } else { "no" }], b"")?,
                        None => self.send("fail", &[], b"")?,
                    }
                }
                "error" => {
                    self.errors.push(shown(&answer.0.body));
                    self.accept(b"")?;
                }
                "recipient-stanza" | "labels" | "file-key" => return Ok(Some(answer)),
                _ => self.send("unsupported", &[], b"")?,
            }
        }
    }

    /// Says that what came was taken.
    pub(super) fn accept(&mut self, body: &[u8]) -> Result<(), PluginError> {
        self.send("ok", &[], body)
    }

    /// The failure of this plugin.
    pub(super) fn failed(&self, what: impl Into<String>) -> PluginError {
        PluginError::Failed(self.name.to_owned(), what.into())
    }

    /// What the plugin said went wrong, if anything.
    pub(super) fn reported(&self) -> Option<PluginError> {
        let first = self.errors.first()?;
        Some(self.failed(if first.is_empty() { "failed".to_owned() } else { format!("failed: {first}") }))
    }

    fn answer(&mut self, reply: Option<&[u8]>) -> Result<(), PluginError> {
        match reply {
            Some(reply) => self.accept(reply),
            None => self.send("fail", &[], b""),
        }
    }

    fn next(&mut self) -> Result<Answer, PluginError> {
        self.received += 1;
        if self.received > MAX_STANZAS {
            return Err(self.failed("sends without end"));
        }
        let mut looked_at = 0;
        let length = loop {
            if let Some(length) = stanza_end(&self.buffer[..self.filled], &mut looked_at) {
                break length;
            }
            if self.filled == MAX_STANZA {
                return Err(self.failed("sent more than is taken"));
            }
            match self.process.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Err(self.reported().unwrap_or_else(|| self.failed("ended before it was done"))),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(&error)),
            }
        };
        let stanza = match read::age_stanza(&self.buffer[..length]) {
            Ok((b"", stanza)) => Stanza::from(stanza),
            _ => return Err(self.failed("does not speak the protocol of age plugins")),
        };
        self.buffer.copy_within(length..self.filled, 0);
        let left = self.filled - length;
        self.buffer[left..self.filled].zeroize();
        self.filled = left;
        Ok(Answer(stanza))
    }

    fn broken(&self, error: &io::Error) -> PluginError {
        match error.kind() {
            ErrorKind::TimedOut => self.failed("did not answer in time"),
            ErrorKind::BrokenPipe => self.failed("ended before it was done"),
            _ => self.failed(format!("cannot be talked to: {error}")),
        }
    }
}

/// A stanza of a plugin; its body is wiped, it may be a file key.
pub(super) struct Answer(pub(super) Stanza);

impl Answer {
    /// What it says, without the command and its first argument, which says which file it is about.
    pub(super) fn into_stanza(mut self) -> Option<Stanza> {
        if self.0.args.len() < 2 {
            return None;
        }
        let arguments = self.0.args.split_off(2);
        let tag = self.0.args.pop()?;
        Some(Stanza { tag, args: arguments, body: std::mem::take(&mut self.0.body) })
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.0.body.zeroize();
    }
}

/// Where the first stanza ends: behind the first line below the head that is not full. `from` is where a line begins that was not looked at yet.
fn stanza_end(bytes: &[u8], from: &mut usize) -> Option<usize> {
    while let Some(length) = bytes[*from..].iter().position(|byte| *byte == b'\n') {
        let head = *from == 0;
        *from += length + 1;
        if !head && length != COLUMNS {
            return Some(*from);
        }
    }
    None
}

/// A text of a plugin as it can be shown: of bounded length and without what steers a terminal.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect::<String>().trim().to_owned()
}

/// Whether a stanza of another age file may be passed on to a plugin as it is.
pub(super) fn is_sound(stanza: &Stanza) -> bool {
    is_arbitrary_string(&stanza.tag) && stanza.args.iter().all(is_arbitrary_string)
}
