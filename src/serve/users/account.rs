//! Becoming a user, signing in and out, and what a user says about themselves.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use serde_json::json;
use zeroize::Zeroizing;

use super::schemas::{
    Account, AccountExport, ConfirmedPassword, Credentials, NewPasswords, NewUserBody, OneTimeCode, SessionToken, SignInAnswer,
    Username,
};
use super::session::{self, SignedIn as Caller};
use super::{Attempt, failed, is_here, locked, place_of, vault_of, verifier_of};
use crate::audit::Event;
use crate::format::user::{Role, SignIn, User};
use crate::serve::Server;
use crate::serve::call::Call;
use crate::serve::committer::now;
use crate::serve::configs::{respond, time};
use crate::serve::error::{Answer, Problem};
use crate::serve::fields::{Fields, Payload, SmallPayload};
use crate::serve::keeper::Open;
use crate::serve::limits::{check, group};
use crate::serve::mail::Message;
use crate::serve::schemas::Message as Said;
use crate::vault::Changes;
use crate::vault::users::{
    self, Code, Confirmed, MAX_USER_NAME, NewUser, Proof, Session, SignedIn, UserName, end_sessions, is_address, name_fault,
    weakness,
};

/// Longest password and longest code that are read, in characters; what is longer is wrong.
const LONGEST: usize = 4096;

/// Takes a password out of a body; it is wiped when it was used.
pub(super) fn password_of(fields: &mut Fields, name: &str) -> Zeroizing<String> {
    Zeroizing::new(fields.text(name, 0..=LONGEST).unwrap_or_default())
}

/// A password that is to be a user's.
pub(super) fn new_password_of(fields: &mut Fields, name: &str) -> Zeroizing<String> {
    let password = fields.text(name, 0..=LONGEST).map(Zeroizing::new);
    if let Some(lacks) = password.as_ref().and_then(|password| weakness(password)) {
        fields.fault("value_error", name, format!("Value error, {lacks}"));
    }
    password.unwrap_or_default()
}

/// A user's name, address and password out of a body.
pub(super) fn new_user_of(fields: &mut Fields) -> (String, String, Zeroizing<String>) {
    let name = fields.text("username", 1..=MAX_USER_NAME);
    if let Some(fault) = name.as_deref().and_then(name_fault) {
        fields.fault("value_error", "username", format!("Value error, {fault}"));
    }
    let email = fields.text("email", 0..=LONGEST);
    if email.as_deref().is_some_and(|email| !is_address(email)) {
        fields.fault("value_error", "email", "value is not a valid email address");
    }
    let password = new_password_of(fields, "password");
    (name.unwrap_or_default(), email.unwrap_or_default(), password)
}

fn said(message: &str) -> Response<Body> {
    respond(StatusCode::OK, json!({ "message": message }).to_string(), None)
}

/// Become a user
#[utoipa::path(post, path = "/register", tag = "users", request_body = NewUserBody, responses(
    (status = 200, body = Said),
    (status = 400, description = "There is a user of this name"),
    (status = 409, description = "There are as many users as there may be"),
))]
pub async fn register(
    State(server): State<Arc<Server>>,
    call: Call,
    SmallPayload(payload): SmallPayload,
) -> Answer<Response<Body>> {
    if !server.users.settings.registration {
        return Err(Problem::forbidden("Registration is closed"));
    }
    let mut fields = Fields::parse(&payload)?;
    let (name, email, password) = new_user_of(&mut fields);
    fields.finish()?;
    if !is_here(call.caller.from)
        && let Err(seconds) = check(&server.users.registrations, &call.caller.from.map(group))
    {
        return Err(Problem::too_many("Too many registrations from this address", seconds));
    }
    make(&server, &call, name, email, password, Role::Writer).await?;
    Ok(said("User registered successfully"))
}

/// Makes a user.
pub(super) async fn make(
    server: &Arc<Server>,
    call: &Call,
    name: String,
    email: String,
    password: Zeroizing<String>,
    role: Role,
) -> Answer<()> {
    let _place = server.users.hashing.place(call.caller.from)?;
    let open = vault_of(server).await?;
    let exists = open.vault.find_user(&UserName::of(&name), now()).map_err(|error| failed(server, &error))?;
    if exists.user.is_some() {
        return Err(failed(server, &crate::vault::Error::new(crate::vault::ErrorKind::Conflict, "user_exists", "")));
    }
    call.happened(Event::new(call.action()).detail(&*name));
    let password = verifier_of(server, &open, password).await?;
    let new = NewUser { name, email, role, password };
    let most = server.users.most();
    let made = server.committer.change(&open, move |changes| changes.add_user(&new, most)).await;
    made.map_err(|error| failed(server, &error))?;
    server.users.one_more(&open);
    Ok(())
}

/// Sign in with a password
///
/// Where the second factor is on, a code completes it: `/verify-otp`.
#[utoipa::path(post, path = "/login", tag = "users",
    request_body(content((Credentials = "application/json"), (Credentials = "application/x-www-form-urlencoded"))),
    responses((status = 200, body = SignInAnswer), (status = 400, description = "A wrong name or password, or too many of them")))]
pub async fn login(State(server): State<Arc<Server>>, call: Call, SmallPayload(payload): SmallPayload) -> Answer<Response<Body>> {
    let mut fields = Fields::of_json_or_form(&payload)?;
    let name = fields.text("username", 0..=usize::MAX).unwrap_or_default();
    let password = password_of(&mut fields, "password");
    fields.finish()?;
    let attempt = Attempt::begin(&server, &call, &name).await?;
    if let Some(seconds) = attempt.found.locked_for {
        return Err(locked(seconds));
    }
    let (proof, new) = attempt.prove(password).await?;
    let (found, from) = (attempt.found.clone(), place_of(call.caller.from));
    let signed_in = attempt.change(move |changes| changes.sign_in_with_password(&found, proof, new.as_ref(), from)).await?;
    match signed_in {
        SignedIn::Wrong => {
            attempt.failed();
            Err(Problem::new(StatusCode::BAD_REQUEST, "wrong_password", "Invalid username or password"))
        }
        SignedIn::Locked(seconds) => Err(locked(seconds)),
        SignedIn::CodeWanted(name) => {
            Ok(respond(StatusCode::OK, json!({ "message": "2FA required", "username": name }).to_string(), None))
        }
        SignedIn::Session(session) => begun(&server, &attempt.open, &session).await,
    }
}

/// The response that begins a session.
pub(super) async fn begun(server: &Arc<Server>, open: &Arc<Open>, session: &Session) -> Answer<Response<Body>> {
    let token = session::token(server, open, session).await?;
    let mut text = Zeroizing::new(Vec::with_capacity(64 + token.expose().len()));
    text.extend_from_slice(br#"{"access_token":""#);
    text.extend_from_slice(token.expose());
    text.extend_from_slice(br#"","token_type":"bearer"}"#);
    let mut response = Response::new(Body::from(std::mem::take(&mut *text)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Send a one-time code to the address of a user
///
/// The answer is the same whether or not there is such a user.
#[utoipa::path(post, path = "/send-otp", tag = "users", request_body = Username, responses(
    (status = 200, body = Said),
    (status = 500, description = "There is no way to send mail"),
))]
pub async fn send_otp(
    State(server): State<Arc<Server>>,
    call: Call,
    SmallPayload(payload): SmallPayload,
) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let name = fields.text("username", 0..=usize::MAX).unwrap_or_default();
    fields.finish()?;
    server.users.admit(call.caller.from)?;
    let open = vault_of(&server).await?;
    if server.mail.is_none() {
        let detail = "Failed to send OTP due to server error";
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no_mail", detail));
    }
    // Behind the answer, which neither says nor shows whether there is somebody to send it to.
    if let Ok(room) = server.users.sending.clone().try_acquire_owned() {
        let (server, from) = (server.clone(), call.caller.from);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = send_code(&server, &open, &UserName::of(&name), from) {
                server.lines.error(&error);
            }
            drop(room);
        });
    }
    Ok(said("OTP sent to your email"))
}

/// Sends a code to a user, if it is one who gets codes.
fn send_code(server: &Server, open: &Open, name: &UserName, from: Option<IpAddr>) -> crate::vault::Result<()> {
    let now = now();
    let found = open.vault.find_user(name, now)?;
    let Some(user) = found.user.filter(|user| user.disabled.is_none() && !user.app && found.locked_for.is_none()) else {
        return Ok(());
    };
    if !server.users.messages.admit(found.mark, &user.email, from, found.state.is_pending(now, &place_of(from))) {
        return Ok(());
    }
    let step = users::step_to_send(found.state.step, now);
    let code = users::code(&user.otp, step);
    let body = Zeroizing::new(format!("Your OTP code is: {}", code.as_str()));
    let message = Message { to: user.email, subject: "Your OTP Code".to_owned(), body };
    let lasts = Duration::from_millis(users::end_of(step).saturating_sub(now));
    if server.mail.as_ref().is_some_and(|mail| mail.send(message, Instant::now() + lasts).is_err()) {
        server.lines.failure("mail", "the queue of messages is full");
    }
    Ok(())
}

/// Complete a sign-in with a one-time code; the first one turns the second factor on
#[utoipa::path(post, path = "/verify-otp", tag = "users", request_body = OneTimeCode, responses(
    (status = 200, body = SessionToken),
    (status = 400, description = "The code does not hold, or no password was given before"),
))]
pub async fn verify_otp(
    State(server): State<Arc<Server>>,
    call: Call,
    SmallPayload(payload): SmallPayload,
) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let name = fields.text("username", 0..=usize::MAX).unwrap_or_default();
    let code = Zeroizing::new(fields.text("otp", 0..=usize::MAX).unwrap_or_default());
    fields.finish()?;
    let attempt = Attempt::begin(&server, &call, &name).await?;
    let (found, from) = (attempt.found.clone(), place_of(call.caller.from));
    let verified = attempt.change(move |changes| changes.sign_in_with_code(&found, &code, from)).await?;
    match verified {
        Code::Session(session) => begun(&server, &attempt.open, &session).await,
        Code::Wrong(locked_for) => {
            let wrong = Problem::new(StatusCode::BAD_REQUEST, "wrong_code", "Invalid OTP");
            match locked_for {
                Some(seconds) => Err(wrong.retry_after(seconds)),
                None => {
                    attempt.failed();
                    Err(wrong)
                }
            }
        }
    }
}

/// The user who asks.
pub(super) fn asker(call: &Call) -> Answer<Arc<Caller>> {
    call.caller.user.clone().ok_or_else(|| Problem::unauthenticated("Not authenticated"))
}

/// Makes a change for which the asker proves themselves once more: by the password, and by a code where one is asked for.
pub(super) async fn confirmed(
    server: &Arc<Server>,
    call: &Call,
    password: Zeroizing<String>,
    code: Option<Zeroizing<String>>,
    make: impl FnMut(&mut User, &mut SignIn) -> crate::vault::Result<()> + Send + 'static,
) -> Answer<(Session, Arc<Open>)> {
    let attempt = Attempt::of_asker(server, call).await?;
    let proof = attempt.proved(password).await?;
    let session = attempt.confirmed(proof, code, make).await?;
    Ok((session, attempt.open.clone()))
}

impl Attempt<'_> {
    /// What the asker's password proves.
    async fn proved(&self, password: Zeroizing<String>) -> Answer<Proof> {
        if let Some(seconds) = self.found.locked_for {
            return Err(locked(seconds));
        }
        self.prove(password).await.map(|(proof, _)| proof)
    }

    async fn confirmed(
        &self,
        proof: Proof,
        code: Option<Zeroizing<String>>,
        mut make: impl FnMut(&mut User, &mut SignIn) -> crate::vault::Result<()> + Send + 'static,
    ) -> Answer<Session> {
        let found = self.found.clone();
        let code =
            move |changes: &mut Changes<'_>| changes.confirmed(&found, proof, code.as_ref().map(|code| code.as_str()), &mut make);
        self.settle(self.change(code).await?)
    }

    /// What a confirmation came to, as a response.
    pub(super) fn settle(&self, confirmed: Confirmed) -> Answer<Session> {
        let refused = match confirmed {
            Confirmed::Done(session) => return Ok(session),
            Confirmed::Locked(seconds) => return Err(locked(seconds)),
            Confirmed::WrongPassword => Problem::new(StatusCode::BAD_REQUEST, "wrong_password", "Invalid password"),
            Confirmed::WrongCode => Problem::new(StatusCode::BAD_REQUEST, "wrong_code", "Invalid OTP"),
        };
        self.failed();
        Err(refused)
    }
}

/// Takes password and code out of a body, for a change that wants both.
pub(super) fn proofs_of(fields: &mut Fields) -> (Zeroizing<String>, Option<Zeroizing<String>>) {
    (password_of(fields, "password"), fields.optional_text("otp", 0..=LONGEST).map(Zeroizing::new))
}

/// Change the own password; all sessions end, and a new one begins
#[utoipa::path(post, path = "/change-password", tag = "users", request_body = NewPasswords, responses(
    (status = 200, body = SessionToken),
    (status = 400, description = "The password or the code is wrong"),
))]
pub async fn change_password(
    State(server): State<Arc<Server>>,
    call: Call,
    SmallPayload(payload): SmallPayload,
) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let current = password_of(&mut fields, "current_password");
    let new = new_password_of(&mut fields, "new_password");
    let code = fields.optional_text("otp", 0..=LONGEST).map(Zeroizing::new);
    fields.finish()?;
    let attempt = Attempt::of_asker(&server, &call).await?;
    let proof = attempt.proved(current).await?;
    // Only for who has shown that they may: it takes as long as the comparison.
    let verifier = match proof.is_right() {
        true => Some(verifier_of(&server, &attempt.open, new).await?),
        false => None,
    };
    let session = attempt.confirmed(proof, code, move |user, state| {
        if let Some(verifier) = &verifier {
            (user.password, user.pepper) = (verifier.verifier.clone(), verifier.pepper);
        }
        end_sessions(user, state);
        Ok(())
    });
    let session = session.await?;
    begun(&server, &attempt.open, &session).await
}

/// End all sessions of the user who asks
#[utoipa::path(post, path = "/logout", tag = "users", responses((status = 200, body = Said)))]
pub async fn logout(State(server): State<Arc<Server>>, call: Call) -> Answer<Response<Body>> {
    let asker = asker(&call)?;
    let open = call.caller.open.clone().ok_or_else(Problem::sealed)?;
    let name = UserName::of(&asker.user.name);
    let ended = server.committer.change(&open, move |changes| {
        changes.update_user(&name, &mut |user, state| {
            // Whoever has signed in anew meanwhile stays so.
            if user.session == asker.user.session {
                end_sessions(user, state);
            }
            Ok(())
        })
    });
    ended.await.map_err(|error| failed(&server, &error))?;
    Ok(said("Logged out"))
}

/// What is known of the user who asks
#[utoipa::path(get, path = "/account", tag = "users", responses((status = 200, body = Account)))]
pub async fn show(call: Call) -> Answer<Response<Body>> {
    Ok(respond(StatusCode::OK, account(&asker(&call)?.user).to_string(), None))
}

pub(super) fn account(user: &User) -> serde_json::Value {
    json!({
        "username": user.name,
        "email": user.email,
        "role": user.role.word(),
        "created_at": time(user.created),
        "second_factor": user.second_factor,
        "authenticator_app": user.app,
        "recovery_codes_left": user.recovery.len(),
    })
}

/// Everything that is kept of the user who asks, and for them
#[utoipa::path(get, path = "/account/export", tag = "users", responses((status = 200, body = AccountExport)))]
pub async fn export(State(server): State<Arc<Server>>, call: Call) -> Answer<Response<Body>> {
    let asker = asker(&call)?;
    let open = call.caller.open.clone().ok_or_else(Problem::sealed)?;
    let data = super::data::listed(&server, &open, &asker, true).await?;
    let mut text = Zeroizing::new(format!(r#"{{"account":{},"sensitive_data":"#, account(&asker.user)).into_bytes());
    text.extend_from_slice(&data);
    text.push(b'}');
    Ok(respond(StatusCode::OK, std::mem::take(&mut *text), None))
}

/// Remove the user who asks, and all that is kept for them
#[utoipa::path(delete, path = "/account", tag = "users", request_body = ConfirmedPassword, responses(
    (status = 200, body = Said),
    (status = 400, description = "The password or the code is wrong"),
    (status = 409, description = "No administrator would be left"),
))]
pub async fn erase(State(server): State<Arc<Server>>, call: Call, payload: Payload) -> Answer<Response<Body>> {
    let mut fields = Fields::parse(&payload)?;
    let (password, code) = proofs_of(&mut fields);
    fields.finish()?;
    let attempt = Attempt::of_asker(&server, &call).await?;
    let proof = attempt.proved(password).await?;
    let (found, name) = (attempt.found.clone(), UserName::of(&asker(&call)?.user.name));
    let erased = attempt.change(move |changes| {
        let code = code.as_ref().map(|code| code.as_str());
        let confirmed = changes.confirmed(&found, proof, code, &mut |_, _| Ok(()))?;
        if let Confirmed::Done(_) = confirmed {
            changes.remove_user(&name)?;
        }
        Ok(confirmed)
    });
    attempt.settle(erased.await?)?;
    Ok(said("Account deleted"))
}
