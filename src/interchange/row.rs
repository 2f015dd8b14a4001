//! What every format reads into and writes from.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

pub use crate::format::record::Kind;

/// One entry on its way in or out of a vault.
///
/// It holds a secret, so it cannot be printed, compared or copied by accident.
pub struct Row {
    /// The entry's name, exactly as the file spells it; the vault decides whether it is a valid one.
    pub name: String,
    /// The second part of the entry's identity, if it has one.
    pub environment: Option<String>,
    /// The entry's category, if it has one.
    pub category: Option<String>,
    /// The entry's tags, in their order.
    pub tags: Vec<String>,
    /// The entry's metadata.
    pub meta: BTreeMap<String, String>,
    /// When the entry expires, in milliseconds since the Unix epoch.
    pub expires: Option<u64>,
    /// What `value` holds.
    pub kind: Kind,
    /// The value: any bytes for [`Kind::Bytes`], UTF-8 for [`Kind::Text`], one JSON value in
    /// UTF-8 for [`Kind::Json`].
    pub value: Zeroizing<Vec<u8>>,
}

impl Row {
    /// A row that has a name and a value and nothing else, as flat files give them.
    pub fn new(name: String, kind: Kind, value: Zeroizing<Vec<u8>>) -> Self {
        Row { name, environment: None, category: None, tags: Vec::new(), meta: BTreeMap::new(), expires: None, kind, value }
    }
}
