//! What stands in a path and behind its question mark, with all that is wrong said at once and nothing of it repeated.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

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

    /// The same where an empty one is as good as none.
    pub fn filled(&mut self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty())
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
        self.parsed(name, &what, |text| number(text).filter(|number| range.contains(number)))
    }

    /// A whole number of any size.
    pub fn any_number(&mut self, name: &str) -> Option<u64> {
        self.parsed(name, "not a whole number", number)
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

/// A sign is none that this API writes.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What a handler reads of a query.
pub trait OfQuery {
    /// Takes it out of the query, which notes what is wrong with it.
    fn of(query: &mut Query) -> Self;
}

/// The parameters of a query as a type that holds what was read, where nothing is wrong with them.
pub struct Typed<T>(pub T);

impl<S: Send + Sync, T: OfQuery> FromRequestParts<S> for Typed<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let mut query = Query::from_request_parts(parts, state).await?;
        let read = T::of(&mut query);
        query.finish()?;
        Ok(Self(read))
    }
}
