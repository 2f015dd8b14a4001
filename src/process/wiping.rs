//! Wiping what nobody owns any more: memory that is freed, what calls left on the stack, registers.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The allocator of the system, which wipes memory before it is given back: what libraries read and wrote, and what grew, is not left behind.
///
/// The program uses it; the library does not choose for whoever embeds it. It begins with [`begin_wiping`]: what reads a command line frees more
/// memory than most commands do.
pub struct Wiping;

/// Whether freed memory is wiped by now.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// Has [`Wiping`] wipe what is freed from now on: to be called before there is a secret.
pub fn begin_wiping() {
    BEGUN.store(true, Ordering::Relaxed);
}

/// The C library gives a larger block a mapping of its own, and takes the mapping away when the block is freed or outgrown: nothing is left there to be
/// wiped.
const LARGE: usize = if cfg!(all(target_os = "linux", target_env = "gnu")) { 32 << 20 } else { usize::MAX };

// SAFETY: every block comes from the allocator of the system and goes back to it with the layout that it has; in between it is this program's own.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if BEGUN.load(Ordering::Relaxed) {
            // SAFETY: the caller gives the block up, which has this size.
            match layout.size() {
                size if size <= PIECE => unsafe { wipe_piece(block, size) },
                size if size < SPARSE => unsafe { wipe(block, size) },
                size if size <= LARGE => unsafe { wipe_touched(block, size) },
                _ => {}
            }
        }
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !BEGUN.load(Ordering::Relaxed) || (layout.size() > LARGE && size > LARGE) {
            // SAFETY: as above.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: as above; the new block is another one, and both have the bytes that are copied.
        unsafe {
            let new = System.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(block, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

/// Longer pieces are left to one repeated instruction by the C library, which takes longer to begin than such a piece takes.
const PIECE: usize = 1024;

/// Wipes bytes, in a way that the compiler does not leave out for knowing that nobody reads them.
///
/// # Safety
/// The bytes are the caller's, and hold nothing that is still needed.
unsafe fn wipe(start: *mut u8, length: usize) {
    for done in (0..length).step_by(PIECE) {
        // SAFETY: it lies within what the caller gave up.
        unsafe { wipe_piece(start.wrapping_add(done), PIECE.min(length - done)) };
    }
}

/// As [`wipe`], for at most [`PIECE`] bytes.
///
/// # Safety
/// As there.
unsafe fn wipe_piece(start: *mut u8, length: usize) {
    // SAFETY: as the caller says.
    unsafe { start.write_bytes(0, length) };
    black_box(start);
}

/// A block of this size may have pages that were never touched.
const SPARSE: usize = 16 * 1024;

/// Wipes the pages of a block that were touched: others would be made only to be wiped.
///
/// # Safety
/// As [`wipe`].
unsafe fn wipe_touched(start: *mut u8, length: usize) {
    let page = page_size();
    let (first, end) = (start.addr() - start.addr() % page, start.addr() + length);
    for batch in (first..end).step_by(page * BATCH) {
        let pages = (end - batch).div_ceil(page).min(BATCH);
        let states = touched(batch, pages);
        for number in 0..pages {
            let at = batch + number * page;
            let (from, to) = (at.max(start.addr()), (at + page).min(end));
            if states.is_none_or(|states| states[number] & 1 == 1) {
                // SAFETY: it lies within what the caller gave up.
                unsafe { wipe(start.wrapping_add(from - start.addr()), to - from) };
            }
        }
    }
}

/// Asked of the C library, which allocates nothing for the answer.
fn page_size() -> usize {
    // SAFETY: it asks for a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// So many pages are asked about at once.
const BATCH: usize = 64;

/// Which pages from an address on are in memory, by the last bit of each; nothing if one of them does not exist. One that is not was never touched, or
/// is in swap, where nothing can be wiped.
#[cfg(target_os = "linux")]
fn touched(start: usize, pages: usize) -> Option<[u8; BATCH]> {
    let mut states = [0; BATCH];
    let length = pages.min(BATCH) * page_size();
    // SAFETY: any address may be asked about; the answer is one byte for each page, for which there is room.
    let failed = unsafe { libc::mincore(std::ptr::without_provenance_mut(start), length, states.as_mut_ptr()) } != 0;
    (!failed).then_some(states)
}

#[cfg(not(target_os = "linux"))]
fn touched(_start: usize, _pages: usize) -> Option<[u8; BATCH]> {
    None
}

/// Where the stack of the program begins; 0 before that is known.
static STACK: AtomicUsize = AtomicUsize::new(0);

/// As far, nothing lies beside the stack of a first thread.
const FAR: usize = 64 << 20;

/// Remembers where the stack of the program is: to be called where it begins.
pub(super) fn begin_stack() {
    let here = 0_u8;
    STACK.store(black_box(&raw const here).addr(), Ordering::Relaxed);
}

/// Wipes what calls that have returned left on the stack: a key that was moved is a copy that nothing drops, and what is made later may take it over
/// into memory that stays. It does so in the first thread of a program that was hardened, whose stack has nothing below it, and nothing elsewhere.
pub fn wipe_stack() {
    wipe_registers();
    // SAFETY: both ask for a number. Not `gettid`: the standard library names it as a function that may be missing, and a linker that is given the
    // archive of the C library leaves such a one out.
    #[cfg(target_os = "linux")]
    let is_first = unsafe { libc::c_long::from(libc::getpid()) == libc::syscall(libc::SYS_gettid) };
    #[cfg(not(target_os = "linux"))]
    let is_first = false;
    if is_first {
        wipe_below();
    }
}

/// Half of it is more than the calls of [`wipe_below`] take of the stack; all of it is less than the C library leaves to one repeated instruction.
const NEAR: usize = 1920;

/// Wipes the registers of vectors, in which copying a value leaves its end: a new thread begins with them, and a signal puts them on the stack. It
/// copies nothing of note in the same way.
#[inline(never)]
pub fn wipe_registers() {
    let mut near = [0_u8; NEAR];
    let (from, to) = black_box(&mut near).split_at_mut(NEAR / 2);
    to.copy_from_slice(from);
    black_box(&mut near);
}

/// Wipes what lies below the room that [`wipe_registers`] took.
#[inline(never)]
fn wipe_below() {
    let page = page_size();
    let here = 0_u8;
    // As a number of which the compiler knows nothing: the bytes below belong to no object of the language.
    let here = black_box(&raw const here).expose_provenance();
    if here.abs_diff(STACK.load(Ordering::Relaxed)) > FAR {
        return;
    }
    let end = black_box(here - NEAR / 2);
    let start = end - end % page;
    // SAFETY: the page is there, it belongs to the stack of the first thread, and lies below all calls that have not returned, this one and those that
    // it makes included.
    let wipe = |start: usize, length: usize| unsafe { wipe(std::ptr::with_exposed_provenance_mut(start), length) };
    wipe(start, end - start);
    // Frames touch each of their pages, so a few untouched ones end it.
    let (mut start, mut untouched) = (start, 0);
    while untouched < 4 {
        start -= page;
        match touched(start, 1) {
            Some([state, ..]) if state & 1 == 1 => wipe(start, page),
            Some(_) => untouched += 1,
            None => break,
        }
    }
}
