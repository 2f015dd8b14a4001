//! Configuration: the user's `config.toml` and a project's `vault.toml`. Precedence: flag, variable, project, user, default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::context::parse_duration;
use super::hooks::Hook;
use crate::audit::Sync;
use crate::crypto::is_plugin_name;
use crate::vault::{Error, ErrorKind, Result, WitnessPolicy};

/// What either file may say. Keys that a later version brings are passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    vault: Option<PathBuf>,
    environment: Option<String>,
    key_file: Option<PathBuf>,
    identity: Option<PathBuf>,
    lock_timeout: Option<String>,
    keep_versions: Option<usize>,
    witness: Option<Witness>,
    agent: Option<AgentTable>,
    keychain: Option<bool>,
    #[serde(default)]
    plugins: Vec<String>,
    plugin_timeout: Option<String>,
    run: Option<RunTable>,
    config: Option<ConfigTable>,
    audit: Option<AuditTable>,
    #[serde(default)]
    hook: Vec<Hook>,
    serve: Option<toml::Table>,
    rotation: Option<RotationTable>,
    #[serde(default)]
    tiers: BTreeMap<String, Tier>,
}

/// The log of what is done with a vault.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AuditTable {
    /// Whether there is one; there is unless this says no.
    pub enabled: Option<bool>,
    /// Whether nothing is read that cannot be recorded.
    pub required: Option<bool>,
    /// `always`, or after which time a process that stays makes durable what it wrote.
    pub sync: Option<String>,
    /// How many days records are kept; 0: for ever.
    pub retention_days: Option<u64>,
    /// Where the logs are, if not beside the vaults.
    pub directory: Option<PathBuf>,
}

impl AuditTable {
    /// When what was written is made durable.
    pub fn sync(&self) -> Result<Sync> {
        Ok(match self.sync.as_deref() {
            Some("always") => Sync::Always,
            Some(text) => Sync::Every(Duration::from_millis(parse_duration(text)?)),
            None if self.required == Some(true) => Sync::Always,
            None => Sync::Every(Duration::from_millis(100)),
        })
    }
}

/// The `[serve]` table, as `serve` reads it.
#[derive(Debug, Clone)]
pub struct ServeTable {
    /// Where the file is: paths in it are from there.
    pub base: PathBuf,
    /// Its words.
    pub words: toml::Table,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RotationTable {
    grace: Option<String>,
}

/// What entries of a tier get unless they have a schedule of their own. It says nothing that could be run.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tier {
    /// How often they get another value.
    pub every: Option<String>,
    /// What generates it.
    pub generate: Option<String>,
    /// How long the old one counts afterwards.
    pub grace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct AgentTable {
    start: Option<AgentStart>,
    ttl: Option<String>,
    idle: Option<String>,
}

/// When an agent is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentStart {
    /// By `vault unlock`.
    #[default]
    Unlock,
    /// Also whenever a passphrase was typed.
    OnDemand,
}

/// What `vault run` gives programs of a project, as the `[run]` table of its `vault.toml` says.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct RunTable {
    /// Variables, with text, references or templates as values.
    pub variables: BTreeMap<String, String>,
    /// Only these entries.
    pub only: Vec<String>,
    /// Only entries of this category.
    pub category: Option<String>,
    /// What stands before the names of variables.
    pub prefix: Option<String>,
}

/// The layers of a project's configuration, as the `[config]` table of its `vault.toml` says.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct ConfigTable {
    /// Files, in their order.
    pub files: Vec<PathBuf>,
    /// What variables of the environment begin with that are laid over them.
    pub from_env: Option<String>,
    /// Whose files are laid over the others.
    pub profile: Option<String>,
    /// Places, with the entries whose values go there.
    pub map: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Witness {
    Warn,
    Strict,
    Off,
}

/// The configuration of this run, as far as files give it.
#[derive(Debug, Default)]
pub struct Config {
    /// The vault file, and the file that names it.
    pub vault: Option<PathBuf>,
    /// The environment that is used without `-e`.
    pub environment: Option<String>,
    /// A key file. Only the user's own configuration may name one: a project must not choose which of the user's files are read as keys.
    pub key_file: Option<PathBuf>,
    /// An age identity file; likewise.
    pub identity: Option<PathBuf>,
    /// How long a writer waits.
    pub lock_timeout: Option<String>,
    /// How many versions are kept.
    pub keep_versions: Option<usize>,
    /// What to do about an unexpected file; only the user's own.
    pub witness: Option<WitnessPolicy>,
    /// When an agent is started; likewise.
    pub agent_start: AgentStart,
    /// How long the agent holds a key; likewise.
    pub agent_ttl: Option<String>,
    /// How long the agent holds a key that nobody asks for; likewise.
    pub agent_idle: Option<String>,
    /// Whether the keychain of the system is asked for a key; only the user's own, for a project must not have it asked.
    pub keychain: bool,
    /// The plugins of age that may run, by the NAME of `age-plugin-NAME`; only the user's own, and none unless it says so.
    pub plugins: Vec<String>,
    /// How long a plugin may take for an answer; only the user's own.
    pub plugin_timeout: Option<String>,
    /// What `run` gives programs; only of a project.
    pub run: RunTable,
    /// The layers of its configuration; likewise.
    pub layers: ConfigTable,
    /// The log of what is done; only the user's own, for a project must not choose what is recorded.
    pub audit: AuditTable,
    /// What is run when something was done; only the user's own, for a project must not choose programs.
    pub hooks: Vec<Hook>,
    /// How the server behaves, as `serve` reads it; only the user's own, for a project must not choose who may connect.
    pub serve: Option<ServeTable>,
    /// How long the value before a rotation counts afterwards.
    pub grace: Option<String>,
    /// What entries of a tier get, by its name.
    pub tiers: BTreeMap<String, Tier>,
    /// Files that were passed over because they belong to somebody else.
    pub ignored: Vec<PathBuf>,
}

impl Config {
    /// Reads both files, where they are.
    pub fn load(directory: Option<&Path>, working: Option<&Path>, home: Option<&Path>) -> Result<Self> {
        let mut ignored = Vec::new();
        let user = match directory {
            Some(directory) => read(&directory.join("config.toml"), &mut ignored)?,
            None => None,
        };
        let project = match working {
            Some(working) => find_project(working, home, &mut ignored)?,
            None => None,
        };
        let mut config = Self { ignored, ..Self::default() };
        if let Some((path, file)) = user {
            let base = path.parent().unwrap_or(Path::new("/"));
            config.vault = file.vault.map(|vault| base.join(vault));
            config.environment = file.environment;
            config.key_file = file.key_file.map(|key| base.join(key));
            config.identity = file.identity.map(|identity| base.join(identity));
            config.lock_timeout = file.lock_timeout;
            config.keep_versions = file.keep_versions;
            let agent = file.agent.unwrap_or_default();
            config.agent_start = agent.start.unwrap_or_default();
            config.agent_ttl = agent.ttl;
            config.agent_idle = agent.idle;
            config.keychain = file.keychain.unwrap_or_default();
            config.witness = file.witness.map(|witness| match witness {
                Witness::Warn => WitnessPolicy::Warn,
                Witness::Strict => WitnessPolicy::Strict,
                Witness::Off => WitnessPolicy::Off,
            });
            if let Some(name) = file.plugins.iter().find(|name| !is_plugin_name(name)) {
                let message = format!("{}: '{}' is no name of a plugin", path.display(), name.escape_default());
                return Err(Error::new(ErrorKind::Usage, "bad_configuration", message)
                    .hint("for age-plugin-yubikey it is yubikey: a-z, 0-9, + - . _"));
            }
            config.plugins = file.plugins;
            config.plugin_timeout = file.plugin_timeout;
            super::hooks::check(&file.hook, &path)?;
            config.hooks = file.hook;
            config.serve = file.serve.map(|words| ServeTable { base: base.to_owned(), words });
            config.audit = file.audit.unwrap_or_default();
            config.audit.directory = config.audit.directory.map(|directory| base.join(directory));
            if config.audit.enabled == Some(false) && config.audit.required == Some(true) {
                let message = format!("{}: audit.required needs audit.enabled", path.display());
                return Err(Error::new(ErrorKind::Usage, "bad_configuration", message));
            }
            config.grace = file.rotation.and_then(|rotation| rotation.grace);
            config.tiers = file.tiers;
        }
        if let Some((path, file)) = project {
            let base = path.parent().unwrap_or(Path::new("/"));
            config.vault = file.vault.map(|vault| base.join(vault)).or(config.vault);
            config.environment = file.environment.or(config.environment);
            config.lock_timeout = file.lock_timeout.or(config.lock_timeout);
            config.keep_versions = file.keep_versions.or(config.keep_versions);
            config.run = file.run.unwrap_or_default();
            config.layers = file.config.unwrap_or_default();
            config.layers.files = config.layers.files.iter().map(|file| base.join(file)).collect();
            config.grace = file.rotation.and_then(|rotation| rotation.grace).or(config.grace);
            for (name, tier) in file.tiers {
                let old = config.tiers.remove(&name).unwrap_or_default();
                let (every, generate, grace) =
                    (tier.every.or(old.every), tier.generate.or(old.generate), tier.grace.or(old.grace));
                config.tiers.insert(name, Tier { every, generate, grace });
            }
        }
        Ok(config)
    }
}

/// The `vault.toml` of the project: the first one upward from the working directory, which ends at a git root or at home.
fn find_project(working: &Path, home: Option<&Path>, ignored: &mut Vec<PathBuf>) -> Result<Option<(PathBuf, File)>> {
    // The working directory is known by its real path, and so home must be.
    let home = home.and_then(|home| home.canonicalize().ok());
    for directory in working.ancestors() {
        if let Some(found) = read(&directory.join("vault.toml"), ignored)? {
            return Ok(Some(found));
        }
        if Some(directory) == home.as_deref() || directory.join(".git").exists() {
            break;
        }
    }
    Ok(None)
}

/// Reads a file of the user's, or of the administrator's: whoever may choose the vault of a project may have secrets written into their own.
/// `None` if nothing is there, or if it is somebody else's: then it is noted in `ignored`.
fn read(path: &Path, ignored: &mut Vec<PathBuf>) -> Result<Option<(PathBuf, File)>> {
    let text = match open(path).and_then(|mut file| read_own(&mut file)) {
        Ok(Some(text)) => text,
        Ok(None) => {
            ignored.push(path.to_owned());
            return Ok(None);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound || error.kind() == std::io::ErrorKind::NotADirectory => {
            return Ok(None);
        }
        Err(error) => return Err(Error::io(format!("read {}", path.display()), &error)),
    };
    match toml::from_str(&text) {
        Ok(file) => Ok(Some((path.to_owned(), file))),
        Err(error) => Err(Error::new(ErrorKind::Usage, "bad_configuration", format!("{}: {}", path.display(), error.message()))),
    }
}

fn open(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // O_NONBLOCK: a FIFO at the path must not hang the open; regular files ignore it.
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// The text of a regular file; `None` if it belongs neither to this user nor to root.
fn read_own(file: &mut std::fs::File) -> std::io::Result<Option<String>> {
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let own = [rustix::process::geteuid().as_raw(), 0].contains(&metadata.uid());
    let mut text = String::new();
    if own {
        file.read_to_string(&mut text)?;
    }
    Ok(own.then_some(text))
}
