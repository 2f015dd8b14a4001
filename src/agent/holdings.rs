//! What an agent holds: each in pages of its own, each for a time.

use crate::crypto::Hash;
use crate::process::{LockedMemory, Protection};

use super::protocol::{self, Hold, Listed};

/// More vaults than this are not held: what is asked for least goes first.
const MOST: usize = 64;

/// What is held of one vault.
pub struct Held {
    path: Vec<u8>,
    stamp: Hash,
    secret: LockedMemory,
    ends: u64,
    idle: u64,
    used: u64,
}

impl Held {
    fn ends(&self) -> u64 {
        self.ends.min(self.used.saturating_add(self.idle))
    }
}

/// Everything that is held. Times are milliseconds of a clock that also runs while the machine sleeps.
#[derive(Default)]
pub struct KeptKeys(Vec<Held>);

impl KeptKeys {
    /// Holds something, in place of what was held for the same vault.
    pub fn hold(&mut self, hold: &Hold, now: u64) -> std::io::Result<Protection> {
        let secret = LockedMemory::holding(hold.slot.secret.expose())?;
        let protection = secret.protection();
        self.0.retain(|held| held.path != hold.path);
        if self.0.len() == MOST
            && let Some(least) = (0..MOST).min_by_key(|at| self.0[*at].used)
        {
            self.0.swap_remove(least);
        }
        let (path, stamp) = (hold.path.clone(), hold.slot.stamp);
        self.0.push(Held { path, stamp, secret, ends: now.saturating_add(hold.ttl), idle: hold.idle, used: now });
        Ok(protection)
    }

    /// The answer for one of these slots, if it is held. What is held for the vault at `path` under another stamp is dropped: its keys changed.
    pub fn find(&mut self, path: &[u8], stamps: &[Hash], now: u64) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        self.drop_ended(now);
        self.0.retain(|held| held.path != path || stamps.contains(&held.stamp));
        let held = self.0.iter_mut().find(|held| stamps.contains(&held.stamp))?;
        held.used = now;
        Some(protocol::keys(&held.stamp, held.secret.expose()))
    }

    /// Drops what is held for a path, or everything; says how many vaults that were.
    pub fn forget(&mut self, path: Option<&[u8]>) -> u64 {
        let before = self.0.len();
        self.0.retain(|held| path.is_some_and(|path| held.path != path));
        (before - self.0.len()) as u64
    }

    /// What is held, without the secrets.
    pub fn list(&mut self, now: u64) -> Vec<Listed> {
        self.drop_ended(now);
        let listed = |held: &Held| Listed {
            path: held.path.clone(),
            stamp: held.stamp,
            remaining: held.ends.saturating_sub(now),
            idle: held.ends().saturating_sub(now),
            memory: held.secret.protection().word().to_owned(),
        };
        self.0.iter().map(listed).collect()
    }

    /// Drops what has ended, and says when the next does.
    pub fn drop_ended(&mut self, now: u64) -> Option<u64> {
        self.0.retain(|held| held.ends() > now);
        self.0.iter().map(Held::ends).min()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::secret::SlotSecret;
    use crate::vault::KeptSlot;

    fn hold(path: &[u8], stamp: u8, ttl: u64, idle: u64) -> Hold {
        let secret = SlotSecret::new(zeroize::Zeroizing::new(vec![stamp; 64]));
        Hold { path: path.to_vec(), slot: KeptSlot { stamp: Hash([stamp; 32]), secret }, ttl, idle }
    }

    #[test]
    fn ends_with_its_time_or_unused() {
        let mut keys = KeptKeys::default();
        keys.hold(&hold(b"/a", 1, 100, 30), 1000).unwrap();
        assert_eq!(keys.drop_ended(1000), Some(1030));
        assert!(keys.find(b"/a", &[Hash([1; 32])], 1029).is_some());
        assert!(keys.find(b"/a", &[Hash([1; 32])], 1058).is_some());
        assert!(keys.find(b"/a", &[Hash([1; 32])], 1086).is_some());
        // Used, but over.
        assert_eq!(keys.drop_ended(1086), Some(1100));
        assert!(keys.find(b"/a", &[Hash([1; 32])], 1100).is_none() && keys.is_empty());
        keys.hold(&hold(b"/a", 1, 100, 30), 0).unwrap();
        assert!(keys.find(b"/a", &[Hash([1; 32])], 30).is_none());
    }

    #[test]
    fn looking_at_the_list_is_no_use() {
        let mut keys = KeptKeys::default();
        keys.hold(&hold(b"/a", 1, 100, 30), 0).unwrap();
        let listed = keys.list(10);
        assert_eq!((listed.len(), listed[0].remaining, listed[0].idle), (1, 90, 20));
        assert!(keys.list(30).is_empty());
    }

    #[test]
    fn other_keys_of_the_same_vault_make_it_forget() {
        let mut keys = KeptKeys::default();
        keys.hold(&hold(b"/a", 1, 100, 100), 0).unwrap();
        keys.hold(&hold(b"/b", 2, 100, 100), 0).unwrap();
        // A copy elsewhere opens by the same keys, and one with other keys does not matter to the vault.
        assert!(keys.find(b"/copy", &[Hash([9; 32]), Hash([1; 32])], 1).is_some());
        assert!(keys.find(b"/old copy", &[Hash([8; 32])], 1).is_none());
        assert!(keys.find(b"/a", &[Hash([8; 32])], 1).is_none());
        assert!(keys.find(b"/copy", &[Hash([1; 32])], 1).is_none());
        assert!(keys.find(b"/b", &[Hash([2; 32])], 1).is_some());
        assert_eq!((keys.forget(Some(b"/a")), keys.forget(Some(b"/b")), keys.forget(None)), (0, 1, 0));
    }

    #[test]
    fn many_vaults_are_held_and_not_more() {
        let mut keys = KeptKeys::default();
        for number in 0..=MOST as u64 {
            keys.hold(&hold(&number.to_le_bytes(), number as u8, 1000, 1000), number).unwrap();
        }
        assert_eq!(keys.list(100).len(), MOST);
        assert!(keys.find(b"", &[Hash([0; 32])], 100).is_none() && keys.find(b"", &[Hash([1; 32])], 100).is_some());
        assert_eq!(keys.forget(None), MOST as u64);
    }

    #[test]
    fn memory_holds_what_is_put_there() {
        for length in [0, 1, 4096, 5000, 60_000] {
            let bytes = vec![5; length];
            assert_eq!(LockedMemory::holding(&bytes).unwrap().expose(), bytes);
        }
    }
}
