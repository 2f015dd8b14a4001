//! The clipboard, through the programs that a desktop has: wl-copy, xclip, xsel, pbcopy.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::process;
use crate::secret::SecretValue;
use crate::vault::{Error, ErrorKind, Result};

/// A pair of programs that write and read the clipboard, and the variable that says that they can.
struct Tool {
    variable: Option<&'static str>,
    copy: &'static [&'static str],
    paste: &'static [&'static str],
}

const TOOLS: &[Tool] = &[
    Tool { variable: Some("WAYLAND_DISPLAY"), copy: &["wl-copy", "--sensitive"], paste: &["wl-paste", "--no-newline"] },
    Tool { variable: Some("WAYLAND_DISPLAY"), copy: &["wl-copy"], paste: &["wl-paste", "--no-newline"] },
    Tool {
        variable: Some("DISPLAY"),
        copy: &["xclip", "-selection", "clipboard", "-in"],
        paste: &["xclip", "-selection", "clipboard", "-out"],
    },
    Tool { variable: Some("DISPLAY"), copy: &["xsel", "--clipboard", "--input"], paste: &["xsel", "--clipboard", "--output"] },
    Tool { variable: None, copy: &["pbcopy"], paste: &["pbpaste"] },
];

/// Waits, reads the clipboard, and empties it if it still holds the value whose text came on standard input.
/// The programs are arguments: $1 seconds, $2 paste, $3 copy. The value is in a variable of this shell and in no argument.
const CLEAR: &str = r#"value=$(cat; printf x); sleep "$1"; now=$($2; printf x); [ "$now" = "$value" ] && printf '' | $3"#;

/// Whether some program could write the clipboard: to be asked before what cannot be taken back.
///
/// # Errors
/// As [`copy`].
pub fn refuse_absent() -> Result<()> {
    let is_there = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
    };
    if usable().any(|tool| is_there(tool.copy[0])) { Ok(()) } else { Err(absent()) }
}

fn usable() -> impl Iterator<Item = &'static Tool> {
    TOOLS.iter().filter(|tool| tool.variable.is_none_or(|variable| std::env::var_os(variable).is_some()))
}

fn absent() -> Error {
    Error::new(ErrorKind::Io, "no_clipboard", "there is no clipboard that could be written")
        .hint("wl-copy, xclip, xsel or pbcopy must be there, and a desktop; or print the value")
}

/// Copies a value, and clears it after `seconds` unless something else is there by then.
pub fn copy(value: &SecretValue, seconds: u64) -> Result<()> {
    for tool in usable() {
        if feed(command(tool.copy), value).is_ok_and(|mut child| child.wait().is_ok_and(|status| status.success())) {
            let mut clear = process::child("sh");
            clear
                .args(["-c", CLEAR, "vault-clipboard"])
                .arg(seconds.to_string())
                .arg(tool.paste.join(" "))
                .arg(tool.copy.join(" "));
            // A process group of its own: it outlives this command and what is typed at the terminal.
            std::os::unix::process::CommandExt::process_group(&mut clear, 0);
            feed(clear, value).map_err(|error| Error::io("start what clears the clipboard", &error))?;
            return Ok(());
        }
    }
    Err(absent())
}

/// What is said once a value is there.
pub fn note(seconds: u64) -> String {
    format!("copied; the clipboard is cleared in {seconds} seconds unless something else is there by then")
}

fn command(words: &[&str]) -> Command {
    let mut command = process::child(words[0]);
    command.args(&words[1..]);
    command
}

fn feed(mut command: Command, value: &SecretValue) -> std::io::Result<std::process::Child> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(value.expose())?;
    }
    Ok(child)
}
