//! Attempts to sign in: counted under the name, whoever makes them and whether or not there is such a user.

use crate::format::user::{MAX_FAILURES, MAX_STRANGERS, SignIn, Stranger, Strangers};

/// Failures that are older do not count, in milliseconds.
const WINDOW: u64 = 15 * 60 * 1000;
/// For so long nobody is heard, in milliseconds.
const LOCK: u64 = 15 * 60 * 1000;
/// For so long a code completes the sign-in that a password began, in milliseconds.
const PENDING: u64 = 5 * 60 * 1000;

/// What is counted under a name.
pub(super) struct Count<'a> {
    failures: &'a mut Vec<u64>,
    locked_until: &'a mut u64,
}

impl Count<'_> {
    /// Notes a failure. The fifth within the window locks; the window starts afresh behind it.
    pub fn failed(&mut self, now: u64) {
        // Nor do those count from a time that has not come.
        self.failures.retain(|at| *at <= now && now - at < WINDOW);
        if self.failures.len() >= MAX_FAILURES {
            self.failures.clear();
            *self.locked_until = now.saturating_add(LOCK);
        } else {
            self.failures.push(now);
        }
    }
}

/// For how many seconds more nobody is heard; `None`: they are. What no lock of ours can say was said by a clock that was wrong.
fn locked_for(until: u64, now: u64) -> Option<u64> {
    (now < until && until - now <= LOCK).then(|| (until - now).div_ceil(1000))
}

impl SignIn {
    pub(super) fn count(&mut self) -> Count<'_> {
        Count { failures: &mut self.failures, locked_until: &mut self.locked_until }
    }

    /// For how many seconds more nobody is heard under this name; `None`: they are.
    pub fn locked_for(&self, now: u64) -> Option<u64> {
        locked_for(self.locked_until, now)
    }

    /// Forgets what failed: the user is heard. Returns whether there was something.
    pub fn unlock(&mut self) -> bool {
        let was_there = !self.failures.is_empty() || self.locked_until != 0;
        self.failures.clear();
        self.locked_until = 0;
        was_there
    }

    /// What another service knows: so many failures, the last at this time, and a lock.
    pub(super) fn taken_over(failures: u64, last: u64, locked_until: u64, now: u64) -> Self {
        // No longer than a lock of ours: one that is longer would be taken for the word of a wrong clock.
        let (last, most) = (last.min(now), now.saturating_add(LOCK));
        let locked_until = locked_until.min(most);
        let mut state = Self { locked_until, ..Self::default() };
        if failures > MAX_FAILURES as u64 {
            state.locked_until = locked_until.max(last.saturating_add(LOCK));
        } else {
            state.failures = vec![last; usize::try_from(failures).unwrap_or(MAX_FAILURES)];
        }
        state
    }

    /// Whether a code from this place would complete a sign-in.
    pub fn is_pending(&self, now: u64, from: &[u8; 8]) -> bool {
        // A clock that went back does not make it longer.
        now < self.pending_until && self.pending_until - now <= PENDING && self.pending_from == *from
    }

    /// A password was right: a code from the same place completes the sign-in.
    pub(super) fn wait_for_code(&mut self, now: u64, from: [u8; 8]) {
        (self.pending_until, self.pending_from) = (now.saturating_add(PENDING), from);
    }

    /// No code completes a sign-in any more.
    pub(super) fn end_waiting(&mut self) {
        (self.pending_until, self.pending_from) = (0, [0; 8]);
    }

    /// A sign-in is complete.
    pub(super) fn succeeded(&mut self, now: u64) {
        self.failures.clear();
        (self.locked_until, self.last) = (0, now);
    }
}

impl Strangers {
    /// For how many seconds more nobody is heard under the name of this mark; `None`: they are.
    pub(super) fn locked_for(&self, mark: &[u8; 16], now: u64) -> Option<u64> {
        self.0.iter().find(|stranger| stranger.mark == *mark).and_then(|stranger| locked_for(stranger.locked_until, now))
    }

    /// Notes a failure under the name of this mark. Where there is no room the one gives way of which least would be lost.
    pub(super) fn failed(&mut self, mark: &[u8; 16], now: u64) {
        let at = self.0.iter().position(|stranger| stranger.mark == *mark).unwrap_or_else(|| {
            let new = Stranger { mark: *mark, failures: Vec::new(), locked_until: 0 };
            if self.0.len() < MAX_STRANGERS {
                self.0.push(new);
                return self.0.len() - 1;
            }
            let weight = |stranger: &Stranger| (locked_for(stranger.locked_until, now), stranger.failures.last().copied());
            let least = (0..self.0.len()).min_by_key(|at| weight(&self.0[*at])).unwrap_or(0);
            self.0[least] = new;
            least
        });
        let stranger = &mut self.0[at];
        Count { failures: &mut stranger.failures, locked_until: &mut stranger.locked_until }.failed(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_760_000_000_000;
    const HERE: [u8; 8] = [1; 8];

    fn failed(mut state: SignIn, times: impl IntoIterator<Item = u64>) -> SignIn {
        times.into_iter().for_each(|at| state.count().failed(at));
        state
    }

    #[test]
    fn the_fifth_failure_locks_for_a_quarter_of_an_hour() {
        let four = failed(SignIn::default(), [NOW; 4]);
        assert_eq!(four.locked_for(NOW), None);
        let five = failed(four, [NOW + 4000]);
        assert_eq!(five.locked_for(NOW + 4000), Some(900));
        assert_eq!(five.locked_for(NOW + 4000 + LOCK - 1), Some(1));
        assert_eq!(five.locked_for(NOW + 4000 + LOCK), None);
        // The window starts afresh.
        let later = NOW + 4000 + LOCK;
        assert_eq!(failed(five.clone(), [later; 4]).locked_for(later), None);
        assert_eq!(failed(five, [later; 5]).locked_for(later), Some(900));
        // A time that no lock of ours reaches.
        assert_eq!(SignIn { locked_until: u64::MAX, ..SignIn::default() }.locked_for(NOW), None);
    }

    #[test]
    fn failures_count_for_a_quarter_of_an_hour_each() {
        let four = failed(SignIn::default(), [NOW, NOW + 1, NOW + 2, NOW + 3]);
        assert_eq!(failed(four.clone(), [NOW + WINDOW]).failures, [NOW + 1, NOW + 2, NOW + 3, NOW + WINDOW]);
        assert!(failed(four.clone(), [NOW + WINDOW - 1]).locked_for(NOW + WINDOW).is_some());
        assert!(failed(four.clone(), [NOW + WINDOW, NOW + WINDOW]).locked_for(NOW + WINDOW).is_some());
        assert_eq!(failed(four.clone(), [NOW - 1]).failures, [NOW - 1]);
        let mut signed_in = four;
        signed_in.succeeded(NOW + 9);
        assert_eq!((signed_in.failures.len(), signed_in.last), (0, NOW + 9));
    }

    #[test]
    fn what_failed_elsewhere_counts_here() {
        let four = SignIn::taken_over(4, NOW, 0, NOW);
        assert!(four.locked_for(NOW).is_none() && failed(four, [NOW + 1]).locked_for(NOW + 1).is_some());
        let mut five = SignIn::taken_over(5, NOW, 0, NOW);
        assert_eq!((five.locked_for(NOW + 1000), five.locked_for(NOW + LOCK)), (Some(899), None));
        assert_eq!(SignIn::taken_over(0, 0, NOW + 2000, NOW).locked_for(NOW), Some(2));
        // What another service locks for longer is locked for as long as we do.
        assert_eq!(SignIn::taken_over(0, 0, u64::MAX, NOW).locked_for(NOW), Some(900));
        assert!(five.unlock() && five.locked_for(NOW).is_none() && five == SignIn::default() && !five.unlock());
    }

    #[test]
    fn a_sign_in_waits_for_its_code_for_five_minutes_where_it_began() {
        let mut state = SignIn::default();
        state.wait_for_code(NOW, HERE);
        assert!(state.is_pending(NOW, &HERE) && state.is_pending(NOW + PENDING - 1, &HERE));
        assert!(!state.is_pending(NOW, &[2; 8]));
        assert!(!state.is_pending(NOW + PENDING, &HERE) && !state.is_pending(NOW - 1, &HERE));
        assert!(!SignIn::default().is_pending(NOW, &[0; 8]));
        state.end_waiting();
        assert!(!state.is_pending(NOW, &HERE));
    }

    #[test]
    fn strangers_are_counted_as_users_are() {
        let mut strangers = Strangers::default();
        (0..5).for_each(|_| strangers.failed(&[1; 16], NOW));
        assert_eq!((strangers.locked_for(&[1; 16], NOW), strangers.locked_for(&[2; 16], NOW)), (Some(900), None));
        // Those that are locked stay so where many others come.
        (2..100).for_each(|other| strangers.failed(&[other; 16], NOW + 1));
        assert_eq!(strangers.0.len(), MAX_STRANGERS);
        assert_eq!(strangers.locked_for(&[1; 16], NOW + 1), Some(900));
        assert!(Strangers::decode(&strangers.encode()).is_ok());
    }
}
