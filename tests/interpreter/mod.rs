//! The Python that has the packages of `tests/python/requirements.txt`: that of VAULT_TEST_PYTHON, else of `target/python-venv`, else `python3`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter, if it has these modules. If not, says what is skipped; where everything is to be tested (`.ci/run`), it has to.
pub fn python(modules: &str) -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("python-venv").join("bin/python");
    let python = match std::env::var_os("VAULT_TEST_PYTHON") {
        Some(path) => PathBuf::from(path),
        None if venv.exists() => venv,
        None => PathBuf::from("python3"),
    };
    let found = python_command(&python).args(["-c", &format!("import {modules}")]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    assert!(std::env::var_os("VAULT_TEST_REQUIRE").is_none(), "{} has not the packages of tests/python", python.display());
    println!("skipped: {} has not the packages of tests/python/requirements.txt", python.display());
    None
}

/// A run of it that leaves nothing behind.
pub fn python_command(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
