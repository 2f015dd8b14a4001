//! What became of entries that were due: as it is recorded, and as it is printed.

use serde_json::{Value, json};

use crate::audit::{Action, Event, Status};
use crate::commands::context::{OutputFormat, format_time};
use crate::term::output;
use crate::vault::{Entry, Error, Result};

/// What became of an entry that is due.
pub enum Fate {
    /// It has another value: the version.
    Rotated(u64),
    /// It would get one; how.
    Would(String),
    /// It failed; when it may be tried again.
    Failed(Error, Option<u64>),
    /// It failed before, and is not tried again until then.
    Waits(String, u64),
    /// What is left to a person, and why.
    NeedsPerson(&'static str),
    /// Somebody else saw to it; how.
    Taken(&'static str),
}

/// Left to a person.
pub const NO_SOURCE: &str = "nothing says where its value comes from";
/// Left to a person.
pub const WAS_LEFT: &str = "a rotation by hand was left, which --resume goes on with";
/// Seen to by somebody else.
pub const ROTATED: &str = "rotated by another process";
/// Seen to by somebody else.
pub const BEING_ROTATED: &str = "being rotated by another process";
/// Seen to by somebody else.
pub const ENDED: &str = "its rotation was taken up or dropped by somebody else";

/// What is recorded of what became of an entry.
pub fn event(entry: &Entry, fate: &Fate) -> Option<Event> {
    let event = Event::new(Action::Rotate).entry(entry);
    match fate {
        Fate::Rotated(version) => Some(event.version(*version)),
        Fate::Failed(error, _) => Some(event.ended(Status::of(error).unwrap_or(Status::Error), Some(error.code()))),
        _ => None,
    }
}

/// Prints what became of each.
pub fn report(fates: &[(Entry, Fate)], format: OutputFormat) -> Result<()> {
    let text = match format {
        OutputFormat::Json => {
            let entries: Vec<Value> = fates.iter().map(|(entry, fate)| object(entry, fate)).collect();
            format!("{}\n", json!({ "version": 1, "entries": entries }))
        }
        OutputFormat::Text => {
            let line = |(entry, fate): &(Entry, Fate)| {
                let what = match fate {
                    Fate::Rotated(version) => format!("rotated, version {version}"),
                    Fate::Would(how) => format!("would be rotated {how}"),
                    Fate::Failed(error, next) => {
                        let next = next.map_or_else(String::new, |next| format!("; again at {}", format_time(next)));
                        format!("failed: {}{next}", output::printable(&error.to_string()))
                    }
                    Fate::Waits(code, next) => format!("failed before ({code}), again at {}", format_time(*next)),
                    Fate::NeedsPerson(why) => format!("needs a person: {why}"),
                    Fate::Taken(how) => (*how).to_owned(),
                };
                vec![entry.id().to_string(), what]
            };
            output::columns(&fates.iter().map(line).collect::<Vec<_>>())
        }
    };
    output::print(&text)
}

fn object(entry: &Entry, fate: &Fate) -> Value {
    let environment = entry.id().environment.as_ref().map(ToString::to_string);
    let mut object = json!({ "name": entry.id().name.as_str(), "environment": environment });
    let (result, more) = match fate {
        Fate::Rotated(version) => ("rotated", json!({ "current_version": version })),
        Fate::Would(_) => ("due", json!({})),
        Fate::Failed(error, next) => {
            ("failed", json!({ "code": error.code(), "message": error.to_string(), "next_attempt": next.map(format_time) }))
        }
        Fate::Waits(code, next) => ("waiting", json!({ "code": code, "next_attempt": format_time(*next) })),
        Fate::NeedsPerson(_) => ("needs_person", json!({})),
        Fate::Taken(_) => ("taken", json!({})),
    };
    object["result"] = json!(result);
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}
