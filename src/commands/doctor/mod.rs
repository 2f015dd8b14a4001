//! `vault doctor`

mod lockout;
mod places;
mod production;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::context::{Context, OutputFormat};
use super::exit;
use crate::term::output;
use crate::vault::{Result, Vault};

/// Look for what could go wrong with the vault and its keys
///
/// Says who can open the vault and who could if a key were lost, tries every key that this run can find, and looks for weak passphrase costs, keys that
/// git tracks, permissions that are too wide, and backups that cannot be read. It changes nothing. Exit code 10 if there is something to do.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Who could still open the vault without this slot; may be repeated
    #[arg(long, value_name = "LABEL")]
    lost: Vec<String>,
    /// Also open and verify this backup; may be repeated
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    backup: Vec<PathBuf>,
    /// Also look for what a server in production should have: TLS, limits, tokens that end, a log, fresh backups, a disk
    #[arg(long)]
    production: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be, or worth knowing.
    Fine,
    /// To be looked at.
    Warning,
    /// To be mended now.
    Problem,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
pub struct Finding {
    severity: Severity,
    /// Stable, for programs.
    code: &'static str,
    message: String,
    advice: Option<&'static str>,
}

/// What was found so far.
#[derive(Default)]
pub struct Report(Vec<Finding>);

impl Report {
    /// Something that is as it should be.
    pub fn fine(&mut self, code: &'static str, message: impl Into<String>) {
        self.0.push(Finding { severity: Severity::Fine, code, message: message.into(), advice: None });
    }

    /// Something to be looked at, and what to do about it.
    pub fn warn(&mut self, code: &'static str, message: impl Into<String>, advice: &'static str) {
        self.0.push(Finding { severity: Severity::Warning, code, message: message.into(), advice: Some(advice) });
    }

    /// Something to be mended now, and how.
    pub fn problem(&mut self, code: &'static str, message: impl Into<String>, advice: &'static str) {
        self.0.push(Finding { severity: Severity::Problem, code, message: message.into(), advice: Some(advice) });
    }
}

pub fn run(context: &mut Context, args: DoctorArgs) -> Result<u8> {
    let path = context.vault_path()?;
    let mut report = Report::default();
    // Before anything is asked: keys that are in reach without a question.
    let mut tried = lockout::try_keys(context, &path)?;
    lockout::try_keychain(context, &path, &mut tried, &mut report)?;
    let vault = context.unlock_at(&path)?;
    lockout::look(&vault, &tried, &args.lost, &mut report)?;
    look_at_vault(&vault, &mut report)?;
    places::look(context, &path, &mut report)?;
    if args.production {
        production::look(context, &vault, &path, &args.backup, &mut report)?;
    }
    for file in &args.backup {
        look_at_backup(context, &vault, file, &mut report);
    }
    print(&report, args.format)?;
    let worst = report.0.iter().map(|finding| finding.severity).max();
    Ok(if worst > Some(Severity::Fine) { exit::FINDINGS } else { exit::OK })
}

fn look_at_vault(vault: &Vault, report: &mut Report) -> Result<()> {
    for warning in vault.warnings() {
        report.problem(
            "unexpected_copy",
            warning.clone(),
            "compare it with the copy that you expect, then `vault trust` or `vault key trust`",
        );
    }
    if let Some(facts) = vault.facts() {
        if facts.tail {
            report.warn(
                "tail",
                "bytes at the end belong to no commit: a write failed or was killed",
                "the next write goes on behind them; `vault compact` drops them",
            );
        }
        if facts.dead > facts.live && facts.dead > 64 << 20 {
            report.warn("dead_bytes", format!("{} MiB of the file are dead", facts.dead >> 20), "`vault compact` drops them");
        }
    }
    let exposed: usize = vault.exposures(None)?.iter().map(|exposure| exposure.open.len()).sum();
    if exposed > 0 {
        report.warn(
            "exposed",
            format!("{exposed} values that removed slots could read are still current"),
            "`vault key exposure` lists them; rotate each",
        );
    }
    Ok(())
}

fn look_at_backup(context: &mut Context, vault: &Vault, file: &std::path::Path, report: &mut Report) {
    let shown = output::printable(&file.display().to_string());
    match context.unlock_exempt(file).and_then(|backup| Ok((backup.check()?, backup))) {
        Err(error) => {
            report.problem(
                "backup_unreadable",
                format!("the backup {shown} cannot be read: {error}"),
                "make a new one: `vault backup`",
            );
        }
        Ok((_, backup)) if backup.id() != vault.id() => {
            report.problem(
                "backup_of_another",
                format!("{shown} is a backup of another vault"),
                "make one of this: `vault backup`",
            );
        }
        Ok((checked, backup)) => {
            let behind =
                vault.facts().zip(backup.facts()).map(|(now, then)| now.revision.sequence.saturating_sub(then.revision.sequence));
            let behind =
                behind.filter(|behind| *behind > 0).map(|behind| format!(", {behind} commits behind")).unwrap_or_default();
            report.fine("backup", format!("{shown} opens: {} entries, {} values{behind}", checked.entries, checked.values));
        }
    }
}

fn print(report: &Report, format: OutputFormat) -> Result<()> {
    let text = match format {
        OutputFormat::Json => {
            let findings: Vec<_> = report
                .0
                .iter()
                .map(|finding| {
                    json!({
                        "severity": finding.severity.word(),
                        "code": finding.code,
                        "message": finding.message,
                        "advice": finding.advice,
                    })
                })
                .collect();
            format!("{}\n", json!({ "version": 1, "findings": findings }))
        }
        OutputFormat::Text => {
            let mut text = String::new();
            for finding in &report.0 {
                text.push_str(&format!("{:<8} {}\n", finding.severity.word(), output::printable(&finding.message)));
                if let Some(advice) = finding.advice {
                    text.push_str(&format!("         {advice}\n"));
                }
            }
            text
        }
    };
    output::print(&text)
}
