//! Where output grows.

use std::borrow::Cow;

use zeroize::Zeroizing;

/// Text that grows without leaving copies behind: a plain `String` that outgrows its place frees
/// the old one with the secrets still in it.
pub(super) struct Buffer(Zeroizing<String>);

impl Buffer {
    pub(super) fn new() -> Self {
        Buffer(Zeroizing::default())
    }

    pub(super) fn push(&mut self, text: &str) {
        let needed = self.0.len() + text.len();
        if needed > self.0.capacity() {
            let room = needed.max(2 * self.0.capacity()).max(256);
            let mut larger = Zeroizing::new(String::with_capacity(room));
            larger.push_str(&self.0);
            self.0 = larger;
        }
        self.0.push_str(text);
    }

    /// Appends `text` with each character for which `escape` has a spelling replaced by it.
    pub(super) fn push_escaped(&mut self, text: &str, escape: impl Fn(char) -> Option<Cow<'static, str>>) {
        let mut done = 0;
        for (at, character) in text.char_indices() {
            if let Some(spelling) = escape(character) {
                self.push(&text[done..at]);
                self.push(&spelling);
                done = at + character.len_utf8();
            }
        }
        self.push(&text[done..]);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_text(self) -> Zeroizing<String> {
        self.0
    }

    pub(super) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        bytes(self.0)
    }
}

/// Moves the bytes out of a text; nothing is copied, so nothing is left behind.
pub(super) fn bytes(mut text: Zeroizing<String>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(std::mem::take(&mut *text).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_and_escapes() {
        let mut out = Buffer::new();
        for _ in 0..1000 {
            out.push_escaped("a'é'", |c| (c == '\'').then_some("''".into()));
        }
        assert_eq!(*out.into_bytes(), "a''é''".repeat(1000).into_bytes());
    }
}
