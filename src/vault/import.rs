//! Writing many entries in one commit.

use super::Vault;
use super::error::{Error, ErrorKind, Result};
use super::write::Write;
use crate::format::keyspace;
use crate::name::EntryId;
use crate::store::{Batch, Snapshot};

/// What an import does with entries that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportPolicy {
    /// Nothing is imported if one exists.
    Refuse,
    /// They get a new version.
    Overwrite,
    /// They stay as they are.
    Skip,
}

/// What an import led to, or would.
#[derive(Debug, Default, Clone)]
pub struct Import {
    /// Entries that are new.
    pub created: u64,
    /// Entries that got a new version.
    pub updated: u64,
    /// Entries that exist and were left alone.
    pub skipped: u64,
    /// Those that are new or got a new version.
    pub written: Vec<EntryId>,
    /// Something that the user should know though the import holds.
    pub note: Option<String>,
}

impl Vault {
    /// Writes many entries in one commit. `done` is told how many were prepared, for a progress bar. With `dry_run` nothing is written.
    pub fn import(
        &self,
        rows: Vec<(EntryId, Write)>,
        policy: ImportPolicy,
        dry_run: bool,
        now: u64,
        done: &mut dyn FnMut(u64),
    ) -> Result<Import> {
        refuse_duplicates(&rows)?;
        let mut prepare = |snapshot: &dyn Snapshot, batch: &mut Batch| {
            let mut import = Import::default();
            let mut refused: Vec<String> = Vec::new();
            for (index, (id, write)) in rows.iter().enumerate() {
                let exists = snapshot.get(&keyspace::entry(id))?.is_some();
                match policy {
                    ImportPolicy::Refuse if exists => refused.push(id.to_string()),
                    ImportPolicy::Skip if exists => import.skipped += 1,
                    _ => {
                        self.write_entry(snapshot, batch, id, write, now)?;
                        if exists {
                            import.updated += 1
                        } else {
                            import.created += 1
                        }
                        import.written.push(id.clone());
                    }
                }
                if index % 1024 == 0 {
                    done(index as u64);
                }
            }
            if let Some(first) = refused.first() {
                let more = refused.len() - 1;
                let others = if more == 0 { String::new() } else { format!(" and {more} more") };
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "exists",
                    format!("'{first}'{others} exist already; nothing was imported"),
                )
                .hint("use --overwrite for new versions of them, or --skip-existing"));
            }
            Ok(import)
        };
        if dry_run {
            let snapshot = self.store.snapshot()?;
            return prepare(snapshot.as_ref(), &mut Batch::default());
        }
        let (import, note) = self.change(now, &mut prepare)?;
        Ok(Import { note, ..import })
    }
}

/// Two writes of one entry in one commit would not see each other.
fn refuse_duplicates(rows: &[(EntryId, Write)]) -> Result<()> {
    let mut ids: Vec<&EntryId> = rows.iter().map(|(id, _)| id).collect();
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::new(
            ErrorKind::Conflict,
            "duplicate",
            format!("'{}' occurs more than once; nothing was imported", pair[0]),
        )),
        None => Ok(()),
    }
}
