//! Changes that others make to the file while it is served: a look at it each second, for as long as somebody listens.
//!
//! What this server changes is told at once; what commands change is found by what is different from the state before. Both ways lead here, so that
//! nothing is told twice.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Server;
use super::events::Happening;
use super::keeper::Open;
use crate::store::Walk;
use crate::vault::{Difference, Seen};

/// How often it is looked whether somebody changed something.
const EVERY: Duration = Duration::from_secs(1);
/// To find what is different all entries are looked at: for each moment that takes, so many go by without.
const REST: u32 = 20;
/// How long it is remembered at least what was told.
const REMEMBERED: Duration = Duration::from_secs(10);

/// What is known of the file, and what was told.
#[derive(Default)]
pub struct Follow(Mutex<State>);

#[derive(Default)]
struct State {
    /// Up to which state of which opening of the vault everything was told; `None` while nobody listens.
    base: Option<(u64, Seen)>,
    /// What was told lately, and before that.
    told: [HashSet<Told>; 2],
    turned: Option<Instant>,
    rests_until: Option<Instant>,
}

/// By what it is known what was told: the number of the entry, whether it went, version and time.
pub type Told = (u64, bool, u64, u64);

impl Follow {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody listens from this state on.
    pub fn begin(&self, open: &Open, seen: &Seen) {
        let mut state = self.state();
        if state.base.is_none() {
            state.base = Some((open.generation, seen.clone()));
        }
    }

    /// Whether this is to be told: it was not yet.
    pub fn is_news(&self, told: Told) -> bool {
        let mut state = self.state();
        !state.told[1].contains(&told) && state.told[0].insert(told)
    }

    fn end(&self) {
        *self.state() = State::default();
    }
}

/// Looks at the file as long as the server runs.
pub async fn follow(server: Arc<Server>) {
    let mut generation = None;
    loop {
        tokio::time::sleep(EVERY).await;
        let now = server.keeper.current().map(|open| open.generation);
        if now != generation {
            generation = now;
            server.ask_again();
        }
        if !server.has_listeners() {
            server.follow.end();
        } else if now.is_some() {
            let looking = server.clone();
            // What fails is tried again.
            let _ = tokio::task::spawn_blocking(move || look(&looking)).await;
        }
    }
}

fn look(server: &Server) {
    // Requests say it if the file cannot be read.
    let Ok(Some((open, seen))) = server.keeper.open_here() else { return };
    let base = {
        let mut state = server.follow.state();
        match &state.base {
            Some((generation, base)) if *generation == open.generation => {
                if base.is_same(&seen) || state.rests_until.is_some_and(|until| until > Instant::now()) {
                    return;
                }
                base.clone()
            }
            // Other keys: whoever listened was let in by those before, and is gone.
            _ => {
                state.base = Some((open.generation, seen));
                return;
            }
        }
    };
    server.ask_again();
    let began = Instant::now();
    let found = base.differences(&seen, &mut |difference| {
        server.tell(match &difference {
            Difference::Created(entry) => Happening::created(entry),
            Difference::Changed { before, after } if after.rotated() > before.rotated() => Happening::rotated(after),
            Difference::Changed { after, .. } => Happening::updated(after),
            Difference::Removed(entry) => Happening::deleted(entry),
        });
        Ok(Walk::Continue(()))
    });
    let mut state = server.follow.state();
    let now = Instant::now();
    state.rests_until = Some(now + began.elapsed() * REST);
    // A state that cannot be read any more is left behind: somebody may have copied another file over it.
    if let Err(error) = found {
        server.lines.error(&error);
    }
    state.base = Some((open.generation, seen));
    if state.turned.is_none_or(|turned| turned.elapsed() >= REMEMBERED) {
        state.turned = Some(now);
        state.told[1] = std::mem::take(&mut state.told[0]);
    }
}
