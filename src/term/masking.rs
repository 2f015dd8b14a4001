//! Copies a stream with values replaced.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

use crate::leaks::Masker;

/// How long what may be the beginning of a value waits for more.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// How long what comes after the end is waited for, and for how long at most it is copied.
const GRACE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// Copies until the end of `from`; without `until`, nothing else ends it. Once something is there to be read from `until`, the program has ended, and
/// only what it left behind in the background can still write: what is on its way by then is copied, however long that takes, and then what comes
/// until a second brings nothing, for five seconds at most.
pub fn pump(from: &impl AsFd, to: &mut File, mut masker: Masker, until: Option<&File>) -> io::Result<()> {
    let mut buffer = Zeroizing::new(vec![0; 64 * 1024]);
    let mut out = Zeroizing::new(Vec::with_capacity(64 * 1024));
    // How much is on its way, and when to stop.
    let mut ending: Option<(u64, Instant)> = None;
    loop {
        let holding = masker.is_holding();
        let mut watched = vec![PollFd::new(from, PollFlags::IN)];
        if let Some(until) = until.filter(|_| ending.is_none()) {
            watched.push(PollFd::new(until, PollFlags::IN));
        }
        let left = ending.map(|(_, end)| end.saturating_duration_since(Instant::now()).min(GRACE.0));
        let timeout = if holding { Some(PATIENCE) } else { left.and_then(|left| Timespec::try_from(left).ok()) };
        let ready = match poll(&mut watched, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            ready => ready?,
        };
        let (is_ready, has_ended) =
            (!watched[0].revents().is_empty(), watched.get(1).is_some_and(|until| !until.revents().is_empty()));
        if has_ended {
            let on_its_way = rustix::io::ioctl_fionread(from).unwrap_or_default();
            ending = Some((on_its_way, Instant::now() + GRACE.1));
        }
        if ready == 0 && holding {
            masker.release(&mut out);
        } else if ready == 0 {
            break;
        } else if is_ready {
            match rustix::io::read(from, &mut buffer[..]) {
                // The last program at a pseudo-terminal has gone.
                Ok(0) | Err(rustix::io::Errno::IO) => break,
                Ok(length) => {
                    masker.push(&buffer[..length], &mut out);
                    if let Some((on_its_way, _)) = &mut ending {
                        *on_its_way = on_its_way.saturating_sub(length as u64);
                    }
                }
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !write(to, &mut out)? {
            return Ok(());
        }
        if ending.is_some_and(|(on_its_way, end)| on_its_way == 0 && Instant::now() >= end) {
            break;
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
