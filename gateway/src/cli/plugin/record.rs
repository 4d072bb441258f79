//! `offtake plugin test --record`: a fixture of what a running gateway took in last.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use offtake_change::TableSchema;
use offtake_config::{Config, Plugin, PluginSource};
use offtake_proto::v1;
use offtake_workbench::record;
use prost::Message as _;

use super::{PluginArgs, usage};
use crate::cli::exit::Exit;
use crate::cli::{ConfigArgs, run};
use crate::control::{Answer, Request, ask, other_answer};
use crate::pipeline::{Recording, Wanted};

/// Changes that one fixture is worth.
const MOST: i64 = 10_000;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Recording a fixture")]
pub struct RecordArgs {
    /// First make a fixture, --fixtures FOLDER/NAME, of the last N changes that a running gateway
    /// took in; it keeps one batch a second. They are as in the database, before any plugin.
    #[arg(long, value_name = "N", requires = "fixtures",
          value_parser = clap::value_parser!(u32).range(1..=MOST))]
    record: Option<u32>,
    /// The running gateway's configuration file.
    #[arg(short, long, default_value = "offtake.toml", value_name = "FILE")]
    config: PathBuf,
    /// Take the configuration and the tables of [plugin.NAME] [default: the one of the same file].
    #[arg(long, value_name = "NAME", requires = "record")]
    of: Option<String>,
    /// Only changes of this table, as public.people; may be given several times.
    #[arg(long, value_name = "TABLE", requires = "record")]
    table: Vec<String>,
    /// Also changes that a plugin protects, with the values that it covers.
    #[arg(long, requires = "record")]
    include_protected_values: bool,
}

impl RecordArgs {
    /// Whether a fixture is to be recorded.
    pub fn is_asked(&self) -> bool {
        self.record.is_some()
    }
}

/// Records a fixture where one is asked for, and says what it has.
pub fn execute(
    args: &RecordArgs,
    plugin: &PluginArgs,
    folder: &Path,
) -> Result<Option<String>, Exit> {
    let Some(changes) = args.record else { return Ok(None) };
    let config = run::load(&ConfigArgs { config: args.config.clone() })?;
    let of = plugin_of(args, plugin, &config)?;
    let request = Request::Record(Wanted {
        plugin: of.map(|plugin| plugin.name.clone()),
        tables: args.table.clone(),
        changes,
        include_protected_values: args.include_protected_values,
    });
    let recording = match ask(&config.log.dir, &request) {
        Ok(Answer::Recorded(recording)) => recording,
        Ok(_) => return Err(Exit::failed(&other_answer())),
        Err(halt) => return Err(Exit::failed(&halt)),
    };
    let (definitions, changes) = read(&recording).ok_or_else(|| Exit::failed(&other_answer()))?;
    let written = of.and_then(|plugin| {
        let text = std::fs::read_to_string(&args.config).ok()?;
        offtake_config::written_plugin_config(&text, &plugin.name)
    });
    record::write(folder, &definitions, &changes, written.as_deref())
        .map_err(|mistake| Exit::configuration(mistake.to_string()))?;
    let tables: Vec<String> = definitions.iter().map(TableSchema::qualified_name).collect();
    let configured = match of {
        Some(plugin) => format!("with the configuration of plugin {:?}", plugin.name),
        None => "without a configuration: no plugin of the gateway is of this file".to_owned(),
    };
    let (count, tables) = (changes.len(), tables.join(", "));
    Ok(Some(format!("recorded {count} changes of {tables}, {configured}")))
}

/// The gateway's plugin that is tested: the one that is named, or the only one of the same file.
fn plugin_of<'c>(
    args: &RecordArgs,
    tested: &PluginArgs,
    config: &'c Config,
) -> Result<Option<&'c Plugin>, Exit> {
    if let Some(name) = &args.of {
        let found = config.plugins.iter().find(|plugin| plugin.name == *name);
        return found.map(Some).ok_or_else(|| {
            let message = format!("there is no plugin {name:?} in {}", args.config.display());
            usage("PLUGIN_UNKNOWN", message, "take a name of a [plugin.NAME]".to_owned())
        });
    }
    let path = tested.path().canonicalize().ok();
    let is_same = |plugin: &&Plugin| match &plugin.wasm {
        PluginSource::Builtin(name) => {
            tested.plugin.strip_prefix("builtin:") == Some(name.as_str())
        }
        PluginSource::Path(of) => path.is_some() && of.canonicalize().ok() == path,
    };
    let same: Vec<&Plugin> = config.plugins.iter().filter(is_same).collect();
    match same[..] {
        [] => Ok(None),
        [plugin] => Ok(Some(plugin)),
        _ => {
            let names: Vec<&str> = same.iter().map(|plugin| plugin.name.as_str()).collect();
            let message = format!("{} is {} plugins of the gateway", tested.plugin, names.len());
            let next = format!("name one with --of: {}", names.join(", "));
            Err(usage("PLUGIN_AMBIGUOUS", message, next))
        }
    }
}

/// The definitions and changes; `None`: they are of another version.
fn read(recording: &Recording) -> Option<(Vec<TableSchema>, Vec<Vec<u8>>)> {
    let definition = |text: &String| {
        let message = v1::Schema::decode(&STANDARD.decode(text).ok()?[..]).ok()?;
        TableSchema::from_proto(&message).ok()
    };
    let definitions = recording.definitions.iter().map(definition).collect::<Option<_>>()?;
    let changes = recording.changes.iter().map(|text| STANDARD.decode(text).ok());
    Some((definitions, changes.collect::<Option<_>>()?))
}
