//! From what is to be imported to rows: by format, with the keys that it needs.

use std::path::Path;

use clap::ValueEnum;
use zeroize::Zeroizing;

use super::super::context::Context;
use super::super::exchange::text_error;
use super::super::files::{read_all, read_file, standard_input, strip_line_end};
use super::ImportArgs;
use super::environment::{self, Selection};
use super::password_store::{self, Encrypted};
use crate::crypto::{AgeIdentity, CryptoError, decrypt_age_with_passphrase, without_armor};
use crate::interchange::{self, Format, Kind, Row, Source};
use crate::term::output;
use crate::vault::{Error, ErrorKind, Result};

/// What `import` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ImportFormat {
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
    Csv,
    /// Our encrypted backup
    Age,
    /// A directory of credential files for systemd
    Systemd,
    /// The directory of pass; gpg decrypts each file
    Pass,
    /// The directory of gopass; key: value lines become fields
    Gopass,
    /// A KeePass database
    Kdbx,
    /// The unencrypted JSON of Bitwarden
    Bitwarden,
    /// The CSV of 1Password
    #[value(name = "1password")]
    OnePassword,
    /// YAML or JSON that sops decrypted
    Sops,
    /// The store of kbs2, or what kbs2 dump -j prints
    Kbs2,
}

impl ImportFormat {
    fn text(self) -> Option<Format> {
        Some(match self {
            Self::Dotenv => Format::Dotenv,
            Self::Json => Format::Json,
            Self::Yaml => Format::Yaml,
            Self::Toml => Format::Toml,
            Self::Shell => Format::Shell,
            Self::Fish => Format::Fish,
            Self::Powershell => Format::PowerShell,
            Self::Docker => Format::Docker,
            Self::GithubEnv => Format::GithubEnv,
            Self::K8s => Format::K8s,
            Self::Csv => Format::Csv,
            _ => return None,
        })
    }

    fn foreign(self) -> Option<Source> {
        Some(match self {
            Self::Bitwarden => Source::Bitwarden,
            Self::OnePassword => Source::OnePassword,
            Self::Sops => Source::Sops,
            Self::Kbs2 => Source::Kbs2,
            _ => return None,
        })
    }
}

/// Whether the environment of this process is to be imported, and no file.
pub(super) fn is_environment(args: &ImportArgs) -> bool {
    args.file.as_os_str() == "env"
}

/// The rows.
pub(super) fn rows(context: &mut Context, args: &ImportArgs) -> Result<Vec<Row>> {
    if is_environment(args) {
        if args.format.is_some() {
            return Err(
                Error::usage("env stands for the environment, which has no format").hint("for a file of that name say ./env")
            );
        }
        let selection = Selection { prefix: &args.prefix, pattern: args.pattern.as_deref(), classic: args.classic };
        return environment::rows(&selection);
    }
    if args.classic || args.pattern.is_some() {
        return Err(Error::usage("--match and --classic select variables: they go with `vault import env`"));
    }
    let format = format_of(args)?;
    match format {
        ImportFormat::Pass | ImportFormat::Gopass => return store(context, args, format == ImportFormat::Gopass),
        ImportFormat::Systemd => return credentials(&args.file),
        ImportFormat::Kbs2 if args.file.is_dir() => return kbs2(context, args),
        _ => {}
    }
    let bytes = input(&args.file)?;
    if format == ImportFormat::Age {
        let bytes = decrypt(context, args, &bytes)?;
        return interchange::read(Format::Json, &bytes).map_err(|error| text_error(&error));
    }
    if format == ImportFormat::Kdbx {
        return kdbx(context, args, &bytes);
    }
    let read = match (format.text(), format.foreign()) {
        (Some(format), _) => interchange::read(format, &bytes),
        (_, Some(source)) => interchange::read_from(source, &bytes),
        _ => return Err(Error::usage("this format is read from a directory")),
    };
    read.map_err(|error| text_error(&error))
}

fn format_of(args: &ImportArgs) -> Result<ImportFormat> {
    if let Some(format) = args.format {
        return Ok(format);
    }
    let name = args.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let ends = |end: &str| name.to_ascii_lowercase().ends_with(end);
    if ends(".age") {
        return Ok(ImportFormat::Age);
    }
    if ends(".kdbx") {
        return Ok(ImportFormat::Kdbx);
    }
    let format = Format::from_file_name(name);
    let named = ImportFormat::value_variants().iter().find(|known| format.is_some() && known.text() == format);
    named.copied().ok_or_else(|| Error::usage("the format cannot be told from the name of the file").hint("say it with --format"))
}

fn input(file: &Path) -> Result<Zeroizing<Vec<u8>>> {
    if file.as_os_str() != "-" {
        return read_file(file);
    }
    if output::stdin_is_nothing() {
        return Err(Error::usage("there is nothing to import: standard input is closed, or /dev/null"));
    }
    read_all(&mut standard_input()?, 64 * 1024, "read standard input")
}

fn store(context: &mut Context, args: &ImportArgs, structured: bool) -> Result<Vec<Row>> {
    let identities = args.backup_identity.as_deref().map(|path| context.identities(path)).transpose()?;
    let each = |file: Encrypted| {
        let content = if file.path.extension().is_some_and(|extension| extension == "age") {
            let identities = identities.as_ref().ok_or_else(|| {
                Error::usage(format!("{} is an age file", file.path.display())).hint("say what opens it with --backup-identity")
            })?;
            decrypt_with(identities, &password_store::read(&file.path)?, &file.path)?
        } else {
            password_store::decrypt_gpg(context, &file.path)?
        };
        Ok(interchange::secret(file.name, &content, structured))
    };
    password_store::files(&args.file, &["gpg", "age"])?.into_iter().map(each).collect()
}

/// A directory of files, each a value.
fn credentials(directory: &Path) -> Result<Vec<Row>> {
    let each = |file: Encrypted| {
        let content = password_store::read(&file.path)?;
        Ok(Row::new(file.name, Kind::of(&content), content))
    };
    password_store::files(directory, &[""])?.into_iter().map(each).collect()
}

fn kbs2(context: &mut Context, args: &ImportArgs) -> Result<Vec<Row>> {
    let path = args.backup_identity.as_deref().ok_or_else(|| {
        Error::usage("the files of kbs2 are encrypted")
            .hint("say what opens them with --backup-identity; it is the keyfile of its config")
    })?;
    let identities = context.identities(path)?;
    let mut rows = Vec::new();
    for file in password_store::files(&args.file, &[""])? {
        let content = decrypt_with(&identities, &password_store::read(&file.path)?, &file.path)?;
        let read = interchange::read_from(Source::Kbs2, &content);
        rows.extend(read.map_err(|error| text_error(&error))?);
    }
    Ok(rows)
}

fn kdbx(context: &Context, args: &ImportArgs, bytes: &[u8]) -> Result<Vec<Row>> {
    let key_file = args.source_key_file.as_deref().map(read_file).transpose()?;
    let passphrase = match (&args.source_passphrase_file, &key_file) {
        (None, Some(_)) => None,
        _ => Some(passphrase(context, args, "the database")?),
    };
    interchange::read_kdbx(bytes, passphrase.as_ref().map(|text| text.as_str()), key_file.as_ref().map(|key| key.as_slice()))
        .map_err(|error| match error {
            interchange::KdbxError::WrongKey => {
                Error::new(ErrorKind::Locked, "wrong_key", "the database cannot be opened with this key, or is damaged")
            }
            interchange::KdbxError::TooExpensive => Error::new(
                ErrorKind::Usage,
                "bad_format",
                "opening the database would take more memory or time than this program gives to a file that it does not know yet",
            )
            .hint("lower the transform settings of its key in KeePass"),
            interchange::KdbxError::Malformed => Error::new(ErrorKind::Usage, "bad_format", "this is not a KeePass database"),
        })
}

/// The passphrase of what is imported: from its file, or a question.
fn passphrase(context: &Context, args: &ImportArgs, what: &str) -> Result<Zeroizing<String>> {
    if let Some(path) = &args.source_passphrase_file {
        let mut bytes = read_file(path)?;
        strip_line_end(&mut bytes);
        let text = String::from_utf8(std::mem::take(&mut *bytes)).map_err(|_| Error::usage("the passphrase is not text"))?;
        return Ok(Zeroizing::new(text));
    }
    let prompter = context.prompter().ok_or_else(|| {
        let text = format!("{what} needs a key, and there is no terminal to ask for its passphrase on");
        Error::new(ErrorKind::Locked, "no_key", text)
            .hint("use --source-passphrase-file FILE, or --backup-identity FILE for age files")
    })?;
    prompter.secret(&format!("Passphrase of {what}")).map_err(|error| Error::io("read the passphrase", &error))
}

fn decrypt_with(identities: &[AgeIdentity], file: &[u8], path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let mut failure = None;
    let file = without_armor(file).unwrap_or_default();
    for identity in identities {
        match identity.open(&file) {
            Ok(Some(content)) => return Ok(content),
            Ok(None) | Err(CryptoError::Authentication) => {}
            Err(error) => failure = failure.or(Some(Error::from(error))),
        }
    }
    let what = format!("{} cannot be opened with this key, or is damaged", path.display());
    Err(failure.unwrap_or_else(|| Error::new(ErrorKind::Locked, "wrong_key", what)))
}

fn decrypt(context: &mut Context, args: &ImportArgs, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    if let Some(path) = &args.backup_identity {
        return decrypt_with(&context.identities(path)?, bytes, Path::new("the backup"));
    }
    let passphrase = passphrase(context, args, "the backup")?;
    let wrong = |_| Error::new(ErrorKind::Locked, "wrong_key", "the backup cannot be opened with this key, or is damaged");
    decrypt_age_with_passphrase(&passphrase, bytes).map_err(wrong)
}
