//! Keys that a plugin holds: `age-plugin-NAME` encrypts to `age1NAME1…` and decrypts for `AGE-PLUGIN-NAME-1…`.

use std::cell::RefCell;
use std::collections::HashSet;

use age::secrecy::ExposeSecret as _;
use age::{DecryptError, EncryptError};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use zeroize::Zeroizing;

use super::super::CryptoError;
use super::callbacks::{Attached, PluginError};
use super::connection::{Connection, is_sound};
use super::recipient::{bech32_prefix, is_plugin_name};

/// How many stanzas a plugin may make for one recipient.
const MAX_STANZAS: usize = 16;

/// A recipient that only a plugin can encrypt to.
#[derive(Clone)]
pub(super) struct PluginRecipient {
    name: String,
    pub(super) text: String,
    pub(super) callbacks: Attached,
}

impl PluginRecipient {
    /// `name` is what stands between `age1` and the last `1`.
    pub(super) fn new(name: &str, text: &str) -> Result<Self, CryptoError> {
        if !is_plugin_name(name) || text.contains(|c: char| c.is_ascii_uppercase()) {
            return Err(CryptoError::AgeKey);
        }
        Ok(Self { name: name.to_owned(), text: text.to_owned(), callbacks: Attached::default() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn wrap(&self, file_key: &FileKey) -> Result<Vec<Stanza>, PluginError> {
        let mut plugin = Connection::open(&self.name, "recipient-v1", &self.callbacks)?;
        plugin.send("add-recipient", &[&self.text], b"")?;
        // What a plugin says about which recipients go together matters to files with several; ours have one.
        plugin.send("extension-labels", &[], b"")?;
        plugin.send("wrap-file-key", &[], file_key.expose_secret())?;
        plugin.send("done", &[], b"")?;
        let mut stanzas = Vec::new();
        while let Some(answer) = plugin.receive()? {
            match answer.0.tag.as_str() {
                "recipient-stanza" if answer.0.args.first().is_some_and(|file| file == "0") && stanzas.len() < MAX_STANZAS => {
                    // A stanza of a passphrase may stand in no file beside others, and none in a slot.
                    match answer.into_stanza().filter(|stanza| stanza.tag != "scrypt") {
                        Some(stanza) => stanzas.push(stanza),
                        None => return Err(plugin.failed("gave something that is no recipient stanza")),
                    }
                    plugin.accept(b"")?;
                }
                "labels" => plugin.accept(b"")?,
                _ => return Err(plugin.failed("gave what it was not asked for")),
            }
        }
        match (plugin.reported(), stanzas.is_empty()) {
            (Some(error), _) => Err(error),
            (None, true) => Err(plugin.failed("encrypted nothing")),
            (None, false) => Ok(stanzas),
        }
    }
}

/// A plugin's recipient for the time of one file, with the reason if it could not be encrypted to.
pub(super) struct Wrapping<'a> {
    recipient: &'a PluginRecipient,
    pub(super) failure: RefCell<Option<PluginError>>,
}

impl<'a> Wrapping<'a> {
    pub(super) fn new(recipient: &'a PluginRecipient) -> Self {
        Self { recipient, failure: RefCell::new(None) }
    }
}

impl age::Recipient for Wrapping<'_> {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        match self.recipient.wrap(file_key) {
            Ok(stanzas) => Ok((stanzas, HashSet::new())),
            Err(error) => {
                self.failure.replace(Some(error));
                Err(EncryptError::Io(std::io::ErrorKind::Other.into()))
            }
        }
    }
}

/// Which of several age files was opened, by its place, and its payload.
pub type OpenedFile = (usize, Zeroizing<Vec<u8>>);

/// An identity of a plugin, `AGE-PLUGIN-NAME-1…`: it says which key of the hardware, say, is meant, and is often no secret by itself.
pub struct PluginIdentity {
    name: String,
    text: Zeroizing<String>,
    callbacks: Attached,
}

impl PluginIdentity {
    /// Reads `AGE-PLUGIN-NAME-1…`.
    pub(super) fn parse(text: &str) -> Result<Self, CryptoError> {
        let prefix = bech32_prefix(text)?;
        let name = prefix.strip_prefix("AGE-PLUGIN-").and_then(|rest| rest.strip_suffix('-')).ok_or(CryptoError::AgeKey)?;
        let name = name.to_ascii_lowercase();
        if !is_plugin_name(&name) || text.contains(|c: char| c.is_ascii_lowercase()) {
            return Err(CryptoError::AgeKey);
        }
        Ok(Self { name, text: Zeroizing::new(text.to_owned()), callbacks: Attached::default() })
    }

    pub(super) fn attach(&mut self, callbacks: Attached) {
        self.callbacks = callbacks;
    }

    /// The name of the plugin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first of these age files that the plugin opens. The plugin runs once for all of them, and not at all if
    /// there are none.
    pub fn open_one_of(&self, files: &[&[u8]]) -> Result<Option<OpenedFile>, CryptoError> {
        let all = files.iter().map(|file| stanzas_of(file)).collect::<Result<Vec<_>, _>>()?;
        let Some((at, file_key)) = self.unwrap(&all)? else { return Ok(None) };
        let wrong = || PluginError::Failed(self.name.clone(), "gave a key that is not that of the file".to_owned());
        let payload = super::read(files[at], &Unwrapped(file_key)).map_err(|_| wrong())?;
        Ok(Some((at, payload)))
    }

    fn unwrap(&self, files: &[Vec<Stanza>]) -> Result<Option<(usize, FileKey)>, PluginError> {
        if files.is_empty() {
            return Ok(None);
        }
        let mut plugin = Connection::open(&self.name, "identity-v1", &self.callbacks)?;
        plugin.send("add-identity", &[&self.text], b"")?;
        for (at, stanzas) in files.iter().enumerate() {
            let at = at.to_string();
            for stanza in stanzas.iter().filter(|stanza| is_sound(stanza)) {
                let arguments: Vec<&str> =
                    [at.as_str(), stanza.tag.as_str()].into_iter().chain(stanza.args.iter().map(String::as_str)).collect();
                plugin.send("recipient-stanza", &arguments, &stanza.body)?;
            }
        }
        plugin.send("done", &[], b"")?;
        let mut found: Option<(usize, FileKey)> = None;
        while let Some(answer) = plugin.receive()? {
            let at = match answer.0.args.as_slice() {
                [at] if answer.0.tag == "file-key" => at.parse().ok().filter(|at| *at < files.len()),
                _ => None,
            };
            let (Some(at), true) = (at, answer.0.body.len() == FILE_KEY_BYTES) else {
                return Err(plugin.failed("gave what it was not asked for"));
            };
            if found.is_none() {
                found = Some((at, FileKey::init_with_mut(|key| key.copy_from_slice(&answer.0.body))));
            }
            plugin.accept(b"")?;
        }
        match (found, plugin.reported()) {
            (Some(found), _) => Ok(Some(found)),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(None),
        }
    }
}

/// The file key itself.
struct Unwrapped(FileKey);

impl age::Identity for Unwrapped {
    fn unwrap_stanza(&self, _: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        Some(Ok(FileKey::init_with_mut(|key| key.copy_from_slice(self.0.expose_secret()))))
    }
}

/// The stanzas of an age file; nothing of them is authenticated.
pub(super) fn stanzas_of(file: &[u8]) -> Result<Vec<Stanza>, CryptoError> {
    struct Collector(RefCell<Vec<Stanza>>);
    impl age::Identity for Collector {
        fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
            let Stanza { tag, args, body } = stanza;
            self.0.borrow_mut().push(Stanza { tag: tag.clone(), args: args.clone(), body: body.clone() });
            None
        }
    }
    let collector = Collector(RefCell::default());
    let decryptor = age::Decryptor::new_buffered(file).map_err(|_| CryptoError::Authentication)?;
    // It finds no key, which is what is wanted.
    let _ = decryptor.decrypt(std::iter::once(&collector as &dyn age::Identity));
    Ok(collector.0.into_inner())
}
