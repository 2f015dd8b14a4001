//! Memory for keys, as far out of reach as the system allows.

use std::fs::File;
use std::io;
use std::ptr::NonNull;

/// How far memory is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// Neither swapped nor dumped, and mapped in this process alone: the kernel itself does not reach it (`memfd_secret`, Linux 5.14 and newer).
    Secret,
    /// Neither swapped nor dumped.
    Locked,
    /// Not dumped; the system refused to lock it (`RLIMIT_MEMLOCK`), so it may be swapped.
    Plain,
}

impl Protection {
    /// One word, for people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Locked => "locked",
            Self::Plain => "plain",
        }
    }
}

/// A secret in pages of its own, as far out of reach as the system allows. Its bytes must not be handed to a system call, which cannot read
/// them there: copy them, and wipe the copy.
pub struct LockedMemory {
    start: NonNull<u8>,
    length: usize,
    mapped: usize,
    protection: Protection,
}

impl LockedMemory {
    /// Copies `bytes` there.
    pub fn holding(bytes: &[u8]) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let mapped = bytes.len().max(1).next_multiple_of(page);
        let (start, protection) = match secret_pages(mapped) {
            Ok(start) => (start, Protection::Secret),
            Err(_) => ordinary_pages(mapped)?,
        };
        let memory = Self { start, length: bytes.len(), mapped, protection };
        // SAFETY: `start` is the beginning of a writable mapping of at least `length` bytes that nothing else refers to.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.start.as_ptr(), bytes.len()) };
        Ok(memory)
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        // SAFETY: the mapping lives as long as `self`, was initialised in `holding`, and is not written to while it is shared.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    /// How far it is out of reach.
    pub fn protection(&self) -> Protection {
        self.protection
    }
}

impl Drop for LockedMemory {
    fn drop(&mut self) {
        // SAFETY: as in `expose`, and `&mut self` says that nobody looks.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) };
        zeroize::Zeroize::zeroize(bytes);
        // SAFETY: the mapping was made in `holding` with this address and length, and nothing refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.mapped) };
    }
}

/// Pages that even the kernel does not reach.
#[cfg(target_os = "linux")]
fn secret_pages(length: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: the call takes one number of flags (O_CLOEXEC) and returns a descriptor or an error.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let fd = libc::c_int::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the descriptor was made a moment ago and belongs to nobody else.
    let file = unsafe { <File as std::os::fd::FromRawFd>::from_raw_fd(fd) };
    file.set_len(length as u64)?;
    map(length, libc::MAP_SHARED, fd)
}

#[cfg(not(target_os = "linux"))]
fn secret_pages(_length: usize) -> io::Result<NonNull<u8>> {
    Err(io::ErrorKind::Unsupported.into())
}

fn ordinary_pages(length: usize) -> io::Result<(NonNull<u8>, Protection)> {
    let start = map(length, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
    // SAFETY: both calls name the mapping that was made a moment ago; what the system refuses leaves it as it is.
    let locked = unsafe {
        #[cfg(target_os = "linux")]
        libc::madvise(start.as_ptr().cast(), length, libc::MADV_DONTDUMP);
        libc::mlock(start.as_ptr().cast(), length) == 0
    };
    Ok((start, if locked { Protection::Locked } else { Protection::Plain }))
}

fn map(length: usize, flags: libc::c_int, fd: libc::c_int) -> io::Result<NonNull<u8>> {
    // SAFETY: a new mapping at an address of the system's choice; it touches no memory that is in use.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}
