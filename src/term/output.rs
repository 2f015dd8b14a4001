//! Standard output and standard error.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd;

use zeroize::Zeroize as _;

use crate::vault::{Error, Result};

/// Whether standard output is a terminal.
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether standard error is a terminal.
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether standard input is a terminal.
pub fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Whether standard input is closed, or nothing: a closed one is `/dev/null` by the time that `main` runs.
pub fn stdin_is_nothing() -> bool {
    use rustix::fs::{FileType, fstat, stat};
    match (fstat(io::stdin()), stat("/dev/null")) {
        (Ok(stdin), Ok(null)) => {
            FileType::from_raw_mode(stdin.st_mode) == FileType::CharacterDevice && stdin.st_rdev == null.st_rdev
        }
        _ => false,
    }
}

/// Standard output for bulk data, in large writes; what is left unwritten when an error ends the command stays unwritten.
pub fn data() -> Result<Data> {
    Ok(Data { out: unbuffered()?, held: Vec::new() })
}

/// A buffer before standard output that wipes what was in it.
pub struct Data {
    out: File,
    held: Vec<u8>,
}

/// As much is held before it is written.
const HELD: usize = 64 * 1024;

impl Write for Data {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.held.len() + bytes.len() > HELD {
            self.flush()?;
        }
        if bytes.len() >= HELD {
            return self.out.write(bytes);
        }
        if self.held.capacity() == 0 {
            // Room for all of it from the start: growing would leave copies behind unwiped.
            self.held.reserve_exact(HELD);
        }
        self.held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.out.write_all(&self.held);
        // Not the room behind it, which nothing was in: wiping it would touch as many pages.
        self.held.as_mut_slice().zeroize();
        self.held.clear();
        written
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        self.held.as_mut_slice().zeroize();
    }
}

/// Refuses to print where nobody can read it: on a standard output that was closed before the program began.
pub fn refuse_closed() -> Result<()> {
    match crate::process::stdout_was_closed() {
        true => Err(Error::io("write to standard output", &io::Error::other("it is closed"))),
        false => Ok(()),
    }
}

/// Standard output without a buffer: what is written leaves at once, and no copy of it stays.
pub fn unbuffered() -> Result<File> {
    refuse_closed()?;
    let owned = AsFd::as_fd(&io::stdout()).try_clone_to_owned();
    owned.map(File::from).map_err(|error| Error::io("write to standard output", &error))
}

/// Prints a value in one go and unbuffered: no copy of it stays in a buffer. A reader who has seen enough is no error.
pub fn value(value: &[u8], newline: bool) -> Result<()> {
    let mut out = unbuffered()?;
    let written = out.write_all(value).and_then(|()| if newline { out.write_all(b"\n") } else { Ok(()) });
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::io("write to standard output", &error)),
        _ => Ok(()),
    }
}

/// Columns and rows of the terminal that standard output is.
pub fn stdout_size() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    // A terminal that does not know its size says nothing.
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// Prints text that is data. A reader who has seen enough is no error.
pub fn print(text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    match unbuffered()?.write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::io("write to standard output", &error)),
        _ => Ok(()),
    }
}

/// Text from a vault as a terminal may show it: what could steer the terminal is shown as its escape.
pub fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// Writes a line to standard error. If that cannot be written there is nobody left to tell.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Rows as columns of equal width, two blanks apart; the last column is not padded.
pub fn columns(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (index, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(index) {
                Some(most) => *most = width.max(*most),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
