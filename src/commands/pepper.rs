//! The peppers of users' passwords: from the environment, for the server and for the commands that make or take over what passwords are compared with.

use std::path::Path;

use zeroize::Zeroizing;

use super::context::path_variable;
use super::files::read_file;
use crate::secret::PepperSecret;
use crate::vault::users::Peppers;
use crate::vault::{Error, Result};

/// `PEPPER`, or the file `PEPPER_FILE`, makes new verifiers; `PEPPER_OLD`, or each line of the file `PEPPER_OLD_FILE`, still proves those that were
/// made before.
pub fn peppers() -> Result<Peppers> {
    let older = match variable("PEPPER_OLD") {
        Some(pepper) => vec![pepper],
        None => path_variable("PEPPER_OLD_FILE").map_or(Ok(Vec::new()), |path| lines(&path))?,
    };
    Ok(Peppers::new(current_pepper()?, older))
}

/// `PEPPER`, or what the file `PEPPER_FILE` holds.
pub fn current_pepper() -> Result<Option<PepperSecret>> {
    match variable("PEPPER") {
        Some(pepper) => Ok(Some(pepper)),
        None => path_variable("PEPPER_FILE").map(|path| pepper_of(&path)).transpose(),
    }
}

/// The pepper that a file holds, in its one line.
pub fn pepper_of(path: &Path) -> Result<PepperSecret> {
    let mut lines = lines(path)?;
    match (lines.pop(), lines.is_empty()) {
        (Some(pepper), true) => Ok(pepper),
        // Without it nobody could sign in, and with a part of it neither.
        _ => Err(Error::usage(format!("{} does not hold a pepper in one line", path.display()))),
    }
}

fn lines(path: &Path) -> Result<Vec<PepperSecret>> {
    let bytes = read_file(path)?;
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    Ok(lines.filter(|line| !line.is_empty()).map(|line| PepperSecret::new(Zeroizing::new(line.to_vec()))).collect())
}

fn variable(name: &str) -> Option<PepperSecret> {
    let text = std::env::var_os(name).filter(|text| !text.is_empty())?;
    Some(PepperSecret::new(Zeroizing::new(text.into_encoded_bytes())))
}
