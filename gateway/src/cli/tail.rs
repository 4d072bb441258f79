//! `offtake tail`: an ordinary subscriber that prints.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use offtake_log::Selection;
use offtake_proto::v1;
use offtake_proto::v1::frame::Control;
use offtake_proto::v1::offtake_client::OfftakeClient;
use prost::Message;

use super::{ConfigArgs, Exit, ExitCode, render};
use crate::pipeline::{Halt, chain_text};

/// Streams that a hint names before it says how many more there are.
const LISTED_STREAMS: usize = 20;

/// Arguments of `tail`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  offtake tail                                   from now on, all streams
  offtake tail --from earliest --count 10        the first ten changes that are still there
  offtake tail --stream 'shop.public.*' --format json | jq .after
  offtake tail --count 10 --cursors              ... and where to go on: --from CURSOR

Streams are named {name}.{schema}.{table} unless a route says otherwise. Where --stream matches
none, tail lists those that there are and waits for one to begin. A subscription that breaks ends
with the command that goes on after the last printed change.

In JSON, op is c (insert), u (update), d (delete), r (row of a snapshot), t (truncate) or m (logical
message); `unchanged` names large values that the update left alone and the log does not repeat.

Exit status: 0 printed what was asked for or Ctrl-C, 1 no gateway answers or the subscription ended
with the code that is shown, 2 wrong usage or configuration.")]
pub struct TailArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The gateway's gRPC address; default: [grpc] listen of the configuration file.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// A stream's name or glob; may be given several times. Default: all streams.
    #[arg(short, long, value_name = "GLOB")]
    stream: Vec<String>,
    /// Where to begin: `latest`, `earliest`, or a cursor that `--cursors` printed.
    #[arg(long, default_value = "latest", value_name = "PLACE")]
    from: String,
    /// End after that many changes.
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// How to print; default: readable on a terminal, JSON lines elsewhere.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// At the end, Ctrl-C included, print the cursor after the last change to standard error.
    #[arg(long)]
    cursors: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object a line.
    Json,
    /// One readable line a change.
    Text,
}

impl TailArgs {
    /// What the demo shows: all streams from the beginning, readable.
    pub fn for_demo(address: &str, count: Option<u64>) -> TailArgs {
        TailArgs {
            config: ConfigArgs { config: "offtake.toml".into() },
            address: Some(address.to_owned()),
            stream: Vec::new(),
            from: "earliest".to_owned(),
            count,
            format: Some(Format::Text),
            cursors: false,
        }
    }
}

/// Runs `tail`.
pub fn execute(args: &TailArgs) -> Exit {
    execute_until(args, std::future::pending())
}

/// Runs `tail` until it ends, or until `stop` is done.
pub fn execute_until(args: &TailArgs, stop: impl Future<Output = ()>) -> Exit {
    let address = match &args.address {
        Some(address) => address.clone(),
        None => match super::run::load(&args.config) {
            Ok(config) => match &config.grpc {
                Some(grpc) => grpc.listen.to_string(),
                None => {
                    return Exit::configuration(
                        "this configuration has no [grpc] listener; name one with --address",
                    );
                }
            },
            Err(exit) => return exit,
        },
    };
    let start = match start(&args.from) {
        Ok(start) => start,
        Err(halt) => return Exit::configuration(super::exit::message(&halt)),
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Exit::with(ExitCode::Failed, "cannot start the runtime");
    };
    runtime.block_on(async {
        let mut tail = Tail::new(args);
        let outcome = tokio::select! {
            outcome = tail.follow(&address, start) => outcome,
            _ = tokio::signal::ctrl_c() => Ok(()),
            () = stop => Ok(()),
        };
        tail.print_cursor();
        match outcome {
            Ok(()) => Exit::done(),
            Err(halt) => Exit::failed(&halt),
        }
    })
}

struct Tail<'a> {
    args: &'a TailArgs,
    format: Format,
    color: bool,
    token: Bytes,
    streams: HashMap<u32, String>,
    schemas: HashMap<u32, v1::Schema>,
    parts: Vec<u8>,
    left: Option<u64>,
    /// Everything of this subscription up to here is printed.
    printed: u64,
}

impl<'a> Tail<'a> {
    fn new(args: &'a TailArgs) -> Tail<'a> {
        let terminal = std::io::stdout().is_terminal();
        let default = if terminal { Format::Text } else { Format::Json };
        Tail {
            args,
            format: args.format.unwrap_or(default),
            color: terminal,
            token: Bytes::new(),
            streams: HashMap::new(),
            schemas: HashMap::new(),
            parts: Vec::new(),
            left: args.count,
            printed: 0,
        }
    }

    async fn follow(
        &mut self,
        address: &str,
        start: v1::subscribe_request::Start,
    ) -> Result<(), Halt> {
        let unreachable = |cause: String| {
            Halt::new(
                "TAIL_UNREACHABLE",
                format!("no gateway answers at {address}: {cause}"),
                "start it with `offtake run`, or name its address with --address",
            )
        };
        let mut client = OfftakeClient::connect(format!("http://{address}"))
            .await
            .map_err(|error| unreachable(chain_text(&error)))?
            .max_decoding_message_size(64 << 20);
        let request = v1::SubscribeRequest {
            streams: self.args.stream.clone(),
            start: Some(start),
            ..Default::default()
        };
        let mut frames = client
            .subscribe(request)
            .await
            .map_err(|status| {
                Halt::new(
                    "TAIL_REFUSED",
                    format!("the gateway refused the subscription: {}", status.message()),
                    "correct --stream as the message says, or run `offtake tail` again",
                )
            })?
            .into_inner();
        // Only a hint: where it cannot be had, the subscription itself tells what is wrong.
        if !self.args.stream.is_empty()
            && let Ok(reply) = client.describe(v1::DescribeRequest::default()).await
        {
            self.print_hints(reply.into_inner());
        }
        let mut out = std::io::stdout().lock();
        loop {
            let frame = frames.message().await.map_err(|status| {
                self.broken(std::error::Error::source(&status).is_some(), status.message())
            })?;
            let Some(frame) = frame else { return Err(self.broken(true, "")) };
            if self.take(frame, &mut out)? {
                return Ok(());
            }
        }
    }

    /// Says which streams there are when a glob matches none. A stream may begin later, so the
    /// subscription waits all the same.
    fn print_hints(&self, reply: v1::DescribeReply) {
        let names: Vec<String> = reply.streams.into_iter().map(|stream| stream.name).collect();
        for hint in self.args.stream.iter().filter_map(|glob| hint_of_no_stream(glob, &names)) {
            eprintln!("{hint}");
        }
    }

    /// A subscription that broke without the gateway's word: it was killed, or the network failed.
    fn broken(&self, is_transport: bool, message: &str) -> Halt {
        // The client's own words for it are about HTTP/2 and help nobody.
        let cause = if is_transport {
            "the connection to the gateway broke".to_owned()
        } else {
            format!("the subscription ended: {message}")
        };
        Halt::new(
            "TAIL_ENDED",
            format!("{cause}; everything up to sequence {} is printed", self.printed),
            format!("when the gateway runs again: {}", self.command_to_resume()),
        )
    }

    /// The command that goes on after what was printed.
    fn command_to_resume(&self) -> String {
        let mut command = "offtake tail".to_owned();
        for stream in &self.args.stream {
            let _ = write!(command, " --stream {}", quoted(stream));
        }
        if self.token.is_empty() {
            return command;
        }
        let _ = write!(command, " --from {}", cursor_text(&self.token, self.printed));
        command
    }

    fn print_cursor(&self) {
        if self.args.cursors && !self.token.is_empty() {
            eprintln!("cursor: {}", cursor_text(&self.token, self.printed));
        }
    }

    /// Prints what a frame holds; true: enough was printed.
    fn take(&mut self, frame: v1::Frame, out: &mut impl Write) -> Result<bool, Halt> {
        match frame.control {
            Some(Control::Opened(opened)) => {
                self.token = opened.token;
                self.printed = opened.first_sequence.saturating_sub(1);
            }
            Some(Control::Token(token)) => self.token = token.token,
            Some(Control::Stream(stream)) => {
                self.streams.insert(stream.id, stream.name);
            }
            Some(Control::Schema(schema)) => {
                self.schemas.insert(schema.id, schema);
            }
            Some(Control::Part(part)) => {
                self.parts.extend_from_slice(&part.bytes);
                if part.index + 1 == part.of {
                    let whole = std::mem::take(&mut self.parts);
                    let change = v1::Change::decode(whole.as_slice()).map_err(|error| {
                        Halt::new("TAIL_MALFORMED", error.to_string(), "report this as a defect")
                    })?;
                    return Ok(self.print(&change, out));
                }
            }
            Some(Control::Ended(ended)) => {
                let next_step = self.after_ending(&ended);
                return Err(Halt::new(ended.code, ended.text, next_step));
            }
            Some(Control::Progress(progress)) => {
                self.printed = self.printed.max(progress.sequence);
            }
            Some(Control::Snapshot(_) | Control::Notice(_)) | None => {}
        }
        for change in &frame.changes {
            if self.print(change, out) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn print(&mut self, change: &v1::Change, out: &mut impl Write) -> bool {
        let empty = v1::Schema::default();
        let schema = self.schemas.get(&change.schema).unwrap_or(&empty);
        let stream = self.streams.get(&change.stream).map_or("?", String::as_str);
        let line = match self.format {
            Format::Json => render::json_line(change, schema, stream),
            Format::Text => render::readable_line(change, schema, stream, self.color),
        };
        // A closed pipe (`| head`) is the reader's way to say enough.
        if writeln!(out, "{line}").is_err() || out.flush().is_err() {
            return true;
        }
        self.printed = change.sequence;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
        self.left == Some(0)
    }

    /// What to do about a subscription that the gateway ended on purpose.
    fn after_ending(&self, ended: &v1::Ended) -> String {
        let held = ended.earliest.as_ref().map_or(0, |earliest| earliest.sequence);
        match ended.code.as_str() {
            "SHUTTING_DOWN" | "LOG_UNREADABLE" => {
                format!("when the gateway runs again: {}", self.command_to_resume())
            }
            "LOG_DAMAGED" => {
                "the gateway's own log names file and offset; `--from latest` reads what is new"
                    .to_owned()
            }
            "CURSOR_OTHER_SELECTION" => {
                "give the same --stream as when the cursor was printed".to_owned()
            }
            _ => format!("the log still holds what follows sequence {held}: --from earliest"),
        }
    }
}

/// What to say of a glob that matches no stream of the log; `None`: it matches one.
fn hint_of_no_stream(glob: &str, names: &[String]) -> Option<String> {
    let selection = Selection::globs([glob]);
    if names.iter().any(|name| selection.matches(name)) {
        return None;
    }
    let mut hint = format!("no stream matches {} yet, waiting for one to begin", quoted(glob));
    if names.is_empty() {
        hint.push_str("; the log has no stream so far");
    } else {
        let listed: Vec<Cow<'_, str>> =
            names.iter().take(LISTED_STREAMS).map(|name| render::visible(name)).collect();
        let _ = write!(hint, "; there are: {}", listed.join(", "));
        if names.len() > listed.len() {
            let _ = write!(hint, " and {} more", names.len() - listed.len());
        }
    }
    Some(hint)
}

fn quoted(glob: &str) -> String {
    format!("'{}'", render::visible(glob))
}

fn cursor_text(token: &[u8], sequence: u64) -> String {
    let token: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{token}:{sequence}")
}

fn start(from: &str) -> Result<v1::subscribe_request::Start, Halt> {
    use v1::subscribe_request::Start;
    match from {
        "latest" => Ok(Start::Latest(true)),
        "earliest" => Ok(Start::Earliest(true)),
        cursor => parse_cursor(cursor).map(Start::After).ok_or_else(|| {
            Halt::new(
                "TAIL_FROM",
                format!("{cursor:?} is no place to begin"),
                "use latest, earliest, or a cursor that --cursors printed",
            )
        }),
    }
}

fn parse_cursor(text: &str) -> Option<v1::Cursor> {
    let (token, sequence) = text.split_once(':')?;
    let digits: Vec<char> = token.chars().collect();
    let token = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).ok())
        .collect::<Option<Vec<u8>>>()?;
    Some(v1::Cursor { token: token.into(), sequence: sequence.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_cursor_reads_back() {
        let text = cursor_text(&[0, 255, 16], 42);
        assert_eq!(
            parse_cursor(&text),
            Some(v1::Cursor { token: Bytes::from_static(&[0, 255, 16]), sequence: 42 })
        );
        assert_eq!(parse_cursor("nonsense"), None);
        assert_eq!(parse_cursor("zz:1"), None);
    }

    #[test]
    fn a_glob_that_matches_no_stream_is_told_with_those_that_there_are() {
        let names = ["shop.public.orders".to_owned(), "shop.public.customers".to_owned()];
        let hint = hint_of_no_stream("shop.public.order", &names).unwrap();
        assert!(hint.contains("'shop.public.order'") && hint.contains("waiting"), "{hint}");
        assert!(hint.ends_with("there are: shop.public.orders, shop.public.customers"), "{hint}");
        assert_eq!(hint_of_no_stream("*.orders", &names), None);
        let many: Vec<String> = (0..30).map(|number| format!("s{number}")).collect();
        assert!(hint_of_no_stream("x", &many).unwrap().ends_with("s19 and 10 more"));
        assert!(hint_of_no_stream("x", &[]).unwrap().contains("no stream so far"));
    }
}
