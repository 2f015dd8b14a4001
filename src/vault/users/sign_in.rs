//! Signing in: a password and, where it is wanted, a code; each step one commit that looks at the user as they are then.

use super::factor;
use super::name::{Mark, UserName};
use super::password::{NewPassword, Proof};
use super::{end_sessions, is_acting_admin};
use crate::format::user::{SignIn, Strangers, User};
use crate::store::Snapshot;
use crate::vault::Vault;
use crate::vault::error::Result;
use crate::vault::together::Changes;

/// What there is under a name before its password is compared.
pub struct Found {
    /// What names the records.
    pub mark: Mark,
    /// The user, if there is one.
    pub user: Option<User>,
    /// What is kept of attempts to sign in as them; of nobody, nothing.
    pub state: SignIn,
    /// For how many seconds more nobody is heard under this name.
    pub locked_for: Option<u64>,
}

/// A session that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The user's name as it was given.
    pub name: String,
    /// The number of their session.
    pub number: u64,
}

/// What comes of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedIn {
    /// The name or the password is wrong, or the user is disabled.
    Wrong,
    /// Nobody is heard under this name, for so many seconds.
    Locked(u64),
    /// A code is wanted of this user.
    CodeWanted(String),
    /// A session begins.
    Session(Session),
}

/// What comes of a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// It does not hold, or no password was seen before; or nobody is heard, for so many seconds.
    Wrong(Option<u64>),
    /// A session begins.
    Session(Session),
}

/// What comes of proving oneself once more, within a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmed {
    /// The password is wrong.
    WrongPassword,
    /// A code is wanted besides, or the one that was given does not hold.
    WrongCode,
    /// Nobody is heard, for so many seconds.
    Locked(u64),
    /// The change was made.
    Done(Session),
}

impl Vault {
    /// What there is under a name.
    pub fn find_user(&self, name: &UserName, now: u64) -> Result<Found> {
        self.read(&mut |state| {
            let mark = self.mark_in(state.as_ref(), name)?;
            let user = self.user_in(state.as_ref(), mark)?.filter(|_| !name.is_empty());
            let (state, locked_for) = match user {
                Some(_) => {
                    let state = self.sign_in_of(state.as_ref(), mark)?;
                    let locked_for = state.locked_for(now);
                    (state, locked_for)
                }
                None => (SignIn::default(), self.strangers_in(state.as_ref(), mark)?.locked_for(mark.bytes(), now)),
            };
            Ok(Found { mark, user, state, locked_for })
        })
    }

    fn strangers_in(&self, state: &dyn Snapshot, mark: Mark) -> Result<Strangers> {
        let content = self.system_get_in(state, Strangers::RECORD, &mark.shared_record())?;
        Ok(content.map(|content| Strangers::decode(&content)).transpose()?.unwrap_or_default())
    }
}

/// Who was found, as they are in the commit: gone, or another, if what was proved does not count any more.
enum Now {
    Same(Box<User>, SignIn),
    Other,
}

impl Changes<'_> {
    /// What comes of a password. `new`: what its verifier is to become, if it is an old one. `from`: where the client is, in eight bytes.
    pub fn sign_in_with_password(
        &mut self,
        found: &Found,
        proof: Proof,
        new: Option<&NewPassword>,
        from: [u8; 8],
    ) -> Result<SignedIn> {
        let now = self.now();
        let (mut user, mut state) = match self.again(found)? {
            Now::Same(user, state) => (user, state),
            Now::Other => return self.stranger_failed(found, now),
        };
        if let Some(seconds) = state.locked_for(now) {
            return Ok(SignedIn::Locked(seconds));
        }
        if !proof.is_right() || user.disabled.is_some() {
            state.count().failed(now);
            self.put_sign_in(found.mark, &state)?;
            return Ok(SignedIn::Wrong);
        }
        if let Some(new) = new {
            (user.password, user.pepper) = (new.verifier.clone(), new.pepper);
            self.put_user(found.mark, &user)?;
        }
        // Also without a second factor: the first code turns it on.
        state.wait_for_code(now, from);
        if user.second_factor {
            // What failed counts until all of the sign-in is done, or each right password would give five more guesses at the code.
            self.put_sign_in(found.mark, &state)?;
            return Ok(SignedIn::CodeWanted(user.name));
        }
        state.succeeded(now);
        self.put_sign_in(found.mark, &state)?;
        Ok(SignedIn::Session(Session { name: user.name, number: user.session }))
    }

    /// What comes of a code: it completes a sign-in that a password began at the same place, and is taken once. The first one turns the second factor on.
    pub fn sign_in_with_code(&mut self, found: &Found, code: &str, from: [u8; 8]) -> Result<Code> {
        let now = self.now();
        let (mut user, mut state) = match self.again(found)? {
            Now::Same(user, state) => (user, state),
            Now::Other => {
                return Ok(Code::Wrong(match self.stranger_failed(found, now)? {
                    SignedIn::Locked(seconds) => Some(seconds),
                    _ => None,
                }));
            }
        };
        if let Some(seconds) = state.locked_for(now) {
            return Ok(Code::Wrong(Some(seconds)));
        }
        // Compared in any case: whether a password was seen is not found out by time.
        let holds = self.take_code(&mut user, &mut state, code, now);
        if !holds || !state.is_pending(now, &from) || user.disabled.is_some() {
            // What was taken is not written.
            let mut state = self.sign_in(found.mark)?;
            state.count().failed(now);
            self.put_sign_in(found.mark, &state)?;
            return Ok(Code::Wrong(None));
        }
        if !user.second_factor {
            user.second_factor = true;
            end_sessions(&mut user, &mut state);
        }
        state.end_waiting();
        state.succeeded(now);
        self.put_user(found.mark, &user)?;
        self.put_sign_in(found.mark, &state)?;
        Ok(Code::Session(Session { name: user.name, number: user.session }))
    }

    /// Makes a change for which users prove themselves once more: by the password, and by a code if one is asked for at sign-in. Failures count as those
    /// of signing in do.
    pub fn confirmed(
        &mut self,
        found: &Found,
        proof: Proof,
        code: Option<&str>,
        make: &mut dyn FnMut(&mut User, &mut SignIn) -> Result<()>,
    ) -> Result<Confirmed> {
        let now = self.now();
        let Now::Same(mut user, mut state) = self.again(found)? else { return Ok(Confirmed::WrongPassword) };
        if let Some(seconds) = state.locked_for(now) {
            return Ok(Confirmed::Locked(seconds));
        }
        let proved = proof.is_right();
        let code_holds = !user.second_factor || code.is_some_and(|code| self.take_code(&mut user, &mut state, code, now));
        if !proved || !code_holds {
            let mut state = self.sign_in(found.mark)?;
            // Whoever was not asked for a code yet has not failed.
            if !proved || code.is_some() {
                state.count().failed(now);
                self.put_sign_in(found.mark, &state)?;
            }
            return Ok(if proved { Confirmed::WrongCode } else { Confirmed::WrongPassword });
        }
        let was_admin = is_acting_admin(&user);
        make(&mut user, &mut state)?;
        if was_admin && !is_acting_admin(&user) {
            self.refuse_without_admin(found.mark)?;
        }
        self.put_user(found.mark, &user)?;
        self.put_sign_in(found.mark, &state)?;
        Ok(Confirmed::Done(Session { name: user.name, number: user.session }))
    }

    /// Takes the first code of a new secret: codes are made from it from then on, by an app, and asked for at sign-in. Returns whether it held.
    pub fn confirm_app(&mut self, found: &Found, code: &str) -> Result<Confirmed> {
        let now = self.now();
        let Now::Same(mut user, mut state) = self.again(found)? else { return Ok(Confirmed::WrongCode) };
        if let Some(seconds) = state.locked_for(now) {
            return Ok(Confirmed::Locked(seconds));
        }
        // Of a new secret no code was taken yet.
        let step = user.otp_new.as_ref().and_then(|key| factor::step_of(key, code, 0, now));
        let (Some(step), Some(key)) = (step, user.otp_new.take()) else {
            state.count().failed(now);
            self.put_sign_in(found.mark, &state)?;
            return Ok(Confirmed::WrongCode);
        };
        (user.otp, user.app, user.second_factor, state.step) = (key, true, true, step);
        end_sessions(&mut user, &mut state);
        self.put_user(found.mark, &user)?;
        self.put_sign_in(found.mark, &state)?;
        Ok(Confirmed::Done(Session { name: user.name, number: user.session }))
    }

    /// Takes a code, by time or of recovery, if it holds.
    fn take_code(&self, user: &mut User, state: &mut SignIn, code: &str, now: u64) -> bool {
        match factor::step_of(&user.otp, code, state.step, now) {
            Some(step) => {
                state.step = step;
                true
            }
            None => user.second_factor && factor::take_recovery(user, code, &self.vault().id),
        }
    }

    /// The user, if they are who was found: the same person, password and session.
    fn again(&self, found: &Found) -> Result<Now> {
        let (Some(before), Some(user)) = (&found.user, self.user_of(found.mark)?) else { return Ok(Now::Other) };
        let is_same = (user.uid, user.session) == (before.uid, before.session) && user.password == before.password;
        if is_same { Ok(Now::Same(Box::new(user), self.sign_in(found.mark)?)) } else { Ok(Now::Other) }
    }

    /// A failure under the name of nobody: it costs and leaves what one of a user does.
    fn stranger_failed(&mut self, found: &Found, now: u64) -> Result<SignedIn> {
        if found.user.is_some() {
            // Who was found is another meanwhile: nobody failed.
            return Ok(SignedIn::Wrong);
        }
        let mut strangers = self.vault().strangers_in(self.state(), found.mark)?;
        if let Some(seconds) = strangers.locked_for(found.mark.bytes(), now) {
            return Ok(SignedIn::Locked(seconds));
        }
        // Where there was never a user there is none to be told from.
        if self.vault().names_key_in(self.state())?.is_some() {
            strangers.failed(found.mark.bytes(), now);
            self.system_put(Strangers::RECORD, &found.mark.shared_record(), &strangers.encode())?;
        }
        Ok(SignedIn::Wrong)
    }
}
