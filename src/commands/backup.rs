//! `vault backup`

use std::path::{Path, PathBuf};

use clap::Args;

use super::context::Context;
use super::exit;
use super::files::{make_parent, write_verified};
use crate::audit::{Action, Event};
use crate::vault::{Error, ErrorKind, Result};

/// Write a verified copy of the vault file
///
/// The copy holds the newest commit and everything before it, whatever is written meanwhile. It is opened and checked in
/// full before this ends.
///
/// With --keep the copy goes into a directory, under the vault's name and the time; the oldest of such copies are removed when the new one is there and
/// was verified. Nothing else in the directory is touched.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// Where the copy goes; nothing may be there. With --keep: the directory
    file: PathBuf,
    /// Keep so many copies in the directory
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "force")]
    keep: Option<u32>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

pub fn run(context: &mut Context, args: BackupArgs) -> Result<u8> {
    let path = context.vault_path()?;
    let generations = args.keep.map(|keep| Generations::of(&path, &args.file, keep)).transpose()?;
    let file = match &generations {
        Some(generations) => generations.next(context.now())?,
        None => args.file,
    };
    if !args.force && file.symlink_metadata().is_ok() {
        return Err(Error::new(ErrorKind::Conflict, "exists", format!("{} exists already", file.display()))
            .hint("use --force to replace it"));
    }
    let vault = context.unlock_exempt(&path)?;
    context.about(&vault, Action::Backup, None)?;
    if vault.facts().is_some_and(|facts| facts.tail) {
        context.note("warning: bytes at the end of the vault belong to no commit that can be read; they are not in the copy");
    }
    let bytes = vault.image()?;
    let checked = write_verified(&file, &bytes, |copy| context.unlock_exempt(copy)?.check())?;
    context.record(&vault, &[Event::new(Action::Backup).detail(format!("{} entries", checked.entries))])?;
    context.note(&format!("{} entries, {} values verified in {}", checked.entries, checked.values, file.display()));
    if let Some(generations) = generations {
        generations.remove_oldest()?;
    }
    Ok(exit::OK)
}

/// The copies of one vault in a directory, told apart by the times in their names.
struct Generations {
    directory: PathBuf,
    /// The vault's name.
    stem: String,
    keep: usize,
}

impl Generations {
    fn of(vault: &Path, directory: &Path, keep: u32) -> Result<Self> {
        let stem = vault.file_stem().and_then(|stem| stem.to_str());
        let stem =
            stem.ok_or_else(|| Error::usage("the name of the vault file is not text, and the copies are named after it"))?;
        make_parent(&directory.join("file"))?;
        Ok(Self { directory: directory.to_owned(), stem: stem.to_owned(), keep: keep as usize })
    }

    /// Where the copy of this time goes.
    fn next(&self, now: u64) -> Result<PathBuf> {
        let time = i64::try_from(now).ok().and_then(|time| jiff::Timestamp::from_millisecond(time).ok());
        let time = time.ok_or_else(|| Error::usage("the clock is beyond all calendars"))?;
        Ok(self.directory.join(format!("{}-{}.vault", self.stem, time.strftime("%Y%m%dT%H%M%S%3fZ"))))
    }

    /// Whether a file is one of the copies: by its whole name, so that no other vault's is taken for one.
    fn is_ours(&self, name: &str) -> bool {
        let time = name.strip_prefix(&self.stem).and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".vault"));
        time.is_some_and(|time| {
            time.len() == "20270131T120000000Z".len()
                && time.char_indices().all(|(at, c)| match at {
                    8 => c == 'T',
                    18 => c == 'Z',
                    _ => c.is_ascii_digit(),
                })
        })
    }

    fn remove_oldest(&self) -> Result<()> {
        let doing = || format!("look into {}", self.directory.display());
        let mut ours = Vec::new();
        for file in std::fs::read_dir(&self.directory).map_err(|error| Error::io(doing(), &error))? {
            let file = file.map_err(|error| Error::io(doing(), &error))?;
            if file.file_name().to_str().is_some_and(|name| self.is_ours(name))
                && file.file_type().is_ok_and(|kind| kind.is_file())
            {
                ours.push(file.path());
            }
        }
        // Their names are in the order of their times.
        ours.sort();
        let surplus = ours.len().saturating_sub(self.keep);
        for path in ours.iter().take(surplus) {
            std::fs::remove_file(path).map_err(|error| Error::io(format!("remove {}", path.display()), &error))?;
        }
        Ok(())
    }
}
