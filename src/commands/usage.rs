//! How entries were used, as far as the audit log says.

use std::collections::HashMap;

use super::context::{Context, cache_directory};
use crate::audit::{self, AuditError, Keys, Reader, Row, Summary};
use crate::term::output;
use crate::vault::{Entry, Result, Vault};

/// How an entry was used.
#[derive(Default)]
pub struct Used {
    /// How often a value of it left.
    pub reads: u64,
    /// When last, in milliseconds.
    pub last_read: Option<u64>,
    /// For which program, or for whom.
    pub last_read_by: Option<String>,
}

/// How all entries were used.
pub struct Uses {
    rows: HashMap<[u8; 16], Row>,
    /// When the log begins, in milliseconds; 0 if nothing stands in it.
    pub since: u64,
    /// How many records do not open with the key at hand.
    pub unread: u64,
}

impl Uses {
    /// How often a value of an entry left the vault.
    pub fn reads(&self, entry: &Entry) -> u64 {
        self.rows.get(entry.uid()).map_or(0, |row| row.reads)
    }

    /// When last, in milliseconds.
    pub fn last_read(&self, entry: &Entry) -> Option<u64> {
        self.rows.get(entry.uid()).map(|row| row.last_read).filter(|time| *time > 0)
    }
}

impl Context {
    /// Reads the log of a vault, with all keys that it was ever sealed by if the key at hand is full.
    ///
    /// # Errors
    /// Of the code `no_audit_log` if there is none.
    pub fn audit_reader(&self, vault: &Vault) -> Result<Reader> {
        let source = vault.audit_source().ok_or(AuditError::Missing)?;
        let path = self.audit_paths(&source).0;
        let full = source.full;
        let keys = Keys::new(source);
        Ok(Reader::open(&path, if full { keys.with_older(vault.older_audit_keys()?) } else { keys })?)
    }

    /// What the log of a vault says about each entry and in all; `None` if there is no log.
    pub fn audit_summary(&self, vault: &Vault) -> Result<Option<Summary>> {
        let reader = match self.audit_reader(vault) {
            Err(error) if error.code() == "no_audit_log" => return Ok(None),
            reader => reader?,
        };
        let source = vault.audit_source().ok_or(AuditError::Missing)?;
        let name = format!("{}.summary", audit::place(&source.id, &source.path));
        let cache = cache_directory().map(|directory| directory.join("audit").join(name));
        Ok(Some(Summary::load_or_build(reader, cache.as_deref())?))
    }

    /// How an entry was used, as far as the log says; `None` if there is none that can be read.
    pub fn use_of(&self, vault: &Vault, entry: &Entry) -> Option<Used> {
        let used = || -> Result<Option<Used>> {
            let Some(mut summary) = self.audit_summary(vault)? else { return Ok(None) };
            let Some(row) = summary.row(entry.uid())? else { return Ok(Some(Used::default())) };
            let last = summary.last_read(&row)?;
            Ok(Some(Used {
                reads: row.reads,
                last_read: (row.last_read > 0).then_some(row.last_read),
                last_read_by: last.and_then(|last| last.process.or(last.user)).map(|by| by.into_owned()),
            }))
        };
        used().unwrap_or_else(|error| {
            self.note(&format!("warning: {}", output::printable(&error.to_string())));
            None
        })
    }

    /// How all entries were used.
    ///
    /// # Errors
    /// Of the code `no_audit_log` if there is no log.
    pub fn uses(&self, vault: &Vault) -> Result<Uses> {
        let mut summary = self.audit_summary(vault)?.ok_or(AuditError::Missing)?;
        let rows = summary.rows()?.into_iter().map(|row| (row.uid, row)).collect();
        let totals = summary.totals();
        Ok(Uses { rows, since: totals.first, unread: totals.unread })
    }
}
