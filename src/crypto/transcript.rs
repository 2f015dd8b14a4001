//! Everything that is authenticated together: length-prefixed parts behind a domain label (SPEC, section 1).

/// `lp(label) ‖ lp(part) ‖ …`, used as associated data and as a message to sign.
///
/// Parts carry their length, so that no two different lists of parts give the same bytes; joining by a delimiter would not do that.
pub struct Transcript(Vec<u8>);

impl Transcript {
    /// Begins with a domain label, one of those in [`keys`](super::keys).
    pub fn new(label: &str) -> Self {
        Self(Vec::with_capacity(160)).bytes(label.as_bytes())
    }

    /// Appends one part.
    pub fn bytes(mut self, part: &[u8]) -> Self {
        self.0.extend_from_slice(&(part.len() as u64).to_le_bytes());
        self.0.extend_from_slice(part);
        self
    }

    /// Appends a u64 as one part.
    pub fn u64(self, part: u64) -> Self {
        self.bytes(&part.to_le_bytes())
    }

    /// The bytes so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_run_into_each_other() {
        let a = Transcript::new("l").bytes(b"ab").bytes(b"c");
        let b = Transcript::new("l").bytes(b"a").bytes(b"bc");
        assert_ne!(a.as_bytes(), b.as_bytes());
        assert_eq!(&a.as_bytes()[..9], b"\x01\0\0\0\0\0\0\0l");
    }
}
