//! This machine's part in rotations: who carries one out, and whose commands may run here.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use crate::commands::context::{format_time, state_directory};
use crate::commands::files::write_private;
use crate::crypto::{self, Transcript, keyed_hash};
use crate::format::rotation::Owner;
use crate::format::schedule::Schedule;
use crate::name::EntryId;
use crate::store::file::lock;
use crate::vault::{Error, ErrorKind, Result, Vault};

/// What a mark of trust is bound to.
const TRUST: &str = "vault/1 commands that are trusted on a machine";
const KEY: usize = 32;

/// This machine, as far as rotations go.
pub struct Machine {
    /// Where locks and marks are; `None` where there is no place for them.
    directory: Option<PathBuf>,
    host: String,
    place: String,
}

impl Machine {
    /// The machine that this runs on.
    pub fn this() -> Self {
        let directory = state_directory().and_then(|witness| Some(witness.parent()?.join("rotation")));
        let directory = directory.filter(|path| DirBuilder::new().recursive(true).mode(0o700).create(path).is_ok());
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        // Two processes see each other's locks if they are of one system and one directory.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_else(|_| host.clone());
        let inode = directory.as_ref().and_then(|path| path.metadata().ok()).map(|place| (place.dev(), place.ino()));
        let place = inode.map_or_else(String::new, |(device, inode)| format!("{} {device}:{inode}", boot.trim()));
        Self { directory, host, place }
    }

    /// This process, as the one that carries a rotation out until a time.
    pub fn owner(&self, until: u64) -> Result<Owner> {
        let process = u64::from(std::process::id());
        Ok(Owner { host: self.host.clone(), place: self.place.clone(), process, until, run: crypto::random()? })
    }

    /// Takes an entry's lock. It is held as long as this process lives, or anything that was started with it.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if another process holds it.
    pub fn hold(&self, vault: &Vault, uid: &str, name: &dyn std::fmt::Display) -> Result<Hold> {
        let Some(path) = self.file(vault, uid) else { return Ok(Hold(None)) };
        let Ok(file) = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path) else {
            return Ok(Hold(None));
        };
        match lock::try_exclusive(&file) {
            Ok(true) => Ok(Hold(Some(file))),
            Ok(false) => Err(busy(&format!("'{name}' is being rotated by another process"))),
            // A file system without locks: the time in the journal is left.
            Err(_) => Ok(Hold(None)),
        }
    }

    /// Takes an entry's lock from whatever was left running with it by a process that was killed: another file is put in its place.
    pub fn hold_anew(&self, vault: &Vault, uid: &str, name: &dyn std::fmt::Display) -> Result<Hold> {
        if let Some(path) = self.file(vault, uid) {
            // Where that is not possible, the time in the journal is all that keeps others away.
            let marks = self.marks(vault, uid).into_iter().map(|mark| mark + "\n").collect::<String>();
            let _ = write_private(&path, marks.as_bytes());
        }
        self.hold(vault, uid, name)
    }

    /// Refuses a rotation that somebody still carries out, given that nobody else of this machine does.
    pub fn refuse_alive(&self, owner: &Owner, name: &dyn std::fmt::Display, now: u64) -> Result<()> {
        let is_ours = !self.place.is_empty() && owner.place == self.place;
        if is_ours || now >= owner.until {
            return Ok(());
        }
        let until = format_time(owner.until);
        Err(busy(&format!("'{name}' is being rotated by process {} of {}, which has until {until}", owner.process, owner.host)))
    }

    /// Notes that these commands were given here.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if there is no place for that.
    pub fn trust(&self, vault: &Vault, uid: &str, commands: &Told<'_>) -> Result<()> {
        let fail = |error: &std::io::Error| Error::io("note that the commands are trusted", error);
        let (Some(path), Some(mark)) = (self.file(vault, uid), self.mark(vault, uid, commands)) else {
            let message = "there is no state directory to note in that the commands are trusted";
            return Err(Error::new(ErrorKind::Io, "no_state", message).hint("set HOME or XDG_STATE_HOME"));
        };
        if self.marks(vault, uid).contains(&mark) {
            return Ok(());
        }
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(|error| fail(&error))?;
        file.write_all(format!("{mark}\n").as_bytes()).map_err(|error| fail(&error))
    }

    /// Refuses commands that were not given here: whoever can write the vault could otherwise have this machine run what they like.
    pub fn refuse_untrusted(&self, vault: &Vault, uid: &str, id: &EntryId, commands: &Told<'_>) -> Result<()> {
        if self.mark(vault, uid, commands).is_some_and(|mark| self.marks(vault, uid).contains(&mark)) {
            return Ok(());
        }
        let message = format!("the commands that rotate '{id}' were not given on this machine, and are not run");
        Err(Error::new(ErrorKind::NotPermitted, "untrusted_commands", message).hint(format!(
            "look at them with `vault rotate --trust-commands {}`, which asks whether they may run",
            id.as_arguments()
        )))
    }

    fn file(&self, vault: &Vault, uid: &str) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join(format!("{}-{uid}", vault.id())))
    }

    fn marks(&self, vault: &Vault, uid: &str) -> Vec<String> {
        let text = self.file(vault, uid).and_then(|path| std::fs::read_to_string(path).ok());
        text.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// What stands for commands of an entry: it tells nothing of them without the key, which this machine alone has.
    fn mark(&self, vault: &Vault, uid: &str, commands: &Told<'_>) -> Option<String> {
        let mut transcript = Transcript::new(TRUST).bytes(vault.id().as_bytes()).bytes(uid.as_bytes());
        for command in [commands.command, commands.apply, commands.verify, commands.rollback] {
            transcript = transcript.u64(u64::from(command.is_some())).bytes(command.unwrap_or_default().as_bytes());
        }
        Some(keyed_hash(&self.key()?, transcript.as_bytes()).to_hex())
    }

    fn key(&self) -> Option<[u8; KEY]> {
        let path = self.directory.as_ref()?.join("key");
        if let Ok(mut file) = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            file.write_all(&crypto::random::<KEY>().ok()?).ok()?;
        }
        // Another process may have made it just now.
        for _ in 0..100 {
            let mut key = [0; KEY];
            if File::open(&path).and_then(|mut file| file.read_exact(&mut key)).is_ok() {
                return Some(key);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

/// An entry's lock.
pub struct Hold(Option<File>);

impl Drop for Hold {
    fn drop(&mut self) {
        // Also for what a command has left running with it: only if this process is killed does it go on counting.
        if let Some(file) = &self.0 {
            lock::release(file);
        }
    }
}

impl Hold {
    /// What keeps the lock while it is open.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }
}

/// The commands of a rotation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told<'a> {
    /// What prints the value.
    pub command: Option<&'a str>,
    /// What puts it in place.
    pub apply: Option<&'a str>,
    /// What tells whether it counts.
    pub verify: Option<&'a str>,
    /// What puts the old one back.
    pub rollback: Option<&'a str>,
}

impl<'a> Told<'a> {
    /// Those of a rotation in two phases.
    pub fn of_phases(phases: &'a crate::format::rotation::Commands) -> Self {
        let (verify, rollback) = (phases.verify.as_deref(), phases.rollback.as_deref());
        Self { command: None, apply: Some(&phases.apply), verify, rollback }
    }

    /// Those of a schedule.
    pub fn of_schedule(schedule: &'a Schedule) -> Self {
        let phases = schedule.phases.as_ref().map(Self::of_phases).unwrap_or_default();
        Self { command: schedule.command.as_deref(), ..phases }
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.command.is_none() && self.apply.is_none()
    }

    /// Each with its name.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, &'a str)> {
        let all = [("command", self.command), ("apply", self.apply), ("verify", self.verify), ("rollback", self.rollback)];
        all.into_iter().filter_map(|(name, text)| Some((name, text?)))
    }
}

fn busy(message: &str) -> Error {
    Error::new(ErrorKind::Busy, "rotation_running", message).hint("wait for it; `vault info` tells how far it has come")
}
