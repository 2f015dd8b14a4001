//! Commands that the user's own configuration wants to be run when something was done or refused.
//!
//! They come from the user's `config.toml` alone: neither a vault nor a project chooses programs that run here. What was done is done before they
//! run; one that fails is told of and changes nothing. They run when the command has done its work, in the order of what happened.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::context::Context;
use super::times::parse_timeout;
use crate::audit::{Action, Class, Event, Status};
use crate::name::{EntryId, Environment, Name};
use crate::process;
use crate::secret::SecretValue;
use crate::term::output;
use crate::term::script::{Ended, Script};
use crate::vault::{AuditSource, Error, ErrorKind, Result, Vault};

/// How long one may take, unless it says so.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Set for what a hook runs: a hook of a hook would not end.
const INSIDE: &str = "VAULT_HOOK_EVENT";

/// A hook, as a `[[hook]]` of the configuration says it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Hook {
    /// Which events: words of the audit log, or one of [`GROUPS`].
    on: Vec<String>,
    /// For `/bin/sh`.
    command: String,
    /// Only entries whose names match.
    #[serde(rename = "match")]
    pattern: Option<String>,
    /// Only entries of this environment; empty: of none.
    environment: Option<String>,
    /// Whether the value of the entry is handed over on descriptor 3.
    #[serde(default)]
    value: bool,
    timeout: Option<String>,
}

/// Words for several events.
const GROUPS: [&str; 7] = ["any", "refusal", "expire", "read", "write", "key", "delete"];

/// What happened and hooks are to hear of.
#[derive(Default)]
pub struct Happened(RefCell<Vec<Happening>>);

struct Happening {
    event: Event,
    place: Rc<Place>,
    /// Which of the configuration's hooks.
    hooks: Vec<usize>,
    value: Option<SecretValue>,
}

/// Where something happened, and what it takes to record what came of it.
pub(super) struct Place {
    vault: PathBuf,
    /// `None` where no key opened the vault.
    source: Option<AuditSource>,
}

impl Hook {
    /// Refuses what would never run, or run with something else than was meant.
    fn check(&self) -> std::result::Result<(), String> {
        if self.on.is_empty() || self.command.trim().is_empty() || self.command.contains('\0') {
            return Err("a hook needs `on` and `command`".to_owned());
        }
        if let Some(word) = self.on.iter().find(|word| !is_event(word)) {
            return Err(format!("'{}' is no event that a hook can wait for", word.escape_default()));
        }
        if let Some(pattern) = &self.pattern {
            glob::Pattern::new(pattern).map_err(|error| format!("the pattern of a hook is malformed: {}", error.msg))?;
        }
        if let Some(environment) = self.environment.as_deref().filter(|text| !text.is_empty()) {
            Environment::parse(environment).map_err(|error| Error::name("environment of a hook", error).to_string())?;
        }
        if let Some(text) = &self.timeout {
            parse_timeout(text).map_err(|error| format!("the timeout of a hook: {error}"))?;
        }
        Ok(())
    }

    fn waits_for(&self, event: &Event) -> bool {
        let refused = event.status() != Status::Ok;
        let is_named = self.on.iter().any(|word| match word.as_str() {
            "any" => true,
            "refusal" => refused,
            "expire" => event.status() == Status::Expired || event.action() == Action::Prune,
            // What the log says about itself is never well.
            word if event.action().class() == Class::Log => word == event.action().word(),
            _ if refused => false,
            "read" => event.action().class() == Class::Read,
            "write" => matches!(event.action().class(), Class::Write | Class::Rotate),
            "key" => event.action().class() == Class::Key,
            "delete" => matches!(event.action(), Action::Remove | Action::Prune),
            word => word == event.action().word(),
        });
        is_named
            && self
                .environment
                .as_deref()
                .is_none_or(|wanted| event.name().is_some() && event.environment_text().unwrap_or_default() == wanted)
            && self.pattern.as_deref().is_none_or(|pattern| {
                glob::Pattern::new(pattern).is_ok_and(|pattern| event.name().is_some_and(|name| pattern.matches(name)))
            })
    }

    fn time(&self) -> Duration {
        self.timeout.as_deref().and_then(|text| parse_timeout(text).ok()).unwrap_or(TIMEOUT)
    }
}

/// The words that `on` may hold: what a hook brings about is no event for another one.
fn is_event(word: &str) -> bool {
    GROUPS.contains(&word) || Action::parse(word).is_some_and(|action| action != Action::Hook)
}

impl Place {
    /// Of a vault that no key opened.
    pub(super) fn locked(vault: &Path) -> Self {
        Self { vault: vault.to_owned(), source: None }
    }
}

impl Context {
    /// Where something happened, if there are hooks that may want to know.
    pub(super) fn place_for_hooks(&self, source: &AuditSource) -> Option<Place> {
        let wanted = self.known_config().is_some_and(|config| !config.hooks.is_empty());
        wanted.then(|| Place { vault: source.path.clone(), source: Some(source.duplicate()) })
    }

    /// Notes what happened, for the hooks that wait for it; a value that one of them wants is read now, for it may be gone later.
    pub(super) fn note_for_hooks(&self, place: Place, vault: Option<&Vault>, events: &[Event]) {
        let Some(config) = self.known_config() else { return };
        if std::env::var_os(INSIDE).is_some() {
            return;
        }
        let place = Rc::new(place);
        for event in events {
            let waiting = config.hooks.iter().enumerate().filter(|(_, hook)| hook.waits_for(event));
            let hooks: Vec<usize> = waiting.map(|(index, _)| index).collect();
            if hooks.is_empty() {
                continue;
            }
            let wanted = event.status() == Status::Ok && hooks.iter().any(|index| config.hooks[*index].value);
            let value = vault.filter(|_| wanted).and_then(|vault| self.value_for_hook(vault, &place, event));
            self.happened.0.borrow_mut().push(Happening { event: event.clone(), place: place.clone(), hooks, value });
        }
    }

    /// The value of the entry of an event, at the version of the event, once it is recorded that it leaves the vault.
    fn value_for_hook(&self, vault: &Vault, place: &Place, event: &Event) -> Option<SecretValue> {
        let environment = event.environment_text().map(Environment::parse).transpose().ok()?;
        let id = EntryId { environment, name: Name::parse(event.name()?).ok()? };
        let value = vault.value(&id, event.version_number()).ok()?;
        let detail = format!("given the value, on '{}'", event.action().word());
        match self.append(place.source.as_ref()?.duplicate(), &[event.followed_by(Action::Hook).detail(detail)]) {
            Ok(_) => Some(value),
            Err(error) => {
                self.note(&format!("warning: no hook is given the value: {}", output::printable(&error.to_string())));
                None
            }
        }
    }

    /// Runs the hooks that wait for what happened. What they print goes to standard error. Returns whether they were left to their end: not if this
    /// process is asked to end.
    pub(super) fn run_hooks(&self) -> bool {
        let happened = std::mem::take(&mut *self.happened.0.borrow_mut());
        let Some(config) = self.known_config().filter(|_| !happened.is_empty()) else { return true };
        let endings = match process::endings() {
            Ok(endings) => endings,
            Err(error) => {
                self.note(&format!("warning: no hook was run: {error}"));
                return true;
            }
        };
        // By hook, how often it was not run since it had taken too long.
        let mut given_up: Vec<Option<u64>> = vec![None; config.hooks.len()];
        let mut left_alone = true;
        for happening in &happened {
            let mut failed = Vec::new();
            for &index in &happening.hooks {
                if !left_alone {
                    break;
                }
                if let Some(count) = &mut given_up[index] {
                    *count += 1;
                    continue;
                }
                let (hook, began) = (&config.hooks[index], Instant::now());
                let how = match happening.run(hook, &endings) {
                    Ok(Ended::Well) => continue,
                    Ok(Ended::Badly(how)) => how,
                    Ok(Ended::Interrupted) => {
                        left_alone = false;
                        "was interrupted".to_owned()
                    }
                    Err(error) => format!("could not be run: {error}"),
                };
                if began.elapsed() >= hook.time() {
                    given_up[index] = Some(0);
                }
                let on = happening.event.action().word();
                let about = happening.event.name().map(|name| format!(" of '{name}'")).unwrap_or_default();
                self.note(&output::printable(&format!("warning: the hook on '{on}'{about} {how}; what was done stands")));
                let event = happening.event.followed_by(Action::Hook).ended(Status::Error, Some("hook_failed"));
                failed.push(event.detail(format!("on '{on}': it {how}")));
            }
            if let (Some(source), false) = (&happening.place.source, failed.is_empty()) {
                // It was told of; that it could not be recorded either is told of as well.
                let _ = self.append(source.duplicate(), &failed);
            }
        }
        for count in given_up.into_iter().flatten().filter(|count| *count > 0) {
            self.note(&format!("warning: a hook that took too long was not run for {count} more events"));
        }
        left_alone
    }
}

impl Happening {
    fn run(&self, hook: &Hook, endings: &std::os::fd::OwnedFd) -> std::io::Result<Ended> {
        let Self { event, place, value, .. } = self;
        let vault = place.vault.display().to_string();
        let version = event.version_number().map(|number| number.to_string()).unwrap_or_default();
        let detail = output::printable(event.detail_text().unwrap_or_default());
        let variables = [
            (INSIDE, event.action().word()),
            ("VAULT_HOOK_RESULT", event.status().word()),
            ("VAULT_HOOK_ERROR", event.error_code().unwrap_or_default()),
            ("VAULT_HOOK_ENTRY", event.name().unwrap_or_default()),
            ("VAULT_HOOK_ENVIRONMENT", event.environment_text().unwrap_or_default()),
            ("VAULT_HOOK_VERSION", version.as_str()),
            ("VAULT_HOOK_DETAIL", detail.as_str()),
            ("VAULT_HOOK_VAULT", vault.as_str()),
        ];
        let values: Vec<&SecretValue> = value.iter().filter(|_| hook.value).collect();
        Script { text: &hook.command, variables: &variables, values: &values, held: None, timeout: hook.time() }.run(endings)
    }
}

/// Why the configuration's hooks cannot be taken as they are.
pub(super) fn check(hooks: &[Hook], path: &Path) -> Result<()> {
    hooks.iter().try_for_each(Hook::check).map_err(|problem| {
        Error::new(ErrorKind::Usage, "bad_configuration", format!("{}: {problem}", path.display()))
            .hint(format!("events are the actions of `vault audit show`, and {}", GROUPS.join(", ")))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hook(text: &str) -> Hook {
        toml::from_str(&format!("command = 'true'\n{text}")).unwrap()
    }

    #[test]
    fn words_mean_the_events_that_they_say() {
        let ok = Event::new;
        let ended = |action, status| Event::new(action).ended(status, Some("x"));
        for (word, waits, not) in [
            ("set", vec![ok(Action::Set)], vec![ok(Action::Rotate), ended(Action::Set, Status::Conflict)]),
            (
                "read",
                vec![ok(Action::Get), ok(Action::Run), ok(Action::Otp)],
                vec![ok(Action::Scan), ended(Action::Get, Status::NotFound)],
            ),
            ("write", vec![ok(Action::Set), ok(Action::Rotate), ok(Action::Import), ok(Action::Prune)], vec![ok(Action::KeyAdd)]),
            ("key", vec![ok(Action::KeyAdd), ok(Action::KeyRotate)], vec![ok(Action::Unlock)]),
            (
                "delete",
                vec![ok(Action::Remove), ok(Action::Prune)],
                vec![ok(Action::Rename), ended(Action::Remove, Status::NotFound)],
            ),
            ("expire", vec![ended(Action::Get, Status::Expired), ok(Action::Prune)], vec![ok(Action::Get)]),
            (
                "refusal",
                vec![
                    ended(Action::Unlock, Status::Denied),
                    ended(Action::Get, Status::NotFound),
                    ended(Action::Get, Status::Expired),
                ],
                vec![ok(Action::Unlock)],
            ),
            ("any", vec![ok(Action::Get), ended(Action::Unlock, Status::Denied)], vec![]),
            (
                "audit-mismatch",
                vec![ended(Action::AuditMismatch, Status::Error)],
                vec![ended(Action::AuditRecovered, Status::Error)],
            ),
        ] {
            let hook = hook(&format!("on = ['{word}']"));
            assert_eq!(hook.check(), Ok(()), "{word}");
            waits.iter().for_each(|event| assert!(hook.waits_for(event), "{word} {event:?}"));
            not.iter().for_each(|event| assert!(!hook.waits_for(event), "{word} {event:?}"));
        }
    }

    #[test]
    fn filters_narrow() {
        let event = |environment: Option<&str>, name: &str| {
            let environment = environment.map(|text| Environment::parse(text).unwrap());
            Event::new(Action::Set).id(&EntryId { environment, name: Name::parse(name).unwrap() })
        };
        for (filter, waits, not) in [
            ("match = 'db/*'", event(None, "db/a"), event(None, "web/a")),
            ("environment = 'prod'", event(Some("prod"), "a"), event(None, "a")),
            ("environment = ''", event(None, "a"), event(Some("prod"), "a")),
            ("match = '*'", event(None, "a"), Event::new(Action::Set)),
            ("environment = ''", event(None, "a"), Event::new(Action::Set)),
        ] {
            let hook = hook(&format!("on = ['any']\n{filter}"));
            assert!(hook.waits_for(&waits) && !hook.waits_for(&not), "{filter}");
        }
    }

    #[test]
    fn what_would_never_run_is_refused() {
        for text in [
            "on = []",
            "on = ['sets']",
            "on = ['hook']",
            "on = ['set', '']",
            "on = ['set']\nmatch = '['",
            "on = ['set']\nenvironment = ' x'",
            "on = ['set']\ntimeout = 'soon'",
            "on = ['set']\ntimeout = '0s'",
        ] {
            assert!(hook(text).check().is_err(), "{text}");
        }
        assert!(toml::from_str::<Hook>("on = ['set']\ncommand = ' '").unwrap().check().is_err());
        for text in ["command = 'true'", "on = ['set']", "on = ['set']\ncommand = 'true'\nvalues = true"] {
            assert!(toml::from_str::<Hook>(text).is_err(), "{text}");
        }
    }
}
