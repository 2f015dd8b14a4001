//! Exit codes: the one map from kinds of errors, and the table that `vault help exit-codes` prints.

use crate::vault::{Error, ErrorKind};

/// Everything went as asked.
pub const OK: u8 = 0;
/// A command found what it looks for: differences, leaks.
pub const FINDINGS: u8 = 10;

/// `run` could not start the program because it is not executable.
pub const NOT_EXECUTABLE: u8 = 126;
/// `run` could not start the program because it is not there.
pub const COMMAND_NOT_FOUND: u8 = 127;

/// A person left the question which entry is meant: what a shell says of a command that was interrupted.
pub const NOT_CHOSEN: u8 = 130;

/// `run` was asked to end before its program began.
pub const INTERRUPTED: u8 = 130;

/// The exit code of an error: that of its kind, but for what a shell says in its own numbers.
pub fn of(error: &Error) -> u8 {
    match error.code() {
        "not_executable" => NOT_EXECUTABLE,
        "command_not_found" => COMMAND_NOT_FOUND,
        "not_chosen" => NOT_CHOSEN,
        // Nothing is broken: a check of the new value found that it does not do.
        "rotation_failed" | "rotation_stuck" => FINDINGS,
        _ => code(error.kind()),
    }
}

/// The exit code of a kind of error.
pub fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Internal => 1,
        ErrorKind::Usage => 2,
        ErrorKind::NotFound => 3,
        ErrorKind::Locked => 4,
        ErrorKind::NoVault => 5,
        ErrorKind::Conflict => 6,
        ErrorKind::Busy => 7,
        ErrorKind::Damaged => 8,
        ErrorKind::Expired => 9,
        ErrorKind::Stale => 11,
        ErrorKind::NotPermitted => 12,
        ErrorKind::Io => 13,
        ErrorKind::Network => 14,
    }
}

/// The stable table.
pub const TABLE: &str = "\
Exit codes of vault. They do not change.

   0  ok
   1  internal error
   2  usage: the command line, a name or a value is not well-formed
   3  not found: entry, version or field
   4  cannot unlock: wrong or missing key
   5  no such vault
   6  conflict: it exists already, or --if-version did not match
   7  busy: another process held the lock until --lock-timeout was over
   8  damaged, tampered with, or of a newer format
   9  expired
  10  findings: scan, check, diff --exit-code, key exposure, doctor, list --due, a rotation that failed or is due
  11  older than this machine has seen
  12  not permitted: limited key, untrusted key or slot, policy
  13  input or output failed
  14  network or remote

`vault run` ends with the code of the program that it started, 128 + n if a signal n ended it, 126 if the program cannot be
executed, 127 if there is none. A list to choose an entry from that is left with Escape or Ctrl-C ends with 130.
";
