//! `vault mask`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::context::Context;
use super::exit;
use super::files::{open_input, read_all};
use crate::leaks::{Rule, mask_json};
use crate::term::output;
use crate::vault::{Error, Result};

/// Show a JSON, YAML or TOML document with what looks like a secret masked
///
/// By the names of its leaves, without any vault: whatever lies below `password`, `apiKey` or `DB_TOKEN` becomes [MASKED]. So does, under any name, what
/// a text gives to such a name (`DB_TOKEN=…`, `--token …`, `X-Api-Key: …`), the `value` beside such a `name`, what follows `Bearer`, passwords and tokens
/// in URLs, and private keys. The layout is written anew, and comments are left out: they may hold anything.
#[derive(Args, Debug)]
pub struct MaskArgs {
    /// The document [default: standard input]
    file: Option<PathBuf>,
    /// Its format [default: by the file's name, else by its content]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<DocumentFormat>,
    /// By what a name tells that it is of a secret
    #[arg(long, value_enum, value_name = "RULE", default_value_t)]
    rule: NameRule,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DocumentFormat {
    Json,
    Yaml,
    Toml,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum NameRule {
    /// By its words: api_key and apiKey, and not monkey
    #[default]
    Words,
    /// By any part of it, as older programs do: monkey too; lists and objects below such a name stay
    Substrings,
}

pub fn run(_context: &mut Context, args: MaskArgs) -> Result<u8> {
    let bytes = read_all(&mut open_input(args.file.as_deref())?, 4096, "read the document")?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::usage("the document is not UTF-8 text"))?;
    let extension = args.file.as_ref().and_then(|file| file.extension()).and_then(|extension| extension.to_str());
    let format = args.format.or(match extension {
        Some("json") => Some(DocumentFormat::Json),
        Some("yaml" | "yml") => Some(DocumentFormat::Yaml),
        Some("toml") => Some(DocumentFormat::Toml),
        _ => None,
    });
    let rule = match args.rule {
        NameRule::Words => Rule::Words,
        NameRule::Substrings => Rule::Substrings,
    };
    let masked = match format {
        Some(DocumentFormat::Json) => json(text, rule),
        Some(DocumentFormat::Yaml) => yaml(text, rule),
        Some(DocumentFormat::Toml) => toml(text, rule),
        None => json(text, rule).or_else(|| toml(text, rule)).or_else(|| yaml(text, rule)),
    };
    // What the parsers say may quote the document.
    output::print(&masked.ok_or_else(|| Error::usage("the document is not well-formed").hint("say what it is with --format"))?)?;
    Ok(exit::OK)
}

fn json(text: &str, rule: Rule) -> Option<String> {
    let mut document: Value = serde_json::from_str(text).ok()?;
    mask_json(&mut document, rule);
    serde_json::to_string_pretty(&document).ok().map(|text| text + "\n")
}

fn yaml(text: &str, rule: Rule) -> Option<String> {
    let mut document: Value = serde_saphyr::from_str(text).ok()?;
    mask_json(&mut document, rule);
    let mut out = String::new();
    write_yaml(&mut out, &document, 0);
    Some(out)
}

/// Block style, with strings in double quotes unless nobody could take them for something else.
fn write_yaml(out: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    let item = |out: &mut String, head: String, value: &Value| {
        out.push_str(&indent);
        out.push_str(&head);
        if is_block(value) {
            out.push('\n');
            write_yaml(out, value, depth + 1);
        } else {
            out.push(' ');
            out.push_str(&scalar(value));
            out.push('\n');
        }
    };
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().for_each(|(name, member)| item(out, format!("{}:", scalar(&Value::from(name.as_str()))), member));
        }
        Value::Array(items) if !items.is_empty() => items.iter().for_each(|member| item(out, "-".to_owned(), member)),
        other => {
            out.push_str(&scalar(other));
            out.push('\n');
        }
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn scalar(value: &Value) -> String {
    const WORDS: &[&str] = &["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    match value {
        Value::String(text) => {
            let simple = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
                && !WORDS.contains(&text.to_ascii_lowercase().as_str());
            if simple { text.clone() } else { value.to_string() }
        }
        other => other.to_string(),
    }
}

fn toml(text: &str, rule: Rule) -> Option<String> {
    let mut document = toml::Value::Table(toml::from_str(text).ok()?);
    let mut shadow = shadow_of(&document);
    mask_json(&mut shadow, rule);
    carry_over(&shadow, &mut document);
    toml::to_string_pretty(&document).ok()
}

/// The document as JSON: dates as text.
fn shadow_of(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(truth) => Value::from(*truth),
        toml::Value::Datetime(time) => Value::from(time.to_string()),
        toml::Value::Array(items) => items.iter().map(shadow_of).collect(),
        toml::Value::Table(members) => members.iter().map(|(name, member)| (name.clone(), shadow_of(member))).collect(),
    }
}

/// Takes over what was masked.
fn carry_over(shadow: &Value, value: &mut toml::Value) {
    match (shadow, value) {
        (Value::Object(shadows), toml::Value::Table(members)) => {
            for (name, member) in members.iter_mut() {
                shadows.get(name).into_iter().for_each(|shadow| carry_over(shadow, member));
            }
        }
        (Value::Array(shadows), toml::Value::Array(items)) => {
            shadows.iter().zip(items).for_each(|(shadow, item)| carry_over(shadow, item));
        }
        (Value::String(text), toml::Value::Datetime(time)) if time.to_string() == *text => {}
        (Value::String(text), value) => *value = toml::Value::String(text.clone()),
        _ => {}
    }
}
