//! `vault unlock`

use clap::Args;

use super::context::Context;
use super::exit;
use super::held::duration;
use crate::audit::{Action, Event};
use crate::term::output;
use crate::vault::{Error, Locked, Result};

/// Keep the vault unlocked for a while, so that no command asks for its key
///
/// A process of your own, the agent, keeps the key in locked memory and gives it to commands of the same user. It is started if there is none, and
/// forgets when the time is over, when nobody asked for a while, on `vault lock`, and when the keys of the vault change. A vault that is unlocked
/// already stays so for the time that it has, unless --ttl or --idle is given.
#[derive(Args, Debug)]
pub struct UnlockArgs {
    /// How long at most [default: 15m, or as configured]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// How long without being used [default: 5m, or as configured]
    #[arg(long, value_name = "DURATION")]
    idle: Option<String>,
    /// Also put the key of the slot into the keychain of the system, as `vault key remember` does
    #[arg(long)]
    remember: bool,
}

pub fn run(context: &mut Context, args: UnlockArgs) -> Result<u8> {
    let times = context.agent_times(args.ttl.as_deref(), args.idle.as_deref())?;
    let path = context.vault_path()?;
    let locked = Locked::open(&path)?;
    let shown = output::printable(&locked.path().display().to_string());
    // A key that is named is to be used, and times that are named are to count.
    let asks_for_nothing = args.ttl.is_none() && args.idle.is_none() && !args.remember && !context.has_given_credential()?;
    if asks_for_nothing && context.held_slot(&locked).is_some() {
        context.note(&format!("{shown} is unlocked already"));
        return Ok(exit::OK);
    }
    let opened = context.open_slot(&locked);
    let (slot, _) = opened.inspect_err(|error| context.record_refused_unlock(locked.id_bytes(), locked.path(), error))?;
    let (path, kept) = (locked.path().to_owned(), locked.keep(&slot)?);
    // All that a command would verify, before anything is kept.
    let vault = context.unlock_opened(locked, slot)?;
    context.record(&vault, &[Event::new(Action::Unlock).detail(format!("for {}", duration(times.ttl)))])?;
    context.hand_over(&path, kept, times)?;
    if args.remember {
        let used = context.credential.take();
        let used = used.ok_or_else(|| Error::usage("the key came out of the keychain: it is remembered already"))?;
        context.remember_in_keychain(&Locked::open(&path)?, &used)?;
    }
    context.note(&format!("{shown} is unlocked for {}, or {} unused", duration(times.ttl), duration(times.idle)));
    Ok(exit::OK)
}
