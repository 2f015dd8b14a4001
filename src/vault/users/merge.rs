//! Users of two copies of a vault: of what both changed, what permits less; and what was removed on one side stays removed.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use super::name::UserName;
use super::{SESSION_SECRET, SETTING, USER_NAMES};
use crate::format::header::unhex;
use crate::format::keyspace;
use crate::format::user::{MAX_FAILURES, MAX_RECOVERY, SignIn, Strangers, User};
use crate::secret::UserNamesKey;
use crate::vault::error::Result;

/// System records by their keys, opened.
type Records = BTreeMap<Vec<u8>, Zeroizing<Vec<u8>>>;

/// What is to become of a record that both sides have or had.
pub(in crate::vault) enum Joined {
    /// It is no record of users.
    Other,
    /// It stays as it is.
    Stays,
    /// It is to have this content.
    Content(Zeroizing<Vec<u8>>),
    /// The same, and a part of it is the favoured side's, because both changed it.
    Decided(Zeroizing<Vec<u8>>),
    /// It goes.
    Goes,
    /// Both changed it; the favoured side decides.
    Conflict,
}

/// Puts the records of another copy in the places that the own key of names gives them, where that copy made a key of its own.
pub(in crate::vault) fn settle(own: &Records, other: &mut Records, vault: &[u8; 16]) -> Result<()> {
    let key_of = |records: &Records| {
        let content = records.get(&keyspace::system(SETTING, USER_NAMES))?;
        Some(UserNamesKey::new(Zeroizing::new(content.as_slice().try_into().ok()?)))
    };
    let (Some(ours), Some(theirs)) = (key_of(own), key_of(other)) else { return Ok(()) };
    if ours.expose() == theirs.expose() {
        return Ok(());
    }
    let prefix = keyspace::system(User::RECORD, "");
    let places: Vec<Vec<u8>> = other.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
    for place in places {
        let Some(content) = other.remove(&place) else { continue };
        let name = UserName::of(&User::decode(&content)?.name);
        let (from, to) = (name.mark(&theirs, vault).record(), name.mark(&ours, vault).record());
        other.insert(keyspace::system(User::RECORD, &to), content);
        if let Some(state) = other.remove(&keyspace::system(SignIn::RECORD, &from)) {
            other.insert(keyspace::system(SignIn::RECORD, &to), state);
        }
    }
    Ok(())
}

/// Joins a record of users. `old`: what it was when the copies went apart, if that is known.
pub(in crate::vault) fn join(
    (kind, name): (&str, &str),
    ours: Option<&Zeroizing<Vec<u8>>>,
    theirs: Option<&Zeroizing<Vec<u8>>>,
    old: Option<&Zeroizing<Vec<u8>>>,
    favours_own: bool,
) -> Result<Joined> {
    let is_removed = old.is_some() && (ours.is_none() || theirs.is_none());
    Ok(match kind {
        // The other side's may be known to somebody who was to know no more.
        SETTING if name == SESSION_SECRET => Joined::Stays,
        SETTING if name == USER_NAMES && ours.is_some() => Joined::Stays,
        Strangers::RECORD => Joined::Stays,
        User::RECORD | SignIn::RECORD if is_removed => Joined::Goes,
        User::RECORD => match (ours, theirs) {
            (Some(ours), Some(theirs)) => {
                let (one, other) = (User::decode(ours)?, User::decode(theirs)?);
                if one.uid != other.uid {
                    return Ok(Joined::Conflict);
                }
                let old = old.map(|old| User::decode(old)).transpose()?;
                let (user, is_settled) = lesser(one, other, old.as_ref(), favours_own);
                match (user.fits(), is_settled) {
                    (false, _) => Joined::Conflict,
                    (true, true) => Joined::Content(user.encode()),
                    (true, false) => Joined::Decided(user.encode()),
                }
            }
            _ => Joined::Other,
        },
        SignIn::RECORD => match (ours, theirs) {
            (Some(ours), Some(theirs)) => Joined::Content(stricter(SignIn::decode(ours)?, &SignIn::decode(theirs)?).encode()),
            _ => Joined::Other,
        },
        _ => Joined::Other,
    })
}

/// Which of two states of something is the newer one, by what both began from; `None`: both are new, and not the same.
fn is_the_others<T: PartialEq>(one: T, other: T, old: Option<T>) -> Option<bool> {
    match old {
        _ if one == other => Some(false),
        Some(old) if one == old => Some(true),
        Some(old) if other == old => Some(false),
        _ => None,
    }
}

/// Of two states of one user the one that may do less; and whether nothing of it was to be decided. Which of two new passwords or code secrets counts is
/// not for us to say: those of the favoured side do.
fn lesser(mut one: User, mut other: User, old: Option<&User>, favours_own: bool) -> (User, bool) {
    let password = is_the_others(&one.password, &other.password, old.map(|old| &old.password));
    let otp = is_the_others(one.otp.expose(), other.otp.expose(), old.map(|old| old.otp.expose()));
    if password.unwrap_or(!favours_own) {
        (one.password, one.pepper) = (other.password, other.pepper);
    }
    if otp.unwrap_or(!favours_own) {
        std::mem::swap(&mut one.otp, &mut other.otp);
        one.app = other.app;
    }
    // Neither side's sessions hold: on one of them they may have been ended.
    one.session = one.session.max(other.session).wrapping_add(1);
    one.disabled = match (one.disabled, other.disabled) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    one.role = one.role.min(other.role);
    one.second_factor |= other.second_factor;
    one.otp_new = None;
    one.recovery.retain(|code| other.recovery.contains(code));
    one.recovery.truncate(MAX_RECOVERY);
    let known: BTreeSet<[u8; 8]> = one.ring.iter().map(|key| key.id).collect();
    one.ring.extend(other.ring.into_iter().filter(|key| !known.contains(&key.id)));
    one.ring.sort_by_key(|key| (key.created, key.id));
    (one, password.is_some() && otp.is_some())
}

/// Of two states of attempts the one that permits less.
fn stricter(mut one: SignIn, other: &SignIn) -> SignIn {
    one.failures.extend(&other.failures);
    one.failures.sort_unstable();
    one.failures.dedup();
    let surplus = one.failures.len().saturating_sub(MAX_FAILURES);
    one.failures.drain(..surplus);
    one.locked_until = one.locked_until.max(other.locked_until);
    one.end_waiting();
    one.step = one.step.max(other.step);
    one.last = one.last.max(other.last);
    one
}

/// Which users there are, by what was decided about their records.
#[derive(Default)]
pub(in crate::vault) struct Alive {
    users: BTreeSet<[u8; 16]>,
    marks: BTreeSet<[u8; 16]>,
}

impl Alive {
    /// Notes a record of a user that there will be.
    pub fn note(&mut self, kind: &str, name: &str, content: &[u8]) -> Result<()> {
        if kind == User::RECORD {
            self.users.insert(User::decode(content)?.uid);
            self.marks.extend(unhex::<16>(name).ok());
        }
        Ok(())
    }

    /// Whether a record is kept of a user that there will not be. Records of users have to be noted before.
    pub fn is_without_owner(&self, kind: &str, name: &str) -> bool {
        kind == SignIn::RECORD && !unhex::<16>(name).is_ok_and(|mark| self.marks.contains(&mark))
    }

    /// Whether what stands under this key of the tree belongs to a user that there will be.
    pub fn owns(&self, key: &[u8]) -> bool {
        keyspace::parse_user_data(key).is_ok_and(|(user, _)| self.users.contains(&user))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::format::user::{PasswordVerifier, Role, UserKey};
    use crate::secret::{DataKey, OtpKey};

    fn key(id: u8) -> UserKey {
        UserKey { id: [id; 8], created: id.into(), key: DataKey::new(Zeroizing::new([id; 32])) }
    }

    fn user(salt: u8) -> User {
        let password = PasswordVerifier::Argon2id { m: 64, t: 1, p: 1, salt: [salt; 16], hash: [0; 32] };
        let otp = OtpKey::new(vec![1; 20].into());
        User::new([1; 16], "ann".to_owned(), String::new(), password, otp, key(1))
    }

    fn content(joined: Joined) -> User {
        match joined {
            Joined::Content(content) => User::decode(&content).unwrap(),
            _ => unreachable!("it is to have a content"),
        }
    }

    fn joined(one: &User, other: &User, old: Option<&User>) -> Joined {
        let old = old.map(User::encode);
        join((User::RECORD, ""), Some(&one.encode()), Some(&other.encode()), old.as_ref(), true).unwrap()
    }

    #[test]
    fn of_two_states_the_one_that_permits_less() {
        let (mut one, mut other) = (user(1), user(1));
        (one.session, one.role, one.second_factor, one.recovery) = (6, Role::Admin, true, vec![[1; 32], [2; 32]]);
        (other.session, other.disabled, other.recovery) = (6, Some(9), vec![[2; 32], [3; 32]]);
        one.ring.push(key(3));
        other.ring.push(key(2));
        for both in [content(joined(&one, &other, Some(&user(1)))), content(joined(&other, &one, None))] {
            assert_eq!((both.session, both.role, both.second_factor, both.disabled), (7, Role::Writer, true, Some(9)));
            assert_eq!(both.recovery, [[2; 32]]);
            assert_eq!(both.ring.iter().map(|key| key.created).collect::<Vec<_>>(), [1, 2, 3]);
        }
    }

    #[test]
    fn a_new_password_of_one_side_counts_and_of_two_neither_by_itself() {
        let (old, new, newer) = (user(1), user(2), user(3));
        assert!(content(joined(&old, &new, Some(&old))).password == new.password);
        assert!(content(joined(&new, &old, Some(&old))).password == new.password);
        // All but the passwords is joined all the same.
        let mut newer = newer;
        (newer.disabled, newer.session) = (Some(3), 8);
        newer.ring.push(key(2));
        let Joined::Decided(both) = joined(&new, &newer, Some(&old)) else { unreachable!("both have a new password") };
        let both = User::decode(&both).unwrap();
        assert!(both.password == new.password && both.ring.len() == 2 && (both.disabled, both.session) == (Some(3), 9));
        assert!(matches!(joined(&new, &old, None), Joined::Decided(_)));
        // An app on one side, another role on the other.
        let (mut enrolled, mut demoted, mut somebody_else) = (user(1), user(1), user(1));
        (enrolled.otp, enrolled.app, enrolled.second_factor) = (OtpKey::new(vec![2; 20].into()), true, true);
        (demoted.role, somebody_else.uid) = (Role::Reader, [2; 16]);
        for both in [joined(&enrolled, &demoted, Some(&old)), joined(&demoted, &enrolled, Some(&old))] {
            let both = content(both);
            assert_eq!((both.otp.expose()[0], both.app, both.second_factor, both.role), (2, true, true, Role::Reader));
        }
        assert!(matches!(joined(&old, &somebody_else, None), Joined::Conflict));
    }

    #[test]
    fn what_was_removed_stays_removed() {
        let (old, changed) = (user(1).encode(), user(2).encode());
        for (ours, theirs) in [(Some(&changed), None), (None, Some(&changed))] {
            assert!(matches!(join((User::RECORD, ""), ours, theirs, Some(&old), true).unwrap(), Joined::Goes));
            assert!(matches!(join((User::RECORD, ""), ours, theirs, None, true).unwrap(), Joined::Other));
        }
    }

    #[test]
    fn attempts_of_both_count() {
        let one = SignIn { failures: vec![1, 5], pending_until: 9, pending_from: [1; 8], step: 3, ..SignIn::default() };
        let other = SignIn { failures: vec![2, 5, 6, 7], locked_until: 8, ..SignIn::default() };
        let both = SignIn { failures: vec![2, 5, 6, 7], locked_until: 8, step: 3, ..SignIn::default() };
        assert_eq!((stricter(one.clone(), &other), stricter(other, &one)), (both.clone(), both));
    }
}
