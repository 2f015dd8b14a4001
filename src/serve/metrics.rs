//! Numbers for Prometheus: by templates of routes, methods and classes of statuses, never by names.

use std::sync::atomic::AtomicU64;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

/// The numbers of mail.
#[derive(Debug, Clone, Default)]
pub struct MailNumbers {
    /// How many messages have left.
    pub sent: Counter,
    /// How many were given up.
    pub failed: Counter,
    /// How many wait.
    pub waiting: Gauge,
}

/// The numbers of one server.
pub struct Metrics {
    registry: RwLock<Registry>,
    requests: Family<Request, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
    connections: Gauge,
    entries: Gauge<u64, AtomicU64>,
    unsealed: Gauge,
    mail: MailNumbers,
    failed_compactions: Gauge<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All of them zero.
    pub fn new() -> Self {
        fn buckets() -> Histogram {
            Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0])
        }
        let mut registry = Registry::with_prefix("vault");
        let requests = Family::default();
        let durations = Family::new_with_constructor(buckets as fn() -> Histogram);
        let (connections, entries, unsealed) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register("http_requests", "Requests by route, method and status", requests.clone());
        registry.register("http_request_duration_seconds", "How long requests took", durations.clone());
        registry.register("http_connections", "Connections that are open", connections.clone());
        registry.register("entries", "Entries in the vault", entries.clone());
        let failed_compactions = Gauge::default();
        let what = "How often the file was to be compacted, since the vault was opened, and could not be";
        registry.register("failed_compactions", what, failed_compactions.clone());
        registry.register("unsealed", "Whether the vault is open", unsealed.clone());
        let mail = MailNumbers::default();
        registry.register("mail_sent", "Messages that have left", mail.sent.clone());
        registry.register("mail_failed", "Messages that were given up", mail.failed.clone());
        registry.register("mail_waiting", "Messages that wait", mail.waiting.clone());
        Self { registry: RwLock::new(registry), requests, durations, connections, entries, unsealed, mail, failed_compactions }
    }

    /// Those of mail.
    pub fn mail(&self) -> MailNumbers {
        self.mail.clone()
    }

    /// Shows what is counted elsewhere.
    pub fn count(&self, name: &str, help: &str, counter: Counter) {
        self.registry.write().unwrap_or_else(PoisonError::into_inner).register(name, help, counter);
    }

    /// Counts a request.
    pub fn request(&self, route: &'static str, method: &Method, status: StatusCode, took: Duration) {
        self.requests.get_or_create(&Request { route, method: known(method), status: status.as_u16() }).inc();
        self.durations.get_or_create(&Route { route }).observe(took.as_secs_f64());
    }

    /// A connection began; it ends with what is returned.
    pub fn connection(&self) -> Connection {
        self.connections.inc();
        Connection(self.connections.clone())
    }

    /// In the text format of Prometheus (OpenMetrics 1.0), with what is known of the vault now, if it is open: the number of its entries, and how often its file could
    /// not be compacted.
    pub fn text(&self, entries: Option<u64>, failed_compactions: u64) -> Result<String, std::fmt::Error> {
        self.unsealed.set(i64::from(entries.is_some()));
        self.entries.set(entries.unwrap_or_default());
        self.failed_compactions.set(failed_compactions);
        let mut text = String::new();
        encode(&mut text, &self.registry.read().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

/// A connection that is counted.
pub struct Connection(Gauge);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A method that somebody made up is not a label: there would be one for each.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
