//! What commands that export and import share: the errors of text formats, and foreign keys in variables.

use zeroize::Zeroizing;

use crate::interchange;
use crate::vault::{Error, ErrorKind, ForeignKeys, Result, Variable};

/// The variables of this process that hold foreign keys.
pub fn foreign_variables() -> Result<Vec<Variable>> {
    let own = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| ForeignKeys::is_variable(name))?;
        Some((name, value.into_string()))
    });
    own.map(|(name, value)| match value {
        Ok(value) => Ok((name, Zeroizing::new(value))),
        Err(_) => Err(Error::usage(format!("the variable {name} is not text"))),
    })
    .collect()
}

/// An error of the text formats; they never quote a value.
pub fn text_error(error: &interchange::Error) -> Error {
    let (kind, code) = match error {
        interchange::Error::Collision { .. } => (ErrorKind::Conflict, "variable_collision"),
        _ => (ErrorKind::Usage, "bad_format"),
    };
    Error::new(kind, code, error.to_string())
}
