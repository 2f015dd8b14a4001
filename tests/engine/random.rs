//! Random choices that a seed repeats, and how many of them a run makes.

use std::sync::atomic::{AtomicUsize, Ordering};

/// SplitMix64.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// The choices of one case: a run's seed, and the number of the case.
    pub fn new(case: u64) -> Self {
        Self(seed() ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.draw() % n as u64) as usize
    }

    /// True in `percent` of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.draw().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// The seed of this run.
pub fn seed() -> u64 {
    std::env::var("VAULT_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x7661_756c_7431)
}

/// `count`, times `VAULT_TEST_SCALE`.
pub fn scaled(count: usize) -> usize {
    let scale = std::env::var("VAULT_TEST_SCALE").ok().and_then(|text| text.parse::<f64>().ok()).unwrap_or(1.0);
    ((count as f64 * scale) as usize).max(1)
}

/// Runs `count` cases on all processors; names the case that failed.
pub fn each_case(count: usize, case: impl Fn(usize) + Sync) {
    struct Name(usize);
    impl Drop for Name {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed: case {}, VAULT_TEST_SEED={}", self.0, seed());
            }
        }
    }
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let name = Name(number);
                    case(number);
                    drop(name);
                }
            });
        }
    });
}
