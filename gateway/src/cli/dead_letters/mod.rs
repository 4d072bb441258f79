//! `offtake dead-letters`: what plugins and Kafka could not take, and how it comes again.
//!
//! Here is what can be asked for. Letters are read from the running gateway (`gateway`), or from the
//! log where none runs (`folder`); what one says is
//! `crate::dead_letter`, how it is printed is `print`; `replay` asks the running gateway.

mod folder;
mod gateway;
mod print;
mod replay;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use offtake_log::Selection;
use offtake_proto::v1;
use prost::Message;

use self::print::Change;
use super::{ConfigArgs, Exit, ExitCode};
use crate::dead_letter::Letter;
use crate::pipeline::Halt;

/// Letters that `list` shows where it is not told how many.
const LISTED: usize = 100;

/// Subcommands of `dead-letters`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  offtake dead-letters list --since 1h       what was set aside within the last hour
  offtake dead-letters show 4711             everything of one letter, the change included
  offtake dead-letters replay 4711           read its row again and send it")]
pub enum DeadLettersCommand {
    /// List dead letters, oldest first. Shows no value of a row.
    List(ListArgs),
    /// Show everything of one dead letter, the change that it holds included.
    Show(ShowArgs),
    /// Read the rows of dead letters again and send them, each in its right place.
    Replay(replay::ReplayArgs),
}

/// Where dead letters are read.
#[derive(Clone, Debug, Args)]
struct PlaceArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The gateway's gRPC address; default: [grpc] listen of the configuration file.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
}

/// Which dead letters are meant. All that are given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
struct Filters {
    /// Letters of changes for streams of that name or glob.
    #[arg(long, value_name = "GLOB")]
    stream: Option<String>,
    /// Letters of a table: a name or glob over `schema.table`.
    #[arg(long, value_name = "GLOB")]
    table: Option<String>,
    /// Letters that this plugin wrote; `kafka` for those of the Kafka sink.
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Letters with that error code.
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Letters of the last time of that length, as in 30m or 1d.
    #[arg(long, value_name = "DURATION", value_parser = offtake_config::duration)]
    since: Option<Duration>,
}

/// Arguments of `dead-letters list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  offtake dead-letters list
  offtake dead-letters list --table 'public.*' --code PLUGIN_TRAP --since 1d
  offtake dead-letters list --json | jq -r .code | sort | uniq -c

The log's retention deletes dead letters as it deletes changes. ROW says whether the letter holds the
change; where a plugin protects something it does not.

Exit status: 0 listed, also where there is none, 1 neither gateway nor log can be read, 2 wrong usage
or configuration.")]
pub struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    filters: Filters,
    /// The newest that many of them; 0: all.
    #[arg(short = 'n', long, default_value_t = LISTED, value_name = "N")]
    limit: usize,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Arguments of `dead-letters show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the row as it came from the source, before any plugin, so treat what it prints like the table.

Examples:
  offtake dead-letters show 4711
  offtake dead-letters show 4711 --json | jq .change.after

Exit status: 0 shown, 1 there is no such letter or it cannot be read, 2 wrong usage or
configuration.")]
pub struct ShowArgs {
    /// The letter's own sequence, as `list` prints it.
    sequence: u64,
    #[command(flatten)]
    place: PlaceArgs,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs a subcommand of `dead-letters`.
pub fn execute(command: &DeadLettersCommand) -> Exit {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Exit::with(ExitCode::Failed, "cannot start the runtime");
    };
    runtime.block_on(async {
        let outcome = match command {
            DeadLettersCommand::List(args) => list(args).await,
            DeadLettersCommand::Show(args) => show(args).await,
            DeadLettersCommand::Replay(args) => replay::execute(args).await,
        };
        outcome.unwrap_or_else(|exit| exit)
    })
}

async fn list(args: &ListArgs) -> Result<Exit, Exit> {
    let mut newest = Newest::new(args.limit);
    let filters = args.filters.compile();
    args.place
        .read(0, &mut |letter| {
            if filters.take(&letter) {
                newest.push(letter);
            }
            true
        })
        .await?;
    match args.json {
        true => newest.letters.iter().for_each(|letter| say!("{}", letter.json())),
        false => print::table(newest.letters.make_contiguous(), newest.matched),
    }
    Ok(Exit::done())
}

async fn show(args: &ShowArgs) -> Result<Exit, Exit> {
    let mut found = None;
    let place = args
        .place
        .read(args.sequence.saturating_sub(1), &mut |letter| {
            let (wanted, at) = (args.sequence, letter.sequence);
            if at == wanted {
                found = Some(letter);
            }
            at < wanted
        })
        .await?;
    let Some(letter) = found else {
        return Err(Exit::failed(&Halt::new(
            "DEAD_LETTER_UNKNOWN",
            format!("{} is not the sequence of a dead letter that the log holds", args.sequence),
            "`offtake dead-letters list` prints the sequences that there are",
        )));
    };
    let change = change_of(&place, &letter).await.map_err(|halt| Exit::failed(&halt))?;
    match args.json {
        true => say!("{}", print::whole_json(&letter, &change)),
        false => print::whole(&letter, &change),
    }
    Ok(Exit::done())
}

/// The newest letters, of which there may be more than are wanted.
struct Newest {
    limit: usize,
    letters: std::collections::VecDeque<Letter>,
    matched: usize,
}

impl Newest {
    /// `limit` 0: all.
    fn new(limit: usize) -> Newest {
        Newest { limit, letters: std::collections::VecDeque::new(), matched: 0 }
    }

    fn push(&mut self, letter: Letter) {
        self.matched += 1;
        // The change is not listed, and a thousand of them may be a lot.
        self.letters.push_back(letter.without_change());
        if self.limit > 0 && self.letters.len() > self.limit {
            self.letters.pop_front();
        }
    }
}

impl Filters {
    /// Whether none is given.
    fn is_empty(&self) -> bool {
        *self == Filters::default()
    }

    fn compile(&self) -> Compiled<'_> {
        let globs = |glob: &Option<String>| match glob {
            Some(glob) => Selection::globs([glob]),
            None => Selection::all(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        Compiled {
            stream: globs(&self.stream),
            table: globs(&self.table),
            plugin: self.plugin.as_deref(),
            code: self.code.as_deref(),
            since_unix_ns: i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        }
    }
}

/// [`Filters`], ready to be asked.
struct Compiled<'f> {
    stream: Selection,
    table: Selection,
    plugin: Option<&'f str>,
    code: Option<&'f str>,
    since_unix_ns: i64,
}

impl Compiled<'_> {
    fn take(&self, letter: &Letter) -> bool {
        self.stream.matches(&letter.stream)
            && self.table.matches(&letter.qualified_table())
            && self.plugin.is_none_or(|plugin| letter.origin == plugin)
            && self.code.is_none_or(|code| letter.code == code)
            && letter.written_unix_ns >= self.since_unix_ns
    }
}

impl PlaceArgs {
    /// Reads dead letters after a sequence until `take` says that it was enough.
    async fn read(&self, after: u64, take: &mut dyn FnMut(Letter) -> bool) -> Result<Place, Exit> {
        let failed = |halt: Halt| Exit::failed(&halt);
        if let Some(address) = &self.address {
            let gateway = gateway::Gateway::at(address.clone());
            let stream = format!("*{}", offtake_log::dead_letter_stream(""));
            gateway.read(&stream, after, take).await.map_err(failed)?;
            return Ok(Place::Gateway(gateway));
        }
        let config = super::run::load(&self.config)?;
        let stream = offtake_log::dead_letter_stream(&config.name);
        let unreachable = match &config.grpc {
            Some(grpc) => {
                let gateway = gateway::Gateway::at(grpc.listen.to_string());
                match gateway.read(&stream, after, take).await {
                    Ok(()) => return Ok(Place::Gateway(gateway)),
                    Err(halt) if halt.code == gateway::UNREACHABLE => failed(halt),
                    Err(halt) => return Err(failed(halt)),
                }
            }
            None => Exit::configuration(
                "the gateway runs, and this configuration has no [grpc] listener; name one with \
                 --address, or stop the gateway",
            ),
        };
        let folder = folder::Folder::open(&config.log.dir).map_err(failed)?;
        let Some(folder) = folder else { return Err(unreachable) };
        eprintln!("no gateway runs: read from {}", config.log.dir.display());
        folder.read(&stream, after, take).map_err(failed)?;
        Ok(Place::Folder(Box::new(folder)))
    }
}

/// Where letters were read.
enum Place {
    Gateway(gateway::Gateway),
    Folder(Box<folder::Folder>),
}

impl Place {
    /// A definition of the log; `None`: it has none of that number.
    async fn schema(&self, id: u32) -> Result<Option<v1::Schema>, Halt> {
        match self {
            Place::Gateway(gateway) => gateway.schema(id).await,
            Place::Folder(folder) => Ok(folder.schema(id)),
        }
    }
}

/// The change that a letter holds, or why it cannot be shown.
async fn change_of(place: &Place, letter: &Letter) -> Result<Change, Halt> {
    let Some(encoded) = &letter.change else {
        return Ok(Change::Missing(
            "not kept: a plugin on a route to this stream protects something, or no route of the \
             run that wrote the letter led there"
                .to_owned(),
        ));
    };
    let change = v1::Change::decode(encoded.clone()).map_err(|error| {
        Halt::new(
            "DEAD_LETTER_DAMAGED",
            format!("the change of dead letter {} cannot be read: {error}", letter.sequence),
            "report this as a defect",
        )
    })?;
    Ok(match place.schema(change.schema).await? {
        Some(schema) => Change::Held(Box::new(change), Box::new(schema)),
        None => Change::Missing(format!(
            "kept, but the log no longer knows definition {} of its table",
            change.schema
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(sequence: u64, table: &str, code: &str) -> Letter {
        Letter {
            sequence,
            origin: "hide".into(),
            code: code.into(),
            stream: format!("shop.public.{table}"),
            namespace: "public".into(),
            table: table.into(),
            written_unix_ns: 1_000_000_000,
            ..Letter::default()
        }
    }

    #[test]
    fn all_filters_that_are_given_must_fit() {
        let of = |change: fn(&mut Filters)| {
            let mut filters = Filters::default();
            change(&mut filters);
            filters
        };
        let orders = letter(1, "orders", "PLUGIN_TRAP");
        for (filters, expected) in [
            (of(|_| {}), true),
            (of(|it| it.table = Some("public.ord*".into())), true),
            (of(|it| it.table = Some("orders".into())), false),
            (of(|it| it.stream = Some("shop.*".into())), true),
            (of(|it| it.plugin = Some("hide".into())), true),
            (of(|it| it.plugin = Some("kafka".into())), false),
            (of(|it| it.code = Some("PLUGIN_OUTPUT".into())), false),
            (of(|it| it.since = Some(Duration::from_secs(60))), false),
            (of(|it| it.since = Some(Duration::MAX)), true),
            (
                of(|it| {
                    it.table = Some("public.orders".into());
                    it.code = Some("PLUGIN_OUTPUT".into());
                }),
                false,
            ),
        ] {
            assert_eq!(filters.compile().take(&orders), expected, "{filters:?}");
        }
    }

    #[test]
    fn the_newest_are_kept_and_all_are_counted() {
        let mut newest = Newest::new(2);
        (1..=5).for_each(|sequence| newest.push(letter(sequence, "orders", "X")));
        let kept: Vec<u64> = newest.letters.iter().map(|letter| letter.sequence).collect();
        assert_eq!((kept, newest.matched), (vec![4, 5], 5));
    }
}
