//! Encrypted streams, tokens, and the records of the keys behind them.

use std::sync::{Arc, LazyLock};

use vault::crypto::FernetToken;
use vault::format::foreign::{ActiveVersion, ForeignKeyRecord};
use vault::format::stream::{MAX_LINE, StreamLine};
use vault::secret::FernetKey;
use vault::store::memory::MemoryStore;
use vault::vault::stream_info;
use vault::{ErrorKind, Options, Vault};

static VAULT: LazyLock<Vault> = LazyLock::new(|| Vault::over(Arc::new(MemoryStore::new()), Options::default()).unwrap());

pub fn stream(data: &[u8]) {
    if let Ok(line) = StreamLine::parse(data) {
        assert!(line.print().as_bytes() == data && data.len() <= MAX_LINE && line.number > 0);
        assert_eq!(stream_info(&mut &data[..]).unwrap().key, line.number);
    }
    if let Ok(record) = ForeignKeyRecord::decode(data) {
        assert!(*record.encode() == *data && record.iterations > 0 && !record.secret.expose().is_empty());
    }
    if let Ok(active) = ActiveVersion::decode(data) {
        assert!(*active.encode() == *data);
    }
    if let Some(token) = FernetToken::parse(data) {
        assert!(token.to_text().as_bytes() == data && token.open(&FernetKey::new([8; 32].into())).is_err());
    }
    // As a whole, and behind a line that fits: nobody makes a stream to a key that he does not have.
    assert!(VAULT.decrypt_to(&mut &data[..], &mut std::io::sink()).is_err());
    let line = format!("VAULT-ENCRYPTED 1 {} - 1\n", VAULT.id());
    let mut out = Vec::new();
    let refused = VAULT.decrypt_to(&mut &[line.as_bytes(), data].concat()[..], &mut out).unwrap_err();
    assert!(refused.kind() == ErrorKind::Damaged && out.is_empty(), "{refused}");
}
