//! `vault used-by`

mod places;

use std::collections::HashMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::completions::entry_names;
use super::context::{Context, OutputFormat, format_time, parse_name};
use super::people::People;
use super::times::parse_time;
use super::{exit, present};
use crate::audit::{Action, Class, Record, Status};
use crate::name::{EntryId, Environment, Name};
use crate::store::Walk;
use crate::term::output;
use crate::vault::{Entry, Error, ErrorKind, Filter, Result, Scope, Vault};
use places::{Places, Wanted};

/// Show who reads an entry, and where files refer to it
///
/// By the audit log: which user, for which program, in which directory and with which key, how often, and when last. In the files of each PATH:
/// references (vault://NAME, in whatever environment, also in templates), and the [run] table of a vault.toml. Entries of the name in all
/// environments count, or with -e in that one.
#[derive(Args, Debug)]
pub struct UsedByArgs {
    /// The entry
    #[arg(add = entry_names())]
    name: String,
    /// Files and directories to look through
    path: Vec<PathBuf>,
    /// Only reads from this time on: 24h or 30d ago, 2026-01-31, 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Also files that .gitignore and the like leave out
    #[arg(long)]
    no_ignore: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: UsedByArgs) -> Result<u8> {
    let name = parse_name(&args.name)?;
    let now = context.now();
    let since = args.since.as_deref().map_or(Ok(0), |text| parse_time(text, now))?;
    // What a project's file says about entries does not narrow what is seen here.
    let environment = context.global.env.clone();
    let vault = context.unlock()?;
    let entries = entries(&vault, &name, environment.as_deref())?;
    if entries.is_empty() && args.path.is_empty() {
        return Err(present::not_found(&EntryId::plain(name)));
    }
    let used = match Used::read(
        context,
        &vault,
        &Which { name: &name, environment: environment.as_deref(), entries: &entries },
        since,
    ) {
        Err(error) if error.code() == "no_audit_log" && !args.path.is_empty() => {
            context.note("note: there is no audit log, so who reads it is not known");
            None
        }
        used => Some(used?),
    };
    let wanted = Wanted { name: &name, categories: entries.iter().filter_map(Entry::category).collect() };
    let mut places = Places::default();
    for path in &args.path {
        places.look(context, path, args.no_ignore, &wanted)?;
    }
    let people = People::of(&vault);
    match args.format {
        OutputFormat::Json => output::print(&format!("{}\n", object(&name, used.as_ref(), &places, &people)))?,
        OutputFormat::Text => {
            output::print(&text(used.as_ref(), &places, &people))?;
            if let Some(Used { readers, begins, unread }) = &used {
                if let (true, Some(begins)) = (readers.is_empty(), begins) {
                    context.note(&format!(
                        "note: nobody read it since {}, when the audit log begins",
                        format_time((*begins).max(since))
                    ));
                }
                if *unread > 0 {
                    context.note(&format!("note: {unread} records of the audit log do not open with the key at hand"));
                }
            }
        }
    }
    match places.unread {
        0 => Ok(exit::OK),
        count => Err(Error::new(ErrorKind::Io, "io", format!("{count} files could not be read, and may refer to it"))),
    }
}

/// The entries of a name: in all environments, or in one; empty: in none.
fn entries(vault: &Vault, name: &Name, environment: Option<&str>) -> Result<Vec<Entry>> {
    let mut ids = Vec::new();
    match environment {
        Some(text) => {
            let environment = if text.is_empty() { None } else { Some(Environment::parse(text)) };
            let environment = environment.transpose().map_err(|error| Error::name("environment", error))?;
            ids.push(EntryId { environment, name: name.clone() });
        }
        None => vault.list(&Filter { scope: Scope::All, category: None }, &mut |found| {
            if found.name == name.as_str() {
                ids.push(found.id()?);
            }
            Ok(Walk::Continue(()))
        })?,
    }
    ids.iter().filter_map(|id| vault.entry(id).transpose()).collect()
}

/// Whose reads are looked for.
struct Which<'a> {
    name: &'a Name,
    environment: Option<&'a str>,
    entries: &'a [Entry],
}

impl Which<'_> {
    /// Whether a record is about one of the entries, whatever it was called then, or about one that had its name: who asked for that name may do so
    /// again.
    fn is(&self, record: &Record<'_>) -> bool {
        let by_name = || {
            let environment = record.environment.as_deref().unwrap_or_default();
            record.name.as_deref() == Some(self.name.as_str()) && self.environment.is_none_or(|wanted| wanted == environment)
        };
        record.uid.is_some_and(|uid| self.entries.iter().any(|entry| *entry.uid() == uid)) || by_name()
    }
}

/// Somebody who reads an entry: everything but when.
type Reader = Record<'static>;

/// What the log says about the reads of an entry.
struct Used {
    /// Who, how often, and when last; that one first.
    readers: Vec<(Reader, u64, u64)>,
    /// When the log begins.
    begins: Option<u64>,
    /// How many records do not open with the key at hand.
    unread: u64,
}

impl Used {
    fn read(context: &Context, vault: &Vault, which: &Which<'_>, since: u64) -> Result<Self> {
        let mut readers: HashMap<[Option<String>; 6], (Reader, u64, u64)> = HashMap::new();
        let (mut begins, mut unread) = (None, 0);
        context.audit_reader(vault)?.forward(&mut |item| {
            let Some(record) = item.record.filter(|_| !item.clear) else {
                unread += u64::from(!item.clear);
                return Ok(Walk::Continue(()));
            };
            begins.get_or_insert(record.time);
            let is_read = Action::parse(&record.action).is_some_and(|action| action.class() == Class::Read);
            if !is_read || record.status != Status::Ok.word() || record.time < since || !which.is(&record) {
                return Ok(Walk::Continue(()));
            }
            let parts = [&record.environment, &record.user, &record.process, &record.directory, &record.key];
            let [environment, user, process, directory, key] = parts.map(|part| part.as_ref().map(ToString::to_string));
            let who = [environment, user, process, directory, key, Some(record.source.to_string())];
            let time = record.time;
            let (_, reads, last) = readers.entry(who).or_insert_with(|| (record.into_owned(), 0, 0));
            *reads += 1;
            *last = (*last).max(time);
            Ok(Walk::Continue(()))
        })?;
        let mut readers: Vec<_> = readers.into_values().collect();
        let order =
            |reader: &Reader| (reader.environment.clone(), reader.user.clone(), reader.process.clone(), reader.directory.clone());
        readers.sort_by_cached_key(|(reader, _, last)| (std::cmp::Reverse(*last), order(reader)));
        Ok(Self { readers, begins, unread })
    }
}

fn object(name: &Name, used: Option<&Used>, places: &Places, people: &People) -> Value {
    let reader = |(reader, reads, last): &(Reader, u64, u64)| {
        json!({
            "environment": reader.environment,
            "source": reader.source,
            "user": reader.user,
            "user_name": people.user(reader),
            "process": reader.process,
            "directory": reader.directory,
            "key": reader.key,
            "key_label": people.slot(reader),
            "reads": reads,
            "last_read": format_time(*last),
        })
    };
    let place = |(path, line, how): &(String, u64, &str)| json!({ "path": path, "line": line, "kind": how });
    json!({
        "version": 1,
        "name": name.as_str(),
        "since": used.and_then(|used| used.begins).map(format_time),
        "readers": used.map(|used| used.readers.iter().map(reader).collect::<Vec<_>>()),
        "references": places.found.iter().map(place).collect::<Vec<_>>(),
        "files": places.files,
        "unread_files": places.unread,
        "unread_records": used.map(|used| used.unread),
    })
}

fn text(used: Option<&Used>, places: &Places, people: &People) -> String {
    let readers = used.map_or(&[][..], |used| &used.readers);
    let named = readers.iter().any(|(reader, ..)| reader.environment.is_some());
    let row = |(reader, reads, last): &(Reader, u64, u64)| {
        let shown = |text: Option<&str>| output::printable(text.unwrap_or("-"));
        let mut row = vec![
            shown(people.user(reader).or(reader.user.as_deref())),
            shown(reader.process.as_deref()),
            shown(reader.directory.as_deref()),
            shown(people.slot(reader).or(reader.key.as_deref())),
            format!("{reads} {}", if *reads == 1 { "read" } else { "reads" }),
            format_time(*last),
        ];
        row.extend(named.then(|| shown(reader.environment.as_deref())));
        row
    };
    let place = |(path, line, how): &(String, u64, &str)| format!("{}:{line}: {how}\n", output::printable(path));
    output::columns(&readers.iter().map(row).collect::<Vec<_>>()) + &places.found.iter().map(place).collect::<String>()
}
