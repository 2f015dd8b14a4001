//! Where passwords are compared: on a few threads of their own, behind a queue that ends. A comparison takes long and 46 MiB on purpose, and must
//! neither use up the machine nor keep others waiting.

use std::collections::HashMap;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::serve::error::{Answer, Problem};
use crate::serve::limits::group;

/// How many comparisons run at once.
const THREADS: usize = 2;
/// How many sign-ins are under way at once, those that are compared among them; the next is told to come again.
const PLACES: usize = 40;
/// How many of them one address has.
const PLACES_OF_ONE: usize = 8;
/// How long one waits before it is told to come again.
const PATIENCE: Duration = Duration::from_secs(1);
/// What others on this machine are worth more than a comparison (nice(1)).
const NICE: i32 = 10;

type Work = Box<dyn FnOnce() + Send>;
type Taken = Arc<Mutex<HashMap<IpAddr, usize>>>;

struct Job {
    queued: Instant,
    work: Work,
}

/// Compares passwords.
pub struct Hashing {
    queue: SyncSender<Job>,
    places: Arc<Semaphore>,
    /// How many of them are taken, by address.
    taken: Taken,
}

/// A place among those who sign in.
pub struct Place {
    _permit: OwnedSemaphorePermit,
    of: Option<(IpAddr, Taken)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((address, taken)) = &self.of else { return };
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(address);
            }
        }
    }
}

impl Hashing {
    /// Starts the threads. They end when this is dropped.
    pub fn start() -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(PLACES);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..THREADS {
            let jobs = jobs.clone();
            std::thread::Builder::new().name("password".to_owned()).spawn(move || work_all(&jobs))?;
        }
        Ok(Self { queue, places: Arc::new(Semaphore::new(PLACES)), taken: Arc::default() })
    }

    /// A place for as long as it is held. One address elsewhere has some of them; this machine, which may be a proxy, all.
    pub fn place(&self, from: Option<IpAddr>) -> Answer<Place> {
        let permit = self.places.clone().try_acquire_owned().map_err(|_| busy())?;
        let of = from.filter(|address| !address.is_loopback()).map(group);
        if let Some(address) = of {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let count = taken.entry(address).or_default();
            if *count >= PLACES_OF_ONE {
                return Err(busy());
            }
            *count += 1;
        }
        Ok(Place { _permit: permit, of: of.map(|address| (address, self.taken.clone())) })
    }

    /// Waits for something, but not for long.
    pub async fn patiently<T>(&self, what: impl Future<Output = T>) -> Answer<T> {
        tokio::time::timeout(PATIENCE, what).await.map_err(|_| busy())
    }

    /// Does work on one of the threads.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
        let (sender, done) = oneshot::channel();
        let work: Work = Box::new(move || {
            // Whoever hung up has no use for it.
            let _ = sender.send(work());
        });
        match self.queue.try_send(Job { queued: Instant::now(), work }) {
            Ok(()) => done.await.map_err(|_| busy()),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(busy()),
        }
    }
}

fn busy() -> Problem {
    let status = axum::http::StatusCode::SERVICE_UNAVAILABLE;
    Problem::new(status, "busy", "Too many are signing in").retry_after(1)
}

fn work_all(jobs: &Mutex<Receiver<Job>>) {
    // Of this thread alone, where the system knows that (Linux); it is no harm if it is not so.
    let _ = rustix::process::setpriority_process(None, NICE);
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { queued, work }) = job else { return };
        // Its asker is told by what is dropped here.
        if queued.elapsed() < PATIENCE {
            // One comparison that fails in an unforeseen way does not end the thread.
            let _ = catch_unwind(AssertUnwindSafe(work));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn two_at_once_and_no_more() {
        let hashing = Arc::new(Hashing::start().unwrap());
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let all_are_served = || {
            runtime().block_on(async {
                let mut tasks = Vec::new();
                for _ in 0..12 {
                    let (hashing, now, most) = (hashing.clone(), now.clone(), most.clone());
                    let work = move || {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        // The other thread is waited for: it may be a while before it runs. What is there besides has its time to come.
                        let start = Instant::now();
                        while most.load(Ordering::SeqCst) < THREADS && start.elapsed() < PATIENCE {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                        std::thread::sleep(Duration::from_millis(20));
                        now.fetch_sub(1, Ordering::SeqCst);
                    };
                    tasks.push(tokio::spawn(async move { hashing.run(work).await }));
                }
                let mut served = true;
                for task in tasks {
                    served &= task.await.unwrap().is_ok();
                }
                served
            })
        };
        // Who has waited too long is sent away, as it may come about now and then: of five times, once all are served.
        assert!((0..5).any(|_| all_are_served()));
        assert_eq!(most.load(Ordering::SeqCst), THREADS);
    }

    /// What work gives that begins in time: of five times, once.
    async fn in_time<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(hashing: &Hashing, work: impl Fn() -> W) -> T {
        for _ in 0..5 {
            if let Ok(given) = hashing.run(work()).await {
                return given;
            }
        }
        panic!("it does not begin in time");
    }

    #[test]
    fn who_waits_too_long_or_finds_no_place_is_told_to_come_again() {
        let hashing = Hashing::start().unwrap();
        runtime().block_on(async {
            // Both threads are at work, and stay so until one has waited too long.
            let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
            let end = Arc::new(Barrier::new(THREADS + 1));
            let slow = || {
                let (begun, end) = (begun.clone(), end.clone());
                move || {
                    begun.send(()).unwrap();
                    end.wait();
                }
            };
            let one_more = async {
                for _ in 0..THREADS {
                    begins.recv().await.unwrap();
                }
                let waiting = hashing.run(|| ());
                let time = async {
                    tokio::time::sleep(PATIENCE + Duration::from_millis(300)).await;
                    end.wait();
                };
                tokio::join!(waiting, time).0
            };
            let (.., waiting) = tokio::join!(in_time(&hashing, slow), in_time(&hashing, slow), one_more);
            assert_eq!(waiting.unwrap_err().status, axum::http::StatusCode::SERVICE_UNAVAILABLE);
            // A comparison that panics is the asker's trouble alone.
            assert!(hashing.run(|| std::panic::resume_unwind(Box::new(()))).await.is_err());
            assert_eq!(in_time(&hashing, || || 7).await, 7);
            let (here, there) = (None, Some(IpAddr::from([10, 0, 0, 1])));
            let some: Vec<_> = (0..PLACES_OF_ONE).map(|_| hashing.place(there).unwrap()).collect();
            assert!(hashing.place(there).is_err() && hashing.place(Some(IpAddr::from([10, 0, 0, 2]))).is_ok());
            let rest: Vec<_> = (PLACES_OF_ONE..PLACES).map(|_| hashing.place(here).unwrap()).collect();
            assert!(hashing.place(here).is_err());
            drop((some, rest));
            assert!(hashing.place(here).is_ok() && hashing.place(there).is_ok());
        });
    }
}
