//! An entry as this API shows it, and what a body says of one.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::format::record::{Kind, MAX_LABELS, MAX_META};
use crate::name::{Category, EntryId, Environment, Name, Tag};
use crate::secret::SecretValue;
use crate::serve::configs::{json_of, time, value_of};
use crate::serve::error::{Answer, Problem};
use crate::serve::fields::Fields;
use crate::vault::{Change, Entry, Write, clock};

/// The latest time that can be written down: the end of the year 9999.
const LATEST: u64 = 253_402_207_200_000;

/// An entry.
#[derive(Serialize, ToSchema)]
#[schema(as = Entry)]
pub struct EntryView {
    /// What stays the same whatever the entry is called.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    id: String,
    name: String,
    environment: Option<String>,
    category: Option<String>,
    tags: Vec<String>,
    /// Metadata; no secrets.
    meta: BTreeMap<String, String>,
    /// How the value is to be understood.
    #[schema(value_type = KindView)]
    kind: &'static str,
    /// Counts the values that it had.
    version: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    expired: bool,
    /// When it is due for another value.
    #[schema(format = DateTime)]
    due_at: Option<String>,
    #[schema(format = DateTime)]
    rotated_at: Option<String>,
    /// A text as a string, JSON as it is, bytes as `{"encoding":"base64","data":…}`: `kind` tells them apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value, required = false)]
    value: Option<Box<RawValue>>,
}

/// How a value is to be understood.
#[derive(ToSchema)]
#[schema(as = Kind, rename_all = "lowercase")]
#[allow(dead_code, reason = "describes the words of Kind")]
pub enum KindView {
    /// UTF-8.
    Text,
    /// Any JSON.
    Json,
    /// Anything.
    Bytes,
}

impl EntryView {
    /// An entry without its value.
    pub fn of(entry: &Entry, now: u64) -> Self {
        let text = |text: &dyn ToString| text.to_string();
        Self {
            id: entry.uid_hex(),
            name: text(&entry.id().name),
            environment: entry.id().environment.as_ref().map(|environment| text(environment)),
            category: entry.category().map(|category| text(category)),
            tags: entry.tags().iter().map(|tag| text(tag)).collect(),
            meta: entry.meta().clone(),
            kind: entry.kind().word(),
            version: entry.version(),
            created_at: time(entry.created()),
            updated_at: time(entry.modified()),
            expires_at: entry.expires().map(time),
            expired: entry.is_expired(now),
            due_at: entry.due().map(time),
            rotated_at: entry.last_rotation().map(|last| time(last.time)),
            value: None,
        }
    }

    /// With the value of a version.
    pub fn with(mut self, version: u64, kind: Kind, value: &SecretValue) -> Answer<Self> {
        (self.version, self.kind) = (version, kind.word());
        self.value = Some(raw(json_of(kind, value)?)?);
        Ok(self)
    }
}

impl EntryView {
    /// How much room its value takes.
    pub fn size(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.get().len())
    }
}

/// A JSON text that is part of a response.
pub fn raw(text: String) -> Answer<Box<RawValue>> {
    RawValue::from_string(text).map_err(|_| Problem::internal())
}

/// What a body may say of an entry.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what Contents reads")]
pub struct EntryContents {
    /// A string is kept as text, anything else as JSON, unless `kind` says otherwise.
    #[schema(value_type = Value)]
    value: Value,
    /// How the value is to be understood. `bytes` are written `{"encoding":"base64","data":…}`.
    #[schema(value_type = Option<KindView>)]
    kind: Option<String>,
    /// What is absent stays as it is; null or an empty text clears it.
    #[schema(max_length = 100)]
    category: Option<String>,
    /// All tags.
    #[schema(max_items = 64)]
    tags: Option<Vec<String>>,
    /// Metadata by key; null takes a key away.
    meta: Option<BTreeMap<String, Option<String>>>,
    /// When it expires: a time with an offset (RFC 3339), a day, or a duration from now such as 30d. A new value does not expire unless this says so.
    expires: Option<String>,
}

/// What a body says of an entry, as it is written.
pub fn contents(fields: &mut Fields, needs_value: bool, now: u64) -> Write {
    let kind = match fields.optional_text("kind", 0..=usize::MAX) {
        None => None,
        given => fields.parsed("kind", given, "one of text, json and bytes", Kind::from_word),
    };
    let value = if needs_value { fields.required("value") } else { fields.any("value") };
    let value = value.and_then(|value| {
        let read = read_value(&value, kind);
        if read.is_none() {
            fields.fault("value_error", "value", "Value error, the value is not of its kind");
        }
        read
    });
    let expires = expires(fields, now);
    Write {
        // A new value does not expire because the old one did.
        expires: if value.is_some() && expires == Change::Keep { Change::Clear } else { expires },
        value,
        category: category(fields),
        tags: tags(fields),
        meta: meta(fields),
        ..Write::default()
    }
}

fn read_value(value: &Value, kind: Option<Kind>) -> Option<(SecretValue, Kind)> {
    match (kind, value) {
        (None, value) => Some(value_of(value)),
        (Some(Kind::Text), Value::String(_)) => Some(value_of(value)),
        (Some(Kind::Json), value) => Some((json_value(value), Kind::Json)),
        (Some(Kind::Bytes), Value::Object(map)) => {
            let (Some(Value::String(encoding)), Some(Value::String(data))) = (map.get("encoding"), map.get("data")) else {
                return None;
            };
            let bytes = STANDARD.decode(data).ok().filter(|_| encoding == "base64")?;
            Some((SecretValue::new(bytes.into()), Kind::Bytes))
        }
        (Some(Kind::Text | Kind::Bytes), _) => None,
    }
}

/// A value as compact JSON.
pub fn json_value(value: &Value) -> SecretValue {
    SecretValue::new(value.to_string().into_bytes().into())
}

fn category(fields: &mut Fields) -> Change<Category> {
    match fields.any("category") {
        None => Change::Keep,
        Some(Value::Null) => Change::Clear,
        Some(Value::String(text)) if text.is_empty() => Change::Clear,
        Some(Value::String(text)) => match Category::parse(&text) {
            Ok(category) => Change::Set(category),
            Err(error) => {
                fields.fault("value_error", "category", format!("Value error, the category {error}"));
                Change::Keep
            }
        },
        Some(_) => {
            fields.fault("string_type", "category", "Input should be a valid string");
            Change::Keep
        }
    }
}

fn tags(fields: &mut Fields) -> Change<BTreeSet<Tag>> {
    match fields.any("tags") {
        None => Change::Keep,
        Some(Value::Null) => Change::Clear,
        Some(Value::Array(list)) => {
            let read = |item: &Value| item.as_str().and_then(|text| Tag::parse(text).ok());
            let read: Option<BTreeSet<Tag>> = list.iter().map(read).collect();
            match read.filter(|tags| tags.len() <= MAX_LABELS) {
                Some(tags) => Change::Set(tags),
                None => {
                    fields.fault("value_error", "tags", "Value error, at most 64 tags of 1 to 100 characters without controls");
                    Change::Keep
                }
            }
        }
        Some(_) => {
            fields.fault("list_type", "tags", "Input should be a valid list");
            Change::Keep
        }
    }
}

fn meta(fields: &mut Fields) -> BTreeMap<String, Option<String>> {
    let Some(map) = fields.optional_object("meta") else { return BTreeMap::new() };
    let read = |(key, value): (String, Value)| match value {
        // A key is a tag's text: the vault refuses anything else.
        _ if Tag::parse(&key).is_err() => None,
        Value::Null => Some((key, None)),
        Value::String(text) if text.len() <= MAX_META => Some((key, Some(text))),
        _ => None,
    };
    let read: Option<BTreeMap<_, _>> = map.into_iter().map(read).collect();
    match read.filter(|meta| meta.len() <= MAX_LABELS) {
        Some(meta) => meta,
        None => {
            fields.fault(
                "value_error",
                "meta",
                "Value error, at most 64 keys of 1 to 100 characters with texts of at most 4096 bytes",
            );
            BTreeMap::new()
        }
    }
}

/// When something expires: a time, a day at whose end it does, or how long from now.
pub fn expires(fields: &mut Fields, now: u64) -> Change<u64> {
    let what = "a time such as 2027-01-31T12:00:00Z, a day, or a duration such as 30d";
    match fields.any("expires") {
        None => Change::Keep,
        Some(Value::Null) => Change::Clear,
        Some(Value::String(text)) => match fields.parsed("expires", Some(text), what, |text| moment(text, now)) {
            Some(time) => Change::Set(time),
            None => Change::Keep,
        },
        Some(_) => {
            fields.fault("string_type", "expires", "Input should be a valid string");
            Change::Keep
        }
    }
}

fn moment(text: &str, now: u64) -> Option<u64> {
    let duration = || clock::duration(text).map(|duration| now.saturating_add(duration));
    let time = clock::moment(text).or_else(|| clock::day(text).map(|(_, end)| end)).or_else(duration);
    time.filter(|time| *time <= LATEST)
}

/// The identity that a body gives an entry, under these names of its fields.
pub fn identity(fields: &mut Fields, name: &str, environment: &str) -> Option<EntryId> {
    let text = fields.text(name, 1..=Name::LIMIT);
    let parsed = fields.parsed(name, text, "not a name of an entry", |text| Name::parse(text).ok());
    let text = fields.optional_text(environment, 0..=Environment::LIMIT).filter(|text| !text.is_empty());
    let given = text.is_some();
    let environment = fields.parsed(environment, text, "not an environment", |text| Environment::parse(text).ok());
    (given == environment.is_some()).then_some(())?;
    Some(EntryId { environment, name: parsed? })
}

/// Nothing was read of a body of which nothing was found to be wrong.
pub fn unread() -> Problem {
    Problem::invalid(Vec::new())
}
