//! What a server in production should have, as far as a program can see it. `docs/server.md` has the whole list.

use std::net::SocketAddr;
use std::path::Path;

use super::Report;
use crate::commands::context::{Context, format_time};
use crate::format::token::Rights;
#[cfg(target_os = "linux")]
use crate::vault::Error;
use crate::vault::clock::Belief;
use crate::vault::{Result, Vault};

/// How long a copy of the vault may be the newest one, in milliseconds.
const BACKUP_AGE: u64 = 2 * 86_400_000;

/// Looks at the vault, its tokens, the configuration of the server, and the process.
pub fn look(
    context: &mut Context,
    vault: &Vault,
    path: &Path,
    backups: &[std::path::PathBuf],
    report: &mut Report,
) -> Result<()> {
    look_at_server(context, report)?;
    look_at_tokens(vault, context.now(), report)?;
    look_at_log(context, report)?;
    look_at_backups(context.now(), backups, report);
    look_at_place(path, report)?;
    if rustix::process::geteuid().is_root() {
        report.warn("root", "this runs as root", "give the server a user of its own: examples/server/vault.service");
    }
    let exposed = ["VAULT_PASSPHRASE", "VAULT_KEY", "MASTER_KEY", "JWT_SECRET", "PEPPER", "SMTP_PASSWORD"]
        .into_iter()
        .filter(|name| std::env::var_os(name).is_some());
    for name in exposed {
        report.warn(
            "key_in_environment",
            format!("{name} holds a key, and whoever may look at the process can read it"),
            "keep the key in a file: VAULT_KEY_FILE, MASTER_KEY_FILE, or a credential of systemd or the container",
        );
    }
    if vault.clock(context.now()).belief() != Belief::Believed {
        report.problem(
            "clock",
            "the clock of this machine is far from the vault's newest commit",
            "set it, and keep it set: NTP",
        );
    }
    Ok(())
}

fn look_at_server(context: &mut Context, report: &mut Report) -> Result<()> {
    let table = context.config()?.serve.clone().map(|serve| serve.words).unwrap_or_default();
    let flag = |name: &str| table.get(name).and_then(toml::Value::as_bool) == Some(true);
    let has = |name: &str| table.get(name).is_some();
    let listeners = table.get("listen").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let listeners: Vec<String> = listeners.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect();
    let open: Vec<&String> =
        listeners.iter().filter(|text| text.parse::<SocketAddr>().is_ok_and(|at| !at.ip().is_loopback())).collect();
    match (open.first(), has("tls-cert")) {
        (Some(at), false) => report.problem(
            "plain_http",
            format!("the server listens on {at}, and others can hear what is said there"),
            "tls-cert and tls-key, or a loopback address behind a proxy that has them",
        ),
        (Some(_), true) => report.fine("tls", "the server has a certificate"),
        (None, _) if !listeners.is_empty() => {
            report.fine("loopback", "as [serve] says, the server listens on this machine alone")
        }
        // What its own options say is not seen here.
        (None, _) => {}
    }
    if flag("insecure-plain-http") {
        report.problem(
            "insecure_plain_http",
            "insecure-plain-http lets the server listen in the clear",
            "take it out of [serve]",
        );
    }
    if flag("open-secret-api") || flag("open_secret_api") {
        report.warn(
            "open_secret_api",
            "secrets by id are open to every program of this machine",
            "take open-secret-api out of [serve]",
        );
    }
    if !open.is_empty() && !has("allow") {
        report.warn(
            "allow_list",
            "every address that reaches the server is heard",
            "`allow` in [serve] names the networks of its clients",
        );
    }
    if !has("rate-per-credential") && !has("rate-per-address") {
        report.warn(
            "rate_limit",
            "no credential and no address has a limit",
            "rate-per-credential and rate-per-address in [serve]",
        );
    }
    Ok(())
}

fn look_at_tokens(vault: &Vault, now: u64, report: &mut Report) -> Result<()> {
    let tokens: Vec<_> = vault.tokens()?.into_iter().filter(|(_, token)| token.refused(now).is_none()).collect();
    let (mut endless, mut mighty) = (Vec::new(), Vec::new());
    for (id, token) in &tokens {
        if token.expires.is_none() && token.uses.is_none() {
            endless.push(id.to_string());
        }
        if token.rights.include(Rights::ADMIN) && token.networks.is_none() {
            mighty.push(id.to_string());
        }
    }
    if !endless.is_empty() {
        report.warn(
            "token_without_end",
            format!("tokens that never end: {}", endless.join(", ")),
            "`vault token create --expires 90d`, and revoke these",
        );
    }
    if !mighty.is_empty() {
        report.warn(
            "admin_token",
            format!("tokens of administrators that are good from everywhere: {}", mighty.join(", ")),
            "limit them with --network, or revoke them when they are not needed",
        );
    }
    if endless.is_empty() && mighty.is_empty() {
        report.fine("tokens", format!("{} tokens are good, each for a time", tokens.len()));
    }
    Ok(())
}

fn look_at_log(context: &mut Context, report: &mut Report) -> Result<()> {
    let audit = context.config()?.audit.clone();
    match (audit.enabled, audit.required) {
        (_, Some(true)) => report.fine("audit", "nothing leaves that cannot be recorded"),
        (Some(false), _) => {
            report.problem("audit_off", "what is done with the vault is not recorded", "take enabled = false out of [audit]")
        }
        _ => report.warn("audit_optional", "what cannot be recorded is done all the same", "required = true in [audit]"),
    }
    if audit.retention_days.is_none() {
        report.warn(
            "audit_retention",
            "the audit log is kept for ever",
            "retention-days in [audit] says for how long, 0 that this is meant",
        );
    }
    Ok(())
}

fn look_at_backups(now: u64, backups: &[std::path::PathBuf], report: &mut Report) {
    if backups.is_empty() {
        report.warn(
            "no_backup",
            "no backup was looked at",
            "name the newest one with --backup; `vault backup --keep 14 DIRECTORY` makes them",
        );
    }
    for path in backups {
        let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        let modified = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let Some(modified) = modified.map(|time| time.as_millis() as u64) else { continue };
        if now.saturating_sub(modified) > BACKUP_AGE {
            let message = format!("the backup {} is of {}", path.display(), format_time(modified));
            report.warn("old_backup", message, "does the timer run? systemctl list-timers vault-backup.timer");
        }
    }
}

/// File systems by the numbers of statfs(2), which are those of Linux.
#[cfg(target_os = "linux")]
fn look_at_place(path: &Path, report: &mut Report) -> Result<()> {
    const TMPFS: i64 = 0x0102_1994;
    const OVERLAYFS: i64 = 0x794c_7630;
    let system = rustix::fs::statfs(path).map_err(|error| Error::io(format!("look at {}", path.display()), &error.into()))?;
    // Its width differs between machines.
    #[allow(clippy::unnecessary_cast)]
    match system.f_type as i64 {
        TMPFS => report.problem("in_memory", "the vault is in memory, and is gone when the machine is", "put it on a disk"),
        OVERLAYFS => report.problem(
            "in_container",
            "the vault is in a container's own layer, and goes with the container",
            "mount a volume, and put the vault there: examples/server/compose.yaml",
        ),
        _ => report.fine("on_disk", "the vault is on a file system that stays"),
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn look_at_place(_path: &Path, _report: &mut Report) -> Result<()> {
    Ok(())
}
