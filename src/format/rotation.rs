//! Records of rotations: what an entry remembers of its own, and the journal of one that is under way (SPEC, section 6).

use minicbor::Decoder;
use zeroize::Zeroizing;

use super::FormatError;
use super::cbor::{self, Unknown, Writer, Written, array, array_len, malformed, read_map};
use super::kind::Kind;
use crate::name::{EntryId, Environment, Name};
use crate::secret::SecretValue;

/// The longest command, in bytes.
pub const MAX_COMMAND: usize = 16_384;
/// The longest value that a rotation in two phases takes: it is written once more with each step.
pub const MAX_PENDING: usize = 1 << 20;
/// How many events a journal keeps, the newest.
pub const MAX_EVENTS: usize = 64;
/// The longest text of an event, in bytes.
pub const MAX_EVENT: usize = 1024;

/// What an entry remembers of its rotations.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Rotations {
    /// How many there were.
    pub count: u64,
    /// The last one, if there was one.
    pub last: Option<LastRotation>,
    /// Whether one is under way: then there is a journal.
    pub pending: bool,
    /// When one failed since the last that did not, and how.
    pub failed: Option<(u64, String)>,
    unknown: Unknown,
}

/// The last rotation of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRotation {
    /// When it was, in milliseconds.
    pub time: u64,
    /// Until when the value before it still counts.
    pub until: u64,
    /// The version that was current before it.
    pub previous: u64,
}

impl Rotations {
    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Notes a rotation.
    pub fn advance(&mut self, last: LastRotation) {
        self.count = self.count.saturating_add(1);
        self.last = Some(last);
        self.failed = None;
    }

    pub(super) fn write(&self, e: &mut Writer<'_>) -> Written {
        let optional = 3 * u64::from(self.last.is_some()) + u64::from(self.pending) + u64::from(self.failed.is_some());
        e.map(1 + optional + self.unknown.count())?.u8(0)?.u64(self.count)?;
        if let Some(last) = &self.last {
            e.u8(1)?.u64(last.time)?.u8(2)?.u64(last.until)?.u8(3)?.u64(last.previous)?;
        }
        if self.pending {
            e.u8(4)?.bool(true)?;
        }
        if let Some(failed) = &self.failed {
            e.u8(5)?;
            write_event(e, failed)?;
        }
        e.writer_mut().extend_from_slice(self.unknown.bytes());
        Ok(())
    }

    pub(super) fn read(d: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let mut rotations = Self::default();
        let (mut count, mut time, mut until, mut previous) = (None, None, None, None);
        let unknown = read_map(d, |field, d| {
            match field {
                0 => count = Some(d.u64()?),
                1 => time = Some(d.u64()?),
                2 => until = Some(d.u64()?),
                3 => previous = Some(d.u64()?),
                4 => rotations.pending = d.bool()?,
                5 => rotations.failed = Some(read_event(d)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        rotations.count = count.ok_or_else(malformed)?;
        rotations.last = match (time, until, previous) {
            (Some(time), Some(until), Some(previous)) if previous > 0 => Some(LastRotation { time, until, previous }),
            (None, None, None) => None,
            _ => return Err(malformed()),
        };
        rotations.unknown = unknown;
        // Nothing is never stated.
        if rotations.is_empty() || (rotations.count > 0) != rotations.last.is_some() { Err(malformed()) } else { Ok(rotations) }
    }
}

/// The shell commands of a rotation in two phases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commands {
    /// Puts a value in its place.
    pub apply: String,
    /// Tells whether a value is the one that counts.
    pub verify: Option<String>,
    /// Puts the old value back; without it, `apply` does.
    pub rollback: Option<String>,
    /// How long each may take, in milliseconds.
    pub timeout: u64,
}

impl Commands {
    /// What is said of commands that do not fit.
    pub const LIMIT: &'static str = "a command has 1 to 16,384 bytes, and a time";

    /// Whether they can be kept: each has a length within the limit, and some time.
    pub fn fit(&self) -> bool {
        let longest = [Some(&self.apply), self.verify.as_ref(), self.rollback.as_ref()].into_iter().flatten();
        longest.map(String::len).all(|length| (1..=MAX_COMMAND).contains(&length)) && self.timeout > 0
    }
}

/// How far a rotation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The new value is stored, and nothing was done with it.
    Pending,
    /// It may be in place, or not.
    Applying,
    /// It is in place, and not verified.
    Applied,
    /// The old value is being put back.
    RollingBack,
    /// Neither value could be verified.
    Stuck,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Pending, Self::Applying, Self::Applied, Self::RollingBack, Self::Stuck];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Applying => "applying",
            Self::Applied => "applied",
            Self::RollingBack => "rolling-back",
            Self::Stuck => "stuck",
        }
    }
}

/// Who carries out a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The name of the machine, for people.
    pub host: String,
    /// Where its lock is: two processes of the same place tell by the lock whether the other lives.
    pub place: String,
    /// The number of the process, for people.
    pub process: u64,
    /// Until when others leave the rotation alone, whatever they think of the owner.
    pub until: u64,
    /// Drawn at random for each run: whoever finds another one has lost the rotation.
    pub run: [u8; 8],
}

/// A rotation that is under way, with the value that it is to bring.
pub struct Journal {
    /// The entry.
    pub id: EntryId,
    /// The version from which it began.
    pub base: u64,
    /// The new value.
    pub value: SecretValue,
    /// Its kind.
    pub kind: Kind,
    /// When it began, in milliseconds.
    pub started: u64,
    /// How far it has come.
    pub phase: Phase,
    /// What is run.
    pub commands: Commands,
    /// How long the old value counts afterwards, in milliseconds.
    pub grace: u64,
    /// What happened, and when; the newest last.
    pub events: Vec<(u64, String)>,
    /// Who carries it out.
    pub owner: Owner,
    unknown: Unknown,
}

impl Journal {
    /// The kind of the system records that hold journals; their names are uids in hex digits.
    pub const RECORD: &'static str = "rotation";

    /// A rotation that begins.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] for a value or a command beyond the limits.
    pub fn new(
        id: EntryId,
        base: u64,
        (value, kind): (SecretValue, Kind),
        started: u64,
        commands: Commands,
        grace: u64,
        owner: Owner,
    ) -> Result<Self, FormatError> {
        if value.expose().len() > MAX_PENDING {
            return Err(FormatError::TooLarge("a rotation in two phases takes values of at most 1 MiB"));
        }
        if !commands.fit() {
            return Err(FormatError::TooLarge(Commands::LIMIT));
        }
        let (phase, unknown) = (Phase::Pending, Unknown::default());
        Ok(Self { id, base, value, kind, started, phase, commands, grace, events: Vec::new(), owner, unknown })
    }

    /// Notes what happened.
    pub fn note(&mut self, time: u64, what: &str) {
        self.events.push((time, shortened(what)));
        self.events.drain(..self.events.len().saturating_sub(MAX_EVENTS));
    }

    /// The record's bytes.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let Commands { apply, verify, rollback, timeout } = &self.commands;
        let texts = MAX_COMMAND * 3 + MAX_EVENTS * (MAX_EVENT + 16);
        // All the room at once: growing would leave copies of the value behind.
        cbor::encode(self.value.expose().len() + texts + self.unknown.bytes().len() + 4096, |e| {
            let optional = u64::from(verify.is_some()) + u64::from(rollback.is_some());
            e.map(12 + optional + self.unknown.count())?;
            e.u8(0)?.str(self.id.environment_text())?.u8(1)?.str(self.id.name.as_str())?;
            e.u8(2)?.u64(self.base)?.u8(3)?.bytes(self.value.expose())?.u8(4)?.u8(self.kind as u8)?;
            e.u8(5)?.u64(self.started)?.u8(6)?.u8(self.phase as u8)?.u8(7)?.str(apply)?;
            if let Some(verify) = verify {
                e.u8(8)?.str(verify)?;
            }
            if let Some(rollback) = rollback {
                e.u8(9)?.str(rollback)?;
            }
            e.u8(10)?.u64(*timeout)?.u8(11)?.u64(self.grace)?.u8(12)?.array(self.events.len() as u64)?;
            for event in &self.events {
                write_event(e, event)?;
            }
            let Owner { host, place, process, until, run } = &self.owner;
            e.u8(13)?.array(5)?.str(host)?.str(place)?.u64(*process)?.u64(*until)?.bytes(run)?;
            e.writer_mut().extend_from_slice(self.unknown.bytes());
            Ok(())
        })
    }

    /// Reads the record's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let journal = cbor::decode(bytes, Self::read, Self::encode)?;
        let fits = journal.value.expose().len() <= MAX_PENDING && journal.commands.fit() && journal.events.len() <= MAX_EVENTS;
        if fits && journal.base > 0 { Ok(journal) } else { Err(malformed()) }
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let (mut environment, mut name, mut base, mut value, mut kind) = (None, None, None, None, None);
        let (mut started, mut phase, mut apply, mut verify, mut rollback) = (None, None, None, None, None);
        let (mut timeout, mut grace, mut events, mut owner) = (None, None, None, None);
        let unknown = read_map(d, |field, d| {
            match field {
                0 => environment = Some(d.str()?.to_owned()),
                1 => name = Some(Name::parse(d.str()?).map_err(|_| malformed())?),
                2 => base = Some(d.u64()?),
                3 => value = Some(SecretValue::new(Zeroizing::new(d.bytes()?.to_vec()))),
                4 => kind = Some(Kind::from_number(d.u64()?)?),
                5 => started = Some(d.u64()?),
                6 => phase = Some(read_phase(d.u64()?)?),
                7 => apply = Some(d.str()?.to_owned()),
                8 => verify = Some(d.str()?.to_owned()),
                9 => rollback = Some(d.str()?.to_owned()),
                10 => timeout = Some(d.u64()?),
                11 => grace = Some(d.u64()?),
                12 => events = Some((0..array_len(d)?).map(|_| read_event(d)).collect::<Result<Vec<_>, _>>()?),
                13 => owner = Some(read_owner(d)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let environment = match environment.ok_or_else(malformed)?.as_str() {
            "" => None,
            text => Some(Environment::parse(text).map_err(|_| malformed())?),
        };
        let missing = malformed;
        Ok(Self {
            id: EntryId { environment, name: name.ok_or_else(missing)? },
            base: base.ok_or_else(missing)?,
            value: value.ok_or_else(missing)?,
            kind: kind.ok_or_else(missing)?,
            started: started.ok_or_else(missing)?,
            phase: phase.ok_or_else(missing)?,
            commands: Commands { apply: apply.ok_or_else(missing)?, verify, rollback, timeout: timeout.ok_or_else(missing)? },
            grace: grace.ok_or_else(missing)?,
            events: events.ok_or_else(missing)?,
            owner: owner.ok_or_else(missing)?,
            unknown,
        })
    }
}

fn read_owner(d: &mut Decoder<'_>) -> Result<Owner, FormatError> {
    if array_len(d)? != 5 {
        return Err(malformed());
    }
    let (host, place) = (d.str()?.to_owned(), d.str()?.to_owned());
    Ok(Owner { host, place, process: d.u64()?, until: d.u64()?, run: array(d)? })
}

fn read_phase(number: u64) -> Result<Phase, FormatError> {
    let known = usize::try_from(number).ok().and_then(|at| Phase::ALL.get(at).copied());
    known.ok_or_else(|| FormatError::Newer("a rotation is in a phase that this version does not know".to_owned()))
}

fn write_event(e: &mut Writer<'_>, (time, text): &(u64, String)) -> Written {
    e.array(2)?.u64(*time)?.str(text)?;
    Ok(())
}

fn read_event(d: &mut Decoder<'_>) -> Result<(u64, String), FormatError> {
    if array_len(d)? != 2 {
        return Err(malformed());
    }
    let (time, text) = (d.u64()?, d.str()?.to_owned());
    if text.len() > MAX_EVENT { Err(malformed()) } else { Ok((time, text)) }
}

/// At most so much text as an event may have.
pub fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_EVENT)].to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn commands() -> Commands {
        Commands { apply: "a".into(), verify: Some("v".into()), rollback: None, timeout: 60_000 }
    }

    fn journal(value: usize) -> Result<Journal, FormatError> {
        let owner = Owner { host: "h".into(), place: "p".into(), process: 7, until: 9, run: [3; 8] };
        let id = EntryId { environment: Environment::parse("prod").ok(), name: Name::parse("db").unwrap() };
        let value = SecretValue::new(Zeroizing::new(vec![1; value]));
        Journal::new(id, 4, (value, Kind::Bytes), 5, commands(), 6, owner)
    }

    #[test]
    fn records_return() {
        let mut one = journal(20).unwrap();
        for number in 0..100 {
            one.note(number, &"é".repeat(1000));
        }
        one.phase = Phase::Stuck;
        let bytes = one.encode();
        let read = Journal::decode(&bytes).unwrap();
        assert_eq!(read.encode().as_slice(), bytes.as_slice());
        assert_eq!((read.events.len(), read.events[0].0, read.events[0].1.len()), (MAX_EVENTS, 36, MAX_EVENT));
        assert!(read.phase == Phase::Stuck && read.commands == commands() && read.value.expose() == [1; 20]);
    }

    #[test]
    fn what_breaks_the_limits_is_refused() {
        assert!(journal(MAX_PENDING).is_ok() && journal(MAX_PENDING + 1).is_err());
        let bytes = journal(3).unwrap().encode().to_vec();
        for cut in 0..bytes.len() {
            assert!(Journal::decode(&bytes[..cut]).is_err());
        }
        let refused = |change: &dyn Fn(&mut Journal)| {
            let mut one = journal(3).unwrap();
            change(&mut one);
            Journal::decode(&one.encode()).is_err()
        };
        assert!(!refused(&|_| ()));
        assert!(refused(&|one| one.base = 0) && refused(&|one| one.commands.apply.clear()));
        assert!(refused(&|one| one.commands.timeout = 0));
        assert!(refused(&|one| one.commands.rollback = Some("x".repeat(MAX_COMMAND + 1))));
        assert!(refused(&|one| one.value = SecretValue::new(Zeroizing::new(vec![0; MAX_PENDING + 1]))));
        assert!(refused(&|one| one.events = vec![(0, String::new()); MAX_EVENTS + 1]));
        assert!(refused(&|one| one.events = vec![(0, "x".repeat(MAX_EVENT + 1))]));
        assert!(read_phase(5).is_err());
    }
}
