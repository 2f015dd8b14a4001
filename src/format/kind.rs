//! The kinds of values.

use super::FormatError;

/// What kind of value was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes that are not text.
    Bytes,
    /// UTF-8 text.
    Text,
    /// JSON text.
    Json,
}

impl Kind {
    /// The word that listings and exports use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    /// The kind of a value that nobody calls JSON: text if it is UTF-8.
    pub fn of(value: &[u8]) -> Self {
        if std::str::from_utf8(value).is_ok() { Self::Text } else { Self::Bytes }
    }

    pub(super) fn from_number(number: u64) -> Result<Self, FormatError> {
        match number {
            0 => Ok(Self::Bytes),
            1 => Ok(Self::Text),
            2 => Ok(Self::Json),
            _ => Err(FormatError::Newer("a value is of a kind that this version does not know".to_owned())),
        }
    }

    /// The kind that [`word`](Self::word) calls so.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Bytes, Self::Text, Self::Json].into_iter().find(|kind| kind.word() == word)
    }
}
