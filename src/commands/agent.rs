//! `vault agent`

use clap::Args;

use super::context::Context;
use super::exit;
use super::held::agent_failed;
use crate::agent::READY;
use crate::agent::server::Server;
use crate::process;
use crate::term::output;
use crate::vault::{Error, ErrorKind, Result};

/// Run the agent in the foreground
///
/// `vault unlock` starts an agent by itself; this is for whoever wants it under a supervisor. It ends on SIGTERM, SIGINT, SIGHUP and SIGQUIT, and forgets.
#[derive(Args, Debug)]
pub struct AgentArgs {
    /// Leave the session of whoever started this, and end when nothing is held any more
    #[arg(long, hide = true)]
    on_demand: bool,
}

pub fn run(context: &mut Context, args: AgentArgs) -> Result<u8> {
    process::forbid_core_dumps();
    if args.on_demand {
        process::let_go_of_descriptors();
        // It fails for the leader of a process group, which leads a session of its own or was started by hand.
        let _ = rustix::process::setsid();
    }
    let endings = process::endings().map_err(|error| Error::io("wait for signals", &error))?;
    let Some(server) = Server::start().map_err(|error| agent_failed(&error))? else {
        return Err(Error::new(ErrorKind::Conflict, "agent_runs", "an agent of yours is running already"));
    };
    if args.on_demand {
        // Whoever started this waits for a word and for the end of these streams, and must not wait longer.
        output::print(std::str::from_utf8(READY).unwrap_or_default())?;
        process::let_go_of_streams().map_err(|error| Error::io("let go of the standard streams", &error))?;
    } else {
        context.note(&format!("listening on {}", output::printable(&server.socket().display().to_string())));
    }
    server.serve(&endings, args.on_demand).map_err(|error| agent_failed(&error))?;
    Ok(exit::OK)
}
