//! A QR code of text, drawn with half blocks: two modules, one above the other, to a character.

use zeroize::Zeroizing;

use crate::interchange::qr::{BORDER, Modules};
use crate::vault::{Error, ErrorKind, Result};

/// The light border around a code, in modules; and the one that readers make do with where there is little room.
const BORDERS: [i32; 2] = [BORDER, 2];

/// How a code is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Drawing {
    /// Black on white, whatever the colours of the terminal are. Without them its text is taken to be lighter than its ground; many readers take
    /// the negative as well.
    pub colours: bool,
    /// Columns and rows that there are, if it is known.
    pub room: Option<(u16, u16)>,
}

/// The code of `text`, as lines.
///
/// # Errors
/// [`ErrorKind::Usage`] if it is larger than the room or than any code.
pub fn draw(text: &str, drawing: Drawing) -> Result<Zeroizing<String>> {
    let code = Modules::of(text).ok_or_else(|| too_large("a QR code holds at most 2,953 bytes"))?;
    let fits = |border: i32| {
        let size = code.size() + 2 * border;
        // One row is left for the line that follows.
        drawing.room.is_none_or(|(columns, rows)| size <= i32::from(columns) && (size + 1) / 2 < i32::from(rows))
    };
    let Some(border) = BORDERS.into_iter().find(|border| fits(*border)) else {
        let size = code.size() + 2 * BORDERS[1];
        return Err(too_large(&format!("it takes {size} columns and {} rows", (size + 1) / 2 + 1)));
    };
    Ok(lines(&code, border, drawing.colours))
}

fn lines(code: &Modules, border: i32, colours: bool) -> Zeroizing<String> {
    let span = -border..code.size() + border;
    // Enough for all of it: a string that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(span.len() * (span.len() / 2 + 1) * 3 + span.len() * 12));
    for y in span.clone().step_by(2) {
        if colours {
            text.push_str("\x1b[30;107m");
        }
        for x in span.clone() {
            // What is printed is the text's colour: dark with colours, light without.
            let printed = |y: i32| (y < span.end) && code.is_dark(x, y) == colours;
            text.push(match (printed(y), printed(y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        text.push_str(if colours { "\x1b[0m\n" } else { "\n" });
    }
    text
}

fn too_large(why: &str) -> Error {
    Error::new(ErrorKind::Usage, "qr_too_large", format!("the QR code is too large: {why}"))
        .hint("make the terminal larger, or its letters smaller; or print the URI with --uri")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TEXT: &str = "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    fn plain(room: Option<(u16, u16)>) -> Result<Zeroizing<String>> {
        draw(TEXT, Drawing { colours: false, room })
    }

    /// The modules that a drawing shows, dark ones as true.
    fn modules(text: &str, colours: bool) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in text.lines() {
            let line = line.trim_start_matches("\x1b[30;107m").trim_end_matches("\x1b[0m");
            for half in ['▀', '▄'] {
                rows.push(line.chars().map(|c| (c == '█' || c == half) == colours).collect());
            }
        }
        rows
    }

    #[test]
    fn both_drawings_show_the_same_modules_with_their_border() {
        let dark = modules(&draw(TEXT, Drawing { colours: true, room: None }).unwrap(), true);
        let mut light = modules(&plain(None).unwrap(), false);
        // An odd size: below the last row is nothing, which without colours is dark.
        assert_eq!(light.pop().unwrap(), vec![true; dark[0].len()]);
        assert_eq!(light, dark[..dark.len() - 1]);
        assert_eq!(dark[0].len(), 33 + 8);
        assert!(dark[..4].iter().flatten().chain(dark.iter().flat_map(|row| &row[..4])).all(|dark| !dark));
        // The finder at the corner: a frame of 7, a ring of light, a block of 3.
        let finder: Vec<bool> = dark[4 + 3][4..4 + 8].to_vec();
        assert_eq!(finder, [true, false, true, true, true, false, true, false]);
        assert_eq!(dark[4][4..4 + 8], [true, true, true, true, true, true, true, false]);
    }

    #[test]
    fn it_is_refused_where_it_does_not_fit() {
        assert_eq!(plain(Some((41, 22))).unwrap().lines().count(), 21);
        assert_eq!(plain(Some((40, 22))).unwrap().lines().count(), 19);
        assert_eq!(plain(Some((37, 20))).unwrap().lines().count(), 19);
        for room in [(36, 50), (80, 19), (0, 0)] {
            assert!(plain(Some(room)).is_err(), "{room:?}");
        }
        assert!(draw(&"x".repeat(2954), Drawing { colours: false, room: None }).is_err());
    }

    #[test]
    fn the_text_is_not_moved_while_it_grows() {
        for colours in [true, false] {
            let text = draw(&"x".repeat(900), Drawing { colours, room: None }).unwrap();
            let span = modules(&text, colours)[0].len();
            assert!(text.len() <= span * (span / 2 + 1) * 3 + span * 12);
        }
    }
}
