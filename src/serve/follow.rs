//! Changes that others make to the file while it is served: a look at it each second, for as long as somebody listens.
//!
//! What this server changes is told at once; what commands change is found by what is different from the state before. Both ways lead here, so that
//! nothing is told twice.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Server;
use super::configs::number_of;
use super::events::Happening;
use super::keeper::Open;
use crate::name::EntryId;
use crate::store::Walk;
use crate::vault::{Difference, Seen};

/// How often it is looked whether somebody changed something.
const EVERY: Duration = Duration::from_secs(1);
/// To find what is different all entries are looked at: for each moment that takes, so many go by without.
const REST: u32 = 20;
/// Of how many entries that requests made or changed it is seen whether they went before the next look.
const SINCE: usize = 65_536;
/// How long it is remembered at least what was told.
const REMEMBERED: Duration = Duration::from_secs(10);

/// What is known of the file, and what was told.
#[derive(Default)]
pub struct Follow(Mutex<State>);

#[derive(Default)]
struct State {
    /// Up to which state of which opening of the vault everything was told; `None` while nobody listens.
    base: Option<(u64, Seen)>,
    /// What was told lately, and what in the time before that; the older goes when its turn comes.
    told: [Told; 2],
    turned: Option<Instant>,
    /// What requests told of entries that are there, since the last look: what goes again before the next is in neither of both states.
    since: Vec<Happening>,
    rests_until: Option<Instant>,
}

/// What was told.
#[derive(Default)]
struct Told {
    /// What was last of each entry, by its number and where it is.
    last: HashMap<(u64, EntryId), Last>,
    /// How entries were: number, version and time.
    states: HashSet<(u64, u64, u64)>,
}

/// What was told last of an entry.
#[derive(Clone, Copy)]
enum Last {
    /// It is there, at this version, and was rotated so often.
    There { version: u64, rotations: u64 },
    /// It is gone, as it was at this time. `is_found`: a look at the file has seen that.
    Gone { time: u64, is_found: bool },
}

/// Who tells what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The request that did it. The file may have changed a while ago, and more may have happened since.
    Request,
    /// A look at the file.
    Look,
}

impl State {
    /// When it is time, what was told lately becomes what was told before. Returns what goes, which may be much.
    fn turn(&mut self) -> Option<Told> {
        if self.turned.is_some_and(|turned| turned.elapsed() < REMEMBERED) {
            return None;
        }
        self.turned = Some(Instant::now());
        let lately = std::mem::take(&mut self.told[0]);
        Some(std::mem::replace(&mut self.told[1], lately))
    }

    /// What is to be told of this, if it was not yet.
    fn news(&mut self, happening: Happening, by: By) -> Option<Happening> {
        let entry = happening.entry();
        let last = self.told.iter().find_map(|told| told.last.get(&entry)).copied();
        let is_deletion = happening.is_deletion();
        let state = (!is_deletion).then(|| happening.state());
        let is_new = state.is_some_and(|state| !self.told[1].states.contains(&state) && self.told[0].states.insert(state));
        let (_, version, time) = happening.state();
        let is_news = match (last, by) {
            (None, _) => true,
            (Some(Last::There { .. }), _) if is_deletion => true,
            // Requests that were committed one after the other may come the other way round: whoever listens ends with the newest.
            (Some(Last::There { version: told, .. }), By::Request) => is_new && version >= told,
            (Some(Last::There { .. }), By::Look) => is_new,
            // What a request changed before it went; unless it came back since.
            (Some(Last::Gone { time: then, .. }), By::Request) => happening.is_creation() && time > then,
            // A look that began before it went finds it still; one that saw before that it was gone finds that it came back.
            (Some(Last::Gone { time: then, is_found }), By::Look) => !is_deletion && (is_found || time > then),
        };
        if is_deletion {
            let (then, was_found) = match last {
                Some(Last::Gone { time, is_found }) => (time, is_found),
                _ => (time, false),
            };
            self.told[0].last.insert(entry, Last::Gone { time: then.max(time), is_found: was_found || by == By::Look });
        } else if is_news {
            self.told[0].last.insert(entry, Last::There { version, rotations: happening.rotations() });
            if by == By::Request && self.since.len() < SINCE {
                self.since.push(happening.clone());
            }
        }
        is_news.then(|| match last {
            Some(Last::There { rotations, .. }) => happening.as_change_of_known(rotations),
            Some(Last::Gone { .. }) => happening.as_made_again(),
            None => happening,
        })
    }
}

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

    /// Tells what happened, if it was not told yet. One at a time, so that all hear it in this order.
    pub fn tell(&self, happening: Happening, by: By, tell: impl FnOnce(Happening)) {
        let mut state = self.state();
        if let Some(news) = state.news(happening, by) {
            tell(news);
        }
    }

    fn end(&self) {
        let old = std::mem::take(&mut *self.state());
        drop(old);
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
    // Before the look: what is told later may be newer than what it sees.
    let mut since = std::mem::take(&mut server.follow.state().since);
    // Requests say it if the file cannot be read.
    let opened = server.keeper.open_here();
    let Ok(Some((open, seen))) = opened else {
        server.follow.state().since.append(&mut since);
        return;
    };
    let base = {
        let mut state = server.follow.state();
        match &state.base {
            Some((generation, base)) if *generation == open.generation => {
                if base.is_same(&seen) {
                    let old = state.turn();
                    drop(state);
                    drop(old);
                    return;
                }
                if state.rests_until.is_some_and(|until| until > Instant::now()) {
                    state.since.append(&mut since);
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
        let happening = match &difference {
            // New since the look before; perhaps it was told, and this is a later state of it.
            Difference::Created(entry) => Happening::created(entry),
            Difference::Changed { before, after } if after.rotated() > before.rotated() => Happening::rotated(after),
            Difference::Changed { after, .. } => Happening::updated(after),
            Difference::Removed(entry) => Happening::deleted(entry),
        };
        server.tell_by(happening, By::Look);
        Ok(Walk::Continue(()))
    });
    let found = found.and_then(|()| {
        for told in since {
            let (number, id) = told.entry();
            let is_there = open.vault.entry_at(&seen, &id)?.is_some_and(|entry| number_of(entry.uid()) == number);
            if !is_there {
                server.tell_by(told.as_deletion(), By::Look);
            }
        }
        Ok(())
    });
    let mut state = server.follow.state();
    state.rests_until = Some(Instant::now() + began.elapsed() * REST);
    // A state that cannot be read any more is left behind: somebody may have copied another file over it.
    if let Err(error) = found {
        server.lines.error(&error);
    }
    state.base = Some((open.generation, seen));
    let old = state.turn();
    // Whoever tells something need not wait for that.
    drop(state);
    drop(old);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::PathBuf;

    use tokio::sync::broadcast::Receiver;

    use super::*;
    use crate::format::record::Kind;
    use crate::name::Name;
    use crate::secret::{RawKey, SecretValue};
    use crate::serve::Settings;
    use crate::serve::journal::{Journal, JournalSettings};
    use crate::serve::keeper::Keeper;
    use crate::serve::lines::{LineFormat, Lines};
    use crate::serve::users::UserSettings;
    use crate::vault::{Credential, Entry, NewSlot, Options, Vault, Write};

    const T: u64 = 1_700_000_000_000;

    /// A server that looks only when it is told to, and somebody who listens.
    struct Scene {
        server: Arc<Server>,
        heard: Receiver<Happening>,
        directory: PathBuf,
        now: u64,
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }

    fn plain(name: &str) -> EntryId {
        EntryId::plain(Name::parse(name).unwrap())
    }

    impl Scene {
        fn new(name: &str) -> Self {
            let directory = std::env::temp_dir().join(format!("vault-follow-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&directory).unwrap();
            let path = directory.join("test.vault");
            let key = || RawKey::new([7; 32].into());
            Vault::create(&path, &[("key".to_owned(), NewSlot::RawKey(key()))], T).unwrap();
            let keeper = Arc::new(Keeper::sealed(path, Options::default(), Duration::from_secs(60)).unwrap());
            keeper.unseal(Credential::RawKey(key())).unwrap();
            let settings = JournalSettings {
                enabled: false,
                required: false,
                sync: crate::audit::Sync::Always,
                directory: None,
                memory: None,
                retention_days: 0,
            };
            let journal = Journal::start(settings, |error| unreachable!("{error}")).unwrap();
            let lines = Lines::start(LineFormat::Quiet).unwrap();
            let server = Server::new(Settings::default(), UserSettings::default(), keeper, journal, lines).unwrap();
            let heard = server.happenings.subscribe();
            let scene = Self { server, heard, directory, now: T };
            scene.look();
            scene
        }

        /// The next look, however long the one before took.
        fn look(&self) {
            self.server.follow.state().rests_until = None;
            look(&self.server);
        }

        fn vault(&mut self) -> (Arc<Open>, u64) {
            self.now += 1;
            (self.server.keeper.current().unwrap(), self.now)
        }

        /// Changes the file, which nobody tells yet.
        fn write(&mut self, name: &str, write: impl FnOnce(SecretValue) -> Write) -> Entry {
            let (open, now) = self.vault();
            open.vault.set(&plain(name), write(SecretValue::new(b"v".to_vec().into())), now).unwrap();
            open.vault.entry(&plain(name)).unwrap().unwrap()
        }

        fn set(&mut self, name: &str) -> Entry {
            self.write(name, |value| Write::value(value, Kind::Bytes))
        }

        fn remove(&mut self, name: &str) {
            let (open, now) = self.vault();
            open.vault.remove(&[plain(name)], now).unwrap();
        }

        fn rename(&mut self, from: &str, to: &str) -> Entry {
            let (open, now) = self.vault();
            open.vault.rename(&plain(from), &plain(to), false, now).unwrap();
            open.vault.entry(&plain(to)).unwrap().unwrap()
        }

        /// What was told since the last time: what happened, to which entry, and its version.
        #[track_caller]
        fn told(&mut self, expected: &[(&str, &str, u64)]) {
            let mut told = Vec::new();
            while let Ok(happening) = self.heard.try_recv() {
                let json = happening.json();
                told.push((happening.event(), json["key"].as_str().unwrap().to_owned(), json["version"].as_u64().unwrap()));
            }
            let expected: Vec<_> = expected.iter().map(|(event, key, version)| (*event, (*key).to_owned(), *version)).collect();
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn an_update_is_one_also_if_a_look_finds_it_before_its_request_tells_it() {
        let mut scene = Scene::new("update");
        let (first, second) = (scene.set("k"), scene.set("k"));
        scene.server.tell(Happening::created(&first));
        scene.look();
        scene.server.tell(Happening::updated(&second));
        scene.told(&[("created", "k", 1), ("updated", "k", 2)]);
        // Where nothing was told before the look, the newest state is all there is to tell.
        let (first, second) = (scene.set("l"), scene.set("l"));
        scene.look();
        scene.server.tell(Happening::created(&first));
        scene.server.tell(Happening::updated(&second));
        scene.told(&[("created", "l", 2)]);
        // Nor is an older one told behind it.
        let (second, third) = (scene.set("l"), scene.set("l"));
        scene.server.tell(Happening::updated(&third));
        scene.server.tell(Happening::updated(&second));
        scene.told(&[("updated", "l", 4)]);
        // And what is told of a rotation is one.
        let (first, second) = (scene.set("m"), scene.write("m", |value| Write::rotation(value, Kind::Bytes, 0)));
        scene.server.tell(Happening::created(&first));
        scene.look();
        scene.server.tell(Happening::rotated(&second));
        scene.server.tell(Happening::updated(&second));
        scene.look();
        scene.told(&[("created", "m", 1), ("rotated", "m", 2)]);
    }

    #[test]
    fn what_goes_goes_once() {
        let mut scene = Scene::new("gone");
        let change = |scene: &mut Scene| {
            let first = scene.set("k");
            scene.server.tell(Happening::created(&first));
            scene.look();
            scene.told(&[("created", "k", 1)]);
            let second = scene.set("k");
            scene.remove("k");
            second
        };
        let second = change(&mut scene);
        scene.server.tell(Happening::updated(&second));
        scene.server.tell(Happening::deleted(&second));
        scene.look();
        scene.told(&[("updated", "k", 2), ("deleted", "k", 2)]);
        // Also if it comes and goes between two looks.
        let entry = scene.set("n");
        scene.server.tell(Happening::created(&entry));
        scene.remove("n");
        scene.look();
        scene.look();
        scene.told(&[("created", "n", 1), ("deleted", "n", 1)]);
        // Nor is it made after it went, if its requests come the other way round.
        let entry = scene.set("o");
        scene.remove("o");
        scene.server.tell(Happening::deleted(&entry));
        scene.server.tell(Happening::created(&entry));
        scene.look();
        scene.told(&[("deleted", "o", 1)]);
        // Nor is it changed once it is told that it went.
        let second = change(&mut scene);
        scene.look();
        scene.server.tell(Happening::updated(&second));
        scene.server.tell(Happening::deleted(&second));
        scene.look();
        scene.told(&[("deleted", "k", 1)]);
    }

    #[test]
    fn what_goes_somewhere_else_is_made_there() {
        let mut scene = Scene::new("elsewhere");
        let entry = scene.set("m");
        scene.server.tell(Happening::created(&entry));
        scene.look();
        scene.told(&[("created", "m", 1)]);
        // Whichever of both names comes first.
        scene.rename("m", "z");
        scene.look();
        scene.told(&[("deleted", "m", 1), ("created", "z", 1)]);
        scene.rename("z", "a");
        scene.look();
        scene.told(&[("created", "a", 1), ("deleted", "z", 1)]);
        // And back, by a request and by somebody else.
        let old = scene.server.keeper.current().unwrap().vault.entry(&plain("a")).unwrap().unwrap();
        let new = scene.rename("a", "m");
        scene.server.tell(Happening::deleted(&old));
        scene.server.tell(Happening::created(&new));
        scene.look();
        scene.told(&[("deleted", "a", 1), ("created", "m", 1)]);
        scene.rename("m", "a");
        scene.look();
        scene.told(&[("created", "a", 1), ("deleted", "m", 1)]);
        // Back, before a look has seen that it was gone.
        let old = scene.server.keeper.current().unwrap().vault.entry(&plain("a")).unwrap().unwrap();
        let new = scene.rename("a", "m");
        scene.server.tell(Happening::deleted(&old));
        scene.server.tell(Happening::created(&new));
        scene.rename("m", "a");
        scene.look();
        scene.told(&[("deleted", "a", 1), ("created", "m", 1), ("created", "a", 1), ("deleted", "m", 1)]);
        // What is there again is changed and goes like everything else.
        let second = scene.set("a");
        scene.server.tell(Happening::updated(&second));
        scene.remove("a");
        scene.server.tell(Happening::deleted(&second));
        scene.look();
        scene.told(&[("updated", "a", 2), ("deleted", "a", 2)]);
    }
}
