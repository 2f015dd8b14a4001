//! `vault set`

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;

use super::completions::entry_names;
use super::context::{Context, parse_category, parse_duration, parse_tag, refuse_value};
use super::exit;
use super::files::read_file;
use super::source::Source;
use super::times::parse_expiry;
use crate::audit::Action;
use crate::format::record::Kind;
use crate::name::EntryId;
use crate::secret::SecretValue;
use crate::vault::field::{self, FieldPath};
use crate::vault::generate::Generator;
use crate::vault::{Change, Error, Outcome, Result, Write};

/// Create an entry, or give it a new version
///
/// The value comes from a hidden prompt at a terminal, else from standard input, or from one of the options; never from
/// the command line. A new value without --ttl does not expire. Category, tags and metadata are kept unless given.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The entry
    #[arg(add = entry_names())]
    name: String,
    /// What people try first: a value on the command line, where other programs and the shell's history see it
    #[arg(hide = true)]
    value: Vec<std::ffi::OsString>,
    /// The value is this file, byte for byte
    #[arg(long, value_name = "FILE", group = "source")]
    from_file: Option<PathBuf>,
    /// The value is generated: random:32 hex:32 base64url:32 alnum:24 password:20 words:6 uuid pin:6
    #[arg(long, value_name = "SPEC", group = "source")]
    generate: Option<Generator>,
    /// The value is written in the editor
    #[arg(long, group = "source")]
    editor: bool,
    /// Change category, tags, metadata or expiry only; no new version
    #[arg(long, group = "source", conflicts_with_all = ["json", "raw", "field"])]
    meta_only: bool,
    /// The value is JSON
    #[arg(long)]
    json: bool,
    /// Keep every byte, also the line end of a single line
    #[arg(long)]
    raw: bool,
    /// Set this field of the JSON value: db.host or /db/host
    #[arg(long, value_name = "FIELD")]
    field: Option<String>,
    /// The category; an empty one clears it
    #[arg(long, value_name = "CATEGORY")]
    category: Option<String>,
    /// A tag; may be repeated, and replaces the tags that were there
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Metadata; may be repeated. An empty value removes the key
    #[arg(long = "meta", value_name = "KEY=VALUE")]
    meta: Vec<String>,
    /// The metadata tier: how much depends on the value. critical and high have it rotated; an empty one clears it
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,
    /// The metadata owner: who answers for the value; an empty one clears it
    #[arg(long, value_name = "WHO")]
    owner: Option<String>,
    /// The metadata note: any text, in the clear for whoever opens the vault; an empty one clears it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// The metadata url: where the value is used; an empty one clears it
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The value expires after this time, such as 30d
    #[arg(long, value_name = "DURATION", group = "expiry")]
    ttl: Option<String>,
    /// The value expires at the end of this day in UTC, or at this time: 2027-01-31, 2027-01-31T12:00:00Z
    #[arg(long, value_name = "DATE", group = "expiry")]
    expires: Option<String>,
    /// The value does not expire; for --meta-only, which keeps what there was
    #[arg(long, group = "expiry")]
    no_expiry: bool,
    /// Only if this is the current version (0: if there is no such entry)
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
    /// Only if there is no such entry
    #[arg(long)]
    create_only: bool,
    /// Also if a rotation of the entry is under way, which then does not put its own value in place
    #[arg(long)]
    force: bool,
}

pub fn run(context: &mut Context, args: SetArgs) -> Result<u8> {
    refuse_value(&args.value)?;
    let id = context.entry_id(&args.name)?;
    let field = args.field.as_deref().map(FieldPath::parse).transpose()?;
    let mut write = Write {
        category: match args.category.as_deref() {
            None => Change::Keep,
            Some("") => Change::Clear,
            Some(text) => Change::Set(parse_category(text)?),
        },
        tags: match args.tags.as_slice() {
            [] => Change::Keep,
            [empty] if empty.is_empty() => Change::Clear,
            tags => Change::Set(tags.iter().map(|tag| parse_tag(tag)).collect::<Result<BTreeSet<_>>>()?),
        },
        meta: metadata(&args)?,
        expires: match (&args.ttl, &args.expires) {
            (Some(ttl), _) => Change::Set(context.now().saturating_add(parse_duration(ttl)?)),
            (None, Some(date)) => Change::Set(parse_expiry(date)?),
            (None, None) if args.no_expiry => Change::Clear,
            // A time belongs to the value that it was given for; a field is only part of one.
            (None, None) if args.meta_only || args.field.is_some() => Change::Keep,
            (None, None) => Change::Clear,
        },
        force: args.force,
        if_version: args.if_version,
        create_only: args.create_only,
        ..Write::default()
    };
    if args.meta_only {
        let source = context.source()?;
        context.about(source.vault(), Action::Set, Some(&id))?;
        let outcome = source.set(&id, write, context.now())?;
        return finish(context, &source, &id, &outcome);
    }
    // The value is there before the vault is opened and locked: nobody waits for a person who types.
    let value = read_value(context, &args)?;
    let value = match (&args.generate, value) {
        (Some(generator), _) => generator.generate()?,
        (None, Some(value)) => value,
        (None, None) => return Err(Error::usage("there is no value")),
    };
    if let Some(path) = field {
        let source = context.source()?;
        context.about(source.vault(), Action::Set, Some(&id))?;
        let outcome = source.set_field(&id, &write, &path, &value, args.json, context.now())?;
        return finish(context, &source, &id, &outcome);
    }
    if args.json {
        field::check_json(value.expose())?;
    }
    let kind = if args.json { Kind::Json } else { Kind::of(value.expose()) };
    write.value = Some((value, kind));
    let source = context.source()?;
    context.about(source.vault(), Action::Set, Some(&id))?;
    let outcome = source.set(&id, write, context.now())?;
    finish(context, &source, &id, &outcome)
}

fn read_value(context: &Context, args: &SetArgs) -> Result<Option<SecretValue>> {
    if args.generate.is_some() {
        return Ok(None);
    }
    if let Some(path) = &args.from_file {
        return read_file(path).map(|bytes| Some(SecretValue::new(bytes)));
    }
    if args.editor {
        let text = crate::term::editor::edit(&[], crate::process::undisturbed)?;
        return text.map(Some).ok_or_else(|| Error::usage("the editor left nothing; the entry is as it was"));
    }
    context.value_from_input(&format!("Value of {}", args.name), args.raw).map(Some)
}

/// The metadata as all options give it.
fn metadata(args: &SetArgs) -> Result<BTreeMap<String, Option<String>>> {
    let mut meta = args.meta.iter().map(|pair| parse_meta(pair)).collect::<Result<BTreeMap<_, _>>>()?;
    for (key, value) in [("tier", &args.tier), ("owner", &args.owner), ("note", &args.note), ("url", &args.url)] {
        let Some(value) = value else { continue };
        if key == "url" && !value.is_empty() && !is_url(value) {
            return Err(Error::usage("--url takes an address with a scheme and a host, such as https://db.example/admin"));
        }
        if meta.insert(key.to_owned(), Some(value.clone()).filter(|value| !value.is_empty())).is_some() {
            return Err(Error::usage(format!("--{key} and --meta {key}=… say the same thing twice")));
        }
    }
    Ok(meta)
}

/// Whether a text is a scheme, `://`, and a host.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host =
        host.strip_prefix('[').and_then(|host| host.split(']').next()).unwrap_or(host.split(':').next().unwrap_or_default());
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        && !host.is_empty()
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn parse_meta(pair: &str) -> Result<(String, Option<String>)> {
    match pair.split_once('=') {
        Some((key, "")) if !key.is_empty() => Ok((key.to_owned(), None)),
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), Some(value.to_owned()))),
        _ => Err(Error::usage("metadata is written KEY=VALUE")),
    }
}

fn finish(context: &Context, source: &Source, id: &EntryId, outcome: &Outcome) -> Result<u8> {
    context.record_write(source.vault(), Action::Set, id, outcome.version)?;
    if context.global.verbose {
        let what = if outcome.created { "made" } else { "now at" };
        context.note(&format!("'{id}' {what} version {}", outcome.version));
    }
    if let Some(note) = &outcome.note {
        context.note(&format!("note: {note}"));
    }
    Ok(exit::OK)
}
