//! System records of two copies, each as a whole; and what users keep.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use super::{Joining, Side};
use crate::format::header::{hex, unhex};
use crate::format::keyspace;
use crate::format::rotation::Journal;
use crate::format::schedule::Schedule;
use crate::format::token::Token;
use crate::format::user::User;
use crate::store::{Batch, Snapshot, Walk};
use crate::vault::audit;
use crate::vault::error::Result;
use crate::vault::read::{index_damaged, walk};
use crate::vault::users::merge::{Alive, Joined, join, settle};

/// What is to become of a record of the own side.
enum Decision {
    Stays,
    Becomes(Zeroizing<Vec<u8>>),
    Goes,
}

impl Joining<'_> {
    /// System records; those of entries and users that are not there any more go. Returns how many both sides changed.
    pub(super) fn system(
        &self,
        batch: &mut Batch,
        alive: &BTreeSet<[u8; 16]>,
        twins: &BTreeMap<[u8; 16], [u8; 16]>,
    ) -> Result<u64> {
        let own = self.own.system_all(self.own_state)?;
        let mut other = BTreeMap::new();
        for (key, content) in self.other.system_all(self.other_state)? {
            let (kind, name) = keyspace::parse_system(&key)?;
            let twin = unhex(name).ok().and_then(|uid| twins.get(&uid)).filter(|_| kind == Schedule::RECORD);
            let key = twin.map_or_else(|| key.clone(), |uid| keyspace::system(kind, &hex(uid)));
            other.insert(key, content);
        }
        settle(&own, &mut other, &self.own.id)?;
        let base = match &self.base {
            Some(base) => base.vault.system_all(base.state.as_ref()).unwrap_or_default(),
            None => BTreeMap::new(),
        };
        let mut conflicts = 0;
        let mut users = Alive::default();
        let user = keyspace::system(User::RECORD, "");
        let mut keys: Vec<_> = own.keys().chain(other.keys()).collect::<BTreeSet<_>>().into_iter().collect();
        // Users first: what is kept of their attempts goes with them.
        keys.sort_by_key(|key| !key.starts_with(&user));
        for key in keys {
            let (kind, name) = keyspace::parse_system(key)?;
            let ours = own.get(key);
            let owner_is_gone = match kind {
                Schedule::RECORD | Journal::RECORD => !unhex(name).is_ok_and(|uid| alive.contains(&uid)),
                _ => users.is_without_owner(kind, name),
            };
            let decision = match owner_is_gone {
                true => Decision::Goes,
                false => self.decide((kind, name), ours, other.get(key), base.get(key), &mut conflicts)?,
            };
            let becomes = match &decision {
                Decision::Stays => ours,
                Decision::Becomes(content) => Some(content),
                Decision::Goes => None,
            };
            if let Some(content) = becomes {
                users.note(kind, name, content)?;
            }
            match decision {
                Decision::Becomes(content) => self.own.system_put_in(batch, kind, name, &content)?,
                Decision::Goes if ours.is_some() => batch.delete(key.clone()),
                Decision::Stays | Decision::Goes => {}
            }
        }
        Ok(conflicts + self.user_data(batch, &users)?)
    }

    fn decide(
        &self,
        (kind, name): (&str, &str),
        ours: Option<&Zeroizing<Vec<u8>>>,
        theirs: Option<&Zeroizing<Vec<u8>>>,
        old: Option<&Zeroizing<Vec<u8>>>,
        conflicts: &mut u64,
    ) -> Result<Decision> {
        let known = self.base.is_some();
        if ours == theirs || (known && old == theirs) || (!known && theirs.is_none()) {
            return Ok(Decision::Stays);
        }
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            match kind {
                // No conflict: a log that was written of on both sides reached as far as the later of both says.
                audit::ANCHOR => {
                    let further = audit::further(ours, theirs)?;
                    return Ok(further.map_or(Decision::Stays, |content| Decision::Becomes(content.to_vec().into())));
                }
                // No conflict either: what was revoked or used up on one side is so on both.
                Token::RECORD => {
                    let lesser = Token::decode(ours)?.lesser(Token::decode(theirs)?);
                    return Ok(Decision::Becomes(lesser.encode()));
                }
                _ => {}
            }
        }
        let in_conflict = match join((kind, name), ours, theirs, old, self.favour == Side::Own)? {
            Joined::Stays => return Ok(Decision::Stays),
            Joined::Content(content) => return Ok(Decision::Becomes(content)),
            Joined::Decided(content) => {
                *conflicts += 1;
                return Ok(Decision::Becomes(content));
            }
            Joined::Goes => return Ok(Decision::Goes),
            Joined::Conflict => true,
            Joined::Other => !((known && old == ours) || ours.is_none()),
        };
        if in_conflict {
            *conflicts += 1;
            if self.favour == Side::Own {
                return Ok(Decision::Stays);
            }
        }
        Ok(theirs.map_or(Decision::Goes, |content| Decision::Becomes(content.clone())))
    }

    /// What users keep: sealed by keys of theirs, so that it is the same bytes in both copies. Returns how many both sides changed.
    fn user_data(&self, batch: &mut Batch, users: &Alive) -> Result<u64> {
        let (own, other) = (user_data_of(self.own_state)?, user_data_of(self.other_state)?);
        let base = self.base.as_ref().map(|base| user_data_of(base.state.as_ref())).transpose()?;
        let mut conflicts = 0;
        for key in own.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
            let (ours, theirs) = (own.get(key), other.get(key));
            let old = base.as_ref().and_then(|base| base.get(key));
            let mut becomes = match (ours, theirs) {
                (Some(_), Some(_)) if ours == theirs || old == theirs => ours,
                (Some(_), Some(_)) if old == ours => theirs,
                (Some(_), Some(_)) => {
                    conflicts += 1;
                    if self.favour == Side::Own { ours } else { theirs }
                }
                // It was there when they went apart: one side removed it.
                (one, other) => one.or(other).filter(|_| old.is_none()),
            };
            becomes = becomes.filter(|_| users.owns(key));
            match becomes {
                Some(sealed) if becomes != ours => batch.put(key.clone(), sealed.clone()),
                None if ours.is_some() => batch.delete(key.clone()),
                _ => {}
            }
        }
        Ok(conflicts)
    }
}

fn user_data_of(state: &dyn Snapshot) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut all = BTreeMap::new();
    walk(state, &[keyspace::USER_DATA], &mut |key, value| {
        let sealed = match value {
            Some(sealed) => sealed.to_vec(),
            None => state.get(key)?.ok_or_else(index_damaged)?,
        };
        all.insert(key.to_vec(), sealed);
        Ok(Walk::Continue(()))
    })?;
    Ok(all)
}
