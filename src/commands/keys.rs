//! Which key a run unlocks with: the first that options, variables, the agent, configuration or the keychain give, in the documented order; last a question.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use clap::Args;
use zeroize::Zeroizing;

use super::config::AgentStart;
use super::context::{Context, path_variable, text_variable};
use super::files::{read_all, read_file};
use super::identities::is_encrypted;
use crate::agent::client;
use crate::crypto;
use crate::process;
use crate::secret::{Passphrase, RawKey};
use crate::term::output;
use crate::vault::{Credential, Error, ErrorKind, KeptSlot, Locked, OpenedSlot, Result};

impl Context {
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
            || client::is_there()
    }

    /// Opens a slot with the first key that there is, that of the agent included. What is to be handed to the agent comes with it.
    pub(super) fn open_or_take_slot(&mut self, locked: &Locked) -> Result<(OpenedSlot, Option<KeptSlot>)> {
        if !self.has_given_credential()?
            && let Some(slot) = self.held_slot(locked)
        {
            self.recording.through_agent();
            return Ok((slot, None));
        }
        self.open_slot(locked)
    }

    /// Opens a slot with the first key that there is, without the agent.
    pub(super) fn open_slot(&mut self, locked: &Locked) -> Result<(OpenedSlot, Option<KeptSlot>)> {
        self.has_given_credential()?;
        if let Some(credential) = &self.credential {
            return locked.open_slot(credential).map(|slot| (slot, None));
        }
        if let Some(credential) = self.configured_credential()? {
            return locked.open_slot(self.credential.insert(credential)).map(|slot| (slot, None));
        }
        if let Some(credential) = self.keychain_credential(locked)? {
            // Of this vault alone: another file of this run has one of its own.
            return locked.open_slot(&credential).map(|slot| (slot, None));
        }
        let credential = self.ask_passphrase(locked)?;
        let slot = locked.open_slot(self.credential.insert(credential))?;
        let kept = (self.config()?.agent_start == AgentStart::OnDemand).then(|| locked.keep(&slot)).transpose()?;
        Ok((slot, kept))
    }

    /// The key that options, variables or configuration name, or that is typed: neither what the agent holds nor what the keychain keeps.
    pub(super) fn take_own_credential(&mut self, locked: &Locked) -> Result<Credential> {
        self.has_given_credential()?;
        if let Some(credential) = self.credential.take() {
            return Ok(credential);
        }
        match self.configured_credential()? {
            Some(credential) => Ok(credential),
            None => self.ask_passphrase(locked),
        }
    }

    /// The key that there is, without the agent: given, configured, remembered or typed.
    pub(super) fn take_lasting_credential(&mut self, locked: &Locked) -> Result<Credential> {
        self.has_given_credential()?;
        if let Some(credential) = self.credential.take() {
            return Ok(credential);
        }
        if let Some(credential) = self.configured_credential()? {
            return Ok(credential);
        }
        match self.keychain_credential(locked)? {
            Some(credential) => Ok(credential),
            None => self.ask_passphrase(locked),
        }
    }

    /// Whether options or variables name a key. It is read here, once.
    pub(super) fn has_given_credential(&mut self) -> Result<bool> {
        if self.credential.is_none() {
            self.credential = self.given_credential()?;
            self.is_given = self.credential.is_some();
        }
        Ok(self.is_given)
    }

    /// The key that options or variables give: the first of them, in the documented order.
    fn given_credential(&mut self) -> Result<Option<Credential>> {
        let (identity, identity_variable) = (self.global.identity.clone(), path_variable("VAULT_IDENTITY"));
        // An encrypted identity needs a passphrase itself: the one that is given with it is no key of its own.
        if let Some(path) = identity.as_deref().filter(|path| is_encrypted(path)) {
            let passphrase = match self.given_passphrase_option()? {
                None => given_passphrase_variable()?,
                given => given,
            };
            return self.identities_by(path, passphrase.as_ref()).map(Credential::Identities).map(Some);
        }
        if let Some(passphrase) = self.given_passphrase_option()? {
            return Ok(Some(Credential::Passphrase(passphrase)));
        }
        if let Some(path) = identity {
            return self.identities(&path).map(Credential::Identities).map(Some);
        }
        if let Some(path) = self.global.key_file.clone() {
            return read_key_file(&path).map(Credential::RawKey).map(Some);
        }
        if let Some(passphrase) = given_passphrase_variable()? {
            return match identity_variable.filter(|path| is_encrypted(path)) {
                Some(path) => self.identities_by(&path, Some(&passphrase)).map(Credential::Identities).map(Some),
                None => Ok(Some(Credential::Passphrase(passphrase))),
            };
        }
        if let Some(path) = identity_variable {
            return self.identities(&path).map(Credential::Identities).map(Some);
        }
        if let Some(text) = std::env::var_os("VAULT_KEY").filter(|text| !text.is_empty()) {
            let bytes = Zeroizing::new(text.into_encoded_bytes());
            return parse_key(&bytes, "VAULT_KEY").map(Credential::RawKey).map(Some);
        }
        if let Some(path) = path_variable("VAULT_KEY_FILE") {
            return read_key_file(&path).map(Credential::RawKey).map(Some);
        }
        Ok(None)
    }

    /// The key that the user's configuration names.
    fn configured_credential(&mut self) -> Result<Option<Credential>> {
        let config = self.config()?;
        if let Some(path) = config.identity.clone() {
            return self.identities(&path).map(Credential::Identities).map(Some);
        }
        match config.key_file.clone() {
            Some(path) => read_key_file(&path).map(Credential::RawKey).map(Some),
            None => Ok(None),
        }
    }

    /// Every key that can be had without a question, each with its source: also those that another one goes before. Descriptors are left alone, they
    /// are read once.
    pub fn credentials_in_reach(&mut self) -> Result<Vec<(String, Result<Credential>)>> {
        let mut found = Vec::new();
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|text| !text.is_empty());
        if let Some(path) = &self.global.passphrase_file {
            found.push((format!("--passphrase-file {}", path.display()), passphrase_from_file(path).map(Credential::Passphrase)));
        }
        for (source, path, is_identity) in self.named_keys()? {
            let credential = match is_identity {
                true => self.identities(&path).map(Credential::Identities),
                false => read_key_file(&path).map(Credential::RawKey),
            };
            found.push((format!("{source} {}", path.display()), credential));
        }
        for name in ["VAULT_PASSPHRASE_FILE", "VAULT_PASSPHRASE_CMD", "VAULT_PASSPHRASE"] {
            if is_set(name) && !is_set("VAULT_PASSPHRASE_FD") {
                let given = given_passphrase_variable();
                let missing = || Error::new(ErrorKind::Locked, "no_key", "it gives none");
                found.push((name.to_owned(), given.and_then(|given| given.ok_or_else(missing)).map(Credential::Passphrase)));
                break;
            }
        }
        if let Some(text) = std::env::var_os("VAULT_KEY").filter(|text| !text.is_empty()) {
            let bytes = Zeroizing::new(text.into_encoded_bytes());
            found.push(("VAULT_KEY".to_owned(), parse_key(&bytes, "VAULT_KEY").map(Credential::RawKey)));
        }
        Ok(found)
    }

    /// The files that keys and passphrases are read from.
    pub fn key_files(&mut self) -> Result<Vec<PathBuf>> {
        let mut files: Vec<PathBuf> = self.named_keys()?.into_iter().map(|(_, path, _)| path).collect();
        files.extend(self.global.passphrase_file.clone());
        files.extend(path_variable("VAULT_PASSPHRASE_FILE"));
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// Files of keys and identities, with what names them, and whether it is an identity.
    fn named_keys(&mut self) -> Result<Vec<(&'static str, PathBuf, bool)>> {
        let (identity, key_file) = (self.global.identity.clone(), self.global.key_file.clone());
        let config = self.config()?;
        let named = [
            ("--identity", identity, true),
            ("--key-file", key_file, false),
            ("VAULT_IDENTITY", path_variable("VAULT_IDENTITY"), true),
            ("VAULT_KEY_FILE", path_variable("VAULT_KEY_FILE"), false),
            ("identity of the configuration:", config.identity.clone(), true),
            ("key file of the configuration:", config.key_file.clone(), false),
        ];
        Ok(named.into_iter().filter_map(|(source, path, is_identity)| Some((source, path?, is_identity))).collect())
    }

    /// Keeps from all that is started what gave, or could have given, the key: descriptors that this process was started with stay open in a program
    /// that takes its place.
    pub fn keep_key_from_children(&self) {
        let global = &self.global;
        let named = [
            global.passphrase_file.clone(),
            global.identity.clone(),
            global.key_file.clone(),
            path_variable("VAULT_PASSPHRASE_FILE"),
            path_variable("VAULT_IDENTITY"),
            path_variable("VAULT_KEY_FILE"),
        ];
        let of_path = |path: PathBuf| {
            let number = ["/dev/fd", "/proc/self/fd"].iter().find_map(|directory| path.strip_prefix(directory).ok());
            if path == Path::new("/dev/stdin") { Some(0) } else { number?.to_str()?.parse().ok() }
        };
        let variable = text_variable("VAULT_PASSPHRASE_FD").and_then(|text| text.parse().ok());
        let numbers = named.into_iter().flatten().filter_map(of_path).chain(global.passphrase_fd).chain(variable);
        numbers.for_each(process::keep_from_children);
    }

    pub(super) fn given_passphrase_option(&self) -> Result<Option<Passphrase>> {
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
                "this vault opens by key file or age identity: --key-file, --identity, VAULT_KEY, VAULT_KEY_FILE, VAULT_IDENTITY; or after `vault unlock`",
            ));
        }
        let prompter = self.prompter().ok_or_else(|| {
            missing().hint("there is no terminal to ask on: use --passphrase-fd, --passphrase-file or VAULT_PASSPHRASE_FILE; or `vault unlock` before")
        })?;
        let question = format!("Passphrase for {}", output::printable(&locked.path().display().to_string()));
        let text = prompter.secret(&question).map_err(|error| Error::io("read the passphrase", &error))?;
        Ok(Credential::Passphrase(Passphrase::new(Zeroizing::new(text.as_bytes().to_vec()))))
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
}

/// Where a new passphrase comes from, beside the one that unlocks.
#[derive(Args, Debug)]
pub struct NewPassphrase {
    /// Read the new passphrase from this open file descriptor
    #[arg(long, value_name = "FD", conflicts_with = "new_passphrase_file")]
    new_passphrase_fd: Option<i32>,
    /// Read the new passphrase from the first line of this file
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
}

impl NewPassphrase {
    /// Whether one of the options was given.
    pub fn is_given(&self) -> bool {
        self.new_passphrase_fd.is_some() || self.new_passphrase_file.is_some()
    }

    /// The new passphrase: as the options say; asked twice at a terminal; else the first line of standard input.
    pub fn read(&self, context: &Context) -> Result<Passphrase> {
        let passphrase = match (self.new_passphrase_fd, &self.new_passphrase_file) {
            (Some(fd), _) => passphrase_from_fd(fd)?,
            (None, Some(path)) => passphrase_from_file(path)?,
            (None, None) => {
                let value = context.value_from_input("New passphrase", true)?;
                first_line(Zeroizing::new(value.expose().to_vec()))?
            }
        };
        if passphrase.expose().is_empty() {
            return Err(Error::usage("the passphrase is empty"));
        }
        warn_weak(context, &passphrase);
        Ok(passphrase)
    }
}

/// Warns about a passphrase that could be guessed.
pub fn warn_weak(context: &Context, passphrase: &Passphrase) {
    let text = String::from_utf8_lossy(passphrase.expose());
    // Beyond a hundred characters the estimate takes long, and the passphrase is not the weak spot.
    let start: zeroize::Zeroizing<String> = zeroize::Zeroizing::new(text.chars().take(100).collect());
    if zxcvbn::zxcvbn(&start, &[]).score() < zxcvbn::Score::Three {
        context.note(
            "warning: this passphrase is weak; whoever gets the file can try it. `vault generate words:6` makes a strong one",
        );
    }
}

/// A key file that is missing is made: 32 random bytes, 0600.
pub fn read_or_make_key(context: &Context, path: &Path) -> Result<RawKey> {
    let key = crypto::random_key()?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            file.write_all(key.as_ref())
                .and_then(|()| file.sync_all())
                .map_err(|error| Error::io(format!("write {}", path.display()), &error))?;
            context.note(&format!("made the key file {}: keep a copy, nothing opens the vault without it", path.display()));
            Ok(RawKey::new(key))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => read_key_file(path),
        Err(error) => Err(Error::io(format!("create {}", path.display()), &error)),
    }
}

/// Reads a key file: 32 raw bytes, or their base64 with or without a line end.
pub fn read_key_file(path: &Path) -> Result<RawKey> {
    let bytes = read_file(path)
        .map_err(|error| Error::new(ErrorKind::Locked, "no_key", format!("the key file cannot be read: {error}")))?;
    parse_key(&bytes, &path.display().to_string())
}

pub(super) fn parse_key(bytes: &[u8], source: &str) -> Result<RawKey> {
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

pub(super) fn passphrase_from_fd(fd: i32) -> Result<Passphrase> {
    if fd < 0 {
        return Err(Error::usage("a file descriptor is not negative"));
    }
    let mut file = process::inherited(fd)
        .map_err(|error| Error::new(ErrorKind::Locked, "no_key", format!("file descriptor {fd} cannot be read: {error}")))?;
    let bytes = read_all(&mut file, 255, "read the passphrase")?;
    // What is piped may stand behind it on standard input.
    if fd != 0 {
        process::keep_from_children(fd);
    }
    first_line(bytes)
}

fn passphrase_from_file(path: &Path) -> Result<Passphrase> {
    let bytes = read_file(path)
        .map_err(|error| Error::new(ErrorKind::Locked, "no_key", format!("the passphrase file cannot be read: {error}")))?;
    first_line(bytes)
}

fn passphrase_from_command(command: &str) -> Result<Passphrase> {
    let failed = |what: String| Error::new(ErrorKind::Locked, "no_key", format!("VAULT_PASSPHRASE_CMD {what}"));
    let mut child = process::child("sh")
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
pub(super) fn first_line(bytes: Zeroizing<Vec<u8>>) -> Result<Passphrase> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(Passphrase::new(Zeroizing::new(line.to_vec())))
}
