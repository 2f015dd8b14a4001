//! `vault man`

use clap::Args;

use super::context::Context;
use super::{command, exit};
use crate::term::output;
use crate::vault::{Error, Result};

/// Print a man page
///
/// vault man | man -l -
#[derive(Args, Debug)]
pub struct ManArgs {
    /// The subcommand; without one, the page of vault itself
    command: Option<String>,
}

pub fn run(_context: &mut Context, args: ManArgs) -> Result<u8> {
    let wanted = match &args.command {
        None => "vault".to_owned(),
        Some(name) => format!("vault-{name}"),
    };
    let page = pages()?.into_iter().find(|(name, _)| *name == wanted);
    let (_, text) = page.ok_or_else(|| Error::usage("there is no such subcommand").hint("see `vault help`"))?;
    output::print(&text)?;
    Ok(exit::OK)
}

/// All pages: their names, and their text in roff.
pub fn pages() -> Result<Vec<(String, String)>> {
    let mut root = command().disable_help_subcommand(true);
    root.build();
    let mut pages = vec![page(root.clone())?];
    for subcommand in root.get_subcommands() {
        let name = format!("vault-{}", subcommand.get_name());
        pages.push(page(subcommand.clone().name(name.clone()).display_name(name))?);
    }
    Ok(pages)
}

fn page(command: clap::Command) -> Result<(String, String)> {
    let name = command.get_name().to_owned();
    // What the short help leaves out would stand in the page without a word of explanation.
    let command = command.mut_args(|arg| arg.hide_short_help(false));
    let source = concat!("vault ", env!("CARGO_PKG_VERSION"));
    let mut text = Vec::new();
    clap_mangen::Man::new(command)
        .date("")
        .source(source)
        .manual("vault")
        .render(&mut text)
        .map_err(|error| Error::io("write the page", &error))?;
    Ok((name, String::from_utf8_lossy(&text).chars().map(roff).collect()))
}

/// A character in ASCII, so that the page is the same whatever encoding its reader expects.
fn roff(c: char) -> String {
    if c.is_ascii() { c.to_string() } else { format!("\\[u{:04X}]", u32::from(c)) }
}
