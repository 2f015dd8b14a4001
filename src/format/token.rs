//! Records of API tokens (SPEC, section 6): what proves one, and what it may do.

use minicbor::Decoder;
use zeroize::Zeroizing;

use super::FormatError;
use super::cbor::{self, Unknown, Writer, Written, array, array_len, malformed, read_map};

/// Most items in one list of a token's scope.
pub const MAX_SCOPE: usize = 64;
/// Longest label and longest item of a scope, in bytes.
pub const MAX_TEXT: usize = 512;

/// What a token may do, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights(u64);

impl Rights {
    /// Values of entries leave the vault.
    pub const READ: Self = Self(1);
    /// Entries are made, changed and removed.
    pub const WRITE: Self = Self(2);
    /// Entries get generated values in the place of older ones.
    pub const ROTATE: Self = Self(4);
    /// Tokens, keys, the log and the vault as a whole; and everything else.
    pub const ADMIN: Self = Self(8);

    /// Each of them, with its word.
    pub const WORDS: [(Self, &'static str); 4] =
        [(Self::READ, "read"), (Self::WRITE, "write"), (Self::ROTATE, "rotate"), (Self::ADMIN, "admin")];

    /// The right of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, other)| *other == word).map(|(right, _)| *right)
    }

    /// Their words.
    pub fn words(self) -> Vec<&'static str> {
        Self::WORDS.iter().filter(|(right, _)| self.include(*right)).map(|(_, word)| *word).collect()
    }

    /// These and those.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of those are among these.
    pub fn include(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// An API token, without what proves its possession.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What people call it.
    pub label: String,
    /// What its secret is compared with.
    pub verifier: [u8; 32],
    /// When it was made, in milliseconds.
    pub created: u64,
    /// When it ends, in milliseconds.
    pub expires: Option<u64>,
    /// How many more requests it is good for.
    pub uses: Option<u64>,
    /// What it may do.
    pub rights: Rights,
    /// Only entries of these categories.
    pub categories: Option<Vec<String>>,
    /// Only entries of these environments; the empty text stands for entries without one.
    pub environments: Option<Vec<String>>,
    /// Only entries whose names match one of these patterns.
    pub names: Option<Vec<String>>,
    /// Only from these networks.
    pub networks: Option<Vec<String>>,
    /// When it was revoked.
    pub revoked: Option<u64>,
    unknown: Unknown,
}

impl Token {
    /// The kind of the system records that hold tokens; their names are the tokens' ids in hex digits.
    pub const RECORD: &'static str = "token";

    /// A token that may do nothing yet.
    pub fn new(label: String, verifier: [u8; 32], created: u64) -> Self {
        Self {
            label,
            verifier,
            created,
            expires: None,
            uses: None,
            rights: Rights::default(),
            categories: None,
            environments: None,
            names: None,
            networks: None,
            revoked: None,
            unknown: Unknown::default(),
        }
    }

    /// Whether it can be kept: within the limits, and good for something.
    pub fn fits(&self) -> bool {
        let lists = [&self.categories, &self.environments, &self.names, &self.networks];
        let list_fits =
            |list: &Vec<String>| (1..=MAX_SCOPE).contains(&list.len()) && list.iter().all(|text| text.len() <= MAX_TEXT);
        (1..=MAX_TEXT).contains(&self.label.len())
            && !self.rights.is_empty()
            && lists.iter().all(|list| list.as_ref().is_none_or(list_fits))
    }

    /// Of two states of one token the one that may do less: one that was revoked stays so, and a use is used up.
    pub fn lesser(self, other: Self) -> Self {
        let revoked = match (self.revoked, other.revoked) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        let uses = match (self.uses, other.uses) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        Self { revoked, uses, ..self }
    }

    /// The record's bytes.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        cbor::encode(512, |e| {
            let numbers = [(3, self.expires), (4, self.uses)];
            let lists = [(6, &self.categories), (7, &self.environments), (8, &self.names), (9, &self.networks)];
            let optional = numbers.iter().filter(|(_, number)| number.is_some()).count()
                + lists.iter().filter(|(_, list)| list.is_some()).count()
                + usize::from(self.revoked.is_some());
            e.map(4 + optional as u64 + self.unknown.count())?.u8(0)?.str(&self.label)?.u8(1)?.bytes(&self.verifier)?;
            e.u8(2)?.u64(self.created)?;
            for (key, number) in numbers {
                if let Some(number) = number {
                    e.u8(key)?.u64(number)?;
                }
            }
            e.u8(5)?.u64(self.rights.0)?;
            for (key, list) in lists {
                if let Some(list) = list {
                    e.u8(key)?;
                    write_list(e, list)?;
                }
            }
            if let Some(revoked) = self.revoked {
                e.u8(10)?.u64(revoked)?;
            }
            e.writer_mut().extend_from_slice(self.unknown.bytes());
            Ok(())
        })
    }

    /// Reads the record's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let token = cbor::decode(bytes, Self::read, Self::encode)?;
        if token.rights.0 > 15 {
            return Err(FormatError::Newer("a token has a right that this version does not know".to_owned()));
        }
        if token.fits() { Ok(token) } else { Err(malformed()) }
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let mut token = Self::new(String::new(), [0; 32], 0);
        let unknown = read_map(d, |field, d| {
            match field {
                0 => d.str()?.clone_into(&mut token.label),
                1 => token.verifier = array(d)?,
                2 => token.created = d.u64()?,
                3 => token.expires = Some(d.u64()?),
                4 => token.uses = Some(d.u64()?),
                5 => token.rights = Rights(d.u64()?),
                6 => token.categories = Some(read_list(d)?),
                7 => token.environments = Some(read_list(d)?),
                8 => token.names = Some(read_list(d)?),
                9 => token.networks = Some(read_list(d)?),
                10 => token.revoked = Some(d.u64()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        token.unknown = unknown;
        Ok(token)
    }
}

fn write_list(e: &mut Writer<'_>, list: &[String]) -> Written {
    e.array(list.len() as u64)?;
    for text in list {
        e.str(text)?;
    }
    Ok(())
}

fn read_list(d: &mut Decoder<'_>) -> Result<Vec<String>, FormatError> {
    let length = array_len(d)?;
    if length > MAX_SCOPE as u64 {
        return Err(malformed());
    }
    (0..length).map(|_| Ok(d.str()?.to_owned())).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token { rights: Rights::READ, ..Token::new("ci".to_owned(), [7; 32], 1) }
    }

    #[test]
    fn tokens_return() {
        let all = Token {
            expires: Some(2),
            uses: Some(0),
            rights: Rights::READ.and(Rights::ADMIN),
            categories: Some(vec!["db".to_owned()]),
            environments: Some(vec![String::new(), "prod".to_owned()]),
            names: Some(vec!["app/*".to_owned()]),
            networks: Some(vec!["10.0.0.0/8".to_owned()]),
            revoked: Some(3),
            ..token()
        };
        for token in [token(), all] {
            assert_eq!(Token::decode(&token.encode()).unwrap(), token);
        }
    }

    #[test]
    fn what_breaks_the_limits_is_refused() {
        let with = |change: &dyn Fn(&mut Token)| {
            let mut token = token();
            change(&mut token);
            Token::decode(&token.encode())
        };
        assert!(with(&|token| token.label.clear()).is_err());
        assert!(with(&|token| token.rights = Rights::default()).is_err());
        assert!(with(&|token| token.names = Some(Vec::new())).is_err());
        assert!(with(&|token| token.names = Some(vec!["x".to_owned(); MAX_SCOPE + 1])).is_err());
        assert!(with(&|token| token.networks = Some(vec!["x".repeat(MAX_TEXT + 1)])).is_err());
        assert!(matches!(with(&|token| token.rights = Rights(16)), Err(FormatError::Newer(_))));
    }

    #[test]
    fn rights_have_a_word_each() {
        assert_eq!(Rights::WRITE.and(Rights::READ).words(), ["read", "write"]);
        for (right, word) in Rights::WORDS {
            assert_eq!((Rights::parse(word), right.words()), (Some(right), vec![word]));
        }
        assert!(Rights::parse("Read").is_none() && Rights::default().words().is_empty());
    }

    #[test]
    fn the_lesser_of_two_states_may_do_less() {
        let revoked = Token { revoked: Some(5), uses: Some(9), ..token() };
        let used = Token { uses: Some(2), ..token() };
        let lesser = Token { revoked: Some(5), uses: Some(2), ..token() };
        assert_eq!(revoked.clone().lesser(used.clone()), lesser);
        assert_eq!(used.lesser(revoked), lesser);
    }
}
