//! Standard output and standard error.

use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write};

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

/// Standard output for bulk data, in large writes.
pub fn data() -> Result<BufWriter<StdoutLock<'static>>> {
    refuse_closed()?;
    Ok(BufWriter::with_capacity(64 * 1024, io::stdout().lock()))
}

/// Refuses to print where nobody can read it: on a standard output that was closed before the program began.
pub fn refuse_closed() -> Result<()> {
    match crate::process::stdout_was_closed() {
        true => Err(Error::io("write to standard output", &io::Error::other("it is closed"))),
        false => Ok(()),
    }
}

/// Standard output without a buffer: what is written leaves at once, and no copy of it stays.
pub fn unbuffered() -> Result<std::fs::File> {
    refuse_closed()?;
    let owned = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned();
    owned.map(std::fs::File::from).map_err(|error| Error::io("write to standard output", &error))
}

/// Prints text that is data. A reader who has seen enough is no error.
pub fn print(text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut out = data()?;
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
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
