//! `vault selftest`

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::context::{Context, OutputFormat};
use super::exit;
use crate::client::{Answer, Client};
use crate::crypto;
use crate::format::header::hex;
use crate::format::record::Kind;
use crate::name::{EntryId, Name};
use crate::secret::SecretValue;
use crate::term::output;
use crate::vault::{Error, ErrorKind, Result, Write};

/// How many secrets are made at once.
const AT_ONCE: usize = 20;

/// Check a server: that it does what it should, and how fast
///
/// A round trip of an entry and of a secret by id, a body with invalid base64, entries that are not there, and 20 secrets that are made at once. What
/// it makes it removes. The token needs the rights read and write, and no limits. Exit code 10: a check failed.
#[derive(Args, Debug)]
pub struct SelftestArgs {
    /// The server [default: that of --server or VAULT_SERVER]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

/// What became of one check.
struct Check {
    name: &'static str,
    took: Duration,
    /// What is wrong, if something is.
    fault: Option<String>,
}

/// What became of the secrets that were made at once.
struct Burst {
    made: usize,
    took: Duration,
}

pub fn run(context: &mut Context, args: SelftestArgs) -> Result<u8> {
    let client = context.server_of(args.url.as_deref())?;
    // What cannot be reached fails no check.
    client.get("/health")?;
    let mark = hex(&crypto::random::<8>()?);
    let mut made = Vec::new();
    let mut checks = vec![
        check("healthy and ready", || {
            expect(&client.get("/health")?, 200)?;
            expect(&client.get("/ready")?, 200)
        }),
        check("round trip of an entry", || round_trip(&client, &mark, &mut made)),
        check("round trip of a secret by id", || {
            let secret = STANDARD.encode(crypto::random::<32>()?);
            let id = create(&client, &secret)?;
            made.push(id.clone());
            let answer = fetch(&client, &id)?;
            expect(&answer, 200)?;
            match serde_json::from_slice::<Fetched>(answer.body()) {
                Ok(fetched) if fetched.secret == secret => Ok(()),
                _ => Err(fault("another secret came back")),
            }
        }),
        check("invalid base64 is refused", || expect(&client.post("/vault/secret/create", br#"{"secret":"no base64!"}"#)?, 400)),
        check("a missing key is not found", || {
            expect(&client.get(&format!("/v1/entries/selftest/{mark}/none"))?, 404)?;
            expect(&client.get(&format!("/configs/selftest/{mark}/none"))?, 404)?;
            expect(&fetch(&client, "00000000-0000-4000-8000-000000000000")?, 404)
        }),
    ];
    let burst = burst(&client, &mut made)?;
    let fault = (burst.made < AT_ONCE).then(|| format!("{} of {AT_ONCE} were not made", AT_ONCE - burst.made));
    checks.push(Check { name: "secrets are made at once", took: burst.took, fault });
    checks.push(check("what was made is removed", || remove(&client, &made)));
    let failed = checks.iter().any(|check| check.fault.is_some());
    print(&client, &checks, &burst, args.format)?;
    Ok(if failed { exit::FINDINGS } else { exit::OK })
}

fn check(name: &'static str, run: impl FnOnce() -> Result<()>) -> Check {
    let began = Instant::now();
    let fault = run().err().map(|error| error.to_string());
    Check { name, took: began.elapsed(), fault }
}

fn fault(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Network, "remote", what)
}

fn expect(answer: &Answer, status: u16) -> Result<()> {
    match answer.status() {
        got if got == status => Ok(()),
        got => Err(fault(format!("the status is {got} and not {status}"))),
    }
}

fn round_trip(client: &Client, mark: &str, made: &mut Vec<String>) -> Result<()> {
    let name = format!("selftest/{mark}");
    let id = EntryId::plain(Name::parse(&name).map_err(|error| Error::name("name", error))?);
    let value = hex(&crypto::random::<32>()?);
    let write = Write { create_only: true, ..Write::value(SecretValue::from(value.as_str()), Kind::Text) };
    client.set(&id, &write)?;
    made.push(name);
    let read = client.entry(&id, None)?.and_then(|received| received.value);
    match read {
        Some(read) if read.expose() == value.as_bytes() => Ok(()),
        _ => Err(fault("another value came back")),
    }
}

#[derive(Deserialize)]
struct Created {
    secret_id: String,
}

#[derive(Deserialize)]
struct Fetched {
    secret: String,
}

fn create(client: &Client, secret: &str) -> Result<String> {
    let answer = client.post("/vault/secret/create", json!({ "secret": secret }).to_string().as_bytes())?;
    expect(&answer, 200)?;
    let created: Created = serde_json::from_slice(answer.body()).map_err(|_| fault("there is no id in the answer"))?;
    Ok(created.secret_id)
}

fn fetch(client: &Client, id: &str) -> Result<Answer> {
    client.post("/vault/secret/fetch", json!({ "secret_id": id }).to_string().as_bytes())
}

/// Makes secrets at once, each on a connection of its own.
fn burst(client: &Client, made: &mut Vec<String>) -> Result<Burst> {
    let secret = STANDARD.encode(crypto::random::<32>()?);
    let began = Instant::now();
    let all: Vec<Option<String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(|| create(client, &secret).ok())).collect();
        threads.into_iter().map(|thread| thread.join().ok().flatten()).collect()
    });
    let took = began.elapsed();
    let ids: Vec<String> = all.into_iter().flatten().collect();
    let burst = Burst { made: ids.len(), took };
    made.extend(ids);
    Ok(burst)
}

fn remove(client: &Client, made: &[String]) -> Result<()> {
    let mut removed = Ok(());
    for name in made {
        let name = Name::parse(name).map_err(|error| Error::name("name", error))?;
        // All of them, whatever becomes of one.
        removed = removed.and(client.remove(&EntryId::plain(name)));
    }
    removed
}

impl Burst {
    fn rate(&self) -> f64 {
        self.made as f64 / self.took.as_secs_f64().max(1e-9)
    }

    fn success(&self) -> f64 {
        100.0 * self.made as f64 / AT_ONCE as f64
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

fn print(client: &Client, checks: &[Check], burst: &Burst, format: OutputFormat) -> Result<()> {
    let text = match format {
        OutputFormat::Json => {
            let checks: Vec<Value> = checks
                .iter()
                .map(|check| {
                    json!({ "name": check.name, "ok": check.fault.is_none(), "milliseconds": milliseconds(check.took), "fault": check.fault })
                })
                .collect();
            let creates = json!({
                "count": AT_ONCE,
                "made": burst.made,
                "success_percent": burst.success(),
                "milliseconds": milliseconds(burst.took),
                "per_second": burst.rate().round(),
            });
            format!(
                "{}\n",
                json!({ "version": 1, "server": client.place().to_string(), "checks": checks, "concurrent_creates": creates })
            )
        }
        OutputFormat::Text => {
            let mut rows: Vec<Vec<String>> = checks
                .iter()
                .map(|check| {
                    let how = if check.fault.is_none() { "ok" } else { "FAILED" };
                    let said = output::printable(check.fault.as_deref().unwrap_or_default());
                    vec![how.to_owned(), check.name.to_owned(), format!("{:.2} ms", milliseconds(check.took)), said]
                })
                .collect();
            rows.push(vec![
                String::new(),
                format!("{AT_ONCE} secrets made at once"),
                format!("{:.2} ms", milliseconds(burst.took)),
                format!("{:.0} % made, {:.0} a second", burst.success(), burst.rate()),
            ]);
            output::columns(&rows)
        }
    };
    output::print(&text)
}
