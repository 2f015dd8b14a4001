//! Starting the program, and starting others with secrets.

use std::fmt::Write as _;
use std::fs;

use crate::Options;
use crate::place::{Place, text};
use crate::subject::{Subject, compare};

pub fn start(place: &Place, options: &Options) {
    let Some(empty) = place.empty_program() else { return println!("start: left out, rustc is not there") };
    let version = Subject::new("vault --version", &place.vault, &["--version"]);
    compare("start", options.runs, &[Subject::new("an empty Rust program", &empty, &[]), version]);
}

pub fn run(place: &Place, options: &Options) {
    const COUNT: usize = 50;
    let (file, json) = place.build(COUNT);
    let values: serde_json::Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    let mut env = String::new();
    for (name, value) in values.as_object().unwrap() {
        writeln!(env, "export {name}='{}'", value.as_str().unwrap()).unwrap();
    }
    let place_of_env = place.path.join("env");
    fs::write(&place_of_env, env).unwrap();
    let subjects = [
        Subject::new("sh -c '. ./env; exec true'", "sh", &["-c", ". \"$0\"; exec true", &text(&place_of_env)]),
        place.subject("vault get", &file, &["get", "SECRET_000025"]),
        Subject::new("true", "true", &[]),
        place.subject(&format!("vault run --no-mask -- true, {COUNT} secrets"), &file, &["run", "--no-mask", "--", "true"]),
        place.subject(&format!("vault run --mask -- true, {COUNT} secrets"), &file, &["run", "--mask", "--", "true"]),
    ];
    let medians = compare("run", options.runs, &subjects);
    println!("  run --no-mask is {:.2} × of get and true together", medians[3] / (medians[1] + medians[2]));
}
