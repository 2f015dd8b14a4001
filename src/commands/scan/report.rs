//! What a scan found.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::finder::Finding;
use crate::commands::context::OutputFormat;
use crate::term::output;
use crate::vault::Result;

/// The findings of one scan, in the order in which they came.
pub struct Report {
    findings: Vec<Found>,
    /// The names with findings, as they are.
    names: HashSet<Vec<u8>>,
    looked: u64,
    unread: u64,
}

struct Found {
    place: String,
    /// Its name in git, where it comes from there.
    object: Option<String>,
    /// The first commit that has it.
    commit: Option<String>,
    in_name: bool,
    finding: Finding,
}

impl Report {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { findings: Vec::new(), names: HashSet::new(), looked: 0, unread: 0 }
    }

    /// A finding in a file or message; `object` is its name in git, where it comes from there.
    pub fn add(&mut self, place: &str, object: Option<&str>, finding: Finding) {
        let object = object.map(str::to_owned);
        self.findings.push(Found { place: place.to_owned(), object, commit: None, in_name: false, finding });
    }

    /// Findings in a name, unless they were reported before. `place` shows it without the values.
    pub fn add_name(&mut self, name: Vec<u8>, place: &str, commit: Option<&str>, findings: Vec<Finding>) {
        if self.names.insert(name) {
            let found = |finding| Found {
                place: place.to_owned(),
                object: None,
                commit: commit.map(str::to_owned),
                in_name: true,
                finding,
            };
            self.findings.extend(findings.into_iter().map(found));
        }
    }

    /// One more document was looked through.
    pub fn looked(&mut self) {
        self.looked += 1;
    }

    /// One more document could not be read.
    pub fn could_not_read(&mut self) {
        self.unread += 1;
    }

    /// Whether there is a finding.
    pub fn has_findings(&self) -> bool {
        !self.findings.is_empty()
    }

    /// Whether there was nothing to look through.
    pub fn is_empty(&self) -> bool {
        self.looked == 0 && self.unread == 0
    }

    /// How many documents could not be read.
    pub fn unread(&self) -> u64 {
        self.unread
    }

    /// The objects with findings, and which findings these are.
    pub fn objects(&self) -> HashMap<String, Vec<usize>> {
        let mut objects: HashMap<String, Vec<usize>> = HashMap::new();
        for (number, found) in self.findings.iter().enumerate() {
            if let Some(object) = &found.object {
                objects.entry(object.clone()).or_default().push(number);
            }
        }
        objects
    }

    /// Says of a finding which commit has it, and where there.
    pub fn set_commit(&mut self, number: usize, commit: &str, place: &str) {
        if let Some(found) = self.findings.get_mut(number) {
            (found.commit, found.place) = (Some(commit.to_owned()), place.to_owned());
        }
    }

    /// Prints it to standard output: a line for each finding, or one object.
    pub fn print(&self, format: OutputFormat) -> Result<()> {
        match format {
            OutputFormat::Text => output::print(&self.findings.iter().map(line).collect::<String>()),
            OutputFormat::Json => {
                let findings: Vec<Value> = self.findings.iter().map(object).collect();
                output::print(&format!(
                    "{}\n",
                    json!({ "version": 1, "findings": findings, "scanned": self.looked, "unread": self.unread })
                ))
            }
        }
    }
}

fn line(found: &Found) -> String {
    let short = |object: &str| object[..object.len().min(12)].to_owned();
    let origin = match (&found.object, &found.commit) {
        (Some(object), Some(commit)) => format!(" [{}, commit {}]", short(object), short(commit)),
        (Some(object), None) => format!(" [{}]", short(object)),
        (None, Some(commit)) => format!(" [commit {}]", short(commit)),
        (None, None) => String::new(),
    };
    let place = output::printable(&found.place);
    let names = found.finding.names.iter().map(|name| output::printable(name)).collect::<Vec<_>>().join(", ");
    match found.in_name {
        true => format!("{place}: {names} ({}) in the name{origin}\n", found.finding.form),
        false => format!("{place}:{}: {names} ({}){origin}\n", found.finding.line, found.finding.form),
    }
}

fn object(found: &Found) -> Value {
    let line = if found.in_name { Value::Null } else { found.finding.line.into() };
    json!({
        "place": found.place, "object": found.object, "line": line, "names": found.finding.names, "form": found.finding.form,
        "in": if found.in_name { "name" } else { "content" }, "commit": found.commit,
    })
}
