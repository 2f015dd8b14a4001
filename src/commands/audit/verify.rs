//! `vault audit verify`

use clap::Args;
use serde_json::json;

use crate::audit::{Expected, Finding, Verified};
use crate::commands::context::{Context, OutputFormat, format_time};
use crate::commands::exit;
use crate::format::header::hex;
use crate::term::output;
use crate::vault::{AuditAnchor, Error, Result, Vault};

/// Verify every record of the log, and that none is missing
///
/// Ends with 10 if something is wrong, and says with each finding which record it is and where; with 8 if the log is none of this vault. What this
/// machine and the vault itself know of the log is compared with it. A limited key verifies the chain, and reads what was sealed under the present keys.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: VerifyArgs) -> Result<u8> {
    let vault = context.unlock()?;
    let of_vault = vault.audit_anchors()?;
    let mut reader = match context.audit_reader(&vault) {
        Err(error) if error.code() == "no_audit_log" => return gone(context, &vault, &of_vault, &args, error),
        reader => reader?,
    };
    let here = context.audit_anchor_here(&vault)?;
    let verified = reader.verify(&mut |log| {
        let machine = context.audit_anchor(&vault);
        // Which log belongs here this machine says, and where it remembers none the vault. It also knows logs of other places.
        let here = here.iter().filter(|here| machine.is_none() && here.log != *log);
        let known = of_vault.iter().filter(|anchor| anchor.log == *log).chain(here).map(Expected::of_vault);
        machine.as_ref().map(Expected::of_machine).into_iter().chain(known).collect()
    })?;
    print(&args, &verified, &of_vault)?;
    Ok(if verified.findings.is_empty() && verified.more == 0 { exit::OK } else { exit::FINDINGS })
}

/// There is no log: that is a finding where there was one.
fn gone(context: &Context, vault: &Vault, of_vault: &[AuditAnchor], args: &VerifyArgs, error: Error) -> Result<u8> {
    // An anchor of an earlier version does not say of which place it is.
    let unplaced = || of_vault.iter().filter(|anchor| anchor.place.is_none()).max_by_key(|anchor| anchor.time).copied();
    let known = match context.audit_anchor(vault) {
        Some(anchor) => Some(Expected::of_machine(&anchor)),
        None => context.audit_anchor_here(vault)?.or_else(unplaced).as_ref().map(Expected::of_vault),
    };
    let Some(Expected { by, log, sequence, .. }) = known else {
        if !of_vault.is_empty() {
            context.note(&format!("note: logs of other places that the vault knows of: {}", of_vault.len()));
        }
        return Err(error);
    };
    let message = format!("there is no log, and {by} knows of record {sequence} of log {}", hex(&log));
    let finding = Finding { code: "gone", sequence: Some(sequence), offset: None, message };
    print(args, &Verified { log, findings: vec![finding], ..Verified::default() }, of_vault)?;
    Ok(exit::FINDINGS)
}

fn print(args: &VerifyArgs, verified: &Verified, of_vault: &[AuditAnchor]) -> Result<()> {
    let Verified { log, base, records, last, clear, unread, bytes, findings, more, .. } = verified;
    let others = of_vault.iter().filter(|anchor| anchor.log != *log).count();
    let first = base.map_or(last.saturating_sub(*records), |base| base.sequence) + 1;
    if args.format == OutputFormat::Json {
        let object = json!({
            "version": 1,
            "sound": findings.is_empty() && *more == 0,
            "log": hex(log),
            "records": records,
            "first": first,
            "last": last,
            "since": base.map(|base| format_time(base.time)),
            "bytes": bytes,
            "clear": clear,
            "unreadable": unread,
            "in_vault": of_vault.iter().find(|anchor| anchor.log == *log).map(|anchor| anchor.sequence),
            "other_logs": others,
            "findings": findings.iter().map(|finding| json!({
                "code": finding.code, "sequence": finding.sequence, "offset": finding.offset, "message": finding.message,
            })).collect::<Vec<_>>(),
            "more_findings": more,
        });
        return output::print(&format!("{object}\n"));
    }
    let mut text = format!("{records} records, numbers {first} to {last}, {bytes} bytes, log {}\n", hex(log));
    if first > 1 {
        text.push_str(&format!("records up to number {} were pruned\n", first - 1));
    }
    for (count, what) in [
        (*clear, "stand in the clear: a key was refused"),
        (*unread, "are sealed by keys that are not at hand: of these only the chain was verified"),
    ] {
        if count > 0 {
            text.push_str(&format!("{count} records {what}\n"));
        }
    }
    if others > 0 {
        text.push_str(&format!("the vault knows of {others} other logs: of other places, or of a log that was here before\n"));
    }
    for Finding { code, sequence, offset, message } in findings {
        let record = sequence.map_or_else(String::new, |sequence| format!(" record {sequence}"));
        let place = offset.map_or_else(String::new, |offset| format!(" at byte {offset}"));
        text.push_str(&format!("{code}:{record}{place}: {}\n", output::printable(message)));
    }
    if *more > 0 {
        text.push_str(&format!("and {more} more\n"));
    }
    if findings.is_empty() {
        text.push_str("sound\n");
    }
    output::print(&text)
}
