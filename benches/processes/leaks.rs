//! Masking what a program prints, and scanning a tree, with a thousand secrets.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use crate::Options;
use crate::place::{Place, text};
use crate::subject::{Random, Subject, compare, median};

const SECRETS: usize = 1000;
const MIB: usize = 1 << 20;
/// What a program prints.
const PRINTED: usize = 512 * MIB;
/// A tree of as much.
const TREE: usize = 500 * MIB;

pub fn masking(place: &Place, options: &Options) {
    let (file, _) = place.build(SECRETS);
    let log = place.path.join("log");
    let mut out = BufWriter::new(fs::File::create(&log).unwrap());
    let mut random = Random(1);
    let mut written = 0;
    while written < PRINTED {
        let line = log_line(&mut random);
        out.write_all(line.as_bytes()).unwrap();
        written += line.len();
    }
    out.flush().unwrap();
    drop(out);
    let runs = options.runs.min(5);
    // `cat` is a child of `run`, so its time on a processor is in it; that of `cat` alone is taken off.
    let cat = || Subject::new("cat", "cat", &[&text(&log)]);
    let mask = |what: &[&str]| place.subject("vault run --mask", &file, &[&["run", "--mask", "--"], what].concat());
    let empty = place.path.join("nothing");
    fs::write(&empty, "").unwrap();
    let rows = [
        ("run --mask -- cat", mask(&["cat", &text(&log)]), mask(&["true"]), Some(cat())),
        (
            "redact",
            place.subject("redact", &file, &["redact"]).reading(&log),
            place.subject("redact", &file, &["redact"]).reading(&empty),
            None,
        ),
    ];
    println!("\nmasking of {} MiB with {SECRETS} secrets (n = {runs})", PRINTED / MIB);
    for (name, full, start, child) in rows {
        let processor = |subject: &Subject| {
            let times: Option<Vec<f64>> = (0..runs).map(|_| Some(subject.timed("US")?.iter().sum())).collect();
            times.map(|times| median(&times))
        };
        let (Some(full_time), Some(start_time)) = (processor(&full), processor(&start)) else {
            println!("  left out: time is not there");
            continue;
        };
        let child_time = child.as_ref().and_then(&processor).unwrap_or(0.0);
        let wall = median(&(0..runs).map(|_| full.run()).collect::<Vec<_>>());
        println!(
            "  {name:<20} {:>6.0} MB/s a core ({:.3} s of a processor, {start_time:.3} s of it to start), {:>6.0} MB/s by the clock",
            PRINTED as f64 / 1e6 / (full_time - start_time - child_time),
            full_time,
            PRINTED as f64 / 1e6 / wall,
        );
    }
    fs::remove_file(log).unwrap();
}

/// A line as services log: a time, words, numbers, and now and then something in base64.
fn log_line(random: &mut Random) -> String {
    const WORDS: [&str; 12] =
        ["request", "served", "in", "connection", "from", "user", "GET", "/api/v1/items", "status", "cache", "retry", "queue"];
    let mut line = format!("2026-01-01T00:{:02}:{:02}Z INFO", random.below(60), random.below(60));
    for _ in 0..random.below(14) + 2 {
        line.push(' ');
        match random.below(8) {
            0 => line.push_str(&random.next().to_string()),
            1 => line.push_str(&format!("{:016x}", random.next())),
            _ => line.push_str(WORDS[random.below(WORDS.len())]),
        }
    }
    line.push('\n');
    line
}

pub fn scanning(place: &Place, options: &Options) {
    let (file, json) = place.build(SECRETS);
    let values: serde_json::Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    let list = place.path.join("values");
    let lines: String = values.as_object().unwrap().values().map(|value| format!("{}\n", value.as_str().unwrap())).collect();
    fs::write(&list, lines).unwrap();
    let tree = place.path.join("tree");
    let files = plant(&tree);
    let grep = Subject::new("grep -rF -f values", "grep", &["-rF", "-f", &text(&list), &text(&tree)]).ending(1);
    let scan = place.subject("vault scan", &file, &["scan", "--no-ignore", &text(&tree)]);
    let title = format!("scan of {} MiB in {files} files for {SECRETS} values", TREE / MIB);
    compare(&title, options.runs.min(5), &[grep, scan]);
    fs::remove_dir_all(tree).unwrap();
}

/// A tree of text, source and binary files of many sizes, without one of the values.
fn plant(tree: &Path) -> usize {
    let mut random = Random(2);
    let (mut written, mut files) = (0, 0);
    while written < TREE {
        let directory = tree.join(format!("{:02}", files % 50));
        fs::create_dir_all(&directory).unwrap();
        let size = 1 << (9 + random.below(13));
        let mut content = Vec::with_capacity(size + 256);
        let kind = random.below(3);
        while content.len() < size {
            match kind {
                0 => content.extend_from_slice(log_line(&mut random).as_bytes()),
                1 => content.extend_from_slice(
                    format!("    let value_{} = call(\"{:x}\");\n", random.below(99), random.next()).as_bytes(),
                ),
                _ => content.extend_from_slice(&random.next().to_le_bytes()),
            }
        }
        fs::write(directory.join(format!("{files}")), &content).unwrap();
        written += content.len();
        files += 1;
    }
    files
}
