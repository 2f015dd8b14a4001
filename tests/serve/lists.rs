//! Lists of everything there is: complete, in order, recorded, and never in memory as a whole.

use serde_json::{Value, json};
use vault::vault::Write;
use vault::{EntryId, Name, Options};

use crate::server::{Client, Server, sandbox, token};

const COUNT: usize = 3000;

#[test]
fn a_list_of_everything_is_streamed() {
    let sandbox = sandbox();
    let vault = sandbox.library(Options::default());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    for round in 0..10 {
        vault
            .change_together(now + round, &mut |changes| {
                for number in 0..COUNT as u64 / 10 {
                    let name = format!("n{:05}", round * (COUNT as u64 / 10) + number);
                    let write = Write::value("x".repeat(20_000).as_str().into(), vault::Kind::Text);
                    changes.set(&EntryId::plain(Name::parse(&name).unwrap()), &write).unwrap();
                }
            })
            .unwrap();
    }
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    // A token costs nothing, so that the most it ever had is what the list took.
    let reader = token(&sandbox, &["--read"]);
    let headers = [("x-api-key", reader.as_str())];
    server.ask("GET", "/configs/n00000", &headers, "").is(200);
    let before = server.memory("VmRSS");
    let all = Client::connect(server.address).ask("GET", "/configs", &headers, "").is(200);
    let grown = server.memory("VmHWM").saturating_sub(before);
    assert!(all.body.len() > COUNT * 20_000);
    // All of it would be 60 MB, and as much again for each copy.
    assert!(grown < 40 << 10, "{grown} KiB");
    let listed = all.json();
    let times: Vec<(u64, &str)> =
        listed.as_array().unwrap().iter().map(|one| (one["id"].as_u64().unwrap(), one["key"].as_str().unwrap())).collect();
    assert_eq!(times.len(), COUNT);
    // In the order in which they were made; those of one commit by their numbers.
    for (round, made) in times.chunks(COUNT / 10).enumerate() {
        assert!(made.iter().all(|(_, key)| key[1..].parse::<usize>().unwrap() / (COUNT / 10) == round));
        assert!(made.is_sorted_by_key(|(number, _)| *number));
    }
    // Pages are the same, of at most so many bytes.
    let bearer = token(&sandbox, &["--admin"]);
    let headers = [("x-api-key", bearer.as_str())];
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    let mut pages = 0;
    loop {
        let behind = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
        let page = server.ask("GET", &format!("/configs?limit=2500{behind}"), &headers, "").is(200);
        assert!(page.body.len() < 34 << 20, "{}", page.body.len());
        paged.extend(page.json().as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()));
        pages += 1;
        match page.header("x-next-cursor") {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert!(pages >= 2);
    assert!(paged.iter().map(String::as_str).eq(times.iter().map(|(_, key)| *key)));
    let export = server.ask("POST", "/v1/export", &headers, r#"{"limit":3}"#).is(200).json();
    assert_eq!((export["entries"].as_array().unwrap().len(), export["next"].is_string()), (3, true));
    assert_eq!(export["entries"][0]["value"], json!("x".repeat(20_000)));
    // Each value that left is in the log.
    assert_eq!(server.end(), 0);
    let user = format!("token:{}", reader.split('_').nth(1).unwrap());
    let arguments = ["audit", "show", "--format", "json", "--action", "get", "--user", &user];
    let shown = sandbox.vault(&arguments).run().ok().json();
    let records: &Vec<Value> = shown["records"].as_array().unwrap();
    assert_eq!(records.iter().filter(|record| record["source"] == "serve").count(), COUNT + 1);
}
