//! What a vault file says, as JSON, read through the library. `tests/python/reader.py --batch` answers the same requests with the same words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use serde_json::{Value, json};
use vault::crypto::keys::{self, IndexKeys};
use vault::crypto::{self, AgeIdentity, Signer, Verifier, X25519Identity};
use vault::format::header::{Slot, SlotKind, unhex};
use vault::format::keyspace::{self, EntryKey};
use vault::format::record::EntryRecord;
use vault::format::slot::{KeyRing, SlotPayload};
use vault::store::file::storage::OsPlace;
use vault::store::file::{FileKeys, FileOptions, FileStore, Known, OpenedFile};
use vault::store::{Store as _, Walk};
use vault::vault::{Filter, Result, Scope, WitnessPolicy};
use vault::{Credential, EntryId, Error, ErrorKind, Locked, Options, Passphrase, RawKey, Vault};
use zeroize::Zeroizing;

/// What is said to a request such as `{"file": PATH, "raw": HEX}`: the state, and where and why the file was refused.
pub fn answer(request: &Value) -> Value {
    let (mut state, mut at) = (Value::Null, "open");
    let copy = altered(request);
    let path = copy.as_ref().map_or(Path::new(request["file"].as_str().unwrap()), |copy| copy.0.as_path());
    match read(path, request, &mut state, &mut at) {
        Ok(()) => json!({ "state": state, "refused": null, "at": null, "why": null }),
        Err(error) => json!({ "state": state, "refused": class(&error), "at": at, "why": error.to_string() }),
    }
}

/// The vectors of a directory.
pub struct Vectors {
    /// Their names, requests with each of their keys, and what is expected of the answers.
    pub requests: Vec<(String, Value, Value)>,
    files: PathBuf,
}

impl Drop for Vectors {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.files);
    }
}

impl Vectors {
    /// Reads them; those that are no files of their own become some until this is dropped.
    pub fn read(directory: &Path) -> Self {
        let name = format!("vault-vectors-{}-{}", std::process::id(), hex(&crypto::random::<8>().unwrap()));
        let files = std::env::temp_dir().join(name);
        std::fs::create_dir(&files).unwrap();
        Self { requests: requests(directory, &files), files }
    }
}

fn requests(directory: &Path, files: &Path) -> Vec<(String, Value, Value)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let vector: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let file = match vector["file"].as_str() {
            Some(file) => directory.join(file),
            None => {
                let file = files.join(path.with_extension("vault").file_name().unwrap());
                std::fs::write(&file, joined(&vector)).unwrap();
                file
            }
        };
        for key in vector["keys"].as_array().unwrap() {
            let mut request = json!({ "file": file });
            for part in ["xor", "length"] {
                if let (None, Some(alteration)) = (vector.get("parts"), vector.get(part)) {
                    request[part] = alteration.clone();
                }
            }
            for part in ["raw", "passphrase", "identity"] {
                if let Some(secret) = key.get(part) {
                    request[part] = secret.clone();
                }
            }
            let mut expected = json!({ "state": limited(&vector["state"], key), "refused": null });
            for part in ["refused", "at", "says"] {
                if let Some(said) = key.get(part) {
                    expected[part] = said.clone();
                }
            }
            if expected["refused"] != Value::Null && expected["at"] != "check" {
                expected["state"] = Value::Null;
            }
            all.push((path.file_stem().unwrap().to_str().unwrap().to_owned(), request, expected));
        }
    }
    all
}

/// The bytes of a vector that stand in parts between zeros.
fn joined(vector: &Value) -> Vec<u8> {
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let mut bytes = vec![0; number(&vector["length"])];
    for part in vector["parts"].as_array().unwrap() {
        let content = base64::engine::general_purpose::STANDARD.decode(part[1].as_str().unwrap()).unwrap();
        bytes[number(&part[0])..][..content.len()].copy_from_slice(&content);
    }
    bytes
}

/// What of a state a key shows: the values of its compartments.
fn limited(state: &Value, key: &Value) -> Value {
    let mut state = state.clone();
    let (Some(access), Some(compartments)) = (key.get("access"), key["compartments"].as_array()) else { return state };
    state["access"] = access.clone();
    for entry in state["entries"].as_array_mut().unwrap() {
        for version in entry["versions"].as_array_mut().unwrap() {
            if !compartments.contains(&version["compartment"]) {
                version["value"] = Value::Null;
            }
        }
    }
    state
}

/// Whether an answer is what is expected. A fault may be seen before the step at which it must be.
pub fn is_as_expected(answer: &Value, expected: &Value) -> std::result::Result<(), String> {
    const STEPS: [&str; 3] = ["open", "read", "check"];
    if answer["refused"] != expected["refused"] {
        return Err(format!("refused: {} ({}), expected: {}", answer["refused"], answer["why"], expected["refused"]));
    }
    let step = |value: &Value| STEPS.iter().position(|step| value["at"] == *step);
    if step(answer) > step(expected) {
        return Err(format!("seen at {}, expected at {}: {}", answer["at"], expected["at"], answer["why"]));
    }
    if let Some(word) = expected["says"].as_str()
        && !answer["why"].as_str().unwrap_or_default().contains(word)
    {
        return Err(format!("the refusal does not say {word}: {}", answer["why"]));
    }
    if !expected["state"].is_null()
        && (expected["refused"].is_null() || !answer["state"].is_null())
        && answer["state"] != expected["state"]
    {
        return Err(format!("the state is\n{}\nexpected\n{}", answer["state"], expected["state"]));
    }
    Ok(())
}

fn class(error: &Error) -> &'static str {
    match (error.kind(), error.code()) {
        (ErrorKind::Damaged, "newer_format") => "newer",
        (ErrorKind::Damaged, _) => "damaged",
        (ErrorKind::Locked, _) => "locked",
        _ => "other",
    }
}

fn read(path: &Path, request: &Value, state: &mut Value, at: &mut &'static str) -> Result<()> {
    let options = Options { witness: WitnessPolicy::Off, ..Options::default() };
    let vault = Locked::open(path)?.unlock(&credential(request), options)?;
    *at = "read";
    *state = say(&vault, path, request)?;
    *at = "check";
    vault.check().map(|_| ())
}

/// The key of a request.
pub fn credential(request: &Value) -> Credential {
    let text = |name: &str| request[name].as_str();
    if let Some(hex) = text("raw") {
        return Credential::RawKey(RawKey::new(Zeroizing::new(unhex(hex).unwrap())));
    }
    if let Some(passphrase) = text("passphrase") {
        return Credential::Passphrase(Passphrase::new(Zeroizing::new(passphrase.as_bytes().to_vec())));
    }
    Credential::Identities(vec![X25519Identity::parse(text("identity").unwrap()).unwrap().into()])
}

fn say(vault: &Vault, path: &Path, request: &Value) -> Result<Value> {
    let facts = vault.facts().unwrap();
    // What the public interface does not tell (uids, compartments, times of rotation) is read from the records themselves.
    let below = Below::open(path, &credential(request))?;
    let mut slots = Vec::new();
    for (seen, slot) in vault.slots()?.into_iter().zip(&below.store.header()?.slots) {
        let label = slot.open_label(&below.store.keys().id, below.store.keys().index.slot_label())?;
        let (text, info) = (seen.label, seen.info);
        assert_eq!((&label.text, &label.compartments), (&text, &seen.compartments));
        let access = if info.full { "full" } else { "limited" };
        slots.push(json!({
            "kind": info.kind, "access": access, "recipient": info.recipient, "label": text, "compartments": label.compartments,
        }));
    }
    let records = below.records()?;
    let mut found = Vec::new();
    vault.entries(&Filter { scope: Scope::All, category: None }, &mut |entry| {
        found.push(entry);
        Ok(Walk::Continue(()))
    })?;
    assert_eq!(found.len(), records.len(), "a walk over the entries skips some");
    let mut entries = Vec::new();
    for entry in found {
        let record = &records[entry.id()];
        let mut versions = Vec::new();
        for (info, version) in entry.versions().zip(&record.versions) {
            let value = match vault.value_of(&entry, Some(info.number)) {
                Ok(value) => Value::from(base64(value.expose())),
                Err(error) if error.kind() == ErrorKind::NotPermitted => Value::Null,
                Err(error) => return Err(error),
            };
            versions.push(json!({
                "number": info.number, "created": info.created, "kind": info.kind.word(), "key": version.key,
                "compartment": version.compartment, "sealed_as": version.sealed_as, "value": value,
            }));
        }
        entries.push(json!({
            "environment": entry.id().environment_text(),
            "name": entry.id().name.as_str(),
            "uid": hex(&record.uid),
            "category": entry.category().map(|category| category.as_str()),
            "tags": entry.tags().iter().map(|tag| tag.as_str()).collect::<Vec<_>>(),
            "meta": entry.meta().iter().map(|(key, value)| [key, value]).collect::<Vec<_>>(),
            "expires": entry.expires(),
            "due": record.due,
            "created": entry.created(),
            "modified": entry.modified(),
            "current": entry.version(),
            "versions": versions,
        }));
    }
    Ok(json!({
        "id": vault.id(),
        "epoch": facts.epoch,
        "sequence": facts.revision.sequence,
        "tail": facts.tail,
        "access": if below.store.keys().signer.is_some() { "full" } else { "limited" },
        "slots": slots,
        "entries": entries,
        "lineage": below.lineage()?,
    }))
}

/// A vault file, opened below the public interface.
pub struct Below {
    /// The file as a store.
    pub store: FileStore,
}

impl Below {
    /// Opens the slot that the key fits.
    pub fn open(path: &Path, credential: &Credential) -> Result<Self> {
        let place = OsPlace::new(path).unwrap();
        let file = OpenedFile::open(&place)?;
        let header = file.header();
        let id = *header.id();
        let (slot, identity) = header.slots().iter().find_map(|slot| Some((slot, identity(slot, credential, &id)?))).unwrap();
        let (index, public, signer) = match SlotPayload::decode(&crypto::decrypt_age(&identity, &slot.wrap)?, &id)? {
            SlotPayload::Full(number, master, _) => {
                let ring = KeyRing::open(&master, &id, number, header.sealed_ring().1)?;
                let signer = Signer::new(&ring.signing);
                (ring.index, signer.public(), Some(signer))
            }
            SlotPayload::Limited(limited) => (limited.index, limited.public, None),
        };
        let keys = FileKeys { id, index: IndexKeys::derive(&index, &id), verifier: Verifier::new(&public)?, signer };
        let store = FileStore::new(Arc::new(place), file, keys, Known::default(), FileOptions::default())?;
        Ok(Self { store })
    }

    /// Sequence number and hash of the records that the tree remembers.
    fn lineage(&self) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        self.store.snapshot()?.range(&[0x7e], Some(&[0x7f]), &mut |key, _| {
            let (sequence, hash) = key[1..].split_at(8);
            all.push(json!([u64::from_be_bytes(sequence.try_into().unwrap()), hex(hash)]));
            Ok(Walk::Continue(()))
        })?;
        Ok(all)
    }

    fn records(&self) -> Result<BTreeMap<EntryId, EntryRecord>> {
        let snapshot = self.store.snapshot()?;
        let mut all = Vec::new();
        snapshot.range(&[keyspace::ENTRY], Some(&[keyspace::ENTRY + 1]), &mut |key, _| {
            if let EntryKey::Record(id) = keyspace::parse_entry_key(key)? {
                all.push((id, key.to_vec()));
            }
            Ok(Walk::Continue(()))
        })?;
        all.into_iter().map(|(id, key)| Ok((id, EntryRecord::decode(&snapshot.get(&key)?.unwrap())?))).collect()
    }
}

/// The identity of the key, if it is that of the slot.
pub fn identity(slot: &Slot, credential: &Credential, id: &[u8; 16]) -> Option<X25519Identity> {
    let candidates = match (credential, &slot.kind) {
        (Credential::RawKey(key), SlotKind::Raw) => vec![keys::raw_key_identity(key, id).unwrap()],
        (Credential::Passphrase(passphrase), SlotKind::Passphrase(salt, cost)) => match cost.check() {
            Ok(cost) => {
                vec![X25519Identity::from_secret(&crypto::argon2id(passphrase, salt, cost).unwrap()).unwrap()]
            }
            Err(_) => Vec::new(),
        },
        (Credential::Identities(all), SlotKind::Age) => {
            let x25519 = |identity: &AgeIdentity| match identity {
                AgeIdentity::X25519(identity) => Some(X25519Identity::parse(&identity.expose()).unwrap()),
                _ => None,
            };
            all.iter().filter_map(x25519).collect()
        }
        _ => Vec::new(),
    };
    candidates.into_iter().find(|identity| identity.recipient().to_string() == slot.recipient)
}

/// A copy of the file with the alterations of the request; it goes when this does.
struct Copy(PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn altered(request: &Value) -> Option<Copy> {
    if request.get("xor").is_none() && request.get("length").is_none() {
        return None;
    }
    let bytes = bytes(request);
    let name = format!("vault-view-{}-{}", std::process::id(), hex(&crypto::random::<8>().unwrap()));
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, bytes).unwrap();
    Some(Copy(path))
}

/// The bytes that a request is about: those of its file, cut to `length`, with the bytes of `xor` altered.
pub fn bytes(request: &Value) -> Vec<u8> {
    let mut bytes = std::fs::read(request["file"].as_str().unwrap()).unwrap();
    if let Some(length) = request["length"].as_u64() {
        bytes.truncate(usize::try_from(length).unwrap());
    }
    for pair in request["xor"].as_array().into_iter().flatten() {
        bytes[usize::try_from(pair[0].as_u64().unwrap()).unwrap()] ^= u8::try_from(pair[1].as_u64().unwrap()).unwrap();
    }
    bytes
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    vault::format::header::hex(bytes)
}

/// Base64 as the format uses it.
pub fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
