//! `vault export`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use zeroize::Zeroizing;

use super::ci::{self, Ci};
use super::context::{Context, parse_category};
use super::exchange::{collect, entries, row, text_error};
use super::exit;
use super::files::{make_parent, write_private};
use crate::audit::{Action, Event};
use crate::crypto::{encrypt_age, encrypt_age_with_passphrase};
use crate::interchange::{self, Format, Row, Settings};
use crate::term::output;
use crate::vault::{Entry, Error, Filter, Result, Scope};

/// Print entries with their values in another format
///
/// dotenv, shell, fish, powershell, docker, github-env, k8s and systemd name variables after the entries: upper case, everything
/// outside A-Z, 0-9 and _ as _, one variable for each leaf of a JSON object. shell, fish, powershell and github-env leave out what
/// would decide which programs or code run: PATH, LD_*, EDITOR and their kind. k8s is the manifest of a Secret. systemd makes a
/// directory of credential files, --out, and prints the LoadCredential= lines that load them: a unit file is open to everybody.
/// age is an encrypted backup that stock age opens: JSON inside, to --recipient or a passphrase.
/// With -e, entries without an environment are there too, unless the environment has one of the same name; json, yaml,
/// toml, csv and age without -e hold the entries of all environments.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The format
    #[arg(long, value_enum)]
    format: ExportFormat,
    /// Only this category
    #[arg(long, value_name = "CATEGORY")]
    category: Option<String>,
    /// Put this before the name of each variable
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// Write to this file, 0600, instead; systemd: to files in this directory
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Encrypt the backup to this recipient: age1…, or a public SSH key as a text
    #[arg(long, value_name = "RECIPIENT")]
    recipient: Option<String>,
    /// k8s: the name of the Secret
    #[arg(long, value_name = "NAME", default_value = "vault")]
    name: String,
    /// k8s: the namespace of the Secret
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Also entries that have expired
    #[arg(long)]
    allow_expired: bool,
    /// Have the values masked in the log of a CI job first: each of their lines, and each field of a JSON value
    #[arg(long, value_name = "RUNNER", value_enum)]
    ci: Option<Ci>,
}

/// What `export` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    Dotenv,
    Json,
    Yaml,
    Toml,
    Shell,
    Fish,
    Powershell,
    Docker,
    GithubEnv,
    K8s,
    Systemd,
    Csv,
    Age,
}

impl ExportFormat {
    /// The text format, if it is one; an age backup holds JSON.
    fn text(self) -> Option<Format> {
        Some(match self {
            Self::Dotenv => Format::Dotenv,
            Self::Json | Self::Age => Format::Json,
            Self::Yaml => Format::Yaml,
            Self::Toml => Format::Toml,
            Self::Shell => Format::Shell,
            Self::Fish => Format::Fish,
            Self::Powershell => Format::PowerShell,
            Self::Docker => Format::Docker,
            Self::GithubEnv => Format::GithubEnv,
            Self::K8s => Format::K8s,
            Self::Csv => Format::Csv,
            Self::Systemd => return None,
        })
    }

    fn has_variables(self) -> bool {
        self.text().is_none_or(Format::has_variables)
    }

    /// Whether it is made to be run: variables of the shell, or of the job, that reads it. To the other formats a name is data.
    fn is_evaluated(self) -> bool {
        matches!(self, Self::Shell | Self::Fish | Self::Powershell | Self::GithubEnv)
    }
}

pub fn run(context: &mut Context, args: ExportArgs) -> Result<u8> {
    if args.recipient.is_some() && args.format != ExportFormat::Age {
        return Err(Error::usage("--recipient encrypts, so it goes with --format age"));
    }
    if args.namespace.is_some() && args.format != ExportFormat::K8s {
        return Err(Error::usage("--namespace is for --format k8s"));
    }
    if args.format == ExportFormat::Systemd && args.out.is_none() {
        return Err(Error::usage("credentials are files of a directory: say which with --out"));
    }
    let environment = context.environment()?;
    let category = args.category.as_deref().map(parse_category).transpose()?;
    let source = context.source()?;
    context.about(source.vault(), Action::Export, None)?;
    let whole = environment.is_none() && !args.format.has_variables();
    let entries = if whole {
        collect(&source, &Filter { scope: Scope::All, category })?
    } else {
        entries(&source, environment.as_ref(), category.as_ref())?
    };
    let now = context.time_for_reading(source.vault())?;
    let mut rows = Vec::with_capacity(entries.len());
    let (mut handed, mut expired) = (Vec::with_capacity(entries.len()), 0);
    for held in &entries {
        let entry = &held.entry;
        // A backup holds everything; what is handed to a program is checked as `get` checks it.
        if entry.is_expired(now) && !args.allow_expired && args.format.has_variables() {
            expired += 1;
            continue;
        }
        rows.push(row(&source, held)?);
        handed.push(entry);
    }
    if args.format.is_evaluated() {
        leave_out_steering(context, &mut rows, &mut handed, &args.prefix);
    }
    if expired > 0 {
        context.note(&format!("note: {expired} expired entries were left out (--allow-expired includes them)"));
    }
    let events: Vec<Event> = handed.into_iter().map(|entry| Event::new(Action::Export).entry(entry)).collect();
    context.record(source.vault(), &events)?;
    ci::mask(context, args.ci, rows.iter().map(|row| row.value.as_slice()));
    let delimiter = format!("vault_{}", crate::format::header::hex(&crate::crypto::random::<16>()?));
    let settings =
        Settings { prefix: &args.prefix, delimiter: &delimiter, name: &args.name, namespace: args.namespace.as_deref() };
    let bytes = match (args.format.text(), &args.out) {
        (Some(format), _) => interchange::write_with(format, &rows, &settings).map_err(|error| text_error(&error))?,
        (None, out) => return credentials(&rows, &args.prefix, out.as_deref().unwrap_or(Path::new("."))),
    };
    let bytes = if args.format == ExportFormat::Age { Zeroizing::new(encrypt(context, &args, &bytes)?) } else { bytes };
    match &args.out {
        Some(path) => write_private(path, &bytes)?,
        None => {
            if args.format == ExportFormat::Age && output::stdout_is_terminal() {
                return Err(
                    Error::usage("the backup is binary, and standard output is a terminal").hint("use --out FILE, or pipe it")
                );
            }
            output::unbuffered()?.write_all(&bytes).map_err(|error| Error::io("write to standard output", &error))?;
        }
    }
    Ok(exit::OK)
}

/// Leaves out, and says so, what would decide which programs or code run where the export is evaluated.
fn leave_out_steering(context: &Context, rows: &mut Vec<Row>, handed: &mut Vec<&Entry>, prefix: &str) {
    let mut left_out = Vec::new();
    let stays = |row: &Row| {
        // An error comes again when all names are there.
        let names = interchange::variables(std::slice::from_ref(row), prefix).unwrap_or_default();
        !names.iter().any(|(name, _)| interchange::is_steering(name))
    };
    let staying: Vec<bool> = rows.iter().map(stays).collect();
    let mut each = staying.iter();
    rows.retain(|row| {
        let stays = each.next() == Some(&true);
        if !stays {
            left_out.push(output::printable(&row.name));
        }
        stays
    });
    // What did not leave is not recorded as if it had.
    let mut each = staying.iter();
    handed.retain(|_| each.next() == Some(&true));
    if !left_out.is_empty() {
        let names = left_out.join(", ");
        context.note(&format!(
            "note: left out, because their variables decide which programs or code run: {names} (--prefix gives other names)"
        ));
    }
}

/// Writes each variable into a file of its own for systemd's `LoadCredential=`, and says the lines that do. Not `SetCredential=` lines with the
/// values: every user of the machine may read a unit.
fn credentials(rows: &[Row], prefix: &str, directory: &Path) -> Result<u8> {
    const LONGEST: usize = 255;
    let files = interchange::data(rows, prefix).map_err(|error| text_error(&error))?;
    if let Some((name, _)) = files.iter().find(|(name, _)| name.len() > LONGEST) {
        return Err(Error::usage(format!("the credential {name} has a name of more than {LONGEST} characters")));
    }
    make_parent(&directory.join("file"))?;
    for (name, bytes) in &files {
        write_private(&directory.join(name), bytes)?;
    }
    let place = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let place = place.display().to_string().replace('%', "%%");
    let lines: String =
        files.iter().map(|(name, _)| format!("LoadCredential={name}:{}/{name}\n", output::printable(&place))).collect();
    output::print(&lines)?;
    Ok(exit::OK)
}

fn encrypt(context: &mut Context, args: &ExportArgs, text: &[u8]) -> Result<Vec<u8>> {
    if let Some(recipient) = &args.recipient {
        let recipient = context.recipient(recipient)?;
        return Ok(encrypt_age(&recipient, text)?);
    }
    let prompter = context.prompter().ok_or_else(|| {
        Error::usage("the backup needs a recipient, or a terminal to ask for a passphrase on").hint("use --recipient age1…")
    })?;
    let passphrase = prompter.new_secret("Passphrase of the backup").map_err(|error| Error::io("read the passphrase", &error))?;
    if passphrase.is_empty() {
        return Err(Error::usage("the passphrase is empty"));
    }
    Ok(encrypt_age_with_passphrase(&passphrase, text)?)
}
