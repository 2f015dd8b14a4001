//! What an administrator among the users does: the master key, and the users.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

use super::account::{account, make, new_user_of};
use super::failed;
use super::schemas::{NewUserOfRole, UserChange, UserView};
use crate::audit::Event;
use crate::format::user::{Role, SignIn, User};
use crate::serve::Server;
use crate::serve::call::Call;
use crate::serve::committer::now;
use crate::serve::configs::{respond, time};
use crate::serve::error::{Answer, Problem};
use crate::serve::fields::{Fields, Payload};
use crate::serve::query::Path;
use crate::serve::schemas::Message;
use crate::vault::Result;
use crate::vault::users::{UserName, end_sessions};

/// Replace the master key; the keys of all users are wrapped anew, what they keep stays as it is
#[utoipa::path(post, path = "/rotate-master-key", tag = "users", responses((status = 200, body = Message)))]
pub async fn rotate(State(server): State<Arc<Server>>) -> Answer<Response<Body>> {
    server.keeper.rotate_master(now()).await.map_err(|error| failed(&server, &error))?;
    Ok(respond(StatusCode::OK, json!({ "message": "Master key rotated successfully" }).to_string(), None))
}

fn view(user: &User, state: &SignIn, now: u64) -> Value {
    let mut view = account(user);
    view["disabled"] = user.disabled.is_some().into();
    view["locked_for"] = state.locked_for(now).unwrap_or(0).into();
    view["last_sign_in_at"] = Some(state.last).filter(|last| *last > 0).map(time).into();
    view
}

/// List the users
#[utoipa::path(get, path = "/users", tag = "users", responses((status = 200, body = Vec<UserView>)))]
pub async fn list(State(server): State<Arc<Server>>, call: Call) -> Answer<Response<Body>> {
    let open = call.caller.open.clone().ok_or_else(Problem::sealed)?;
    let users = tokio::task::spawn_blocking(move || open.vault.users()).await.map_err(|_| Problem::internal())?;
    let now = now();
    let users = users.map_err(|error| failed(&server, &error))?;
    let views: Vec<Value> = users.iter().map(|(_, user, state)| view(user, state, now)).collect();
    Ok(respond(StatusCode::OK, Value::from(views).to_string(), None))
}

/// Make a user
#[utoipa::path(post, path = "/users", tag = "users", request_body = NewUserOfRole, responses(
    (status = 200, body = Message),
    (status = 400, description = "There is a user of this name"),
    (status = 409, description = "There are as many users as there may be"),
))]
pub async fn create(State(server): State<Arc<Server>>, call: Call, payload: Payload) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let (name, email, password) = new_user_of(&mut fields);
    let role = role_of(&mut fields).unwrap_or(Role::Writer);
    fields.finish()?;
    make(&server, &call, name, email, password, role).await?;
    Ok(respond(StatusCode::OK, json!({ "message": "User created" }).to_string(), None))
}

fn role_of(fields: &mut Fields) -> Option<Role> {
    let word = fields.optional_text("role", 0..=16);
    fields.parsed("role", word, "one of reader, writer and admin", Role::parse)
}

/// Show a user
#[utoipa::path(get, path = "/users/{username}", tag = "users", params(("username" = String, Path)), responses(
    (status = 200, body = UserView),
    (status = 404, description = "There is no such user"),
))]
pub async fn show(State(server): State<Arc<Server>>, call: Call, Path(name): Path<String>) -> Answer<Response<Body>> {
    shown(&server, &call, &UserName::of(&name))
}

fn shown(server: &Server, call: &Call, name: &UserName) -> Answer<Response<Body>> {
    let open = call.caller.open.clone().ok_or_else(Problem::sealed)?;
    let read = || -> Result<(User, SignIn)> {
        let (mark, user) = open.vault.user(name)?;
        Ok((user, open.vault.sign_in(mark)?))
    };
    let (user, state) = read().map_err(|error| failed(server, &error))?;
    call.happened(Event::new(call.action()).detail(&*user.name));
    Ok(respond(StatusCode::OK, view(&user, &state, now()).to_string(), None))
}

/// Change the role of a user, disable or enable them, or end a lock
///
/// Another role and being disabled end all sessions of the user.
#[utoipa::path(patch, path = "/users/{username}", tag = "users", params(("username" = String, Path)), request_body = UserChange, responses(
    (status = 200, body = UserView),
    (status = 404, description = "There is no such user"),
    (status = 409, description = "No administrator would be left"),
))]
pub async fn change(
    State(server): State<Arc<Server>>,
    call: Call,
    Path(name): Path<String>,
    payload: Payload,
) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let role = role_of(&mut fields);
    let disabled = fields.optional_flag("disabled");
    let unlock = fields.optional_flag("unlock").unwrap_or(false);
    fields.finish()?;
    let name = Arc::new(UserName::of(&name));
    let open = call.caller.open.clone().ok_or_else(Problem::sealed)?;
    let of_change = name.clone();
    let changed = server.committer.change(&open, move |changes| {
        let now = changes.now();
        changes.update_user(&of_change, &mut |user, state| {
            let before = (user.role, user.disabled.is_some());
            user.role = role.unwrap_or(user.role);
            user.disabled = match disabled {
                Some(true) => user.disabled.or(Some(now)),
                Some(false) => None,
                None => user.disabled,
            };
            if unlock {
                state.unlock();
            }
            if before != (user.role, user.disabled.is_some()) {
                end_sessions(user, state);
            }
            Ok(())
        })
    });
    changed.await.map_err(|error| failed(&server, &error))?;
    shown(&server, &call, &name)
}

/// Remove a user, and all that is kept for them
#[utoipa::path(delete, path = "/users/{username}", tag = "users", params(("username" = String, Path)), responses(
    (status = 200, body = Message),
    (status = 404, description = "There is no such user"),
    (status = 409, description = "No administrator would be left"),
))]
pub async fn remove(State(server): State<Arc<Server>>, call: Call, Path(name): Path<String>) -> Answer<Response<Body>> {
    let name = UserName::of(&name);
    let open = call.caller.open.clone().ok_or_else(Problem::sealed)?;
    let (_, user) = open.vault.user(&name).map_err(|error| failed(&server, &error))?;
    call.happened(Event::new(call.action()).detail(&*user.name));
    let removed = server.committer.change(&open, move |changes| changes.remove_user(&name)).await;
    removed.map_err(|error| failed(&server, &error))?;
    Ok(respond(StatusCode::OK, json!({ "message": "User deleted" }).to_string(), None))
}
