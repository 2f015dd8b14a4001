//! `vault serve`

mod mail;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use serde::Deserialize;
use zeroize::Zeroizing;

use mail::{MailTable, mail};

use super::config::ServeTable;
use super::context::{Context, audit_state_directory, parse_duration, secret_bytes, secret_variable, text_variable};
use super::exit;
use super::files::{make_parent, strip_line_end};
use super::keys::parse_key;
use super::pepper::peppers;
use crate::client::{Poster, host_of};
use crate::process;
use crate::secret::{RawKey, SessionSecret};
use crate::serve::cors::is_origin;
use crate::serve::journal::{Journal, JournalSettings};
use crate::serve::keeper::{Keeper, Way};
use crate::serve::lines::{LineFormat, Lines};
use crate::serve::listen::Listen;
use crate::serve::tls::TlsSettings;
use crate::serve::users::UserSettings;
use crate::serve::webhooks::{self, EVENTS, Hook};
use crate::serve::{Server, Settings};
use crate::vault::{Credential, Error, ErrorKind, Locked, NewSlot, Options, Reference, Result, Vault, parse_network};

/// How many pages of the tree are kept open, of some 4 to 16 KiB each.
const CACHED_PAGES: usize = 4096;
/// How long a passphrase that opened the vault is known without another derivation.
const KEY_CACHE: Duration = Duration::from_secs(15 * 60);

/// Serve the vault as a REST API
///
/// Listens on 127.0.0.1:9000 unless told otherwise. The vault is opened with the same keys as by every command, or stays sealed (`--sealed`) until somebody brings one. Ends on SIGTERM and SIGINT when the requests that are under way are answered; SIGHUP reads the certificate anew.
///
/// All but --sealed and --init can be said in the table `[serve]` of your config.toml, with the same words.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Where to listen: ADDRESS:PORT, unix:PATH or systemd (may be repeated) [default: 127.0.0.1:9000]
    #[arg(long, value_name = "WHERE")]
    listen: Vec<String>,
    /// The certificate of the server, with those that lead to its root (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Ask clients for a certificate that leads to one of these (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,
    /// Listen without TLS where others than this machine hear it
    #[arg(long)]
    insecure_plain_http: bool,
    /// Start without a key: POST /v1/sys/unseal, or the first x-user-key, opens the vault
    #[arg(long)]
    sealed: bool,
    /// Make the vault, if it is not there, with the key in MASTER_KEY
    #[arg(long)]
    init: bool,
    /// How the lines on standard error look
    #[arg(long, value_name = "FORMAT", value_enum)]
    log_format: Option<Format>,
    /// Hear requests only from this network (may be repeated)
    #[arg(long, value_name = "NETWORK")]
    allow: Vec<String>,
    /// Believe this proxy who its client is (may be repeated)
    #[arg(long, value_name = "NETWORK")]
    trusted_proxy: Vec<String>,
    /// Requests a second from one address
    #[arg(long, value_name = "N")]
    rate_per_address: Option<NonZeroU32>,
    /// Requests a second with one credential
    #[arg(long, value_name = "N")]
    rate_per_credential: Option<NonZeroU32>,
    /// How many connections there may be [default: 10240]
    #[arg(long, value_name = "N")]
    max_connections: Option<NonZeroU32>,
    /// How many connections one address may have [default: 1024, and any number from this machine and from trusted proxies]
    #[arg(long, value_name = "N")]
    max_connections_per_address: Option<NonZeroU32>,
    /// How many bytes a body may have [default: 1048576]
    #[arg(long, value_name = "BYTES")]
    max_body: Option<usize>,
    /// How many threads answer [default: as many as there are processors]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroU32>,
    /// Put mail into this directory, a file each, where no SMTP_SERVER is set
    #[arg(long, value_name = "DIRECTORY", value_hint = clap::ValueHint::DirPath)]
    mail_outbox: Option<PathBuf>,
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    /// For people.
    Text,
    /// One object a line.
    Json,
    /// Failures only.
    Quiet,
}

/// The `[serve]` table of the user's `config.toml`.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
struct Table {
    listen: Vec<String>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    insecure_plain_http: bool,
    log_format: Option<Format>,
    allow: Vec<String>,
    #[serde(alias = "trusted_proxies", alias = "trusted-proxy")]
    trusted_proxies: Vec<String>,
    #[serde(alias = "open_secret_api")]
    open_secret_api: bool,
    rate_per_address: Option<NonZeroU32>,
    rate_per_credential: Option<NonZeroU32>,
    max_connections: Option<NonZeroU32>,
    max_connections_per_address: Option<NonZeroU32>,
    max_body: Option<usize>,
    max_bodies: Option<usize>,
    cors_origins: Vec<String>,
    webhooks: Vec<WebhookTable>,
    workers: Option<NonZeroU32>,
    key_cache: Option<String>,
    registration: Option<Registration>,
    max_users: Option<u64>,
    failed_sign_ins: Option<NonZeroU32>,
    issuer: Option<String>,
    /// Read by itself: its words have the same table.
    #[serde(skip)]
    mail: MailTable,
}

/// Who may become a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Registration {
    /// Everybody.
    Open,
    /// Whom an administrator makes one.
    Closed,
}

/// One of `webhooks`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct WebhookTable {
    url: String,
    #[serde(default)]
    events: Vec<String>,
    secret: Option<String>,
}

impl WebhookTable {
    fn hook(&self) -> Result<Hook> {
        let (host, with_tls) = host_of(&self.url)?;
        if let Some(event) = self.events.iter().find(|event| !EVENTS.contains(&event.as_str())) {
            return Err(Error::usage(format!("a webhook has no event '{event}': they are {}", EVENTS.join(", "))));
        }
        let secret = self.secret.as_deref().map(Reference::parse).transpose()?;
        Ok(Hook { url: self.url.clone(), host, with_tls, events: self.events.clone(), secret })
    }
}

pub fn run(context: &mut Context, args: ServeArgs) -> Result<u8> {
    process::forbid_core_dumps();
    let table = table(context)?;
    let format = match args.log_format.or(table.log_format) {
        Some(Format::Json) => LineFormat::Json,
        Some(Format::Quiet) => LineFormat::Quiet,
        _ if context.global.quiet => LineFormat::Quiet,
        _ => LineFormat::Text,
    };
    let lines = Lines::start(format).map_err(|error| Error::io("write to standard error", &error))?;
    // What a program says that fails may hold what it was about; and whoever says it must not wait for whoever reads it.
    let said = lines.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        said.failure("panic", &place);
    }));
    let settings = settings(&args, &table)?;
    let path = context.vault_path()?;
    let master = master_key()?;
    if args.init && !path.exists() {
        make(context, &path, master.as_ref())?;
    }
    let remember = match table.key_cache.as_deref() {
        Some(text) => Duration::from_millis(parse_duration(text)?),
        None => KEY_CACHE,
    };
    let options = Options { cached_pages: CACHED_PAGES, ..context.options()? };
    let keeper = Arc::new(Keeper::sealed(path.clone(), options, remember)?);
    if !args.sealed {
        let locked = Locked::open(&path)?;
        let way = match master {
            Some(master) => Way::of(&locked, Credential::RawKey(master))?,
            None => context.lasting_way(&locked)?,
        };
        let open = keeper.unseal_by(locked, way)?;
        for warning in open.vault.warnings() {
            lines.notice(warning);
        }
        context.forget_credential();
        process::wipe_stack();
    }
    let said = lines.clone();
    let journal = Journal::start(journal_settings(context)?, move |error| said.failure("audit", &error.to_string()))
        .map_err(|error| Error::io("start the thread that records", &error))?;
    process::allow_many_files();
    let server = Server::new(settings, user_settings(&table, lines.clone())?, keeper, journal, lines.clone())?;
    if !table.webhooks.is_empty() {
        let poster = Poster::new(server.settings.webhooks.iter().any(|hook| hook.with_tls))?;
        let post = move |url: &str, headers: &[(&str, &str)], body: &[u8]| poster.post(url, headers, body);
        webhooks::start(&server, Arc::new(post)).map_err(|error| Error::io("start the threads of webhooks", &error))?;
    }
    let is_sealed = args.sealed;
    if let Some(way) = &server.settings.mail {
        lines.notice(&format!("mail leaves by {way}"));
    }
    server.run(|names| {
        for name in names {
            lines.notice(&format!("listening on {name}{}", if is_sealed { ", sealed" } else { "" }));
        }
        notify_ready();
    })?;
    Ok(exit::OK)
}

impl Context {
    /// What opens the vault for as long as the server runs: the key that options or variables name, what the agent holds, or the key that is configured,
    /// remembered or typed.
    fn lasting_way(&mut self, locked: &Locked) -> Result<Way> {
        if !self.has_given_credential()?
            && let Some(slot) = self.held_slot(locked)
        {
            return locked.keep(&slot).map(Way::Kept);
        }
        let credential = self.take_lasting_credential(locked)?;
        Way::of(locked, credential)
    }
}

fn table(context: &mut Context) -> Result<Table> {
    let Some(ServeTable { base, words }) = context.config()?.serve.clone() else { return Ok(Table::default()) };
    let (mail, rest): (toml::Table, toml::Table) = words.into_iter().partition(|(word, _)| MailTable::has(word));
    let refuse = |error: toml::de::Error| {
        let first = error.message().lines().next().unwrap_or_default().to_owned();
        Error::new(ErrorKind::Usage, "bad_configuration", format!("[serve] of your config.toml: {first}"))
    };
    let mut table: Table = rest.try_into().map_err(refuse)?;
    table.mail = mail.try_into().map_err(refuse)?;
    for path in [&mut table.tls_cert, &mut table.tls_key, &mut table.client_ca].into_iter().chain(table.mail.paths()) {
        *path = path.take().map(|path| base.join(path));
    }
    Ok(table)
}

fn settings(args: &ServeArgs, table: &Table) -> Result<Settings> {
    let defaults = Settings::default();
    let (more, own) = (&table.listen, &args.listen);
    let listen = if own.is_empty() { more } else { own };
    let mut places = Vec::new();
    for text in listen {
        places.push(Listen::parse(text).map_err(Error::usage)?);
    }
    if places.is_empty() {
        places.push(Listen::Tcp((IpAddr::from([127, 0, 0, 1]), 9000).into()));
    }
    let networks = |own: &[String], more: &[String]| -> Result<Vec<IpNet>> {
        own.iter().chain(more).map(|text| parse_network(text)).collect()
    };
    let tls = match (args.tls_cert.as_ref().or(table.tls_cert.as_ref()), args.tls_key.as_ref().or(table.tls_key.as_ref())) {
        (Some(certificate), Some(key)) => {
            let client_ca = args.client_ca.clone().or(table.client_ca.clone());
            Some(TlsSettings { certificate: certificate.clone(), key: key.clone(), client_ca })
        }
        (None, None) => None,
        _ => return Err(Error::usage("a certificate needs its key, and a key its certificate")),
    };
    let (mail, mail_from) = mail(args.mail_outbox.as_deref(), &table.mail)?;
    Ok(Settings {
        mail,
        mail_from,
        listen: places,
        tls,
        insecure_plain_http: args.insecure_plain_http || table.insecure_plain_http,
        max_connections: args
            .max_connections
            .or(table.max_connections)
            .map_or(defaults.max_connections, |most| most.get() as usize),
        max_connections_per_address: args
            .max_connections_per_address
            .or(table.max_connections_per_address)
            .map(|most| most.get() as usize),
        max_body: args.max_body.or(table.max_body).unwrap_or(defaults.max_body),
        max_bodies: table.max_bodies.unwrap_or(defaults.max_bodies),
        allow: networks(&args.allow, &table.allow)?,
        trusted_proxies: networks(&args.trusted_proxy, &table.trusted_proxies)?,
        open_secret_api: table.open_secret_api,
        rate_by_address: args.rate_per_address.or(table.rate_per_address),
        rate_by_credential: args.rate_per_credential.or(table.rate_per_credential),
        cors_origins: match table.cors_origins.iter().find(|origin| !is_origin(origin)) {
            Some(origin) => return Err(Error::usage(format!("'{origin}' is no origin, such as https://app.example.org"))),
            None => table.cors_origins.clone(),
        },
        webhooks: table.webhooks.iter().map(WebhookTable::hook).collect::<Result<_>>()?,
        workers: args.workers.or(table.workers).map(|workers| workers.get() as usize),
        ..defaults
    })
}

fn user_settings(table: &Table, lines: Lines) -> Result<UserSettings> {
    let defaults = UserSettings::default();
    let session_secret = secret_variable("JWT_SECRET")?;
    match session_secret.as_ref().map(|secret| secret.len()) {
        Some(..16) => return Err(Error::usage("JWT_SECRET has less than 16 bytes").hint("`vault generate base64:32` makes one")),
        // RFC 7518, section 3.2.
        Some(16..32) => lines.notice("warning: JWT_SECRET has less than 32 bytes"),
        _ => {}
    }
    Ok(UserSettings {
        registration: table.registration != Some(Registration::Closed),
        most: table.max_users.unwrap_or(defaults.most),
        peppers: peppers()?,
        session_secret: session_secret.map(SessionSecret::new),
        failures: table.failed_sign_ins.unwrap_or(defaults.failures),
        issuer: table.issuer.clone().unwrap_or(defaults.issuer),
    })
}

/// The key in `MASTER_KEY` or the file that `MASTER_KEY_FILE` names: more than 32 characters are base64, fewer are the bytes themselves.
fn master_key() -> Result<Option<RawKey>> {
    let Some(mut bytes) = secret_bytes("MASTER_KEY")? else { return Ok(None) };
    // 32 bytes are the key, whatever they are; else the end of a line is none of it.
    if bytes.len() != 32 {
        strip_line_end(&mut bytes);
    }
    parse_key(&bytes, "MASTER_KEY").map(Some).map_err(|_| Error::usage("MASTER_KEY must be 32 bytes (256-bit)"))
}

fn make(context: &mut Context, path: &std::path::Path, master: Option<&RawKey>) -> Result<()> {
    let master = master.ok_or_else(|| {
        Error::usage("--init makes a vault with the key in MASTER_KEY or MASTER_KEY_FILE, and there is none")
            .hint("`vault init` makes one with other keys")
    })?;
    make_parent(path)?;
    let slot = NewSlot::RawKey(RawKey::new(Zeroizing::new(*master.expose())));
    let source = Vault::create(path, &[("master key".to_owned(), slot)], context.now())?;
    context.record_making(source)
}

/// How the log of what is done is written: as the configuration says, and the variables of the service that this replaces.
fn journal_settings(context: &mut Context) -> Result<JournalSettings> {
    let table = context.config()?.audit.clone();
    let variable = text_variable("AUDIT_ENABLED").map(|text| yes_or_no("AUDIT_ENABLED", &text)).transpose()?;
    let required = table.required == Some(true);
    let sync = table.sync()?;
    let enabled = variable.or(table.enabled).unwrap_or(true) || required;
    let days = text_variable("AUDIT_TTL_DAYS").map(|text| {
        text.trim().parse().map_err(|_| Error::usage("AUDIT_TTL_DAYS is a number of days; 0 keeps records for ever"))
    });
    let retention_days = days.transpose()?.or(table.retention_days).unwrap_or(0);
    Ok(JournalSettings { enabled, required, sync, directory: table.directory, memory: audit_state_directory(), retention_days })
}

fn yes_or_no(name: &str, text: &str) -> Result<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(Error::usage(format!("{name} is true or false"))),
    }
}

/// Tells the service manager that requests are answered (sd_notify(3)).
fn notify_ready() {
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return };
    let address = match name.as_bytes().strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&name),
    };
    // Nobody to tell is no reason not to serve.
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.send_to_addr(b"READY=1", &address);
    }
}
