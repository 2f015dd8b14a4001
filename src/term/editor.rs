//! An editor on a file that stays in memory: 0600 in a directory of its own, wiped afterwards.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::memory::Place;
use crate::process;
use crate::secret::SecretValue;
use crate::vault::{Error, ErrorKind, Result};

/// Lets a person edit `text`; `None` if it is as it was. `guard` is called before there is a file with it, and what it gives is kept until
/// there is none.
pub fn edit<G>(text: &[u8], guard: impl FnOnce() -> G) -> Result<Option<SecretValue>> {
    edit_as("value", text, guard)
}

/// [`edit`], as a file of this name: by it an editor knows the language.
pub fn edit_as<G>(name: &str, text: &[u8], guard: impl FnOnce() -> G) -> Result<Option<SecretValue>> {
    let variable = |name| std::env::var_os(name).filter(|editor| !editor.is_empty());
    let editor = variable("VISUAL")
        .or_else(|| variable("EDITOR"))
        .ok_or_else(|| Error::usage("no editor is set").hint("set VISUAL or EDITOR, or pipe the value to `vault set`"))?;
    let guard = guard();
    let place = Place::new("vault-edit")?;
    let path = place.path().join(name);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| Error::io("make the file to edit", &error))?;
    file.write_all(text).map_err(|error| Error::io("write the file to edit", &error))?;
    drop(file);
    // The variable is a command line, as every program that starts an editor takes it; options and path are its arguments and never part of the text.
    let options = without_traces(&editor);
    let mut script = editor;
    script.push(" \"$@\"");
    let cannot = |error| Error::io("start the editor", &error);
    let mut editor = process::child("sh")
        .arg("-c")
        .arg(script)
        .arg("sh")
        .args(options)
        .arg(&path)
        .current_dir(place.path())
        .spawn()
        .map_err(cannot)?;
    let status = editor.wait().map_err(cannot)?;
    if !status.success() {
        return Err(Error::new(ErrorKind::Io, "editor_failed", format!("the editor ended with {status}; nothing was changed")));
    }
    let new = std::fs::read(&path).map(Zeroizing::new).map_err(|error| Error::io("read the edited file", &error))?;
    let new = strip_added_line_end(new, text);
    // With the file, the reason to go on whatever happens is gone.
    drop((place, guard));
    if new.as_slice() == text { Ok(None) } else { Ok(Some(SecretValue::new(new))) }
}

/// What keeps an editor from writing the value elsewhere: vim and its kin keep swap, backup and undo files, and what was yanked or deleted in the file
/// of their history (`viminfo`, `shada`), in the user's home. The options go before the file; of other editors none such is known.
fn without_traces(editor: &OsStr) -> &'static [&'static str] {
    let program = editor.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
    match Path::new(OsStr::from_bytes(program)).file_name().and_then(OsStr::to_str) {
        Some("vi" | "vim" | "vim.basic" | "vim.tiny" | "nvim" | "gvim" | "view" | "mvim") => {
            // The last runs behind the user's own configuration, which may ask for all of these.
            &["-n", "-i", "NONE", "-c", "set nobackup nowritebackup noundofile noswapfile"]
        }
        Some("nano") => &["--ignorercfiles"],
        _ => &[],
    }
}

/// Editors end the last line; a value that did not end in one does not get one by being edited.
fn strip_added_line_end(mut new: Zeroizing<Vec<u8>>, old: &[u8]) -> Zeroizing<Vec<u8>> {
    if new.ends_with(b"\n") && !old.ends_with(b"\n") {
        new.pop();
    }
    new
}
