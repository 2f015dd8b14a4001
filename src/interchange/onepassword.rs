//! The CSV export of 1Password.
//!
//! Columns are found by their titles, in any order and case; the value has the fields `username`, `password`, `otp`, `url` and `notes`, and every
//! column that is not known here by its own title. What is archived is taken too, with the tag `archived`.

use ::csv::{ReaderBuilder, StringRecord};

use super::error::Error;
use super::logins::{self, Login, NOTES, PASSWORD};
use super::row::Row;

/// What the titles of columns mean, in the order of the fields.
const COLUMNS: &[(&str, &[&str])] = &[
    ("username", &["username", "login", "user name"]),
    (PASSWORD, &["password"]),
    ("otp", &["otpauth", "one-time password", "otp"]),
    ("url", &["url", "website", "urls"]),
    (NOTES, &["notes", "notesplain"]),
];
const TITLE: &[&str] = &["title", "name"];
/// Columns that are no field.
const APART: &[&str] = &["favorite", "archived", "tags", "type"];

/// Reads the items.
pub(super) fn read(text: &str) -> Result<Vec<Row>, Error> {
    let fault = |line, what| Error::Syntax { line, what };
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let header: Vec<String> = match reader.headers() {
        Ok(header) => header.iter().map(|title| title.trim().to_owned()).collect(),
        Err(_) => return Err(fault(1, "the table has no header")),
    };
    let at = |titles: &[&str]| header.iter().position(|column| titles.iter().any(|title| column.eq_ignore_ascii_case(title)));
    let title = at(TITLE).ok_or(fault(1, "the header has no column \"Title\""))?;
    let known: Vec<(&str, usize)> = COLUMNS.iter().filter_map(|(field, titles)| Some((*field, at(titles)?))).collect();
    if known.is_empty() {
        return Err(fault(1, "the header has none of the columns of a 1Password export"));
    }
    let apart: Vec<usize> = APART.iter().filter_map(|title| at(&[title])).chain([title]).collect();
    let mut logins = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(1, |position| usize::try_from(position.line()).unwrap_or(usize::MAX));
            fault(line.max(1), "this is not a row of the table")
        })?;
        let cell = |column: usize| record.get(column).map(str::to_owned);
        let mut login = Login::new([], cell(title));
        for (field, column) in &known {
            login.field(field, cell(*column));
        }
        for (column, name) in header.iter().enumerate() {
            if !apart.contains(&column) && !known.iter().any(|(_, known)| *known == column) && !name.is_empty() {
                login.field(name, cell(column));
            }
        }
        login.tags = tags(&record, at(&["tags"]), at(&["archived"]));
        logins.push(login);
    }
    Ok(logins::rows(logins))
}

fn tags(record: &StringRecord, tags: Option<usize>, archived: Option<usize>) -> Vec<String> {
    let cell = |column: Option<usize>| column.and_then(|column| record.get(column)).unwrap_or_default();
    let mut all: Vec<String> = cell(tags).split([',', ';']).map(str::to_owned).collect();
    if cell(archived).eq_ignore_ascii_case("true") {
        all.push("archived".to_owned());
    }
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn columns_by_their_titles() {
        let text = "Title,Url,Username,Password,OTPAuth,Favorite,Archived,Tags,Notes,Member number\r\n\
                    site,https://a,u,\"p,'\"\"\n$`😀\",otpauth://totp/x?secret=A,true,false,work;db,,7\r\n\
                    only,,,p,,false,true,,,\r\nonly,,,q,,,,,,\r\n";
        let rows = read(text).unwrap();
        let seen: Vec<_> =
            rows.iter().map(|row| (row.name.as_str(), std::str::from_utf8(&row.value).unwrap(), row.tags.join(","))).collect();
        let first = r#"{"username":"u","password":"p,'\"\n$`😀","otp":"otpauth://totp/x?secret=A","url":"https://a","Member number":"7"}"#;
        assert_eq!(
            seen,
            [("site", first, "db,work".to_owned()), ("only", "p", "archived".to_owned()), ("only (2)", "q", String::new())]
        );
        for text in ["", "canary\n", "title,x\ncanary,canary\n"] {
            assert!(!read(text).err().unwrap().to_string().contains("canary"));
        }
    }
}
