//! Reading, writing and listing entries, in vaults of several sizes.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Options;
use crate::place::Place;
use crate::subject::{Subject, compare};

pub fn measure(place: &Place, options: &Options) {
    let small = place.small_file();
    for size in &options.sizes {
        let (file, json) = place.build(*size);
        let middle = format!("SECRET_{:06}", size / 2);
        get(place, options.runs, &small, &file, &middle, *size);
        set(place, options.runs, &file, &middle, *size);
        list(place, options.runs, &file, &json, &middle, *size);
    }
}

fn get(place: &Place, runs: usize, small: &str, file: &Path, middle: &str, size: usize) {
    let get = || place.subject(&format!("vault get, {size} entries"), file, &["get", middle]);
    compare("get", runs, &[Subject::new("cat of a small file", "cat", &[small]), get()]);
    for (tool, mark) in [
        (&["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"][..], "refs:"),
        (&["strace", "-c", "-e", "trace=pread64"][..], "pread64"),
    ] {
        match get().counted(tool, mark) {
            Some(line) => println!("  {}: {line}", tool[0]),
            None => println!("  left out: {} is not there", tool[0]),
        }
    }
    if let Some(peak) = get().timed("M") {
        println!("  peak {} KiB", peak[0]);
    }
}

fn set(place: &Place, runs: usize, file: &Path, middle: &str, size: usize) {
    let set = place.subject(&format!("vault set, {size} entries"), file, &["set", middle, "--generate", "hex:50"]);
    let scratch = format!("of={}", place.path.join("scratch").display());
    let dd = Subject::new("dd conv=fsync of 16 KiB", "dd", &["if=/dev/zero", &scratch, "bs=16k", "count=1", "conv=fsync"]);
    println!("\nset: an overwrite appends {} bytes", grown(file, &set));
    let new = place.subject("set", file, &["set", "NEW", "--category", "ten", "--generate", "hex:50"]);
    println!("set: a new entry with a category appends {} bytes", grown(file, &new));
    if let Some(line) = set.counted(&["strace", "-f", "-c", "-e", "trace=fsync,fdatasync"], "sync") {
        println!("  strace: {line}");
    }
    compare("set", runs.min(60), &[dd, set]);
}

/// How much longer the file is after `subject`.
fn grown(file: &Path, subject: &Subject) -> u64 {
    let before = fs::metadata(file).unwrap().len();
    subject.run();
    fs::metadata(file).unwrap().len().saturating_sub(before)
}

fn list(place: &Place, runs: usize, file: &Path, json: &Path, middle: &str, size: usize) {
    for index in 0..9 {
        let arguments = ["set", &format!("TEN_{index}"), "--category", "ten", "--generate", "pin:6"];
        place.subject("set", file, &arguments).run();
    }
    let get = place.subject("vault get", file, &["get", middle]);
    let ten = place.subject("vault list --category, 10 of all", file, &["list", "--category", "ten"]);
    compare("list by category", runs.min(60), &[get, ten]);
    if size > 100_000 {
        return;
    }
    let database = format!("{}.db", file.display());
    let fill = format!(
        "create table s(name text primary key, value text) without rowid; insert into s select key, value from json_each(readfile('{}'));",
        json.display()
    );
    if Command::new("sqlite3").arg(&database).arg(&fill).status().is_ok_and(|status| status.success()) {
        let sqlite = Subject::new("sqlite3, a plain table", "sqlite3", &[&database, "select name from s order by name"]);
        let list = place.subject(&format!("vault list, {size} names"), file, &["list"]);
        compare("list", runs.min(40), &[sqlite, list]);
    } else {
        println!("\nlist: left out, sqlite3 is not there");
    }
}
