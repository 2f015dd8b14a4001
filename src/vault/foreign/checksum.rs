//! The sum over a file of variables, which tells that one was changed.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::super::error::{Error, ErrorKind, Result};
use super::Variable;
use crate::crypto::sha256;
use crate::format::header::hex;

pub(super) const CHECKSUM: &str = "ENCRYPTION_ENV_CHECKSUM";

/// The sum over the variables of a file, as `ENCRYPTION_ENV_CHECKSUM` states it: SHA-256 of the lines `name=value`, ascending, joined by line ends.
pub fn checksum(variables: &[Variable]) -> String {
    // Of a name that is there twice the last counts.
    let sorted: BTreeMap<&str, &str> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let lines = sorted.iter().filter(|(name, _)| **name != CHECKSUM);
    let length = sorted.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut text = Zeroizing::new(String::with_capacity(length));
    for (number, (name, value)) in lines.enumerate() {
        for part in [if number == 0 { "" } else { "\n" }, name, "=", value] {
            text.push_str(part);
        }
    }
    hex(&sha256(text.as_bytes()))
}

/// Adds the sum over all of a file's variables to them.
pub fn with_checksum(mut variables: Vec<Variable>) -> Vec<Variable> {
    let sum = checksum(&variables);
    variables.push((CHECKSUM.to_owned(), Zeroizing::new(sum)));
    variables
}

/// Refuses the variables of a file whose sum does not hold, if they state one.
pub fn verify_checksum(variables: &[Variable]) -> Result<()> {
    let stated =
        variables.iter().find(|(name, _)| name == CHECKSUM).map(|(_, value)| value.as_str()).filter(|sum| !sum.is_empty());
    if stated.is_some_and(|sum| !sum.eq_ignore_ascii_case(&checksum(variables))) {
        return Err(Error::new(ErrorKind::Damaged, "checksum", format!("{CHECKSUM} does not hold: the file was changed"))
            .hint(format!("if the change was yours, remove {CHECKSUM} from the file")));
    }
    Ok(())
}
