//! The place of a log: its file, which is opened, or made for those to whom the vault is open.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};

use super::AuditError;
use super::settings::Settings;
use crate::store::file::storage::FLAGS;

/// What is wrong if something else stands there.
pub(super) const IRREGULAR: &str = "what stands at the place of the audit log is no regular file";
/// What is being done when a log is begun.
pub(super) const CREATE: &str = "create the audit log";

/// Opens a log for appending; it is not looked at yet.
pub(super) fn open(settings: &Settings) -> Result<File, AuditError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(FLAGS);
    let failed = |doing| {
        move |error: io::Error| match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
                AuditError::Foreign("what stands at the place of the audit log is a symbolic link")
            }
            _ => AuditError::io(doing)(error),
        }
    };
    match options.open(&settings.log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let like = settings.create_like.as_deref().ok_or(AuditError::Missing)?;
            let like = std::fs::metadata(like).map_err(AuditError::io("look at the vault"))?;
            if like.mode() & 0o222 == 0 {
                // A vault that nobody may write, root aside, is one of a checkout that is to stay as it is.
                return Err(failed(CREATE)(io::ErrorKind::ReadOnlyFilesystem.into()));
            }
            let file = options.create(true).truncate(false).mode(0o600).open(&settings.log).map_err(failed(CREATE))?;
            share(&file, &like)?;
            Ok(file)
        }
        result => result.map_err(failed("open the audit log")),
    }
}

/// Gives a log that was just made to whom the vault belongs, open to those to whom the vault is, whatever the umask is.
fn share(file: &File, like: &Metadata) -> Result<(), AuditError> {
    let own = file.metadata().map_err(AuditError::io("look at the audit log"))?;
    if own.len() > 0 || own.nlink() != 1 {
        return Ok(());
    }
    // Made by root for somebody, or in a group, who are to go on with it. Whoever may not give it away keeps it.
    let owned = (own.uid(), own.gid()) == (like.uid(), like.gid())
        || fchown(file, Some(like.uid()), Some(like.gid())).is_ok()
        || own.gid() == like.gid()
        || fchown(file, None, Some(like.gid())).is_ok();
    // Others only where they may write to the vault, and so have something to record.
    let mask = if like.mode() & 0o002 == 0 { 0o660 } else { 0o666 };
    let mode = like.mode() & mask | 0o600;
    if owned && own.mode() & 0o777 != mode {
        let _ = file.set_permissions(Permissions::from_mode(mode));
    }
    Ok(())
}
