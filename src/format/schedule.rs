//! Records of schedules (SPEC, section 6): when entries get another value, and from where.

use minicbor::Decoder;
use zeroize::Zeroizing;

use super::FormatError;
use super::cbor::{self, Unknown, array_len, malformed, read_map};
use super::rotation::{Commands, MAX_COMMAND};

/// When an entry gets another value, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The interval, in milliseconds.
    pub every: u64,
    /// What generates the value, as `generate` spells it.
    pub generate: Option<String>,
    /// The shell command that prints the value.
    pub command: Option<String>,
    /// The commands of a rotation in two phases.
    pub phases: Option<Commands>,
    /// How long the old value counts afterwards, in milliseconds; `None`: as is usual.
    pub grace: Option<u64>,
    /// How long `command` may take, in milliseconds.
    pub timeout: u64,
    /// How often it failed since it last did not, when and how it did last, and when it may be tried again.
    pub failed: Option<Failures>,
    unknown: Unknown,
}

/// What went wrong since it last went right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    /// How often.
    pub count: u64,
    /// When it last did, in milliseconds.
    pub time: u64,
    /// The code of the error.
    pub code: String,
    /// When it may be tried again, in milliseconds.
    pub next: u64,
}

impl Schedule {
    /// The kind of the system records that hold schedules; their names are uids in hex digits.
    pub const RECORD: &'static str = "schedule";

    /// A schedule that only says when.
    pub fn new(every: u64, timeout: u64) -> Self {
        let unknown = Unknown::default();
        Self { every, generate: None, command: None, phases: None, grace: None, timeout, failed: None, unknown }
    }

    /// Whether what it says can be kept: an interval, one source of values at most, and commands within the limits.
    pub fn fits(&self) -> bool {
        let command = self.command.as_ref().is_none_or(|command| (1..=MAX_COMMAND).contains(&command.len()));
        let one = self.generate.is_none() || self.command.is_none();
        self.every > 0 && self.timeout > 0 && command && one && self.phases.as_ref().is_none_or(Commands::fit)
    }

    /// The record's bytes.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        cbor::encode(1024, |e| {
            let phases = self.phases.as_ref();
            let (apply, verify, rollback) = (
                phases.map(|phases| &phases.apply),
                phases.and_then(|phases| phases.verify.as_ref()),
                phases.and_then(|phases| phases.rollback.as_ref()),
            );
            let texts = [(1, self.generate.as_ref()), (2, self.command.as_ref()), (3, apply), (4, verify), (5, rollback)];
            let optional = texts.iter().filter(|(_, text)| text.is_some()).count() as u64;
            let optional = optional + u64::from(self.grace.is_some()) + u64::from(self.failed.is_some());
            e.map(2 + optional + self.unknown.count())?.u8(0)?.u64(self.every)?;
            for (key, text) in texts {
                if let Some(text) = text {
                    e.u8(key)?.str(text)?;
                }
            }
            e.u8(6)?.u64(phases.map_or(self.timeout, |phases| phases.timeout))?;
            if let Some(grace) = self.grace {
                e.u8(7)?.u64(grace)?;
            }
            if let Some(Failures { count, time, code, next }) = &self.failed {
                e.u8(8)?.array(4)?.u64(*count)?.u64(*time)?.str(code)?.u64(*next)?;
            }
            e.writer_mut().extend_from_slice(self.unknown.bytes());
            Ok(())
        })
    }

    /// Reads the record's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let schedule = cbor::decode(bytes, Self::read, Self::encode)?;
        if schedule.fits() { Ok(schedule) } else { Err(malformed()) }
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let mut schedule = Self::new(0, 0);
        let (mut apply, mut verify, mut rollback) = (None, None, None);
        let unknown = read_map(d, |field, d| {
            match field {
                0 => schedule.every = d.u64()?,
                1 => schedule.generate = Some(d.str()?.to_owned()),
                2 => schedule.command = Some(d.str()?.to_owned()),
                3 => apply = Some(d.str()?.to_owned()),
                4 => verify = Some(d.str()?.to_owned()),
                5 => rollback = Some(d.str()?.to_owned()),
                6 => schedule.timeout = d.u64()?,
                7 => schedule.grace = Some(d.u64()?),
                8 => schedule.failed = Some(read_failures(d)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        schedule.unknown = unknown;
        schedule.phases = match apply {
            Some(apply) => Some(Commands { apply, verify, rollback, timeout: schedule.timeout }),
            None if verify.is_some() || rollback.is_some() => return Err(malformed()),
            None => None,
        };
        Ok(schedule)
    }
}

fn read_failures(d: &mut Decoder<'_>) -> Result<Failures, FormatError> {
    if array_len(d)? != 4 {
        return Err(malformed());
    }
    Ok(Failures { count: d.u64()?, time: d.u64()?, code: d.str()?.to_owned(), next: d.u64()? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn commands() -> Commands {
        Commands { apply: "a".into(), verify: Some("v".into()), rollback: None, timeout: 60_000 }
    }

    #[test]
    fn schedules_return() {
        let failed = Failures { count: 2, time: 3, code: "x".into(), next: 4 };
        for schedule in [
            Schedule::new(1, 1),
            Schedule { generate: Some("hex:32".into()), phases: Some(commands()), ..Schedule::new(1, 60_000) },
            Schedule { command: Some("c".into()), grace: Some(0), failed: Some(failed), ..Schedule::new(1, 5) },
        ] {
            assert_eq!(Schedule::decode(&schedule.encode()).unwrap(), schedule);
        }
    }

    #[test]
    fn what_breaks_the_limits_is_refused() {
        let both = Schedule { generate: Some("g".into()), command: Some("c".into()), ..Schedule::new(1, 1) };
        assert!(Schedule::decode(&both.encode()).is_err());
        assert!(
            Schedule::decode(&Schedule::new(0, 1).encode()).is_err() && Schedule::decode(&Schedule::new(1, 0).encode()).is_err()
        );
        // A critical field, an optional one, and a phase of a later version.
        let bytes = Schedule::new(1, 1).encode().to_vec();
        let with = |more: &[u8]| [&[0xa3], &bytes[1..], more].concat();
        assert!(matches!(Schedule::decode(&with(&[9, 1])), Err(FormatError::Newer(_))));
        assert_eq!(Schedule::decode(&with(&[0x18, 0x80, 1])).unwrap().encode().as_slice(), with(&[0x18, 0x80, 1]));
    }
}
