//! The names of the formats.

use std::str::FromStr;

use super::error::Error;

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `NAME='value'` lines, as `.env` files have them.
    Dotenv,
    /// JSON.
    Json,
    /// YAML 1.2.
    Yaml,
    /// TOML 1.0.
    Toml,
    /// `export NAME='value'` lines for `eval` in a POSIX shell.
    Shell,
    /// `set -gx NAME 'value'` lines for `source` in fish.
    Fish,
    /// `$env:NAME = 'value'` lines for PowerShell.
    PowerShell,
    /// `NAME=value` lines for `docker run --env-file`.
    Docker,
    /// Lines for the file that `$GITHUB_ENV` names.
    GithubEnv,
    /// A Kubernetes Secret.
    K8s,
    /// Comma-separated values (RFC 4180).
    Csv,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 11] = [
        Format::Dotenv,
        Format::Json,
        Format::Yaml,
        Format::Toml,
        Format::Shell,
        Format::Fish,
        Format::PowerShell,
        Format::Docker,
        Format::GithubEnv,
        Format::K8s,
        Format::Csv,
    ];

    /// The word by which `--format` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Dotenv => "dotenv",
            Format::Json => "json",
            Format::Yaml => "yaml",
            Format::Toml => "toml",
            Format::Shell => "shell",
            Format::Fish => "fish",
            Format::PowerShell => "powershell",
            Format::Docker => "docker",
            Format::GithubEnv => "github-env",
            Format::K8s => "k8s",
            Format::Csv => "csv",
        }
    }

    /// The format of files with this extension (without its dot, in any case), if it has one.
    pub fn from_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "env" => Some(Format::Dotenv),
            "json" => Some(Format::Json),
            "yaml" | "yml" => Some(Format::Yaml),
            "toml" => Some(Format::Toml),
            "sh" => Some(Format::Shell),
            "fish" => Some(Format::Fish),
            "ps1" => Some(Format::PowerShell),
            "csv" => Some(Format::Csv),
            _ => None,
        }
    }

    /// The format of a file of this name (without its folders): by extension, and `.env` and
    /// `.env.local`, which have none that says so.
    pub fn from_file_name(name: &str) -> Option<Self> {
        let (stem, extension) = name.rsplit_once('.')?;
        Format::from_extension(extension).or_else(|| stem.starts_with(".env").then_some(Format::Dotenv))
    }

    /// Whether it holds variables (see [`super::variables()`]) rather than entries.
    pub fn has_variables(self) -> bool {
        !matches!(self, Format::Json | Format::Yaml | Format::Toml | Format::Csv)
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "env" => Ok(Format::Dotenv),
            "yml" => Ok(Format::Yaml),
            "sh" => Ok(Format::Shell),
            _ => {
                Format::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| Error::UnknownFormat(name.to_owned()))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_and_extensions() {
        for format in Format::ALL {
            assert_eq!(format.name().parse::<Format>().unwrap(), format);
        }
        assert!("ini".parse::<Format>().is_err());
        for (file, format) in [
            (".env", Some(Format::Dotenv)),
            (".env.production", Some(Format::Dotenv)),
            (".env.json", Some(Format::Json)),
            ("prod.env", Some(Format::Dotenv)),
            ("a.b.YML", Some(Format::Yaml)),
            ("x.csv", Some(Format::Csv)),
            ("x.fish", Some(Format::Fish)),
            ("x.ps1", Some(Format::PowerShell)),
            ("x.txt", None),
            ("toml", None),
        ] {
            assert_eq!(Format::from_file_name(file), format, "{file}");
        }
    }
}
