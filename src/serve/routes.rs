//! The table of routes: each with who may call it and what is recorded. There is no other way for a route to be there.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::auth::Access;
use super::call::{RouteInfo, around};
use super::error::Problem;
use super::{Server, backup, configs, cors, docs, events, secrets, service, system, users, v1};
use crate::audit::Action;
use crate::format::token::Rights;
use crate::format::user::Role;

/// One route.
pub struct Route {
    /// Its method.
    pub method: Method,
    /// What is known of it beforehand.
    pub info: RouteInfo,
    handler: MethodRouter<Arc<Server>>,
}

fn route<H, T>(method: Method, path: &'static str, access: Access, action: impl Into<Option<Action>>, handler: H) -> Route
where
    H: Handler<T, Arc<Server>>,
    T: 'static,
{
    let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
    Route { method, info: RouteInfo { path, access, action: action.into() }, handler: on(filter, handler) }
}

/// All routes.
pub fn all() -> Vec<Route> {
    use Access::{Any, Needs, Open, Secrets, Session};
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const PUT: Method = Method::PUT;
    const PATCH: Method = Method::PATCH;
    const DELETE: Method = Method::DELETE;
    vec![
        // The service.
        route(GET, "/", Open, None, service::describe),
        route(GET, "/health", Open, None, service::health),
        route(GET, "/ready", Open, None, service::ready),
        route(GET, "/metrics", Open, None, service::metrics),
        route(GET, "/stats", Any, Action::List, service::stats),
        // Sealing.
        route(GET, "/v1/sys/seal-status", Open, None, system::status),
        route(POST, "/v1/sys/unseal", Open, Action::Unlock, system::unseal),
        route(POST, "/v1/sys/seal", Needs(Rights::ADMIN), Action::Lock, system::seal),
        // Configurations.
        route(GET, "/configs", Needs(Rights::READ), Action::Get, configs::list),
        route(POST, "/configs", Needs(Rights::WRITE), Action::Set, configs::create),
        route(GET, "/configs/{*key}", Needs(Rights::READ), Action::Get, configs::read),
        route(PUT, "/configs/{*key}", Needs(Rights::WRITE), Action::Set, configs::update),
        route(DELETE, "/configs/{*key}", Needs(Rights::WRITE), Action::Remove, configs::delete),
        route(GET, "/sse/subscribe", Needs(Rights::READ), Action::Subscribe, events::subscribe),
        route(POST, "/backup", Needs(Rights::READ), Action::Backup, backup::backup),
        route(POST, "/import", Needs(Rights::WRITE), Action::Import, backup::import),
        // Entries.
        route(GET, "/v1/entries", Needs(Rights::READ), Action::List, v1::entries::list),
        route(POST, "/v1/entries", Needs(Rights::WRITE), Action::Set, v1::entries::create),
        route(GET, "/v1/entries/{*name}", Needs(Rights::READ), Action::Get, v1::entries::read),
        route(PUT, "/v1/entries/{*name}", Needs(Rights::WRITE), Action::Set, v1::entries::put),
        route(PATCH, "/v1/entries/{*name}", Needs(Rights::WRITE), Action::Set, v1::entries::patch),
        route(DELETE, "/v1/entries/{*name}", Needs(Rights::WRITE), Action::Remove, v1::entries::delete),
        route(POST, "/v1/copy/{*name}", Needs(Rights::WRITE), Action::Copy, v1::relocate::copy),
        route(POST, "/v1/move/{*name}", Needs(Rights::WRITE), Action::Rename, v1::relocate::rename),
        route(GET, "/v1/history/{*name}", Needs(Rights::READ), Action::List, v1::history::list),
        route(POST, "/v1/rollback/{*name}", Needs(Rights::WRITE), Action::Rollback, v1::history::rollback),
        route(POST, "/v1/rotate/{*name}", Needs(Rights::ROTATE), Action::Rotate, v1::rotate::rotate),
        route(GET, "/v1/stats", Needs(Rights::READ), Action::List, v1::stats::count),
        route(GET, "/v1/events", Needs(Rights::READ), Action::Subscribe, v1::events::subscribe),
        // Values.
        route(POST, "/v1/batch", Needs(Rights::READ), Action::Get, v1::batch::read),
        route(POST, "/v1/export", Needs(Rights::READ), Action::Export, v1::export::export),
        route(POST, "/v1/generate", Any, Action::Request, v1::generate::generate),
        // What concerns the vault as a whole.
        route(GET, "/v1/audit", Needs(Rights::ADMIN), Action::Request, v1::audit::list),
        route(GET, "/v1/keys", Needs(Rights::ADMIN), Action::Request, v1::keys::list),
        route(GET, "/v1/tokens", Needs(Rights::ADMIN), Action::Request, v1::tokens::list),
        route(POST, "/v1/tokens", Needs(Rights::ADMIN), Action::TokenCreate, v1::tokens::create),
        route(GET, "/v1/tokens/{id}", Needs(Rights::ADMIN), Action::Request, v1::tokens::show),
        route(DELETE, "/v1/tokens/{id}", Needs(Rights::ADMIN), Action::TokenRevoke, v1::tokens::revoke),
        // The description of all this.
        route(GET, "/openapi.json", Open, None, docs::description),
        route(GET, "/docs", Open, None, docs::index),
        route(GET, "/docs/{file}", Open, None, docs::file),
        route(GET, "/redoc", Open, None, docs::elsewhere),
        // Secrets by id.
        route(POST, "/vault/secret/create", Secrets(Rights::WRITE), Action::Set, secrets::create),
        route(POST, "/vault/secret/fetch", Secrets(Rights::READ), Action::Get, secrets::fetch),
        // Users.
        route(POST, "/register", Open, Action::UserAdd, users::account::register),
        route(POST, "/login", Open, Action::SignIn, users::account::login),
        route(POST, "/send-otp", Open, Action::CodeSend, users::account::send_otp),
        route(POST, "/verify-otp", Open, Action::SignIn, users::account::verify_otp),
        route(POST, "/logout", Session(Role::Reader), Action::SignOut, users::account::logout),
        route(POST, "/change-password", Session(Role::Reader), Action::UserChange, users::account::change_password),
        route(POST, "/2fa/enroll", Session(Role::Reader), Action::UserChange, users::factor::enroll),
        route(POST, "/2fa/confirm", Session(Role::Reader), Action::UserChange, users::factor::confirm),
        route(POST, "/2fa/disable", Session(Role::Reader), Action::UserChange, users::factor::disable),
        route(POST, "/2fa/recovery-codes", Session(Role::Reader), Action::UserChange, users::factor::recovery),
        route(GET, "/account", Session(Role::Reader), Action::Request, users::account::show),
        route(DELETE, "/account", Session(Role::Reader), Action::UserRemove, users::account::erase),
        route(GET, "/account/export", Session(Role::Reader), Action::DataRead, users::account::export),
        // What they keep.
        route(GET, "/sensitive-data", Session(Role::Reader), Action::DataRead, users::data::list),
        route(POST, "/sensitive-data", Session(Role::Writer), Action::DataWrite, users::data::create),
        route(PUT, "/sensitive-data/{id}", Session(Role::Writer), Action::DataWrite, users::data::replace),
        route(DELETE, "/sensitive-data/{id}", Session(Role::Writer), Action::DataRemove, users::data::remove),
        // What administrators among them do.
        route(POST, "/rotate-master-key", Session(Role::Admin), Action::KeyRotate, users::admin::rotate),
        route(GET, "/users", Session(Role::Admin), Action::Request, users::admin::list),
        route(POST, "/users", Session(Role::Admin), Action::UserAdd, users::admin::create),
        route(GET, "/users/{*username}", Session(Role::Admin), Action::Request, users::admin::show),
        route(PATCH, "/users/{*username}", Session(Role::Admin), Action::UserChange, users::admin::change),
        route(DELETE, "/users/{*username}", Session(Role::Admin), Action::UserRemove, users::admin::remove),
    ]
}

/// The router of a server; it can be called without a socket.
pub fn router(server: &Arc<Server>) -> Router {
    let mut router = Router::new();
    for Route { info, handler, .. } in all() {
        let handler = handler.layer(from_fn_with_state((server.clone(), info), around));
        if info.path != "/" && !info.path.contains("{*") {
            router = router.route(&format!("{}/", info.path), handler.clone());
        }
        router = router.route(info.path, handler);
    }
    let other = |path| {
        let info = RouteInfo { path, access: Access::Open, action: Some(Action::Request) };
        from_fn_with_state((server.clone(), info), around)
    };
    let router = router
        .method_not_allowed_fallback(no_such_method.layer(other("(method)")))
        .fallback(no_such_route.layer(other("(none)")))
        .with_state(server.clone());
    if server.settings.cors_origins.is_empty() {
        return router;
    }
    router.layer(from_fn_with_state(server.clone(), cors::around))
}

async fn no_such_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method Not Allowed")
}

async fn no_such_route() -> Problem {
    Problem::not_found("Not Found")
}
