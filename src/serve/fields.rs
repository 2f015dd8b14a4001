//! Bodies of requests: read within limits of size and time, taken apart field by field, with all that is wrong said at once.

use std::ops::RangeInclusive;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde_json::{Map, Value};

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::Server;
use super::error::{Answer, Fault, Problem};
use super::query::Query;
use crate::vault::field;

/// The largest number that an API takes whose numbers are described as of 64 bits with a sign.
pub const LARGEST: u64 = i64::MAX as u64;

/// The bytes of a body, whatever it says to be. There is room for so many bytes altogether; a body keeps its part until this is dropped.
pub struct Payload(pub axum::body::Bytes, #[allow(dead_code, reason = "is let go of when this is dropped")] OwnedSemaphorePermit);

impl FromRequest<Arc<Server>> for Payload {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, server: &Arc<Server>) -> Answer<Self> {
        read(request, server, server.settings.max_body).await
    }
}

/// The bytes of a body that anybody may send, and that is small.
pub struct SmallPayload(pub Payload);

/// Most bytes of it.
const SMALL: usize = 8 << 10;

impl FromRequest<Arc<Server>> for SmallPayload {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, server: &Arc<Server>) -> Answer<Self> {
        read(request, server, SMALL.min(server.settings.max_body)).await.map(Self)
    }
}

async fn read(request: Request<Body>, server: &Server, most: usize) -> Answer<Payload> {
    let too_large = || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body is too large");
    let length = request.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    // One that does not say how long it is may be as long as any.
    let length = length.map_or(most, |length| usize::try_from(length).unwrap_or(most));
    let room = server.room_for(length).ok_or_else(|| {
        let detail = "Too many large bodies are under way";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(1)
    })?;
    match tokio::time::timeout(server.settings.body_timeout, to_bytes(request.into_body(), most)).await {
        Ok(Ok(bytes)) => Ok(Payload(bytes, room)),
        Ok(Err(error)) => {
            let is_limit =
                std::error::Error::source(&error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
            let unread = || Problem::new(StatusCode::BAD_REQUEST, "unread", "The body could not be read");
            Err(if is_limit { too_large() } else { unread() })
        }
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "The body took too long")),
    }
}

/// The fields of a JSON object in a body.
pub struct Fields {
    map: Map<String, Value>,
    faults: Vec<Fault>,
    /// Where the object stands.
    place: Vec<String>,
}

impl Fields {
    /// Reads an object. A body that is none is all that is said of it.
    pub fn parse(payload: &Payload) -> Answer<Self> {
        let bytes = payload.0.as_ref();
        if bytes.iter().all(u8::is_ascii_whitespace) {
            let fault = Fault { kind: "missing", place: vec!["body".to_owned()], message: "Field required".to_owned() };
            return Err(Problem::invalid(vec![fault]));
        }
        match serde_json::from_slice::<Value>(bytes) {
            // What the JSON library would take for something else inside of it is not kept as what it was.
            Ok(Value::Object(_)) if field::check_json(bytes).is_err() => {
                Err(Problem::invalid(vec![Fault::new("json_invalid", "body", "1:1", "An object has a key that cannot be kept")]))
            }
            Ok(Value::Object(map)) => Ok(Self { map, faults: Vec::new(), place: vec!["body".to_owned()] }),
            Ok(_) => {
                let message = "Input should be a valid dictionary".to_owned();
                Err(Problem::invalid(vec![Fault { kind: "dict_type", place: vec!["body".to_owned()], message }]))
            }
            // What the parser says quotes no more than a place.
            Err(error) => Err(Problem::invalid(vec![Fault::new(
                "json_invalid",
                "body",
                &format!("{}:{}", error.line(), error.column()),
                "JSON decode error",
            )])),
        }
    }

    /// Reads an object, or the fields of a form (`application/x-www-form-urlencoded`): a body that does not begin as an object does.
    pub fn of_json_or_form(payload: &Payload) -> Answer<Self> {
        let text = payload.0.trim_ascii_start();
        if text.is_empty() || [b'{', b'[', b'"'].contains(&text[0]) || !text.contains(&b'=') {
            return Self::parse(payload);
        }
        let refuse = |_| Problem::invalid(vec![Fault::new("value_error", "body", "form", "Value error, not a form")]);
        let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(text.trim_ascii_end()).map_err(refuse)?;
        let map = pairs.into_iter().map(|(name, text)| (name, Value::String(text))).collect();
        Ok(Self { map, faults: Vec::new(), place: vec!["body".to_owned()] })
    }

    /// Notes that something is wrong with a field.
    pub fn fault(&mut self, kind: &'static str, name: &str, message: impl Into<String>) {
        let place = self.place.iter().cloned().chain([name.to_owned()]).collect();
        self.faults.push(Fault { kind, place, message: message.into() });
    }

    /// Whether a field is there, and not null.
    pub fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// Takes a value of any kind out; `null` is one.
    pub fn any(&mut self, name: &str) -> Option<Value> {
        self.map.shift_remove(name)
    }

    /// A value that must be there.
    pub fn required(&mut self, name: &str) -> Option<Value> {
        let value = self.any(name);
        if value.is_none() {
            self.fault("missing", name, "Field required");
        }
        value
    }

    /// A text that must be there, of so many characters.
    pub fn text(&mut self, name: &str, length: RangeInclusive<usize>) -> Option<String> {
        let value = self.required(name)?;
        self.check_text(name, value, length)
    }

    /// A text that may be missing or null.
    pub fn optional_text(&mut self, name: &str, length: RangeInclusive<usize>) -> Option<String> {
        match self.any(name)? {
            Value::Null => None,
            value => self.check_text(name, value, length),
        }
    }

    fn check_text(&mut self, name: &str, value: Value, length: RangeInclusive<usize>) -> Option<String> {
        let Value::String(text) = value else {
            self.fault("string_type", name, "Input should be a valid string");
            return None;
        };
        let count = text.chars().count();
        if count < *length.start() {
            let plural = if *length.start() == 1 { "" } else { "s" };
            self.fault("string_too_short", name, format!("String should have at least {} character{plural}", length.start()));
            return None;
        }
        if count > *length.end() {
            self.fault("string_too_long", name, format!("String should have at most {} characters", length.end()));
            return None;
        }
        Some(text)
    }

    /// A list of texts that may be missing or null.
    pub fn optional_texts(&mut self, name: &str) -> Option<Vec<String>> {
        let list = match self.any(name)? {
            Value::Null => return None,
            Value::Array(list) => list,
            _ => {
                self.fault("list_type", name, "Input should be a valid list");
                return None;
            }
        };
        let mut texts = Vec::with_capacity(list.len());
        for item in list {
            texts.push(self.check_text(name, item, 0..=usize::MAX)?);
        }
        Some(texts)
    }

    /// A whole number that may be missing or null.
    pub fn optional_number(&mut self, name: &str) -> Option<u64> {
        match self.any(name)? {
            Value::Null => None,
            value => self.check_number(name, &value),
        }
    }

    /// A whole number that must be there.
    pub fn required_number(&mut self, name: &str) -> Option<u64> {
        let value = self.required(name)?;
        self.check_number(name, &value)
    }

    fn check_number(&mut self, name: &str, value: &Value) -> Option<u64> {
        let number = value.as_u64().filter(|number| *number <= LARGEST);
        if number.is_none() {
            self.fault("int_type", name, "Input should be a valid integer that is not negative");
        }
        number
    }

    /// A yes or no that may be missing or null.
    pub fn optional_flag(&mut self, name: &str) -> Option<bool> {
        match self.any(name)? {
            Value::Null => None,
            Value::Bool(flag) => Some(flag),
            _ => {
                self.fault("bool_type", name, "Input should be a valid boolean");
                None
            }
        }
    }

    /// Something that a function reads from a text; `what` says what it should be.
    pub fn parsed<T>(&mut self, name: &str, text: Option<String>, what: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let read = parse(text.as_deref()?);
        if read.is_none() {
            self.fault("value_error", name, format!("Value error, {what}"));
        }
        read
    }

    /// An object that may be missing or null.
    pub fn optional_object(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.any(name)? {
            Value::Null => None,
            Value::Object(map) => Some(map),
            _ => {
                self.fault("dict_type", name, "Input should be a valid dictionary");
                None
            }
        }
    }

    /// A list of objects that must be there, of so many items; each is taken apart by `read`.
    pub fn objects<T>(
        &mut self,
        name: &str,
        count: RangeInclusive<usize>,
        mut read: impl FnMut(&mut Self) -> Option<T>,
    ) -> Vec<T> {
        let list = match self.required(name) {
            None => return Vec::new(),
            Some(Value::Array(list)) if count.contains(&list.len()) => list,
            Some(Value::Array(_)) => {
                let message = format!("Value error, a list of {} to {} items", count.start(), count.end());
                self.fault("value_error", name, message);
                return Vec::new();
            }
            Some(_) => {
                self.fault("list_type", name, "Input should be a valid list");
                return Vec::new();
            }
        };
        let mut all = Vec::with_capacity(list.len());
        for (index, item) in list.into_iter().enumerate() {
            let place = self.place.iter().cloned().chain([name.to_owned(), index.to_string()]).collect();
            match item {
                Value::Object(map) => {
                    let mut inner = Self { map, faults: Vec::new(), place };
                    all.extend(read(&mut inner));
                    self.faults.append(&mut inner.faults);
                }
                _ => {
                    let message = "Input should be a valid dictionary".to_owned();
                    self.faults.push(Fault { kind: "dict_type", place, message });
                }
            }
        }
        all
    }

    /// Says all that is wrong, if anything is, and with it what is wrong elsewhere.
    pub fn finish_with(mut self, query: Query) -> Answer<()> {
        let elsewhere = query.finish().map_err(Problem::into_faults);
        let mut faults = elsewhere.err().unwrap_or_default();
        faults.append(&mut self.faults);
        Self { faults, ..self }.finish()
    }

    /// Says all that is wrong, if anything is.
    pub fn finish(self) -> Answer<()> {
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }
}
