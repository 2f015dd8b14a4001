//! How mail leaves, from options, configuration and environment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::commands::context::{path_variable, secret_variable, text_variable};
use crate::commands::files::{read_file, strip_line_end};
use crate::secret::MailPassword;
use crate::serve::mail::{MailWay, Sender, SmtpCredentials, SmtpSettings};
use crate::vault::{Error, Result};

/// The port of submission (RFC 6409, section 3.1).
const SUBMISSION: u16 = 587;

/// What the table `[serve]` says of mail. Never the password itself: a configuration is read by many, and kept in many places.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub(super) struct MailTable {
    smtp_server: Option<String>,
    smtp_port: Option<u16>,
    smtp_username: Option<String>,
    smtp_password_file: Option<PathBuf>,
    smtp_ca_file: Option<PathBuf>,
    email_from: Option<String>,
    mail_outbox: Option<PathBuf>,
}

impl MailTable {
    /// Whether a word of `[serve]` is one of these.
    pub fn has(word: &str) -> bool {
        word.starts_with("smtp-") || ["email-from", "mail-outbox"].contains(&word)
    }

    /// The paths that it names.
    pub fn paths(&mut self) -> [&mut Option<PathBuf>; 3] {
        [&mut self.smtp_password_file, &mut self.smtp_ca_file, &mut self.mail_outbox]
    }
}

/// How mail leaves, and from whom it is. A variable goes before the configuration.
pub(super) fn mail(outbox: Option<&Path>, table: &MailTable) -> Result<(Option<MailWay>, Sender)> {
    let from = text_variable("EMAIL_FROM").or_else(|| table.email_from.clone());
    let sender = from.as_deref().map(|text| Sender::parse(text).ok_or_else(|| Error::usage("EMAIL_FROM is no e-mail address")));
    let sender = sender.transpose()?;
    let outbox = outbox.or(table.mail_outbox.as_deref()).map(Path::to_owned);
    let way = match (text_variable("SMTP_SERVER").or_else(|| table.smtp_server.clone()), outbox) {
        (Some(_), Some(_)) => {
            return Err(Error::usage("mail leaves by SMTP_SERVER or goes into an outbox, and not both")
                .hint("leave --mail-outbox (mail-outbox under [serve]) out, or SMTP_SERVER (smtp-server)"));
        }
        (Some(host), None) => Some(MailWay::Smtp(smtp(&host, table)?)),
        (None, Some(directory)) => Some(MailWay::Outbox(directory)),
        (None, None) => None,
    };
    if matches!(way, Some(MailWay::Smtp(_))) && sender.is_none() {
        return Err(Error::usage("SMTP_SERVER is there, and EMAIL_FROM is not: the address from which mail is"));
    }
    Ok((way, sender.unwrap_or_default()))
}

fn smtp(host: &str, table: &MailTable) -> Result<SmtpSettings> {
    if host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/' || c == '@') {
        return Err(Error::usage("SMTP_SERVER is the name or the address of a mail server, and nothing else"));
    }
    let port = match text_variable("SMTP_PORT") {
        Some(text) => text.parse().map_err(|_| Error::usage("SMTP_PORT is no port"))?,
        None => table.smtp_port.unwrap_or(SUBMISSION),
    };
    let username = text_variable("SMTP_USERNAME").or_else(|| table.smtp_username.clone());
    let credentials = match (username, password(table)?) {
        (Some(username), Some(password)) => Some(Arc::new(SmtpCredentials { username, password })),
        (None, None) => None,
        _ => {
            return Err(Error::usage("a login to the mail server needs SMTP_USERNAME and SMTP_PASSWORD (or SMTP_PASSWORD_FILE)"));
        }
    };
    let authorities = path_variable("SMTP_CA_FILE").or_else(|| table.smtp_ca_file.clone());
    Ok(SmtpSettings { credentials, authorities, ..SmtpSettings::new(host, port) })
}

fn password(table: &MailTable) -> Result<Option<MailPassword>> {
    let bytes = match (secret_variable("SMTP_PASSWORD")?, &table.smtp_password_file) {
        (Some(bytes), _) => bytes,
        (None, Some(path)) => {
            let mut bytes = read_file(path)?;
            strip_line_end(&mut bytes);
            bytes
        }
        (None, None) => return Ok(None),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::usage("the password of the mail server is no UTF-8"))?;
    if text.is_empty() || text.contains(char::is_control) {
        return Err(Error::usage("the password of the mail server is empty, or has more than one line"));
    }
    Ok(Some(MailPassword::new(Zeroizing::new(text.to_owned()))))
}
