//! The description of the API (OpenAPI 3.1). The handlers say what they take and give; who may call them, and what every route is refused with, comes
//! from the table of routes.

use axum::http::Method;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Response, SecurityRequirement};

use super::auth::Access;
use super::error::Family;
use super::routes::{self, Route};
use super::schemas::{FieldFault, ProblemDetails, Refusal, RefusalDetail};
use super::{backup, configs, docs, events, secrets, service, system, users, v1};

#[derive(OpenApi)]
#[openapi(
    info(title = "vault", description = "Keeps categorized secrets in one encrypted file.", license(name = "MIT OR Apache-2.0")),
    components(schemas(ProblemDetails, Refusal, RefusalDetail, FieldFault)),
    paths(
        service::describe,
        service::health,
        service::ready,
        service::metrics,
        service::stats,
        system::status,
        system::unseal,
        system::seal,
        configs::list,
        backup::backup,
        backup::import,
        configs::create,
        configs::read,
        configs::update,
        configs::delete,
        events::subscribe,
        secrets::create,
        secrets::fetch,
        v1::entries::list,
        v1::entries::create,
        v1::entries::read,
        v1::entries::put,
        v1::entries::patch,
        v1::entries::delete,
        v1::relocate::copy,
        v1::relocate::rename,
        v1::history::list,
        v1::history::rollback,
        v1::rotate::rotate,
        v1::stats::count,
        v1::events::subscribe,
        v1::batch::read,
        v1::export::export,
        v1::generate::generate,
        v1::audit::list,
        v1::keys::list,
        v1::tokens::list,
        v1::tokens::create,
        v1::tokens::show,
        v1::tokens::revoke,
        users::account::register,
        users::account::login,
        users::account::send_otp,
        users::account::verify_otp,
        users::account::logout,
        users::account::change_password,
        users::factor::enroll,
        users::factor::confirm,
        users::factor::disable,
        users::factor::recovery,
        users::account::show,
        users::account::erase,
        users::account::export,
        users::data::list,
        users::data::create,
        users::data::replace,
        users::data::remove,
        users::admin::rotate,
        users::admin::list,
        users::admin::create,
        users::admin::show,
        users::admin::change,
        users::admin::remove,
        docs::description,
        docs::index,
        docs::file,
        docs::elsewhere,
    )
)]
struct Handlers;

/// A status, and what it means on every route that may have it.
type Meaning = (u16, &'static str);

const TOO_MANY: Meaning = (429, "Too many requests, or too many wrong credentials, from this address or with this credential");
const FORBIDDEN: Meaning = (403, "Not permitted: by address, right, name, environment or category");
const INVALID: Meaning = (422, "The request is not well-formed; all that is wrong with it is said at once");
const AUTHENTICATED: [Meaning; 2] = [
    (401, "No credential, or one that does not hold"),
    (503, "The vault is sealed or busy, or the request could not be recorded"),
];
const WITH_BODY: [Meaning; 3] =
    [(400, "The body could not be read"), (408, "The body took too long"), (413, "The body is too large")];
const INTERNAL: Meaning = (500, "Something failed inside");

/// The description of all routes.
pub fn describe() -> utoipa::openapi::OpenApi {
    let mut described = Handlers::openapi();
    described.info.version = env!("CARGO_PKG_VERSION").to_owned();
    if let Some(components) = described.components.as_mut() {
        let header = |name: &str| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name)));
        components.add_security_scheme("x-user-key", header("x-user-key"));
        components.add_security_scheme("X-API-Key", header("X-API-Key"));
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("vault_…").build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let session = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        components.add_security_scheme("session", SecurityScheme::Http(session));
    }
    for route in routes::all() {
        let item = described.paths.paths.get_mut(&path_of(&route));
        if let Some(operation) = item.and_then(|item| operation(item, &route.method)) {
            complete(operation, &route);
        }
    }
    described
}

/// The path of a route as it stands in the description.
fn path_of(route: &Route) -> String {
    route.info.path.replace("{*", "{")
}

fn operation<'a>(item: &'a mut PathItem, method: &Method) -> Option<&'a mut Operation> {
    match *method {
        Method::GET => item.get.as_mut(),
        Method::POST => item.post.as_mut(),
        Method::PUT => item.put.as_mut(),
        Method::PATCH => item.patch.as_mut(),
        Method::DELETE => item.delete.as_mut(),
        _ => None,
    }
}

/// Says of an operation what the table of routes knows.
fn complete(operation: &mut Operation, route: &Route) {
    let path = route.info.path;
    let words: Vec<&str> = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    operation.operation_id = Some(format!("{}_{}", route.method.as_str().to_ascii_lowercase(), words.join("_")));

    let one = |name: &str| SecurityRequirement::new(name, Vec::<String>::new());
    let any = || ["x-user-key", "bearer", "X-API-Key"].map(one).to_vec();
    operation.security = match route.info.access {
        Access::Open => Some(Vec::new()),
        Access::Any | Access::Needs(_) => Some(any()),
        Access::Session(_) => Some(vec![one("session")]),
        // None is asked for where the configuration says so.
        Access::Secrets(_) => Some(any().into_iter().chain([SecurityRequirement::default()]).collect()),
    };

    let mut meanings = vec![FORBIDDEN, TOO_MANY, INTERNAL];
    if route.info.access != Access::Open || route.info.action.is_some() {
        meanings.extend(AUTHENTICATED);
    }
    if operation.request_body.is_some() {
        meanings.extend(WITH_BODY);
    }
    if operation.request_body.is_some() || operation.parameters.is_some() || route.info.access != Access::Open {
        meanings.push(INVALID);
    }
    for (status, meaning) in meanings {
        let response = || RefOr::T(Response::new(meaning));
        operation.responses.responses.entry(status.to_string()).or_insert_with(response);
    }
    let (schema, kind) = match Family::of(path) {
        Family::Problem => ("ProblemDetails", "application/problem+json"),
        Family::Detail => ("Refusal", "application/json"),
    };
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        // The format wants one everywhere.
        if response.description.is_empty() {
            "As asked".clone_into(&mut response.description);
        }
        if status.starts_with(['4', '5']) && response.content.is_empty() {
            response.content.insert(kind.to_owned(), RefOr::T(Content::new(Some(Ref::from_schema_name(schema)))));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let routes: BTreeSet<(String, String)> =
            routes::all().iter().map(|route| (path_of(route), route.method.to_string())).collect();
        let mut described = BTreeSet::new();
        for (path, mut item) in describe().paths.paths {
            for method in METHODS.iter().filter(|method| operation(&mut item, method).is_some()) {
                described.insert((path.clone(), method.to_string()));
            }
        }
        assert_eq!(routes, described);
    }

    #[test]
    fn operations_have_ids_of_their_own_and_errors_have_bodies() {
        let text = serde_json::to_value(describe()).unwrap();
        let mut ids = BTreeMap::<String, u32>::new();
        for (path, item) in text["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                *ids.entry(operation["operationId"].as_str().unwrap().to_owned()).or_default() += 1;
                assert!(operation["summary"].as_str().is_some_and(|text| !text.starts_with('`')), "{method} {path}");
                assert!(operation["security"].is_array() || operation.get("security").is_none(), "{method} {path}");
                for (status, response) in operation["responses"].as_object().unwrap() {
                    assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path} {status}");
                    assert!(status < &"400".to_owned() || response["content"].is_object(), "{method} {path} {status}");
                }
            }
        }
        assert!(ids.values().all(|count| *count == 1), "{ids:?}");
        assert_eq!(text["openapi"], "3.1.0");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &serde_json::Value, found: &mut Vec<String>) {
            match value {
                serde_json::Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(|reference| reference.as_str()).map(str::to_owned));
                    map.values().for_each(|value| references(value, found));
                }
                serde_json::Value::Array(list) => list.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let text = serde_json::to_value(describe()).unwrap();
        let mut found = Vec::new();
        references(&text, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            assert!(text.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }
}
