//! Bodies of requests and answers, and the entries in them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{NewValue, raw};
use crate::format::header::unhex;
use crate::format::record::{EntryRecord, Kind, Version};
use crate::name::{Category, EntryId, Environment, Name, Tag};
use crate::secret::SecretValue;
use crate::vault::{Change, Entry, Error, ErrorKind, Filter, Result, Scope, Write, clock};

/// An entry as a server gave it.
pub struct Received {
    /// What the server says of it. Of its versions only the one that was asked for.
    pub entry: Entry,
    /// The value of that version, if it was asked for.
    pub value: Option<SecretValue>,
}

#[derive(Deserialize)]
struct View<'a> {
    id: String,
    name: String,
    environment: Option<String>,
    category: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    meta: BTreeMap<String, String>,
    kind: String,
    version: u64,
    created_at: String,
    updated_at: String,
    expires_at: Option<String>,
    due_at: Option<String>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    entries: Vec<View<'a>>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Encoded<'a> {
    encoding: &'a str,
    data: &'a str,
}

/// What is sent of an entry.
#[derive(Serialize)]
struct Contents<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    meta: &'a BTreeMap<String, Option<String>>,
    /// The outer `None`: as it is. The inner: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Option<String>>,
}

#[derive(Serialize)]
struct Rotation<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    generate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace: Option<&'a str>,
}

#[derive(Serialize)]
struct SelectionBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    limit: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
}

/// What a server of another generation, or something else, said.
fn strange() -> Error {
    Error::new(ErrorKind::Network, "strange_answer", "the server gave an answer that this version does not understand")
        .hint("are both of the same version? `vault --version`")
}

/// One entry.
pub fn entry(body: &[u8]) -> Result<Received> {
    serde_json::from_slice::<View<'_>>(body).map_err(|_| strange())?.receive()
}

/// One entry of which no value is wanted.
pub fn entry_without_value(body: &[u8]) -> Result<Entry> {
    entry(body).map(|received| received.entry)
}

/// A page of entries, and the cursor of the next.
pub fn page(body: &[u8]) -> Result<(Vec<Received>, Option<String>)> {
    let page: Page<'_> = serde_json::from_slice(body).map_err(|_| strange())?;
    Ok((page.entries.into_iter().map(View::receive).collect::<Result<_>>()?, page.next))
}

impl View<'_> {
    fn receive(self) -> Result<Received> {
        let kind = Kind::from_word(&self.kind).ok_or_else(strange)?;
        let value = self.value.map(|value| read_value(value, kind)).transpose()?;
        let time = |text: &str| clock::moment(text).ok_or_else(strange);
        let mut record = EntryRecord::new(unhex(&self.id).map_err(|_| strange())?, time(&self.created_at)?);
        record.modified = time(&self.updated_at)?;
        record.current = self.version;
        record.versions = vec![Version::new(self.version, record.modified, kind, 0, String::new())];
        record.category = self.category.map(|text| Category::parse(&text)).transpose().map_err(|_| strange())?;
        record.tags =
            self.tags.iter().map(|text| Tag::parse(text)).collect::<std::result::Result<_, _>>().map_err(|_| strange())?;
        record.meta = self.meta;
        record.expires = self.expires_at.as_deref().map(time).transpose()?;
        record.due = self.due_at.as_deref().map(time).transpose()?;
        let environment = self.environment.map(|text| Environment::parse(&text)).transpose().map_err(|_| strange())?;
        let id = EntryId { environment, name: Name::parse(&self.name).map_err(|_| strange())? };
        Ok(Received { entry: Entry::new(id, record), value })
    }
}

fn read_value(text: &RawValue, kind: Kind) -> Result<SecretValue> {
    match kind {
        Kind::Json => Ok(SecretValue::new(Zeroizing::new(text.get().as_bytes().to_vec()))),
        Kind::Text => {
            let text = Zeroizing::new(serde_json::from_str::<String>(text.get()).map_err(|_| strange())?);
            Ok(SecretValue::from(text.as_str()))
        }
        Kind::Bytes => {
            let encoded: Encoded<'_> = serde_json::from_str(text.get()).map_err(|_| strange())?;
            let bytes = STANDARD.decode(encoded.data).ok().filter(|_| encoded.encoding == "base64");
            Ok(SecretValue::new(Zeroizing::new(bytes.ok_or_else(strange)?)))
        }
    }
}

fn write_value(value: &SecretValue, kind: Kind) -> Result<Box<RawValue>> {
    let text = || std::str::from_utf8(value.expose()).map_err(|_| Error::usage("the value is not of its kind"));
    match kind {
        Kind::Json => raw(text()?.to_owned()).map_err(|_| Error::usage("the value is not JSON")),
        Kind::Text => raw(serde_json::to_string(text()?).map_err(|_| Error::usage("the value is not text"))?),
        Kind::Bytes => raw(format!(r#"{{"encoding":"base64","data":"{}"}}"#, STANDARD.encode(value.expose()))),
    }
}

/// The body of a write.
pub fn contents(write: &Write) -> Result<Zeroizing<Vec<u8>>> {
    let value = write.value.as_ref().map(|(value, kind)| write_value(value, *kind)).transpose()?;
    bytes(&Contents {
        value: value.as_deref(),
        kind: write.value.as_ref().map(|(_, kind)| kind.word()),
        category: match &write.category {
            Change::Keep => None,
            Change::Clear => Some(""),
            Change::Set(category) => Some(category.as_str()),
        },
        tags: match &write.tags {
            Change::Keep => None,
            Change::Clear => Some(Vec::new()),
            Change::Set(tags) => Some(tags.iter().map(Tag::as_str).collect()),
        },
        meta: &write.meta,
        expires: match &write.expires {
            Change::Keep => None,
            Change::Clear => Some(None),
            Change::Set(time) => Some(Some(spell(*time)?)),
        },
    })
}

/// The body of a rotation.
pub fn rotation(value: &NewValue, grace: Option<&str>) -> Result<Zeroizing<Vec<u8>>> {
    let (generate, value) = match value {
        NewValue::Generated(generator) => (Some(generator.to_string()), None),
        NewValue::Given(value) => match Kind::of(value.expose()) {
            // What is no text the API would keep as the object that spells it.
            Kind::Bytes => return Err(Error::usage("over a server, the new value of a rotation is text")),
            kind => (None, Some(write_value(value, kind)?)),
        },
    };
    bytes(&Rotation { generate, value: value.as_deref(), grace })
}

/// The body that asks for the values of entries.
pub fn selection(filter: &Filter, limit: u64, cursor: Option<&str>) -> Result<Zeroizing<Vec<u8>>> {
    let environment = match &filter.scope {
        Scope::All => None,
        Scope::One(environment) => Some(environment.as_ref().map_or("", Environment::as_str)),
    };
    bytes(&SelectionBody { environment, category: filter.category.as_ref().map(Category::as_str), limit, cursor })
}

fn bytes(body: &impl Serialize) -> Result<Zeroizing<Vec<u8>>> {
    let text = serde_json::to_vec(body).map_err(|_| Error::new(ErrorKind::Internal, "internal", "a body cannot be written"))?;
    Ok(Zeroizing::new(text))
}

/// A time as RFC 3339, to the millisecond.
fn spell(milliseconds: u64) -> Result<String> {
    let time = i64::try_from(milliseconds).ok().and_then(|time| jiff::Timestamp::from_millisecond(time).ok());
    Ok(format!("{:.3}", time.ok_or_else(|| Error::usage("the time is beyond all calendars"))?))
}
