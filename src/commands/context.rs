//! What commands share: global options, where the vault is, how it is unlocked, how errors look.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use directories::ProjectDirs;
use zeroize::Zeroizing;

use super::config::Config;
use super::exit;
use super::files::{read_all, standard_input, strip_line_end};
use super::hooks::Happened;
use super::plugins::Attended;
use super::record::Recording;
use crate::crypto::Attached;
use crate::name::{Category, EntryId, Environment, Name, Tag};
use crate::process;
use crate::secret::SecretValue;
use crate::term::output;
use crate::term::prompt::Prompter;
use crate::vault::clock::duration;
use crate::vault::{Credential, Error, ErrorKind, Locked, OpenedSlot, Options, Result, Vault, WitnessPolicy};

/// Options that every command takes, before or behind its name.
#[derive(Args, Debug, Default, Clone)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The vault file [default: VAULT_FILE, then vault.toml upward, then the user's configuration, then default.vault]
    #[arg(long, global = true, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    pub vault: Option<PathBuf>,
    /// The entries are with this server, and not in a file: https://HOST, http://127.0.0.1:9000, unix:PATH (also VAULT_SERVER); the token comes from
    /// VAULT_SERVER_TOKEN_FILE or VAULT_SERVER_TOKEN
    #[arg(long, global = true, value_name = "URL", hide_short_help = true)]
    pub server: Option<String>,
    /// The environment of the entry
    #[arg(short = 'e', long = "env", global = true, value_name = "NAME")]
    pub env: Option<String>,
    /// Read the passphrase from this open file descriptor
    #[arg(long, global = true, value_name = "FD", hide_short_help = true)]
    pub passphrase_fd: Option<i32>,
    /// Read the passphrase from the first line of this file
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub passphrase_file: Option<PathBuf>,
    /// Unlock with this file of age identities (also encrypted), or private SSH key
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
    /// Believe the clock of this machine, though it is far from the time of the vault's newest commit
    #[arg(long, global = true, hide_short_help = true)]
    pub trust_clock: bool,
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
    pub(super) credential: Option<Credential>,
    /// Whether options or variables named it, so that it goes before what the agent holds.
    pub(super) is_given: bool,
    /// The keychain is not asked in this run.
    pub(super) without_keychain: bool,
    /// What keys are given from here, once it was needed.
    callbacks: Option<Attached>,
    /// What is recorded of this run.
    pub(super) recording: Recording,
    /// What hooks are to hear of.
    pub(super) happened: Happened,
    /// Whether it was said that the clock is not believed.
    pub(super) clock_doubted: Cell<bool>,
}

impl Context {
    /// A run with these options; configuration is read when it is needed.
    pub fn new(global: Global) -> Self {
        process::begin_wiping();
        Self {
            global,
            config: None,
            credential: None,
            is_given: false,
            without_keychain: false,
            callbacks: None,
            recording: Recording::default(),
            happened: Happened::default(),
            clock_doubted: Cell::new(false),
        }
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

    /// An error on standard error that is not the end of the run.
    pub fn say_error(&self, error: &Error) {
        report(error, self.global.errors);
    }

    pub(super) fn config(&mut self) -> Result<&Config> {
        if self.config.is_none() {
            let directories = directories();
            let working = std::env::current_dir().ok();
            let home = std::env::home_dir();
            let directory = directories.as_ref().map(ProjectDirs::config_dir);
            let config = Config::load(directory, working.as_deref(), home.as_deref())?;
            for path in &config.ignored {
                let path = path.display().to_string();
                self.note(&format!("warning: {} belongs to somebody else and was passed over", output::printable(&path)));
            }
            self.config = Some(config);
        }
        Ok(self.config.get_or_insert_default())
    }

    /// Where the vault file is: `--vault`, `VAULT_FILE`, the project's `vault.toml`, the user's configuration, `default.vault`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if the entries of this run are with a server.
    pub fn vault_path(&mut self) -> Result<PathBuf> {
        self.refuse_server()?;
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

    /// The configuration, if it was read already.
    pub(super) fn known_config(&self) -> Option<&Config> {
        self.config.as_ref()
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

    /// Opens and unlocks the vault with the first key that there is: options, variables, the agent, configuration, the keychain, and last a question.
    pub fn unlock(&mut self) -> Result<Vault> {
        let path = self.vault_path()?;
        self.unlock_at(&path)
    }

    /// Unlocks with this key from here on, unless there is one already.
    pub fn prefer(&mut self, credential: Credential) {
        self.credential.get_or_insert(credential);
        self.is_given = true;
    }

    /// Forgets the key: this run opens nothing more.
    pub fn forget_credential(&mut self) {
        self.credential = None;
    }

    /// Opens and unlocks the vault at `path`.
    pub fn unlock_at(&mut self, path: &Path) -> Result<Vault> {
        let options = self.options()?;
        self.unlock_with(path, options)
    }

    /// Opens a vault without comparing it with what this machine remembers: for comparing and copying.
    pub fn unlock_exempt(&mut self, path: &Path) -> Result<Vault> {
        let options = Options { witness: WitnessPolicy::Off, ..self.options()? };
        let vault = self.unlock_with(path, options)?;
        let own = self.vault_path().ok().and_then(|own| own.canonicalize().ok());
        self.recording.is_copy(&vault, own);
        Ok(vault)
    }

    /// Opens a vault and accepts what it is.
    pub fn unlock_and_trust(&mut self, path: &Path) -> Result<Vault> {
        let options = Options { trust: true, ..self.options()? };
        self.unlock_with(path, options)
    }

    fn unlock_with(&mut self, path: &Path, options: Options) -> Result<Vault> {
        let locked = Locked::open(path)?;
        let (id, resolved) = (locked.id_bytes(), locked.path().to_owned());
        let unlocked = self.open_or_take_slot(&locked).and_then(|(slot, kept)| Ok((locked.unlock_with(slot, options)?, kept)));
        let (vault, to_hand_over) = unlocked.inspect_err(|error| self.record_refused_unlock(id, &resolved, error))?;
        process::wipe_stack();
        self.note_warnings(&vault);
        // Only what was verified, and is what was expected.
        if let Some(slot) = to_hand_over {
            self.hand_over_on_demand(&resolved, slot);
        }
        Ok(vault)
    }

    /// Unlocks with a slot that was opened, and keeps nothing of it: to see that it does.
    pub(super) fn unlock_opened(&mut self, locked: Locked, slot: OpenedSlot) -> Result<Vault> {
        let options = self.options()?;
        let vault = locked.unlock_with(slot, options)?;
        self.note_warnings(&vault);
        Ok(vault)
    }

    fn note_warnings(&self, vault: &Vault) {
        for warning in vault.warnings() {
            self.note(&format!("warning: {}", output::printable(warning)));
        }
    }

    /// How long a writer waits for its turn.
    pub fn lock_timeout(&mut self) -> Result<Duration> {
        self.config()?;
        self.lock_patience()
    }

    /// [`Context::lock_timeout`], from the configuration as far as it was read.
    pub(super) fn lock_patience(&self) -> Result<Duration> {
        let configured = self.config.as_ref().and_then(|config| config.lock_timeout.clone());
        match self.global.lock_timeout.clone().or(configured) {
            Some(text) => Ok(Duration::from_millis(parse_duration(&text)?)),
            None => Ok(Options::default().lock_timeout),
        }
    }

    /// What plugins and encrypted keys need: a person, if there is one, and the programs that the user allows.
    pub fn callbacks(&mut self) -> Result<Attached> {
        if let Some(callbacks) = &self.callbacks {
            return Ok(callbacks.clone());
        }
        let config = self.config()?;
        let (allowed, timeout) = (config.plugins.clone(), config.plugin_timeout.clone());
        let timeout = timeout.map(|text| parse_duration(&text).map(Duration::from_millis)).transpose()?;
        let attended = Attended::new(self.global.clone(), allowed, timeout);
        Ok(self.callbacks.insert(Attached::new(Arc::new(attended))).clone())
    }

    /// Runs no plugin from here on: where a key press completes a name, nobody expects to be asked to touch a key.
    pub fn without_plugins(&mut self) {
        self.callbacks = Some(Attached::default());
    }

    pub(super) fn options(&mut self) -> Result<Options> {
        let lock_timeout = self.lock_timeout()?;
        let callbacks = self.callbacks()?;
        let tiers = self.tier_intervals()?;
        let config = self.config()?;
        let (keep, witness) = (config.keep_versions, config.witness);
        Ok(Options {
            witness_directory: state_directory(),
            witness: witness.unwrap_or_default(),
            accept_older: self.global.accept_older,
            trust: false,
            fingerprint: self.global.expect_vault.clone().or_else(|| text_variable("VAULT_FINGERPRINT")),
            lock_timeout,
            keep_versions: keep.unwrap_or(10),
            tiers,
            cached_pages: Options::default().cached_pages,
            trust_clock: self.global.trust_clock,
            callbacks,
        })
    }

    /// Whether colours are not wanted.
    pub fn without_colours(&self) -> bool {
        self.global.no_color || text_variable("NO_COLOR").is_some()
    }

    /// A terminal to ask on, if asking is allowed.
    pub fn prompter(&self) -> Option<Prompter> {
        if self.global.no_input {
            return None;
        }
        process::restore_terminal_when_ended();
        Prompter::open()
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
        let mut bytes = read_all(&mut standard_input()?, 4096, "read standard input")?;
        if !raw {
            strip_line_end(&mut bytes);
        }
        Ok(SecretValue::new(bytes))
    }
}

/// Says an error on standard error; its exit code.
pub fn report(error: &Error, format: ErrorFormat) -> u8 {
    let code = exit::of(error);
    match format {
        ErrorFormat::Text => {
            output::say(&format!("error: {}", output::printable(&error.to_string())));
            if let Some(hint) = error.hint_text() {
                output::say(&format!("hint: {}", output::printable(hint)));
            }
        }
        ErrorFormat::Json => {
            let object = serde_json::json!({
                "version": 1,
                "error": { "code": error.code(), "message": error.to_string(), "hint": error.hint_text(), "exit_code": code },
            });
            output::say(&object.to_string());
        }
    }
    code
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

/// Where what can be made anew is kept.
pub(super) fn cache_directory() -> Option<PathBuf> {
    directories().map(|directories| directories.cache_dir().to_owned())
}

/// Where this machine remembers how far the logs of vaults reached.
pub(super) fn audit_state_directory() -> Option<PathBuf> {
    state_directory().map(|directory| directory.with_file_name("audit"))
}

pub(super) fn text_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

pub(super) fn path_variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from)
}

/// A secret in a variable, or in the file that the variable with `_FILE` behind its name names, as the bytes are.
pub(super) fn secret_bytes(name: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
    if let Some(text) = std::env::var_os(name).filter(|text| !text.is_empty()) {
        return Ok(Some(Zeroizing::new(text.into_encoded_bytes())));
    }
    path_variable(&format!("{name}_FILE")).map(|path| super::files::read_file(&path)).transpose()
}

/// The same without the end of its line, if it is one line.
pub(super) fn secret_variable(name: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let mut bytes = secret_bytes(name)?;
    if let Some(bytes) = &mut bytes {
        super::files::strip_line_end(bytes);
    }
    Ok(bytes)
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
    let hint = "durations are written like 90s, 15m, 12h, 30d, 2w";
    duration(text).ok_or_else(|| Error::usage(format!("'{text}' is not a duration")).hint(hint))
}

/// A time as RFC 3339 in UTC, to the second.
pub fn format_time(milliseconds: u64) -> String {
    let seconds = i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "beyond all calendars".to_owned(), |time| time.to_string())
}
