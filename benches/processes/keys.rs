//! New keys for a large vault, and streams.

use std::fs;

use crate::Options;
use crate::place::{Place, text};
use crate::subject::{Subject, compare};

pub fn rotation(place: &Place, options: &Options) {
    let size = options.sizes.iter().copied().max().unwrap_or(1000);
    let (file, _) = place.build(size);
    let copy = text(&place.path.join("copy"));
    let script = "cp \"$0\" \"$1\" && sync \"$1\"";
    let cp = Subject::new("cp and sync of the file", "sh", &["-c", script, &text(&file), &copy]);
    let rotate = place.subject(&format!("vault key rotate --master, {size} entries"), &file, &["key", "rotate", "--master"]);
    let said = rotate.counted(&["env"], "sealed anew");
    println!("\n{}", said.unwrap_or_default());
    compare("rotation", options.runs.min(5), &[cp, rotate]);
}

pub fn encryption(place: &Place, options: &Options) {
    let (file, _) = place.build(10);
    let large = place.path.join("large");
    fs::File::create(&large).unwrap().set_len(1 << 30).unwrap();
    let encrypted = text(&place.path.join("encrypted"));
    let encrypt = || place.subject("vault encrypt of 1 GiB", &file, &["encrypt", &text(&large)]);
    place.subject("encrypt", &file, &["encrypt", &text(&large), "--out", &encrypted]).run();
    let decrypt = || place.subject("vault decrypt of it", &file, &["decrypt", &encrypted]);
    println!();
    for subject in [encrypt(), decrypt()] {
        match subject.timed("M") {
            Some(peak) => println!("{}: peak {:.1} MiB", subject.name, peak[0] / 1024.0),
            None => println!("{}: left out, time is not there", subject.name),
        }
    }
    let cat = Subject::new("cat of 1 GiB", "cat", &[&text(&large)]);
    compare("encrypt", options.runs.min(5), &[cat, encrypt(), decrypt()]);
    fs::remove_file(large).unwrap();
    fs::remove_file(encrypted).unwrap();
}
