//! Questions to a person: on `/dev/tty`, with their text on standard error. A piped standard input is data, never an answer.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _};

use dialoguer::console::Term;
use zeroize::Zeroizing;

use super::picker;

/// The terminal that questions are asked on.
pub struct Prompter {
    term: Term,
}

impl Prompter {
    /// The controlling terminal; `None` where there is none, and a question would block a script.
    pub fn open() -> Option<Self> {
        let tty: File = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        // Without the text on standard error being seen, the text goes to the terminal.
        let term = if io::stderr().is_terminal() {
            Term::read_write_pair(tty, io::stderr())
        } else {
            let write = tty.try_clone().ok()?;
            Term::read_write_pair(tty, write)
        };
        Some(Self { term })
    }

    /// A secret, hidden while it is typed.
    pub fn secret(&self, question: &str) -> io::Result<Zeroizing<String>> {
        self.ask(dialoguer::Password::new().with_prompt(question).allow_empty_password(true))
    }

    /// A secret that is typed twice.
    pub fn new_secret(&self, question: &str) -> io::Result<Zeroizing<String>> {
        let repeat = format!("{question} (again)");
        self.ask(
            dialoguer::Password::new()
                .with_prompt(question)
                .allow_empty_password(true)
                .with_confirmation(repeat, "they differ; once more"),
        )
    }

    /// A line that is seen while it is typed.
    pub fn line(&self, question: &str) -> io::Result<String> {
        let input = dialoguer::Input::new().with_prompt(question).allow_empty(true);
        input.interact_text_on(&self.term).map_err(|dialoguer::Error::IO(error)| error)
    }

    /// Yes or no; a bare return is no answer.
    pub fn confirm(&self, question: &str) -> io::Result<bool> {
        dialoguer::Confirm::new().with_prompt(question).interact_on(&self.term).map_err(|dialoguer::Error::IO(error)| error)
    }

    /// One of these names, by its number; `None` if the person leaves it.
    pub fn choose(&self, question: &str, names: &[String]) -> io::Result<Option<usize>> {
        picker::choose(&self.term, question, names)
    }

    fn ask(&self, password: dialoguer::Password<'_>) -> io::Result<Zeroizing<String>> {
        match password.interact_on(&self.term) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(dialoguer::Error::IO(error)) => Err(error),
        }
    }
}
