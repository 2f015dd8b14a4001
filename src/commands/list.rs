//! `vault list`

use std::io::Write as _;

use clap::Args;

use super::context::{Context, OutputFormat, format_time, parse_category, parse_duration, parse_tag};
use super::source::{Held, Source};
use super::usage::Uses;
use super::{exit, present};
use crate::audit::{Action, Event};
use crate::store::Walk;
use crate::term::output;
use crate::vault::field::Wiped;
use crate::vault::{Condition, Entry, Error, Filter, Result, Scope, Times, Vault};

/// List the names of entries, and with --long or as JSON their metadata
///
/// Values stay sealed. Only the entries of the environment are shown (those without one, if none is given), unless
/// --all-environments. What has expired or is due is found by an index. With --due the exit code is 10 if there is any. --unused and --hot go by the
/// audit log; without one, they end with 3.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only this category
    #[arg(long, value_name = "CATEGORY")]
    category: Option<String>,
    /// Only entries with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Only names that match this pattern: * ? [a-z], where * also matches /
    #[arg(long = "match", value_name = "GLOB")]
    pattern: Option<String>,
    /// Only entries whose metadata fulfils this: KEY OP VALUE with = != < <= > >=, or ~ and a pattern. Numbers, durations, times and truth values are
    /// compared as such. May be repeated
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<String>,
    /// Only entries with this metadata; may be repeated
    #[arg(long = "meta", value_name = "KEY[=VALUE]")]
    meta: Vec<String>,
    /// Only entries of this tier
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,
    /// Only entries of this owner
    #[arg(long, value_name = "WHO")]
    owner: Option<String>,
    /// Only entries that have expired
    #[arg(long, group = "time")]
    expired: bool,
    /// Only entries that expire within this time, or have
    #[arg(long, value_name = "DURATION", group = "time")]
    expires_within: Option<String>,
    /// Only entries that are due for another value
    #[arg(long, group = "time")]
    due: bool,
    /// Only entries that are due for another value within this time, or are
    #[arg(long, value_name = "DURATION", group = "time")]
    due_within: Option<String>,
    /// Only entries of which no value left the vault within this time, and that are older
    #[arg(long, value_name = "DURATION")]
    unused: Option<String>,
    /// Only entries of which values left the vault at least so often
    #[arg(long, value_name = "N")]
    hot: Option<u64>,
    /// The entries of all environments
    #[arg(short = 'a', long)]
    all_environments: bool,
    /// With version, time, category and tags
    #[arg(short, long)]
    long: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
    /// With values; only as JSON
    #[arg(long)]
    reveal: bool,
}

/// What is asked of an entry beside its category.
struct Wanted {
    pattern: Option<glob::Pattern>,
    tag: Option<crate::name::Tag>,
    conditions: Vec<Condition>,
}

impl Wanted {
    fn parse(args: &ListArgs) -> Result<Self> {
        let pattern = args
            .pattern
            .as_deref()
            .map(glob::Pattern::new)
            .transpose()
            .map_err(|error| Error::usage(format!("the pattern is malformed: {}", error.msg)))?;
        let tag = args.tag.as_deref().map(parse_tag).transpose()?;
        let mut conditions = args.conditions.iter().map(|text| Condition::parse(text)).collect::<Result<Vec<_>>>()?;
        for pair in &args.meta {
            conditions.push(Condition::parse_pair(pair)?);
        }
        for (key, value) in [("tier", &args.tier), ("owner", &args.owner)] {
            conditions.extend(value.as_ref().map(|value| Condition::equals(key, value)));
        }
        Ok(Self { pattern, tag, conditions })
    }

    fn name(&self, name: &str) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches(name))
    }

    fn entry(&self, entry: &Entry) -> bool {
        self.name(entry.id().name.as_str())
            && self.tag.as_ref().is_none_or(|tag| entry.tags().contains(tag))
            && self.conditions.iter().all(|condition| condition.holds(entry))
    }
}

/// What is asked of the use of an entry, by the audit log.
struct Wear {
    uses: Uses,
    /// Not since this time.
    unused_since: Option<u64>,
    /// At least so often.
    least: u64,
}

impl Wear {
    fn fits(&self, entry: &Entry) -> bool {
        let unused = |since: u64| entry.created() <= since && self.uses.last_read(entry).is_none_or(|last| last <= since);
        self.unused_since.is_none_or(unused) && self.uses.reads(entry) >= self.least
    }

    /// Says what the log cannot know.
    fn note_limits(&self, context: &Context) {
        let Uses { since, unread, .. } = self.uses;
        if self.unused_since.is_some_and(|wanted| since > wanted) {
            context.note(&format!("note: the audit log begins at {}; what was read before is not known", format_time(since)));
        }
        if unread > 0 {
            context.note(&format!("note: {unread} records of the audit log do not open with the key at hand"));
        }
    }
}

pub fn run(context: &mut Context, args: ListArgs) -> Result<u8> {
    let wanted = Wanted::parse(&args)?;
    if args.reveal && args.format != OutputFormat::Json {
        return Err(Error::usage("--reveal shows values in JSON only").hint("use --format json --reveal, or `vault export`"));
    }
    let within = |text: &Option<String>| text.as_deref().map_or(Ok(0), parse_duration);
    let (expires_within, due_within) = (within(&args.expires_within)?, within(&args.due_within)?);
    let unused = args.unused.as_deref().map(parse_duration).transpose()?;
    let scope = if args.all_environments { Scope::All } else { Scope::One(context.environment()?) };
    let category = args.category.as_deref().map(parse_category).transpose()?;
    let filter = Filter { scope, category };
    let source = context.source()?;
    let now = context.time_for_reading(source.vault())?;
    let by_time = if args.due || args.due_within.is_some() {
        Some((Times::Due, now.saturating_add(due_within)))
    } else if args.expired || args.expires_within.is_some() {
        Some((Times::Expiry, now.saturating_add(expires_within)))
    } else {
        None
    };
    let wear = if unused.is_some() || args.hot.is_some() {
        let unused_since = unused.map(|time| now.saturating_sub(time));
        Some(Wear { uses: context.uses(source.only_vault("--unused or --hot")?)?, unused_since, least: args.hot.unwrap_or(0) })
    } else {
        None
    };
    wear.iter().for_each(|wear| wear.note_limits(context));
    let plain = args.format == OutputFormat::Text && !args.long && wanted.tag.is_none() && wanted.conditions.is_empty();
    if let Some(vault) = source.vault().filter(|_| plain && wear.is_none() && by_time.is_none()) {
        return names(vault, &filter, &wanted, now);
    }
    let mut entries = Vec::new();
    let mut visit = |held: Held| {
        let entry = &held.entry;
        if wanted.entry(entry)
            && wear.as_ref().is_none_or(|wear| wear.fits(entry))
            && (by_time.is_none() || filter.category.is_none() || entry.category() == filter.category.as_ref())
            && by_time.is_none_or(|(times, until)| times.of(entry).is_some_and(|time| time <= until))
        {
            entries.push(held);
        }
        Ok(())
    };
    match (by_time, source.vault()) {
        (Some((times, until)), Some(vault)) => vault
            .entries_by_time(times, until, &filter.scope, &mut |entry| visit(Held::stored(entry)).map(|()| Walk::Continue(())))?,
        _ => source.entries(&filter, args.reveal, &mut visit)?,
    }
    if by_time.is_some() {
        let place = |held: &Held| (held.entry.id().environment_text().to_owned(), held.entry.id().name.clone());
        entries.sort_by_cached_key(place);
    }
    if args.reveal {
        let events: Vec<Event> = entries.iter().map(|held| Event::new(Action::Reveal).entry(&held.entry)).collect();
        context.record(source.vault(), &events)?;
    }
    let some_due = args.due && !entries.is_empty();
    print(&source, &args, &entries, wear.as_ref().map(|wear| &wear.uses), now)?;
    Ok(if some_due { exit::FINDINGS } else { exit::OK })
}

/// Names alone come from an index that holds nothing else: a listing of many costs what it prints.
fn names(vault: &Vault, filter: &Filter, wanted: &Wanted, now: u64) -> Result<u8> {
    let mut out = output::data()?;
    let terminal = output::stdout_is_terminal();
    vault.list(filter, &mut |found| {
        if !wanted.name(found.name) {
            return Ok(Walk::Continue(()));
        }
        if !found.environment.is_empty() && filter.scope == Scope::All {
            let _ = written(write!(out, "{}\t", found.environment))?;
        }
        out_line(&mut out, found.name, terminal && found.expires.is_some_and(|expires| expires <= now))
    })?;
    written(out.flush()).map(|_| exit::OK)
}

fn print(source: &Source, args: &ListArgs, entries: &[Held], uses: Option<&Uses>, now: u64) -> Result<()> {
    let mut out = output::data()?;
    let terminal = output::stdout_is_terminal();
    if args.format == OutputFormat::Json {
        let mut object = Wiped(serde_json::json!({ "version": 1, "entries": [] }));
        for held in entries {
            let entry = &held.entry;
            let mut shown = Wiped(present::entry(entry, now));
            if source.vault().is_none() {
                present::leave_out_history(&mut shown.0);
            }
            if let Some(uses) = uses {
                shown.0["reads"] = uses.reads(entry).into();
                shown.0["last_read"] = uses.last_read(entry).map(format_time).into();
            }
            if args.reveal {
                shown.0["value"] = present::value(&source.value_of(held, None)?, entry.kind())?;
            }
            // Moved and not copied, so that it is wiped with the whole.
            object.0["entries"].as_array_mut().into_iter().for_each(|entries| entries.push(shown.0.take()));
        }
        let _ = written(writeln!(out, "{}", object.0))?;
    } else if args.long {
        let rows: Vec<Vec<String>> = entries.iter().map(|held| row(&held.entry, uses, now)).collect();
        let _ = written(write!(out, "{}", output::columns(&rows)))?;
    } else {
        for Held { entry, .. } in entries {
            if !entry.id().environment_text().is_empty() && args.all_environments {
                let _ = written(write!(out, "{}\t", entry.id().environment_text()))?;
            }
            let _ = out_line(&mut out, entry.id().name.as_str(), terminal && entry.is_expired(now))?;
        }
    }
    written(out.flush()).map(|_| ())
}

fn out_line(out: &mut impl std::io::Write, name: &str, expired: bool) -> Result<Walk> {
    // Names hold no control characters, so they cannot steer a terminal or break a line.
    let result = out.write_all(name.as_bytes()).and_then(|()| out.write_all(if expired { b"  (expired)\n" } else { b"\n" }));
    written(result)
}

/// A reader who has seen enough ends the walk; anything else is an error.
fn written(result: std::io::Result<()>) -> Result<Walk> {
    match result {
        Ok(()) => Ok(Walk::Continue(())),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Walk::Break(())),
        Err(error) => Err(Error::io("write to standard output", &error)),
    }
}

fn row(entry: &Entry, uses: Option<&Uses>, now: u64) -> Vec<String> {
    let tags: Vec<&str> = entry.tags().iter().map(|tag| tag.as_str()).collect();
    let mut times = match entry.expires() {
        Some(expires) if expires <= now => vec!["expired".to_owned()],
        Some(expires) => vec![format!("expires {}", format_time(expires))],
        None => Vec::new(),
    };
    times.extend(entry.due().map(|due| if due <= now { "due".to_owned() } else { format!("due {}", format_time(due)) }));
    times.extend(entry.is_rotating().then(|| "rotation pending".to_owned()));
    times.extend(uses.map(|uses| match uses.last_read(entry) {
        Some(last) => format!("{} reads, the last {}", uses.reads(entry), format_time(last)),
        None => "never read".to_owned(),
    }));
    vec![
        entry.id().name.to_string(),
        entry.id().environment_text().to_owned(),
        format!("v{}", entry.version()),
        format_time(entry.modified()),
        entry.category().map_or_else(|| "-".to_owned(), ToString::to_string),
        tags.join(","),
        times.join(", "),
    ]
}
