//! `vault stats`

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::{Value, json};

use super::context::{Context, OutputFormat, format_time};
use super::exit;
use crate::audit::{Action, Class, Counted, Source, Status, Totals};
use crate::format::record::Kind;
use crate::store::Walk;
use crate::term::output;
use crate::vault::{Entry, Filter, KeyNumbers, Result, Scope, Vault};

/// Count what is in the vault and what was done with it
///
/// The entries of all environments: in all, by category, environment and kind, and those that need attention; the numbers of the keys; and by the
/// audit log how often what was done, and whether the key came from the agent. Values stay sealed, and no entry is named.
///
/// As JSON: `entries` has total, versions (all that are kept), expired, expiring (within 30 days), due, scheduled (due at some time), rotations_pending,
/// rotations_failed, never_rotated, and exposed (a removed slot could read the value). `categories` and `environments` have the entries of each, null for
/// none; `kinds` those of text, json and bytes; `keys` the numbers of master and data keys, and the slots, full and limited. `log` is null without one,
/// or has since, records, unread (sealed by keys that are not at hand), reads, writes (without rotations), rotations, refusals, failures, encryptions,
/// decryptions; `sources`: cli (the key was given), agent (it came from there), serve; and `actions`: how often each ended how.
#[derive(Args, Debug)]
pub struct StatsArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

/// An entry that expires within this time is counted as one that does soon, in milliseconds.
const SOON: u64 = 30 * 86_400_000;

pub fn run(context: &mut Context, args: StatsArgs) -> Result<u8> {
    let vault = context.unlock()?;
    let now = context.time_for_reading(&vault)?;
    let mut census = Census::default();
    vault.entries(&Filter { scope: Scope::All, category: None }, &mut |entry| {
        census.count(&entry, now);
        Ok(Walk::Continue(()))
    })?;
    census.exposed = exposed(&vault)?;
    let slots = vault.slots()?;
    let full = slots.iter().filter(|slot| slot.info.full).count();
    let keys = Keys { numbers: vault.key_numbers()?, full, limited: slots.len() - full };
    let summary = context.audit_summary(&vault)?;
    let log = summary.as_ref().map(|summary| summary.totals());
    output::print(&match args.format {
        OutputFormat::Json => {
            let object = json!({
                "version": 1,
                "entries": census.object(),
                "categories": groups("category", &census.categories),
                "environments": groups("environment", &census.environments),
                "kinds": census.kinds(),
                "keys": keys.object(),
                "log": log.map(log_object),
            });
            format!("{object}\n")
        }
        OutputFormat::Text => {
            let mut rows = census.rows();
            rows.extend(keys.rows());
            rows.extend(log.map_or_else(|| vec![["log".to_owned(), "none".to_owned()]], log_rows));
            output::columns(&rows.into_iter().map(Vec::from).collect::<Vec<_>>())
        }
    })?;
    Ok(exit::OK)
}

/// How many entries removed slots could read and are still to be rotated, each counted once.
fn exposed(vault: &Vault) -> Result<u64> {
    let exposures = vault.exposures(None)?;
    let entries: BTreeSet<_> = exposures.iter().flat_map(|exposure| exposure.open.iter().map(|(id, _)| id)).collect();
    Ok(entries.len() as u64)
}

/// What is counted of the entries.
#[derive(Default)]
struct Census {
    entries: u64,
    versions: u64,
    /// By kind: text, JSON, bytes.
    kinds: [u64; 3],
    /// Empty: without a category.
    categories: BTreeMap<String, u64>,
    /// Empty: without an environment.
    environments: BTreeMap<String, u64>,
    expired: u64,
    expiring: u64,
    due: u64,
    scheduled: u64,
    pending: u64,
    failed: u64,
    never_rotated: u64,
    exposed: u64,
}

const KINDS: [Kind; 3] = [Kind::Text, Kind::Json, Kind::Bytes];

impl Census {
    fn count(&mut self, entry: &Entry, now: u64) {
        fn add(groups: &mut BTreeMap<String, u64>, name: &str) {
            match groups.get_mut(name) {
                Some(count) => *count += 1,
                None => drop(groups.insert(name.to_owned(), 1)),
            }
        }
        self.entries += 1;
        self.versions += entry.versions().count() as u64;
        for (kind, count) in KINDS.into_iter().zip(&mut self.kinds) {
            *count += u64::from(entry.kind() == kind);
        }
        add(&mut self.categories, entry.category().map_or("", |category| category.as_str()));
        add(&mut self.environments, entry.id().environment_text());
        let soon = !entry.is_expired(now) && entry.is_expired(now.saturating_add(SOON));
        for (count, holds) in [
            (&mut self.expired, entry.is_expired(now)),
            (&mut self.expiring, soon),
            (&mut self.due, entry.is_due(now)),
            (&mut self.scheduled, entry.due().is_some()),
            (&mut self.pending, entry.is_rotating()),
            (&mut self.failed, entry.failed_rotation().is_some()),
            (&mut self.never_rotated, entry.rotated() == 0),
        ] {
            *count += u64::from(holds);
        }
    }

    fn object(&self) -> Value {
        json!({
            "total": self.entries,
            "versions": self.versions,
            "expired": self.expired,
            "expiring": self.expiring,
            "due": self.due,
            "scheduled": self.scheduled,
            "rotations_pending": self.pending,
            "rotations_failed": self.failed,
            "never_rotated": self.never_rotated,
            "exposed": self.exposed,
        })
    }

    fn kinds(&self) -> Value {
        KINDS
            .iter()
            .zip(self.kinds)
            .map(|(kind, count)| (kind.word().to_owned(), json!(count)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn rows(&self) -> Vec<[String; 2]> {
        let mut rows = vec![row("entries", self.entries), row("versions kept", self.versions)];
        for (what, groups) in [("category", &self.categories), ("environment", &self.environments)] {
            rows.extend(groups.iter().map(|(name, count)| match name.as_str() {
                "" => row(&format!("no {what}"), count),
                name => row(&format!("{what} {}", output::printable(name)), count),
            }));
        }
        rows.extend(KINDS.iter().zip(self.kinds).map(|(kind, count)| row(kind.word(), count)));
        rows.extend([
            row("expired", self.expired),
            row("expiring within 30 days", self.expiring),
            row("due for rotation", self.due),
            row("with a schedule", self.scheduled),
            row("rotations under way", self.pending),
            row("last rotation failed", self.failed),
            row("never rotated", self.never_rotated),
            row("exposed", self.exposed),
        ]);
        rows
    }
}

fn groups(what: &str, groups: &BTreeMap<String, u64>) -> Value {
    let group = |(name, count): (&String, &u64)| {
        let name = Some(name).filter(|name| !name.is_empty());
        json!({ what: name, "entries": count })
    };
    groups.iter().map(group).collect()
}

/// What is counted of the keys.
struct Keys {
    numbers: KeyNumbers,
    full: usize,
    limited: usize,
}

impl Keys {
    fn object(&self) -> Value {
        let data = self.numbers.data.iter();
        let data: Vec<_> = data.map(|key| json!({ "compartment": key.compartment, "number": key.number })).collect();
        json!({ "master": self.numbers.master, "data": data, "slots": { "full": self.full, "limited": self.limited } })
    }

    fn rows(&self) -> Vec<[String; 2]> {
        let mut rows = vec![row("slots", format!("{} full, {} limited", self.full, self.limited))];
        rows.push(row("master key", format!("number {}", self.numbers.master)));
        rows.extend(self.numbers.data.iter().map(|key| {
            let name = output::printable(&key.compartment.replace('\u{1f}', " + "));
            row(format!("data key {name}").trim_end(), format!("number {}", key.number))
        }));
        rows
    }
}

/// The counts of the log that have a name of their own.
fn counts(log: &Totals) -> [(&'static str, u64); 7] {
    let class = |counted: &Counted<'_>| Action::parse(counted.action).map(Action::class);
    let ok = |counted: &Counted<'_>| counted.status == Status::Ok.word();
    let refusals = [Status::Denied, Status::NotFound, Status::Expired, Status::Conflict].map(Status::word);
    [
        ("reads", log.sum(|counted| ok(counted) && class(counted) == Some(Class::Read))),
        ("writes", log.sum(|counted| ok(counted) && class(counted) == Some(Class::Write))),
        ("rotations", log.sum(|counted| ok(counted) && class(counted) == Some(Class::Rotate))),
        ("refusals", log.sum(|counted| refusals.contains(&counted.status))),
        ("failures", log.sum(|counted| counted.status == Status::Error.word())),
        ("encryptions", log.of(Action::Encrypt, Status::Ok)),
        ("decryptions", log.of(Action::Decrypt, Status::Ok)),
    ]
}

/// How many records there are by where the key came from.
fn sources(log: &Totals) -> [(Source, u64); 3] {
    [Source::Cli, Source::Agent, Source::Serve].map(|source| (source, log.sum(|counted| counted.source == source.word())))
}

fn log_object(log: &Totals) -> Value {
    let mut object = json!({
        "since": Some(log.first).filter(|time| *time > 0).map(format_time),
        "records": log.records(),
        "unread": log.unread,
    });
    for (name, count) in counts(log) {
        object[name] = json!(count);
    }
    object["sources"] = sources(log)
        .into_iter()
        .map(|(source, count)| (source.word().to_owned(), json!(count)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    object["actions"] = by_action(log)
        .into_iter()
        .map(|((action, result), count)| json!({ "action": action, "result": result, "count": count }))
        .collect();
    object
}

fn by_action(log: &Totals) -> BTreeMap<(&str, &str), u64> {
    let mut counts = BTreeMap::new();
    for counted in log.all() {
        *counts.entry((counted.action, counted.status)).or_default() += counted.count;
    }
    counts
}

fn log_rows(log: &Totals) -> Vec<[String; 2]> {
    let mut rows = vec![row("records", log.records())];
    rows.extend((log.first > 0).then(|| row("since", format_time(log.first))));
    rows.extend((log.unread > 0).then(|| row("sealed by other keys", log.unread)));
    rows.extend(counts(log).map(|(name, count)| row(name, count)));
    for (source, count) in sources(log).into_iter().filter(|(_, count)| *count > 0) {
        let name = match source {
            Source::Cli => "key was given",
            Source::Agent => "key from the agent",
            Source::Serve => "by the server",
        };
        rows.push(row(name, count));
    }
    rows
}

fn row(name: &str, value: impl ToString) -> [String; 2] {
    [name.to_owned(), value.to_string()]
}
