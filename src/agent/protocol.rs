//! What client and agent say to each other: frames of a length and a CBOR map, one answer for each request.
//!
//! ```text
//! frame     u32 length, little-endian ‖ map of that length
//! request   {0: version, 1: operation, 2: path, 3: stamps, 4: secret, 5: for how long, 6: for how long unused}
//! answer    {0: version, 1: status, 2: stamp, 3: secret, 4: count, 5: [what is held]}
//! ```
//!
//! Both sides state [`VERSION`] and refuse another one; a length above [`MAX`] ends the connection. Times are milliseconds.

use minicbor::Decoder;
use zeroize::Zeroizing;

use crate::crypto::Hash;
use crate::format::FormatError;
use crate::format::cbor::{self, Writer, Written, array, array_len, malformed, read_map};
use crate::secret::SlotSecret;
use crate::vault::KeptSlot;

/// The version of the protocol.
pub const VERSION: u64 = 1;
/// The longest map, in bytes: the header of a vault has at most 64 KiB, and what a slot of it wraps is less.
pub const MAX: usize = 96 * 1024;
/// The length in front of a map.
pub const PREFIX: usize = 4;
/// No path that a system takes is longer.
const MAX_PATH: usize = 4096;
/// A vault has at most 64 slots.
const MAX_STAMPS: u64 = 64;

/// What a client asks.
pub enum Request {
    /// What is held for one of these slots; of what is held for the vault at `path`, nothing else is of use any more.
    Keys {
        /// The path of the vault, with links resolved.
        path: Vec<u8>,
        /// The stamps of its slots.
        stamps: Vec<Hash>,
    },
    /// Hold this.
    Hold(Hold),
    /// Drop what is held for the vault at this path and for any of these slots, or everything.
    Forget(Option<(Vec<u8>, Vec<Hash>)>),
    /// What is held.
    List,
}

/// What is to be held, and for how long.
pub struct Hold {
    /// The path of the vault, with links resolved.
    pub path: Vec<u8>,
    /// What its slot gave.
    pub slot: KeptSlot,
    /// How long at most, in milliseconds.
    pub ttl: u64,
    /// How long without being asked for, in milliseconds.
    pub idle: u64,
}

/// What the agent answers.
pub enum Answer {
    /// What is held for a slot.
    Keys(KeptSlot),
    /// It was done; so many vaults were concerned.
    Done(u64),
    /// What is held, without the secrets: as much as fits into a frame. The answer to a `Hold`: what is held now for that vault.
    Held(Vec<Listed>),
    /// Nothing of the kind is held.
    Nothing,
    /// The request is of another version, or cannot be served.
    Refused,
}

/// One vault of which something is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The path of the vault.
    pub path: Vec<u8>,
    /// Which slot, under which keys.
    pub stamp: Hash,
    /// How long it will be held at most, in milliseconds.
    pub remaining: u64,
    /// How long it will be held if nobody asks for it, in milliseconds.
    pub idle: u64,
    /// How its memory is protected: `secret`, `locked`, `plain`.
    pub memory: String,
}

fn head(e: &mut Writer<'_>, fields: u64, what: u64) -> Written {
    e.map(2 + fields)?.u8(0)?.u64(VERSION)?.u8(1)?.u64(what)?;
    Ok(())
}

/// A whole frame. Its buffer has room for all of it, so that no copy of a secret is left behind by growing.
fn frame(capacity: usize, write: impl FnOnce(&mut Writer<'_>) -> Written) -> Zeroizing<Vec<u8>> {
    let map = cbor::encode(capacity, write);
    let mut frame = Zeroizing::new(Vec::with_capacity(PREFIX + map.len()));
    frame.extend_from_slice(&(map.len() as u32).to_le_bytes());
    frame.extend_from_slice(&map);
    frame
}

impl Request {
    /// The frame of this request.
    pub fn frame(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Keys { path, stamps } => frame(128 + path.len() + stamps.len() * 34, |e| {
                head(e, 2, 0)?;
                e.u8(2)?.bytes(path)?.u8(3)?.array(stamps.len() as u64)?;
                stamps.iter().try_for_each(|stamp| e.bytes(&stamp.0).map(drop))
            }),
            Self::Hold(hold) => frame(256 + hold.path.len() + hold.slot.secret.expose().len(), |e| {
                head(e, 5, 1)?;
                e.u8(2)?.bytes(&hold.path)?.u8(3)?.array(1)?.bytes(&hold.slot.stamp.0)?;
                e.u8(4)?.bytes(hold.slot.secret.expose())?.u8(5)?.u64(hold.ttl)?.u8(6)?.u64(hold.idle)?;
                Ok(())
            }),
            Self::Forget(None) => frame(64, |e| head(e, 0, 2)),
            Self::Forget(Some((path, stamps))) => frame(128 + path.len() + stamps.len() * 34, |e| {
                head(e, 2, 2)?;
                e.u8(2)?.bytes(path)?.u8(3)?.array(stamps.len() as u64)?;
                stamps.iter().try_for_each(|stamp| e.bytes(&stamp.0).map(drop))
            }),
            Self::List => frame(64, |e| head(e, 0, 3)),
        }
    }

    /// Reads the map of a request.
    pub fn read(map: &[u8]) -> Result<Self, FormatError> {
        let (mut version, mut operation, mut path, mut stamps) = (None, None, None, None);
        let (mut secret, mut ttl, mut idle) = (None, None, None);
        let mut d = Decoder::new(map);
        read_map(&mut d, |field, d| {
            match field {
                0 => version = Some(d.u64()?),
                1 => operation = Some(d.u64()?),
                2 => path = Some(read_path(d)?),
                3 => stamps = Some(read_stamps(d)?),
                4 => secret = Some(SlotSecret::new(Zeroizing::new(d.bytes()?.to_vec()))),
                5 => ttl = Some(d.u64()?),
                6 => idle = Some(d.u64()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        ended(&d, version)?;
        match (operation, path, stamps, secret, ttl, idle) {
            (Some(0), Some(path), Some(stamps), None, None, None) => Ok(Self::Keys { path, stamps }),
            (Some(1), Some(path), Some(stamps), Some(secret), Some(ttl), Some(idle)) => match stamps.as_slice() {
                [stamp] => Ok(Self::Hold(Hold { path, slot: KeptSlot { stamp: *stamp, secret }, ttl, idle })),
                _ => Err(malformed()),
            },
            (Some(2), None, None, None, None, None) => Ok(Self::Forget(None)),
            (Some(2), Some(path), Some(stamps), None, None, None) => Ok(Self::Forget(Some((path, stamps)))),
            (Some(3), None, None, None, None, None) => Ok(Self::List),
            _ => Err(malformed()),
        }
    }
}

impl Answer {
    /// The frame of this answer.
    pub fn frame(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Keys(slot) => keys(&slot.stamp, slot.secret.expose()),
            Self::Done(count) => frame(64, |e| {
                head(e, 1, 1)?;
                e.u8(4)?.u64(*count)?;
                Ok(())
            }),
            Self::Held(held) => frame(64 + fitting(held).iter().map(|one| one.path.len() + 128).sum::<usize>(), |e| {
                head(e, 1, 2)?;
                e.u8(5)?.array(fitting(held).len() as u64)?;
                for one in fitting(held) {
                    e.map(5)?.u8(0)?.bytes(&one.path)?.u8(1)?.bytes(&one.stamp.0)?.u8(2)?.u64(one.remaining)?;
                    e.u8(3)?.u64(one.idle)?.u8(4)?.str(&one.memory)?;
                }
                Ok(())
            }),
            Self::Nothing => frame(64, |e| head(e, 0, 3)),
            Self::Refused => frame(64, |e| head(e, 0, 4)),
        }
    }

    /// Reads the map of an answer.
    pub fn read(map: &[u8]) -> Result<Self, FormatError> {
        let (mut version, mut status, mut stamp, mut secret) = (None, None, None, None);
        let (mut count, mut held) = (None, None);
        let mut d = Decoder::new(map);
        read_map(&mut d, |field, d| {
            match field {
                0 => version = Some(d.u64()?),
                1 => status = Some(d.u64()?),
                2 => stamp = Some(Hash(array(d)?)),
                3 => secret = Some(SlotSecret::new(Zeroizing::new(d.bytes()?.to_vec()))),
                4 => count = Some(d.u64()?),
                5 => held = Some((0..array_len(d)?).map(|_| read_listed(d)).collect::<Result<Vec<_>, _>>()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        ended(&d, version)?;
        match (status, stamp, secret, count, held) {
            (Some(0), Some(stamp), Some(secret), None, None) => Ok(Self::Keys(KeptSlot { stamp, secret })),
            (Some(1), None, None, Some(count), None) => Ok(Self::Done(count)),
            (Some(2), None, None, None, Some(held)) => Ok(Self::Held(held)),
            (Some(3), None, None, None, None) => Ok(Self::Nothing),
            (Some(4), None, None, None, None) => Ok(Self::Refused),
            _ => Err(malformed()),
        }
    }
}

/// The first of what is held, as many as a frame has room for.
fn fitting(held: &[Listed]) -> &[Listed] {
    let mut size = 0;
    let fits = |one: &&Listed| {
        size += one.path.len() + 128;
        size < MAX - 64
    };
    let count = held.iter().take_while(fits).count();
    &held[..count]
}

/// The frame of [`Answer::Keys`], from where the secret lies.
pub fn keys(stamp: &Hash, secret: &[u8]) -> Zeroizing<Vec<u8>> {
    frame(128 + secret.len(), |e| {
        head(e, 2, 0)?;
        e.u8(2)?.bytes(&stamp.0)?.u8(3)?.bytes(secret)?;
        Ok(())
    })
}

/// A map is the whole of a frame, and of this version.
fn ended(d: &Decoder<'_>, version: Option<u64>) -> Result<(), FormatError> {
    match version {
        Some(VERSION) if d.position() == d.input().len() => Ok(()),
        Some(VERSION) | None => Err(malformed()),
        Some(_) => Err(FormatError::Newer("the agent is of another version of this program".to_owned())),
    }
}

fn read_path(d: &mut Decoder<'_>) -> Result<Vec<u8>, FormatError> {
    let path = d.bytes()?;
    if path.len() > MAX_PATH { Err(malformed()) } else { Ok(path.to_vec()) }
}

fn read_stamps(d: &mut Decoder<'_>) -> Result<Vec<Hash>, FormatError> {
    let count = array_len(d)?;
    if count > MAX_STAMPS {
        return Err(malformed());
    }
    (0..count).map(|_| array(d).map(Hash)).collect()
}

fn read_listed(d: &mut Decoder<'_>) -> Result<Listed, FormatError> {
    let (mut path, mut stamp, mut remaining, mut idle, mut memory) = (None, None, None, None, None);
    read_map(d, |field, d| {
        match field {
            0 => path = Some(d.bytes()?.to_vec()),
            1 => stamp = Some(Hash(array(d)?)),
            2 => remaining = Some(d.u64()?),
            3 => idle = Some(d.u64()?),
            4 => memory = Some(d.str()?.to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    match (path, stamp, remaining, idle, memory) {
        (Some(path), Some(stamp), Some(remaining), Some(idle), Some(memory)) => {
            Ok(Listed { path, stamp, remaining, idle, memory })
        }
        _ => Err(malformed()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn slot() -> KeptSlot {
        KeptSlot { stamp: Hash([7; 32]), secret: SlotSecret::new(Zeroizing::new(vec![9; 100])) }
    }

    fn requests() -> Vec<Request> {
        vec![
            Request::Keys { path: b"/a\xff".to_vec(), stamps: vec![Hash([1; 32]); 64] },
            Request::Hold(Hold { path: b"/v".to_vec(), slot: slot(), ttl: u64::MAX, idle: 0 }),
            Request::Forget(None),
            Request::Forget(Some((b"/v".to_vec(), vec![Hash([1; 32])]))),
            Request::Forget(Some((Vec::new(), Vec::new()))),
            Request::List,
        ]
    }

    fn answers() -> Vec<Answer> {
        let held = Listed { path: b"/v".to_vec(), stamp: Hash([1; 32]), remaining: 5, idle: 3, memory: "secret".to_owned() };
        vec![Answer::Keys(slot()), Answer::Done(3), Answer::Held(vec![held; 3]), Answer::Nothing, Answer::Refused]
    }

    #[test]
    fn what_is_said_is_understood() {
        for request in requests() {
            let frame = request.frame();
            assert_eq!(frame[..4], ((frame.len() - 4) as u32).to_le_bytes());
            assert_eq!(Request::read(&frame[4..]).unwrap().frame(), frame);
        }
        for answer in answers() {
            let frame = answer.frame();
            assert_eq!(Answer::read(&frame[4..]).unwrap().frame(), frame);
        }
    }

    #[test]
    fn everything_else_is_refused_and_nothing_panics() {
        let frames = requests().iter().map(Request::frame).chain(answers().iter().map(Answer::frame)).collect::<Vec<_>>();
        for frame in &frames {
            let map = &frame[4..];
            for cut in 0..map.len() {
                assert!(Request::read(&map[..cut]).is_err() && Answer::read(&map[..cut]).is_err());
            }
            for at in 0..map.len() {
                for bit in 0..8 {
                    let mut other = map.to_vec();
                    other[at] ^= 1 << bit;
                    let _ = (Request::read(&other), Answer::read(&other));
                }
            }
            assert!(Request::read(&[map, &[0]].concat()).is_err());
        }
        let mut newer = Request::List.frame()[4..].to_vec();
        newer[2] = 2;
        assert!(matches!(Request::read(&newer), Err(FormatError::Newer(_))));
        let many = Request::Keys { path: Vec::new(), stamps: vec![Hash([1; 32]); 65] }.frame();
        let long = Request::Keys { path: vec![b'/'; 4097], stamps: Vec::new() }.frame();
        assert!(Request::read(&many[4..]).is_err() && Request::read(&long[4..]).is_err());
        let one = Listed { path: vec![b'/'; 4096], stamp: Hash([1; 32]), remaining: 5, idle: 3, memory: "secret".to_owned() };
        let frame = Answer::Held(vec![one; 64]).frame();
        assert!(frame.len() <= MAX && matches!(Answer::read(&frame[4..]), Ok(Answer::Held(held)) if held.len() == 23));
    }
}
