//! Secrets in a text, by what stands before them: `DB_PASSWORD=…`, `--token …`, `X-Api-Key: …`, `Bearer …`, `https://…@host`.
//!
//! Where it is not certain how far a secret goes, more is masked rather than less.

use std::ops::Range;

use super::MASK;
use super::sensitive::by_words;

/// The text without them, if there are any.
pub(super) fn mask(text: &str) -> Option<String> {
    let mut found = settings(text);
    found.extend(options(text));
    found.extend(schemes(text));
    found.extend(users(text));
    found.retain(|range| !range.is_empty() && &text[range.clone()] != MASK);
    found.sort_unstable_by_key(|range| range.start);
    let mut masked = String::new();
    let mut shown = 0;
    for range in &found {
        if range.start >= shown {
            masked.push_str(&text[shown..range.start]);
            masked.push_str(MASK);
        }
        shown = shown.max(range.end);
    }
    masked.push_str(&text[shown..]);
    (!found.is_empty()).then_some(masked)
}

/// Whether an item of a list says that the next one is a secret: `--password`.
pub(super) fn announces(item: &str) -> bool {
    let name = item.trim_start_matches('-');
    name.len() < item.len() && !name.contains(|c: char| c == '=' || c == ':' || c.is_whitespace()) && by_words(name)
}

/// What is assigned to a secret name, with `=` or with `: `.
fn settings(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, sign) in text.match_indices(['=', ':']) {
        if found.last().is_some_and(|last| at < last.end) {
            continue;
        }
        // `:=`, `+=` and `?=` assign as well; a name in quotes may have them escaped.
        let before = text[..at].trim_end_matches([' ', '\t']).trim_end_matches([':', '+', '?']).trim_end_matches([' ', '\t']);
        let unquoted = before.strip_suffix(QUOTES).map(|before| before.trim_end_matches('\\'));
        let name_end = unquoted.unwrap_or(before);
        let start =
            name_end.rfind(|c: char| !is_name(c)).map_or(0, |at| at + name_end[at..].chars().next().map_or(1, char::len_utf8));
        let name = name_end[start..].trim_start_matches(['-', '.']);
        let behind = &text[at + 1..];
        // `host:80`, `user:x@h` and `scheme://` assign nothing, `==` compares.
        let assigns = match sign {
            ":" => unquoted.is_some() || behind.starts_with([' ', '\t']),
            _ => !behind.starts_with('='),
        };
        if !assigns || name.is_empty() || !by_words(name) {
            continue;
        }
        let behind = behind.strip_prefix('>').unwrap_or(behind);
        let value = behind.trim_start_matches([' ', '\t', '\\']);
        let from = text.len() - value.len();
        let opening = text[..start].chars().next_back().filter(|c| QUOTES.contains(c) && unquoted.is_none());
        found.push(extent(value, from, opening, begins_line(&text[..start])));
    }
    found
}

const QUOTES: [char; 3] = ['"', '\'', '`'];

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// Whether nothing but how a shell or a list begins an assignment stands before it in its line.
fn begins_line(before: &str) -> bool {
    const WORDS: &[&str] = &["export", "set", "setx", "env", "declare", "-x", "-e", "--env", "-", "*", "#", "//"];
    let line = before.rsplit('\n').next().unwrap_or_default();
    line.split_whitespace().all(|word| WORDS.contains(&word.to_ascii_lowercase().as_str()))
}

/// How far a value goes that begins at `from`. `opening` is the quote before its name, if that is not closed behind it.
fn extent(value: &str, from: usize, opening: Option<char>, whole_line: bool) -> Range<usize> {
    let line = &value[..value.find(['\n', '\r']).unwrap_or(value.len())];
    let to = |end: Option<usize>| from..from + end.unwrap_or(line.trim_end().len());
    if let Some(quote) = value.chars().next().filter(|c| QUOTES.contains(c)) {
        let closing = value[1..].match_indices(quote).find(|(at, _)| !value[1..1 + at].ends_with('\\')).map(|(at, _)| at);
        return from + 1..from + 1 + closing.unwrap_or(value.len() - 1);
    }
    if let Some(quote) = opening {
        return to(line.find(quote));
    }
    if whole_line {
        return to(None);
    }
    // A sign ends it only if another setting follows, or nothing: passwords have signs.
    let ends = |(at, c): (usize, char)| match c {
        ';' | '&' | ',' => {
            let next = line[at + 1..].trim_start();
            next.is_empty()
                || next
                    .split(['=', ':'])
                    .next()
                    .is_some_and(|name| name.len() < next.len() && name.chars().all(|c| is_name(c) || c == ' '))
        }
        c => c.is_whitespace() || QUOTES.contains(&c),
    };
    to(line.char_indices().find(|place| ends(*place)).map(|(at, _)| at))
}

/// What follows an option with a secret name: `--password hunter2`.
fn options(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut before = "";
    for word in text.split_whitespace() {
        // Both are parts of the text.
        let at = word.as_ptr() as usize - text.as_ptr() as usize;
        if announces(before.trim_start_matches(QUOTES)) && !word.starts_with('-') {
            found.push(extent(&text[at..], at, None, false));
        }
        before = word;
    }
    found
}

/// What follows `Bearer` and `Basic`, unless it is a word of a sentence.
fn schemes(text: &str) -> Vec<Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let mut found = Vec::new();
    for scheme in ["bearer ", "basic "] {
        for (at, _) in lower.match_indices(scheme) {
            let from = at + scheme.len();
            let token = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
            let end = text[from..].find(|c| !token(c)).map_or(text.len(), |length| from + length);
            let is_word = text[from..end].trim_end_matches('.').chars().skip(1).all(|c| c.is_ascii_lowercase() || c == '-');
            if !text[..at].ends_with(char::is_alphanumeric) && !is_word {
                found.push(from..end);
            }
        }
    }
    found
}

/// The user of a web address that has no password, or is too long and mixed for a name: there it is a token.
fn users(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, scheme) in text.match_indices("://") {
        let from = at + scheme.len();
        let authority = &text[from..];
        let authority =
            &authority[..authority.find(|c: char| "/?#\"'".contains(c) || c.is_whitespace()).unwrap_or(authority.len())];
        let Some((user, _)) = authority.rsplit_once('@') else { continue };
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        let web = ["http", "https"].iter().any(|scheme| text[..at].to_ascii_lowercase().ends_with(scheme));
        let is_token = name.len() >= 16 && name.contains(|c: char| c.is_ascii_digit());
        if web && (password.is_empty() || is_token) {
            found.push(from..from + name.len());
        }
    }
    found
}
