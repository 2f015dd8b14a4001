//! Secrets as types, one per purpose.
//!
//! None of them implements `Debug`, `Display`, `Clone` or `Serialize`, all of them wipe their bytes when dropped, and each opens
//! by one named method, `expose`: an audit of who looks at a secret is a search for that word.

use zeroize::Zeroizing;

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name(Zeroizing<[u8; 32]>);

        impl $name {
            /// Takes the 32 bytes of the key.
            pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
                Self(bytes)
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
    /// The seed of the Ed25519 signing key (RFC 8032, section 5.1.5).
    SigningSeed
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
