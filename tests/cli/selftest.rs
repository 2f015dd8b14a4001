//! `vault selftest` and `vault bench`

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

use crate::remote::{Scene, token};
use crate::sandbox::fields;

#[test]
fn a_server_that_is_well_passes_and_nothing_is_left() {
    let scene = Scene::new();
    scene.sandbox.set("mine", "1");
    let url = &scene.server.addresses[0];
    let checked = scene.remote(&["selftest", "--url", url, "--format", "json"]).run().ok().json();
    let checks = checked["checks"].as_array().unwrap();
    assert!(checks.len() >= 6 && checks.iter().all(|check| check["ok"] == true), "{checked}");
    let creates = &checked["concurrent_creates"];
    assert_eq!(fields(creates), ["count", "made", "success_percent", "milliseconds", "per_second"]);
    assert_eq!((&creates["count"], &creates["made"]), (&20.into(), &20.into()));
    let text = scene.remote(&["selftest"]).run().ok().text();
    assert!(text.contains("invalid base64 is refused") && text.contains("100 % made"), "{text}");
    assert_eq!(scene.sandbox.list(), ["mine"]);
}

#[test]
fn a_server_that_does_not_do_what_it_should_is_found() {
    let scene = Scene::new();
    let reader = token(&scene.sandbox, &["--read-only"]);
    let found = scene.at(&scene.server.addresses[0], &reader, &["selftest"]).run().ends(10).text();
    assert!(found.contains("FAILED") && found.contains("0 % made"), "{found}");
    assert!(scene.sandbox.list().is_empty());
    // Whatever it is asked, this says that all is well.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            // All of the request: who closes with some of it unread cuts off what it says.
            let (mut line, mut length) = (String::new(), 0);
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some(number) = line.to_lowercase().strip_prefix("content-length:") {
                    length = number.trim().parse().unwrap();
                }
                line.clear();
            }
            let _ = stream.read_exact(&mut vec![0; length]);
            let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
        }
    });
    let found = scene.at(&address, &scene.token, &["selftest"]).run().ends(10).text();
    for line in ["invalid base64 is refused", "a missing key is not found", "round trip of an entry"] {
        let failed = found.lines().any(|found| found.starts_with("FAILED") && found.contains(line));
        assert!(failed, "{line}: {found}");
    }
    scene.at("http://127.0.0.1:1", &scene.token, &["selftest"]).run().fails(14, "cannot be reached");
    scene.sandbox.vault(&["selftest"]).run().fails(2, "no server is named");
}

#[test]
fn a_measurement_counts_what_was_done_and_leaves_nothing() {
    let scene = Scene::new();
    let line = ["bench", "-c", "2", "--duration", "2s", "--entries", "5", "--format", "json"];
    let measured = scene.remote(&line).run().ok().json();
    for what in ["writes", "reads"] {
        let part = &measured[what];
        assert!(part["count"].as_u64().unwrap() > 0 && part["failed"] == 0, "{measured}");
        let times = &part["milliseconds"];
        let time = |name: &str| times[name].as_f64().unwrap();
        assert!(time("p50") > 0.0 && time("p50") <= time("p99") && time("p99") <= time("max"), "{measured}");
    }
    assert!(scene.sandbox.list().is_empty());
    let reader = token(&scene.sandbox, &["--read-only"]);
    scene.at(&scene.server.addresses[0], &reader, &line).run().fails(12, "Not permitted");
}
