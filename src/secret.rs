//! Secrets as types, one per purpose.
//!
//! None of them implements `Debug`, `Display`, `Clone` or `Serialize`, all of them wipe their bytes when dropped, and each opens
//! by one named method, `expose`, or `expose_owned` for whoever hands the bytes on: an audit of who looks at a secret is a search for that word.

use std::io;

use zeroize::Zeroizing;

/// Bytes that grow without leaving copies behind: a plain `Vec` that outgrows its place frees the old one with the secrets still in it.
#[derive(Default)]
pub struct Growing(Zeroizing<Vec<u8>>);

impl Growing {
    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * self.0.capacity()).max(256)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    /// Drops the first bytes; the room for them stays.
    pub fn drop_first(&mut self, count: usize) {
        self.0.drain(..count);
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to keep.
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl io::Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// In a place of its own: whoever moves it copies no byte of it.
        pub struct $name(Box<Zeroizing<[u8; 32]>>);

        impl $name {
            /// Takes the 32 bytes of the key.
            pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
                Self(Box::new(bytes))
            }

            /// The key's bytes.
            pub fn expose(&self) -> &[u8; 32] {
                &self.0
            }
        }
    };
}

key! {
    /// Seals the key ring; wrapped by every full slot.
    MasterKey
}
key! {
    /// The key from which the keys of pages, commit records and slot labels are derived.
    IndexKey
}
key! {
    /// Seals values of one compartment.
    DataKey
}
key! {
    /// Seals records of users, tokens and settings.
    SystemKey
}
key! {
    /// Seals records of the audit log.
    AuditKey
}
key! {
    /// The seed of the Ed25519 signing key (RFC 8032, section 5.1.5).
    SigningSeed
}
key! {
    /// What proves the possession of an API token.
    TokenSecret
}
key! {
    /// Names the records of users.
    UserNamesKey
}
key! {
    /// A Fernet key: 16 bytes that sign, 16 that encrypt.
    FernetKey
}
key! {
    /// A raw 32-byte key that a user keeps in a file or a variable and that opens a slot.
    RawKey
}

/// A passphrase, as its bytes were given.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Takes the bytes of a passphrase.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The passphrase's bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// A key of another program, from which a Fernet key is derived: text of its owner's choosing.
pub struct ForeignSecret(Zeroizing<Vec<u8>>);

impl ForeignSecret {
    /// Takes the bytes of the key.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The key's bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// The secret that one-time codes are made from, shared with a site.
pub struct OtpKey(Zeroizing<Vec<u8>>);

impl OtpKey {
    /// Takes the bytes of the secret.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The secret's bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// What signs the sessions of users.
pub struct SessionSecret(Zeroizing<Vec<u8>>);

impl SessionSecret {
    /// Takes the bytes of the secret.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The secret's bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// What is mixed into every verifier of a password, and kept elsewhere than those.
pub struct PepperSecret(Zeroizing<Vec<u8>>);

impl PepperSecret {
    /// Takes the bytes of the pepper.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The pepper's bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// The password of the account that mail is sent by.
pub struct MailPassword(Zeroizing<String>);

impl MailPassword {
    /// Takes the text of the password.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The password's text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What the age file of a slot holds, as its padded bytes: the master key, or the keys of some compartments.
pub struct SlotSecret(Zeroizing<Vec<u8>>);

impl SlotSecret {
    /// Takes the bytes.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// The value of an entry: exact bytes.
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl SecretValue {
    /// Takes the bytes of a value.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The value's bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The value's bytes, for whoever hands them on.
    pub fn expose_owned(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl From<&str> for SecretValue {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.as_bytes().to_vec()))
    }
}

impl From<Zeroizing<Vec<u8>>> for SecretValue {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}
