//! Names of users: one spelling of each counts, whatever was typed.

use unicode_normalization::UnicodeNormalization;

use crate::crypto::keys::label;
use crate::crypto::{Transcript, keyed_hash};
use crate::format::header::{hex, unhex};
use crate::secret::UserNamesKey;

/// A name in its canonical form (SPEC, section 6): what is compared, counted and locked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserName(String);

impl UserName {
    /// The canonical form of what was typed; it may be empty, and then is nobody's.
    pub fn of(typed: &str) -> Self {
        let mut name = step(typed);
        // Compatible forms and other cases give what is left out, or what can be composed: until nothing changes any more, which is soon.
        loop {
            let next = step(&name);
            if next == name {
                return Self(name);
            }
            name = next;
        }
    }

    /// Whether it can be a user's.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What names its records.
    pub fn mark(&self, key: &UserNamesKey, vault: &[u8; 16]) -> Mark {
        let hash = keyed_hash(key.expose(), Transcript::new(label::USER_NAME).bytes(vault).bytes(self.0.as_bytes()).as_bytes());
        let mut mark = [0; 16];
        mark.copy_from_slice(&hash.0[..16]);
        Mark(mark)
    }
}

/// What names the records of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark([u8; 16]);

impl Mark {
    /// The name of the record of the user.
    pub fn record(&self) -> String {
        hex(&self.0)
    }

    /// Reads the name of the record of a user.
    pub fn parse(record: &str) -> Option<Self> {
        unhex(record).ok().map(Self)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The name of the record of attempts under a name that is nobody's: some share one, so that there are not too many.
    pub fn shared_record(&self) -> String {
        format!("{:04x}", u16::from_be_bytes([self.0[0], self.0[1]]) >> 2)
    }

    /// A number of 0 to below `count`, for what is kept by name in memory.
    pub fn index(&self, count: usize) -> usize {
        usize::from(u16::from_be_bytes([self.0[2], self.0[3]])) % count
    }
}

fn step(text: &str) -> String {
    let composed = text.chars().filter(|c| !is_left_out(*c)).nfkc();
    // To upper case first: some letters have two lower-case forms.
    let folded: String = composed.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    folded.trim_end_matches('.').to_owned()
}

/// What is not seen when a name is read: white space, controls, and what Unicode calls ignorable by default (`Default_Ignorable_Code_Point` of
/// DerivedCoreProperties.txt, Unicode 16).
fn is_left_out(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn spellings_of_one_name_are_one() {
        let name = UserName::of("José.Müller");
        for typed in [
            "josé.müller",
            "JOSÉ.MÜLLER",
            "Jose\u{301}.Mu\u{308}ller",
            " José.Müller ",
            "José .\tMüller\n",
            "José.Müller\0",
            "José.Müller.",
            "José.Müller...",
            "Jo\u{200b}sé.Mü\u{ad}ller\u{feff}",
            "Ｊｏｓé.Müller",
            "Jos\u{200d}é.Müller\u{e0041}",
        ] {
            assert_eq!(UserName::of(typed), name, "{typed:?}");
        }
        for other in ["jose.muller", "josé-müller", "josé.müller2", "", "."] {
            assert_ne!(UserName::of(other), name, "{other:?}");
        }
        for none in ["", " ", "\0", "...", "\u{200b}", " . "] {
            assert!(UserName::of(none).is_empty(), "{none:?}");
        }
    }

    #[test]
    fn the_canonical_form_is_its_own() {
        for c in '\0'..=char::MAX {
            let typed = format!("a{c}\u{301}");
            let once = UserName::of(&typed);
            assert_eq!(UserName::of(once.as_str()), once, "{typed:?}");
        }
        for (one, other) in [("ΟΔΟΣ", "οδος"), ("οδοσ", "οδος"), ("STRASSE", "straße"), ("ﬁsh", "FISH"), ("a\u{a8}", "a \u{308}")]
        {
            assert_eq!(UserName::of(one), UserName::of(other), "{one} {other}");
        }
    }

    #[test]
    fn marks_depend_on_key_and_vault() {
        let key = |byte| UserNamesKey::new(Zeroizing::new([byte; 32]));
        let (ann, bob) = (UserName::of("ann"), UserName::of("bob"));
        let mark = ann.mark(&key(1), &[0; 16]);
        assert_eq!(mark, UserName::of("ANN").mark(&key(1), &[0; 16]));
        assert!(
            mark != bob.mark(&key(1), &[0; 16]) && mark != ann.mark(&key(2), &[0; 16]) && mark != ann.mark(&key(1), &[1; 16])
        );
        assert_eq!((mark.record().len(), mark.shared_record().len()), (32, 4));
        assert!(u16::from_str_radix(&mark.shared_record(), 16).is_ok_and(|number| number < 1 << 14));
    }
}
