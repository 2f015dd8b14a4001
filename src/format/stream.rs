//! The line before an encrypted stream (SPEC, section 9): which vault, which compartment, which of its data keys.

use super::FormatError;
use super::header::{hex, unhex};
use super::slot::is_compartment;
use crate::name::{Category, Environment};

/// The longest line, its end included: room for the longest compartment with every byte of it escaped.
pub const MAX_LINE: usize = 4096;
/// How a stream begins, of any version.
pub const MAGIC: &[u8] = b"VAULT-ENCRYPTED ";

/// What stands before an encrypted stream, in the clear. It is bound to what follows: each says which key opens it, and no two keys are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamLine {
    /// The vault's id.
    pub id: [u8; 16],
    /// The compartment.
    pub compartment: String,
    /// The number of the data key within the compartment.
    pub number: u64,
}

impl StreamLine {
    /// The line, its end included.
    pub fn print(&self) -> String {
        format!("VAULT-ENCRYPTED 1 {} {} {}\n", hex(&self.id), escape(&self.compartment), self.number)
    }

    /// Reads a line, its end included. Only the form that [`Self::print`] writes is taken.
    pub fn parse(line: &[u8]) -> Result<Self, FormatError> {
        let malformed = || FormatError::Malformed("the first line of the stream is malformed");
        if line.len() > MAX_LINE {
            return Err(malformed());
        }
        let text = std::str::from_utf8(line).map_err(|_| malformed())?.strip_suffix('\n').ok_or_else(malformed)?;
        let rest = line.strip_prefix(MAGIC).map(|_| &text[MAGIC.len()..]).ok_or_else(malformed)?;
        let (version, rest) = rest.split_once(' ').ok_or_else(malformed)?;
        if version != "1" {
            let newer = !version.starts_with('0') && !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
            return Err(if newer { FormatError::Newer("the stream is of a newer format".to_owned()) } else { malformed() });
        }
        let mut parts = rest.split(' ');
        let (Some(id), Some(compartment), Some(number), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(malformed());
        };
        let read = Self {
            id: unhex(id).map_err(|_| malformed())?,
            compartment: unescape(compartment).filter(|text| is_compartment(text)).ok_or_else(malformed)?,
            number: number.parse().ok().filter(|number| *number > 0).ok_or_else(malformed)?,
        };
        // One spelling only: no other case of digits, no sign, no escape where none is needed.
        if read.print().as_bytes() == line { Ok(read) } else { Err(malformed()) }
    }

    /// The category and the environment that the compartment is of.
    pub fn of(&self) -> (Option<Category>, Option<Environment>) {
        let (mut category, mut environment) = (None, None);
        for part in self.compartment.split('\u{1f}') {
            category = category.or_else(|| Category::parse(part.strip_prefix("category:")?).ok());
            environment = environment.or_else(|| Environment::parse(part.strip_prefix("env:")?).ok());
        }
        (category, environment)
    }
}

/// `-` for the compartment that is not limited; in others every byte but those of `A-Z a-z 0-9 . _ ~ : -` as `%` and two upper-case hex digits.
fn escape(compartment: &str) -> String {
    if compartment.is_empty() {
        return "-".to_owned();
    }
    let mut out = String::with_capacity(compartment.len());
    for byte in compartment.bytes() {
        if byte.is_ascii_alphanumeric() || b"._~:-".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn unescape(text: &str) -> Option<String> {
    if text == "-" {
        return Some(String::new());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(compartment: &str, number: u64) -> StreamLine {
        StreamLine { id: [0xab; 16], compartment: compartment.to_owned(), number }
    }

    #[test]
    fn lines_return() {
        let id = "ab".repeat(16);
        for (compartment, number, written) in [
            ("", 1, "- 1"),
            ("category:ci", u64::MAX, "category:ci 18446744073709551615"),
            ("category:a b/é%", 7, "category:a%20b%2F%C3%A9%25 7"),
            ("category:ci\u{1f}env:prod", 2, "category:ci%1Fenv:prod 2"),
        ] {
            let line = line(compartment, number);
            assert_eq!(line.print(), format!("VAULT-ENCRYPTED 1 {id} {written}\n"));
            assert_eq!(StreamLine::parse(line.print().as_bytes()).unwrap(), line);
        }
        let both = format!("category:{0}\u{1f}env:{0}", "\u{10ffff}".repeat(100));
        let user = format!("user:{}", "é".repeat(509));
        for longest in [both, user] {
            let line = line(&longest, u64::MAX);
            assert!(line.print().len() <= MAX_LINE);
            assert_eq!(StreamLine::parse(line.print().as_bytes()).unwrap(), line);
        }
        let (category, environment) = line("category:ci\u{1f}env:prod", 2).of();
        assert_eq!((category.unwrap().as_str(), environment.unwrap().as_str()), ("ci", "prod"));
        assert_eq!(line("", 2).of(), (None, None));
    }

    #[test]
    fn only_one_spelling_is_taken() {
        let id = "ab".repeat(16);
        let bad = [
            format!("VAULT-ENCRYPTED 1 {id} - 1"),
            format!("VAULT-ENCRYPTED 1 {id} - 1\r\n"),
            format!("VAULT-ENCRYPTED 1 {id} - 1 \n"),
            format!("VAULT-ENCRYPTED 1 {id}  1\n"),
            format!("VAULT-ENCRYPTED 1 {id} - 01\n"),
            format!("VAULT-ENCRYPTED 1 {id} - +1\n"),
            format!("VAULT-ENCRYPTED 1 {id} - 0\n"),
            format!("VAULT-ENCRYPTED 1 {id} - 18446744073709551616\n"),
            format!("VAULT-ENCRYPTED 1 {} - 1\n", id.to_uppercase()),
            format!("VAULT-ENCRYPTED 1 {} - 1\n", &id[..30]),
            format!("VAULT-ENCRYPTED 1 {}é - 1\n", &id[..30]),
            format!("VAULT-ENCRYPTED 1 {id} ci 1\n"),
            format!("VAULT-ENCRYPTED 1 {id} category:%63i 1\n"),
            format!("VAULT-ENCRYPTED 1 {id} category:c%2fi 1\n"),
            format!("VAULT-ENCRYPTED 1 {id} category:c% 1\n"),
            format!("VAULT-ENCRYPTED 1 {id} category:c%+1 1\n"),
            format!("VAULT-ENCRYPTED 1 {id} category:%FF 1\n"),
            format!("VAULT-ENCRYPTED 1 {id} category: 1\n"),
            format!("VAULT-ENCRYPTED 01 {id} - 1\n"),
            format!("VAULT-ENCRYPTED  {id} - 1\n"),
            format!("VAULT-ENCRYPTED 1 {id} user:{} 1\n", "x".repeat(4096)),
            "\n".to_owned(),
            String::new(),
        ];
        for text in bad {
            assert!(matches!(StreamLine::parse(text.as_bytes()), Err(FormatError::Malformed(_))), "{text:?}");
        }
        let newer = format!("VAULT-ENCRYPTED 2 {id} - 1\n");
        assert!(matches!(StreamLine::parse(newer.as_bytes()), Err(FormatError::Newer(_))));
    }
}
