//! What keys need from the edge: a person to ask, and programs to run. This room does neither by itself.

use std::io::{Read, Write};
use std::sync::Arc;

use zeroize::Zeroizing;

/// A person and the system, as far as keys need them. `None` from a question: nobody can be asked, or nobody answered.
pub trait Callbacks: Send + Sync {
    /// Shows a message of a plugin, such as that a key is to be touched.
    fn message(&self, text: &str);

    /// Asks whether to go on; `yes` and `no` are the words for the answers, and without `no` there is only one.
    fn confirm(&self, question: &str, yes: &str, no: Option<&str>) -> Option<bool>;

    /// Asks for something that may be seen while it is typed.
    fn public(&self, question: &str) -> Option<String>;

    /// Asks for a passphrase or a PIN.
    fn secret(&self, question: &str) -> Option<Zeroizing<String>>;

    /// Starts `age-plugin-NAME --age-plugin=MACHINE`, if the user allowed this name in a place of their own; never because a file names it.
    ///
    /// # Errors
    /// [`PluginError::NotAllowed`], [`PluginError::Missing`], [`PluginError::Failed`].
    fn start(&self, name: &str, machine: &str) -> Result<Box<dyn PluginProcess>, PluginError>;
}

/// A plugin that runs: what it reads, and what it writes. A read or write that takes too long fails as [`std::io::ErrorKind::TimedOut`]; when this
/// is dropped, the process ends.
pub trait PluginProcess: Read + Write {}

/// Why a plugin gave no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// The user did not allow it to run.
    #[error("the plugin age-plugin-{0} is not allowed to run")]
    NotAllowed(String),
    /// The program is not there.
    #[error("the plugin age-plugin-{0} is not installed")]
    Missing(String),
    /// It was run, and the name is followed by what came of it.
    #[error("the plugin age-plugin-{0} {1}")]
    Failed(String, String),
}

/// Callbacks, if there are any: without, plugins do not run and encrypted keys stay closed.
#[derive(Clone, Default)]
pub struct Attached(Option<Arc<dyn Callbacks>>);

impl Attached {
    /// These callbacks.
    pub fn new(callbacks: Arc<dyn Callbacks>) -> Self {
        Self(Some(callbacks))
    }

    /// The callbacks, if there are any.
    pub fn get(&self) -> Option<&dyn Callbacks> {
        self.0.as_deref()
    }
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Attached" } else { "Detached" })
    }
}
