//! What commands share: global options, where the vault is, how it is unlocked, how errors look.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use clap::{Args, ValueEnum};
use directories::ProjectDirs;
use zeroize::Zeroizing;

use super::config::Config;
use crate::crypto::AgeIdentity;
use crate::name::{Category, EntryId, Environment, Name, Tag};
use crate::process;
use crate::secret::{Passphrase, RawKey, SecretValue};
use crate::term::output;
use crate::term::prompt::Prompter;
use crate::vault::{Credential, Entry, Error, ErrorKind, Locked, Options, Result, Vault, WitnessPolicy};

/// Options that every command takes, before or behind its name.
#[derive(Args, Debug, Default, Clone)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The vault file [default: VAULT_FILE, then vault.toml upward, then the user's configuration, then default.vault]
    #[arg(long, global = true, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    pub vault: Option<PathBuf>,
    /// The environment of the entry
    #[arg(short = 'e', long = "env", global = true, value_name = "NAME")]
    pub env: Option<String>,
    /// Read the passphrase from this open file descriptor
    #[arg(long, global = true, value_name = "FD", hide_short_help = true)]
    pub passphrase_fd: Option<i32>,
    /// Read the passphrase from the first line of this file
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub passphrase_file: Option<PathBuf>,
    /// Unlock with the age identities in this file
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub identity: Option<PathBuf>,
    /// Unlock with the raw 32-byte key in this file
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub key_file: Option<PathBuf>,
    /// How long a write waits for another one, such as 30s
    #[arg(long, global = true, value_name = "DURATION", hide_short_help = true)]
    pub lock_timeout: Option<String>,
    /// Refuse a vault whose signing key has another fingerprint (also VAULT_FINGERPRINT)
    #[arg(long, global = true, value_name = "FINGERPRINT", hide_short_help = true)]
    pub expect_vault: Option<String>,
    /// Accept a copy that is older than one that this machine has seen
    #[arg(long, global = true, hide_short_help = true)]
    pub accept_older: bool,
    /// Never ask anything
    #[arg(long, global = true)]
    pub no_input: bool,
    /// No notes, only errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// More notes
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// How errors are printed
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t)]
    pub errors: ErrorFormat,
    /// No colours (also NO_COLOR)
    #[arg(long, global = true)]
    pub no_color: bool,
}

/// How errors are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ErrorFormat {
    /// One line, and a hint.
    #[default]
    Text,
    /// An object with a stable code.
    Json,
}

/// How information is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// For people and line-wise tools.
    #[default]
    Text,
    /// One versioned object.
    Json,
}

/// One run of the program.
pub struct Context {
    /// The global options.
    pub global: Global,
    config: Option<Config>,
    /// The key of this run: a descriptor can be read once, and a person is asked once, also where several files are opened.
    credential: Option<Credential>,
}

impl Context {
    /// A run with these options; configuration is read when it is needed.
    pub fn new(global: Global) -> Self {
        Self { global, config: None, credential: None }
    }

    /// The time, in milliseconds since 1970.
    pub fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }

    /// A note on standard error, unless `--quiet`. Where errors are JSON it is an object on a line of its own as well.
    pub fn note(&self, text: &str) {
        match self.global.errors {
            _ if self.global.quiet => {}
            ErrorFormat::Text => output::say(text),
            ErrorFormat::Json => output::say(&serde_json::json!({ "version": 1, "note": text }).to_string()),
        }
    }

    fn config(&mut self) -> Result<&Config> {
        if self.config.is_none() {
            let directories = directories();
            let working = std::env::current_dir().ok();
            let home = std::env::home_dir();
            let directory = directories.as_ref().map(ProjectDirs::config_dir);
            self.config = Some(Config::load(directory, working.as_deref(), home.as_deref())?);
        }
        Ok(self.config.get_or_insert_default())
    }

    /// Where the vault file is: `--vault`, `VAULT_FILE`, the project's `vault.toml`, the user's configuration, `default.vault`.
    pub fn vault_path(&mut self) -> Result<PathBuf> {
        if let Some(path) = self.global.vault.clone().or_else(|| path_variable("VAULT_FILE")) {
            return Ok(path);
        }
        if let Some(path) = self.config()?.vault.clone() {
            return Ok(path);
        }
        match directories() {
            Some(directories) => Ok(directories.data_dir().join("default.vault")),
            None => Err(Error::new(ErrorKind::NoVault, "no_vault", "there is no home directory, so no default vault")
                .hint("say where the vault is with --vault or VAULT_FILE")),
        }
    }

    /// The environment of this run, if any.
    pub fn environment(&mut self) -> Result<Option<Environment>> {
        let text = match self.global.env.clone() {
            Some(text) => Some(text),
            None => self.config()?.environment.clone(),
        };
        match text.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => Environment::parse(text).map(Some).map_err(|error| Error::name("environment", error)),
        }
    }

    /// The entry of this name in the run's environment.
    pub fn entry_id(&mut self, name: &str) -> Result<EntryId> {
        Ok(EntryId { environment: self.environment()?, name: parse_name(name)? })
    }

    /// Opens and unlocks the vault with the first key that is given: options, variables, configuration, and last a question.
    pub fn unlock(&mut self) -> Result<Vault> {
        let path = self.vault_path()?;
        self.unlock_at(&path)
    }

    /// Opens and unlocks the vault at `path`.
    pub fn unlock_at(&mut self, path: &Path) -> Result<Vault> {
        let options = self.options()?;
        self.unlock_with(path, options)
    }

    /// Opens a vault without comparing it with what this machine remembers: for comparing and copying.
    pub fn unlock_exempt(&mut self, path: &Path) -> Result<Vault> {
        let options = Options { witness: WitnessPolicy::Off, ..self.options()? };
        self.unlock_with(path, options)
    }

    /// Opens a vault and accepts what it is.
    pub fn unlock_and_trust(&mut self, path: &Path) -> Result<Vault> {
        let options = Options { trust: true, ..self.options()? };
        self.unlock_with(path, options)
    }

    fn unlock_with(&mut self, path: &Path, options: Options) -> Result<Vault> {
        let locked = Locked::open(path)?;
        let credential = match self.credential.take() {
            Some(credential) => credential,
            None => match self.given_credential()? {
                Some(credential) => credential,
                None => self.ask_passphrase(&locked)?,
            },
        };
        let vault = locked.unlock(self.credential.insert(credential), options)?;
        for warning in vault.warnings() {
            self.note(&format!("warning: {}", output::printable(warning)));
        }
        Ok(vault)
    }

    /// Whether the key that would be used opens without a question, a command, a descriptor that is read up, and a key derivation. Only names are
    /// looked at.
    pub fn has_cheap_credential(&mut self) -> bool {
        let (global, is_set) = (&self.global, |name: &str| std::env::var_os(name).is_some_and(|text| !text.is_empty()));
        if global.passphrase_fd.is_some() || global.passphrase_file.is_some() {
            return false;
        }
        if global.identity.is_some() || global.key_file.is_some() {
            return true;
        }
        if PASSPHRASE_VARIABLES.iter().any(|name| is_set(name)) {
            return false;
        }
        ["VAULT_IDENTITY", "VAULT_KEY", "VAULT_KEY_FILE"].iter().any(|name| is_set(name))
            || self.config().is_ok_and(|config| config.identity.is_some() || config.key_file.is_some())
    }

    fn options(&mut self) -> Result<Options> {
        let config = self.config()?;
        let (timeout, keep, witness) = (config.lock_timeout.clone(), config.keep_versions, config.witness);
        let lock_timeout = match self.global.lock_timeout.clone().or(timeout) {
            Some(text) => Duration::from_millis(parse_duration(&text)?),
            None => Options::default().lock_timeout,
        };
        Ok(Options {
            witness_directory: state_directory(),
            witness: witness.unwrap_or_default(),
            accept_older: self.global.accept_older,
            trust: false,
            fingerprint: self.global.expect_vault.clone().or_else(|| text_variable("VAULT_FINGERPRINT")),
            lock_timeout,
            keep_versions: keep.unwrap_or(10),
        })
    }

    /// The key that options, variables or configuration give: the first of them, in the documented order.
    fn given_credential(&mut self) -> Result<Option<Credential>> {
        if let Some(passphrase) = self.given_passphrase_option()? {
            return Ok(Some(Credential::Passphrase(passphrase)));
        }
        if let Some(path) = self.global.identity.clone() {
            return identities(&path).map(Some);
        }
        if let Some(path) = self.global.key_file.clone() {
            return read_key_file(&path).map(Credential::RawKey).map(Some);
        }
        if let Some(passphrase) = given_passphrase_variable()? {
            return Ok(Some(Credential::Passphrase(passphrase)));
        }
        if let Some(path) = path_variable("VAULT_IDENTITY") {
            return identities(&path).map(Some);
        }
        if let Some(text) = std::env::var_os("VAULT_KEY").filter(|text| !text.is_empty()) {
            let bytes = Zeroizing::new(text.into_encoded_bytes());
            return parse_key(&bytes, "VAULT_KEY").map(Credential::RawKey).map(Some);
        }
        if let Some(path) = path_variable("VAULT_KEY_FILE") {
            return read_key_file(&path).map(Credential::RawKey).map(Some);
        }
        let config = self.config()?;
        if let Some(path) = config.identity.clone() {
            return identities(&path).map(Some);
        }
        match config.key_file.clone() {
            Some(path) => read_key_file(&path).map(Credential::RawKey).map(Some),
            None => Ok(None),
        }
    }

    fn given_passphrase_option(&self) -> Result<Option<Passphrase>> {
        if let Some(fd) = self.global.passphrase_fd {
            return passphrase_from_fd(fd).map(Some);
        }
        match &self.global.passphrase_file {
            Some(path) => passphrase_from_file(path).map(Some),
            None => Ok(None),
        }
    }

    fn ask_passphrase(&self, locked: &Locked) -> Result<Credential> {
        let missing = || Error::new(ErrorKind::Locked, "no_key", format!("no key is given for {}", locked.path().display()));
        if !locked.has_passphrase_slot() {
            return Err(missing().hint(
                "this vault opens by key file or age identity: --key-file, --identity, VAULT_KEY, VAULT_KEY_FILE, VAULT_IDENTITY",
            ));
        }
        let prompter = self.prompter().ok_or_else(|| {
            missing().hint("there is no terminal to ask on: use --passphrase-fd, --passphrase-file or VAULT_PASSPHRASE_FILE")
        })?;
        let question = format!("Passphrase for {}", output::printable(&locked.path().display().to_string()));
        let text = prompter.secret(&question).map_err(|error| Error::io("read the passphrase", &error))?;
        Ok(Credential::Passphrase(Passphrase::new(Zeroizing::new(text.as_bytes().to_vec()))))
    }

    /// A terminal to ask on, if asking is allowed.
    pub fn prompter(&self) -> Option<Prompter> {
        if self.global.no_input {
            return None;
        }
        process::restore_terminal_when_ended();
        Prompter::open()
    }

    /// The passphrase of a new slot: from any passphrase source, else asked twice.
    pub fn new_passphrase(&self) -> Result<Passphrase> {
        if let Some(passphrase) = self.given_passphrase_option()? {
            return Ok(passphrase);
        }
        if let Some(passphrase) = given_passphrase_variable()? {
            return Ok(passphrase);
        }
        let prompter = self.prompter().ok_or_else(|| {
            Error::new(ErrorKind::Locked, "no_key", "no passphrase is given, and there is no terminal to ask on")
                .hint("use --passphrase-fd, --passphrase-file, VAULT_PASSPHRASE_FILE, or --key-file, or --recipient")
        })?;
        let text = prompter.new_secret("New passphrase").map_err(|error| Error::io("read the passphrase", &error))?;
        Ok(Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())))
    }

    /// A value that is typed or piped: at a terminal asked twice without echo, else standard input.
    /// A single line loses its line end unless `raw`.
    pub fn value_from_input(&self, question: &str, raw: bool) -> Result<SecretValue> {
        if output::stdin_is_terminal() {
            let prompter = self.prompter().ok_or_else(|| {
                Error::usage("there is no value: nothing is piped, and nothing may be asked")
                    .hint("pipe it, or use --from-file or --generate")
            })?;
            let text = prompter.new_secret(question).map_err(|error| Error::io("read the value", &error))?;
            return Ok(SecretValue::from(text.as_str()));
        }
        if output::stdin_is_nothing() {
            return Err(Error::usage("there is no value: standard input is closed, or /dev/null")
                .hint("pipe it, or generate it; an empty value is piped too: printf '' | vault …"));
        }
        let mut bytes = read_all(&mut std::io::stdin().lock(), 4096, "read standard input")?;
        if !raw {
            strip_line_end(&mut bytes);
        }
        Ok(SecretValue::new(bytes))
    }

    /// Refuses an expired entry, unless that is allowed.
    pub fn check_expiry(&self, entry: &Entry) -> Result<()> {
        if entry.is_expired(self.now()) {
            return Err(Error::new(ErrorKind::Expired, "expired", format!("'{}' has expired", entry.id()))
                .hint("set a new value, or read it all the same with --allow-expired"));
        }
        Ok(())
    }
}

fn directories() -> Option<ProjectDirs> {
    ProjectDirs::from("", "", "vault")
}

/// Where this machine remembers which vaults it has seen.
pub fn state_directory() -> Option<PathBuf> {
    let directories = directories()?;
    let directory = directories.state_dir().unwrap_or_else(|| directories.data_local_dir());
    Some(directory.join("witness"))
}

fn text_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn path_variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from)
}

/// Refuses a value on the command line. It is not repeated: the message may go to a log.
pub fn refuse_value(value: &[std::ffi::OsString]) -> Result<()> {
    if value.is_empty() {
        return Ok(());
    }
    Err(Error::usage("a value is never taken from the command line; nothing was stored")
        .hint("pipe it, or leave it out to be asked; this one may now be in your shell's history"))
}

/// Parses an entry's name.
pub fn parse_name(text: &str) -> Result<Name> {
    Name::parse(text).map_err(|error| Error::name("name", error))
}

/// Parses a category.
pub fn parse_category(text: &str) -> Result<Category> {
    Category::parse(text).map_err(|error| Error::name("category", error))
}

/// Parses a tag.
pub fn parse_tag(text: &str) -> Result<Tag> {
    Tag::parse(text).map_err(|error| Error::name("tag", error))
}

/// A duration such as `90s`, `12h` or `30d`, in milliseconds. Days have 24 hours, weeks 7 days.
pub fn parse_duration(text: &str) -> Result<u64> {
    let bad = || Error::usage(format!("'{text}' is not a duration")).hint("durations are written like 90s, 15m, 12h, 30d, 2w");
    let span: jiff::Span = text.parse().map_err(|_| bad())?;
    if span.get_months() != 0 || span.get_years() != 0 {
        return Err(bad());
    }
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| bad())?;
    u64::try_from(duration.as_millis()).map_err(|_| bad())
}

/// A time as RFC 3339 in UTC, to the second.
pub fn format_time(milliseconds: u64) -> String {
    let seconds = i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "beyond all calendars".to_owned(), |time| time.to_string())
}

/// Everything that a reader gives. `expected` bytes are made room for at once; if more come, growing leaves no copy behind.
pub fn read_all(reader: &mut dyn std::io::Read, expected: usize, doing: &str) -> Result<Zeroizing<Vec<u8>>> {
    // One byte more than expected, so that the end is seen without growing.
    let mut all = Zeroizing::new(vec![0; expected + 1]);
    let mut length = 0;
    loop {
        if length == all.len() {
            // Growing a `Vec` in place would leave the old copy behind unwiped.
            let mut larger = Zeroizing::new(vec![0; (all.len() * 2).max(4096)]);
            larger[..length].copy_from_slice(&all);
            all = larger;
        }
        match reader.read(&mut all[length..]) {
            Ok(0) => {
                all.truncate(length);
                return Ok(all);
            }
            Ok(count) => length += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io(doing, &error)),
        }
    }
}

/// Reads a file whole.
pub fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let doing = format!("read {}", path.display());
    let mut file = File::open(path).map_err(|error| Error::io(doing.clone(), &error))?;
    let expected = file.metadata().map_or(0, |metadata| metadata.len());
    read_all(&mut file, usize::try_from(expected).unwrap_or(0).min(1 << 30), &doing)
}

/// Strips one line end if there is no other line.
pub fn strip_line_end(bytes: &mut Vec<u8>) {
    let single = bytes.iter().filter(|byte| **byte == b'\n').count() == 1 && bytes.ends_with(b"\n");
    if single {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
}

/// Reads a key file: 32 raw bytes, or their base64 with or without a line end.
pub fn read_key_file(path: &Path) -> Result<RawKey> {
    let bytes = read_file(path)
        .map_err(|error| Error::new(ErrorKind::Locked, "no_key", format!("the key file cannot be read: {error}")))?;
    parse_key(&bytes, &path.display().to_string())
}

fn parse_key(bytes: &[u8], source: &str) -> Result<RawKey> {
    let bad = || {
        Error::new(ErrorKind::Locked, "bad_key", format!("{source} does not hold a key"))
            .hint("a key is 32 raw bytes, or their base64")
    };
    if let Ok(raw) = <[u8; 32]>::try_from(bytes) {
        return Ok(RawKey::new(Zeroizing::new(raw)));
    }
    let text = bytes.trim_ascii();
    let engine = &base64::engine::general_purpose::STANDARD;
    let decoded = Zeroizing::new(engine.decode(text).map_err(|_| bad())?);
    let raw = <[u8; 32]>::try_from(decoded.as_slice()).map_err(|_| bad())?;
    Ok(RawKey::new(Zeroizing::new(raw)))
}

fn identities(path: &Path) -> Result<Credential> {
    let bytes = read_file(path)
        .map_err(|error| Error::new(ErrorKind::Locked, "no_key", format!("the identity file cannot be read: {error}")))?;
    let bad = || {
        Error::new(ErrorKind::Locked, "bad_key", format!("{} holds no age identity", path.display()))
            .hint("an identity file has lines of the form AGE-SECRET-KEY-1…")
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| bad())?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let identities = lines.map(|line| AgeIdentity::parse(line).map_err(|_| bad())).collect::<Result<Vec<_>>>()?;
    if identities.is_empty() { Err(bad()) } else { Ok(Credential::Identities(identities)) }
}

/// The variables that give a passphrase, in their order.
const PASSPHRASE_VARIABLES: [&str; 4] =
    ["VAULT_PASSPHRASE_FD", "VAULT_PASSPHRASE_FILE", "VAULT_PASSPHRASE_CMD", "VAULT_PASSPHRASE"];

/// The passphrase that a variable gives.
fn given_passphrase_variable() -> Result<Option<Passphrase>> {
    if let Some(text) = text_variable("VAULT_PASSPHRASE_FD") {
        let fd = text.parse().map_err(|_| Error::usage("VAULT_PASSPHRASE_FD is not the number of a file descriptor"))?;
        return passphrase_from_fd(fd).map(Some);
    }
    if let Some(path) = path_variable("VAULT_PASSPHRASE_FILE") {
        return passphrase_from_file(&path).map(Some);
    }
    if let Some(command) = text_variable("VAULT_PASSPHRASE_CMD") {
        return passphrase_from_command(&command).map(Some);
    }
    Ok(std::env::var_os("VAULT_PASSPHRASE")
        .filter(|text| !text.is_empty())
        .map(|text| Passphrase::new(Zeroizing::new(text.into_encoded_bytes()))))
}

fn passphrase_from_fd(fd: i32) -> Result<Passphrase> {
    if fd < 0 {
        return Err(Error::usage("a file descriptor is not negative"));
    }
    let mut file = process::inherited(fd)
        .map_err(|error| Error::new(ErrorKind::Locked, "no_key", format!("file descriptor {fd} cannot be read: {error}")))?;
    first_line(read_all(&mut file, 255, "read the passphrase")?)
}

fn passphrase_from_file(path: &Path) -> Result<Passphrase> {
    let bytes = read_file(path)
        .map_err(|error| Error::new(ErrorKind::Locked, "no_key", format!("the passphrase file cannot be read: {error}")))?;
    first_line(bytes)
}

fn passphrase_from_command(command: &str) -> Result<Passphrase> {
    let failed = |what: String| Error::new(ErrorKind::Locked, "no_key", format!("VAULT_PASSPHRASE_CMD {what}"));
    let mut child = std::process::Command::new("sh")
        .arg("-c")
        .arg(command)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    let bytes = match &mut child.stdout {
        Some(stdout) => read_all(stdout, 255, "read the passphrase")?,
        None => return Err(failed("has no output".to_owned())),
    };
    let status = child.wait().map_err(|error| failed(format!("failed: {error}")))?;
    if !status.success() {
        return Err(failed(format!("failed: {status}")));
    }
    first_line(bytes)
}

/// A passphrase is the first line of what its source gives, without the line end.
fn first_line(bytes: Zeroizing<Vec<u8>>) -> Result<Passphrase> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(Passphrase::new(Zeroizing::new(line.to_vec())))
}

/// Writes a file of secrets: 0600 from the start, beside its place, fsynced, and renamed over it.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    write_verified(path, bytes, |_| Ok(()))
}

/// [`write_private`], where `verify` looks at the file before it takes its place; if that fails, what was there stays.
pub fn write_verified<T>(path: &Path, bytes: &[u8], verify: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // A rename would put a file in the place of a device or a pipe.
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Error::new(ErrorKind::Io, "io", format!("write {}: not a regular file", path.display()))
            .hint("leave the option out, and redirect the output there"));
    }
    let fail = |error: std::io::Error| Error::io(format!("write {}", path.display()), &error);
    let random: [u8; 8] = crate::crypto::random()?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().ok_or_else(|| Error::usage(format!("{} is not a file name", path.display())))?);
    name.push(format!(".{:016x}", u64::from_le_bytes(random)));
    let temporary = path.with_file_name(name);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(fail)?;
    let result: Result<T> = (|| {
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fail)?;
        let verified = verify(&temporary)?;
        std::fs::rename(&temporary, path).map_err(fail)?;
        Ok(verified)
    })();
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    let verified = result?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(fail)?;
    Ok(verified)
}

/// Makes the directory that a file goes into, 0700, if it is not there.
pub fn make_parent(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|error| Error::io(format!("create {}", parent.display()), &error)),
        None => Ok(()),
    }
}
