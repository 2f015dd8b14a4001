//! Small texts that people type: paths of JSON fields, names, specifications of generators.

use serde_json::Value;
use vault::format::keyspace::{self, EntryKey};
use vault::name::NameError;
use vault::vault::field::{self, FieldPath};
use vault::vault::generate::Generator;
use vault::{Category, EntryId, Environment, Name, SecretValue, Tag};
use zeroize::Zeroizing;

fn secret(bytes: &[u8]) -> SecretValue {
    SecretValue::new(Zeroizing::new(bytes.to_vec()))
}

pub fn json_field(data: &[u8]) {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (path_text, new, document) = (line(), line(), line());
    let Ok(path_text) = std::str::from_utf8(path_text) else { return };
    let Ok(path) = FieldPath::parse(path_text) else { return };
    let (value, new) = (secret(document), secret(new));
    let whole: Option<Value> = serde_json::from_slice(document).ok();
    // serde_json reads these names as numbers and raw text, whoever wrote them.
    let private = |bytes: &[u8]| bytes.windows(9).any(|part| part == b"\"$serde_j") || bytes.contains(&b'\\');
    assert!(
        whole.is_some() == field::check_json(document).is_ok() || private(document),
        "JSON is refused, or what is none is taken"
    );

    // A pointer is what RFC 6901 says; a dotted path is the pointer of its parts.
    let pointer = if path_text.starts_with('/') {
        path_text.to_owned()
    } else {
        path_text.split('.').map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
    };
    let expected = whole.as_ref().and_then(|whole| whole.pointer(&pointer)).map(plain);
    let read = field::get(&value, &path).ok().map(|field| field.expose().to_vec());
    assert!(read == expected || (read.is_none() && private(document)), "another field is read");

    for json in [false, true] {
        for old in [Some(&value), None] {
            let Ok(changed) = field::set(old, &path, &new, json) else { continue };
            let read = field::get(&changed, &path).expect("what was set is there");
            if json {
                let stored: Value = serde_json::from_slice(new.expose()).unwrap();
                assert!(read.expose() == plain(&stored), "another value was set");
            } else {
                assert!(read.expose() == new.expose(), "another text was set");
            }
            let Some(whole) = whole.as_ref().filter(|_| old.is_some() && !private(document)) else { continue };
            let changed: Value = serde_json::from_slice(changed.expose()).unwrap();
            others_stay(whole, &changed, &pointer);
        }
    }
}

fn plain(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.as_bytes().to_vec(),
        other => serde_json::to_vec(other).unwrap(),
    }
}

/// Beside the field that was set, everything is as it was, and in the same order.
fn others_stay(old: &Value, new: &Value, pointer: &str) {
    let (part, rest) = pointer[1..].split_once('/').map_or((&pointer[1..], None), |(part, rest)| (part, Some(rest)));
    let part = part.replace("~1", "/").replace("~0", "~");
    let next = |old: &Value, new: &Value| {
        if let Some(rest) = rest {
            others_stay(old, new, &format!("/{rest}"));
        }
    };
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let kept: Vec<_> = new.iter().filter(|(key, _)| old.contains_key(*key)).collect();
            assert_eq!(kept.len(), old.len());
            for ((key, was), (same_key, is)) in old.iter().zip(kept) {
                assert!(key == same_key && (*key == part || was == is), "another field was changed");
            }
            assert!(new.len() <= old.len() + 1);
            if let (Some(old), Some(new)) = (old.get(&part), new.get(&part)) {
                next(old, new);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            assert_eq!(old.len(), new.len());
            for (index, (was, is)) in old.iter().zip(new).enumerate() {
                if index.to_string() == part {
                    next(was, is);
                } else {
                    assert!(was == is, "another item was changed");
                }
            }
        }
        _ => panic!("a value was replaced on the way to its field"),
    }
}

pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    valid(text, Name::LIMIT, Name::parse(text).err());
    valid(text, Category::LIMIT, Category::parse(text).err());
    valid(text, Environment::LIMIT, Environment::parse(text).err());
    valid(text, Tag::LIMIT, Tag::parse(text).err());
    let ids: Vec<EntryId> = text.lines().filter_map(entry_id).take(8).collect();
    for one in &ids {
        keys_read_back(one);
        for other in &ids {
            assert_eq!(one.cmp(other), keyspace::entry(one).cmp(&keyspace::entry(other)));
            assert_eq!(one.cmp(other), keyspace::listing(one).cmp(&keyspace::listing(other)));
            if one < other {
                assert!(keyspace::value(one, u64::MAX) < keyspace::entry(other), "versions stand behind their entry");
            }
        }
    }
    if let Ok(generator) = text.parse::<Generator>() {
        let made = generator.generate().unwrap();
        assert!(!made.expose().is_empty() && made.expose().len() <= 140_000 && made.expose().is_ascii());
    }
    if let Some(format) = vault::interchange::Format::from_file_name(text) {
        assert_eq!(format.name().parse::<vault::interchange::Format>().ok(), Some(format));
    }
}

fn entry_id(line: &str) -> Option<EntryId> {
    let (environment, name) = line.split_once('=').unwrap_or(("", line));
    let environment = match environment {
        "" => None,
        text => Some(Environment::parse(text).ok()?),
    };
    Some(EntryId { environment, name: Name::parse(name).ok()? })
}

/// Section 6, the paragraph on names.
fn valid(text: &str, limit: usize, error: Option<NameError>) {
    let holds = (1..=limit).contains(&text.chars().count())
        && !text.chars().any(|c| matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}'))
        && text.trim() == text;
    assert_eq!(holds, error.is_none(), "the specification and the code take other names");
}

fn keys_read_back(id: &EntryId) {
    assert!(matches!(keyspace::parse_entry_key(&keyspace::entry(id)), Ok(EntryKey::Record(read)) if read == *id));
    assert!(matches!(keyspace::parse_entry_key(&keyspace::value(id, 9)), Ok(EntryKey::Value(read, 9)) if read == *id));
    assert!(keyspace::parse_entry(&keyspace::listing(id), 1).as_ref() == Ok(id));
    assert!(keyspace::parse_entry(&keyspace::time(keyspace::DUE, u64::MAX, id), 9).as_ref() == Ok(id));
    let category = Category::parse("c").unwrap();
    let key = keyspace::category(&category, id);
    assert!(keyspace::parse_entry(&key, keyspace::category_prefix(&category).len()).as_ref() == Ok(id));
    assert!(key.starts_with(&keyspace::category_environment_prefix(&category, id.environment.as_ref())));
}
