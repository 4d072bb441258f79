//! `offtake demo`: a throw-away database, an application writing to it, the gateway on the TOML
//! that the README shows, and what a subscriber receives.

mod postgres;
mod shop;
mod stop;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;

use self::postgres::Postgres;
use self::shop::Shop;
use self::stop::Stop;
use super::tail::{self, TailArgs};
use super::{Exit, http};
use crate::pipeline::Halt;

/// How long the gateway may take to be ready.
const READY: Duration = Duration::from_secs(30);
/// Ports of gRPC and admin to try, 0 for any that is free: somebody may take one between the look
/// and the gateway's start.
const PORTS: [[u16; 2]; 3] = [[7070, 7071], [0, 0], [0, 0]];
/// Attempts at removing the demo's folder.
const REMOVALS: usize = 20;

/// Arguments of `demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Needs the programs of a PostgreSQL server (initdb, postgres, psql) and nothing else: the database
listens on 127.0.0.1 on a free port, and your own is left alone.

Examples:
  offtake demo                  until Ctrl-C or SIGTERM; everything is removed at the end
  offtake demo --changes 50     end by itself after 50 changes

Exit status: 0 ended as told, 1 something could not be started.")]
pub struct DemoArgs {
    /// End by itself after that many changes.
    #[arg(long, value_name = "N")]
    changes: Option<u64>,
    /// Where the demo keeps its files; removed at the end.
    #[arg(long, default_value = "target/demo", value_name = "FOLDER")]
    dir: PathBuf,
}

/// Runs `demo`.
pub fn execute(args: &DemoArgs) -> Exit {
    let stop = match Stop::listen() {
        Ok(stop) => stop,
        Err(halt) => return Exit::failed(&halt),
    };
    match Demo::start(args, &stop) {
        Ok(demo) => demo.follow(args, stop),
        // What was started by then has been ended and removed.
        Err(_) if stop.is_told() => Exit::done(),
        Err(halt) => Exit::failed(&halt),
    }
}

/// Everything that the demo started; ended in the order of the fields when dropped.
struct Demo {
    shop: Option<Shop>,
    gateway: Gateway,
    postgres: Postgres,
    folder: Folder,
    grpc: String,
}

/// The demo's folder, removed when dropped.
struct Folder {
    path: PathBuf,
    /// Parents that were made for it, the innermost first: removed where nothing else came in.
    parents: Vec<PathBuf>,
}

/// The gateway as a process of its own, as a user would run it.
struct Gateway(Child);

impl Demo {
    fn start(args: &DemoArgs, stop: &Stop) -> Result<Demo, Halt> {
        let folder = Folder::make(&args.dir)?;
        say!("Starting a throw-away PostgreSQL in {} …", folder.path.display());
        let postgres = Postgres::start(&folder.path, stop)?;
        Shop::create(&postgres)?;
        let config = folder.path.join("offtake.toml");
        let (gateway, grpc, admin) = Gateway::start_on_free_ports(&config, postgres.port, stop)?;
        say!("{}", introduction(postgres.port, &grpc, &admin, &config));
        let shop = Some(Shop::open(&postgres)?);
        Ok(Demo { shop, gateway, postgres, folder, grpc })
    }

    /// Prints what a subscriber receives, until enough or told to stop.
    fn follow(mut self, args: &DemoArgs, stop: Stop) -> Exit {
        let told = stop.clone();
        let shown = TailArgs::for_demo(&self.grpc, args.changes);
        let exit = tail::execute_until(&shown, stop.told());
        // Ctrl-C reaches the gateway as well, which may end its subscribers first.
        let exit = if told.is_told() { Exit::done() } else { exit };
        say!("\nCleaning up …");
        self.shop = None;
        self.gateway.stop();
        drop((self.postgres, self.folder));
        exit
    }
}

impl Folder {
    /// An empty folder at `wanted`, or, where the server's user cannot reach that, a temporary one.
    fn make(wanted: &Path) -> Result<Folder, Halt> {
        let in_the_way = |error: std::io::Error| {
            failed(&format!("cannot make an empty folder at {}: {error}", wanted.display()))
        };
        let make_empty = |folder: &Path| -> std::io::Result<PathBuf> {
            if folder.exists() {
                if !folder.join(".offtake-demo").exists() {
                    return Err(std::io::Error::other("it exists and is not of an earlier demo"));
                }
                std::fs::remove_dir_all(folder)?;
            }
            std::fs::create_dir_all(folder)?;
            std::fs::write(folder.join(".offtake-demo"), "removed when the demo ends\n")?;
            folder.canonicalize()
        };
        let missing = missing_parents(wanted);
        let path = make_empty(wanted).map_err(in_the_way)?;
        let parents = missing.iter().filter_map(|parent| parent.canonicalize().ok()).collect();
        let folder = Folder { path, parents };
        if postgres::can_reach(&folder.path) {
            return Ok(folder);
        }
        drop(folder);
        let elsewhere = std::env::temp_dir().join(format!("offtake-demo-{}", std::process::id()));
        let path = make_empty(&elsewhere).map_err(in_the_way)?;
        Ok(Folder { path, parents: Vec::new() })
    }
}

/// The folders above that are not there yet, the innermost first.
fn missing_parents(folder: &Path) -> Vec<PathBuf> {
    let whole = std::path::absolute(folder).unwrap_or_default();
    let parents = whole.ancestors().skip(1);
    parents.take_while(|parent| !parent.exists()).map(Path::to_owned).collect()
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A server that was just ended may leave a last file between two looks.
        for _ in 0..REMOVALS {
            if std::fs::remove_dir_all(&self.path).is_ok() || !self.path.exists() {
                for parent in &self.parents {
                    // Refused where it is not empty.
                    let _ = std::fs::remove_dir(parent);
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("{} could not be removed", self.path.display());
    }
}

impl Gateway {
    /// Starts on the usual ports, or on others where somebody has them, and waits until it is
    /// ready. Gives its gRPC and admin addresses too.
    fn start_on_free_ports(
        config: &Path,
        database: u16,
        stop: &Stop,
    ) -> Result<(Gateway, String, String), Halt> {
        let log = config.with_file_name("gateway.log");
        for wanted in PORTS {
            let [grpc, admin] = wanted.map(port_or_free);
            let (grpc, admin) = (format!("127.0.0.1:{}", grpc?), format!("127.0.0.1:{}", admin?));
            std::fs::write(config, configuration(database, &grpc, &admin))
                .map_err(|error| failed(&format!("cannot write {}: {error}", config.display())))?;
            let mut gateway = Gateway::start(config, &log)?;
            if gateway.wait_until_ready(&admin, stop)? {
                return Ok((gateway, grpc, admin));
            }
        }
        let log = std::fs::read_to_string(log).unwrap_or_default();
        Err(failed(&format!("the gateway did not become ready:\n{log}")))
    }

    fn start(config: &Path, log: &Path) -> Result<Gateway, Halt> {
        let log = std::fs::File::create(log).map_err(|error| failed(&error.to_string()))?;
        let program = std::env::current_exe().map_err(|error| failed(&error.to_string()))?;
        Command::new(program)
            .args(["run", "-c"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map(Gateway)
            .map_err(|error| failed(&error.to_string()))
    }

    /// `false`: it ended instead, or took too long.
    fn wait_until_ready(&mut self, admin: &str, stop: &Stop) -> Result<bool, Halt> {
        let deadline = Instant::now() + READY;
        let address = admin.parse().map_err(|_| failed("no admin address"))?;
        while Instant::now() < deadline && matches!(self.0.try_wait(), Ok(None)) {
            let is_ready = http::get(address, "/readyz").is_ok_and(|body| body == "ok\n");
            if is_ready && self.answers_at(address) {
                return Ok(true);
            }
            if stop.is_told() {
                return Err(failed("stopped while the gateway started"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(false)
    }

    /// Whether it is this gateway that listens there, and not another demo's.
    fn answers_at(&self, admin: SocketAddr) -> bool {
        let status = http::get(admin, "/status").unwrap_or_default();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap_or_default();
        status["pid"] == self.0.id()
    }

    /// As a user would: SIGTERM, then patience.
    fn stop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(6);
        while Instant::now() < deadline {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The wanted port, or a free one where somebody listens on it or none is wanted (0).
fn port_or_free(wanted: u16) -> Result<u16, Halt> {
    match TcpListener::bind(("127.0.0.1", wanted)) {
        Ok(_) if wanted != 0 => Ok(wanted),
        _ => postgres::free_port(),
    }
}

/// The README's configuration for this shop.
fn configuration(port: u16, grpc: &str, admin: &str) -> String {
    include_str!("shop.toml")
        .replace("{port}", &port.to_string())
        .replace("{grpc}", grpc)
        .replace("{admin}", admin)
}

/// This program as it can be called from the current folder.
fn program() -> String {
    let by_name =
        std::env::args_os().next().filter(|name| Path::new(name).components().count() == 1);
    if let Some(name) = by_name {
        return name.to_string_lossy().into_owned();
    }
    let (Ok(program), Ok(here)) = (std::env::current_exe(), std::env::current_dir()) else {
        return "offtake".to_owned();
    };
    match program.strip_prefix(here) {
        Ok(below) if below.components().count() == 1 => format!("./{}", below.display()),
        Ok(below) => below.display().to_string(),
        Err(_) => program.display().to_string(),
    }
}

fn introduction(port: u16, grpc: &str, admin: &str, config: &Path) -> String {
    let program = program();
    format!(
        "\nRunning now:\n  \
         PostgreSQL   127.0.0.1:{port}, database shop, with an application writing to it\n  \
         Offtake      gRPC {grpc}, admin http://{admin} (/status, /metrics)\n\n\
         Try next, in another terminal:\n  \
         1. {program} tail --address {grpc} --stream 'shop.public.customers'\n  \
         2. psql -h 127.0.0.1 -p {port} -U postgres shop -c \"insert into customers (name, email) \
         values ('You', 'you@example.com')\"\n  \
         3. edit {}, then: {program} check -c {0}\n\n\
         What a subscriber receives, e-mail and card numbers masked by a WebAssembly plugin, \
         cancelled test orders\nleft out by another (Ctrl-C stops and removes everything):\n",
        config.display()
    )
}

fn failed(why: &str) -> Halt {
    Halt::new("DEMO", why.trim(), "put right what it says, then run the demo again")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The configuration that the README's tour shows, without the indent of its list.
    fn of_the_readme() -> String {
        let readme = include_str!("../../../../README.md");
        let block = readme.split("```toml\n").nth(1).expect("the tour has a configuration");
        let block = block.split("```").next().expect("the block ends");
        block.lines().map(|line| line.trim_start().to_owned() + "\n").collect()
    }

    #[test]
    fn the_readmes_configuration_is_valid_and_is_the_demos() {
        let parse = |text: &str| {
            offtake_config::parse(text, Path::new("/shop/offtake.toml"), &|_| None)
                .unwrap_or_else(|errors| panic!("{errors}"))
        };
        let readme = parse(&of_the_readme());
        assert_eq!(readme.warnings.to_string(), "");
        let demo = parse(&configuration(5432, "127.0.0.1:7070", "127.0.0.1:7071"));
        assert_eq!(readme.name, demo.name);
        assert!(readme.plugins == demo.plugins, "the plugins differ");
        assert_eq!(readme.routes, demo.routes);
    }
}
