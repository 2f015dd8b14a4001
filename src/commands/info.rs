//! `vault info`

use clap::Args;
use serde_json::{Value, json};

use super::choose::Among;
use super::completions::entry_names;
use super::context::{Context, OutputFormat, format_time};
use super::times::format_duration;
use super::usage::Used;
use super::{exit, present};
use crate::format::rotation::Journal;
use crate::format::schedule::Schedule;
use crate::term::output;
use crate::vault::{Entry, ErrorKind, Result, Vault};

/// Show everything about an entry but its value
#[derive(Args, Debug)]
pub struct InfoArgs {
    /// The entry; at a terminal it may be chosen from a list
    #[arg(add = entry_names())]
    name: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: InfoArgs) -> Result<u8> {
    let (vault, id) = context.unlock_for(args.name.as_deref(), Among::Exact)?;
    let entry = vault.entry(&id)?.ok_or_else(|| present::not_found(&id))?;
    let now = context.time_for_reading(&vault)?;
    let rotation = Rotation::of(&vault, &entry)?;
    let used = context.use_of(&vault, &entry);
    let text = match args.format {
        OutputFormat::Json => {
            let mut object = present::entry(&entry, now);
            object["version"] = json!(1);
            object["current_version"] = json!(entry.version());
            object["schedule"] = rotation.schedule.as_ref().map_or(Value::Null, schedule);
            object["rotation"] = rotation.journal.as_ref().map_or(Value::Null, journal);
            object["reads"] = json!(used.as_ref().map(|used| used.reads));
            object["last_read"] = json!(used.as_ref().and_then(|used| used.last_read).map(format_time));
            object["last_read_by"] = json!(used.as_ref().and_then(|used| used.last_read_by.clone()));
            format!("{object}\n")
        }
        OutputFormat::Text => {
            let mut rows = rows(&entry, &rotation, now);
            rows.extend(used.iter().map(|used| vec!["reads".to_owned(), used.reads.to_string()]));
            if let Some(Used { last_read: Some(time), last_read_by, .. }) = used {
                let by = last_read_by.map_or_else(String::new, |by| format!(" by {}", output::printable(&by)));
                rows.push(vec!["last read".to_owned(), format!("{}{by}", format_time(time))]);
            }
            output::columns(&rows)
        }
    };
    output::print(&text)?;
    Ok(exit::OK)
}

/// What the vault keeps of an entry's rotations, as far as the key at hand opens it.
struct Rotation {
    schedule: Option<Schedule>,
    journal: Option<Journal>,
}

impl Rotation {
    fn of(vault: &Vault, entry: &Entry) -> Result<Self> {
        fn opened<T>(read: Result<Option<T>>) -> Result<Option<T>> {
            match read {
                Err(error) if error.kind() == ErrorKind::NotPermitted => Ok(None),
                read => read,
            }
        }
        let schedule = if entry.due().is_some() { opened(vault.schedule(entry))? } else { None };
        let journal = if entry.is_rotating() { opened(vault.pending_rotation(entry))? } else { None };
        Ok(Self { schedule, journal: journal.map(|pending| pending.journal) })
    }
}

fn schedule(schedule: &Schedule) -> Value {
    let phases = schedule.phases.as_ref();
    json!({
        "every": format_duration(schedule.every),
        "generate": schedule.generate,
        "command": schedule.command,
        "apply": phases.map(|phases| &phases.apply),
        "verify": phases.map(|phases| &phases.verify),
        "rollback": phases.map(|phases| &phases.rollback),
        "grace": schedule.grace.map(format_duration),
        "failures": schedule.failed.as_ref().map_or(0, |failed| failed.count),
        "last_failure": schedule.failed.as_ref().map(|failed| json!({ "time": format_time(failed.time), "code": failed.code })),
        "next_attempt": schedule.failed.as_ref().map(|failed| format_time(failed.next)),
    })
}

fn journal(journal: &Journal) -> Value {
    let events: Vec<Value> =
        journal.events.iter().map(|(time, what)| json!({ "time": format_time(*time), "what": what })).collect();
    json!({
        "phase": journal.phase.word(),
        "started": format_time(journal.started),
        "from_version": journal.base,
        "apply": journal.commands.apply,
        "verify": journal.commands.verify,
        "rollback": journal.commands.rollback,
        "host": journal.owner.host,
        "process": journal.owner.process,
        "events": events,
    })
}

fn rows(entry: &Entry, rotation: &Rotation, now: u64) -> Vec<Vec<String>> {
    let mut rows = vec![vec!["name".to_owned(), entry.id().name.to_string()]];
    let mut add = |name: &str, value: String| rows.push(vec![name.to_owned(), output::printable(&value)]);
    if !entry.id().environment_text().is_empty() {
        add("environment", entry.id().environment_text().to_owned());
    }
    if let Some(category) = entry.category() {
        add("category", category.to_string());
    }
    if !entry.tags().is_empty() {
        add("tags", entry.tags().iter().map(|tag| tag.as_str()).collect::<Vec<_>>().join(", "));
    }
    for (key, value) in entry.meta() {
        add(&format!("meta {key}"), value.clone());
    }
    add("kind", entry.kind().word().to_owned());
    add("version", entry.version().to_string());
    let kept: Vec<String> = entry.versions().map(|version| version.number.to_string()).collect();
    add("kept versions", kept.join(", "));
    add("created", format_time(entry.created()));
    add("modified", format_time(entry.modified()));
    if let Some(expires) = entry.expires() {
        let past = if expires <= now { " (expired)" } else { "" };
        add("expires", format!("{}{past}", format_time(expires)));
    }
    if let Some(last) = entry.last_rotation() {
        add("rotated", format!("{}, {} in all", format_time(last.time), entry.rotated()));
        if last.until > now {
            add("previous", format!("version {}, until {}", last.previous, format_time(last.until)));
        }
    }
    if let Some((time, what)) = entry.failed_rotation() {
        add("failed rotation", format!("{} {what}", format_time(time)));
    }
    if let Some(due) = entry.due() {
        add("due", format!("{}{}", format_time(due), if due <= now { " (due)" } else { "" }));
    }
    if let Some(schedule) = &rotation.schedule {
        add("schedule", format!("every {}", format_duration(schedule.every)));
        let phases = schedule.phases.as_ref();
        let texts = [
            ("generate", schedule.generate.as_ref()),
            ("command", schedule.command.as_ref()),
            ("apply", phases.map(|phases| &phases.apply)),
            ("verify", phases.and_then(|phases| phases.verify.as_ref())),
            ("rollback", phases.and_then(|phases| phases.rollback.as_ref())),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                add(&format!("schedule {name}"), text.clone());
            }
        }
        if let Some(failed) = &schedule.failed {
            let (count, code) = (failed.count, &failed.code);
            add(
                "failures",
                format!("{count}, the last {} ({code}), again at {}", format_time(failed.time), format_time(failed.next)),
            );
        }
    }
    if entry.is_rotating() {
        let phase = rotation.journal.as_ref().map_or("pending", |journal| journal.phase.word());
        add("rotation", format!("under way ({phase})"));
        for (time, what) in rotation.journal.iter().flat_map(|journal| &journal.events) {
            add("", format!("{} {what}", format_time(*time)));
        }
    }
    rows
}
