//! `rotate --due`: all entries whose time has come, found by their index. Safe beside others of its kind: an entry that two find is rotated once.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::fate::{self, Fate};
use super::machine::{Machine, Told};
use super::phases::{Drive, until};
use super::source::Source;
use super::{RotateArgs, endings, grace, preset, take_up};
use crate::audit::{Action, Event};
use crate::commands::context::Context;
use crate::commands::exit;
use crate::commands::times::Preset;
use crate::format::record::Kind;
use crate::format::rotation::Phase;
use crate::format::schedule::Schedule;
use crate::store::Walk;
use crate::vault::{DueRotation, Entry, Error, ErrorKind, PendingRotation, Result, Scope, Start, Times, Vault};

/// How many simple rotations are one commit.
const AT_ONCE: usize = 100;

/// How an entry that is due gets its value.
struct Plan {
    entry: Entry,
    schedule: Option<Schedule>,
    /// `Err`: what is said of it cannot be read.
    source: Result<Option<Source>>,
    grace: u64,
}

pub fn run(context: &mut Context, args: &RotateArgs) -> Result<u8> {
    let (presets, usual) = (context.presets()?, context.usual_grace()?);
    let vault = context.unlock()?;
    if !args.dry_run {
        context.about(&vault, Action::Rotate, None)?;
    }
    let now = context.time_for_changes(&vault)?;
    if context.global.trust_clock && !args.dry_run {
        let corrected = vault.correct_dues(now)?;
        if corrected > 0 {
            context.note(&format!(
                "note: {corrected} entries were due later than their interval allows, and are due one interval from now"
            ));
        }
    }
    let mut due = Vec::new();
    vault.entries_by_time(Times::Due, now, &Scope::All, &mut |entry| {
        due.push(entry);
        Ok(Walk::Continue(()))
    })?;
    let mut round = Round {
        context,
        vault: &vault,
        machine: Machine::this(),
        endings: OnceCell::new(),
        now,
        dry_run: args.dry_run,
        simple: Vec::new(),
        fates: Vec::new(),
    };
    let ended = round.all(due, args.limit.unwrap_or(usize::MAX), &presets, usual);
    let mut fates = round.fates;
    fates.sort_by(|(one, _), (other, _)| one.id().cmp(other.id()));
    // What was done is told however the round ended.
    let reported = fate::report(&fates, args.format);
    ended.and(reported)?;
    let bad = |fate: &Fate| matches!(fate, Fate::Failed(..) | Fate::Waits(..) | Fate::NeedsPerson(_));
    Ok(if fates.iter().any(|(_, fate)| bad(fate)) { exit::FINDINGS } else { exit::OK })
}

struct Round<'a> {
    context: &'a Context,
    vault: &'a Vault,
    machine: Machine,
    /// Readable when this process is asked to end; until a command runs, that ends it.
    endings: OnceCell<OwnedFd>,
    now: u64,
    dry_run: bool,
    /// What is written together.
    simple: Vec<DueRotation>,
    fates: Vec<(Entry, Fate)>,
}

impl Round<'_> {
    fn all(&mut self, due: Vec<Entry>, limit: usize, presets: &BTreeMap<String, Preset>, usual: u64) -> Result<()> {
        let ended = self.each(due, limit, presets, usual);
        match &ended {
            // Nothing more is done where this process is to end, or where it could not be recorded.
            Err(error) if ["interrupted", "audit_required"].contains(&error.code()) => ended,
            _ => ended.and(self.write_simple()),
        }
    }

    fn each(&mut self, due: Vec<Entry>, limit: usize, presets: &BTreeMap<String, Preset>, usual: u64) -> Result<()> {
        let mut left = limit;
        for entry in due {
            if left == 0 {
                break;
            }
            let tried = match self.vault.schedule(&entry) {
                Ok(schedule) => self.carry_out(plan(entry, schedule, presets, usual))?,
                // The others are not kept from theirs by it.
                Err(error) => {
                    self.conclude(entry, Err(error))?;
                    false
                }
            };
            left -= usize::from(tried);
        }
        Ok(())
    }

    fn endings(&self) -> Result<&OwnedFd> {
        if self.endings.get().is_none() {
            // Nobody else sets it: a round has one thread.
            let _ = self.endings.set(endings()?);
        }
        self.endings.get().ok_or_else(|| Error::new(ErrorKind::Internal, "internal", "there is nothing to hear of an end by"))
    }

    /// Returns whether something was tried.
    fn carry_out(&mut self, plan: Plan) -> Result<bool> {
        let failed = plan.schedule.as_ref().and_then(|schedule| schedule.failed.as_ref());
        if let Some(failed) = failed.filter(|failed| failed.next > self.now) {
            let fate = Fate::Waits(failed.code.clone(), failed.next);
            self.fates.push((plan.entry, fate));
            return Ok(false);
        }
        if plan.entry.is_rotating() {
            match self.vault.pending_rotation(&plan.entry) {
                Ok(Some(pending)) => return self.go_on(plan.entry, pending, plan.schedule.is_some()),
                // A mark without a journal is what a merge left.
                Ok(None) => {}
                Err(error) => return self.conclude(plan.entry, Err(error)).map(|()| true),
            }
        }
        let source = match plan.source {
            Ok(Some(source)) => source,
            Ok(None) => {
                self.fates.push((plan.entry, Fate::NeedsPerson(fate::NO_SOURCE)));
                return Ok(false);
            }
            Err(error) => return self.conclude(plan.entry, Err(error)).map(|()| true),
        };
        if self.dry_run {
            let how = match (&source, plan.schedule.as_ref().and_then(|schedule| schedule.phases.as_ref())) {
                (_, Some(_)) => "in two phases".to_owned(),
                (Source::Generator(generator), None) => format!("by {generator}"),
                (_, None) => "by its command".to_owned(),
            };
            self.fates.push((plan.entry, Fate::Would(how)));
            return Ok(true);
        }
        let phases = plan.schedule.as_ref().and_then(|schedule| schedule.phases.as_ref());
        if phases.is_none()
            && let Source::Generator(generator) = &source
        {
            self.simple.push(DueRotation { entry: plan.entry, value: generator.generate()?, grace: plan.grace });
            if self.simple.len() == AT_ONCE {
                self.write_simple()?;
            }
            return Ok(true);
        }
        let rotated = self.by_commands(&plan.entry, plan.schedule.as_ref(), plan.grace, &source);
        self.conclude(plan.entry, rotated)?;
        Ok(true)
    }

    /// Runs the commands of one entry.
    fn by_commands(&self, entry: &Entry, schedule: Option<&Schedule>, grace: u64, source: &Source) -> Result<Option<u64>> {
        let vault = self.vault;
        let Some(schedule) = schedule else { return Ok(None) };
        self.machine.refuse_untrusted(vault, &entry.uid_hex(), entry.id(), &Told::of_schedule(schedule))?;
        let hold = self.machine.hold(vault, &entry.uid_hex(), entry.id())?;
        // Whoever had the lock before may have rotated it: a command is run for an entry that is due, and once.
        let Some(still) = vault.entry(entry.id())?.filter(|still| still.uid() == entry.uid() && still.is_due(self.now)) else {
            return Ok(None);
        };
        vault.refuse_rotating(&still)?;
        let value = source.value(self.context, entry.id(), Some(&hold), self.endings()?)?;
        let Some(commands) = schedule.phases.clone() else {
            let due = DueRotation { entry: still, value, grace };
            let (versions, note) = vault.rotate_due(&[due], self.context.now())?;
            self.note(note);
            return Ok(versions.first().copied().flatten());
        };
        // What is in a journal is gone on with by these alone. What cannot be noted is asked about then.
        let _ = self.machine.trust(vault, &entry.uid_hex(), &Told::of_phases(&commands));
        let now = self.context.now();
        let owner = self.machine.owner(until(now, commands.timeout))?;
        let start = Start { commands, grace, owner, if_version: None, if_due: Some(self.now) };
        let Some(pending) = vault.begin_rotation(entry.id(), (value, None), start, now)? else { return Ok(None) };
        let (context, endings) = (self.context, self.endings()?);
        let outcome = Drive { context, vault, pending, hold, endings, force: false }.run()?;
        self.note(outcome.note);
        Ok(Some(outcome.version))
    }

    /// Goes on with a rotation that was left; or lets whoever carries it out do so.
    fn go_on(&mut self, entry: Entry, mut pending: PendingRotation, has_schedule: bool) -> Result<bool> {
        // Without a schedule it was begun by hand, and there is no place to write down when it may be tried again.
        if !has_schedule {
            let journal = &pending.journal;
            let goes_on = journal.phase != Phase::Stuck && self.now < journal.owner.until;
            let fate = if goes_on { Fate::Taken(fate::BEING_ROTATED) } else { Fate::NeedsPerson(fate::WAS_LEFT) };
            self.fates.push((entry, fate));
            return Ok(false);
        }
        if self.dry_run {
            let how = format!("by going on from where it was left ({})", pending.journal.phase.word());
            self.fates.push((entry, Fate::Would(how)));
            return Ok(true);
        }
        let (context, vault, endings) = (self.context, self.vault, self.endings()?);
        let went_on = take_up(vault, &self.machine, &mut pending, context.now())
            .and_then(|hold| Drive { context, vault, pending, hold, endings, force: false }.run());
        self.conclude(entry, went_on.map(|outcome| Some(outcome.version)))?;
        Ok(true)
    }

    /// Notes what became of an entry, and records it. What failed is noted in its schedule too, unless it failed for a reason of this machine or moment
    /// alone, or that schedule cannot be read.
    fn conclude(&mut self, entry: Entry, rotated: Result<Option<u64>>) -> Result<()> {
        let mut noted = Ok(None);
        let fate = match rotated {
            Ok(Some(version)) => Fate::Rotated(version),
            Ok(None) => Fate::Taken(fate::ROTATED),
            Err(error) if error.code() == "interrupted" => return Err(error),
            Err(error) if error.code() == "rotation_lost" => Fate::Taken(fate::ENDED),
            Err(error) if ["rotation_running", "rotation_pending"].contains(&error.code()) => Fate::Taken(fate::BEING_ROTATED),
            Err(error) => {
                let passes = [ErrorKind::NotPermitted, ErrorKind::Damaged, ErrorKind::Busy].contains(&error.kind());
                if !passes && !self.dry_run {
                    noted = self.vault.note_failure(&entry, error.code(), self.context.now());
                }
                let next = noted.as_ref().ok().and_then(|noted| noted.as_ref().map(|noted| noted.next));
                Fate::Failed(error, next)
            }
        };
        self.fates.push((entry, fate));
        self.record_newest(1)?;
        noted.map(drop)
    }

    fn write_simple(&mut self) -> Result<()> {
        let simple = std::mem::take(&mut self.simple);
        if simple.is_empty() {
            return Ok(());
        }
        let (versions, note) = self.vault.rotate_due(&simple, self.context.now())?;
        self.note(note);
        let count = simple.len();
        for (rotation, version) in simple.into_iter().zip(versions) {
            self.fates.push((rotation.entry, version.map_or(Fate::Taken(fate::ROTATED), Fate::Rotated)));
        }
        self.record_newest(count)
    }

    /// Records what became of the last so many, in one write: beside their commit, for what comes later may end the round.
    fn record_newest(&self, count: usize) -> Result<()> {
        if self.dry_run {
            return Ok(());
        }
        let newest = self.fates.iter().skip(self.fates.len().saturating_sub(count));
        let events: Vec<Event> = newest.filter_map(|(entry, fate)| fate::event(entry, fate)).collect();
        if events.is_empty() { Ok(()) } else { self.context.record(self.vault, &events) }
    }

    fn note(&self, note: Option<String>) {
        if let Some(note) = note {
            self.context.note(&format!("note: {note}"));
        }
    }
}

/// How an entry that is due gets its value, as its schedule or else its tier says.
fn plan(entry: Entry, schedule: Option<Schedule>, presets: &BTreeMap<String, Preset>, usual: u64) -> Plan {
    let preset = preset(presets, &entry);
    let grace = grace(None, schedule.as_ref(), preset, usual);
    let source = match &schedule {
        Some(Schedule { generate: Some(spec), .. }) => spec.parse().map(|generator| Some(Source::Generator(generator))),
        Some(Schedule { command: Some(text), timeout, .. }) => {
            Ok(Some(Source::Command(text.clone(), Duration::from_millis(*timeout))))
        }
        Some(_) => Ok(None),
        // A preset does not know what the entry is made of.
        None => Ok(preset.generate.filter(|_| entry.kind() == Kind::Text).map(Source::Generator)),
    };
    Plan { entry, schedule, source, grace }
}
