//! `vault config explain`

use clap::Args;
use serde_json::json;

use super::get::absent;
use super::layers::{Keeper, kind, mappings, read};
use super::sources::{Plan, SourceArgs};
use crate::commands::context::{Context, OutputFormat};
use crate::commands::exit;
use crate::interchange::{Document, Leaf, Scalar};
use crate::term::output;
use crate::vault::field::FieldPath;
use crate::vault::{Result, has_reference, whole_reference};

/// Which layers have a place, and which of them counts; never a value
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The place: a dotted path such as db.host, or a JSON pointer
    #[arg(value_name = "PATH")]
    path: String,
    #[command(flatten)]
    sources: SourceArgs,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: ExplainArgs) -> Result<u8> {
    let path = FieldPath::parse(&args.path)?;
    let plan = Plan::new(context, &args.sources)?;
    let mut document = Document::empty();
    let mut rows: Vec<(String, Option<&'static str>)> = Vec::new();
    for layer in read(context, &mut Keeper::default(), &plan)? {
        rows.push((layer.name.clone(), layer.has(path.parts())));
        layer.lay_over(&mut document);
    }
    for (place, reference) in mappings(&plan)? {
        let same = place.parts().iter().zip(path.parts()).all(|(a, b)| a == b);
        rows.push((format!("map of {}", output::printable(&place.to_string())), same.then_some("reference")));
        document.put(place.parts(), Document::text(&reference.to_string()));
    }
    // The last that has it counts; of tables every one does.
    let found = document.at(path.parts());
    let is_table = matches!(found, Some(Document::Table(_)));
    let last = rows.iter().rposition(|(_, kind)| kind.is_some());
    if last.is_none() {
        return Err(absent(&path));
    }
    let counts = |at: usize, kind: Option<&str>| Some(at) == last || (is_table && kind == Some("table"));
    let reference = match found {
        Some(Document::Leaf(Leaf { scalar: Scalar::Text(text), .. })) if has_reference(text) => {
            Some(whole_reference(text)?.map_or_else(|| "in the text".to_owned(), |(reference, _)| reference.to_string()))
        }
        _ => None,
    };
    let text = match args.format {
        OutputFormat::Json => {
            let layers: Vec<_> = rows
                .iter()
                .enumerate()
                .map(|(at, (name, kind))| json!({ "layer": name, "kind": kind, "counts": kind.is_some() && counts(at, *kind) }))
                .collect();
            let kind = found.map(kind);
            let object =
                json!({ "version": 1, "path": path.to_string(), "kind": kind, "reference": reference, "layers": layers });
            format!("{object}\n")
        }
        OutputFormat::Text => {
            let lines: Vec<Vec<String>> = rows
                .iter()
                .enumerate()
                .map(|(at, (name, kind))| {
                    let part = match kind {
                        None => "-",
                        Some(_) if counts(at, *kind) => "counts",
                        Some(_) => "hidden",
                    };
                    vec![name.clone(), part.to_owned(), kind.unwrap_or_default().to_owned()]
                })
                .collect();
            let reference = reference.map(|reference| format!("reference  {}\n", output::printable(&reference)));
            output::columns(&lines) + &reference.unwrap_or_default()
        }
    };
    output::print(&text)?;
    Ok(exit::OK)
}
