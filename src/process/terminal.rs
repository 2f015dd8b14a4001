//! Whose terminal this is, asked in a way that holds in containers too: in a PID namespace a process whose session or group began outside of it sees the
//! number 0 for them (pid_namespaces(7)), which a type for numbers of processes has no room for.

use std::os::fd::{AsFd, AsRawFd as _};

/// Whether this is the terminal that controls this process, and neither another one nor none.
pub fn is_controlling(stream: &impl AsFd) -> bool {
    // SAFETY: both only read numbers of the kernel, and say -1 for a descriptor that is no terminal.
    let (of_terminal, own) = unsafe { (libc::tcgetsid(stream.as_fd().as_raw_fd()), libc::getsid(0)) };
    // Only the controlling terminal has an answer at all, so that 0 here means a session from outside of the namespace, this process's.
    of_terminal >= 0 && of_terminal == own
}

/// Whether this process is of the group in the foreground of its terminal. Where that cannot be told, because the group began outside of the
/// namespace, it is not: whoever takes a terminal from the background is stopped.
pub fn is_in_foreground(terminal: &impl AsFd) -> bool {
    // SAFETY: as above.
    let (of_terminal, own) = unsafe { (libc::tcgetpgrp(terminal.as_fd().as_raw_fd()), libc::getpgrp()) };
    of_terminal > 0 && of_terminal == own
}
