//! What can go wrong between rows and text.

/// Why text could not be read, or rows not written.
///
/// It says where and what, and names entries and variables; it never holds a value or a piece of
/// the text that was read. Names are escaped, because a hostile file may put control characters
/// into them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no format of this name.
    #[error("{0:?} is not a format")]
    UnknownFormat(String),
    /// The text breaks its format's grammar. `line` counts from 1.
    #[error("line {line}: {what}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// One entry of an export cannot be used. `number` counts from 1.
    #[error("entry {number} of the export: {what}")]
    Entry {
        /// Which entry, from 1.
        number: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The value of this entry cannot be read or written.
    #[error("entry {name:?}: {what}")]
    Value {
        /// The entry.
        name: String,
        /// What is wrong with its value.
        what: &'static str,
    },
    /// What is at this place of a document cannot be written.
    #[error("{path}: {what}")]
    Unwritable {
        /// The way to it, with dots; escaped.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The export is of a version that this program does not know.
    #[error("this is a newer export (its \"vault_export\" is not 1)")]
    NewerExport,
    /// A name occurs twice, so that one of the two values would be lost.
    #[error("{name:?} is there twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// Two entries, or two fields of an entry, ask for the same variable.
    #[error("{first} and {second} would both become the variable {variable}")]
    Collision {
        /// The variable.
        variable: String,
        /// The entry (and field) that took it first.
        first: String,
        /// The entry (and field) that wanted it too.
        second: String,
    },
    /// An entry's name cannot be made the name of a variable.
    #[error("{entry} would become the variable {variable:?}, which does not begin with a letter or \"_\": use a prefix")]
    VariableName {
        /// The entry (and field).
        entry: String,
        /// The name it would get.
        variable: String,
    },
    /// The prefix cannot begin the name of a variable.
    #[error("the prefix {0:?} may hold letters, digits and \"_\" only, and not begin with a digit")]
    Prefix(String),
    /// A prefix was given to a format that keeps the names of entries.
    #[error("{0} keeps the names of entries: a prefix is for formats that hold variables, as dotenv and shell do")]
    PrefixUnused(&'static str),
    /// A resource cannot have this name.
    #[error("the {what} {text:?} is none that Kubernetes takes: lower-case letters, digits and \"-\", as in DNS names")]
    ResourceName {
        /// What it should be: the name or the namespace.
        what: &'static str,
        /// The text.
        text: String,
    },
}

/// The line, from 1, that the byte at `offset` is in.
pub(super) fn line_at(bytes: &[u8], offset: usize) -> usize {
    let before = bytes.get(..offset).unwrap_or(bytes);
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}
