//! Reports values in documents, one after the other.

use std::sync::Arc;

use super::forms::Form;
use super::lines::Unwrapped;
use super::matcher::Matcher;
use crate::secret::Growing;

/// A value that was found.
pub struct Hit<'a> {
    /// The line in which it begins, from 1.
    pub line: u64,
    /// How it is written there.
    pub form: Form,
    /// The names of the entries that have it.
    pub names: Vec<&'a str>,
}

/// Looks for values in documents of any length that come in parts.
pub struct Scanner {
    matcher: Arc<Matcher>,
    /// The end of what came, which may be the beginning of a value.
    held: Growing,
    beginning: bool,
    line: u64,
    unwrapped: Unwrapped,
}

impl Scanner {
    /// Reports what `matcher` finds.
    pub fn new(matcher: Arc<Matcher>) -> Self {
        Self { matcher, held: Growing::default(), beginning: true, line: 1, unwrapped: Unwrapped::default() }
    }

    /// Takes the next bytes of the document.
    pub fn push(&mut self, bytes: &[u8], found: &mut dyn FnMut(Hit<'_>)) {
        self.held.push(bytes);
        self.pass(true, found);
    }

    /// Ends the document. The next byte is the first of another one.
    pub fn finish(&mut self, found: &mut dyn FnMut(Hit<'_>)) {
        self.pass(false, found);
        self.held.drop_first(self.held.expose().len());
        (self.beginning, self.line) = (true, 1);
    }

    fn pass(&mut self, more: bool, found: &mut dyn FnMut(Hit<'_>)) {
        let held = self.held.expose();
        let beginning = self.unwrapped.fill(held, self.beginning);
        let (regions, open) = self.matcher.regions(&self.unwrapped, more);
        let (mut line, mut at) = (self.line, 0);
        for region in regions {
            line += lines(&held[at..region.start]);
            at = region.start;
            let (names, form) = self.matcher.meaning(region.pattern);
            found(Hit { line, form, names: names.collect() });
        }
        let hold = open.unwrap_or(held.len());
        self.line += lines(&held[..hold]);
        self.beginning = hold == held.len() && beginning;
        self.held.drop_first(hold);
    }
}

/// How many lines end in a text.
pub(super) fn lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

#[cfg(test)]
mod tests {
    use super::super::Units;
    use super::*;
    use crate::format::record::Kind;
    use crate::secret::SecretValue;

    #[test]
    fn lines_forms_and_names_are_told_however_the_document_comes() {
        let mut units = Units::new(8, |_| false);
        units.add("a", &SecretValue::from("s3cret-value"), Kind::Text);
        units.add("b", &SecretValue::from(r#"{"key":"other-secret"}"#), Kind::Json);
        units.add("c", &SecretValue::from("short"), Kind::Text);
        assert_eq!(units.skipped(), [("c".to_owned(), "too short")]);
        let mut scanner = Scanner::new(Arc::new(Matcher::new(units)));
        let document = b"x\nkey: s3cret-value\n\nother-\n  secret other-secret\n czNjcmV0LXZhbHVl\n";
        for size in [1, 7, 100] {
            for _ in 0..2 {
                let mut hits = Vec::new();
                let mut found = |hit: Hit<'_>| hits.push((hit.line, hit.form, hit.names.join("+")));
                document.chunks(size).for_each(|part| scanner.push(part, &mut found));
                scanner.finish(&mut found);
                let expected =
                    [(2, Form::Plain, "a"), (4, Form::Plain, "b#key"), (5, Form::Plain, "b#key"), (6, Form::Base64, "a")];
                assert_eq!(hits, expected.map(|(line, form, name)| (line, form, name.to_owned())));
            }
        }
    }
}
