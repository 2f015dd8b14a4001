//! What a slot may be limited to, and what it then opens.

use std::collections::BTreeSet;

use crate::name::{Category, Environment};
use crate::vault::error::{Error, Result};

/// What a slot may be limited to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// The entries of a category.
    Category(Category),
    /// The entries of an environment.
    Environment(Environment),
}

impl Limit {
    /// Reads `category:C` or `env:E`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::vault::ErrorKind::Usage) for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("category", name)) => Category::parse(name).map(Self::Category).map_err(|error| Error::name("category", error)),
            Some(("env", name)) => {
                Environment::parse(name).map(Self::Environment).map_err(|error| Error::name("environment", error))
            }
            _ => {
                Err(Error::usage(format!("'{text}' is nothing that a key can be limited to"))
                    .hint("write category:NAME or env:NAME"))
            }
        }
    }

    /// The compartment's name in the format.
    pub fn compartment(&self) -> String {
        match self {
            Self::Category(name) => format!("category:{name}"),
            Self::Environment(name) => format!("env:{name}"),
        }
    }
}

/// Whether a slot of these compartments opens values of `name`: that of a category and an environment by either (SPEC, section 2).
pub(in crate::vault) fn opens(compartments: &BTreeSet<String>, name: &str) -> bool {
    compartments.contains(name)
        || name.split_once('\u{1f}').is_some_and(|(one, other)| compartments.contains(one) || compartments.contains(other))
}
