//! What other processes have open.

use std::os::fd::RawFd;

/// Whether a descriptor of one process and one of another (or the same) came from one `open`: by `dup`, by `fork`, or by being passed on. `None` if the
/// system does not say: it has no `kcmp(2)`, forbids it, or one of the two is gone.
#[cfg(target_os = "linux")]
pub fn is_same_open(one: (u32, RawFd), other: (u32, RawFd)) -> Option<bool> {
    const KCMP_FILE: libc::c_long = 0;
    let [from, to] = [one, other].map(|(process, fd)| (libc::c_long::from(process), libc::c_long::from(fd)));
    // SAFETY: `kcmp(KCMP_FILE)` compares what five numbers stand for, whatever they are; it reads and writes no memory of this process.
    match unsafe { libc::syscall(libc::SYS_kcmp, from.0, to.0, KCMP_FILE, from.1, to.1) } {
        0 => Some(true),
        1..=3 => Some(false),
        _ => None,
    }
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn a_copy_is_the_same_and_another_open_is_not() {
        let one = std::fs::File::open("/dev/null").unwrap();
        let (copy, other) = (one.try_clone().unwrap(), std::fs::File::open("/dev/null").unwrap());
        let compare = |fd| is_same_open((std::process::id(), one.as_raw_fd()), (std::process::id(), fd));
        // A container may forbid it; then nothing is known of either.
        if compare(one.as_raw_fd()).is_some() {
            assert_eq!((compare(copy.as_raw_fd()), compare(other.as_raw_fd()), compare(-1)), (Some(true), Some(false), None));
        } else {
            assert_eq!((compare(copy.as_raw_fd()), compare(other.as_raw_fd())), (None, None));
        }
    }
}
