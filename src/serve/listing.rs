//! Many configurations with their values, some at a time: however many there are, memory holds their names and one part of them.
//!
//! Each part is recorded before it leaves, as a whole answer would be.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_core::Stream;

use super::Server;
use super::call::{Call, is_unreadable};
use super::committer::now;
use super::configs::{json_of, number_of, shown};
use super::error::{Answer, Problem};
use crate::audit::Event;
use crate::name::EntryId;
use crate::store::Walk;
use crate::vault::{ErrorKind, Filter, Seen};

/// A part ends behind so many bytes, or so many entries.
const PART: usize = if cfg!(test) { 1000 } else { 256 << 10 };
const PART_ENTRIES: usize = 500;
/// A page ends behind so many bytes, though more entries were asked for.
const PAGE: usize = 32 << 20;

/// Behind which entry a page begins: when it was made, and its number.
pub type Cursor = (u64, u64);

/// Entries in the order in which they were made, of which the first `next` are told.
pub struct Listing {
    call: Call,
    seen: Seen,
    order: Vec<(Cursor, EntryId)>,
    next: usize,
    is_full: bool,
}

/// Some entries, and what is recorded of them.
pub struct Part {
    /// JSON objects with commas between them.
    pub text: String,
    /// A record each.
    pub events: Vec<Event>,
    /// Behind which entry the next part begins; `None`: there is none.
    pub next: Option<Cursor>,
}

impl Listing {
    /// The entries that the caller may see.
    pub fn of(call: Call, filter: &Filter, after: Option<Cursor>, is_full: bool) -> Answer<Self> {
        let vault = call.vault()?;
        let (seen, now, grant) = (vault.refresh()?, vault.clock(now()).for_reading(), &call.caller.grant);
        let mut order = Vec::new();
        vault.entries(filter, &mut |entry| {
            let cursor = (entry.created(), number_of(entry.uid()));
            if grant.covers(entry.id())
                && grant.covers_category(entry.category())
                && !entry.is_expired(now)
                && after.is_none_or(|after| cursor > after)
            {
                order.push((cursor, entry.id().clone()));
            }
            Ok(Walk::Continue(()))
        })?;
        order.sort_unstable_by_key(|(cursor, _)| *cursor);
        Ok(Self { call, seen, order, next: 0, is_full })
    }

    /// One page: so many entries, or fewer if they are large.
    pub fn page(&mut self, limit: usize) -> Answer<Part> {
        self.part(limit.max(1), PAGE)
    }

    fn part(&mut self, most: usize, most_bytes: usize) -> Answer<Part> {
        let vault = self.call.vault()?;
        let (mut text, mut events) = (String::new(), Vec::new());
        while let Some((_, id)) = self.order.get(self.next) {
            if events.len() >= most || text.len() >= most_bytes {
                break;
            }
            self.next += 1;
            // It may be gone if the file was written anew meanwhile.
            let Some(entry) = vault.entry_at(&self.seen, id)? else { continue };
            // One that does not open keeps nobody from the others.
            let value = match vault.value_of(&entry, None) {
                Ok(value) => match json_of(entry.kind(), &value) {
                    Ok(text) => text,
                    Err(_) => continue,
                },
                Err(error) if is_unreadable(&error) || error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            if !text.is_empty() {
                text.push(',');
            }
            text += &shown(&entry, &value, self.is_full);
            events.push(Event::new(self.call.action()).entry(&entry));
        }
        let next = (self.next < self.order.len()).then(|| self.order.get(self.next.wrapping_sub(1))).flatten();
        Ok(Part { text, events, next: next.map(|(cursor, _)| *cursor) })
    }

    /// All of them as a JSON array: in one piece if they are few. The records of the first part are left to the call.
    pub async fn into_body(mut self, server: Arc<Server>) -> Answer<Body> {
        let (listing, first) = tokio::task::spawn_blocking(move || {
            let first = self.part(PART_ENTRIES, PART);
            (self, first)
        })
        .await
        .map_err(|_| Problem::internal())?;
        let Part { text, events, next } = first?;
        listing.call.all_happened(events);
        match next {
            None => Ok(Body::from(format!("[{text}]"))),
            Some(_) => Ok(Body::from_stream(listing.rest(server, text))),
        }
    }

    fn rest(mut self, server: Arc<Server>, first: String) -> impl Stream<Item = io::Result<Bytes>> {
        async_stream::stream! {
            let mut is_first = first.is_empty();
            yield Ok(Bytes::from(format!("[{first}")));
            loop {
                let read = tokio::task::spawn_blocking(move || {
                    let part = self.part(PART_ENTRIES, PART);
                    (self, part)
                });
                let (Part { text, events, next }, open);
                match read.await {
                    Ok((listing, Ok(part))) => {
                        self = listing;
                        Part { text, events, next } = part;
                        open = self.call.caller.open.clone();
                    }
                    Ok((_, Err(problem))) => {
                        server.lines.failure(problem.code, "a list could not be read to its end");
                        yield Err(io::ErrorKind::Other.into());
                        return;
                    }
                    Err(_) => {
                        yield Err(io::ErrorKind::Other.into());
                        return;
                    }
                }
                let Some(open) = open else { return };
                if !events.is_empty() && !server.journal.record(&open, self.call.actor(), events).await {
                    // The connection ends in the middle: what follows would be a secret that nobody knows of to have left.
                    yield Err(io::ErrorKind::Other.into());
                    return;
                }
                if !text.is_empty() {
                    yield Ok(Bytes::from(if is_first { text } else { format!(",{text}") }));
                    is_first = false;
                }
                if next.is_none() {
                    yield Ok(Bytes::from_static(b"]"));
                    return;
                }
            }
        }
    }
}
