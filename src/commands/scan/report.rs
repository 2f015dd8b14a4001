//! What a scan found.

use serde_json::{Value, json};

use super::finder::Finding;
use crate::commands::context::OutputFormat;
use crate::term::output;
use crate::vault::Result;

/// The findings of one scan, in the order in which they came.
pub struct Report {
    findings: Vec<(String, Option<String>, Finding)>,
    looked: u64,
    unread: u64,
}

impl Report {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { findings: Vec::new(), looked: 0, unread: 0 }
    }

    /// A finding in a file or message; `object` is its name in git, where it comes from there.
    pub fn add(&mut self, place: &str, object: Option<&str>, finding: Finding) {
        self.findings.push((place.to_owned(), object.map(str::to_owned), finding));
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

    /// How many documents could not be read.
    pub fn unread(&self) -> u64 {
        self.unread
    }

    /// Prints it to standard output: a line for each finding, or one object.
    pub fn print(&self, format: OutputFormat) -> Result<()> {
        match format {
            OutputFormat::Text => {
                let line = |(place, object, finding): &(String, Option<String>, Finding)| {
                    let object = object.as_ref().map(|object| format!(" [{}]", &object[..object.len().min(12)]));
                    let names = finding.names.iter().map(|name| output::printable(name)).collect::<Vec<_>>().join(", ");
                    let (place, object) = (output::printable(place), object.unwrap_or_default());
                    format!("{place}:{}: {names} ({}){object}\n", finding.line, finding.form)
                };
                output::print(&self.findings.iter().map(line).collect::<String>())
            }
            OutputFormat::Json => {
                let finding = |(place, object, finding): &(String, Option<String>, Finding)| json!({ "place": place, "object": object, "line": finding.line, "names": finding.names, "form": finding.form });
                let findings: Vec<Value> = self.findings.iter().map(finding).collect();
                output::print(&format!(
                    "{}\n",
                    json!({ "version": 1, "findings": findings, "scanned": self.looked, "unread": self.unread })
                ))
            }
        }
    }
}
