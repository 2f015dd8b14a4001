//! Mail: one-time codes on their way to those who asked for them.
//!
//! A message is taken into a queue, and one thread carries what is in it, by SMTP or into a directory. What fails for the moment is tried again
//! until its time has run out. Neither addresses nor texts stand in any line of the log.

mod letter;
mod outbox;
mod smtp;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::lines::Lines;
use super::metrics::MailNumbers;
use letter::Letter;
use outbox::Outbox;
use smtp::Smtp;

pub use letter::{Message, Sender};
pub use smtp::{SmtpCredentials, SmtpSettings};

/// How many messages may wait.
const WAITING: usize = 1024;
/// How long a message waits after its first failure; each time twice as long, but a code lives for a minute and not for ever.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// How long everything waits at most when it is the server that fails.
const LONGEST_PAUSE_OF_ALL: Duration = Duration::from_secs(4);
/// How long a connection is kept for the next message.
const KEPT: Duration = Duration::from_secs(10);

/// How mail leaves.
#[derive(Debug, Clone)]
pub enum MailWay {
    /// By a mail server.
    Smtp(SmtpSettings),
    /// Into a directory, a file each.
    Outbox(PathBuf),
}

impl std::fmt::Display for MailWay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Smtp(SmtpSettings { host, port, .. }) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Smtp(SmtpSettings { host, port, .. }) => write!(f, "{host}:{port}"),
            Self::Outbox(directory) => write!(f, "{}", directory.display()),
        }
    }
}

/// The queue is full.
#[derive(Debug, thiserror::Error)]
#[error("the queue of mail is full")]
pub struct QueueFull;

/// Takes mail. It ends with this handle; what waits then is dropped.
pub struct Mail {
    shared: Arc<Shared>,
    sender: Sender,
}

impl Mail {
    /// Starts the thread that carries mail.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a way that cannot be used; else the thread could not be started.
    pub fn start(way: MailWay, sender: Sender, lines: Lines, numbers: MailNumbers) -> io::Result<Self> {
        let carrier = match way {
            MailWay::Smtp(settings) => Carrier::Smtp(Box::new(Smtp::new(settings)?)),
            MailWay::Outbox(directory) => Carrier::Outbox(Outbox::open(&directory)?),
        };
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), lines, numbers });
        let carried = shared.clone();
        std::thread::Builder::new().name("mail".to_owned()).spawn(move || carry_all(&carried, carrier))?;
        Ok(Self { shared, sender })
    }

    /// Takes a message into the queue. It is tried until `until` and then dropped: a code that has run out is worth nothing.
    ///
    /// # Errors
    /// [`QueueFull`].
    pub fn send(&self, message: Message, until: Instant) -> Result<(), QueueFull> {
        let letter = Letter::write(&self.sender, &message);
        let mut queue = self.shared.queue();
        if queue.waiting.len() >= WAITING {
            return Err(QueueFull);
        }
        match letter {
            Some(letter) => queue.waiting.push(Waiting { letter, until, due: Instant::now(), failures: 0, last: None }),
            None => self.shared.failed("it cannot be written as mail"),
        }
        self.shared.tell(&queue);
        Ok(())
    }

    /// Waits until everything has left, or the time has come; how many messages are left then.
    pub fn finish(&self, end: Instant) -> usize {
        let mut queue = self.shared.queue();
        loop {
            let left = queue.waiting.len() + usize::from(queue.is_under_way);
            let rest = end.saturating_duration_since(Instant::now());
            if left == 0 || rest.is_zero() {
                return left;
            }
            queue = self.shared.changed.wait_timeout(queue, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        self.shared.queue().is_ended = true;
        self.shared.changed.notify_all();
    }
}

/// Why something was not sent.
#[derive(Debug)]
struct Failure {
    /// In words for the log.
    what: String,
    /// It may go well later.
    is_temporary: bool,
    /// Another message may go well.
    is_of_message: bool,
}

impl Failure {
    fn of_the_way(what: String) -> Self {
        Self { what, is_temporary: true, is_of_message: false }
    }

    fn of_message(what: String, is_temporary: bool) -> Self {
        Self { what, is_temporary, is_of_message: true }
    }
}

enum Carrier {
    Smtp(Box<Smtp>),
    Outbox(Outbox),
}

impl Carrier {
    fn deliver(&mut self, letter: &Letter) -> Result<(), Failure> {
        match self {
            Self::Smtp(smtp) => smtp.deliver(letter),
            Self::Outbox(outbox) => outbox.deliver(letter),
        }
    }

    fn rest(&mut self) {
        if let Self::Smtp(smtp) = self {
            smtp.rest();
        }
    }
}

struct Waiting {
    letter: Letter,
    until: Instant,
    due: Instant,
    failures: u32,
    last: Option<String>,
}

#[derive(Default)]
struct Queue {
    /// In the order in which they came, but for those that failed.
    waiting: Vec<Waiting>,
    is_under_way: bool,
    /// How often in a row it was not the message that failed.
    failures: u32,
    /// Until when nothing is tried.
    pause: Option<Instant>,
    is_ended: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    lines: Lines,
    numbers: MailNumbers,
}

/// What the thread does next.
enum Turn {
    Deliver(Box<Waiting>),
    /// Nothing was there for a while.
    Rest,
    End,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, queue: &Queue) {
        let count = queue.waiting.len() + usize::from(queue.is_under_way);
        self.numbers.waiting.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.changed.notify_all();
    }

    fn failed(&self, what: &str) {
        self.numbers.failed.inc();
        self.lines.failure("mail", &format!("a message was not sent: {what}"));
    }

    /// Waits for a message whose turn it is.
    fn next(&self) -> Turn {
        let mut queue = self.queue();
        loop {
            if queue.is_ended {
                return Turn::End;
            }
            let now = Instant::now();
            for late in queue.waiting.extract_if(.., |waiting| waiting.until <= now) {
                self.failed(late.last.as_deref().unwrap_or("its time has run out"));
            }
            let pause = queue.pause.unwrap_or(now);
            let first = queue.waiting.iter().enumerate().min_by_key(|(_, waiting)| waiting.due);
            let wait = match first {
                None => KEPT,
                Some((at, waiting)) if waiting.due.max(pause) <= now => {
                    let waiting = queue.waiting.remove(at);
                    queue.is_under_way = true;
                    return Turn::Deliver(Box::new(waiting));
                }
                Some((_, waiting)) => {
                    let ends = queue.waiting.iter().map(|waiting| waiting.until).min().unwrap_or(now);
                    waiting.due.max(pause).min(ends).saturating_duration_since(now)
                }
            };
            self.tell(&queue);
            let is_empty = queue.waiting.is_empty();
            let (woken, waited) = self.changed.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner);
            if is_empty && waited.timed_out() {
                return Turn::Rest;
            }
            queue = woken;
        }
    }

    fn done(&self, mut waiting: Waiting, result: Result<(), Failure>) {
        let mut queue = self.queue();
        queue.is_under_way = false;
        match result {
            Ok(()) => {
                self.numbers.sent.inc();
                (queue.failures, queue.pause) = (0, None);
            }
            Err(failure) => {
                let now = Instant::now();
                waiting.due = now + pause(waiting.failures, LONGEST_PAUSE);
                waiting.failures += 1;
                if failure.is_of_message {
                    (queue.failures, queue.pause) = (0, None);
                } else {
                    queue.pause = Some(now + pause(queue.failures, LONGEST_PAUSE_OF_ALL));
                    if queue.failures == 0 && failure.is_temporary {
                        self.lines.notice(&format!("mail waits: {}", failure.what));
                    }
                    queue.failures = queue.failures.saturating_add(1);
                }
                if failure.is_temporary && waiting.due < waiting.until {
                    waiting.last = Some(failure.what);
                    queue.waiting.push(waiting);
                } else {
                    self.failed(&failure.what);
                }
            }
        }
        self.tell(&queue);
    }
}

fn pause(failures: u32, longest: Duration) -> Duration {
    FIRST_PAUSE.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(longest)
}

fn carry_all(shared: &Shared, mut carrier: Carrier) {
    loop {
        match shared.next() {
            Turn::Deliver(waiting) => {
                // One message that fails in an unforeseen way ends neither the others nor the thread.
                let result = catch_unwind(AssertUnwindSafe(|| carrier.deliver(&waiting.letter)));
                let unforeseen = || Failure::of_message("a defect of this program".to_owned(), false);
                shared.done(*waiting, result.unwrap_or_else(|_| Err(unforeseen())));
            }
            Turn::Rest => carrier.rest(),
            Turn::End => return carrier.rest(),
        }
    }
}
