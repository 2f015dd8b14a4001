//! The routes, called without a socket: a vault in a directory of its own, and tokens of every scope.
#![allow(clippy::unwrap_used)]

mod access;
mod administration;
mod entries;
mod faults;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::format::token::{Rights, Token};
use crate::secret::RawKey;
use crate::serve::journal::{Journal, JournalSettings};
use crate::serve::keeper::Keeper;
use crate::serve::lines::{LineFormat, Lines};
use crate::serve::users::UserSettings;
use crate::serve::{Server, Settings, routes};
use crate::vault::{Credential, NewSlot, Options, Vault};

const T: u64 = 1_700_000_000_000;

/// A server over a vault of its own.
struct Serving {
    router: Router,
    server: Arc<Server>,
    directory: PathBuf,
    admin: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// What came back.
struct Back {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Back {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    fn tag(&self) -> &str {
        self.headers["etag"].to_str().unwrap()
    }
}

impl Serving {
    fn start(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("vault-v1-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("test.vault");
        let key = || RawKey::new([7; 32].into());
        Vault::create(&path, &[("key".to_owned(), NewSlot::RawKey(key()))], T).unwrap();
        let keeper = Arc::new(Keeper::sealed(path, Options::default(), Duration::from_secs(60)).unwrap());
        keeper.unseal(Credential::RawKey(key())).unwrap();
        let journal = Journal::start(journal_settings(&directory), |error| unreachable!("{error}")).unwrap();
        let server =
            Server::new(Settings::default(), UserSettings::default(), keeper, journal, Lines::start(LineFormat::Quiet).unwrap())
                .unwrap();
        let mut serving = Self { router: routes::router(&server), server, directory, admin: String::new() };
        serving.admin = serving.token(|token| token.rights = Rights::ADMIN);
        serving
    }

    fn token(&self, change: impl FnOnce(&mut Token)) -> String {
        let mut token = Token::new("test".to_owned(), [0; 32], 0);
        change(&mut token);
        let vault = &self.server.keeper.current().unwrap().vault;
        let (_, text) = vault.create_token(token, crate::serve::committer::now()).unwrap();
        String::from_utf8(text.expose().to_vec()).unwrap()
    }

    fn as_token(&self, token: &str, request: &str, headers: &[(&str, &str)], body: &str) -> Back {
        let (method, path) = request.split_once(' ').unwrap();
        let mut built = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            built = built.header(*name, *value);
        }
        let request = built.body(Body::from(body.to_owned())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let bytes = to_bytes(body, usize::MAX).await.unwrap();
            Back { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
        })
    }

    fn call(&self, request: &str, body: impl ToString) -> Back {
        self.as_token(&self.admin, request, &[], &body.to_string())
    }

    fn with(&self, request: &str, header: (&str, &str), body: impl ToString) -> Back {
        self.as_token(&self.admin, request, &[header], &body.to_string())
    }

    /// The words of the log, oldest first: action, result, and of what entry.
    fn log(&self) -> Vec<(String, String, String)> {
        let back = self.call("GET /v1/audit?limit=1000", "");
        let text = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let records = back.json()["records"].as_array().unwrap().clone();
        records.iter().rev().map(|record| (text(record, "action"), text(record, "result"), text(record, "name"))).collect()
    }
}

fn journal_settings(directory: &Path) -> JournalSettings {
    JournalSettings {
        retention_days: 0,
        enabled: true,
        required: true,
        sync: crate::audit::Sync::Always,
        directory: Some(directory.to_owned()),
        memory: None,
    }
}
