//! `vault config render`

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use zeroize::Zeroizing;

use super::layers::{Keeper, merged};
use super::resolve::{Manner, mask, resolve};
use super::sources::{Plan, SourceArgs};
use crate::commands::context::Context;
use crate::commands::exchange::text_error;
use crate::commands::exit;
use crate::commands::files::write_private;
use crate::interchange::DocumentFormat;
use crate::leaks::Rule;
use crate::process;
use crate::term::output;
use crate::vault::{Error, Result, Vault};

/// All layers as one document, with the values in their places
///
/// If one reference cannot be resolved, nothing is written. At a terminal values are masked: those of the vault and of encrypted files, and what
/// `vault mask` would mask.
#[derive(Args, Debug)]
pub struct RenderArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// The format [default: that of the first file]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<RenderFormat>,
    /// Write to this file, 0600, instead; it is there only when it is whole
    #[arg(short, long = "out", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<PathBuf>,
    /// Mask values also where no terminal is
    #[arg(long, overrides_with = "reveal")]
    mask: bool,
    /// Mask nothing, also at a terminal
    #[arg(long, overrides_with = "mask")]
    reveal: bool,
    /// By what a name tells that it is of a secret
    #[arg(long, value_enum, value_name = "RULE", default_value_t)]
    rule: NameRule,
    /// Stay, and write the file anew whenever a layer or the vault has changed
    #[arg(long, requires = "out")]
    watch: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RenderFormat {
    Json,
    Yaml,
    Toml,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum NameRule {
    /// By its words: api_key and apiKey, and not monkey
    #[default]
    Words,
    /// By any part of it, as older programs do: monkey too
    Substrings,
}

pub fn run(context: &mut Context, args: RenderArgs) -> Result<u8> {
    let plan = Plan::new(context, &args.sources)?;
    if let Some(out) = args.out.as_ref().and_then(|out| out.canonicalize().ok())
        && plan.files().any(|path| path.canonicalize().is_ok_and(|path| path == out))
    {
        return Err(Error::usage(format!("{} is a layer, and would be written over", shown(&out))));
    }
    let mut keeper = Keeper::default();
    if args.watch {
        return watch(context, &mut keeper, &plan, &args);
    }
    let text = render(context, &mut keeper, &plan, &args)?;
    match &args.out {
        Some(path) => write_private(path, &text)?,
        None => match output::unbuffered()?.write_all(&text) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                return Err(Error::io("write to standard output", &error));
            }
            _ => {}
        },
    }
    Ok(exit::OK)
}

fn render(context: &mut Context, keeper: &mut Keeper, plan: &Plan, args: &RenderArgs) -> Result<Zeroizing<Vec<u8>>> {
    let mut document = merged(context, keeper, plan)?;
    let at_terminal = args.out.is_none() && output::stdout_is_terminal();
    let masked = args.mask || (at_terminal && !args.reveal);
    resolve(context, keeper, &mut document, &[], Manner { masked, allow_expired: plan.allow_expired })?;
    if masked {
        let rule = match args.rule {
            NameRule::Words => Rule::Words,
            NameRule::Substrings => Rule::Substrings,
        };
        mask(&mut document, rule)?;
    }
    let format = match args.format {
        Some(RenderFormat::Json) => DocumentFormat::Json,
        Some(RenderFormat::Yaml) => DocumentFormat::Yaml,
        Some(RenderFormat::Toml) => DocumentFormat::Toml,
        None => plan.first_format().unwrap_or(DocumentFormat::Json),
    };
    document.write(format).map_err(|error| text_error(&error))
}

/// How often it is looked for changes.
const PAUSE: Duration = Duration::from_millis(500);

fn watch(context: &mut Context, keeper: &mut Keeper, plan: &Plan, args: &RenderArgs) -> Result<u8> {
    let out = args.out.as_deref().ok_or_else(|| Error::usage("--watch needs --out FILE"))?;
    if plan.files().any(|path| path.as_os_str() == "-") {
        return Err(Error::usage("standard input cannot be watched"));
    }
    context.stays();
    let mut signals = process::hear_signals().map_err(|error| Error::io("hear signals", &error))?;
    // Looked at before it is read: what changes meanwhile is seen the next time.
    let mut seen = State::of(plan, keeper.opened());
    let mut last = render(context, keeper, plan, args)?;
    // What needed the vault had it unlocked: what changed in it since then is a change.
    seen.vault = seen.vault.or_else(|| keeper.revision_at_unlocking());
    write_private(out, &last)?;
    context.note(&format!("note: wrote {}; waiting for changes", shown(out)));
    loop {
        match signals.next(Some(PAUSE)).map_err(|error| Error::io("wait for changes", &error))? {
            Some((libc::SIGTERM, _)) => return Ok(exit::OK),
            Some((signal @ (libc::SIGINT | libc::SIGHUP | libc::SIGQUIT), _)) => return Ok(128 + signal as u8),
            Some(_) => continue,
            None => {}
        }
        let now = State::of(plan, keeper.opened());
        if now == seen {
            continue;
        }
        seen = now;
        let written = render(context, keeper, plan, args).and_then(|text| {
            let changed = *text != *last;
            if changed {
                write_private(out, &text)?;
            }
            Ok((text, changed))
        });
        match written {
            Ok((text, changed)) => {
                last = text;
                if changed {
                    context.note(&format!("note: wrote {} anew", shown(out)));
                }
            }
            Err(error) => {
                let error = output::printable(&error.to_string());
                context.note(&format!("warning: {} stays as it was: {error}", shown(out)));
            }
        }
    }
}

fn shown(path: &Path) -> String {
    output::printable(&path.display().to_string())
}

/// What a change shows by.
#[derive(PartialEq, Eq)]
struct State {
    files: Vec<Option<[i64; 5]>>,
    vault: Option<crate::store::Revision>,
}

impl State {
    fn of(plan: &Plan, vault: Option<&Vault>) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let stamp = |path: &Path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some([metadata.ino() as i64, metadata.size() as i64, metadata.mtime(), metadata.mtime_nsec(), metadata.ctime_nsec()])
        };
        Self { files: plan.files().map(stamp).collect(), vault: revision(vault) }
    }
}

/// The newest commit of the vault, if it can be read now.
fn revision(vault: Option<&Vault>) -> Option<crate::store::Revision> {
    let vault = vault?;
    vault.count().ok()?;
    vault.facts().map(|facts| facts.revision)
}
