//! Users of another service, with what they keep: all of them in one commit, or none.
//!
//! Passwords cannot be taken over, what they are compared with can: it is replaced when the user signs in for the first time.

mod read;

pub use read::{Export, read_export};

use zeroize::Zeroizing;

use super::data::DatumId;
use super::{Mark, UserName, factor};
use crate::crypto;
use crate::format::user::{Datum, PasswordVerifier, Role, SignIn, User, UserKey};
use crate::secret::{DataKey, OtpKey};
use crate::store::Snapshot;
use crate::vault::Vault;
use crate::vault::error::Result;
use crate::vault::together::Changes;

/// Why something cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// What, and why, without a value.
    pub text: String,
    /// Whether it is well-formed, and a user is in its way.
    pub is_conflict: bool,
}

impl Unread {
    fn malformed(text: String) -> Self {
        Self { text, is_conflict: false }
    }

    fn conflict(text: String) -> Self {
        Self { text, is_conflict: true }
    }
}

/// What is to become of an import.
pub struct Imported {
    /// The users' names.
    pub users: Vec<String>,
    /// How many records they keep.
    pub records: usize,
    /// Why nothing is imported; empty if all of it is.
    pub unread: Vec<Unread>,
}

/// A user of the other service.
struct Foreign {
    name: String,
    email: String,
    /// A verifier of bcrypt, of a cost that is taken.
    verifier: String,
    followed_by: String,
    second_factor: bool,
    otp: Option<OtpKey>,
    created: Option<u64>,
    /// How many attempts failed, when the last did, and until when nobody is heard.
    attempts: (u64, u64, u64),
    data: Vec<ForeignDatum>,
}

/// What such a user keeps.
struct ForeignDatum {
    /// It stays, so that clients find what they know.
    id: Option<[u8; 12]>,
    kind: String,
    value: Zeroizing<String>,
    created: Option<u64>,
}

impl Vault {
    /// Makes users of all that were read, or of none if one is there or cannot be read; with `dry_run` of none. Those that `admins` names are
    /// administrators, the others writers; `pepper` is the mark of the one that their verifiers were made with.
    pub fn import_users(
        &self,
        export: &Export,
        admins: &[UserName],
        pepper: Option<[u8; 8]>,
        dry_run: bool,
        now: u64,
    ) -> Result<Imported> {
        let mut unread = export.unread.clone();
        for admin in admins.iter().filter(|admin| !export.users.iter().any(|user| UserName::of(&user.name) == **admin)) {
            unread.push(Unread::malformed(format!("'{}' is to be an administrator and is not in the file", admin.as_str())));
        }
        let make = &mut |changes: &mut Changes<'_>| {
            let conflicts = self.users_in_the_way(changes.state(), export)?;
            if conflicts.is_empty() && unread.is_empty() {
                changes.import_users(export, admins, pepper)?;
            }
            Ok(conflicts)
        };
        let conflicts = if dry_run || !unread.is_empty() {
            self.read(&mut |state| self.users_in_the_way(state.as_ref(), export))?
        } else {
            self.change_whole(now, make)?
        };
        unread.extend(conflicts);
        let records = export.users.iter().map(|user| user.data.len()).sum();
        Ok(Imported { users: export.users.iter().map(|user| user.name.clone()).collect(), records, unread })
    }

    fn users_in_the_way(&self, state: &dyn Snapshot, export: &Export) -> Result<Vec<Unread>> {
        let mut found = Vec::new();
        for user in &export.users {
            if let Some(there) = self.user_in(state, self.mark_in(state, &UserName::of(&user.name))?)? {
                let text = match there.name == user.name {
                    true => format!("there is a user '{}' already", there.name),
                    false => format!("'{}' would be the user '{}', who is there already", user.name, there.name),
                };
                found.push(Unread::conflict(text));
            }
        }
        Ok(found)
    }
}

impl Changes<'_> {
    fn import_users(&mut self, export: &Export, admins: &[UserName], pepper: Option<[u8; 8]>) -> Result<()> {
        self.make_names_key()?;
        for foreign in &export.users {
            let name = UserName::of(&foreign.name);
            let role = if admins.contains(&name) { Role::Admin } else { Role::Writer };
            let mark = self.mark(&name)?;
            self.import_user(mark, foreign, role, pepper)?;
        }
        Ok(())
    }

    fn import_user(&mut self, mark: Mark, foreign: &Foreign, role: Role, pepper: Option<[u8; 8]>) -> Result<()> {
        let now = self.now();
        let otp = match &foreign.otp {
            Some(otp) => OtpKey::new(otp.expose().to_vec().into()),
            None => factor::new_key()?,
        };
        let key = UserKey { id: crypto::random()?, created: now, key: DataKey::new(crypto::random_key()?) };
        let verifier = PasswordVerifier::Bcrypt { text: foreign.verifier.clone(), followed_by: foreign.followed_by.clone() };
        let mut user = User::new(crypto::random()?, foreign.name.clone(), foreign.email.clone(), verifier, otp, key);
        (user.role, user.pepper, user.second_factor) = (role, pepper, foreign.second_factor);
        // A clock that was ahead makes nobody of the future.
        user.created = foreign.created.unwrap_or(now).min(now);
        user.session = super::first_session()?;
        self.put_user(mark, &user)?;
        let (failures, last, locked_until) = foreign.attempts;
        let state = SignIn::taken_over(failures, last, locked_until, now);
        if state != SignIn::default() {
            self.put_sign_in(mark, &state)?;
        }
        for datum in &foreign.data {
            let created = datum.created.unwrap_or(now).min(now);
            let id = datum.id.map_or_else(crypto::random, Ok)?;
            let datum = Datum { kind: datum.kind.clone(), value: datum.value.clone(), created, modified: created };
            self.put_datum(&user, id, &datum)?;
        }
        Ok(())
    }
}

/// Reads an id as the other service writes it.
fn datum_id(text: &str) -> Option<[u8; 12]> {
    DatumId::parse(text).map(DatumId::bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::secret::{Passphrase, PepperSecret};
    use crate::store::memory::MemoryStore;
    use crate::vault::Options;
    use crate::vault::users::data::MAX_BYTES;
    use crate::vault::users::{MAX_DATA, MAX_KIND, MAX_VALUE, Peppers, Proof, SignedIn, new_verifier, prove};

    const NOW: u64 = 1_760_000_000_000;
    const USERS: &[u8] = br#"{"_id":{"$oid":"68e5f0000000000000000001"},"username":"Bob","email":"b@example.org",
        "hashed_password":"$2b$12$JragOS3tyq.cFBuKVGhNVeAL9rbhZRPNuHxwzyHRt2afDiuV3fX/y","salt":"000102030405060708090a0b0c0d0e0f",
        "failed_attempts":4,"last_failed_attempt_time":{"$date":{"$numberLong":"1759999999000"}},"two_factor_enabled":true,
        "totp_secret":"JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP","whatever":[1]}"#;
    const DATA: &[u8] =
        br#"[{"_id":{"$oid":"68e5f0000000000000000002"},"user_id":{"$oid":"68e5f0000000000000000001"},"data_type":"card_number",
        "encrypted_value":"000102030405060708090a0b6d606e937f03dcd48dcbfaf213456904dde57eda10393e815f90e4d566cf89db"}]"#;
    const KEYS: &[u8] = br#"{"master_key":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","user_keys":{"Bob":{
        "key":"6723f438e1c0e43ca568bda09dc45642b3e7b507c44e694b005edfbe21543e8d74943e2a269bf4fe0b89d0e48c7cdd01","nonce":"000102030405060708090a0b"}}}"#;

    fn vault() -> Vault {
        Vault::over(Arc::new(MemoryStore::new()), Options::default()).unwrap()
    }

    #[test]
    fn a_user_of_elsewhere_signs_in_and_has_their_data() {
        let vault = vault();
        let peppers = Peppers::new(Some(PepperSecret::new(b"test-pepper".to_vec().into())), Vec::new());
        let export = read_export(USERS, Some((DATA, KEYS))).unwrap();
        let mark = peppers.mark(&vault.id).unwrap();
        let admins = [UserName::of("BOB")];
        assert!(vault.import_users(&export, &admins, mark, true, NOW).unwrap().unread.is_empty());
        assert_eq!(vault.count_users().unwrap(), 0);
        let imported = vault.import_users(&export, &admins, mark, false, NOW).unwrap();
        assert_eq!((imported.users, imported.records, imported.unread), (vec!["Bob".to_owned()], 1, vec![]));
        vault.check().unwrap();

        let found = vault.find_user(&UserName::of("bob"), NOW).unwrap();
        let user = found.user.as_ref().unwrap();
        assert_eq!((user.role, user.second_factor, user.created), (Role::Admin, true, 0x68e5_f000 * 1000));
        let data = vault.data(user).unwrap();
        assert_eq!((data[0].0.to_string().as_str(), data[0].1.kind.as_str()), ("68e5f0000000000000000002", "card_number"));
        assert_eq!(data[0].1.value.as_str(), "1234567812345678");

        let password = Passphrase::new(b"StrongP@ssw0rd1!".to_vec().into());
        let proof = prove(Some(user), &password, &peppers, &vault.id).unwrap();
        assert_eq!(proof, Proof::Stale);
        let new = new_verifier(&password, &peppers, &vault.id).unwrap();
        let mut signed_in = None;
        let mut make =
            |changes: &mut Changes<'_>| signed_in = Some(changes.sign_in_with_password(&found, proof, Some(&new), [1; 8]));
        vault.change_together(NOW, &mut make).unwrap();
        assert_eq!(signed_in.unwrap().unwrap(), SignedIn::CodeWanted("Bob".to_owned()));
        let (mark, user) = vault.user(&UserName::of("bob")).unwrap();
        assert_eq!(prove(Some(&user), &password, &peppers, &vault.id).unwrap(), Proof::Right);
        // The codes that are sent are of the secret that was taken over, and what failed counts.
        assert_eq!(super::super::code(&user.otp, factor::step(NOW)).as_str(), "325812");
        assert_eq!(vault.sign_in(mark).unwrap().failures, [1_759_999_999_000; 4]);
    }

    #[test]
    fn one_that_is_in_the_way_keeps_all_out() {
        let vault = vault();
        let export = read_export(USERS, None).unwrap();
        assert!(vault.import_users(&export, &[], None, false, NOW).unwrap().unread.is_empty());
        let both = [USERS, &String::from_utf8_lossy(USERS).replace("Bob", "Ann").into_bytes()].concat();
        let twice = String::from_utf8(both).unwrap().replace("Bob", "ＢＯＢ");
        let export = read_export(twice.as_bytes(), None).unwrap();
        for dry_run in [true, false] {
            let unread = vault.import_users(&export, &[UserName::of("eve")], None, dry_run, NOW).unwrap().unread;
            assert_eq!(unread.len(), 2, "{unread:?}");
            assert!(!unread[0].is_conflict && unread[0].text.contains("'eve'"));
            assert!(unread[1].is_conflict && unread[1].text.contains("'ＢＯＢ' would be the user 'Bob'"));
        }
        assert_eq!(vault.import_users(&export, &[], None, false, NOW).unwrap().unread.len(), 1);
        assert_eq!(vault.count_users().unwrap(), 1);
    }

    #[test]
    fn what_is_beyond_a_limit_is_not_taken_over() {
        let key: [u8; 32] = std::array::from_fn(|at| at as u8 + 32);
        let record = |kind: &str, value: &str| {
            let sealed = crypto::seal_gcm(&key, &[1; 12], value.as_bytes()).unwrap();
            let hex = crate::format::header::hex(&[&[1; 12], sealed.as_slice()].concat());
            serde_json::json!({ "username": "bob", "data_type": kind, "encrypted_value": hex }).to_string()
        };
        let unread = |records: &[String]| {
            let export = read_export(USERS, Some((format!("[{}]", records.join(",")).as_bytes(), KEYS))).unwrap();
            export.unread.into_iter().map(|unread| unread.text).collect::<Vec<_>>()
        };
        let largest = "x".repeat(MAX_VALUE);
        let mut records = vec![record(&"é".repeat(MAX_KIND), &largest); MAX_BYTES / MAX_VALUE];
        records.push(record("note", ""));
        assert!(unread(&records).is_empty());
        records.push(record("note", "x"));
        assert_eq!(unread(&records), ["record 66 of 'Bob': as much is kept as may be"]);
        assert!(unread(&vec![record("note", ""); MAX_DATA]).is_empty());
        assert_eq!(unread(&vec![record("note", ""); MAX_DATA + 1]), ["record 1001 of 'Bob': as much is kept as may be"]);
        let (long, large) = (record(&"x".repeat(MAX_KIND + 1), ""), record("note", &format!("{largest}x")));
        let expected =
            ["record 1 of 'Bob': data_type has not 1 to 63 characters", "record 2 of 'Bob': it has more than 65536 bytes"];
        assert_eq!(unread(&[long, large]), expected);
    }
}
