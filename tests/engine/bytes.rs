//! The bytes of a file.

use std::sync::{Arc, LazyLock};

/// The unit in which copies share bytes.
pub const BLOCK: usize = 4096;
type Block = Arc<[u8; BLOCK]>;
static ZERO: LazyLock<Block> = LazyLock::new(|| Arc::new([0; BLOCK]));

/// The bytes of a file, in blocks that copies share.
#[derive(Clone, Default)]
pub struct Bytes {
    blocks: Vec<Block>,
    length: u64,
}

impl Bytes {
    pub fn new(bytes: &[u8]) -> Self {
        let mut new = Self::default();
        new.write(0, bytes);
        new
    }

    pub fn len(&self) -> u64 {
        self.length
    }

    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = vec![0; self.length as usize];
        self.read(0, &mut out);
        out
    }

    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let count = self.length.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let mut done = 0;
        while done < count {
            let at = offset as usize + done;
            let part = (BLOCK - at % BLOCK).min(count - done);
            buffer[done..done + part].copy_from_slice(&self.blocks[at / BLOCK][at % BLOCK..at % BLOCK + part]);
            done += part;
        }
        count
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.set_length(self.length.max(offset + bytes.len() as u64));
        let mut done = 0;
        while done < bytes.len() {
            let at = offset as usize + done;
            let part = (BLOCK - at % BLOCK).min(bytes.len() - done);
            Arc::make_mut(&mut self.blocks[at / BLOCK])[at % BLOCK..at % BLOCK + part].copy_from_slice(&bytes[done..done + part]);
            done += part;
        }
    }

    /// Appends the same block many times, at no cost.
    pub fn append_blocks(&mut self, block: &[u8; BLOCK], count: usize) {
        assert!(self.length.is_multiple_of(BLOCK as u64));
        self.blocks.resize(self.blocks.len() + count, Arc::new(*block));
        self.length += (count * BLOCK) as u64;
    }

    /// What a file gains reads as zeros.
    pub fn set_length(&mut self, length: u64) {
        self.blocks.resize((length as usize).div_ceil(BLOCK), ZERO.clone());
        let rest = length as usize % BLOCK;
        if length < self.length && rest > 0 {
            Arc::make_mut(self.blocks.last_mut().unwrap())[rest..].fill(0);
        }
        self.length = length;
    }
}
