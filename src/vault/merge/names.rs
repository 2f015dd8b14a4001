//! What entries are called after a merge.

use std::collections::{HashMap, HashSet};

use super::Plan;
use crate::name::{EntryId, Name};
use crate::vault::read::index_damaged;
use crate::vault::{Error, Result};

/// Gives every entry its name. `taken`: the names of those of which nothing changes.
pub(super) fn settle(plans: &mut [Plan<'_>], mut taken: HashSet<EntryId>) -> Result<()> {
    taken.extend(plans.iter().filter(|plan| plan.own.is_some() && !plan.moves()).map(|plan| plan.draft.id.clone()));
    // Whoever cannot have the new name keeps the old one, which may be what another was to have. No two are to have the same: all new names are
    // those of the other side.
    let moving = plans.iter().enumerate().filter(|(_, plan)| plan.moves());
    let mut wanted: HashMap<EntryId, usize> = moving.map(|(at, plan)| (plan.draft.id.clone(), at)).collect();
    let mut refused: Vec<EntryId> = wanted.keys().filter(|id| taken.contains(*id)).cloned().collect();
    while let Some(id) = refused.pop() {
        let Some(plan) = wanted.remove(&id).and_then(|at| plans.get_mut(at)) else { continue };
        let Some(own) = plan.own else { continue };
        plan.draft.id = own.id().clone();
        if !plan.draft.conflicts.iter().any(|what| what == "name") {
            plan.draft.conflicts.push("name".to_owned());
        }
        taken.insert(own.id().clone());
        refused.push(own.id().clone());
    }
    taken.extend(plans.iter().filter(|plan| plan.moves()).map(|plan| plan.draft.id.clone()));
    // What is new comes last: any name will do.
    let (fits, others): (Vec<_>, Vec<_>) =
        plans.iter_mut().filter(|plan| plan.own.is_none()).partition(|plan| !taken.contains(&plan.draft.id));
    taken.extend(fits.into_iter().map(|plan| plan.draft.id.clone()));
    for plan in others {
        plan.draft.id = free(&plan.draft.id, &mut taken)?;
        plan.draft.conflicts.push("name".to_owned());
    }
    Ok(())
}

/// A name that is not taken, for an entry whose own is.
fn free(id: &EntryId, names: &mut HashSet<EntryId>) -> Result<EntryId> {
    for number in 2_u64.. {
        let mark = format!(" ({number})");
        let most = Name::LIMIT - mark.len();
        let text: String = id.name.as_str().chars().take(most).collect();
        let name = Name::parse(&format!("{}{mark}", text.trim_end())).map_err(|error| Error::name("name", error))?;
        let free = EntryId { environment: id.environment.clone(), name };
        if names.insert(free.clone()) {
            return Ok(free);
        }
    }
    Err(index_damaged())
}
