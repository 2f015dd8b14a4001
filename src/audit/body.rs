//! Bodies of records as bytes (FORMAT.md, section 4).

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::event::{Actor, Event};
use crate::format::FormatError;
use crate::format::cbor::{self, Writer, Written, array, malformed, read_map};

/// Bounds of the texts, in bytes: what is longer is cut, a directory at its front.
mod bound {
    pub const PROCESS: usize = 64;
    pub const DIRECTORY: usize = 512;
    pub const CLIENT: usize = 128;
    pub const CODE: usize = 64;
    pub const KEY: usize = 80;
    pub const DETAIL: usize = 1024;
    pub const USER: usize = 255;
}

/// The body of a record.
pub(super) fn encode(time: u64, actor: &Actor, event: &Event) -> Zeroizing<Vec<u8>> {
    let directory = actor.directory.as_deref().map(|text| last(text, bound::DIRECTORY));
    let process = event.process.as_ref().map(|(name, _)| &**name).or(actor.process.as_deref());
    let pid = event.process.as_ref().map(|(_, number)| *number).or(actor.pid);
    let process = process.map(|text| first(text, bound::PROCESS));
    let texts = [
        (3, event.environment.as_deref()),
        (4, event.name.as_deref()),
        (8, actor.user.as_deref().map(|text| first(text, bound::USER))),
        (9, process),
        (11, directory),
        (12, actor.client.as_deref().map(|text| first(text, bound::CLIENT))),
        (13, actor.request.as_deref().map(|text| first(text, bound::CLIENT))),
        (14, event.code.map(|text| first(text, bound::CODE))),
        (15, actor.key.as_deref().map(|text| first(text, bound::KEY))),
        (16, event.detail.as_deref().map(|text| first(text, bound::DETAIL))),
        (17, actor.agent.as_deref().map(|text| first(text, bound::USER))),
    ];
    let others = [event.uid.is_some(), event.version.is_some(), pid.is_some()];
    let count = 4 + texts.iter().filter(|(_, text)| text.is_some()).count() + others.iter().filter(|there| **there).count();
    let texts_of = |e: &mut Writer<'_>, keys: std::ops::RangeInclusive<u8>| -> Written {
        for (key, text) in texts.iter().filter(|(key, _)| keys.contains(key)) {
            if let Some(text) = text {
                e.u8(*key)?.str(text)?;
            }
        }
        Ok(())
    };
    cbor::encode(256, |e| {
        e.map(count as u64)?.u8(0)?.u64(time)?.u8(1)?.str(event.action.word())?.u8(2)?.str(event.status.word())?;
        texts_of(e, 3..=4)?;
        if let Some(uid) = &event.uid {
            e.u8(5)?.bytes(uid)?;
        }
        if let Some(version) = event.version {
            e.u8(6)?.u64(version)?;
        }
        e.u8(7)?.str(actor.source.word())?;
        texts_of(e, 8..=9)?;
        if let Some(pid) = pid {
            e.u8(10)?.u64(pid)?;
        }
        texts_of(e, 11..=17)
    })
}

/// A record, as its body says. What could steer a terminal may stand in every text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// When, in milliseconds.
    pub time: u64,
    /// What was done.
    pub action: Cow<'a, str>,
    /// How it ended.
    pub status: Cow<'a, str>,
    /// The environment of the entry.
    pub environment: Option<Cow<'a, str>>,
    /// The name of the entry.
    pub name: Option<Cow<'a, str>>,
    /// What stays the same whatever the entry is called.
    pub uid: Option<[u8; 16]>,
    /// The version.
    pub version: Option<u64>,
    /// Through what the key came.
    pub source: Cow<'a, str>,
    /// The user.
    pub user: Option<Cow<'a, str>>,
    /// The program for which it was done.
    pub process: Option<Cow<'a, str>>,
    /// Its number.
    pub pid: Option<u64>,
    /// The working directory.
    pub directory: Option<Cow<'a, str>>,
    /// From where a request came.
    pub client: Option<Cow<'a, str>>,
    /// The number of a request.
    pub request: Option<Cow<'a, str>>,
    /// The code of the error.
    pub code: Option<Cow<'a, str>>,
    /// The slot: its public half.
    pub key: Option<Cow<'a, str>>,
    /// What else there is to say.
    pub detail: Option<Cow<'a, str>>,
    /// What a client calls itself.
    pub agent: Option<Cow<'a, str>>,
}

impl<'a> Record<'a> {
    /// Reads a body.
    pub(super) fn decode(body: &'a [u8]) -> Result<Self, FormatError> {
        let mut decoder = minicbor::Decoder::new(body);
        let mut record = Self::default();
        let mut required = 0_u8;
        read_map(&mut decoder, |field, d| {
            match field {
                0 => record.time = d.u64()?,
                1 => record.action = d.str()?.into(),
                2 => record.status = d.str()?.into(),
                3 => record.environment = Some(d.str()?.into()),
                4 => record.name = Some(d.str()?.into()),
                5 => record.uid = Some(array(d)?),
                6 => record.version = Some(d.u64()?),
                7 => record.source = d.str()?.into(),
                8 => record.user = Some(d.str()?.into()),
                9 => record.process = Some(d.str()?.into()),
                10 => record.pid = Some(d.u64()?),
                11 => record.directory = Some(d.str()?.into()),
                12 => record.client = Some(d.str()?.into()),
                13 => record.request = Some(d.str()?.into()),
                14 => record.code = Some(d.str()?.into()),
                15 => record.key = Some(d.str()?.into()),
                16 => record.detail = Some(d.str()?.into()),
                17 => record.agent = Some(d.str()?.into()),
                _ => return Ok(false),
            }
            if let 0..=2 | 7 = field {
                required += 1;
            }
            Ok(true)
        })?;
        if required != 4 || decoder.position() != body.len() {
            return Err(malformed());
        }
        Ok(record)
    }

    /// The same record, for longer than the bytes that it was read from.
    pub fn into_owned(self) -> Record<'static> {
        let own = |text: Option<Cow<'a, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        Record {
            time: self.time,
            action: Cow::Owned(self.action.into_owned()),
            status: Cow::Owned(self.status.into_owned()),
            environment: own(self.environment),
            name: own(self.name),
            uid: self.uid,
            version: self.version,
            source: Cow::Owned(self.source.into_owned()),
            user: own(self.user),
            process: own(self.process),
            pid: self.pid,
            directory: own(self.directory),
            client: own(self.client),
            request: own(self.request),
            code: own(self.code),
            key: own(self.key),
            detail: own(self.detail),
            agent: own(self.agent),
        }
    }
}

/// The front of a text, of whole characters.
fn first(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// The end of a text, of whole characters.
fn last(text: &str, most: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(most))..]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::action::Action;
    use super::super::event::Source;
    use super::*;
    use crate::name::{EntryId, Environment, Name};

    #[test]
    fn a_body_reads_back_and_long_texts_are_cut() {
        let id = EntryId { environment: Some(Environment::parse("prod").unwrap()), name: Name::parse("é\u{202e}").unwrap() };
        let event = Event::new(Action::Get).id(&id).uid([7; 16]).version(3).detail("é".repeat(2000)).process("sh", 1);
        let actor = Actor {
            user: Some("1000".to_owned()),
            pid: Some(1),
            directory: Some(format!("/{}", "é".repeat(400))),
            key: Some("age1x".to_owned()),
            ..Actor::new(Source::Agent)
        };
        let body = encode(5, &actor, &event);
        let record = Record::decode(&body).unwrap();
        assert_eq!((record.time, &*record.action, &*record.status, &*record.source), (5, "get", "ok", "agent"));
        assert_eq!(record.name.as_deref(), Some("é\u{202e}"));
        assert_eq!((record.uid, record.version, record.pid), (Some([7; 16]), Some(3), Some(1)));
        assert_eq!(record.detail.as_deref().map(str::len), Some(1024));
        assert!(record.directory.as_deref().is_some_and(|text| text.len() <= 512 && text.starts_with('é')));
        assert_eq!(record.clone().into_owned(), record);
        for cut in 0..body.len() {
            assert!(Record::decode(&body[..cut]).is_err());
        }
    }
}
