//! Replaces values in a stream.

use std::sync::Arc;

use super::lines::Unwrapped;
use super::matcher::{Matcher, Region};
use crate::secret::Growing;

/// What stands in the place of a value.
pub const MASK: &str = "[MASKED]";

/// How a value is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// By [`MASK`], which tells nothing of its length.
    Word,
    /// By as many `*` as it has characters: on a terminal everything else stays in its place.
    Stars,
}

/// Replaces values in what passes through.
///
/// Whatever ends in what could be the beginning of a value is held until more comes; the rest passes at once. Values that overlap are
/// replaced together.
pub struct Masker {
    matcher: Arc<Matcher>,
    style: Style,
    /// What is held, from the first byte that may belong to a value.
    held: Growing,
    /// How many bytes of it have been released.
    shown: usize,
    /// Whether what is held begins a line, as [`Unwrapped::fill`] takes it.
    beginning: bool,
    unwrapped: Unwrapped,
}

impl Masker {
    /// Replaces what `matcher` finds.
    pub fn new(matcher: Arc<Matcher>, style: Style) -> Self {
        Self { matcher, style, held: Growing::default(), shown: 0, beginning: false, unwrapped: Unwrapped::default() }
    }

    /// Takes the next bytes of the stream, and appends to `out` what may pass.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.held.push(bytes);
        self.pass(true, out);
    }

    /// Whether something is held.
    pub fn is_holding(&self) -> bool {
        self.shown < self.held.expose().len()
    }

    /// Releases what is held: nothing came for a while. If the rest of a value comes after all, that rest is replaced.
    pub fn release(&mut self, out: &mut Vec<u8>) {
        let regions = self.regions(false).0;
        let held = self.held.expose().len();
        self.replace(&regions, held, out);
        self.shown = held;
    }

    /// Ends the stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.pass(false, out);
    }

    fn pass(&mut self, more: bool, out: &mut Vec<u8>) {
        let (regions, hold, beginning) = self.regions(more);
        self.replace(&regions, hold, out);
        // What stays held begins with a byte that is no blank at the beginning of a line.
        self.beginning = beginning && hold == self.held.expose().len();
        self.held.drop_first(hold);
        self.shown = self.shown.saturating_sub(hold);
    }

    /// The parts to replace, from where on to hold, and whether the next byte would begin a line.
    fn regions(&mut self, more: bool) -> (Vec<Region>, usize, bool) {
        let beginning = self.unwrapped.fill(self.held.expose(), self.beginning);
        let (regions, open) = self.matcher.regions(&self.unwrapped, more);
        (regions, open.unwrap_or(self.held.expose().len()), beginning)
    }

    /// Appends what is held up to `end` and not yet shown, with the regions replaced.
    fn replace(&self, regions: &[Region], end: usize, out: &mut Vec<u8>) {
        let (held, mut at) = (self.held.expose(), self.shown);
        for region in regions.iter().filter(|region| region.end > self.shown) {
            let from = region.start.max(at);
            out.extend_from_slice(&held[at..from]);
            match self.style {
                Style::Word => out.extend_from_slice(MASK.as_bytes()),
                Style::Stars => {
                    let characters = String::from_utf8_lossy(&held[from..region.end]).chars().filter(|c| !c.is_control()).count();
                    out.extend(std::iter::repeat_n(b'*', characters));
                }
            }
            at = region.end;
        }
        if at < end {
            out.extend_from_slice(&held[at..end]);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::Engine as _;
    use proptest::prelude::*;

    use super::super::Units;
    use super::*;
    use crate::format::record::Kind;
    use crate::secret::SecretValue;

    fn matcher(values: &[(&str, Kind)]) -> Arc<Matcher> {
        let mut units = Units::new(6, |_| false);
        for (value, kind) in values {
            units.add("name", &SecretValue::from(*value), *kind);
        }
        Arc::new(Matcher::new(units))
    }

    fn masked(matcher: &Arc<Matcher>, parts: &[&[u8]]) -> String {
        let mut masker = Masker::new(matcher.clone(), Style::Word);
        let mut out = Vec::new();
        parts.iter().for_each(|part| masker.push(part, &mut out));
        masker.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_value_in_parts_of_every_size_is_masked() {
        let matcher = matcher(&[("s3cret-value", Kind::Text)]);
        let text = b"before s3cret-value behind s3cret-valueX s3cret-valu\n";
        let expected = "before [MASKED] behind [MASKED]X s3cret-valu\n";
        for size in 1..text.len() {
            assert_eq!(masked(&matcher, &text.chunks(size).collect::<Vec<_>>()), expected, "{size}");
        }
        for cut in 0..text.len() {
            assert_eq!(masked(&matcher, &[&text[..cut], &text[cut..]]), expected, "{cut}");
        }
    }

    #[test]
    fn lines_and_leaves_are_values() {
        let matcher = matcher(&[
            ("first line\nsecond line\nno\n", Kind::Text),
            (r#"{"user":"administrator","n":[1234567],"on":true}"#, Kind::Json),
        ]);
        assert_eq!(
            masked(
                &matcher,
                &[b"a second line, first lin e, first line\r\n  second line\r\n  no!\n administrator 1234567 true no"]
            ),
            "a [MASKED], first lin e, [MASKED]!\n [MASKED] [MASKED] true no"
        );
    }

    #[test]
    fn the_longest_is_masked_and_what_overlaps_goes_with_it() {
        let matcher = matcher(&[("abcdefgh", Kind::Text), ("abcdefghijkl", Kind::Text), ("jklmnopq", Kind::Text)]);
        for text in ["abcdefgh.", "abcdefghijkl.", "abcdefghijklmnopq."] {
            let parts: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(masked(&matcher, &parts), "[MASKED].", "{text}");
        }
    }

    #[test]
    fn only_what_may_be_a_value_is_held() {
        let matcher = matcher(&[("s3cret-value", Kind::Text)]);
        let mut masker = Masker::new(matcher, Style::Stars);
        let mut out = Vec::new();
        masker.push(b"Password: ", &mut out);
        assert!(!masker.is_holding());
        masker.push(b"go s3cr", &mut out);
        assert_eq!((out.as_slice(), masker.is_holding()), (&b"Password: go "[..], true));
        masker.release(&mut out);
        assert_eq!((out.as_slice(), masker.is_holding()), (&b"Password: go s3cr"[..], false));
        masker.push(b"et-value!", &mut out);
        assert_eq!(out, b"Password: go s3cr********!");
        masker.push(b" s3cret-value\r\n", &mut out);
        masker.release(&mut out);
        assert_eq!(out, b"Password: go s3cr********! ************\r\n");
    }

    #[test]
    fn what_was_masked_when_it_was_released_is_not_masked_again() {
        let matcher = matcher(&[("abcdefgh", Kind::Text), ("abcdefghijkl", Kind::Text)]);
        let mut masker = Masker::new(matcher, Style::Word);
        let mut out = Vec::new();
        masker.push(b"abcdefgh", &mut out);
        masker.release(&mut out);
        masker.push(b" ~", &mut out);
        assert_eq!(out, b"[MASKED] ~");
    }

    #[test]
    fn the_frame_of_a_key_is_no_secret_and_a_long_value_is_masked_in_parts() {
        let long: String = (0..700).map(|number| format!("{number:03}")).collect();
        let pem = "-----BEGIN KEY-----\nabcdefghijkl\n-----END KEY-----\n";
        let matcher = matcher(&[(pem, Kind::Text), (&long, Kind::Text)]);
        assert_eq!(masked(&matcher, &[b"-----BEGIN KEY-----\n-"]), "-----BEGIN KEY-----\n-");
        assert_eq!(masked(&matcher, &[pem.as_bytes()]), "[MASKED]\n");
        assert_eq!(masked(&matcher, &[b"<", &long.as_bytes()[..1024], b"<"]), "<[MASKED]<");
        let whole = masked(&matcher, &[b"<", long.as_bytes(), b">"]);
        assert!(whole.starts_with("<[MASKED]") && whole.ends_with("[MASKED]>") && !whole.contains("69"), "{whole}");
    }

    #[test]
    fn a_long_value_with_letters_over_the_cuts_is_masked_as_json() {
        // The fourth and fifth cut would go through a letter.
        let long: String = (0..250).map(|number| format!("\"{number:03}\\")).collect::<String>()
            + "-"
            + &(0..500).map(|number| format!("é\"{number:03}€")).collect::<String>();
        let matcher = matcher(&[(&long, Kind::Text)]);
        let ascii: String = serde_json::to_string(&long)
            .unwrap()
            .chars()
            .map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", c as u32) })
            .collect();
        for text in [serde_json::to_string(&long).unwrap(), ascii] {
            let out = masked(&matcher, &[text.as_bytes()]);
            assert!(out.len() < 60, "{} of {} bytes are shown", out.len(), text.len());
        }
    }

    #[test]
    fn blanks_within_a_value_are_bounded_and_so_is_what_they_hold() {
        let matcher = matcher(&[("s3cret-value", Kind::Text)]);
        for (blanks, expected) in [(4000, "[MASKED]"), (5000, "s3cretBLANKS-value")] {
            let blanks = format!("\r\n{}", " \n".repeat(blanks / 2 - 1));
            let text = format!("s3cret{blanks}-value");
            for size in [1, 777, 100_000] {
                let parts: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
                let right = masked(&matcher, &parts) == expected.replace("BLANKS", &blanks);
                assert!(right, "{} blanks in parts of {size}", blanks.len());
            }
        }
        let mut masker = Masker::new(matcher, Style::Word);
        let mut out = Vec::new();
        masker.push(b"s", &mut out);
        for _ in 0..100 {
            masker.push(&[b'\n'; 1000], &mut out);
        }
        assert!(!masker.is_holding());
        masker.push(b"s3cret-value", &mut out);
        masker.finish(&mut out);
        assert!(out.len() == 100_009 && out.ends_with(b"\n[MASKED]"), "{}", out.len());
    }

    proptest! {
        #[test]
        fn nothing_passes_in_any_form_and_nothing_else_is_lost(
            value in "[!-~é]{6,60}", before in "[A-Z ]{0,20}", cuts in proptest::collection::vec(0_usize..400, 0..8)
        ) {
            let matcher = matcher(&[(&value, Kind::Text)]);
            let base64 = base64::engine::general_purpose::STANDARD.encode(format!("{before}{value}"));
            let wrapped: String = base64.as_bytes().chunks(19).map(|line| format!("{}\n", std::str::from_utf8(line).unwrap())).collect();
            let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
            for text in [value.clone(), base64, wrapped, hex, serde_json::to_string(&value).unwrap()] {
                let whole = format!("{before}|{text}|\n");
                let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (whole.len() + 1)).collect();
                cuts.extend([0, whole.len()]);
                cuts.sort_unstable();
                let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &whole.as_bytes()[pair[0]..pair[1]]).collect();
                let out = masked(&matcher, &parts);
                prop_assert!(out.contains(MASK), "{} became {}", whole, out);
                prop_assert!(!out.contains(&value));
            }
            let innocent = format!("{before}0123456789 innocent\r\n");
            prop_assert_eq!(masked(&matcher, &[innocent.as_bytes()]), innocent);
        }
    }
}
