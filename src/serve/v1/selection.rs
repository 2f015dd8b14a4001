//! Which entries a request is about, and which part of them a page holds.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use utoipa::{IntoParams, ToSchema};

use crate::name::{Category, Environment, Tag};
use crate::serve::call::Call;
use crate::serve::committer::now;
use crate::serve::error::Answer;
use crate::serve::fields::Fields;
use crate::serve::query::Query;
use crate::store::Walk;
use crate::vault::{Condition, Entry, Filter, Scope};

/// How many entries a page has unless the request says so, and at most.
const USUAL: u64 = 100;
/// The most that one page holds.
pub const MOST: u64 = 1000;

const NO_ENVIRONMENT: &str = "not an environment";
const NO_CATEGORY: &str = "not a category";
const NO_TAG: &str = "not a tag";
const NO_PATTERN: &str = "not a pattern of * ? [a-z]";
const NO_CONDITION: &str = "not a condition such as owner = ops, with = != < <= > >= ~";
const NO_CURSOR: &str = "not a cursor of this API";

/// Which entries.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what Selection reads")]
pub struct SelectionParameters {
    /// Only entries of this environment; empty: only those without one.
    #[param(max_length = 100)]
    env: Option<String>,
    /// Only entries of this category.
    #[param(max_length = 100)]
    category: Option<String>,
    /// Only entries with this tag.
    #[param(max_length = 100)]
    tag: Option<String>,
    /// Only entries whose names match: * ? [a-z]
    r#match: Option<String>,
    /// Only entries whose metadata fulfils this: `owner = ops`, with = != < <= > >= ~; may be repeated.
    r#where: Option<Vec<String>>,
    /// Only entries that have expired, or only those that have not.
    expired: Option<bool>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
}

/// Which entries, in a body.
#[derive(ToSchema)]
#[schema(as = Selection)]
#[allow(dead_code, reason = "describes what Selection reads")]
pub struct SelectionBody {
    /// Only entries of this environment; empty: only those without one.
    #[schema(max_length = 100)]
    environment: Option<String>,
    #[schema(max_length = 100)]
    category: Option<String>,
    #[schema(max_length = 100)]
    tag: Option<String>,
    /// Only entries whose names match: * ? [a-z]
    r#match: Option<String>,
    /// Only entries whose metadata fulfils all of these: `owner = ops`, with = != < <= > >= ~
    r#where: Option<Vec<String>>,
    /// At most so many.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
}

/// Behind which entry a page begins: environment and name, in whose order they are.
type Cursor = (String, String);

/// Which entries.
pub struct Selection {
    scope: Scope,
    category: Option<Category>,
    tag: Option<Tag>,
    pattern: Option<glob::Pattern>,
    conditions: Vec<Condition>,
    expired: Option<bool>,
    limit: u64,
    after: Option<Cursor>,
}

impl Selection {
    /// What a query asks for.
    pub fn of_query(query: &mut Query) -> Self {
        Self {
            scope: query.parsed("env", NO_ENVIRONMENT, scope).unwrap_or(Scope::All),
            category: query.parsed("category", NO_CATEGORY, |text| Category::parse(text).ok()),
            tag: query.parsed("tag", NO_TAG, |text| Tag::parse(text).ok()),
            pattern: query.parsed("match", NO_PATTERN, |text| glob::Pattern::new(text).ok()),
            conditions: {
                let parsed = query.texts("where").iter().map(|text| Condition::parse(text).ok()).collect::<Option<_>>();
                parsed.unwrap_or_else(|| {
                    query.fault("query", "where", NO_CONDITION);
                    Vec::new()
                })
            },
            expired: query.flag("expired"),
            limit: query.number("limit", 1..=MOST).unwrap_or(USUAL),
            after: query.parsed("cursor", NO_CURSOR, after).flatten(),
        }
    }

    /// What a body asks for: what has not expired, since it goes with its values.
    pub fn of_fields(fields: &mut Fields) -> Self {
        let mut text = |name| fields.optional_text(name, 0..=usize::MAX);
        let (environment, category, tag) = (text("environment"), text("category"), text("tag"));
        let (pattern, cursor) = (text("match"), text("cursor"));
        let limit = fields.optional_number("limit");
        if limit.is_some_and(|limit| !(1..=MOST).contains(&limit)) {
            fields.fault("value_error", "limit", format!("Value error, not a whole number from 1 to {MOST}"));
        }
        let conditions = fields.optional_texts("where").unwrap_or_default();
        let conditions = conditions.iter().map(|text| Condition::parse(text).ok()).collect::<Option<_>>();
        Self {
            scope: fields.parsed("environment", environment, NO_ENVIRONMENT, scope).unwrap_or(Scope::All),
            category: fields.parsed("category", category, NO_CATEGORY, |text| Category::parse(text).ok()),
            tag: fields.parsed("tag", tag, NO_TAG, |text| Tag::parse(text).ok()),
            pattern: fields.parsed("match", pattern, NO_PATTERN, |text| glob::Pattern::new(text).ok()),
            conditions: conditions.unwrap_or_else(|| {
                fields.fault("value_error", "where", format!("Value error, {NO_CONDITION}"));
                Vec::new()
            }),
            expired: Some(false),
            limit: limit.unwrap_or(MOST),
            after: fields.parsed("cursor", cursor, NO_CURSOR, after).flatten(),
        }
    }

    /// The entries of this page that the caller may know of, and the cursor of the next.
    pub fn page(&self, call: &Call) -> Answer<(Vec<Entry>, Option<String>)> {
        let vault = call.vault()?;
        let now = vault.clock(now()).for_reading();
        let grant = &call.caller.grant;
        let mut entries: Vec<Entry> = Vec::new();
        let mut is_last = true;
        let filter = Filter { scope: self.scope.clone(), category: self.category.clone() };
        vault.entries(&filter, &mut |entry| {
            let id = entry.id();
            let is_behind = self
                .after
                .as_ref()
                .is_none_or(|after| (id.environment_text(), id.name.as_str()) > (after.0.as_str(), after.1.as_str()));
            let is_known = grant.covers(id) && grant.covers_category(entry.category());
            if !is_behind || !is_known || !self.admits(&entry, now) {
                return Ok(Walk::Continue(()));
            }
            if entries.len() as u64 >= self.limit {
                is_last = false;
                return Ok(Walk::Break(()));
            }
            entries.push(entry);
            Ok(Walk::Continue(()))
        })?;
        let next = entries.last().filter(|_| !is_last).map(cursor_behind);
        Ok((entries, next))
    }

    fn admits(&self, entry: &Entry, now: u64) -> bool {
        self.tag.as_ref().is_none_or(|tag| entry.tags().contains(tag))
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(entry.id().name.as_str()))
            && self.conditions.iter().all(|condition| condition.holds(entry))
            && self.expired.is_none_or(|expired| entry.is_expired(now) == expired)
    }
}

/// The cursor of a page that begins behind this entry.
pub fn cursor_behind(entry: &Entry) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}\0{}", entry.id().environment_text(), entry.id().name))
}

fn scope(text: &str) -> Option<Scope> {
    match text {
        "" => Some(Scope::One(None)),
        text => Environment::parse(text).ok().map(|environment| Scope::One(Some(environment))),
    }
}

/// Behind which entry a page begins; an empty text says behind none.
fn after(text: &str) -> Option<Option<Cursor>> {
    if text.is_empty() { Some(None) } else { parse_cursor(text).map(Some) }
}

fn parse_cursor(text: &str) -> Option<Cursor> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (environment, name) = std::str::from_utf8(&bytes).ok()?.split_once('\0')?;
    Some((environment.to_owned(), name.to_owned()))
}
