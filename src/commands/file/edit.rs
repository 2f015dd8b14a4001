//! `vault file edit`

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{SUFFIX, shown, with_suffix};
use crate::audit::{Action, Event};
use crate::commands::context::{Context, parse_category};
use crate::commands::exit;
use crate::commands::files::{Memory, Sink, read_all};
use crate::crypto::Hash;
use crate::process;
use crate::store::file::lock;
use crate::term::editor;
use crate::vault::{Error, ErrorKind, Result, stream_info};

/// Edit an encrypted file in an editor
///
/// The editor is that of VISUAL or EDITOR. It works on a 0600 file in memory that is wiped afterwards, and the encrypted file is replaced only if the text was
/// changed. If somebody else changed it in the meantime, it stays, and what was edited is kept beside it, encrypted. A file that is not there is made.
#[derive(Args, Debug)]
pub struct EditArgs {
    /// The encrypted file
    #[arg(value_name = "FILE.vault", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// With the keys of this category, if it has its own [default: those that it has]
    #[arg(long, value_name = "CATEGORY")]
    category: Option<String>,
}

pub fn run(context: &mut Context, args: EditArgs) -> Result<u8> {
    // A link stays one: what it leads to is replaced.
    let path = args.file.canonicalize().unwrap_or_else(|_| args.file.clone());
    let given = args.category.as_deref().map(parse_category).transpose()?;
    let environment = context.environment()?;
    let old = read(&path)?;
    let vault = context.unlock()?;
    let mut plain = Memory::default();
    let (mut category, mut of_environment) = (given.clone(), environment.clone());
    if let Some(old) = &old {
        let info = stream_info(&mut old.as_slice())?;
        context.about(&vault, Action::Decrypt, None)?;
        vault.decrypt_to(&mut old.as_slice(), &mut plain)?;
        context.record(&vault, &[Event::new(Action::Decrypt).detail("a file, to edit it")])?;
        if given.is_none() && context.global.env.is_none() {
            (category, of_environment) = (info.category, info.environment);
        }
    }
    if std::str::from_utf8(&plain.0).is_err() {
        return Err(Error::usage("the file is not text").hint("decrypt it, change it, and encrypt it again with --force"));
    }
    let Some(new) = editor::edit_as(&edited_name(&path), &plain.0, process::undisturbed)? else {
        context.note("nothing changed");
        return Ok(exit::OK);
    };
    let seen = old.as_deref().map(|bytes| Hash::of(bytes));
    let write = |path: &Path| -> Result<Sink> {
        let mut sink = Sink::open(Some(path))?;
        vault.encrypt_to(category.as_ref(), of_environment.as_ref(), false, &mut new.expose(), &mut sink)?;
        Ok(sink)
    };
    let sink = write(&path)?;
    // Two that end at the same time take turns; the second sees what the first did.
    let locked = File::open(&path).ok();
    if let Some(locked) = &locked {
        lock::exclusive(locked).map_err(|error| Error::io(format!("lock {}", path.display()), &error))?;
    }
    if read(&path)?.as_deref().map(|bytes| Hash::of(bytes)) == seen {
        sink.finish()?;
        context.record(&vault, &[Event::new(Action::Encrypt).detail("a file that was edited")])?;
        return Ok(exit::OK);
    }
    drop(sink);
    let kept = with_suffix(&path, &format!(".edited-{}", &Hash::of(&crate::crypto::random::<16>()?).to_hex()[..8]));
    write(&kept)?.finish()?;
    Err(Error::new(ErrorKind::Conflict, "changed", format!("{} was changed by somebody else and was left alone", shown(&path)))
        .hint(format!("what you edited is in {}, encrypted", shown(&kept))))
}

/// The bytes of the encrypted file; nothing if there is none.
fn read(path: &Path) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>> {
    let doing = format!("read {}", path.display());
    match File::open(path) {
        Ok(mut file) => read_all(&mut file.by_ref(), 64 * 1024, &doing).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(doing, &error)),
    }
}

/// The name by which an editor tells the language: that of the file without what encryption added.
fn edited_name(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.strip_suffix(SUFFIX).unwrap_or(name);
    if name.is_empty() || name.starts_with('-') { "value".to_owned() } else { name.to_owned() }
}
