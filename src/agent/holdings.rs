//! What an agent holds: each in pages of its own, each for a time.

use crate::crypto::Hash;
use crate::process::LockedMemory;

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

    fn listed(&self, now: u64) -> Listed {
        Listed {
            path: self.path.clone(),
            stamp: self.stamp,
            remaining: self.ends.saturating_sub(now),
            idle: self.ends().saturating_sub(now),
            memory: self.secret.protection().word().to_owned(),
        }
    }
}

/// Everything that is held. Times are milliseconds of a clock that also runs while the machine sleeps.
#[derive(Default)]
pub struct KeptKeys(Vec<Held>);

impl KeptKeys {
    /// Holds something, in place of what was held for the same vault.
    ///
    /// # Errors
    /// If the system gives no memory.
    pub fn hold(&mut self, hold: &Hold, now: u64) -> std::io::Result<Listed> {
        let secret = LockedMemory::holding(hold.slot.secret.expose())?;
        self.0.retain(|held| held.path != hold.path);
        if self.0.len() == MOST
            && let Some(least) = (0..MOST).min_by_key(|at| self.0[*at].used)
        {
            self.0.swap_remove(least);
        }
        let (path, stamp) = (hold.path.clone(), hold.slot.stamp);
        let held = Held { path, stamp, secret, ends: now.saturating_add(hold.ttl), idle: hold.idle, used: now };
        let listed = held.listed(now);
        self.0.push(held);
        Ok(listed)
    }

    /// The answer for one of these slots, if it is held. What is held for the vault at `path` under another stamp is dropped: its keys changed.
    pub fn find(&mut self, path: &[u8], stamps: &[Hash], now: u64) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        self.drop_ended(now);
        self.0.retain(|held| held.path != path || stamps.contains(&held.stamp));
        // A copy of the vault opens by what is held for another path, but its own goes first: that may be of another slot.
        let fits = |held: &&mut Held| stamps.contains(&held.stamp);
        let held = match self.0.iter().any(|held| held.path == path) {
            true => self.0.iter_mut().filter(fits).find(|held| held.path == path)?,
            false => self.0.iter_mut().find(fits)?,
        };
        held.used = now;
        Some(protocol::keys(&held.stamp, held.secret.expose()))
    }

    /// Drops what is held for a path or for one of these slots, and what opens by the same slot as anything that goes; or everything. Says how many
    /// vaults that were.
    pub fn forget(&mut self, vault: Option<(&[u8], &[Hash])>) -> u64 {
        let before = self.0.len();
        match vault {
            None => self.0.clear(),
            Some((path, stamps)) => {
                let of_path = self.0.iter().filter(|held| held.path == path).map(|held| held.stamp);
                let gone: Vec<Hash> = of_path.chain(stamps.iter().copied()).collect();
                self.0.retain(|held| !gone.contains(&held.stamp));
            }
        }
        (before - self.0.len()) as u64
    }

    /// What is held, without the secrets.
    pub fn list(&mut self, now: u64) -> Vec<Listed> {
        self.drop_ended(now);
        self.0.iter().map(|held| held.listed(now)).collect()
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
        assert_eq!((keys.forget(Some((b"/a", &[]))), keys.forget(Some((b"/b", &[]))), keys.forget(None)), (0, 1, 0));
    }

    #[test]
    fn what_is_forgotten_is_forgotten_for_its_copies() {
        let mut keys = KeptKeys::default();
        let all = |keys: &mut KeptKeys| {
            for (path, stamp) in [(b"/a", 1), (b"/b", 1), (b"/c", 2)] {
                keys.hold(&hold(path, stamp, 100, 100), 0).unwrap();
            }
        };
        all(&mut keys);
        assert_eq!((keys.forget(Some((b"/a", &[]))), keys.list(1).len()), (2, 1));
        all(&mut keys);
        // Moved: its path is another one, its slots are the same.
        assert_eq!((keys.forget(Some((b"/moved", &[Hash([9; 32]), Hash([1; 32])]))), keys.list(1).len()), (2, 1));
    }

    #[test]
    fn what_is_held_for_the_path_goes_first() {
        let mut keys = KeptKeys::default();
        keys.hold(&hold(b"/copy", 1, 100, 100), 0).unwrap();
        keys.hold(&hold(b"/a", 2, 100, 100), 0).unwrap();
        let both = [Hash([1; 32]), Hash([2; 32])];
        let found = |keys: &mut KeptKeys, path| keys.find(path, &both, 1).unwrap()[..].windows(8).any(|part| part == [2; 8]);
        assert!(found(&mut keys, b"/a") && !found(&mut keys, b"/copy") && !found(&mut keys, b"/elsewhere"));
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
