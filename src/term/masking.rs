//! Copies a stream with values replaced.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

use crate::leaks::Masker;

/// How long what may be the beginning of a value waits for more.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Copies until the end of `from`; without `until`, nothing else ends it. Once something is there to be read from `until`, it ends when nothing came
/// for a second.
pub fn pump(from: &impl AsFd, to: &mut File, mut masker: Masker, until: Option<&File>) -> io::Result<()> {
    const GRACE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
    let mut buffer = Zeroizing::new(vec![0; 64 * 1024]);
    let mut out = Vec::with_capacity(64 * 1024);
    let mut ending = false;
    loop {
        let holding = masker.is_holding();
        let mut watched = vec![PollFd::new(from, PollFlags::IN)];
        if let Some(until) = until.filter(|_| !ending) {
            watched.push(PollFd::new(until, PollFlags::IN));
        }
        let timeout = if holding { Some(&PATIENCE) } else { ending.then_some(&GRACE) };
        let ready = match poll(&mut watched, timeout) {
            Err(rustix::io::Errno::INTR) => continue,
            ready => ready?,
        };
        ending |= watched.get(1).is_some_and(|until| !until.revents().is_empty());
        if ready == 0 && holding {
            masker.release(&mut out);
        } else if ready == 0 {
            break;
        } else if !watched[0].revents().is_empty() {
            match rustix::io::read(from, &mut buffer[..]) {
                // The last program at a pseudo-terminal has gone.
                Ok(0) | Err(rustix::io::Errno::IO) => break,
                Ok(length) => masker.push(&buffer[..length], &mut out),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !write(to, &mut out)? {
            return Ok(());
        }
    }
    masker.finish(&mut out);
    write(to, &mut out).map(drop)
}

/// Writes all of it; false if whoever read it has seen enough.
fn write(to: &mut File, out: &mut Vec<u8>) -> io::Result<bool> {
    let written = to.write_all(out);
    out.clear();
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}
