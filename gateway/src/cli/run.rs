//! `offtake run`: the pipeline, its listeners and its end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use offtake_config::{Ack, Config, OnHalt};
use offtake_log::Log;
use offtake_sink_grpc::{GrpcOptions, GrpcServer};
use offtake_sink_kafka::{DeadLetters, KafkaSink, Oversize, dead_letters};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::kafka_options::{kafka_options, wants_dead_letters};
use super::{ConfigArgs, Exit, ExitCode, logging};
use crate::admin::{AdminServer, Connection, Observed};
use crate::control::{ControlServer, Desk, ReplayDesk};
use crate::pipeline::{
    Accepted, Ended, Halt, Parts, Reloader, Running, State, StateCell, watch_plugins,
};

/// How long a stop may drain. A second signal ends at once.
const DRAIN: Duration = Duration::from_secs(4);

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Creates slot and publication where they are missing and the log is empty, copies the tables, then
follows the database. Started again, it goes on where it was. Look first: `offtake check`.

The first SIGTERM or Ctrl-C drains and stops within 5 s; a second one ends at once and loses
nothing. A pipeline that cannot go on says HALTED with a code, a cause and a next step, keeps its
place and goes on serving its log; with on_halt = \"exit\" it ends.

Log lines go to standard error, as JSON where that is no terminal. OFFTAKE_LOG chooses them:
`debug` for all parts, `offtake_source_postgres=debug,info` for one.

Examples:
  offtake run                       on ./offtake.toml
  OFFTAKE_LOG=debug offtake run -c /etc/offtake/shop.toml

Exit status: 0 stopped as told, 1 failed, 2 wrong configuration, 3 halted with on_halt = \"exit\".")]
pub struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Let the plugins and routes as they are now take the rest of this transaction, whose first
    /// rows others took (see PIPELINE_CHANGED_MIDWAY).
    #[arg(long, value_name = "TRANSACTION")]
    accept_plugins_midway: Option<String>,
    /// Use plugins' files as they are, also where a rollback or a refused reload left another
    /// version at work (see PLUGIN_ROLLED_BACK, PLUGIN_REFUSED_BEFORE).
    #[arg(long)]
    accept_plugin_files: bool,
}

/// Reads the configuration, or says what is wrong with it.
pub fn load(args: &ConfigArgs) -> Result<Config, Exit> {
    let environment = |name: &str| std::env::var(name).ok();
    let config = offtake_config::load(&args.config, &environment)
        .map_err(|diagnostics| Exit::configuration(diagnostics.to_string()))?;
    Ok(config)
}

/// Runs the pipeline.
pub fn execute(args: &RunArgs) -> Exit {
    let config = match load(&args.config) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    logging::start();
    let warnings = config.warnings.to_string();
    if !warnings.is_empty() {
        eprintln!("{}", warnings.trim_end());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        return Exit::with(ExitCode::Failed, "cannot start the runtime");
    };
    let exit = runtime.block_on(run(&config, args));
    runtime.shutdown_timeout(Duration::from_millis(500));
    exit
}

async fn run(config: &Config, args: &RunArgs) -> Exit {
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            _ => return Exit::with(ExitCode::Failed, "cannot listen for signals"),
        };
    let gateway = match Gateway::start(config, args).await {
        Ok(gateway) => gateway,
        Err(halt) => return Exit::failed(&halt),
    };
    let halted = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        ended = gateway.running.halted_or_ended() => match ended {
            Ended::Stopped => None,
            Ended::Halted(halt) => Some(halt),
        },
    };
    if let Some(halt) = halted {
        if config.on_halt == OnHalt::Exit {
            gateway.stop().await;
            return Exit::with(ExitCode::Halted, super::exit::message(&halt));
        }
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
    tracing::info!("stopping");
    tokio::select! {
        () = gateway.stop() => Exit::done(),
        _ = terminate.recv() => Exit::with(ExitCode::Failed, "ended without draining"),
        _ = interrupt.recv() => Exit::with(ExitCode::Failed, "ended without draining"),
    }
}

/// Everything that runs.
struct Gateway {
    running: Running,
    log: Log,
    kafka: Arc<Mutex<Option<KafkaSink>>>,
    servers: Vec<JoinHandle<()>>,
    close: watch::Sender<bool>,
}

impl Gateway {
    /// Opens, binds and starts, in that order: nothing touches the source before every listener is
    /// bound and every plugin loaded.
    async fn start(config: &Config, args: &RunArgs) -> Result<Gateway, Halt> {
        let started = Instant::now();
        let state = StateCell::new();
        let beginning = crate::pipeline::beginning(config, kafka_options(config).as_ref())?;
        let accepted = Accepted {
            midway: args.accept_plugins_midway.as_deref(),
            files: args.accept_plugin_files,
        };
        let mut parts = Parts::open(config, accepted, beginning)?;
        if parts.recovered.truncated_bytes > 0 {
            tracing::info!(
                bytes = parts.recovered.truncated_bytes,
                "an unfinished write at the log's end was cut off"
            );
        }
        let log = parts.log.clone();
        let grpc = bind_grpc(config, &parts, &state).await?;
        let admin = bind_admin(config).await?;
        let control = ControlServer::bind(&config.log.dir)?;
        let (router, components) = (parts.router.clone(), parts.components.take());
        let (letters, requests) = dead_letters();
        let kafka = start_kafka(config, &parts, letters)?;
        let offtake_config::Source::Postgres(source) = &config.source;
        if source.ack == Ack::Sinks {
            parts.published = kafka.as_ref().map(KafkaSink::published);
        }
        let kafka = Arc::new(Mutex::new(kafka));
        let running = Running::start(parts, requests, state.clone())?;
        let observed = Arc::new(Observed {
            name: config.name.clone(),
            state,
            log: log.clone(),
            source: Arc::clone(&running.source_status),
            connection: Connection::default(),
            slot: running.slot.clone(),
            counters: Arc::clone(&running.counters),
            commit_to_log: Arc::clone(&running.commit_to_log),
            plugins: Arc::clone(&running.live),
            kafka: Arc::clone(&kafka),
            grpc: grpc.as_ref().map(GrpcServer::status),
            started,
        });
        let reloader = Arc::new(Reloader {
            config_file: args.config.config.clone(),
            config: config.clone(),
            router,
            log: log.clone(),
            live: Arc::clone(&running.live),
            inputs: Arc::clone(&running.inputs),
            switches: running.switches.clone(),
            components: parking_lot::Mutex::new(components),
        });
        let (close, closing) = watch::channel(false);
        tokio::spawn(watch_plugins(Arc::clone(&reloader), closed(closing.clone())));
        let letters = ReplayDesk {
            log: log.clone(),
            stream: offtake_log::dead_letter_stream(&config.name),
            replays: running.replays.clone(),
        };
        let desk = Desk { reloader, letters, trial: tokio::sync::Mutex::default() };
        tokio::spawn(control.serve(Arc::new(desk), closed(closing.clone())));
        tokio::spawn(super::progress::show(Arc::clone(&observed), closing.clone()));
        let mut servers = Vec::new();
        if let Some(server) = grpc {
            tracing::info!(listen = %server.local_addr(), "gRPC is open");
            let closing = closed(closing.clone());
            servers.push(tokio::spawn(async move {
                if let Err(error) = server.serve(closing).await {
                    tracing::error!(%error, "the gRPC server ended");
                }
            }));
        }
        if let Some(server) = admin {
            if let Ok(address) = server.local_addr() {
                tracing::info!(listen = %address, "admin is open");
            }
            let closing = closed(closing);
            servers.push(tokio::spawn(async move {
                if let Err(error) = server.serve(observed, closing).await {
                    tracing::error!(%error, "the admin server ended");
                }
            }));
        }
        Ok(Gateway { running, log, kafka, servers, close })
    }

    /// Source first, then the worker drains, then the sinks and the listeners.
    async fn stop(self) {
        let deadline = Instant::now() + DRAIN;
        self.running.stop();
        let left = deadline.saturating_duration_since(Instant::now());
        if tokio::time::timeout(left, self.running.ended()).await.is_err() {
            tracing::warn!("the pipeline did not drain in time; what is durable is kept");
            // A blocked log would hold the worker for ever.
            self.log.close();
        }
        let kafka = self.kafka.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(kafka) = kafka {
            let left = deadline.saturating_duration_since(Instant::now());
            let _ = tokio::task::spawn_blocking(move || kafka.stop(left)).await;
        }
        self.close.send_replace(true);
        let left =
            deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(300));
        let _ = tokio::time::timeout(left, async {
            for server in self.servers {
                let _ = server.await;
            }
        })
        .await;
    }
}

async fn closed(mut closing: watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn bind_grpc(
    config: &Config,
    parts: &Parts,
    state: &StateCell,
) -> Result<Option<GrpcServer>, Halt> {
    let Some(grpc) = &config.grpc else { return Ok(None) };
    let options = GrpcOptions {
        insecure: grpc.insecure,
        ..GrpcOptions::new(grpc.listen, config.log.dir.join("token.key"))
    };
    let (name, named) = watch::channel(State::Starting.name().to_owned());
    let mut states = state.subscribe();
    tokio::spawn(async move {
        while states.changed().await.is_ok() {
            let state = states.borrow_and_update().name().to_owned();
            name.send_replace(state);
        }
    });
    offtake_sink_grpc::bind(options, parts.log.clone(), named)
        .await
        .map(Some)
        .map_err(|error| Halt::new(error.code(), error.to_string(), error.next_step()))
}

async fn bind_admin(config: &Config) -> Result<Option<AdminServer>, Halt> {
    let Some(admin) = &config.admin else { return Ok(None) };
    AdminServer::bind(admin.listen).await.map(Some).map_err(|error| {
        Halt::new(
            "ADMIN_LISTEN",
            crate::pipeline::chain_text(&error),
            "stop what listens there, or change [admin] listen",
        )
    })
}

fn start_kafka(
    config: &Config,
    parts: &Parts,
    letters: DeadLetters,
) -> Result<Option<KafkaSink>, Halt> {
    let Some(mut options) = kafka_options(config) else { return Ok(None) };
    if wants_dead_letters(config) {
        options.oversize = Oversize::DeadLetter(letters);
    }
    KafkaSink::start(options, parts.log.clone())
        .map(Some)
        .map_err(|error| Halt::new(error.code(), error.to_string(), error.next_step()))
}
