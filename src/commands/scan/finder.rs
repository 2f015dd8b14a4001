//! Looks through one document after the other, by values or by fingerprints.

use std::io::{self, Read};

use zeroize::Zeroizing;

use crate::leaks::{FingerprintScanner, Hit, Scanner};

/// Where a value was found in a document.
#[derive(Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line, from 1.
    pub line: u64,
    /// How the value is written there.
    pub form: &'static str,
    /// The entries that have it.
    pub names: Vec<String>,
}

impl From<Hit<'_>> for Finding {
    fn from(hit: Hit<'_>) -> Self {
        Self { line: hit.line, form: hit.form.word(), names: hit.names.into_iter().map(str::to_owned).collect() }
    }
}

/// What is looked for.
pub enum Finder {
    /// Values, with a key, and room for a part of a document.
    Values(Box<Scanner>, Zeroizing<Vec<u8>>),
    /// What a list knows, without one.
    Fingerprints(Box<FingerprintScanner>),
}

/// As much is read at once.
const PART: usize = 256 * 1024;
/// By fingerprints, so much of a document is in memory, and so much of it again with the next part.
const BLOCK: usize = 8 << 20;
const OVERLAP: usize = 64 * 1024;

impl Finder {
    /// Looks for values.
    pub fn values(scanner: Scanner) -> Self {
        Self::Values(Box::new(scanner), Zeroizing::new(vec![0; PART]))
    }

    /// Looks through a document to its end.
    pub fn look(&mut self, document: &mut dyn Read, found: &mut dyn FnMut(Finding)) -> io::Result<()> {
        match self {
            Self::Values(scanner, part) => {
                loop {
                    match document.read(part) {
                        Ok(0) => break,
                        Ok(length) => scanner.push(&part[..length], &mut |hit| found(hit.into())),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => {
                            // The next document must not begin in the middle of this one.
                            scanner.finish(&mut |_| {});
                            return Err(error);
                        }
                    }
                }
                scanner.finish(&mut |hit| found(hit.into()));
                Ok(())
            }
            Self::Fingerprints(scanner) => in_blocks(scanner, document, found),
        }
    }
}

fn in_blocks(scanner: &mut FingerprintScanner, document: &mut dyn Read, found: &mut dyn FnMut(Finding)) -> io::Result<()> {
    let mut block = Vec::new();
    let mut line = 0;
    let mut before: Vec<Finding> = Vec::new();
    loop {
        let missing = (BLOCK - block.len()) as u64;
        let read = document.take(missing).read_to_end(&mut block)? as u64;
        let mut now = Vec::new();
        scanner.scan(&block, &mut |hit| {
            let mut finding = Finding::from(hit);
            finding.line += line;
            now.push(finding);
        });
        // One form may hold the other: JSON inside of a line is also the line.
        for (at, finding) in now.iter().enumerate() {
            let same = |other: &Finding| other.line == finding.line && other.names == finding.names;
            if !before.iter().any(same) && !now[..at].iter().any(same) {
                found(finding.clone());
            }
        }
        if read < missing {
            return Ok(());
        }
        let gone = block.len() - OVERLAP;
        line += block.drain(..gone).filter(|byte| *byte == b'\n').count() as u64;
        before = now;
    }
}
