//! `vault decrypt`

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::context::{Context, OutputFormat, format_time, parse_duration};
use super::exchange::foreign_variables;
use super::exit;
use super::files::{Sink, open_input, read_all};
use crate::audit::{Action, Event};
use crate::crypto::FernetToken;
use crate::secret::SecretValue;
use crate::term::output;
use crate::vault::{Error, ErrorKind, ForeignKeys, Result, check_age, stream_info};

/// The longest token, in bytes of its text.
const MAX_TOKEN: u64 = 64 << 20;

/// Decrypt what `vault encrypt` made, or a Fernet token
///
/// In constant memory. To standard output each part leaves as soon as it is verified: if the rest turns out to be damaged or
/// missing, this ends with exit code 8, and what was written is right but not all. With --out there is a file only if all of
/// it is right. A Fernet token opens with the foreign keys of the environment (ENCRYPTION_KEYS__V and ENCRYPTION_SALT__V) and
/// of the vault (`vault key import-env`); its age is not judged without --max-age.
#[derive(Args, Debug)]
pub struct DecryptArgs {
    /// The file [default: standard input]
    file: Option<PathBuf>,
    /// Write to this file, 0600, instead; it is there only when it is whole
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Say which vault and key it needs, as it says itself, and decrypt nothing; needs no key
    #[arg(long, conflicts_with = "out")]
    info: bool,
    /// How --info prints
    #[arg(long, value_enum, default_value_t, requires = "info")]
    format: OutputFormat,
    /// Of a Fernet token: the version of the foreign key to try first
    #[arg(long, value_name = "VERSION")]
    key_version: Option<String>,
    /// Of a Fernet token: refuse one that is older, or from the future
    #[arg(long, value_name = "DURATION")]
    max_age: Option<String>,
    /// Of a Fernet token: rounds of the derivation for keys of the environment
    #[arg(long, value_name = "N", default_value_t = ForeignKeys::ITERATIONS, hide_short_help = true)]
    iterations: u32,
}

pub fn run(context: &mut Context, args: DecryptArgs) -> Result<u8> {
    let mut input = BufReader::with_capacity(64 * 1024, open_input(args.file.as_deref())?);
    // The first byte tells: a stream's line, and the base64 of a token's version.
    let first = input.fill_buf().map_err(|error| Error::io("read the input", &error))?.first().copied();
    match first {
        Some(b'V') if args.info => stream_information(&args, &mut input),
        Some(b'V') => stream(context, &args, &mut input),
        Some(b'g') => {
            let token = read_token(&mut input)?;
            if args.info { token_information(&args, &token) } else { fernet(context, &args, &token) }
        }
        other => {
            let error = Error::new(ErrorKind::Damaged, "not_encrypted", "this is neither an encrypted stream nor a Fernet token");
            Err(match other {
                Some(b'a' | b'-') => {
                    error.hint("an age file opens with `age --decrypt`, a backup with `vault import --format age`")
                }
                None => error.hint("it is empty"),
                _ => error.hint("a stream begins with VAULT-ENCRYPTED"),
            })
        }
    }
}

fn stream(context: &mut Context, args: &DecryptArgs, input: &mut dyn BufRead) -> Result<u8> {
    if args.key_version.is_some() || args.max_age.is_some() {
        return Err(Error::usage("--key-version and --max-age are for Fernet tokens, and this is none"));
    }
    let vault = context.unlock()?;
    context.about(&vault, Action::Decrypt, None)?;
    let mut sink = Guarded::open(args)?;
    // Parts leave as they are verified, so what is recorded is that it was begun; how it ends if it ends badly is another record.
    context.record(&vault, &[Event::new(Action::Decrypt)])?;
    context.about(&vault, Action::Decrypt, None)?;
    let result = vault.decrypt_to(input, &mut sink);
    if sink.refused {
        return Err(not_for_terminals());
    }
    match result {
        Ok(_) => sink.sink.finish()?,
        Err(error) if args.out.is_none() && sink.written => {
            let incomplete = Error::new(error.kind(), error.code(), format!("{error}; the output is not complete"));
            return Err(incomplete.hint("discard what was written; with --out there is a file only if all of it is right"));
        }
        Err(error) => return Err(error),
    }
    Ok(exit::OK)
}

fn stream_information(args: &DecryptArgs, input: &mut dyn BufRead) -> Result<u8> {
    let info = stream_info(input)?;
    let (category, environment) = (info.category.map(|name| name.to_string()), info.environment.map(|name| name.to_string()));
    let text = match args.format {
        OutputFormat::Json => {
            let object = json!({
                "version": 1, "kind": "vault", "vault_id": info.vault, "category": category, "environment": environment,
                "data_key": info.key,
            });
            format!("{object}\n")
        }
        OutputFormat::Text => {
            let mut rows = vec![vec!["vault".to_owned(), info.vault]];
            rows.extend(category.map(|name| vec!["category".to_owned(), name]));
            rows.extend(environment.map(|name| vec!["environment".to_owned(), name]));
            rows.push(vec!["data key".to_owned(), info.key.to_string()]);
            output::columns(&rows)
        }
    };
    output::print(&text)?;
    Ok(exit::OK)
}

fn token_information(args: &DecryptArgs, token: &FernetToken) -> Result<u8> {
    let created = format_time(token.seconds().saturating_mul(1000));
    let text = match args.format {
        OutputFormat::Json => format!("{}\n", json!({ "version": 1, "kind": "fernet", "created": created })),
        OutputFormat::Text => output::columns(&[vec!["fernet token".to_owned(), created]]),
    };
    output::print(&text)?;
    Ok(exit::OK)
}

fn read_token(input: &mut dyn Read) -> Result<FernetToken> {
    let text = read_all(&mut input.take(MAX_TOKEN + 3), 4096, "read the input")?;
    let text = text.trim_ascii_end();
    let damaged =
        |what: &str| Error::new(ErrorKind::Damaged, "damaged_token", format!("this begins like a Fernet token, {what}"));
    if text.len() as u64 > MAX_TOKEN {
        return Err(damaged("and is longer than 64 MiB"));
    }
    FernetToken::parse(text).ok_or_else(|| damaged("and is none, or is cut"))
}

fn fernet(context: &mut Context, args: &DecryptArgs, token: &FernetToken) -> Result<u8> {
    let max_age = args.max_age.as_deref().map(parse_duration).transpose()?;
    let plaintext = open_token(context, args, token)?;
    if let Some(max_age) = max_age {
        check_age(token, max_age, context.now())?;
    }
    let mut sink = Guarded::open(args)?;
    let result = sink.write_all(plaintext.expose());
    if sink.refused {
        return Err(not_for_terminals());
    }
    result.map_err(|error| Error::io("write the output", &error))?;
    sink.sink.finish()?;
    Ok(exit::OK)
}

/// Keys of the environment come first: with them a token opens where there is no vault yet.
fn open_token(context: &mut Context, args: &DecryptArgs, token: &FernetToken) -> Result<SecretValue> {
    let own = foreign_variables().and_then(|variables| ForeignKeys::from_variables(&variables, args.iterations, 0));
    let own = own.unwrap_or_else(|error| {
        context.note(&format!("note: the keys of the environment are not used: {error}"));
        ForeignKeys::default()
    });
    let hint = args.key_version.as_deref();
    let hint_is_own = hint.is_none_or(|hint| own.has(hint));
    if !own.is_empty() && hint_is_own {
        match own.open(token, hint) {
            Ok((version, plaintext)) => {
                context.note(&format!(
                    "note: opened with the key '{version}' of the environment; `vault key import-env` would keep it in the vault"
                ));
                return Ok(plaintext);
            }
            Err(error) if error.kind() == ErrorKind::Damaged => {}
            Err(error) => return Err(error),
        }
    }
    let keys = match context.unlock() {
        Ok(vault) => {
            context.about(&vault, Action::Decrypt, None)?;
            context.record(&vault, &[Event::new(Action::Decrypt).detail("a token, with the foreign keys")])?;
            vault.foreign_keys()?
        }
        Err(error) if error.kind() == ErrorKind::NoVault && !own.is_empty() => ForeignKeys::default(),
        Err(error) => return Err(error),
    };
    // A version that the environment has needs not be in the vault as well.
    let hint = hint.filter(|hint| keys.has(hint) || !own.has(hint));
    match keys.open(token, hint) {
        Ok((version, plaintext)) => {
            if context.global.verbose {
                context.note(&format!("note: opened with the foreign key '{version}'"));
            }
            Ok(plaintext)
        }
        Err(_) if keys.is_empty() && !own.is_empty() && hint_is_own => own.open(token, hint).map(|(_, plaintext)| plaintext),
        Err(error) => Err(error),
    }
}

/// The output. What is no text does not go to a terminal, which it could steer.
struct Guarded {
    sink: Sink,
    terminal: bool,
    refused: bool,
    written: bool,
}

impl Guarded {
    fn open(args: &DecryptArgs) -> Result<Self> {
        let terminal = args.out.is_none() && output::stdout_is_terminal();
        Ok(Self { sink: Sink::open(args.out.as_deref())?, terminal, refused: false, written: false })
    }
}

impl Write for Guarded {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let steers = |byte: &u8| byte.is_ascii_control() && !b"\n\r\t".contains(byte);
        if self.terminal && buffer.iter().any(steers) {
            self.refused = true;
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.written = true;
        self.sink.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

fn not_for_terminals() -> Error {
    Error::usage("what comes out is not text, and standard output is a terminal").hint("use --out FILE, or pipe it")
}
