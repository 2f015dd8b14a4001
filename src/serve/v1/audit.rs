//! `/v1/audit`: the log of what was done.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::selection::MOST;
use super::{blocking, refuse, reply};
use crate::audit::{Action, AuditError, Item, Keys, Reader, Record, Status};
use crate::format::header::hex;
use crate::serve::Server;
use crate::serve::call::Call;
use crate::serve::committer::now;
use crate::serve::configs::time;
use crate::serve::error::{Answer, Problem};
use crate::serve::fields::LARGEST;
use crate::serve::query::Query;
use crate::store::Walk;
use crate::vault::clock;

/// How many records a page has unless the request says so.
const USUAL: u64 = 100;

/// Which records.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what Wanted reads")]
pub struct AuditParameters {
    /// Only records of this entry, or of those that match: * ? [a-z]
    entry: Option<String>,
    /// Only records of this environment; empty: only of entries without one.
    env: Option<String>,
    /// Only this action, such as get, set, rotate, rm, export, token-create; may be repeated.
    action: Option<Vec<String>>,
    /// Only this result: ok, denied, not_found, expired, conflict, bad_request, error; may be repeated.
    result: Option<Vec<String>>,
    /// Only what this user did, or who presented this credential: `token:…`, `key:…`.
    user: Option<String>,
    /// Only from this time on: a time with an offset (RFC 3339), a day, or a duration ago such as 24h.
    since: Option<String>,
    /// Only before this time.
    until: Option<String>,
    /// Only records before the one of this number: the last of the page before.
    before: Option<u64>,
    /// The newest so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
}

/// Records, the newest first.
#[derive(Serialize, ToSchema)]
pub struct AuditPage {
    records: Vec<RecordView>,
}

/// A record.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditRecord)]
pub struct RecordView {
    sequence: u64,
    #[schema(format = DateTime)]
    time: String,
    action: String,
    result: String,
    name: Option<String>,
    environment: Option<String>,
    /// The entry's id.
    entry_id: Option<String>,
    entry_version: Option<u64>,
    /// Through what the key came: cli, agent or serve.
    source: String,
    user: Option<String>,
    process: Option<String>,
    client: Option<String>,
    request_id: Option<String>,
    user_agent: Option<String>,
    /// The code of what went wrong.
    error: Option<String>,
    /// The slot: its public half.
    key: Option<String>,
    detail: Option<String>,
    /// Whether the record is sealed; anybody who can write the file may have written one that is not.
    authentic: bool,
}

impl RecordView {
    fn of(item: &Item<'_>, record: &Record<'_>) -> Self {
        let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_ref().map(ToString::to_string);
        Self {
            sequence: item.sequence,
            time: time(record.time),
            action: record.action.to_string(),
            result: record.status.to_string(),
            name: text(&record.name),
            environment: text(&record.environment),
            entry_id: record.uid.map(|uid| hex(&uid)),
            entry_version: record.version,
            source: record.source.to_string(),
            user: text(&record.user),
            process: text(&record.process),
            client: text(&record.client),
            request_id: text(&record.request),
            user_agent: text(&record.agent),
            error: text(&record.code),
            key: text(&record.key),
            detail: text(&record.detail),
            authentic: !item.clear,
        }
    }
}

/// What is looked for.
struct Wanted {
    entry: Option<(String, glob::Pattern)>,
    environment: Option<String>,
    actions: Vec<String>,
    results: Vec<String>,
    user: Option<String>,
    since: u64,
    until: u64,
    before: u64,
    limit: u64,
}

impl Wanted {
    fn of_query(query: &mut Query) -> Self {
        let now = now();
        let moment = |text: &str| {
            let ago = || clock::duration(text).map(|duration| now.saturating_sub(duration));
            clock::moment(text).or_else(|| clock::day(text).map(|(start, _)| start)).or_else(ago)
        };
        let what = "not a time, a day, or a duration such as 24h";
        let mut words = |name: &str, is: &dyn Fn(&str) -> bool| {
            let words = query.texts(name);
            if words.iter().any(|word| !is(word)) {
                query.fault("query", name, "not a word of the log");
            }
            words
        };
        let actions = words("action", &|word| Action::parse(word).is_some());
        let results = words("result", &|word| Status::parse(word).is_some());
        Self {
            entry: query.parsed("entry", "not a pattern of * ? [a-z]", |text| {
                glob::Pattern::new(text).ok().map(|pattern| (text.to_owned(), pattern))
            }),
            environment: query.text("env"),
            actions,
            results,
            user: query.text("user"),
            since: query.parsed("since", what, moment).unwrap_or(0),
            until: query.parsed("until", what, moment).unwrap_or(u64::MAX),
            before: query.number("before", 0..=LARGEST).unwrap_or(u64::MAX),
            limit: query.number("limit", 1..=MOST).unwrap_or(USUAL),
        }
    }

    fn admits(&self, record: &Record<'_>) -> bool {
        let among = |words: &[String], word: &str| words.is_empty() || words.iter().any(|other| other == word);
        let of = record.environment.as_deref().unwrap_or_default();
        let is_entry = |(text, pattern): &(String, glob::Pattern)| {
            record.name.as_deref().is_some_and(|name| name == text || pattern.matches(name))
        };
        (self.since..self.until).contains(&record.time)
            && among(&self.actions, &record.action)
            && among(&self.results, &record.status)
            && self.entry.as_ref().is_none_or(is_entry)
            && self.environment.as_deref().is_none_or(|wanted| record.name.is_some() && wanted == of)
            && self.user.as_deref().is_none_or(|wanted| record.user.as_deref() == Some(wanted))
    }
}

/// Read the log of what was done, from its end
#[utoipa::path(get, path = "/v1/audit", tag = "administration", params(AuditParameters), responses((status = 200, body = AuditPage)))]
pub async fn list(State(server): State<Arc<Server>>, call: Call, mut query: Query) -> Answer<Response<Body>> {
    let wanted = Wanted::of_query(&mut query);
    query.finish()?;
    let page = blocking(move || {
        let open = call.caller.open.as_ref().ok_or_else(Problem::sealed)?;
        let older = open.vault.older_audit_keys().map_err(|error| refuse(&server, &error))?;
        let keys = Keys::new(open.source.duplicate()).with_older(older);
        let mut records = Vec::new();
        let read = Reader::open(&server.journal.path(open), keys).and_then(|mut reader| {
            reader.backward(&mut |item| {
                if let Some(record) = item.record.as_ref().filter(|record| item.sequence < wanted.before && wanted.admits(record))
                {
                    records.push(RecordView::of(&item, record));
                }
                Ok(if records.len() as u64 >= wanted.limit { Walk::Break(()) } else { Walk::Continue(()) })
            })
        });
        match read {
            // Nothing was recorded yet.
            Ok(()) | Err(AuditError::Missing) => Ok(AuditPage { records }),
            Err(error) => {
                server.lines.failure("audit", &error.to_string());
                Err(Problem::internal())
            }
        }
    });
    reply(StatusCode::OK, &page.await?)
}
