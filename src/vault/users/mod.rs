//! Users of the server: what proves them, what they may do, and what they keep (SPEC, section 6).
//!
//! Nothing here is slow: passwords are compared before, by [`prove`], and what came of it is acted on in one commit, which looks at the user once more.

mod address;
mod attempts;
mod data;
mod factor;
mod import;
pub(super) mod merge;
mod name;
mod password;
mod sign_in;

pub use address::{email_fault, is_address};
pub use data::{DatumId, MAX_DATA, MAX_KIND, MAX_VALUE};
pub use factor::{
    base32, code, end_of, new_key as new_otp_key, new_recovery, step_to_send, turn_off as turn_off_second_factor, uri as otp_uri,
};
pub use import::{Export, Imported, Unread, read_export};
pub use name::{Mark, UserName};
pub use password::{NewPassword, Peppers, Proof, new_verifier, prove, weakness};
pub use sign_in::{Code, Confirmed, Found, Session, SignedIn};

use zeroize::Zeroizing;

use super::error::{Error, ErrorKind, Result};
use super::together::Changes;
use super::{Seen, Vault};
use crate::crypto;
use crate::format::FormatError;
use crate::format::keyspace;
use crate::format::user::{Role, SignIn, Strangers, User, UserKey};
use crate::secret::{DataKey, SessionSecret, UserNamesKey};
use crate::store::{Snapshot, Walk};

/// Longest name of a new user, in characters.
pub const MAX_USER_NAME: usize = 255;
/// The kind of the records that hold what concerns all users.
pub(super) const SETTING: &str = "setting";
/// The key that names records of users.
pub(super) const USER_NAMES: &str = "user-names";
/// What signs sessions.
pub(super) const SESSION_SECRET: &str = "session-secret";

/// Whom to make a user.
pub struct NewUser {
    /// The name as it was given.
    pub name: String,
    /// Where codes go.
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// What the password is compared with.
    pub password: NewPassword,
}

/// What is wrong with the name of a new user, in words; `None`: nothing.
pub fn name_fault(name: &str) -> Option<&'static str> {
    if UserName::of(name).is_empty() {
        return Some("the name is empty");
    }
    if name.chars().count() > MAX_USER_NAME {
        return Some("the name has more than 255 characters");
    }
    name.chars().any(char::is_control).then_some("the name has a control character")
}

impl Vault {
    /// What names the records of a user.
    pub fn user_mark(&self, name: &UserName) -> Result<Mark> {
        self.read(&mut |state| self.mark_in(state.as_ref(), name))
    }

    /// A user, and what names their records.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none of this name.
    pub fn user(&self, name: &UserName) -> Result<(Mark, User)> {
        self.read(&mut |state| {
            let mark = self.mark_in(state.as_ref(), name)?;
            let user = self.user_in(state.as_ref(), mark)?;
            Ok((mark, user.filter(|_| !name.is_empty()).ok_or_else(no_user)?))
        })
    }

    /// A user as they were at a look at the file.
    pub fn user_at(&self, seen: &Seen, name: &UserName) -> Result<Option<(Mark, User)>> {
        self.read_at(seen, &mut |state| {
            let mark = self.mark_in(state.as_ref(), name)?;
            Ok(self.user_in(state.as_ref(), mark)?.filter(|_| !name.is_empty()).map(|user| (mark, user)))
        })
    }

    /// All users, by their names.
    pub fn users(&self) -> Result<Vec<(Mark, User, SignIn)>> {
        let mut users = self.read(&mut |state| {
            let mut users = Vec::new();
            self.system_range_in(state.as_ref(), User::RECORD, &mut |name, content| {
                let mark = Mark::parse(name).ok_or(FormatError::Malformed("a user has no user's name"))?;
                users.push((mark, User::decode(&content)?, self.sign_in_of(state.as_ref(), mark)?));
                Ok(Walk::Continue(()))
            })?;
            Ok(users)
        })?;
        users.sort_by(|(_, one, _), (_, other, _)| one.name.cmp(&other.name));
        Ok(users)
    }

    /// How many users there are.
    pub fn count_users(&self) -> Result<u64> {
        self.read(&mut |state| count_in(state.as_ref()))
    }

    /// What is kept of attempts to sign in as this user.
    pub fn sign_in(&self, mark: Mark) -> Result<SignIn> {
        self.read(&mut |state| self.sign_in_of(state.as_ref(), mark))
    }

    /// What signs sessions, if it was made.
    pub fn session_secret(&self) -> Result<Option<SessionSecret>> {
        Ok(self.system_get(SETTING, SESSION_SECRET)?.map(SessionSecret::new))
    }

    /// Makes a user.
    ///
    /// # Errors
    /// As [`Changes::add_user`].
    pub fn add_user(&self, new: &NewUser, now: u64) -> Result<()> {
        self.change_whole(now, &mut |changes| changes.add_user(new, u64::MAX))
    }

    /// Changes a user. What ends their sessions is for `make` to say: [`end_sessions`].
    ///
    /// # Errors
    /// As [`Changes::update_user`].
    pub fn update_user(
        &self,
        name: &UserName,
        now: u64,
        make: &mut dyn FnMut(&mut User, &mut SignIn) -> Result<()>,
    ) -> Result<()> {
        self.change_whole(now, &mut |changes| changes.update_user(name, make))
    }

    /// Changes users: all of them or, if one cannot be changed, none. Returns what `make` returned for each.
    ///
    /// # Errors
    /// As [`Changes::update_user`].
    pub fn update_users<T>(
        &self,
        names: &[UserName],
        now: u64,
        make: &mut dyn FnMut(&mut User, &mut SignIn) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.change_whole(now, &mut |changes| {
            let mut all = Vec::with_capacity(names.len());
            for name in names {
                changes.update_user(name, &mut |user, state| {
                    all.push(make(user, state)?);
                    Ok(())
                })?;
            }
            Ok(all)
        })
    }

    /// Removes users: all of them or, if one cannot be removed, none. What they keep goes with them, `with_data`. Returns their names as they were
    /// given.
    ///
    /// # Errors
    /// As [`Changes::remove_user`]; [`ErrorKind::Conflict`] if one keeps something and it is not to go.
    pub fn remove_users(&self, names: &[UserName], with_data: bool, now: u64) -> Result<Vec<String>> {
        self.change_whole(now, &mut |changes| {
            let mut removed = Vec::with_capacity(names.len());
            for name in names {
                let (mark, user) = changes.named(name)?;
                if !with_data {
                    changes.refuse_data(&user)?;
                }
                changes.remove_found(mark, &user)?;
                removed.push(user.name);
            }
            Ok(removed)
        })
    }

    pub(super) fn names_key_in(&self, state: &dyn Snapshot) -> Result<Option<UserNamesKey>> {
        let Some(content) = self.system_get_in(state, SETTING, USER_NAMES)? else { return Ok(None) };
        let bytes: [u8; 32] =
            content.as_slice().try_into().map_err(|_| FormatError::Malformed("the key of users' names has not 32 bytes"))?;
        Ok(Some(UserNamesKey::new(Zeroizing::new(bytes))))
    }

    fn mark_in(&self, state: &dyn Snapshot, name: &UserName) -> Result<Mark> {
        // Without a user there is no key, and nothing to find.
        let key = self.names_key_in(state)?.unwrap_or_else(|| UserNamesKey::new(Zeroizing::new([0; 32])));
        Ok(name.mark(&key, &self.id))
    }

    fn user_in(&self, state: &dyn Snapshot, mark: Mark) -> Result<Option<User>> {
        let content = self.system_get_in(state, User::RECORD, &mark.record())?;
        Ok(content.map(|content| User::decode(&content)).transpose()?)
    }

    fn sign_in_of(&self, state: &dyn Snapshot, mark: Mark) -> Result<SignIn> {
        let content = self.system_get_in(state, SignIn::RECORD, &mark.record())?;
        Ok(content.map(|content| SignIn::decode(&content)).transpose()?.unwrap_or_default())
    }

    /// Reads everything of users, and refuses what is not what it should be.
    pub(super) fn check_users(&self, snapshot: &dyn Snapshot) -> Result<()> {
        let mut users = Vec::new();
        self.system_range_in(snapshot, User::RECORD, &mut |name, content| {
            users.push((name.to_owned(), User::decode(&content)?));
            Ok(Walk::Continue(()))
        })?;
        for (record, user) in &users {
            if self.mark_in(snapshot, &UserName::of(&user.name))?.record() != *record {
                return Err(FormatError::Malformed("a user has not the place of their name").into());
            }
        }
        self.system_range_in(snapshot, SignIn::RECORD, &mut |_, content| {
            Ok(SignIn::decode(&content).map(|_| Walk::Continue(()))?)
        })?;
        self.system_range_in(snapshot, Strangers::RECORD, &mut |_, content| {
            Ok(Strangers::decode(&content).map(|_| Walk::Continue(()))?)
        })?;
        self.check_data(snapshot, &users)
    }
}

impl Changes<'_> {
    /// Makes a user, if there are fewer than `most`.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if there is one of this name or there are too many, [`ErrorKind::Usage`] for a name that can be nobody's.
    pub fn add_user(&mut self, new: &NewUser, most: u64) -> Result<()> {
        if let Some(fault) = name_fault(&new.name) {
            return Err(Error::new(ErrorKind::Usage, "invalid_user", fault));
        }
        if let Some(fault) = email_fault(&new.email) {
            return Err(Error::new(ErrorKind::Usage, "invalid_user", fault));
        }
        self.make_names_key()?;
        let mark = self.mark(&UserName::of(&new.name))?;
        if self.user_of(mark)?.is_some() {
            return Err(Error::new(ErrorKind::Conflict, "user_exists", "there is a user of this name"));
        }
        if most < u64::MAX && count_in(self.state())? >= most {
            return Err(Error::new(ErrorKind::Conflict, "too_many_users", "there are as many users as there may be"));
        }
        let key = UserKey { id: crypto::random()?, created: self.now(), key: DataKey::new(crypto::random_key()?) };
        let verifier = new.password.verifier.clone();
        let mut user = User::new(crypto::random()?, new.name.clone(), new.email.clone(), verifier, factor::new_key()?, key);
        (user.role, user.pepper) = (new.role, new.password.pepper);
        user.session = first_session()?;
        self.put_user(mark, &user)
    }

    /// Changes a user.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none of this name, [`ErrorKind::Conflict`] if no administrator would be left.
    pub fn update_user(&mut self, name: &UserName, make: &mut dyn FnMut(&mut User, &mut SignIn) -> Result<()>) -> Result<()> {
        let (mark, mut user) = self.named(name)?;
        let mut state = self.sign_in(mark)?;
        let was_admin = is_acting_admin(&user);
        make(&mut user, &mut state)?;
        if was_admin && !is_acting_admin(&user) {
            self.refuse_without_admin(mark)?;
        }
        self.put_user(mark, &user)?;
        self.put_sign_in(mark, &state)
    }

    /// Removes a user, what is kept of their attempts, and all that they keep.
    ///
    /// # Errors
    /// As [`Changes::update_user`].
    pub fn remove_user(&mut self, name: &UserName) -> Result<()> {
        let (mark, user) = self.named(name)?;
        self.remove_found(mark, &user)
    }

    fn remove_found(&mut self, mark: Mark, user: &User) -> Result<()> {
        if is_acting_admin(user) {
            self.refuse_without_admin(mark)?;
        }
        self.attempt(|vault, state, batch| {
            vault.refuse_limited()?;
            for kind in [User::RECORD, SignIn::RECORD] {
                let key = keyspace::system(kind, &mark.record());
                if state.get(&key)?.is_some() {
                    batch.delete(key);
                }
            }
            super::read::walk(state, &keyspace::user_data_prefix(&user.uid), &mut |key, _| {
                batch.delete(key.to_vec());
                Ok(Walk::Continue(()))
            })
        })
    }

    fn refuse_data(&self, user: &User) -> Result<()> {
        let mut is_empty = true;
        super::read::walk(self.state(), &keyspace::user_data_prefix(&user.uid), &mut |_, _| {
            is_empty = false;
            Ok(Walk::Break(()))
        })?;
        if is_empty {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, "user_keeps_data", format!("the user '{}' keeps data", user.name))
            .hint("with --force it goes with them; `vault user export` shows it"))
    }

    /// What signs sessions; made if there is none.
    pub fn session_secret(&mut self) -> Result<SessionSecret> {
        if let Some(content) = self.system_get(SETTING, SESSION_SECRET)? {
            return Ok(SessionSecret::new(content));
        }
        let secret = crypto::random_key()?;
        self.system_put(SETTING, SESSION_SECRET, secret.as_slice())?;
        Ok(SessionSecret::new(secret.to_vec().into()))
    }

    fn make_names_key(&mut self) -> Result<()> {
        if self.system_get(SETTING, USER_NAMES)?.is_none() {
            self.system_put(SETTING, USER_NAMES, crypto::random_key()?.as_slice())?;
        }
        Ok(())
    }

    fn mark(&self, name: &UserName) -> Result<Mark> {
        self.vault().mark_in(self.state(), name)
    }

    fn user_of(&self, mark: Mark) -> Result<Option<User>> {
        self.vault().user_in(self.state(), mark)
    }

    fn sign_in(&self, mark: Mark) -> Result<SignIn> {
        self.vault().sign_in_of(self.state(), mark)
    }

    fn named(&self, name: &UserName) -> Result<(Mark, User)> {
        let mark = self.mark(name)?;
        Ok((mark, self.user_of(mark)?.filter(|_| !name.is_empty()).ok_or_else(no_user)?))
    }

    fn put_user(&mut self, mark: Mark, user: &User) -> Result<()> {
        self.system_put(User::RECORD, &mark.record(), &encoded(user)?)
    }

    fn put_sign_in(&mut self, mark: Mark, state: &SignIn) -> Result<()> {
        self.system_put(SignIn::RECORD, &mark.record(), &state.encode())
    }

    fn refuse_without_admin(&self, but: Mark) -> Result<()> {
        let mut is_there_another = false;
        self.vault().system_range_in(self.state(), User::RECORD, &mut |name, content| {
            is_there_another = name != but.record() && is_acting_admin(&User::decode(&content)?);
            Ok(if is_there_another { Walk::Break(()) } else { Walk::Continue(()) })
        })?;
        if is_there_another {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, "last_admin", "no administrator would be left").hint("make another one first"))
    }
}

fn count_in(state: &dyn Snapshot) -> Result<u64> {
    let mut count = 0;
    super::read::walk(state, &keyspace::system(User::RECORD, ""), &mut |_, _| {
        count += 1;
        Ok(Walk::Continue(()))
    })?;
    Ok(count)
}

/// What becomes of a record when keys change because somebody who knew them is to know no more; `None`: it goes.
pub(super) fn renewed((kind, name): (&str, &str), content: Zeroizing<Vec<u8>>, now: u64) -> Result<Option<Zeroizing<Vec<u8>>>> {
    match (kind, name) {
        (User::RECORD, _) => {
            let mut user = User::decode(&content)?;
            // Behind the last one, whatever the clock says.
            let created = user.newest_key().created.saturating_add(1).max(now);
            user.ring.push(UserKey { id: crypto::random()?, created, key: DataKey::new(crypto::random_key()?) });
            // Of an app only its owner can replace the secret; where codes are sent nobody notices.
            if !user.app {
                user.otp = factor::new_key()?;
            }
            user.otp_new = None;
            user.session = user.session.wrapping_add(1);
            encoded(&user).map(Some)
        }
        // Sessions could be forged with it; the next one is made when it is needed.
        (SETTING, SESSION_SECRET) => Ok(None),
        _ => Ok(Some(content)),
    }
}

/// The bytes of a record that will be read again.
fn encoded(user: &User) -> Result<Zeroizing<Vec<u8>>> {
    if user.fits() {
        return Ok(user.encode());
    }
    Err(Error::new(ErrorKind::Usage, "too_large", "the record of a user would break a limit of the format"))
}

/// Ends all sessions of a user, and a sign-in that waits for its code.
pub fn end_sessions(user: &mut User, state: &mut SignIn) {
    user.session = user.session.wrapping_add(1);
    state.end_waiting();
}

/// The number of a new user's session: not zero, for a session of who had the name before is not one of this user.
fn first_session() -> Result<u64> {
    Ok(u64::from_le_bytes(crypto::random()?) >> 12)
}

fn is_acting_admin(user: &User) -> bool {
    user.role == Role::Admin && user.disabled.is_none()
}

fn no_user() -> Error {
    Error::new(ErrorKind::NotFound, "no_user", "there is no such user").hint("`vault user list` shows them")
}
