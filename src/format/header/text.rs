//! The header's TOML, and its way to and from [`Header`].

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::{Header, KNOWN_CRITICAL, MAX_SLOTS, Slot, SlotKind, hex, unhex};
use crate::crypto::Argon2Cost;
use crate::format::FormatError;

#[derive(Serialize, Deserialize)]
pub(super) struct Text {
    id: String,
    epoch: u64,
    signing_key: String,
    master: u64,
    ring: String,
    master_commitment: String,
    index_commitment: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    critical: Vec<String>,
    #[serde(flatten)]
    extra: toml::Table,
    slot: Vec<SlotText>,
}

#[derive(Serialize, Deserialize)]
struct SlotText {
    kind: String,
    access: String,
    recipient: String,
    label: String,
    wrap: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<toml::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    m: Option<toml::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<toml::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<toml::Value>,
    #[serde(flatten)]
    extra: toml::Table,
}

impl Text {
    pub(super) fn into_header(self) -> Result<Header, FormatError> {
        if let Some(feature) = self.critical.iter().find(|feature| !KNOWN_CRITICAL.contains(&feature.as_str())) {
            let feature: String = feature.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
            return Err(FormatError::Newer(format!("the file needs the feature '{feature}' that this version does not know")));
        }
        if self.slot.is_empty() || self.slot.len() > MAX_SLOTS {
            return Err(FormatError::Malformed("the header does not have 1 to 64 slots"));
        }
        if self.epoch == 0 || self.master == 0 {
            return Err(FormatError::Malformed("a number in the header is zero"));
        }
        let slots = self.slot.into_iter().map(SlotText::into_slot).collect::<Result<Vec<_>, _>>()?;
        let recipients: BTreeSet<_> = slots.iter().map(|slot| &slot.recipient).collect();
        if recipients.len() != slots.len() {
            return Err(FormatError::Malformed("two slots have the same recipient"));
        }
        Ok(Header {
            id: unhex(&self.id)?,
            epoch: self.epoch,
            signing_key: unhex(&self.signing_key)?,
            master: self.master,
            ring: unbase64(&self.ring)?,
            master_commitment: unhex(&self.master_commitment)?,
            index_commitment: unhex(&self.index_commitment)?,
            slots,
            extra: self.extra,
        })
    }
}

impl SlotText {
    fn into_slot(self) -> Result<Slot, FormatError> {
        let mut extra = self.extra;
        let misfit = FormatError::Malformed("the parameters of a slot do not fit its kind");
        let parameters = [("salt", self.salt), ("m", self.m), ("t", self.t), ("p", self.p)];
        let kind = match (self.kind.as_str(), parameters) {
            ("passphrase", [(_, Some(salt)), (_, Some(m)), (_, Some(t)), (_, Some(p))]) => {
                let salt = unbase64(salt.as_str().ok_or_else(|| misfit.clone())?)?;
                let salt = salt.try_into().map_err(|_| FormatError::Malformed("a salt is not 16 bytes"))?;
                // A number that is out of all bounds refuses the slot, not the file; a negative one is no number of any slot.
                let number =
                    |value: toml::Value| value.as_integer().and_then(|n| u64::try_from(n).ok()).ok_or_else(|| misfit.clone());
                SlotKind::Passphrase(salt, Argon2Cost { m: number(m)?, t: number(t)?, p: number(p)? })
            }
            ("raw", [(_, None), (_, None), (_, None), (_, None)]) => SlotKind::Raw,
            ("age", [(_, None), (_, None), (_, None), (_, None)]) => SlotKind::Age,
            ("ssh", [(_, None), (_, None), (_, None), (_, None)]) => SlotKind::Ssh,
            ("plugin", [(_, None), (_, None), (_, None), (_, None)]) => SlotKind::Plugin,
            ("passphrase" | "raw" | "age" | "ssh" | "plugin", _) => return Err(misfit),
            // A kind of the future may use these names in ways of its own; they must survive a rewrite.
            (_, parameters) => {
                extra.extend(parameters.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
                SlotKind::Other(self.kind)
            }
        };
        let full = match self.access.as_str() {
            "full" => true,
            "limited" => false,
            _ => return Err(FormatError::Malformed("the access of a slot is neither full nor limited")),
        };
        Ok(Slot { kind, full, recipient: self.recipient, label: unbase64(&self.label)?, wrap: unbase64(&self.wrap)?, extra })
    }
}

impl From<&Slot> for SlotText {
    fn from(slot: &Slot) -> Self {
        // What was read was an integer of TOML; what is made here passed the bounds.
        let number = |value: u64| toml::Value::Integer(i64::try_from(value).unwrap_or(i64::MAX));
        let kdf = match &slot.kind {
            SlotKind::Passphrase(salt, cost) => Some((BASE64.encode(salt), *cost)),
            _ => None,
        };
        Self {
            kind: slot.kind.word().to_owned(),
            access: if slot.full { "full" } else { "limited" }.to_owned(),
            recipient: slot.recipient.clone(),
            label: BASE64.encode(&slot.label),
            wrap: BASE64.encode(&slot.wrap),
            salt: kdf.as_ref().map(|(salt, _)| salt.clone().into()),
            m: kdf.as_ref().map(|(_, cost)| number(cost.m)),
            t: kdf.as_ref().map(|(_, cost)| number(cost.t)),
            p: kdf.as_ref().map(|(_, cost)| number(cost.p)),
            extra: slot.extra.clone(),
        }
    }
}

impl From<&Header> for Text {
    fn from(header: &Header) -> Self {
        Self {
            id: hex(&header.id),
            epoch: header.epoch,
            signing_key: hex(&header.signing_key),
            master: header.master,
            ring: BASE64.encode(&header.ring),
            master_commitment: hex(&header.master_commitment),
            index_commitment: hex(&header.index_commitment),
            critical: Vec::new(),
            extra: header.extra.clone(),
            slot: header.slots.iter().map(SlotText::from).collect(),
        }
    }
}

fn unbase64(text: &str) -> Result<Vec<u8>, FormatError> {
    BASE64.decode(text).map_err(|_| FormatError::Malformed("base64 in the header is malformed"))
}
