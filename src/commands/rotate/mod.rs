//! `vault rotate`

mod due;
mod fate;
mod machine;
mod pending;
mod phases;
mod remote;
mod schedule;
mod source;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use clap::Args;

use super::completions::entry_names;
use super::context::{Context, OutputFormat, parse_duration, refuse_value};
use super::exit;
use super::times::{Preset, parse_timeout};
use crate::audit::Action;
use crate::format::rotation::Commands;
use crate::format::schedule::Schedule;
use crate::name::EntryId;
use crate::process;
use crate::vault::generate::Generator;
use crate::vault::{Entry, Error, Outcome, Result, Start, TIER, Vault, Write};
use machine::{Hold, Machine, Told};
use phases::{Drive, until};
use source::Source;

/// Give an entry a new value; the old one stays in its history
///
/// The value is generated, printed by --command, or comes from standard input or a hidden prompt. `get --previous` gives the value before for
/// the time of --grace.
///
/// In two phases, with --apply: the new value is stored beside the old one, --apply puts it where it is needed, --verify tells whether it is
/// accepted there, and only then does the entry get it. If one of them fails, the old value is put back by --rollback (or by --apply, with the
/// values exchanged) and verified. Each command is run by /bin/sh, with the value that is to count on descriptor 3, the other one on 4, and
/// VAULT_ROTATE_PHASE (apply, verify, rollback), VAULT_ROTATE_ENTRY and VAULT_ROTATE_ENVIRONMENT in its environment; what it prints goes to standard
/// error. A rotation that was interrupted is gone on with by --resume and dropped by --abort; until then the entry has its old value.
///
/// With --every, the entry is due for another value each time that the interval is over, and --due gives one to all that are: from cron or a
/// timer, also several at once. Commands that the vault holds are run only where they were given, or trusted by --trust-commands.
///
/// Exit code 10: a rotation failed and was rolled back, or an entry is due and was not rotated.
#[derive(Args, Debug)]
pub struct RotateArgs {
    /// The entry; it must be there
    #[arg(add = entry_names(), required_unless_present_any = ["due", "resume"])]
    name: Option<String>,
    /// What people try first: a value on the command line, where other programs and the shell's history see it
    #[arg(hide = true)]
    value: Vec<std::ffi::OsString>,
    /// Generate the value: random:32 hex:32 base64url:32 alnum:24 password:20 words:6 uuid pin:6
    #[arg(long, value_name = "SPEC", conflicts_with = "command")]
    generate: Option<Generator>,
    /// The value is what this shell command prints; one line end is stripped
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// Only if this is the current version
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
    /// How long the value before stays the previous one [default: 24h]
    #[arg(long, value_name = "DURATION")]
    grace: Option<String>,
    /// Put the new value in place by this shell command before the entry gets it
    #[arg(long, value_name = "COMMAND")]
    apply: Option<String>,
    /// Tell by this shell command whether the value on descriptor 3 is accepted
    #[arg(long, value_name = "COMMAND", requires = "apply")]
    verify: Option<String>,
    /// Put the old value back by this shell command [default: that of --apply]
    #[arg(long, value_name = "COMMAND", requires = "apply")]
    rollback: Option<String>,
    /// How long each command may take
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    timeout: String,
    /// Go on with rotations that were interrupted: that of the entry, or all
    #[arg(long, group = "mode")]
    resume: bool,
    /// Drop the rotation of the entry that is under way; its value stays
    #[arg(long, group = "mode", requires = "name")]
    abort: bool,
    /// With --resume: also if the entry got another value meanwhile. Without, and without --apply: also if a rotation is under way
    #[arg(long, conflicts_with_all = ["apply", "abort", "no_schedule", "due", "trust_commands"])]
    force: bool,
    /// Have the entry rotated each time this interval is over
    #[arg(long, value_name = "DURATION", group = "mode", requires = "name")]
    every: Option<String>,
    /// With --every: rotate now as well
    #[arg(long, requires = "every")]
    now: bool,
    /// Take the entry's schedule away
    #[arg(long, group = "mode", requires = "name")]
    no_schedule: bool,
    /// Rotate all entries that are due, of all environments
    #[arg(long, group = "mode", conflicts_with = "name")]
    due: bool,
    /// With --due: at most so many
    #[arg(long, value_name = "N", requires = "due")]
    limit: Option<usize>,
    /// Show the commands of the entry, and ask whether they may run on this machine
    #[arg(long, group = "mode", requires = "name")]
    trust_commands: bool,
    /// With --trust-commands: do not ask
    #[arg(long, requires = "trust_commands")]
    yes: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// How to print what --due did
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

impl RotateArgs {
    fn id(&self, context: &mut Context) -> Result<EntryId> {
        let name = self.name.as_deref().ok_or_else(|| Error::usage("an entry is to be named"))?;
        context.entry_id(name)
    }

    fn timeout(&self) -> Result<Duration> {
        parse_timeout(&self.timeout)
    }

    fn source(&self) -> Result<Source> {
        Ok(match (&self.generate, &self.command) {
            (Some(generator), _) => Source::Generator(*generator),
            (None, Some(command)) => Source::Command(command.clone(), self.timeout()?),
            (None, None) => Source::Input,
        })
    }

    fn phases(&self) -> Result<Option<Commands>> {
        let Some(apply) = &self.apply else { return Ok(None) };
        let timeout = self.timeout()?.as_millis() as u64;
        let (apply, verify, rollback) = (apply.clone(), self.verify.clone(), self.rollback.clone());
        let commands = Commands { apply, verify, rollback, timeout };
        commands.check()?;
        Ok(Some(commands))
    }

    fn told(&self) -> Told<'_> {
        let [command, apply, verify, rollback] = [&self.command, &self.apply, &self.verify, &self.rollback].map(Option::as_deref);
        Told { command, apply, verify, rollback }
    }

    /// Refuses what says how to get a value where no value is needed.
    fn refuse_source(&self, with: &str) -> Result<()> {
        if self.generate.is_some() || !self.told().is_empty() || self.if_version.is_some() || self.grace.is_some() {
            return Err(Error::usage(format!("{with} takes no new value, and no commands")));
        }
        Ok(())
    }
}

pub fn run(context: &mut Context, args: RotateArgs) -> Result<u8> {
    refuse_value(&args.value)?;
    if args.format != OutputFormat::Text && !args.due {
        return Err(Error::usage("--format is for --due"));
    }
    if let Some(client) = context.server()? {
        return remote::run(context, &client, &args);
    }
    if args.due {
        args.refuse_source("--due")?;
        return due::run(context, &args);
    }
    if args.resume || args.abort {
        args.refuse_source(if args.resume { "--resume" } else { "--abort" })?;
        return if args.resume { pending::resume(context, &args) } else { pending::abort(context, &args) };
    }
    if args.no_schedule || args.trust_commands {
        args.refuse_source(if args.no_schedule { "--no-schedule" } else { "--trust-commands" })?;
        return if args.no_schedule { schedule::remove(context, &args) } else { schedule::trust(context, &args) };
    }
    if args.every.is_some() {
        if !args.now && (args.force || args.if_version.is_some()) {
            return Err(Error::usage("--force and --if-version are for a rotation, which --every without --now is not"));
        }
        schedule::set(context, &args)?;
        if !args.now || args.dry_run {
            return Ok(exit::OK);
        }
    }
    rotate(context, &args)
}

/// Gives one entry another value now.
fn rotate(context: &mut Context, args: &RotateArgs) -> Result<u8> {
    let id = args.id(context)?;
    let (source, phases) = (args.source()?, args.phases()?);
    if args.dry_run {
        return say_what(context, args, &id, &source);
    }
    let endings = match (&source, &phases) {
        (Source::Command(..), _) | (_, Some(_)) => endings()?,
        _ => never()?,
    };
    // A value that a person types is there before the vault is opened: nobody waits for them.
    let typed = match source {
        Source::Input => Some(source.value(context, &id, None, &endings)?),
        _ => None,
    };
    let vault = context.unlock()?;
    context.about(&vault, Action::Rotate, Some(&id))?;
    vault.refuse_limited()?;
    let mut entry = vault.entry(&id)?.ok_or_else(|| super::present::not_found(&id))?;
    context.about_entry(&entry);
    let alone = phases.is_some() || matches!(source, Source::Command(..));
    let machine = alone.then(Machine::this);
    let hold = machine.as_ref().map(|machine| machine.hold(&vault, &entry.uid_hex(), &id)).transpose()?;
    if alone {
        // What would be refused in the end is refused before a command makes a value for it, perhaps elsewhere too; as it is now that nobody else works on it.
        entry = vault.entry(&id)?.ok_or_else(|| super::present::not_found(&id))?;
        if !args.force {
            vault.refuse_rotating(&entry)?;
        }
        if let Some(expected) = args.if_version {
            entry.expect_version(expected)?;
        }
    }
    let grace = grace_of(context, args, &vault, &entry)?;
    let value = match typed {
        Some(value) => value,
        None => source.value(context, &id, hold.as_ref(), &endings)?,
    };
    let outcome = match (phases, machine, hold) {
        (Some(commands), Some(machine), Some(hold)) => {
            // What cannot be noted is asked about when somebody goes on with it.
            let _ = machine.trust(&vault, &entry.uid_hex(), &Told { command: None, ..args.told() });
            let now = context.now();
            let owner = machine.owner(until(now, commands.timeout))?;
            let start = Start { commands, grace, owner, if_version: args.if_version, if_due: None };
            let Some(pending) = vault.begin_rotation(&id, (value, None), start, now)? else { return Ok(exit::OK) };
            Drive { context, vault: &vault, pending, hold, endings: &endings, force: false }.run()?
        }
        _ => {
            let kind = entry.kind_of_next(&value);
            let write = Write { if_version: args.if_version, force: args.force, ..Write::rotation(value, kind, grace) };
            vault.set(&id, write, context.now())?
        }
    };
    finish(context, &vault, &id, &outcome)?;
    Ok(exit::OK)
}

fn say_what(context: &mut Context, args: &RotateArgs, id: &EntryId, source: &Source) -> Result<u8> {
    let vault = context.unlock()?;
    let entry = vault.entry(id)?.ok_or_else(|| super::present::not_found(id))?;
    let from = match source {
        Source::Generator(generator) => format!("a value of {generator}"),
        Source::Command(..) => "what the command prints".to_owned(),
        Source::Input => "the value on standard input".to_owned(),
    };
    let how = match (&args.apply, &args.verify) {
        (None, _) => "",
        (Some(_), None) => ", if it can be applied",
        (Some(_), Some(_)) => ", if it can be applied and is verified",
    };
    context.note(&format!("'{id}' would get {from} as version {}{how}", entry.version() + 1));
    Ok(exit::OK)
}

/// How long the value before counts after a rotation by hand.
fn grace_of(context: &mut Context, args: &RotateArgs, vault: &Vault, entry: &Entry) -> Result<u64> {
    let option = args.grace.as_deref().map(parse_duration).transpose()?;
    // Where there is a schedule, there is a time.
    let asked = option.is_none() && entry.due().is_some();
    let schedule = if asked { vault.schedule(entry)? } else { None };
    Ok(grace(option, schedule.as_ref(), preset(&context.presets()?, entry), context.usual_grace()?))
}

/// How long the value before counts: as an option says, the schedule, the tier, or else as is usual.
fn grace(option: Option<u64>, schedule: Option<&Schedule>, preset: Preset, usual: u64) -> u64 {
    option.or_else(|| schedule?.grace).or(preset.grace).unwrap_or(usual)
}

/// What an entry gets by its tier.
fn preset(presets: &BTreeMap<String, Preset>, entry: &Entry) -> Preset {
    entry.meta().get(TIER).and_then(|tier| presets.get(tier)).copied().unwrap_or_default()
}

fn finish(context: &Context, vault: &Vault, id: &EntryId, outcome: &Outcome) -> Result<()> {
    context.record_write(vault, Action::Rotate, id, outcome.version)?;
    context.note(&format!("'{id}' is at version {}", outcome.version));
    if let Some(note) = &outcome.note {
        context.note(&format!("note: {note}"));
    }
    Ok(())
}

/// Readable when this process is asked to end, which then does not end it at once.
fn endings() -> Result<OwnedFd> {
    process::endings().map_err(|error| Error::io("prepare for commands", &error))
}

/// Never readable: nothing is started that would have to be ended.
fn never() -> Result<OwnedFd> {
    let null = std::fs::File::open("/dev/null").map_err(|error| Error::io("open /dev/null", &error))?;
    Ok(null.into())
}

/// Takes up a rotation that was left, if nobody carries it out.
fn take_up(vault: &Vault, machine: &Machine, pending: &mut crate::vault::PendingRotation, now: u64) -> Result<Hold> {
    let id = pending.journal.id.clone();
    let hold = match machine.hold(vault, &pending.uid(), &id) {
        Ok(hold) => {
            machine.refuse_alive(&pending.journal.owner, &id, now)?;
            hold
        }
        Err(error) if now < pending.journal.owner.until => return Err(error),
        // What it has left running hangs on to the lock, perhaps for ever.
        Err(_) => machine.hold_anew(vault, &pending.uid(), &id)?,
    };
    machine.refuse_untrusted(vault, &pending.uid(), &id, &Told::of_phases(&pending.journal.commands))?;
    vault.take_over(pending, machine.owner(until(now, pending.journal.commands.timeout))?, now)?;
    Ok(hold)
}
