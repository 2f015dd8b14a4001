//! What the agent costs and saves.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use vault::Locked;
use vault::agent::protocol::{Answer, PREFIX, Request};

use crate::Options;
use crate::place::Place;
use crate::subject::compare;

/// So long it is asked.
const SPAN: Duration = Duration::from_secs(3);

pub fn measure(place: &Place, options: &Options) {
    let (file, _) = place.build(1000);
    place.subject("unlock", &file, &["unlock", "-q", "--ttl", "1h", "--idle", "1h"]).run();
    let by_agent = || place.without_key("vault get through the agent", &file, &["get", "SECRET_000500"]);
    let by_key = || place.subject("vault get with a raw key", &file, &["get", "SECRET_000500"]);
    compare("agent", options.runs, &[by_key(), by_agent()]);
    for subject in [by_key(), by_agent()] {
        let tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];
        if let Some(line) = subject.counted(&tool, "refs:") {
            println!("  {}: {line}", subject.name);
        }
    }
    let socket = place.path.join("runtime/vault/agent.sock");
    let locked = Locked::open(&file).unwrap();
    let path = locked.path().to_str().unwrap().as_bytes().to_vec();
    let frame = Request::Keys { path, stamps: locked.stamps() }.frame();
    let mut stream = UnixStream::connect(&socket).unwrap();
    println!("  {:.0} requests a second over one connection", rate(|| ask(&mut stream, &frame)));
    println!("  {:.0} requests a second with a connection each", rate(|| ask(&mut connect(&socket), &frame)));
    place.without_key("lock", &file, &["lock", "-q", "--stop"]).run();
}

fn connect(socket: &Path) -> UnixStream {
    UnixStream::connect(socket).unwrap()
}

fn ask(stream: &mut UnixStream, frame: &[u8]) {
    stream.write_all(frame).unwrap();
    let mut length = [0; PREFIX];
    stream.read_exact(&mut length).unwrap();
    let mut map = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut map).unwrap();
    assert!(matches!(Answer::read(&map), Ok(Answer::Keys(_))));
}

/// How often in a second.
fn rate(mut ask: impl FnMut()) -> f64 {
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < SPAN {
        ask();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}
