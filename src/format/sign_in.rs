//! Records of attempts to sign in to the server (SPEC, section 6).

use minicbor::Decoder;
use zeroize::Zeroizing;

use super::FormatError;
use super::cbor::{self, Writer, Written, array, array_len, malformed, read_map};

/// Most failures that are remembered: the next one locks.
pub const MAX_FAILURES: usize = 4;
/// Most names that share a record of strangers.
pub const MAX_STRANGERS: usize = 8;

/// What is kept of attempts to sign in under the name of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignIn {
    /// When attempts failed, in milliseconds, ascending.
    pub failures: Vec<u64>,
    /// Until when no attempt is heard.
    pub locked_until: u64,
    /// Until when a code completes the sign-in.
    pub pending_until: u64,
    /// From where.
    pub pending_from: [u8; 8],
    /// The step of the newest code that was taken.
    pub step: u64,
    /// The last sign-in.
    pub last: u64,
}

impl SignIn {
    /// The kind of the system records.
    pub const RECORD: &'static str = "sign-in";

    /// The record's bytes; what is zero or empty is not stated.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        cbor::encode(128, |e| {
            let numbers = [(1, self.locked_until), (2, self.pending_until)];
            let later = [(4, self.step), (5, self.last)];
            let stated = numbers.iter().chain(&later).filter(|(_, number)| *number != 0).count()
                + usize::from(!self.failures.is_empty())
                + usize::from(self.pending_from != [0; 8]);
            e.map(stated as u64)?;
            if !self.failures.is_empty() {
                write_times(e.u8(0)?, &self.failures)?;
            }
            for (key, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
                e.u8(key)?.u64(number)?;
            }
            if self.pending_from != [0; 8] {
                e.u8(3)?.bytes(&self.pending_from)?;
            }
            for (key, number) in later.into_iter().filter(|(_, number)| *number != 0) {
                e.u8(key)?.u64(number)?;
            }
            Ok(())
        })
    }

    /// Reads the record's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        cbor::decode(bytes, Self::read, Self::encode)
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let mut state = Self::default();
        let unknown = read_map(d, |field, d| {
            match field {
                0 => state.failures = read_times(d)?,
                1 => state.locked_until = d.u64()?,
                2 => state.pending_until = d.u64()?,
                3 => state.pending_from = array(d)?,
                4 => state.step = d.u64()?,
                5 => state.last = d.u64()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        // It is short-lived: nothing optional was ever foreseen in it.
        if unknown.count() > 0 { Err(malformed()) } else { Ok(state) }
    }
}

fn write_times(e: &mut Writer<'_>, times: &[u64]) -> Written {
    e.array(times.len() as u64)?;
    for time in times {
        e.u64(*time)?;
    }
    Ok(())
}

fn read_times(d: &mut Decoder<'_>) -> Result<Vec<u64>, FormatError> {
    let length = array_len(d)?;
    if length > MAX_FAILURES as u64 {
        return Err(malformed());
    }
    let times = (0..length).map(|_| Ok(d.u64()?)).collect::<Result<Vec<_>, FormatError>>()?;
    if times.is_sorted() { Ok(times) } else { Err(malformed()) }
}

/// What is kept of attempts under a name that is no user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// The mark of the name.
    pub mark: [u8; 16],
    /// When attempts failed, in milliseconds, ascending.
    pub failures: Vec<u64>,
    /// Until when no attempt is heard.
    pub locked_until: u64,
}

/// Names that are no user's and whose marks begin alike: so many records, and no more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Strangers(pub Vec<Stranger>);

impl Strangers {
    /// The kind of the system records.
    pub const RECORD: &'static str = "strangers";

    /// The record's bytes.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        cbor::encode(512, |e| {
            e.map(1)?.u8(0)?.array(self.0.len() as u64)?;
            for stranger in &self.0 {
                write_times(e.array(3)?.bytes(&stranger.mark)?, &stranger.failures)?;
                e.u64(stranger.locked_until)?;
            }
            Ok(())
        })
    }

    /// Reads the record's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let strangers = cbor::decode(bytes, Self::read, Self::encode)?;
        if (1..=MAX_STRANGERS).contains(&strangers.0.len()) { Ok(strangers) } else { Err(malformed()) }
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let mut strangers = Self::default();
        let unknown = read_map(d, |field, d| {
            if field != 0 {
                return Ok(false);
            }
            let length = array_len(d)?;
            if length > MAX_STRANGERS as u64 {
                return Err(malformed());
            }
            for _ in 0..length {
                if array_len(d)? != 3 {
                    return Err(malformed());
                }
                strangers.0.push(Stranger { mark: array(d)?, failures: read_times(d)?, locked_until: d.u64()? });
            }
            Ok(true)
        })?;
        if unknown.count() > 0 { Err(malformed()) } else { Ok(strangers) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn attempts_return() {
        let all =
            SignIn { failures: vec![1, 2, 2, 3], locked_until: 4, pending_until: 5, pending_from: [6; 8], step: 7, last: 8 };
        for state in [SignIn::default(), SignIn { step: 1, ..SignIn::default() }, all.clone()] {
            assert_eq!(SignIn::decode(&state.encode()).unwrap(), state);
        }
        assert!(SignIn::decode(&SignIn { failures: vec![2, 1], ..all.clone() }.encode()).is_err());
        assert!(SignIn::decode(&SignIn { failures: vec![1; 5], ..all }.encode()).is_err());
        let stranger = Stranger { mark: [1; 16], failures: vec![9], locked_until: 0 };
        for count in [1, MAX_STRANGERS] {
            let strangers = Strangers(vec![stranger.clone(); count]);
            assert_eq!(Strangers::decode(&strangers.encode()).unwrap(), strangers);
        }
        assert!(Strangers::decode(&Strangers::default().encode()).is_err());
        assert!(Strangers::decode(&Strangers(vec![stranger; MAX_STRANGERS + 1]).encode()).is_err());
    }
}
