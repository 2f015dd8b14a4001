//! The keychain of the system, which is open while its owner is logged in: for a vault it keeps the identity of one of its slots.
//!
//! The only room that names the crates of keychains: the Secret Service on a session bus (GNOME Keyring, KWallet, KeePassXC), or the keychain of
//! macOS. Every call ends within three seconds, whatever becomes of the service, and none of them lets the service ask the user anything on recall:
//! what is locked is passed over.

#[cfg(target_os = "macos")]
#[path = "apple.rs"]
mod service;
#[cfg(not(target_os = "macos"))]
#[path = "freedesktop.rs"]
mod service;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::crypto::X25519Identity;

/// The name under which keys are kept; the account is the vault's id.
const SERVICE: &str = "vault";

/// How long the service may take. A keychain in good health answers in milliseconds; a command must not hang by another one.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is kept for a vault.
pub struct Kept {
    /// The identity of a slot.
    pub identity: X25519Identity,
    /// Where the vault was, as text for people; another copy of it may have other slots.
    pub origin: String,
}

impl Kept {
    /// Whether it was kept for the file that lies at `origin`.
    pub fn is_from(&self, origin: &str) -> bool {
        self.origin == line(origin)
    }
}

/// What can go wrong; never with a word of what is kept.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeychainError {
    /// There is no session, or no keychain in it.
    #[error("there is no keychain: {0}")]
    Absent(String),
    /// It is there and locked.
    #[error("the keychain is locked")]
    Locked,
    /// No answer.
    #[error("the keychain did not answer within {} seconds", PATIENCE.as_secs())]
    Slow,
    /// The keychain refused.
    #[error("the keychain failed: {0}")]
    Failed(String),
}

/// A result of the keychain.
pub type Result<T> = std::result::Result<T, KeychainError>;

/// Keeps the identity of a slot of the vault with this id, which lies at `origin`; it takes the place of one that was kept for it before.
pub fn remember(vault: &str, origin: &str, identity: &X25519Identity) -> Result<()> {
    let (vault, label, text) = (vault.to_owned(), format!("vault: {}", line(origin)), write(origin, identity));
    in_time(move || service::put(&vault, &label, text.as_bytes()))
}

/// What is kept for the vault with this id. The user is not asked to unlock the keychain.
pub fn recall(vault: &str) -> Result<Option<Kept>> {
    let vault = vault.to_owned();
    match in_time(move || service::find(&vault))? {
        Some(bytes) => {
            read(&bytes).map(Some).ok_or_else(|| KeychainError::Failed("what it keeps for this vault is no key".to_owned()))
        }
        None => Ok(None),
    }
}

/// Forgets what is kept for the vault with this id, and says whether there was anything.
pub fn forget(vault: &str) -> Result<bool> {
    let vault = vault.to_owned();
    in_time(move || service::remove(&vault))
}

/// Runs `work` on a thread of its own and waits for it no longer than is decent. A thread that is left behind ends with the process.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new().spawn(move || sender.send(work())).map_err(|error| KeychainError::Failed(error.to_string()))?;
    receiver.recv_timeout(PATIENCE).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => Err(KeychainError::Slow),
        RecvTimeoutError::Disconnected => Err(KeychainError::Failed("it broke off".to_owned())),
    })
}

const ORIGIN: &str = "# vault: ";

/// What is kept has the form of an age identity file: its owner can make use of it without this program.
fn write(origin: &str, identity: &X25519Identity) -> Zeroizing<String> {
    let secret = identity.expose();
    let origin = line(origin);
    // Room for all of it at once, so that growing does not leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(ORIGIN.len() + origin.len() + secret.len() + 2));
    for part in [ORIGIN, &origin, "\n", &secret, "\n"] {
        text.push_str(part);
    }
    text
}

fn read(bytes: &[u8]) -> Option<Kept> {
    let text = std::str::from_utf8(bytes).ok()?;
    let secret = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let identity = X25519Identity::parse(secret).ok()?;
    let origin = text.lines().find_map(|line| line.strip_prefix(ORIGIN)).unwrap_or_default();
    Some(Kept { identity, origin: origin.to_owned() })
}

/// A text on one line: a path may have any character.
fn line(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let identity = X25519Identity::generate();
        let secret = identity.expose();
        for origin in ["/home/ann/shop.vault", "/tmp/a b", "", "/tmp/two\nlines\r\u{1b}[2J", "/tmp/\nAGE-SECRET-KEY-1"] {
            let text = write(origin, &identity);
            let kept = read(text.as_bytes()).unwrap();
            assert_eq!(*kept.identity.expose(), *secret);
            assert!(kept.is_from(origin) && !kept.is_from("/elsewhere"), "{origin:?}");
            assert_eq!(text.lines().count(), 2, "{origin:?}");
        }
        // As a person may have put it there, with no word of where it is from.
        assert!(read(format!("\n{}\n", *secret).as_bytes()).unwrap().is_from(""));
        for wrong in ["", "# vault: /x\n", "AGE-SECRET-KEY-1", "\u{0}", "age1x"] {
            assert!(read(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
        assert!(read(&[0xff, 0xfe]).is_none());
    }

    #[test]
    fn a_service_that_hangs_or_dies_is_not_waited_for() {
        let start = std::time::Instant::now();
        let hangs = in_time(|| -> Result<()> {
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        });
        assert_eq!(hangs, Err(KeychainError::Slow));
        assert!((PATIENCE..PATIENCE * 15).contains(&start.elapsed()));
        assert_eq!(in_time(|| Ok(7)), Ok(7));
        assert!(matches!(in_time(|| -> Result<()> { std::panic::resume_unwind(Box::new(())) }), Err(KeychainError::Failed(_))));
    }
}
