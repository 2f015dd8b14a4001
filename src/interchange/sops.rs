//! A YAML or JSON document that sops decrypted: any mapping, where each name on its first level is an entry.
//!
//! A document that is still encrypted is refused: what would be stored are ciphertexts, and nobody would notice before they are used.

use super::error::Error;
use super::row::Row;
use super::{export, json, yaml};

/// Reads the entries.
pub(super) fn read(text: &str) -> Result<Vec<Row>, Error> {
    let rows = json::read(&yaml::to_json(text)?)?;
    let encrypted = |row: &Row| export::utf8(row).is_ok_and(|value| value.contains("ENC[AES256_GCM,data:"));
    // Its own record, which a decrypted document does not have.
    let own = |row: &Row| row.name == "sops" && export::utf8(row).is_ok_and(|value| value.contains("\"mac\""));
    if rows.iter().any(|row| encrypted(row) || own(row)) {
        return Err(Error::Syntax { line: 1, what: "the document is encrypted: give what `sops decrypt FILE` prints" });
    }
    Ok(rows)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn decrypted_documents_are_read_and_encrypted_ones_refused() {
        let rows = read("db:\n  user: u\n  password: \"p'$\"\nkey: |\n  a\n  b\nport: 5432\n").unwrap();
        let seen: Vec<_> = rows.iter().map(|row| (row.name.as_str(), std::str::from_utf8(&row.value).unwrap())).collect();
        assert_eq!(seen, [("db", "{\"user\":\"u\",\"password\":\"p'$\"}"), ("key", "a\nb\n"), ("port", "5432")]);
        for text in [
            "a: ENC[AES256_GCM,data:canary,iv:x,tag:x,type:str]\nsops:\n  mac: x\n",
            "a: {b: ['ENC[AES256_GCM,data:canary,iv:x,tag:x,type:str]']}\n",
            "a: canary\nsops: {mac: x}\n",
        ] {
            let error = read(text).err().unwrap().to_string();
            assert!(error.contains("sops decrypt") && !error.contains("canary"));
        }
    }
}
