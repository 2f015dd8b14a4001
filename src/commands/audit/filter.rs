//! Which records are shown, and how one looks.

use clap::Args;
use serde_json::{Value, json};

use crate::audit::{Action, Item, Record, Status};
use crate::commands::context::Context;
use crate::commands::people::People;
use crate::commands::times::parse_time;
use crate::format::header::hex;
use crate::term::output;
use crate::vault::{Error, Result};

/// Which records are shown; -e is a filter as well.
#[derive(Args, Debug)]
pub struct FilterArgs {
    /// Only records of this entry, or of those that match: * ? [a-z]
    #[arg(long, value_name = "NAME")]
    entry: Option<String>,
    /// Only this action, such as get, run, set, rotate, rm, export, key-add, unlock; may be repeated
    #[arg(long, value_name = "ACTION")]
    action: Vec<String>,
    /// Only this result: ok, denied, not_found, expired, conflict, error; may be repeated
    #[arg(long, value_name = "RESULT")]
    result: Vec<String>,
    /// Only what this user did: a name or a number
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only what was done for this program, or for those that match
    #[arg(long, value_name = "NAME")]
    process: Option<String>,
    /// Only from this time on: 24h or 30d ago, 2026-01-31, 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// [`FilterArgs`], as records are compared with.
pub struct Filter {
    environment: Option<String>,
    entry: Option<Text>,
    action: Vec<String>,
    result: Vec<String>,
    user: Option<String>,
    process: Option<Text>,
    since: u64,
    until: u64,
}

/// A text as it is, or a pattern.
struct Text(String, glob::Pattern);

impl Text {
    fn parse(text: &str) -> Result<Self> {
        let pattern = glob::Pattern::new(text);
        let pattern = pattern.map_err(|error| Error::usage(format!("the pattern is malformed: {}", error.msg)))?;
        Ok(Self(text.to_owned(), pattern))
    }

    fn fits(&self, text: &str) -> bool {
        self.0 == text || self.1.matches(text)
    }
}

impl FilterArgs {
    /// The filter.
    pub fn filter(&self, context: &mut Context) -> Result<Filter> {
        let now = context.now();
        let known = |words: &[String], is: &dyn Fn(&str) -> bool, what: &str| match words.iter().find(|word| !is(word)) {
            Some(word) => Err(Error::usage(format!("there is no {what} '{}'", output::printable(word)))),
            None => Ok(words.to_vec()),
        };
        let time = |text: &Option<String>, other| text.as_deref().map_or(Ok(other), |text| parse_time(text, now));
        Ok(Filter {
            // What a project's file says about entries does not narrow what is seen here.
            environment: context.global.env.clone(),
            entry: self.entry.as_deref().map(Text::parse).transpose()?,
            action: known(&self.action, &|word| Action::parse(word).is_some(), "action")?,
            result: known(&self.result, &|word| Status::parse(word).is_some(), "result")?,
            user: self.user.clone(),
            process: self.process.as_deref().map(Text::parse).transpose()?,
            since: time(&self.since, 0)?,
            until: time(&self.until, u64::MAX)?,
        })
    }
}

impl Filter {
    /// Whether a record is shown. One that cannot be read is, unless something particular is looked for.
    pub fn admits(&self, item: &Item<'_>, people: &People) -> bool {
        let Some(record) = &item.record else { return self.is_empty() };
        let among = |words: &[String], word: &str| words.is_empty() || words.iter().any(|other| other == word);
        let fits = |pattern: &Option<Text>, text: Option<&str>| {
            pattern.as_ref().is_none_or(|pattern| text.is_some_and(|text| pattern.fits(text)))
        };
        let user = || record.user.as_deref();
        (self.since..self.until).contains(&record.time)
            && among(&self.action, &record.action)
            && among(&self.result, &record.status)
            && fits(&self.entry, record.name.as_deref())
            && fits(&self.process, record.process.as_deref())
            && self.environment.as_deref().is_none_or(|wanted| wanted == record.environment.as_deref().unwrap_or_default())
            && self.user.as_deref().is_none_or(|wanted| user() == Some(wanted) || people.user(record) == Some(wanted))
    }

    fn is_empty(&self) -> bool {
        let texts = [self.environment.is_some(), self.entry.is_some(), self.user.is_some(), self.process.is_some()];
        !texts.contains(&true) && self.action.is_empty() && self.result.is_empty() && self.since == 0 && self.until == u64::MAX
    }
}

/// The columns of a CSV file, and the fields of a JSON object.
pub const FIELDS: [&str; 22] = [
    "sequence",
    "time",
    "action",
    "result",
    "name",
    "environment",
    "uid",
    "entry_version",
    "source",
    "user",
    "user_name",
    "process",
    "pid",
    "directory",
    "client",
    "request_id",
    "user_agent",
    "error",
    "key",
    "key_label",
    "detail",
    "authentic",
];

/// A record as an object; all of its fields are always there.
pub fn object(item: &Item<'_>, people: &People) -> Value {
    let empty = Record::default();
    let record = item.record.as_ref();
    let known = record.is_some();
    let record = record.unwrap_or(&empty);
    let word = |text: &str| known.then(|| text.to_owned());
    json!({
        "sequence": item.sequence,
        "time": known.then(|| time(record.time)),
        "action": word(&record.action),
        "result": word(&record.status),
        "name": record.name,
        "environment": record.environment,
        "uid": record.uid.map(|uid| hex(&uid)),
        "entry_version": record.version,
        "source": word(&record.source),
        "user": record.user,
        "user_name": people.user(record),
        "process": record.process,
        "pid": record.pid,
        "directory": record.directory,
        "client": record.client,
        "request_id": record.request,
        "user_agent": record.agent,
        "error": record.code,
        "key": record.key,
        "key_label": people.slot(record),
        "detail": record.detail,
        "authentic": known && !item.clear,
    })
}

/// A record as a line, its parts two blanks apart.
pub fn line(item: &Item<'_>, people: &People) -> String {
    let Some(record) = &item.record else {
        return format!("{}  -  (cannot be read)\n", item.sequence);
    };
    let name = match (&record.name, &record.environment) {
        (Some(name), Some(environment)) => format!("{name} ({environment})"),
        (Some(name), None) => name.to_string(),
        (None, _) => "-".to_owned(),
    };
    let version = record.version.map_or_else(|| "-".to_owned(), |version| format!("v{version}"));
    let user = people.user(record).or(record.user.as_deref()).unwrap_or("-");
    let process = match (&record.process, record.pid) {
        (Some(process), Some(pid)) => format!("{process}[{pid}]"),
        (process, _) => process.as_deref().unwrap_or("-").to_owned(),
    };
    let rest =
        [record.code.as_deref(), record.detail.as_deref(), item.clear.then_some("(in the clear: anybody may have written this)")];
    let rest: Vec<&str> = rest.into_iter().flatten().collect();
    let cells = [
        item.sequence.to_string(),
        time(record.time),
        record.action.to_string(),
        record.status.to_string(),
        name,
        version,
        user.to_owned(),
        process,
        rest.join(" "),
    ];
    output::printable(cells.join("  ").trim_end()) + "\n"
}

/// A time as RFC 3339 in UTC, to the millisecond.
fn time(milliseconds: u64) -> String {
    let time = i64::try_from(milliseconds).ok().and_then(|time| jiff::Timestamp::from_millisecond(time).ok());
    time.map_or_else(|| "beyond all calendars".to_owned(), |time| format!("{time:.3}"))
}
