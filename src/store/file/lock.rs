//! Locks on files, the writer's above all: flock(2) through fs2, in this one place.
//!
//! The standard library's `File` has methods of the same names that would win over the trait's, so they are called by path.
//! flock belongs to the open file description: it is released when the process ends, however it ends.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use super::storage::{Place, Storage};
use crate::store::StoreError;

/// Takes the exclusive lock if it is free.
pub fn try_exclusive(file: &File) -> io::Result<bool> {
    loop {
        match fs2::FileExt::try_lock_exclusive(file) {
            Ok(()) => return Ok(true),
            Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits for the exclusive lock, as long as that takes.
pub fn exclusive(file: &File) -> io::Result<()> {
    loop {
        match fs2::FileExt::lock_exclusive(file) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            ended => return ended,
        }
    }
}

/// Waits for the exclusive lock; `false` if it is not free until `deadline`.
pub fn exclusive_until(file: &File, deadline: Instant) -> io::Result<bool> {
    until(deadline, &mut || try_exclusive(file))
}

/// Releases the lock. An error here cannot be acted on: closing the file releases it all the same.
pub fn release(file: &File) {
    let _ = fs2::FileExt::unlock(file);
}

/// Waits for the lock until `deadline`, then answers [`StoreError::Busy`].
pub fn wait(storage: &dyn Storage, deadline: Instant) -> Result<(), StoreError> {
    match until(deadline, &mut || storage.try_lock()).map_err(StoreError::io("lock the vault"))? {
        true => Ok(()),
        false => Err(StoreError::Busy),
    }
}

fn until(deadline: Instant, try_lock: &mut dyn FnMut() -> io::Result<bool>) -> io::Result<bool> {
    let mut pause = Duration::from_millis(1);
    while !try_lock()? {
        let now = Instant::now();
        if now >= deadline {
            return Ok(false);
        }
        std::thread::sleep(pause.min(deadline - now));
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    Ok(true)
}

/// Opens what is at a place and takes its lock, whatever it holds: for a program that is about to put another file there.
pub fn hold(place: &dyn Place, timeout: Duration) -> Result<Box<dyn Storage>, StoreError> {
    let deadline = Instant::now() + timeout;
    loop {
        let storage = place.open(true).map_err(StoreError::io("open the vault for writing"))?;
        wait(storage.as_ref(), deadline)?;
        // A writer may have renamed a new file over the path while this one waited.
        let locked = storage.status().map_err(StoreError::io("look at the vault"))?;
        if place.status().is_ok_and(|status| status.id == locked.id) {
            return Ok(storage);
        }
        if Instant::now() >= deadline {
            return Err(StoreError::Busy);
        }
    }
}
