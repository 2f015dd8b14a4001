//! Masks for the log of a CI job: what `--ci` of commands that hand out values does.

use clap::ValueEnum;
use zeroize::Zeroizing;

use super::context::{Context, text_variable};
use crate::interchange;
use crate::secret::Growing;
use crate::term::output;

/// Whose log values are to be masked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ci {
    /// GitHub Actions, and what understands its workflow commands
    Github,
    /// GitLab CI, which cannot be told at run time what to mask
    Gitlab,
    /// Whichever of them this runs in, or none
    Auto,
}

/// A shorter piece would blot out half of the log, and hide nothing that could not be guessed.
const SHORTEST: usize = 4;

/// Has values masked in the log before anything else is said. The masks go to standard error: the runner reads both streams, and standard output
/// may be on its way into a variable or a file.
pub fn mask<'a>(context: &Context, ci: Option<Ci>, values: impl IntoIterator<Item = &'a [u8]>) {
    let here = |name| text_variable(name).is_some_and(|value| value == "true");
    let runner = match ci {
        Some(Ci::Auto) if here("GITHUB_ACTIONS") => Some(Ci::Github),
        Some(Ci::Auto) if here("GITLAB_CI") => Some(Ci::Gitlab),
        Some(Ci::Auto) | None => None,
        Some(ci) => Some(ci),
    };
    match runner {
        Some(Ci::Github) => {}
        Some(_) => {
            // A line that asks for a mask would be a line of the log with the value in it.
            context.note(
                "note: GitLab masks only variables that were set before the job; what is printed here is not masked in its log",
            );
            return;
        }
        None => return,
    }
    let mut short = 0;
    for value in values {
        let Ok(text) = std::str::from_utf8(value) else { continue };
        let leaves = interchange::leaves(text);
        for line in text.lines().chain(leaves.iter().flat_map(|leaf| leaf.lines())) {
            let line = line.trim();
            if ["", "true", "false", "null", "{", "}", "[", "]"].contains(&line) {
                continue;
            }
            if line.chars().count() < SHORTEST {
                short += 1;
                continue;
            }
            output::say(&command(line));
            // As JSON spells it, where that is something else.
            let mut spelled = Growing::default();
            serde_json::to_writer(&mut spelled, line).expect("text can be written into memory");
            let spelled = std::str::from_utf8(spelled.expose()).unwrap_or_default();
            let spelled = spelled.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(line);
            if spelled != line {
                output::say(&command(spelled));
            }
        }
    }
    if short > 0 {
        context.note(&format!("note: {short} lines and fields of fewer than {SHORTEST} characters are not masked"));
    }
}

/// The workflow command that masks a text.
fn command(text: &str) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(16 + 3 * text.len()));
    line.push_str("::add-mask::");
    for character in text.chars() {
        match character {
            '%' => line.push_str("%25"),
            '\r' => line.push_str("%0D"),
            '\n' => line.push_str("%0A"),
            other => line.push(other),
        }
    }
    line
}
