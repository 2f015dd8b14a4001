//! `ETag`, `If-Match` and `If-None-Match` (RFC 9110, section 13): nothing that was changed meanwhile is overwritten, and nothing is read twice.

use axum::extract::FromRequestParts;
use axum::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;

use crate::serve::error::{Answer, Problem};
use crate::vault::{Entry, Error, ErrorKind, Result};

/// The tag of an entry as it is: its version, and when its value or metadata last changed.
pub fn tag_of(entry: &Entry) -> String {
    format!("\"{}-{}\"", entry.version(), entry.modified())
}

/// One tag that a client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    /// A version, whatever became of its metadata.
    Version(u64),
    /// A version, and when it last changed.
    Exact(u64, u64),
    /// None that this API gave out.
    Other,
}

impl Tag {
    fn parse(text: &str) -> Self {
        let inner = text.trim().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let parsed = inner.and_then(|inner| match inner.split_once('-') {
            None => inner.parse().ok().map(Self::Version),
            Some((version, modified)) => Some(Self::Exact(version.parse().ok()?, modified.parse().ok()?)),
        });
        parsed.unwrap_or(Self::Other)
    }

    fn is_of(self, entry: &Entry) -> bool {
        match self {
            Self::Version(version) => entry.version() == version,
            Self::Exact(version, modified) => (entry.version(), entry.modified()) == (version, modified),
            Self::Other => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    OneOf(Vec<Tag>),
}

impl Tags {
    fn include(&self, entry: Option<&Entry>) -> bool {
        match (self, entry) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::OneOf(tags), Some(entry)) => tags.iter().any(|tag| tag.is_of(entry)),
        }
    }
}

/// What must hold before anything is done.
#[derive(Debug, Clone, Default)]
pub struct Precondition {
    matching: Option<Tags>,
    other_than: Option<Tags>,
}

impl<S: Send + Sync> FromRequestParts<S> for Precondition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let read = |name: &HeaderName| {
            let mut tags = Vec::new();
            for value in parts.headers.get_all(name) {
                // What is no text is no tag of ours either.
                let text = value.to_str().unwrap_or_default();
                if text.trim() == "*" {
                    return Some(Tags::Any);
                }
                tags.extend(text.split(',').map(Tag::parse));
            }
            (!tags.is_empty()).then_some(Tags::OneOf(tags))
        };
        Ok(Self { matching: read(&IF_MATCH), other_than: read(&IF_NONE_MATCH) })
    }
}

impl Precondition {
    /// Whether the client knows the entry as it is.
    pub fn is_known(&self, entry: &Entry) -> bool {
        self.other_than.as_ref().is_some_and(|tags| tags.include(Some(entry)))
    }

    /// Refuses a change of an entry that is not as the client expects.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] (`version_mismatch`) then.
    pub fn check(&self, entry: Option<&Entry>) -> Result<()> {
        let matches = self.matching.as_ref().is_none_or(|tags| tags.include(entry));
        let is_other = self.other_than.as_ref().is_none_or(|tags| !tags.include(entry));
        if matches && is_other {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, "version_mismatch", "The entry is of another version"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_they_are_written() {
        for (text, expected) in [
            ("\"3\"", Tag::Version(3)),
            (" \"3-17\" ", Tag::Exact(3, 17)),
            // A weak tag never matches where it must be strong (RFC 9110, section 8.8.3.2).
            ("W/\"3\"", Tag::Other),
            ("3", Tag::Other),
            ("\"x\"", Tag::Other),
            ("", Tag::Other),
        ] {
            assert_eq!(Tag::parse(text), expected, "{text}");
        }
    }
}
