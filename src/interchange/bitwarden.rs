//! The unencrypted JSON export of Bitwarden, of a person or an organization.
//!
//! | item | fields |
//! |---|---|
//! | login | `username`, `password`, `totp`, `url` of each address |
//! | card, identity, SSH key | what the export calls them, in its order |
//! | any | `notes`, and the custom fields by their names |
//!
//! The name is folder (or the first collection) and name. What was deleted and lies in the trash is left out, and so are passkeys and attachments,
//! which the export does not hold in a form that another program could use.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::Error;
use super::logins::{self, Login, NOTES, PASSWORD};
use super::row::Row;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Export {
    #[serde(default)]
    encrypted: bool,
    #[serde(default)]
    folders: Option<Vec<Folder>>,
    #[serde(default)]
    collections: Option<Vec<Folder>>,
    items: Option<Vec<Item>>,
}

#[derive(Deserialize)]
struct Folder {
    id: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    name: Option<String>,
    notes: Option<String>,
    folder_id: Option<String>,
    collection_ids: Option<Vec<Option<String>>>,
    deleted_date: Option<String>,
    login: Option<Account>,
    card: Option<Map<String, Value>>,
    identity: Option<Map<String, Value>>,
    ssh_key: Option<Map<String, Value>>,
    fields: Option<Vec<Field>>,
}

#[derive(Deserialize)]
struct Account {
    username: Option<String>,
    password: Option<String>,
    totp: Option<String>,
    uris: Option<Vec<Address>>,
}

#[derive(Deserialize)]
struct Address {
    uri: Option<String>,
}

#[derive(Deserialize)]
struct Field {
    name: Option<String>,
    value: Option<String>,
}

/// Reads the items.
pub(super) fn read(text: &str) -> Result<Vec<Row>, Error> {
    let fault = |what| Error::Syntax { line: 1, what };
    let export: Export = serde_json::from_str(text)
        .map_err(|error| Error::Syntax { line: error.line().max(1), what: "this is not a Bitwarden export" })?;
    if export.encrypted {
        return Err(fault("the export is encrypted: export it as unencrypted JSON, and remove that file afterwards"));
    }
    let items = export.items.ok_or(fault("this is not a Bitwarden export"))?;
    let folders = export.folders.into_iter().flatten().chain(export.collections.into_iter().flatten());
    let folders: HashMap<String, String> =
        folders.filter_map(|folder| Some((folder.id?, folder.name.filter(|name| !name.is_empty())?))).collect();
    let there = items.into_iter().filter(|item| item.deleted_date.is_none());
    Ok(logins::rows(there.map(|item| login(item, &folders)).collect()))
}

fn login(item: Item, folders: &HashMap<String, String>) -> Login {
    let first = item.collection_ids.into_iter().flatten().flatten();
    let folder = item.folder_id.into_iter().chain(first).find_map(|id| folders.get(&id).cloned());
    let mut login = Login::new(folder, item.name);
    if let Some(account) = item.login {
        login.field("username", account.username);
        login.field(PASSWORD, account.password);
        login.field("totp", account.totp);
        for address in account.uris.into_iter().flatten() {
            login.field("url", address.uri);
        }
    }
    for (name, value) in [item.card, item.identity, item.ssh_key].into_iter().flatten().flatten() {
        login.field(&name, text(value));
    }
    login.field(NOTES, item.notes);
    for field in item.fields.into_iter().flatten() {
        login.field(field.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("field"), field.value);
    }
    login
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn items_of_every_kind() {
        let rows = read(
            r#"{"encrypted":false,"folders":[{"id":"f","name":"work/db"},{"id":"g","name":null}],"items":[
            {"type":1,"name":"site","folderId":"f","notes":null,"login":{"username":"u","password":"p'\"$`","totp":null,
              "uris":[{"match":null,"uri":"https://a"},{"uri":"https://b"}],"fido2Credentials":[]},
              "fields":[{"name":"pin","value":"1","type":1},{"name":null,"value":"x","type":0}]},
            {"type":1,"name":"only","folderId":"g","login":{"username":null,"password":"p","totp":null}},
            {"type":2,"name":"note","notes":"a\nb😀","secureNote":{"type":0}},
            {"type":3,"name":"card","card":{"cardholderName":"N","brand":null,"number":"4111","expYear":2030}},
            {"type":5,"name":"key","sshKey":{"privateKey":"k","publicKey":"q"}},
            {"type":1,"name":"gone","deletedDate":"2024-01-01T00:00:00Z","login":{"password":"canary"}}]}"#,
        )
        .unwrap();
        let seen: Vec<_> = rows.iter().map(|row| (row.name.as_str(), std::str::from_utf8(&row.value).unwrap())).collect();
        assert_eq!(
            seen,
            [
                (
                    "work/db/site",
                    r#"{"username":"u","password":"p'\"$`","url":"https://a","url (2)":"https://b","pin":"1","field":"x"}"#
                ),
                ("only", "p"),
                ("note", "a\nb😀"),
                ("card", r#"{"cardholderName":"N","number":"4111","expYear":"2030"}"#),
                ("key", r#"{"privateKey":"k","publicKey":"q"}"#),
            ]
        );
    }

    #[test]
    fn an_organization_has_collections() {
        let rows =
            read(r#"{"collections":[{"id":"c","name":"ops"}],"items":[{"name":"a","collectionIds":["x","c"],"login":{}}]}"#);
        assert_eq!(rows.unwrap()[0].name, "ops/a");
    }

    #[test]
    fn what_is_no_plain_export_is_refused() {
        for text in [
            r#"{"encrypted":true,"passwordProtected":true,"salt":"canary","data":"canary"}"#,
            r#"{"canary":1}"#,
            "[\"canary\"]",
            "canary",
        ] {
            assert!(!read(text).err().unwrap().to_string().contains("canary"));
        }
    }
}
