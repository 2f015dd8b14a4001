//! `vault bench`

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::context::{Context, OutputFormat};
use super::exit;
use super::times::parse_timeout;
use crate::client::Client;
use crate::crypto;
use crate::format::header::hex;
use crate::format::record::Kind;
use crate::name::{EntryId, Name};
use crate::secret::SecretValue;
use crate::term::output;
use crate::vault::{Error, ErrorKind, Result, Write};

/// Measure a server: writes and reads a second, and how long they take
///
/// Each connection is a thread that writes, then reads, entries below bench/ by the native API, one request after the other; they are removed in the end.
/// The requests are made on this machine: where the server is on it too, they share its processors. The token needs the rights read and write. Exit
/// code 10: requests failed.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// The server [default: that of --server or VAULT_SERVER]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// How many connections there are at once
    #[arg(short, long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// How long each of the two parts takes
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    duration: String,
    /// How many bytes a value has
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=524_288))]
    size: u32,
    /// How many entries there are
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    entries: u32,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

/// What was measured of one kind of request.
struct Measured {
    what: &'static str,
    /// How long those that did not fail took, ascending.
    times: Vec<Duration>,
    failed: usize,
    took: Duration,
    /// What was wrong with one that failed.
    fault: Option<Error>,
}

pub fn run(context: &mut Context, args: BenchArgs) -> Result<u8> {
    let duration = parse_timeout(&args.duration)?;
    let client = context.server_of(args.url.as_deref())?;
    let mark = hex(&crypto::random::<8>()?);
    let name = |number: u32| Name::parse(&format!("bench/{mark}/{number}")).map_err(|error| Error::name("name", error));
    let ids = (0..args.entries).map(|number| name(number).map(EntryId::plain)).collect::<Result<Vec<_>>>()?;
    let text = "x".repeat(args.size as usize);
    let write = || Write::value(SecretValue::from(text.as_str()), Kind::Text);
    let count = usize::from(args.connections);
    let run = || -> Result<[Measured; 2]> {
        // Each is there before anything is measured.
        for id in &ids {
            client.set(id, &write())?;
        }
        let writes = measure("writes", count, duration, &ids, &|id| client.set(id, &write()).map(drop));
        let reads = measure("reads", count, duration, &ids, &|id| match client.entry(id, None)? {
            Some(_) => Ok(()),
            None => Err(Error::new(ErrorKind::NotFound, "not_found", format!("there is no entry '{id}'"))),
        });
        Ok([writes, reads])
    };
    let measured = run();
    let left = remove(&client, &ids);
    let measured = measured?;
    print(&client, &args, &measured)?;
    for fault in measured.iter().filter_map(|measured| measured.fault.as_ref()).chain(&left) {
        context.note(&format!("warning: {}", output::printable(&fault.to_string())));
    }
    let failed = left.is_some() || measured.iter().any(|measured| measured.failed > 0);
    Ok(if failed { exit::FINDINGS } else { exit::OK })
}

/// Makes requests at once for a time, over and over the entries.
fn measure(
    what: &'static str,
    connections: usize,
    duration: Duration,
    ids: &[EntryId],
    request: &(dyn Fn(&EntryId) -> Result<()> + Sync),
) -> Measured {
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    let one = || {
        let (mut times, mut failed, mut fault) = (Vec::new(), 0, None);
        while began.elapsed() < duration {
            let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed) % ids.len().max(1)) else { break };
            let start = Instant::now();
            match request(id) {
                Ok(()) => times.push(start.elapsed()),
                Err(error) => {
                    failed += 1;
                    fault = Some(error);
                    // A server that refuses is not to be asked as fast as it can refuse.
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
        (times, failed, fault)
    };
    let all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(one)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut measured = Measured { what, times: Vec::new(), failed: 0, took: began.elapsed(), fault: None };
    for (times, failed, fault) in all {
        measured.times.extend(times);
        measured.failed += failed;
        measured.fault = measured.fault.or(fault);
    }
    measured.times.sort_unstable();
    measured
}

/// Removes the entries, and says what was wrong if one could not be.
fn remove(client: &Client, ids: &[EntryId]) -> Option<Error> {
    let gone = |error: &Error| error.kind() == ErrorKind::NotFound;
    // All of them, whatever becomes of one.
    let faults: Vec<Error> = ids.iter().filter_map(|id| client.remove(id).err()).filter(|error| !gone(error)).collect();
    faults.into_iter().next()
}

impl Measured {
    fn rate(&self) -> f64 {
        self.times.len() as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// The time that so many of a thousand requests did not exceed, in milliseconds (nearest rank).
    fn quantile(&self, of_thousand: usize) -> f64 {
        let rank = (self.times.len() * of_thousand).div_ceil(1000).max(1);
        self.times.get(rank - 1).map_or(0.0, |time| (time.as_secs_f64() * 1e6).round() / 1000.0)
    }
}

fn print(client: &Client, args: &BenchArgs, measured: &[Measured]) -> Result<()> {
    const QUANTILES: [(&str, usize); 4] = [("p50", 500), ("p90", 900), ("p99", 990), ("max", 1000)];
    let text = match args.format {
        OutputFormat::Json => {
            let mut whole = json!({
                "version": 1,
                "server": client.place().to_string(),
                "connections": args.connections,
                "value_bytes": args.size,
                "entries": args.entries,
            });
            for measured in measured {
                let quantiles: serde_json::Map<String, Value> =
                    QUANTILES.iter().map(|(name, share)| ((*name).to_owned(), json!(measured.quantile(*share)))).collect();
                whole[measured.what] = json!({
                    "count": measured.times.len(),
                    "failed": measured.failed,
                    "per_second": measured.rate().round(),
                    "milliseconds": quantiles,
                });
            }
            format!("{whole}\n")
        }
        OutputFormat::Text => {
            let row = |measured: &Measured| {
                let mut row = vec![measured.what.to_owned(), format!("{:.0} a second", measured.rate())];
                row.extend(QUANTILES.iter().map(|(name, share)| format!("{name} {:.3} ms", measured.quantile(*share))));
                row.push(format!("{} failed", measured.failed));
                row
            };
            output::columns(&measured.iter().map(row).collect::<Vec<_>>())
        }
    };
    output::print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let times = (1..=100).map(Duration::from_millis).collect();
        let measured = Measured { what: "reads", times, failed: 0, took: Duration::from_secs(2), fault: None };
        assert_eq!([500, 900, 990, 1000].map(|share| measured.quantile(share)), [50.0, 90.0, 99.0, 100.0]);
        assert!((measured.rate() - 50.0).abs() < 1e-9);
        let none = Measured { what: "reads", times: Vec::new(), failed: 1, took: Duration::from_secs(1), fault: None };
        assert!(none.quantile(990).abs() < 1e-9);
    }
}
