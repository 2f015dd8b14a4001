//! Which secrets are the same. Of each only half of a hash is kept, under a key that lives as long as the comparison: no values are held side by side.

use zeroize::Zeroizing;

use crate::crypto::{self, CryptoError, keyed_hash};

/// A comparison of many secrets.
pub struct Reuse {
    key: Zeroizing<[u8; 32]>,
    seen: Vec<([u8; 16], u32)>,
}

impl Reuse {
    /// A comparison of nothing yet, under a key of its own.
    pub fn new() -> Result<Self, CryptoError> {
        Ok(Self { key: crypto::random_key()?, seen: Vec::new() })
    }

    /// Adds a secret under the number by which it is reported.
    pub fn add(&mut self, secret: &[u8], number: u32) {
        let hash = keyed_hash(&self.key, secret);
        let (half, _) = hash.0.split_first_chunk().expect("a hash of 32 bytes has 16");
        self.seen.push((*half, number));
    }

    /// The numbers of secrets that are the same, in the order of their least.
    pub fn groups(mut self) -> Vec<Vec<u32>> {
        self.seen.sort_unstable();
        let same = self.seen.chunk_by(|(one, _), (other, _)| one == other).filter(|group| group.len() > 1);
        let mut groups: Vec<Vec<u32>> = same.map(|group| group.iter().map(|(_, number)| *number).collect()).collect();
        groups.sort_unstable();
        groups
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_same_secrets_are_found_together() {
        let mut reuse = Reuse::new().unwrap();
        for (number, secret) in ["b", "a", "c", "b", "a", "a", "", "d"].iter().enumerate() {
            reuse.add(secret.as_bytes(), number as u32);
        }
        assert_eq!(reuse.groups(), [vec![0, 3], vec![1, 4, 5]]);
    }
}
