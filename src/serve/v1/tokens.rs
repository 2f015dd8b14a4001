//! `/v1/tokens`: what programs prove themselves with.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::entry::{expires, raw};
use super::{blocking, refuse, reply};
use crate::audit::Event;
use crate::format::record::Kind;
use crate::format::token::{MAX_SCOPE, MAX_TEXT, Rights, Token};
use crate::name::{Category, Environment};
use crate::serve::Server;
use crate::serve::call::Call;
use crate::serve::committer::now;
use crate::serve::configs::{json_of, time};
use crate::serve::error::{Answer, Problem};
use crate::serve::fields::{Fields, Payload};
use crate::serve::query::Path;
use crate::vault::{Change, TokenId, parse_network};

/// A token, without what proves its possession.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenView {
    #[schema(pattern = "^[0-9a-f]{16}$")]
    id: String,
    label: String,
    #[schema(value_type = Vec<RightView>)]
    rights: Vec<&'static str>,
    /// Only entries of these categories; null: of all, and of none.
    categories: Option<Vec<String>>,
    /// Only entries of these environments; an empty text stands for none.
    environments: Option<Vec<String>>,
    /// Only entries whose names match one of these.
    names: Option<Vec<String>>,
    /// Only from these networks.
    networks: Option<Vec<String>>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
    /// How many more requests it is good for; null: as many as there are.
    uses_left: Option<u64>,
    /// Whether it is good now, from somewhere.
    active: bool,
    /// What a client presents; said once, when the token is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    token: Option<Box<RawValue>>,
}

/// What a token may do.
#[derive(ToSchema)]
#[schema(as = Right, rename_all = "lowercase")]
#[allow(dead_code, reason = "describes the words of Rights")]
pub enum RightView {
    /// Values leave.
    Read,
    /// Entries are made, changed and removed.
    Write,
    /// Entries get other values.
    Rotate,
    /// Everything.
    Admin,
}

/// Tokens.
#[derive(Serialize, ToSchema)]
pub struct Tokens {
    tokens: Vec<TokenView>,
}

/// A token that is to be made.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what create reads")]
pub struct NewToken {
    #[schema(min_length = 1, max_length = 512)]
    label: String,
    #[schema(min_items = 1)]
    rights: Vec<RightView>,
    #[schema(max_items = 64)]
    categories: Option<Vec<String>>,
    #[schema(max_items = 64)]
    environments: Option<Vec<String>>,
    /// Patterns of names: * ? [a-z]
    #[schema(max_items = 64)]
    names: Option<Vec<String>>,
    /// Networks such as 10.0.0.0/8.
    #[schema(max_items = 64)]
    networks: Option<Vec<String>>,
    /// A time with an offset (RFC 3339), a day, or a duration from now such as 30d.
    expires: Option<String>,
    /// How many requests it is good for.
    #[schema(minimum = 1)]
    uses: Option<u64>,
}

impl TokenView {
    fn of(id: TokenId, token: Token, now: u64) -> Self {
        Self {
            id: id.to_string(),
            active: token.refused(now).is_none(),
            label: token.label,
            rights: token.rights.words(),
            categories: token.categories,
            environments: token.environments,
            names: token.names,
            networks: token.networks,
            created_at: time(token.created),
            expires_at: token.expires.map(time),
            revoked_at: token.revoked.map(time),
            uses_left: token.uses,
            token: None,
        }
    }
}

/// List the tokens
#[utoipa::path(get, path = "/v1/tokens", tag = "administration", responses((status = 200, body = Tokens)))]
pub async fn list(State(server): State<Arc<Server>>, call: Call) -> Answer<Response<Body>> {
    let tokens = blocking(move || {
        let tokens = call.vault()?.tokens().map_err(|error| refuse(&server, &error))?;
        let now = now();
        Ok(Tokens { tokens: tokens.into_iter().map(|(id, token)| TokenView::of(id, token, now)).collect() })
    });
    reply(StatusCode::OK, &tokens.await?)
}

/// Make a token; its secret is in this response and nowhere else
#[utoipa::path(post, path = "/v1/tokens", tag = "administration", request_body = NewToken, responses(
    (status = 201, body = TokenView, headers(("Location" = String))),
))]
pub async fn create(State(server): State<Arc<Server>>, call: Call, payload: Payload) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let token = new_token(&mut fields);
    fields.finish()?;
    let open = call.caller.open.clone().ok_or_else(Problem::sealed)?;
    let made = server.committer.change(&open, move |changes| changes.create_token(token.clone())).await;
    let (id, text) = made.map_err(|error| refuse(&server, &error))?;
    call.happened(Event::new(call.action()).detail(id.to_string()));
    let kept = open.vault.token(id).map_err(|error| refuse(&server, &error))?;
    let mut view = TokenView::of(id, kept, now());
    view.token = Some(raw(json_of(Kind::Text, &text)?)?);
    let mut response = reply(StatusCode::CREATED, &view)?;
    let location = HeaderValue::from_str(&format!("/v1/tokens/{id}")).map_err(|_| Problem::internal())?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

fn new_token(fields: &mut Fields) -> Token {
    let label = fields.text("label", 1..=MAX_TEXT).unwrap_or_default();
    if label.len() > MAX_TEXT {
        fields.fault("string_too_long", "label", format!("String should have at most {MAX_TEXT} bytes"));
    }
    let mut token = Token::new(label, [0; 32], 0);
    let rights = fields.optional_texts("rights").unwrap_or_default();
    match rights.iter().map(|word| Rights::parse(word)).collect::<Option<Vec<_>>>() {
        Some(rights) if !rights.is_empty() => token.rights = rights.into_iter().fold(Rights::default(), Rights::and),
        _ => fields.fault("value_error", "rights", "Value error, some of read, write, rotate and admin"),
    }
    let mut list = |name: &str, what: &str, is: &dyn Fn(&str) -> bool| {
        let list = fields.optional_texts(name)?;
        if list.is_empty() || list.len() > MAX_SCOPE || list.iter().any(|text| text.len() > MAX_TEXT || !is(text)) {
            fields.fault("value_error", name, format!("Value error, 1 to {MAX_SCOPE} {what}"));
        }
        Some(list)
    };
    token.categories = list("categories", "categories", &|text| Category::parse(text).is_ok());
    token.environments = list("environments", "environments", &|text| text.is_empty() || Environment::parse(text).is_ok());
    token.names = list("names", "patterns of * ? [a-z]", &|text| !text.is_empty() && glob::Pattern::new(text).is_ok());
    token.networks = list("networks", "networks such as 10.0.0.0/8", &|text| parse_network(text).is_ok());
    let is_limited = token.categories.is_some() || token.environments.is_some() || token.names.is_some();
    if token.rights.include(Rights::ADMIN) && is_limited {
        let message = "Value error, a token of an administrator is not limited to some entries: it can make others for the rest";
        fields.fault("value_error", "rights", message);
    }
    if let Change::Set(time) = expires(fields, now()) {
        token.expires = Some(time);
    }
    token.uses = fields.optional_number("uses");
    if token.uses == Some(0) {
        fields.fault("value_error", "uses", "Value error, at least one");
    }
    token
}

fn parse_id(text: &str) -> Answer<TokenId> {
    TokenId::parse(text).ok_or_else(no_token)
}

fn no_token() -> Problem {
    Problem::not_found("There is no such token")
}

/// Show a token
#[utoipa::path(get, path = "/v1/tokens/{id}", tag = "administration", params(("id" = String, Path)), responses(
    (status = 200, body = TokenView),
    (status = 404, description = "There is no such token"),
))]
pub async fn show(State(server): State<Arc<Server>>, call: Call, Path(id): Path) -> Answer<Response<Body>> {
    let id = parse_id(&id)?;
    call.happened(Event::new(call.action()).detail(id.to_string()));
    let token = call.vault()?.token(id).map_err(|error| token_problem(&server, &error))?;
    reply(StatusCode::OK, &TokenView::of(id, token, now()))
}

/// Revoke a token; it stays in the list
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "administration", params(("id" = String, Path)), responses(
    (status = 200, description = "It is good for nothing from now on", body = TokenView),
    (status = 404, description = "There is no such token"),
))]
pub async fn revoke(State(server): State<Arc<Server>>, call: Call, Path(id): Path) -> Answer<Response<Body>> {
    let id = parse_id(&id)?;
    call.happened(Event::new(call.action()).detail(id.to_string()));
    let open = call.caller.open.clone().ok_or_else(Problem::sealed)?;
    let revoked = server.committer.change(&open, move |changes| changes.revoke_token(id)).await;
    revoked.map_err(|error| token_problem(&server, &error))?;
    let token = open.vault.token(id).map_err(|error| token_problem(&server, &error))?;
    reply(StatusCode::OK, &TokenView::of(id, token, now()))
}

fn token_problem(server: &Server, error: &crate::vault::Error) -> Problem {
    match error.code() {
        "not_found" => no_token(),
        _ => refuse(server, error),
    }
}
