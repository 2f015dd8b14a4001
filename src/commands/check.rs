//! `vault check`

use std::rc::Rc;

use clap::Args;
use serde_json::{Value, json};

use super::context::{Context, OutputFormat};
use super::exit;
use crate::audit::{Action, Event};
use crate::leaks::{self, Reuse};
use crate::name::EntryId;
use crate::store::Walk;
use crate::term::output;
use crate::vault::{ErrorKind, Filter, Result, Scope, Vault};

/// Verify every byte of the vault, and open every value
///
/// Exits 8 and says where if anything does not hold, and 10 if something stands at the end that belongs to no commit: what a write
/// that was killed or failed left behind, which readers pass over. With --values it also exits 10 for values that should be others.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Judge the current values as well: which are weak, short, or the same as another entry's; of JSON, the leaves that
    /// look like secrets
    #[arg(long)]
    values: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: CheckArgs) -> Result<u8> {
    let vault = context.unlock()?;
    context.about(&vault, Action::Check, None)?;
    let checked = vault.check()?;
    let judged = if args.values { Some(judge(&vault)?) } else { None };
    context.record(&vault, &[Event::new(Action::Check).detail(format!("{} values opened", checked.values))])?;
    let facts = vault.facts();
    let (live, dead) = facts.map_or((0, 0), |facts| (facts.live, facts.dead));
    let text = match args.format {
        OutputFormat::Json => {
            let mut object = json!({
                "version": 1,
                "sound": true,
                "vault_id": vault.id(),
                "fingerprint": vault.fingerprint(),
                "bytes": checked.bytes,
                "live_bytes": live,
                "dead_bytes": dead,
                "tail_bytes": checked.tail,
                "commits": checked.commits,
                "entries": checked.entries,
                "values": checked.values,
                "closed_values": checked.closed,
            });
            if let Some(judged) = &judged {
                object["judged"] = json!(judged.count);
                object["weak"] = judged.weak.iter().map(Place::to_json).collect();
                object["short"] = judged.short.iter().map(Place::to_json).collect();
                object["reused"] =
                    judged.reused.iter().map(|group| group.iter().map(Place::to_json).collect::<Value>()).collect();
            }
            format!("{object}\n")
        }
        OutputFormat::Text => {
            let mut text = format!(
                "sound: {} entries, {} values opened, {} commits, {} bytes\n",
                checked.entries, checked.values, checked.commits, checked.bytes
            );
            if checked.closed > 0 {
                text.push_str(&format!("{} values are closed to this key and were verified as sealed\n", checked.closed));
            }
            if checked.tail > 0 {
                text.push_str(&format!(
                    "{} bytes at the end belong to no commit (a write that failed); they are ignored\n",
                    checked.tail
                ));
            }
            if let Some(fingerprint) = vault.fingerprint() {
                text.push_str(&format!("fingerprint {fingerprint}\n"));
            }
            if let Some(judged) = &judged {
                text.push_str(&judged.to_text());
            }
            text
        }
    };
    output::print(&text)?;
    Ok(if checked.tail > 0 || judged.is_some_and(|judged| judged.finds()) { exit::FINDINGS } else { exit::OK })
}

/// What is to be said of the current values, by their places alone.
struct Judged {
    count: u64,
    weak: Vec<Place>,
    short: Vec<Place>,
    reused: Vec<Vec<Place>>,
}

/// Where a secret is.
#[derive(Clone, PartialEq, Eq)]
struct Place {
    id: Rc<EntryId>,
    field: String,
}

/// Looks at all current values that the key opens, one after the other.
fn judge(vault: &Vault) -> Result<Judged> {
    let mut judged = Judged { count: 0, weak: Vec::new(), short: Vec::new(), reused: Vec::new() };
    let mut reuse = Reuse::new()?;
    let mut places: Vec<Place> = Vec::new();
    vault.entries(&Filter { scope: Scope::All, category: None }, &mut |entry| {
        let value = match vault.value_of(&entry, None) {
            Err(error) if error.kind() == ErrorKind::NotPermitted => return Ok(Walk::Continue(())),
            value => value?,
        };
        let id = Rc::new(entry.id().clone());
        leaks::secrets(&value, entry.kind(), &mut |field, secret| {
            let place = Place { id: id.clone(), field: field.to_owned() };
            judged.count += 1;
            // Several parts of one text have one place.
            if leaks::is_weak(secret) && judged.weak.last() != Some(&place) {
                judged.weak.push(place.clone());
            }
            if leaks::is_short(secret) && judged.short.last() != Some(&place) {
                judged.short.push(place.clone());
            }
            reuse.add(secret, places.len() as u32);
            places.push(place);
        });
        Ok(Walk::Continue(()))
    })?;
    for group in reuse.groups() {
        let mut group: Vec<Place> = group.into_iter().filter_map(|number| places.get(number as usize).cloned()).collect();
        group.dedup();
        // One entry may say the same twice.
        if group.iter().any(|place| place.id != group[0].id) {
            judged.reused.push(group);
        }
    }
    Ok(judged)
}

impl Judged {
    fn finds(&self) -> bool {
        !(self.weak.is_empty() && self.short.is_empty() && self.reused.is_empty())
    }

    fn to_text(&self) -> String {
        let mut text = format!(
            "{} current values judged: {} weak, {} short, {} used by more than one entry\n",
            self.count,
            self.weak.len(),
            self.short.len(),
            self.reused.len()
        );
        let row = |word: &str, places: &[Place]| {
            vec![word.to_owned(), places.iter().map(Place::to_string).collect::<Vec<_>>().join(", ")]
        };
        let mut rows: Vec<Vec<String>> = self.weak.iter().map(|place| row("weak", std::slice::from_ref(place))).collect();
        rows.extend(self.short.iter().map(|place| row("short", std::slice::from_ref(place))));
        rows.extend(self.reused.iter().map(|group| row("same", group)));
        text.push_str(&output::columns(&rows));
        text
    }
}

impl Place {
    fn to_json(&self) -> Value {
        let field = if self.field.is_empty() { None } else { Some(&self.field) };
        json!({ "name": self.id.name.as_str(), "environment": self.id.environment.as_ref().map(|text| text.as_str()), "field": field })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.field.as_str() {
            "" => write!(f, "{}", self.id),
            field => write!(f, "{}#{}", self.id, output::printable(field)),
        }
    }
}
