//! `/v1/export`: many entries with their values.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};

use super::entries::EntryPage;
use super::entry::EntryView;
use super::selection::{Selection, SelectionBody, cursor_behind};
use super::{MOST_BYTES, blocking, refuse};
use crate::audit::Event;
use crate::serve::Server;
use crate::serve::call::{Call, is_unreadable};
use crate::serve::committer::now;
use crate::serve::configs::respond;
use crate::serve::error::{Answer, Problem};
use crate::serve::fields::{Fields, Payload};
use crate::vault::ErrorKind;

/// Read the entries that are selected, with their values
///
/// What has expired, or does not open with the caller's key, is left out. A page ends early where its values are large.
#[utoipa::path(post, path = "/v1/export", tag = "values", request_body = SelectionBody, responses((status = 200, body = EntryPage)))]
pub async fn export(State(server): State<Arc<Server>>, call: Call, payload: Payload) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let selection = Selection::of_fields(&mut fields);
    fields.finish()?;
    let page = blocking(move || {
        let (entries, mut next) = selection.page(&call)?;
        let vault = call.vault()?;
        let now = vault.clock(now()).for_reading();
        let mut events = Vec::with_capacity(entries.len());
        // Written at once, one by one: all of it is held once and not as values, views and text.
        let (mut body, mut size) = (br#"{"entries":["#.to_vec(), 0);
        for (index, entry) in entries.iter().enumerate() {
            let value = match vault.value_of(entry, None) {
                Ok(value) => value,
                // One that does not open, or is gone since, keeps nobody from the others.
                Err(error) if is_unreadable(&error) || error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(refuse(&server, &error)),
            };
            size += value.expose().len();
            if !events.is_empty() {
                body.push(b',');
            }
            let view = EntryView::of(entry, now).with(entry.version(), entry.kind(), &value)?;
            serde_json::to_writer(&mut body, &view).map_err(|_| Problem::internal())?;
            events.push(Event::new(call.action()).entry(entry));
            if size > MOST_BYTES && index + 1 < entries.len() {
                next = Some(cursor_behind(entry));
                break;
            }
        }
        call.all_happened(events);
        body.extend_from_slice(br#"],"next":"#);
        serde_json::to_writer(&mut body, &next).map_err(|_| Problem::internal())?;
        body.push(b'}');
        Ok(body)
    });
    Ok(respond(StatusCode::OK, page.await?, None))
}
