//! Conditions on metadata: `KEY OP VALUE`, with = != < <= > >= and ~ for a pattern.

use std::cmp::Ordering;

use super::clock;
use super::error::{Error, Result};
use crate::vault::Entry;

/// A condition on the metadata of an entry.
///
/// Where both sides are a number, a duration, a time or a truth value, they are compared as such; else as text, byte by byte. An entry without the
/// key fulfils `!=` and nothing else.
pub struct Condition {
    key: String,
    test: Test,
}

enum Test {
    /// The key is there.
    Exists,
    Compare(Operator, String),
    Matches(glob::Pattern),
}

#[derive(Clone, Copy)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const HINT: &str = "conditions are written like 'owner = ops', 'size >= 20' or 'url ~ https://*', with = != < <= > >= ~";

impl Condition {
    /// Reads `KEY OP VALUE`. Blanks around the operator are no part of key and value.
    pub fn parse(text: &str) -> Result<Self> {
        let at = text.find(['=', '!', '<', '>', '~']).ok_or_else(|| Error::usage("a condition has no operator").hint(HINT))?;
        let (key, rest) = text.split_at(at);
        let operators = [
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("=", Operator::Equal),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let key = key.trim().to_owned();
        if key.is_empty() {
            return Err(Error::usage("a condition has no key").hint(HINT));
        }
        if let Some(pattern) = rest.strip_prefix('~') {
            let pattern = glob::Pattern::new(pattern.trim());
            let pattern = pattern.map_err(|error| Error::usage(format!("the pattern is malformed: {}", error.msg)))?;
            return Ok(Self { key, test: Test::Matches(pattern) });
        }
        let found = operators.into_iter().find_map(|(sign, operator)| Some((operator, rest.strip_prefix(sign)?)));
        let (operator, value) = found.ok_or_else(|| Error::usage("a condition has no operator").hint(HINT))?;
        Ok(Self { key, test: Test::Compare(operator, value.trim().to_owned()) })
    }

    /// Reads `KEY`, which must be there, or `KEY=VALUE`.
    pub fn parse_pair(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self::equals(key, value)),
            None if !text.is_empty() => Ok(Self { key: text.to_owned(), test: Test::Exists }),
            _ => Err(Error::usage("metadata is written KEY or KEY=VALUE")),
        }
    }

    /// That a key has this value.
    pub fn equals(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), test: Test::Compare(Operator::Equal, value.to_owned()) }
    }

    /// Whether an entry fulfils it.
    pub fn holds(&self, entry: &Entry) -> bool {
        self.holds_for(entry.meta().get(&self.key).map(String::as_str))
    }

    fn holds_for(&self, value: Option<&str>) -> bool {
        match (&self.test, value) {
            (Test::Compare(Operator::NotEqual, _), None) => true,
            (_, None) => false,
            (Test::Exists, Some(_)) => true,
            (Test::Matches(pattern), Some(value)) => pattern.matches(value),
            (Test::Compare(operator, wanted), Some(value)) => {
                let order = compare(value, wanted);
                match operator {
                    Operator::Equal => order.is_eq(),
                    Operator::NotEqual => order.is_ne(),
                    Operator::Less => order.is_lt(),
                    Operator::LessOrEqual => order.is_le(),
                    Operator::Greater => order.is_gt(),
                    Operator::GreaterOrEqual => order.is_ge(),
                }
            }
        }
    }
}

fn compare(one: &str, other: &str) -> Ordering {
    fn both<T>(one: &str, other: &str, read: impl Fn(&str) -> Option<T>) -> Option<(T, T)> {
        Some((read(one)?, read(other)?))
    }
    if let Some((one, other)) = both(one, other, |text| text.parse::<i128>().ok()) {
        return one.cmp(&other);
    }
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    if let Some(order) = both(one, other, number).and_then(|(one, other)| one.partial_cmp(&other)) {
        return order;
    }
    if let Some((one, other)) = both(one, other, clock::duration) {
        return one.cmp(&other);
    }
    if let Some((one, other)) = both(one, other, |text| clock::moment(text).or_else(|| clock::day(text).map(|(start, _)| start)))
    {
        return one.cmp(&other);
    }
    if let Some((one, other)) = both(one, other, |text| text.to_ascii_lowercase().parse::<bool>().ok()) {
        return one.cmp(&other);
    }
    one.cmp(other)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_compare_as_what_both_are() {
        for (condition, value, expected) in [
            ("a = x", "x", true),
            ("a=x", "X", false),
            ("a != x", "y", true),
            ("a < 10", "9", true),
            ("a < 10", "9.5", true),
            ("a = 10", "10.0", true),
            ("a < b10", "b9", false),
            ("a > 90m", "2h", true),
            ("a <= 1d", "24h", true),
            ("a < 2027-01-01", "2026-12-31", true),
            ("a < 2027-01-01", "2026-12-31T23:59:59Z", true),
            ("a >= 2027-01-01T00:00:00+01:00", "2026-12-31T23:00:00Z", true),
            ("a = true", "TRUE", true),
            ("a < true", "false", true),
            ("a ~ https://*.example", "https://x.example", true),
            ("a ~ x?", "xyz", false),
            // Of different kinds they are text.
            ("a < 10", "x", false),
            ("a > 10", "9d", true),
            ("a = inf", "inf", true),
            ("a = x=y", "x=y", true),
            ("a=", "", true),
        ] {
            assert_eq!(Condition::parse(condition).unwrap().holds_for(Some(value)), expected, "{condition}: {value}");
        }
        for (condition, expected) in [("a = x", false), ("a != x", true), ("a < x", false), ("a ~ *", false)] {
            assert_eq!(Condition::parse(condition).unwrap().holds_for(None), expected, "{condition}");
        }
        let there = Condition::parse_pair("a").unwrap();
        assert!(there.holds_for(Some("")) && !there.holds_for(None));
        assert!(Condition::parse_pair("a=b").unwrap().holds_for(Some("b")));
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in ["", "a", "= x", "a ! x", "a ~ [", " < 3"] {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
        assert!(Condition::parse_pair("").is_err() && Condition::parse_pair("=x").is_err());
    }
}
