//! A slot as anybody sees it.

use crate::crypto::{AgeRecipient, Argon2Cost};
use crate::format::header::{Slot, SlotKind};

/// What may be known of a slot without a key.
#[derive(Debug, Clone)]
pub struct SlotInfo {
    /// `passphrase`, `raw`, `age`, `ssh`, `plugin`, …
    pub kind: String,
    /// Whether it gives everything.
    pub full: bool,
    /// The public half.
    pub recipient: String,
    /// What a guess of its passphrase costs, if it opens by one.
    pub cost: Option<Argon2Cost>,
    /// Whether it is meant to withstand a large quantum computer. One slot that is not, and the vault does not.
    pub post_quantum: bool,
}

impl SlotInfo {
    pub(in crate::vault) fn of(slot: &Slot) -> Self {
        let cost = match &slot.kind {
            SlotKind::Passphrase(_, cost) => Some(*cost),
            _ => None,
        };
        let post_quantum = slot.kind == SlotKind::Plugin
            && AgeRecipient::parse(&slot.recipient).is_ok_and(|recipient| recipient.is_post_quantum());
        Self { kind: slot.kind.word().to_owned(), full: slot.full, recipient: slot.recipient.clone(), cost, post_quantum }
    }
}
