//! Finding the values of a vault in what other programs write: plain, encoded, and over the ends of lines.
//!
//! Pure work on bytes. A value becomes [`Units`] (itself, its lines, the leaves of JSON), each unit the forms in which it may be printed
//! ([`Form`]), all forms together one [`Matcher`]. A [`Masker`] replaces what is found in a stream, a [`Scanner`] reports it. A reader without any key
//! looks for [`Fingerprints`].
//!
//! | form | how it is found |
//! |---|---|
//! | plain | as it is, and over ends of lines with any indentation |
//! | base64, and base64 of base64 | both alphabets, at each of the three places that the value may have in a group; wrapped at any column |
//! | hex | upper and lower case, wrapped at any column |
//! | url | four sets of characters that are left alone, upper and lower case |
//! | json | as it must be escaped, as ASCII, safe for HTML, and as JSON inside of JSON |
//! | shell | inside single quotes |
//! | utf-16 | both orders; for reports only, and not over ends of lines |
//!
//! What is compressed, encrypted, reversed, or has something between its characters (the colours of a terminal, say) is not found.

mod fingerprint;
mod forms;
mod lines;
mod masker;
mod matcher;
mod parts;
mod reuse;
mod scanner;
mod sensitive;
mod strength;
mod text;
mod units;

pub use fingerprint::{FingerprintScanner, Fingerprints};
pub use forms::Form;
pub use masker::{MASK, Masker, Style};
pub use matcher::Matcher;
pub use reuse::Reuse;
pub use scanner::{Hit, Scanner};
pub use sensitive::{Rule, mask_json, mask_text, names_secret, secrets};
pub use strength::{bits, is_short, is_trivial, is_weak};
pub use units::Units;
