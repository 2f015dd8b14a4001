//! Choosing one of many names: what is typed narrows them down.
//!
//! The list stands above the line that is typed in, with the best match next to it. So the cursor is where it belongs all the time, and whoever
//! ends the process finds a terminal that needs no repair but that of its modes.

use std::fs::File;
use std::io;

use dialoguer::console::{Key, Term, measure_text_width, truncate_str};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// So many names are shown at once.
const MOST: usize = 10;

/// The number of the name that a person chooses; `None` if none.
pub(super) fn choose(term: &Term, question: &str, names: &[String]) -> io::Result<Option<usize>> {
    let _quiet = Quiet::begin()?;
    let mut list = List { names, query: String::new(), ranked: (0..names.len()).collect(), selected: 0 };
    loop {
        let drawn = list.draw(term, question)?;
        let key = term.read_key_raw();
        term.clear_line()?;
        term.clear_last_lines(drawn)?;
        match key? {
            Key::Enter => match list.ranked.get(list.selected) {
                Some(index) => return Ok(Some(*index)),
                None => continue,
            },
            Key::Escape | Key::CtrlC => return Ok(None),
            Key::ArrowUp | Key::Tab | Key::Char('\u{10}') => list.selected = (list.selected + 1).min(list.last()),
            Key::ArrowDown | Key::BackTab | Key::Char('\u{e}') => list.selected = list.selected.saturating_sub(1),
            Key::Backspace => {
                list.search(|query| query.truncate(query.len() - query.chars().next_back().map_or(0, char::len_utf8)))
            }
            Key::Char('\u{15}') => list.search(String::clear),
            Key::Char(c) if !c.is_control() => list.search(|query| query.push(c)),
            _ => {}
        }
    }
}

struct List<'a> {
    names: &'a [String],
    query: String,
    /// The names that match, the best first.
    ranked: Vec<usize>,
    selected: usize,
}

impl List<'_> {
    fn last(&self) -> usize {
        self.ranked.len().saturating_sub(1)
    }

    fn search(&mut self, change: impl FnOnce(&mut String)) {
        change(&mut self.query);
        self.ranked = ranked(&self.query, self.names);
        self.selected = 0;
    }

    /// Draws list and line; returns how many lines stand above the one with the cursor.
    fn draw(&self, term: &Term, question: &str) -> io::Result<usize> {
        let (rows, columns) = term.size();
        // The last column stays free, or some terminals go on to the next line.
        let width = usize::from(columns).saturating_sub(1).max(1);
        let height = MOST.min(self.names.len()).min(usize::from(rows).saturating_sub(1));
        let first = (self.selected + 1).saturating_sub(height.max(1));
        let mut text = String::new();
        for place in (first..first + height).rev() {
            if let Some(name) = self.ranked.get(place).and_then(|index| self.names.get(*index)) {
                let mark = if place == self.selected { "> " } else { "  " };
                text.push_str(&truncate_str(&format!("{mark}{name}"), width, "…"));
            }
            text.push_str("\r\n");
        }
        let head = format!("{question} ({} of {}): ", self.ranked.len(), self.names.len());
        let head = truncate_str(&head, width, "");
        let room = width.saturating_sub(measure_text_width(&head));
        let mut tail = self.query.as_str();
        while measure_text_width(tail) > room {
            tail = tail.get(tail.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default();
        }
        text.push_str(&head);
        text.push_str(tail);
        term.write_str(&text)?;
        term.flush()?;
        Ok(height)
    }
}

/// The numbers of the names that have the letters of the query in their order, the best match first.
fn ranked(query: &str, names: &[String]) -> Vec<usize> {
    let query: Vec<char> = query.chars().flat_map(char::to_lowercase).collect();
    if query.is_empty() {
        return (0..names.len()).collect();
    }
    let ranks = names.iter().enumerate().filter_map(|(index, name)| rank(&query, name).map(|rank| (rank, index)));
    let mut ranks: Vec<_> = ranks.collect();
    ranks.sort_unstable();
    ranks.into_iter().map(|(_, index)| index).collect()
}

/// How far a name is from a query, least first: the letters between those that match; whether these begin the name (0), a word (1) or neither (2);
/// and the length.
fn rank(query: &[char], name: &str) -> Option<(usize, u8, usize)> {
    let letters: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
    let starts = (0..letters.len()).filter(|start| letters.get(*start) == query.first());
    let best = starts.map_while(|start| {
        let mut wanted = query.iter().peekable();
        let length = letters[start..].iter().position(|letter| {
            wanted.next_if_eq(&letter);
            wanted.peek().is_none()
        })?;
        let place = match start.checked_sub(1).and_then(|before| letters.get(before)) {
            None => 0,
            Some(before) => {
                if before.is_alphanumeric() {
                    2
                } else {
                    1
                }
            }
        };
        Some((length + 1 - query.len(), place))
    });
    best.min().map(|(between, place)| (between, place, letters.len()))
}

/// While this lives the terminal shows nothing of what is typed between two keys, and hands it over at once: a ^C as well, which is a key here and would
/// interrupt between two.
struct Quiet {
    terminal: File,
    modes: Termios,
}

impl Quiet {
    fn begin() -> io::Result<Self> {
        let terminal = File::open("/dev/tty")?;
        let modes = tcgetattr(&terminal)?;
        let mut quiet = modes.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(&terminal, OptionalActions::Now, &quiet)?;
        Ok(Self { terminal, modes })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.modes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(query: &str, names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        ranked(query, &names).into_iter().map(|index| names[index].clone()).collect()
    }

    #[test]
    fn the_closest_name_comes_first() {
        let names = ["web/github", "git_deploy", "mail", "digit", "svc/db-prod", "d_x_b_db"];
        assert_eq!(found("", &names), names);
        // At the beginning, at that of a word, within a word.
        assert_eq!(found("git", &names), ["git_deploy", "web/github", "digit"]);
        assert_eq!(found("GHUB", &names), ["web/github"]);
        // Without a letter between, wherever it stands.
        assert_eq!(found("db", &names), ["d_x_b_db", "svc/db-prod"]);
        assert_eq!(found("sdp", &names), ["svc/db-prod"]);
        assert_eq!(found("bd", &["db", "abxd"]), ["abxd"]);
        assert!(found("nothing", &names).is_empty());
        assert_eq!(found("ÄB", &["äb", "ab"]), ["äb"]);
        // A letter whose small form has two.
        assert_eq!(found("i", &["\u{130}x"]), ["\u{130}x"]);
    }
}
