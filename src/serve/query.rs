//! What stands in a path and behind its question mark, with all that is wrong said at once and nothing of it repeated.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::{Answer, Fault, Problem};

/// A parameter of the path, as a whole.
pub struct Path<T = String>(pub T);

impl<S: Send + Sync> FromRequestParts<S> for Path<String> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let read = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        let refuse = |_| Problem::invalid(vec![Fault::new("value_error", "path", "name", "Value error, not UTF-8")]);
        read.map(|axum::extract::Path(text)| Self(text)).map_err(refuse)
    }
}

/// The parameters of a query.
pub struct Query {
    pairs: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let refuse = |_| Problem::invalid(vec![Fault::new("value_error", "query", "query", "Value error, not a query")]);
        pairs.map(|axum::extract::Query(pairs)| Self { pairs, faults: Vec::new() }).map_err(refuse)
    }
}

impl Query {
    /// Notes that something is wrong with a parameter.
    pub fn fault(&mut self, place: &str, name: &str, message: &str) {
        self.faults.push(Fault::new("value_error", place, name, format!("Value error, {message}")));
    }

    /// All values of a parameter.
    pub fn texts(&mut self, name: &str) -> Vec<String> {
        let is_of = |pair: &mut (String, String)| pair.0 == name;
        self.pairs.extract_if(.., is_of).map(|(_, text)| text).collect()
    }

    /// A parameter that may be missing, and is there once.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let mut all = self.texts(name);
        if all.len() > 1 {
            self.fault("query", name, "given more than once");
        }
        all.pop()
    }

    /// A parameter that is read by a function; `what` says what it should be.
    pub fn parsed<T>(&mut self, name: &str, what: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let read = parse(&text);
        if read.is_none() {
            self.fault("query", name, what);
        }
        read
    }

    /// A whole number.
    pub fn number(&mut self, name: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let what = format!("not a whole number from {} to {}", range.start(), range.end());
        self.parsed(name, &what, |text| {
            // A sign is none that this API writes.
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|number| digits && range.contains(number))
        })
    }

    /// A yes or no.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.parsed(name, "not true or false", |text| text.parse().ok())
    }

    /// Says all that is wrong, if anything is.
    pub fn finish(self) -> Answer<()> {
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }
}

/// Parameters of a query that are read into a type, as [`axum::extract::Query`] does; but refused as everything else is.
pub struct Typed<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Typed<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let read = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        // What the reader says quotes what it read.
        let refuse =
            |_| Problem::invalid(vec![Fault::new("value_error", "query", "query", "Value error, not what it should be")]);
        read.map(|axum::extract::Query(read)| Self(read)).map_err(refuse)
    }
}
