//! Which layers there are, as the command line and the project say.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};

use crate::commands::config::ConfigTable;
use crate::commands::context::{Context, text_variable};
use crate::interchange::DocumentFormat;
use crate::term::output;
use crate::vault::field::FieldPath;
use crate::vault::{Error, ErrorKind, Reference, Result};

/// What a layer is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LayerFormat {
    Json,
    Yaml,
    Toml,
    /// NAME=VALUE; `DB__HOST` is db.host.
    Dotenv,
}

impl LayerFormat {
    /// That of a document; dotenv files are none.
    pub fn document(self) -> Option<DocumentFormat> {
        match self {
            Self::Json => Some(DocumentFormat::Json),
            Self::Yaml => Some(DocumentFormat::Yaml),
            Self::Toml => Some(DocumentFormat::Toml),
            Self::Dotenv => None,
        }
    }

    /// By the name of a file; `.vault` at its end says that it is encrypted, and nothing of its format.
    pub fn of(path: &Path) -> Option<Self> {
        let name = plain_name(path)?;
        if name == ".env" || name.starts_with(".env.") {
            return Some(Self::Dotenv);
        }
        match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            "toml" => Some(Self::Toml),
            "env" => Some(Self::Dotenv),
            _ => None,
        }
    }
}

/// The name of a file without what `vault file encrypt` adds.
fn plain_name(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    Some(name.strip_suffix(".vault").unwrap_or(name))
}

/// What every subcommand takes. It is read by hand, because the layers count in the order in which they are written.
#[derive(Debug)]
pub struct SourceArgs {
    options: Options,
    ordered: Vec<Source>,
}

#[derive(Args, Debug)]
struct Options {
    /// Layers, in their order: files .json, .yaml, .toml or .env, also encrypted (.vault); `-` is standard input [default: those in vault.toml]
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    files: Vec<PathBuf>,
    /// Lay the variables of this dotenv file over what stands before; `DB__HOST` is db.host
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    env_file: Vec<PathBuf>,
    /// Lay variables of the environment over what stands before: with APP, `APP_DB__HOST` is db.host
    #[arg(long, alias = "environment-prefix", value_name = "PREFIX")]
    from_env: Vec<String>,
    /// Behind each file also its variant for this profile, if it is there: base.prod.yaml for base.yaml; `auto`: from ENVIRONMENT, ENV,
    /// NODE_ENV, PYTHON_ENV, CONFIG_ENV or APP_ENV
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Put the value of an entry, or of a field of it, at this place, over all layers
    #[arg(long, value_name = "PATH=NAME[#FIELD]")]
    map: Vec<String>,
    /// A JSON, YAML or TOML file of such places and entries
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    map_file: Vec<PathBuf>,
    /// The format of standard input, and of files whose names do not tell it
    #[arg(long, value_enum, value_name = "FORMAT")]
    input_format: Option<LayerFormat>,
    /// Also entries that have expired
    #[arg(long)]
    allow_expired: bool,
}

impl Args for SourceArgs {
    fn augment_args(command: Command) -> Command {
        Options::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Options::augment_args_for_update(command)
    }
}

impl FromArgMatches for SourceArgs {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let options = Options::from_arg_matches(matches)?;
        let places = |id: &str| matches.indices_of(id).into_iter().flatten().collect::<Vec<_>>();
        let mut ordered: Vec<(usize, Source)> = Vec::new();
        ordered.extend(places("files").into_iter().zip(options.files.iter().map(|path| Source::file(path, None))));
        let env_files = options.env_file.iter().map(|path| Source::file(path, Some(LayerFormat::Dotenv)));
        ordered.extend(places("env_file").into_iter().zip(env_files));
        ordered.extend(places("from_env").into_iter().zip(options.from_env.iter().cloned().map(Source::Variables)));
        ordered.sort_by_key(|(place, _)| *place);
        Ok(Self { options, ordered: ordered.into_iter().map(|(_, source)| source).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Where one layer comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file.
    File {
        path: PathBuf,
        format: Option<LayerFormat>,
        /// Whether it may be missing.
        optional: bool,
    },
    /// Variables of the environment that begin so.
    Variables(String),
}

impl Source {
    fn file(path: &Path, format: Option<LayerFormat>) -> Self {
        Self::File { path: path.to_owned(), format, optional: false }
    }
}

/// All that one rendering reads.
pub struct Plan {
    /// The layers, in their order; those of the profile among them.
    pub sources: Vec<Source>,
    /// Files of places and entries.
    pub map_files: Vec<PathBuf>,
    /// Places and entries.
    pub map: Vec<(FieldPath, Reference)>,
    /// What variables of dotenv files may begin with, which is not part of their place.
    pub prefixes: Vec<String>,
    /// The profile.
    pub profile: Option<String>,
    /// Whether entries that have expired count.
    pub allow_expired: bool,
}

impl Plan {
    /// What the command line says, and where it does not, what the project does.
    pub fn new(context: &mut Context, args: &SourceArgs) -> Result<Self> {
        let table = context.config()?.layers.clone();
        let options = &args.options;
        let profile = profile(options, &table)?;
        let mut given = args.ordered.clone();
        if !given.iter().any(|source| matches!(source, Source::File { .. })) {
            given.splice(0..0, table.files.iter().map(|path| Source::file(path, None)));
            let variables = table.from_env.clone().filter(|_| options.from_env.is_empty());
            given.extend(variables.map(Source::Variables));
        }
        let map_of_project: Vec<(&str, &str)> =
            table.map.iter().map(|(place, target)| (place.as_str(), target.as_str())).collect();
        let map_of_line = options
            .map
            .iter()
            .map(|mapping| mapping.split_once('=').ok_or_else(|| Error::usage("--map is PATH=NAME, or PATH=NAME#FIELD")));
        let pairs = map_of_project.into_iter().map(Ok).chain(map_of_line).collect::<Result<Vec<_>>>()?;
        let map = pairs.into_iter().map(|(place, target)| mapping(place, target)).collect::<Result<Vec<_>>>()?;
        if given.is_empty() && map.is_empty() && options.map_file.is_empty() {
            return Err(Error::usage("there are no layers").hint("name files, or list them in the [config] table of vault.toml"));
        }
        if given.iter().any(|source| matches!(source, Source::Variables(prefix) if prefix.is_empty())) {
            return Err(
                Error::usage("the prefix of variables is empty").hint("not all that the environment holds is configuration")
            );
        }
        let prefixes = given.iter().filter_map(|source| match source {
            Source::Variables(prefix) => Some(with_separator(prefix)),
            Source::File { .. } => None,
        });
        let prefixes = prefixes.collect();
        let mut sources = Vec::new();
        let mut from_input = 0;
        for source in given {
            let Source::File { path, format, .. } = source else {
                sources.push(source);
                continue;
            };
            if path.as_os_str() == "-" {
                from_input += 1;
            }
            let format = format.or_else(|| LayerFormat::of(&path)).or(options.input_format);
            sources.push(Source::File { path: path.clone(), format, optional: false });
            if let Some(path) = profile.as_deref().and_then(|profile| variant(&path, profile)) {
                sources.push(Source::File { path, format, optional: true });
            }
        }
        if from_input > 1 {
            return Err(Error::usage("standard input can be one layer only"));
        }
        let map_files = options.map_file.clone();
        Ok(Self { sources, map_files, map, prefixes, profile, allow_expired: options.allow_expired })
    }

    /// The format of the first document.
    pub fn first_format(&self) -> Option<DocumentFormat> {
        self.sources.iter().find_map(|source| match source {
            Source::File { format, .. } => format.and_then(LayerFormat::document),
            Source::Variables(_) => None,
        })
    }

    /// The files that it reads, whether they are there or not.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let layers = self.sources.iter().filter_map(|source| match source {
            Source::File { path, .. } => Some(path.as_path()),
            Source::Variables(_) => None,
        });
        layers.chain(self.map_files.iter().map(PathBuf::as_path))
    }
}

/// A place, and what goes there.
pub fn mapping(place: &str, target: &str) -> Result<(FieldPath, Reference)> {
    Ok((FieldPath::parse(place)?, Reference::parse_plain(target)?))
}

/// A prefix of variables, with the `_` behind it.
pub fn with_separator(prefix: &str) -> String {
    if prefix.is_empty() || prefix.ends_with('_') { prefix.to_owned() } else { format!("{prefix}_") }
}

/// Where `auto` looks, in this order.
const PROFILE_VARIABLES: &[&str] = &["ENVIRONMENT", "ENV", "NODE_ENV", "PYTHON_ENV", "CONFIG_ENV", "APP_ENV"];

fn profile(options: &Options, table: &ConfigTable) -> Result<Option<String>> {
    let profile = match options.profile.clone().or_else(|| table.profile.clone()) {
        Some(auto) if auto == "auto" => PROFILE_VARIABLES.iter().find_map(|name| text_variable(name)),
        profile => profile,
    };
    match profile {
        Some(profile) if !profile.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) => {
            let shown = output::printable(&profile);
            Err(Error::new(ErrorKind::Usage, "bad_profile", format!("'{shown}' is not a profile: letters, digits, - and _")))
        }
        profile => Ok(profile.filter(|profile| !profile.is_empty())),
    }
}

/// The file beside another that is for a profile: `base.prod.yaml` for `base.yaml`, `.env.prod` for `.env`.
fn variant(path: &Path, profile: &str) -> Option<PathBuf> {
    let whole = path.file_name()?.to_str()?;
    let name = plain_name(path)?;
    let encrypted = &whole[name.len()..];
    let varied = match name.rsplit_once('.') {
        _ if whole == "-" => return None,
        Some((stem, extension)) if !stem.is_empty() => format!("{stem}.{profile}.{extension}{encrypted}"),
        _ => format!("{name}.{profile}{encrypted}"),
    };
    Some(path.with_file_name(OsString::from(varied)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_formats_and_variants() {
        for (name, format, expected) in [
            ("a/base.yaml", Some(LayerFormat::Yaml), "a/base.prod.yaml"),
            ("base.v1.JSON", Some(LayerFormat::Json), "base.v1.prod.JSON"),
            ("s.toml.vault", Some(LayerFormat::Toml), "s.prod.toml.vault"),
            (".env", Some(LayerFormat::Dotenv), ".env.prod"),
            (".env.vault", Some(LayerFormat::Dotenv), ".env.prod.vault"),
            (".env.local", Some(LayerFormat::Dotenv), ".env.prod.local"),
            ("x.env", Some(LayerFormat::Dotenv), "x.prod.env"),
            ("app.vault", None, "app.prod.vault"),
            ("conf", None, "conf.prod"),
        ] {
            assert_eq!(LayerFormat::of(Path::new(name)), format, "{name}");
            assert_eq!(variant(Path::new(name), "prod"), Some(expected.into()), "{name}");
        }
        assert_eq!(variant(Path::new("-"), "prod"), None);
    }
}
