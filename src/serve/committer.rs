//! Group commit: changes that are asked for at the same time become one commit, and each asker hears of it once it is durable.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::{mpsc, oneshot};

use super::journal::Journal;
use super::keeper::Open;
use crate::vault::{Changes, Error, ErrorKind, Result};

/// How many changes may wait. Whoever comes behind waits for room, with its request and not more.
const WAITING: usize = 1024;
/// How long a failed commit says that the next may fail as well.
const DOUBTFUL: Duration = Duration::from_secs(60);
/// How many changes are one commit at most.
const TOGETHER: usize = 256;
/// Of how many bytes a commit is at most; the last change of it may go beyond.
const TOGETHER_BYTES: usize = 8 << 20;

/// The time, in milliseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A change that waits for its commit.
trait Waiting: Send {
    /// Makes the change; called again if the commit has to be begun anew.
    fn make(&mut self, changes: &mut Changes<'_>);
    /// Tells the asker.
    fn tell(self: Box<Self>, committed: std::result::Result<(), &Error>);
}

struct Change<F, T> {
    make: F,
    made: Option<Result<T>>,
    asker: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnMut(&mut Changes<'_>) -> Result<T> + Send> Waiting for Change<F, T> {
    fn make(&mut self, changes: &mut Changes<'_>) {
        // One change that fails in an unforeseen way ends neither the others nor the thread; nothing of it is in the commit.
        let made = catch_unwind(AssertUnwindSafe(|| (self.make)(changes)));
        self.made = Some(made.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "internal", "a change failed"))));
    }

    fn tell(self: Box<Self>, committed: std::result::Result<(), &Error>) {
        let made = match (committed, self.made) {
            // What was refused may have been refused by a change of the same commit.
            (Err(error), _) => Err(error.clone()),
            (Ok(()), Some(made)) => made,
            (Ok(()), None) => Err(Error::new(ErrorKind::Internal, "internal", "a change was not made")),
        };
        // Whoever hung up has no use for it.
        let _ = self.asker.send(made);
    }
}

/// A change, and the vault that it is of.
type Queued = (Arc<Open>, Box<dyn Waiting>);

/// Commits changes, in the order in which they came.
#[derive(Clone)]
pub struct Committer {
    queue: mpsc::Sender<Queued>,
    outcome: Arc<Outcome>,
}

/// How committing goes, and who hears of it.
struct Outcome {
    failing: Mutex<Option<(Instant, &'static str)>>,
    failures: Counter,
    /// What was said last that a commit has to say though it holds.
    noted: Mutex<String>,
    say: Box<dyn Fn(&str) + Send + Sync>,
}

impl Outcome {
    fn note(&self, committed: &Result<Option<String>>) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match committed {
            Ok(note) => {
                *failing = None;
                if let Some(note) = note {
                    self.say_once(note);
                }
            }
            Err(error) if error.kind() == ErrorKind::Io => {
                self.failures.inc();
                *failing = Some((Instant::now(), error.code()));
            }
            Err(_) => {}
        }
    }

    /// The same with other numbers is not said again.
    fn say_once(&self, note: &str) {
        let gist = note.replace(|c: char| c.is_ascii_digit(), "");
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if *noted != gist {
            (self.say)(note);
            *noted = gist;
        }
    }
}

impl Committer {
    /// Starts the thread that commits. It ends when the last handle is dropped.
    /// `say` hears what there is to say of commits that hold.
    pub fn start(journal: Arc<Journal>, say: impl Fn(&str) + Send + Sync + 'static) -> std::io::Result<Self> {
        let (queue, waiting) = mpsc::channel(WAITING);
        let (failing, failures, noted) = (Mutex::default(), Counter::default(), Mutex::default());
        let outcome = Arc::new(Outcome { failing, failures, noted, say: Box::new(say) });
        let noting = outcome.clone();
        std::thread::Builder::new().name("commit".to_owned()).spawn(move || commit_all(waiting, &journal, &noting))?;
        Ok(Self { queue, outcome })
    }

    /// The code of what the last commit failed with, if it did, and not so long ago that it may have been mended without anybody's having tried since.
    pub fn failing(&self) -> Option<&'static str> {
        let failing = *self.outcome.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.filter(|(at, _)| at.elapsed() < DOUBTFUL).map(|(_, code)| code)
    }

    /// How many commits the file or its medium did not take.
    pub fn failures(&self) -> Counter {
        self.outcome.failures.clone()
    }

    /// Makes a change and waits until it is durable. `make` runs on another thread, sees what was changed before it, and may run twice.
    pub async fn change<T: Send + 'static>(
        &self,
        open: &Arc<Open>,
        make: impl FnMut(&mut Changes<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let gone = || Error::new(ErrorKind::Io, "shutting_down", "the server is shutting down");
        let (asker, answer) = oneshot::channel();
        let change: Box<dyn Waiting> = Box::new(Change { make, made: None, asker });
        self.queue.send((open.clone(), change)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn commit_all(mut waiting: mpsc::Receiver<Queued>, journal: &Journal, outcome: &Outcome) {
    let mut next = VecDeque::new();
    loop {
        if next.is_empty() {
            let Some(first) = waiting.blocking_recv() else { return };
            next.push_back(first);
        }
        while next.len() < TOGETHER
            && let Ok(more) = waiting.try_recv()
        {
            next.push_back(more);
        }
        let Some((open, _)) = next.front() else { continue };
        let open = open.clone();
        // Those of another opening of the vault are a commit of their own.
        let alike = next.iter().take_while(|(other, _)| Arc::ptr_eq(other, &open)).count();
        let together: Vec<_> = next.drain(..alike).map(|(_, change)| change).collect();
        for left in commit(&open, together, journal, outcome).into_iter().rev() {
            next.push_front((open.clone(), left));
        }
    }
}

/// Makes one commit of changes, and tells their askers. Returns those that would have made it too large.
fn commit(open: &Open, mut together: Vec<Box<dyn Waiting>>, journal: &Journal, outcome: &Outcome) -> Vec<Box<dyn Waiting>> {
    let reach = journal.take_reach();
    let mut made = 0;
    let committed = open.vault.change_together(now(), &mut |changes| {
        made = 0;
        for change in &mut together {
            change.make(changes);
            made += 1;
            if changes.bytes() >= TOGETHER_BYTES {
                break;
            }
        }
        if let Some(anchor) = &reach {
            // On top of what was asked for; what is asked for does not fail by it.
            let _ = changes.put_audit_anchor(anchor);
        }
    });
    if committed.as_ref().is_err_and(|error| error.code() == "state_unknown") {
        open.doubt();
    }
    outcome.note(&committed);
    let is_committed = committed.is_ok();
    let committed = committed.as_ref().map(|_| ());
    // If none was made, it is for a reason that is that of all.
    let left = if made == 0 { Vec::new() } else { together.split_off(made) };
    for change in together {
        change.tell(committed);
    }
    if let Some(anchor) = reach.filter(|_| is_committed) {
        journal.note_in_vault(&anchor);
    }
    left
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::format::record::Kind;
    use crate::name::{EntryId, Name};
    use crate::secret::{RawKey, SecretValue};
    use crate::serve::journal::JournalSettings;
    use crate::serve::keeper::Keeper;
    use crate::vault::{Credential, NewSlot, Options, Vault, Write};

    #[test]
    fn a_commit_is_as_large_as_it_may_be_and_leaves_the_rest_for_the_next() {
        let directory = std::env::temp_dir().join(format!("vault-commit-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("test.vault");
        let key = || RawKey::new([7; 32].into());
        Vault::create(&path, &[("key".to_owned(), NewSlot::RawKey(key()))], now()).unwrap();
        let keeper = Keeper::sealed(path, Options::default(), Duration::from_secs(60)).unwrap();
        let open = keeper.unseal(Credential::RawKey(key())).unwrap();
        let settings = JournalSettings {
            enabled: false,
            required: false,
            sync: crate::audit::Sync::Always,
            directory: None,
            memory: None,
            retention_days: 0,
        };
        let journal = Journal::start(settings, |error| unreachable!("{error}")).unwrap();
        let outcome = Outcome {
            failing: Mutex::default(),
            failures: Counter::default(),
            noted: Mutex::default(),
            say: Box::new(|note| unreachable!("{note}")),
        };
        let mut answers = Vec::new();
        let change = |number: usize| {
            let (asker, answer) = oneshot::channel();
            let make = move |changes: &mut Changes<'_>| {
                let id = EntryId::plain(Name::parse(&format!("n{number}")).unwrap());
                changes.set(&id, &Write::value(SecretValue::new(vec![1; 1 << 20].into()), Kind::Bytes))
            };
            (Box::new(Change { make, made: None, asker }) as Box<dyn Waiting>, answer)
        };
        let (changes, receivers): (Vec<_>, Vec<_>) = (0..12).map(change).unzip();
        answers.extend(receivers);
        let left = commit(&open, changes, &journal, &outcome);
        assert_eq!((left.len(), open.vault.count().unwrap()), (4, 8));
        assert!(commit(&open, left, &journal, &outcome).is_empty());
        assert_eq!(open.vault.count().unwrap(), 12);
        assert!(answers.into_iter().all(|mut answer| answer.try_recv().unwrap().is_ok()));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
