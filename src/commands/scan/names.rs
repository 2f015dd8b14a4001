//! Names of files, branches and tags: they may hold values as well. Then they are shown without them.

use super::finder::{Finder, Finding};
use super::report::Report;
use crate::leaks::MASK;

/// Looks at a name with `/` in it. What is reported ends with the last part of it that holds a value, so that a directory is named once and not with
/// each of its files; `before` says of what it is the name.
pub fn look(finder: &mut Finder, report: &mut Report, before: &str, name: &[u8], commit: Option<&str>) {
    let findings = found(finder, name);
    if findings.is_empty() {
        return;
    }
    let parts = parts(finder, name);
    let last = parts.iter().rposition(|part| part == MASK).map_or(parts.len(), |last| last + 1);
    let place = format!("{before}{}", parts[..last].join("/"));
    let reported: Vec<&[u8]> = name.split(|byte| *byte == b'/').take(if parts.len() > 1 { last } else { usize::MAX }).collect();
    report.add_name([before.as_bytes(), &reported.join(&b'/')].concat(), &place, commit, findings);
}

/// A name as it may be printed.
pub fn shown(finder: &mut Finder, name: &[u8]) -> String {
    match found(finder, name).is_empty() {
        true => String::from_utf8_lossy(name).into_owned(),
        false => parts(finder, name).join("/"),
    }
}

/// The parts of a name, those that hold a value masked; one part, if a value goes over several.
fn parts(finder: &mut Finder, name: &[u8]) -> Vec<String> {
    let mut some = false;
    let mut part = |part: &[u8]| {
        let clean = found(finder, part).is_empty();
        some |= !clean;
        if clean { String::from_utf8_lossy(part).into_owned() } else { MASK.to_owned() }
    };
    let parts = name.split(|byte| *byte == b'/').map(&mut part).collect();
    if some { parts } else { vec![MASK.to_owned()] }
}

fn found(finder: &mut Finder, name: &[u8]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let read = finder.look(&mut &*name, &mut |finding| {
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    });
    debug_assert!(read.is_ok(), "memory can always be read");
    findings
}
