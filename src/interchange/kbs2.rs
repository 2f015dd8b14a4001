//! Records of kbs2: what is in the age files of its store, and what `kbs2 dump -j` prints.
//!
//! | kind | value |
//! |---|---|
//! | `Login` | username and password, as other logins |
//! | `Environment` | the value; the name of its variable is metadata |
//! | `Unstructured` | its contents |
//!
//! One record, several behind one another, or a list of them.

use serde::Deserialize;

use super::error::Error;
use super::logins::{self, Login, NOTES, PASSWORD};
use super::row::Row;

#[derive(Deserialize)]
struct Record {
    label: String,
    body: Body,
}

#[derive(Deserialize)]
#[serde(tag = "kind", content = "fields")]
enum Body {
    Login { username: String, password: String },
    Environment { variable: String, value: String },
    Unstructured { contents: String },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Records {
    One(Record),
    Many(Vec<Record>),
}

/// Reads the records.
pub(super) fn read(text: &str) -> Result<Vec<Row>, Error> {
    let mut records = Vec::new();
    for piece in serde_json::Deserializer::from_str(text).into_iter::<Records>() {
        match piece {
            Ok(Records::One(record)) => records.push(record),
            Ok(Records::Many(many)) => records.extend(many),
            Err(error) => return Err(Error::Syntax { line: error.line().max(1), what: "this is not a record of kbs2" }),
        }
    }
    let variables: Vec<Option<String>> = records
        .iter()
        .map(|record| match &record.body {
            Body::Environment { variable, .. } => Some(variable.clone()),
            _ => None,
        })
        .collect();
    let mut rows = logins::rows(records.into_iter().map(login).collect());
    for (row, variable) in rows.iter_mut().zip(variables) {
        row.meta.extend(variable.map(|variable| ("variable".to_owned(), variable)));
    }
    Ok(rows)
}

fn login(record: Record) -> Login {
    let mut login = Login::new([], Some(record.label));
    match record.body {
        Body::Login { username, password } => {
            login.field("username", Some(username));
            login.field(PASSWORD, Some(password));
        }
        Body::Environment { value, .. } => login.field(PASSWORD, Some(value)),
        Body::Unstructured { contents } => login.field(NOTES, Some(contents)),
    }
    login
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn records_of_every_kind() {
        let text = r#"{"timestamp":1590363392,"label":"site","body":{"kind":"Login","fields":{"username":"u","password":"p\u0000'"}}}
            [{"timestamp":1,"label":"token","body":{"kind":"Environment","fields":{"variable":"API","value":"t$`"}}},
             {"timestamp":1,"label":"note","body":{"kind":"Unstructured","fields":{"contents":"a\nb"}}}]"#;
        let rows = read(text).unwrap();
        let seen: Vec<_> = rows.iter().map(|row| (row.name.as_str(), std::str::from_utf8(&row.value).unwrap())).collect();
        assert_eq!(seen, [("site", "{\"username\":\"u\",\"password\":\"p\\u0000'\"}"), ("token", "t$`"), ("note", "a\nb")]);
        assert_eq!(rows[1].meta["variable"], "API");
        for text in ["canary", r#"{"label":"a","body":{"kind":"Canary","fields":{}}}"#, r#"{"label":"canary"}"#] {
            assert!(!read(text).err().unwrap().to_string().contains("canary"));
        }
    }
}
