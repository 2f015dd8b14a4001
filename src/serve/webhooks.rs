//! Webhooks: what changes is told to addresses that the configuration names, without values, signed as the Standard Webhooks specification has it.
//!
//! Each hook has a thread and a queue of its own. What cannot be delivered is tried again with growing pauses, in its order; what does not find room
//! meanwhile, or is refused for good, is counted and lost.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prometheus_client::metrics::counter::Counter;
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use zeroize::Zeroizing;

use super::Server;
use super::committer::now;
use super::configs::time;
use super::events::Happening;
use super::keeper::Keeper;
use super::lines::Lines;
use crate::crypto::{self, hmac_sha256};
use crate::vault::Reference;

/// What can be listened for.
pub const EVENTS: [&str; 4] = ["created", "updated", "deleted", "rotated"];
/// How often something is tried: with these pauses some twenty minutes.
const TRIES: u32 = 12;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// What stands before the base64 of a key of the specification.
const KEY_PREFIX: &[u8] = b"whsec_";

/// An address that is told what changes.
#[derive(Clone)]
pub struct Hook {
    /// The address. It may be a secret by itself, and is not in any line.
    pub url: String,
    /// What it is called in lines: its host.
    pub host: String,
    /// Whether it is reached over TLS.
    pub with_tls: bool,
    /// Which of [`EVENTS`]; empty: all.
    pub events: Vec<String>,
    /// What signs: an entry of the vault.
    pub secret: Option<Reference>,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("host", &self.host).field("events", &self.events).finish_non_exhaustive()
    }
}

/// Posts a body with these headers to an address. Returns the status of the answer.
pub type Post = dyn Fn(&str, &[(&str, &str)], &[u8]) -> Result<u16, String> + Send + Sync;

/// Tells hooks what changes, for as long as the server lives.
pub fn start(server: &Server, post: Arc<Post>) -> std::io::Result<()> {
    let (delivered, lost) = (Counter::default(), Counter::default());
    if !server.settings.webhooks.is_empty() {
        server.metrics.count("webhooks_delivered", "What was told to webhooks", delivered.clone());
        server.metrics.count("webhooks_lost", "What could not be told to webhooks", lost.clone());
    }
    for hook in &server.settings.webhooks {
        let telling = Telling {
            hook: hook.clone(),
            keeper: server.keeper.clone(),
            lines: server.lines.clone(),
            post: post.clone(),
            delivered: delivered.clone(),
            lost: lost.clone(),
        };
        let happenings = server.happenings.subscribe();
        std::thread::Builder::new().name("webhook".to_owned()).spawn(move || telling.tell_all(happenings))?;
    }
    Ok(())
}

struct Telling {
    hook: Hook,
    keeper: Arc<Keeper>,
    lines: Lines,
    post: Arc<Post>,
    delivered: Counter,
    lost: Counter,
}

/// How an attempt ended that did not end well.
enum Failed {
    /// Another may end better.
    ForNow(String),
    /// None will.
    ForGood(String),
}

impl Telling {
    fn tell_all(&self, mut happenings: Receiver<Happening>) {
        loop {
            match happenings.blocking_recv() {
                Ok(happening) => self.tell(&happening),
                Err(RecvError::Lagged(missed)) => self.lose(missed, "there was no room for more"),
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn lose(&self, count: u64, why: &str) {
        self.lost.inc_by(count);
        self.lines.failure("webhook", &format!("{count} events were not told to {}: {why}", self.hook.host));
    }

    fn tell(&self, happening: &Happening) {
        let event = happening.event();
        if !self.hook.events.is_empty() && !self.hook.events.iter().any(|wanted| wanted == event) {
            return;
        }
        let Ok(id) = crypto::random::<16>().map(|id| uuid::Builder::from_random_bytes(id).into_uuid().to_string()) else {
            return self.lose(1, "there are no random numbers");
        };
        let body = json!({ "type": event, "timestamp": time(now()), "data": happening.json() }).to_string();
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=TRIES {
            match self.attempt(&id, body.as_bytes()) {
                Ok(()) => {
                    self.delivered.inc();
                    return;
                }
                Err(Failed::ForNow(_)) if attempt < TRIES => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(Failed::ForNow(why) | Failed::ForGood(why)) => return self.lose(1, &why),
            }
        }
    }

    fn attempt(&self, id: &str, body: &[u8]) -> Result<(), Failed> {
        let seconds = (now() / 1000).to_string();
        let mut headers = vec![("content-type", "application/json"), ("webhook-id", id), ("webhook-timestamp", &seconds)];
        let signature;
        if let Some(secret) = &self.hook.secret {
            signature = sign(&self.key(secret).map_err(Failed::ForNow)?, id, &seconds, body);
            headers.push(("webhook-signature", &signature));
        }
        match (self.post)(&self.hook.url, &headers, body) {
            Ok(200..=299) => Ok(()),
            Ok(status @ (408 | 425 | 429 | 500..)) => Err(Failed::ForNow(format!("it answered {status}"))),
            // Where else it is to be told is not for whoever answers to say.
            Ok(status) => Err(Failed::ForGood(format!("it answered {status}"))),
            Err(error) => Err(Failed::ForNow(error)),
        }
    }

    fn key(&self, secret: &Reference) -> Result<Zeroizing<Vec<u8>>, String> {
        let open = self.keeper.current().ok_or("the vault is sealed")?;
        let found = open.vault.resolve(secret, None, &mut |_| Ok(()));
        let (value, _) = found.map_err(|error| format!("the secret that signs cannot be read ({})", error.code()))?;
        Ok(match value.expose().strip_prefix(KEY_PREFIX) {
            Some(text) => Zeroizing::new(STANDARD.decode(text).map_err(|_| "the secret that signs is no base64".to_owned())?),
            None => Zeroizing::new(value.expose().to_vec()),
        })
    }
}

/// The signature of the specification, version 1: HMAC-SHA256 over id, time in seconds and body.
fn sign(key: &[u8], id: &str, seconds: &str, body: &[u8]) -> String {
    let tag = hmac_sha256(key, &[id.as_bytes(), b".", seconds.as_bytes(), b".", body]);
    format!("v1,{}", STANDARD.encode(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's libraries.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap_or_default();
        let signature = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
