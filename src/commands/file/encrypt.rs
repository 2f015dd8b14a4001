//! `vault file encrypt`

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Hashing, SUFFIX, hash_of_plaintext, refuse_existing, shown, with_suffix};
use crate::audit::{Action, Event};
use crate::commands::context::{Context, parse_category};
use crate::commands::exit;
use crate::commands::files::Sink;
use crate::vault::{Error, ErrorKind, Result};

/// Encrypt a file, as FILE.vault beside it
///
/// The file stays, unless --remove: then what was written is read back and compared first. Removing takes away the name; what the file held may still be
/// found on the disk, in snapshots and in backups. With --category or -e, keys that are limited to these decrypt it too.
#[derive(Args, Debug)]
pub struct EncryptArgs {
    /// The file, of any length and content
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Write to this file, 0600, instead
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<PathBuf>,
    /// With the keys of this category, if it has its own
    #[arg(long, value_name = "CATEGORY")]
    category: Option<String>,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
    /// Remove the file once what was written is proved
    #[arg(long)]
    remove: bool,
}

pub fn run(context: &mut Context, args: EncryptArgs) -> Result<u8> {
    let out = args.out.clone().unwrap_or_else(|| with_suffix(&args.file, SUFFIX));
    let category = args.category.as_deref().map(parse_category).transpose()?;
    let environment = context.environment()?;
    if out.as_os_str() == "-" {
        return Err(Error::usage("a file goes to a file").hint("`vault encrypt` writes to standard output"));
    }
    refuse_existing(&out, args.force)?;
    if args.remove && args.file.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
        return Err(Error::usage(format!("{} is a link, and what it leads to would stay", shown(&args.file)))
            .hint("name the file itself, or leave out --remove"));
    }
    let file = File::open(&args.file).map_err(|error| Error::io(format!("read {}", args.file.display()), &error))?;
    let before = stamp(&file);
    let names = file.metadata().map_or(1, |metadata| metadata.nlink());
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(Error::usage(format!("{} is not a regular file", shown(&args.file))).hint("pipe it through `vault encrypt`"));
    }
    if same_file(&args.file, &out) {
        return Err(Error::usage("the file cannot take its own place").hint("write elsewhere with --out, and use --remove"));
    }
    let vault = context.unlock()?;
    context.about(&vault, Action::Encrypt, None)?;
    let mut input = Hashing::new(file);
    let mut sink = Sink::open(Some(&out))?;
    vault.encrypt_to(category.as_ref(), environment.as_ref(), false, &mut input, &mut sink)?;
    // It may have come meanwhile.
    refuse_existing(&out, args.force)?;
    sink.finish()?;
    context.record(&vault, &[Event::new(Action::Encrypt).detail("a file")])?;
    if args.remove {
        if hash_of_plaintext(&vault, &out)? != input.hash() {
            return Err(Error::new(ErrorKind::Io, "not_verified", format!("{} does not hold what was read", shown(&out)))
                .hint("the file was not removed"));
        }
        let now = File::open(&args.file).ok().and_then(|file| stamp(&file));
        if now.is_none() || now != before {
            return Err(Error::new(ErrorKind::Conflict, "changed", format!("{} was changed meanwhile", shown(&args.file)))
                .hint("it was not removed; encrypt it again with --force"));
        }
        std::fs::remove_file(&args.file).map_err(|error| Error::io(format!("remove {}", args.file.display()), &error))?;
        if names > 1 {
            context.note("warning: the file has other names, under which it is still there");
        }
        context.note(&format!(
            "note: removed {}; what it held may still be on the disk, in snapshots and in backups",
            shown(&args.file)
        ));
    }
    Ok(exit::OK)
}

/// What tells a file, and that it was written to.
fn stamp(file: &File) -> Option<[i64; 6]> {
    let metadata = file.metadata().ok()?;
    let (device, inode, size) = (metadata.dev() as i64, metadata.ino() as i64, metadata.size() as i64);
    Some([device, inode, size, metadata.mtime(), metadata.mtime_nsec(), metadata.ctime_nsec()])
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
