//! A vault file in memory.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use vault::store::file::storage::{FileId, Place, Status, Storage};

struct Inode {
    number: u64,
    bytes: Mutex<Vec<u8>>,
    locked: AtomicBool,
}

impl Inode {
    fn new(number: u64, bytes: &[u8]) -> Arc<Self> {
        Arc::new(Self { number, bytes: Mutex::new(bytes.to_vec()), locked: AtomicBool::new(false) })
    }

    fn status(&self) -> Status {
        let length = self.bytes.lock().unwrap().len() as u64;
        Status { id: FileId { device: 1, inode: self.number }, length, links: 1 }
    }
}

struct Open {
    inode: Arc<Inode>,
    holds_lock: AtomicBool,
}

impl Open {
    fn boxed(inode: &Arc<Inode>) -> Box<dyn Storage> {
        Box::new(Self { inode: inode.clone(), holds_lock: AtomicBool::new(false) })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.unlock();
    }
}

impl Storage for Open {
    fn status(&self) -> io::Result<Status> {
        Ok(self.inode.status())
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inode.bytes.lock().unwrap();
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.inode.bytes.lock().unwrap();
        let (offset, end) = (offset as usize, offset as usize + bytes.len());
        let length = all.len().max(end);
        all.resize(length, 0);
        all[offset..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.inode.bytes.lock().unwrap().resize(length as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        let free = self.inode.locked.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        self.holds_lock.fetch_or(free, Ordering::SeqCst);
        Ok(free)
    }

    fn unlock(&self) {
        if self.holds_lock.swap(false, Ordering::SeqCst) {
            self.inode.locked.store(false, Ordering::SeqCst);
        }
    }
}

/// A directory with one vault, and the temporary file of its rewrite.
pub struct MemoryPlace {
    vault: Mutex<Arc<Inode>>,
    temporary: Mutex<Option<Arc<Inode>>>,
}

impl MemoryPlace {
    /// A place with this file.
    pub fn new(bytes: &[u8]) -> Arc<Self> {
        Arc::new(Self { vault: Mutex::new(Inode::new(1, bytes)), temporary: Mutex::new(None) })
    }

    fn missing() -> io::Error {
        io::ErrorKind::NotFound.into()
    }
}

impl Place for MemoryPlace {
    fn open(&self, _write: bool) -> io::Result<Box<dyn Storage>> {
        Ok(Open::boxed(&self.vault.lock().unwrap()))
    }

    fn status(&self) -> io::Result<Status> {
        Ok(self.vault.lock().unwrap().status())
    }

    fn create(&self, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn remove_temporary(&self) -> io::Result<()> {
        *self.temporary.lock().unwrap() = None;
        Ok(())
    }

    fn create_temporary(&self) -> io::Result<Box<dyn Storage>> {
        let inode = Inode::new(self.vault.lock().unwrap().number + 1, &[]);
        *self.temporary.lock().unwrap() = Some(inode.clone());
        Ok(Open::boxed(&inode))
    }

    fn temporary_status(&self) -> io::Result<Status> {
        self.temporary.lock().unwrap().as_ref().map(|inode| inode.status()).ok_or_else(Self::missing)
    }

    fn replace(&self) -> io::Result<()> {
        *self.vault.lock().unwrap() = self.temporary.lock().unwrap().take().ok_or_else(Self::missing)?;
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
}
