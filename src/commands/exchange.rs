//! What export and import share: the formats by their names, and the errors of their text.

use clap::ValueEnum;

use crate::interchange::{self, Format};
use crate::vault::{Error, ErrorKind};

/// What `export` writes and `import` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExchangeFormat {
    Dotenv,
    Json,
    Yaml,
    Toml,
    Shell,
    Csv,
    Age,
}

impl ExchangeFormat {
    /// The text format; an age backup holds JSON.
    pub fn text(self) -> Format {
        match self {
            Self::Dotenv => Format::Dotenv,
            Self::Json | Self::Age => Format::Json,
            Self::Yaml => Format::Yaml,
            Self::Toml => Format::Toml,
            Self::Shell => Format::Shell,
            Self::Csv => Format::Csv,
        }
    }
}

/// An error of the text formats; they never quote a value.
pub fn text_error(error: &interchange::Error) -> Error {
    let (kind, code) = match error {
        interchange::Error::Collision { .. } => (ErrorKind::Conflict, "variable_collision"),
        _ => (ErrorKind::Usage, "bad_format"),
    };
    Error::new(kind, code, error.to_string())
}
