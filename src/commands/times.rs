//! What commands share about times: what has expired, whether the clock is believed, and how often what is rotated.

use std::collections::BTreeMap;
use std::time::Duration;

use super::context::{Context, format_time, parse_duration};
use crate::term::output;
use crate::vault::clock::{self, Belief, Clock};
use crate::vault::generate::Generator;
use crate::vault::{Entry, Error, ErrorKind, Result, Vault};

/// How long the value before a rotation counts afterwards, unless something else is said.
const GRACE: &str = "24h";
const DAY: u64 = 86_400_000;
/// The presets that there are where the configuration says nothing: a week, and thirty days.
const TIERS: [(&str, u64); 2] = [("critical", 7 * DAY), ("high", 30 * DAY)];

/// What entries of a tier get unless they have a schedule of their own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Preset {
    /// How often they get another value, in milliseconds.
    pub every: Option<u64>,
    /// What generates it; without this a person does.
    pub generate: Option<Generator>,
    /// How long the old one counts afterwards, in milliseconds.
    pub grace: Option<u64>,
}

impl Context {
    /// Refuses an expired entry. A clock that is not believed does not make it one. Without a vault there is a server, which has refused it already.
    pub fn check_expiry<'a>(&self, vault: impl Into<Option<&'a Vault>>, entry: &Entry) -> Result<()> {
        let Some(vault) = vault.into() else { return Ok(()) };
        let clock = vault.clock(self.now());
        let doubtful = match clock.belief() {
            Belief::Believed => false,
            Belief::Ahead => entry.is_expired(clock.now()) && !entry.is_expired(clock.for_reading()),
            Belief::Behind => entry.expires().is_some(),
        };
        if doubtful {
            self.doubt(&clock);
        }
        if entry.is_expired(clock.for_reading()) {
            return Err(Error::new(ErrorKind::Expired, "expired", format!("'{}' has expired", entry.id()))
                .hint("set a new value, or read it all the same with --allow-expired"));
        }
        Ok(())
    }

    /// The time by which entries that are read are judged. Without a vault there is nothing to compare the clock with.
    pub fn time_for_reading<'a>(&self, vault: impl Into<Option<&'a Vault>>) -> Result<u64> {
        let Some(vault) = vault.into() else { return Ok(self.now()) };
        let clock = vault.clock(self.now());
        if clock.belief() != Belief::Believed && vault.has_expiries()? {
            self.doubt(&clock);
        }
        Ok(clock.for_reading())
    }

    /// The time by which entries are removed or rotated.
    ///
    /// # Errors
    /// [`ErrorKind::NotPermitted`] if the clock is not believed: what it would lead to could not be undone. Also with a limited key.
    pub fn time_for_changes(&self, vault: &Vault) -> Result<u64> {
        vault.refuse_limited()?;
        let clock = vault.clock(self.now());
        match clock.belief() {
            Belief::Believed => Ok(clock.now()),
            _ => Err(Error::new(ErrorKind::NotPermitted, "clock", format!("{}; nothing was changed", say(&clock)))
                .hint("set the clock; or, if it is right, say so with --trust-clock")),
        }
    }

    fn doubt(&self, clock: &Clock) {
        if !self.clock_doubted.replace(true) {
            let consequence = match clock.belief() {
                Belief::Ahead => "what it alone would make expire does not count as expired",
                _ => "what has expired may not seem so",
            };
            self.note(&format!("warning: {}; {consequence} (--trust-clock, if it is right)", say(clock)));
        }
    }

    /// What entries of each tier get.
    pub fn presets(&mut self) -> Result<BTreeMap<String, Preset>> {
        let mut presets: BTreeMap<String, Preset> = BTreeMap::new();
        for (name, every) in TIERS {
            presets.insert(name.to_owned(), Preset { every: Some(every), ..Preset::default() });
        }
        for (name, tier) in &self.config()?.tiers {
            let place = |error: Error| {
                let message = format!("the tier '{}' of the configuration: {error}", name.escape_default());
                Error::new(ErrorKind::Usage, "bad_configuration", message)
            };
            let preset = presets.entry(name.clone()).or_default();
            if let Some(every) = &tier.every {
                preset.every = Some(parse_interval(every).map_err(place)?);
            }
            if let Some(generate) = &tier.generate {
                preset.generate = Some(generate.parse().map_err(place)?);
            }
            if let Some(grace) = &tier.grace {
                preset.grace = Some(parse_duration(grace).map_err(place)?);
            }
        }
        Ok(presets)
    }

    pub(super) fn tier_intervals(&mut self) -> Result<BTreeMap<String, u64>> {
        let every = |(name, preset): (String, Preset)| preset.every.map(|every| (name, every));
        Ok(self.presets()?.into_iter().filter_map(every).collect())
    }

    /// How long the value before a rotation counts afterwards, in milliseconds, where neither an option nor a preset says so.
    pub fn usual_grace(&mut self) -> Result<u64> {
        parse_duration(self.config()?.grace.as_deref().unwrap_or(GRACE))
    }
}

/// An interval: a duration that is not none at all.
pub fn parse_interval(text: &str) -> Result<u64> {
    match parse_duration(text)? {
        0 => Err(Error::usage("an interval cannot be zero")),
        every => Ok(every),
    }
}

/// A time at which something expires: a date and time with an offset, or a date, at the end of which it does, in UTC.
pub fn parse_expiry(text: &str) -> Result<u64> {
    clock::moment(text).or_else(|| clock::day(text).map(|(_, end)| end)).ok_or_else(|| {
        Error::usage(format!("'{text}' is not a date"))
            .hint("dates are written 2027-01-31 (to the end of that day in UTC), or 2027-01-31T12:00:00+01:00")
    })
}

/// A point in time: so long ago, a date at its beginning in UTC, or a full time.
pub fn parse_time(text: &str, now: u64) -> Result<u64> {
    if let Ok(ago) = parse_duration(text) {
        return Ok(now.saturating_sub(ago));
    }
    clock::moment(text).or_else(|| clock::day(text).map(|(start, _)| start)).ok_or_else(|| {
        Error::usage(format!("'{}' is not a time", output::printable(text)))
            .hint("times are written like 24h or 30d (ago), 2026-01-31, 2026-01-31T12:00:00Z")
    })
}

/// A duration as `every`, `--ttl` and their like take it: in the largest units that it has whole numbers of.
pub fn format_duration(milliseconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(DAY, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let (mut text, mut rest) = (String::new(), milliseconds);
    for (unit, name) in UNITS {
        if rest >= unit {
            text.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    if rest > 0 || text.is_empty() { format!("{text}{rest}ms") } else { text }
}

/// The time that commands may take.
pub fn parse_timeout(text: &str) -> Result<Duration> {
    parse_interval(text).map(Duration::from_millis)
}

fn say(clock: &Clock) -> String {
    let newest = clock.newest().map_or_else(String::new, format_time);
    let how = match clock.belief() {
        Belief::Behind => "behind",
        _ => "far ahead of",
    };
    format!("the clock of this machine says {}, {how} the vault's newest commit, {newest}", format_time(clock.now()))
}
