//! `rotate --every`, `--no-schedule` and `--trust-commands`.

use super::RotateArgs;
use super::machine::{Machine, Told};
use crate::audit::{Action, Event};
use crate::commands::context::{Context, format_time, parse_duration};
use crate::commands::record::event_of;
use crate::commands::times::{format_duration, parse_interval};
use crate::commands::{exit, present};
use crate::format::schedule::Schedule;
use crate::term::output;
use crate::vault::{Error, ErrorKind, Result};

/// Stores a schedule.
pub fn set(context: &mut Context, args: &RotateArgs) -> Result<()> {
    let id = args.id(context)?;
    let every = parse_interval(args.every.as_deref().unwrap_or_default())?;
    let phases = args.phases()?;
    if phases.is_some() && args.generate.is_none() && args.command.is_none() {
        return Err(Error::usage("a schedule with --apply needs --generate or --command: nobody types a value then"));
    }
    let mut schedule = Schedule::new(every, args.timeout()?.as_millis() as u64);
    schedule.generate = args.generate.map(|generator| generator.to_string());
    schedule.command.clone_from(&args.command);
    schedule.phases = phases;
    schedule.grace = args.grace.as_deref().map(parse_duration).transpose()?;
    let vault = context.unlock()?;
    let entry = vault.entry(&id)?.ok_or_else(|| present::not_found(&id))?;
    let now = context.now();
    let when = format!("every {}, for the first time at {}", format_duration(every), format_time(now.saturating_add(every)));
    if args.dry_run {
        context.note(&format!("'{id}' would be due {when}"));
        return Ok(());
    }
    let told = args.told();
    if !told.is_empty()
        && let Err(error) = Machine::this().trust(&vault, &entry.uid_hex(), &told)
    {
        context.note(&format!("warning: {error}; they will not run here"));
    }
    context.about(&vault, Action::Schedule, Some(&id))?;
    let note = vault.set_schedules(&[(id.clone(), schedule)], now)?;
    context.record(&vault, &[Event::new(Action::Schedule).entry(&entry).detail(format!("due {when}"))])?;
    context.note(&format!("'{id}' is due {when}"));
    if let Some(note) = note {
        context.note(&format!("note: {note}"));
    }
    Ok(())
}

/// Takes a schedule away.
pub fn remove(context: &mut Context, args: &RotateArgs) -> Result<u8> {
    let id = args.id(context)?;
    let vault = context.unlock()?;
    if args.dry_run {
        let entry = vault.entry(&id)?.ok_or_else(|| present::not_found(&id))?;
        let there = if vault.schedule(&entry)?.is_some() { "would lose its schedule" } else { "has no schedule" };
        context.note(&format!("'{id}' {there}"));
        return Ok(exit::OK);
    }
    context.about(&vault, Action::Schedule, Some(&id))?;
    let (was_there, note) = vault.remove_schedule(&id, context.now())?;
    if was_there {
        context.record(&vault, &[event_of(&vault, Action::Schedule, &id).detail("taken away")])?;
    } else {
        context.note(&format!("note: '{id}' has no schedule of its own"));
    }
    if let Some(note) = note {
        context.note(&format!("note: {note}"));
    }
    Ok(exit::OK)
}

/// Shows the commands that the vault holds for an entry, and has them trusted here.
pub fn trust(context: &mut Context, args: &RotateArgs) -> Result<u8> {
    let id = args.id(context)?;
    let vault = context.unlock()?;
    let entry = vault.entry(&id)?.ok_or_else(|| present::not_found(&id))?;
    let (schedule, pending) = (vault.schedule(&entry)?, vault.pending_rotation(&entry)?);
    let told: Vec<Told<'_>> = [
        schedule.as_ref().map(Told::of_schedule),
        schedule.as_ref().and_then(|schedule| schedule.phases.as_ref()).map(Told::of_phases),
        pending.as_ref().map(|pending| Told::of_phases(&pending.journal.commands)),
    ]
    .into_iter()
    .flatten()
    .filter(|told| !told.is_empty())
    .collect();
    let mut shown: Vec<Vec<String>> = Vec::new();
    for (name, text) in told.iter().flat_map(Told::lines) {
        let row = vec![name.to_owned(), output::printable(text)];
        if !shown.contains(&row) {
            shown.push(row);
        }
    }
    if shown.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "no_commands", format!("the vault holds no commands for '{id}'")));
    }
    output::print(&output::columns(&shown))?;
    if args.dry_run {
        return Ok(exit::OK);
    }
    if !args.yes {
        let prompter = context
            .prompter()
            .ok_or_else(|| Error::usage("nobody can be asked whether they may run").hint("say so with --yes"))?;
        let question = "May these commands run on this machine, with the values of the entry?";
        if !prompter.confirm(question).map_err(|error| Error::io("ask", &error))? {
            return Err(Error::new(ErrorKind::NotPermitted, "untrusted_commands", "the commands are not trusted"));
        }
    }
    let machine = Machine::this();
    for commands in &told {
        machine.trust(&vault, &entry.uid_hex(), commands)?;
    }
    context.record(&vault, &[Event::new(Action::Trust).entry(&entry).detail("its commands")])?;
    Ok(exit::OK)
}
