//! The gateway as a user runs it: the `offtake` binary with a configuration file of its own.
//!
//! A test kills it, stops it, starts it again on the same log, and reads what it says about itself
//! over HTTP. Crash points and mutations are given through the environment.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::ports::free_address;

/// A gateway's folder, ports and, while it runs, its process.
#[derive(Debug)]
pub struct Gateway {
    /// Configuration, log and output lie here.
    pub folder: PathBuf,
    /// gRPC.
    pub grpc: SocketAddr,
    /// Admin.
    pub admin: SocketAddr,
    /// Further variables of its environment.
    pub environment: Vec<(String, String)>,
    process: Option<Child>,
    starts: u32,
}

/// The `offtake` binary beside the test's own.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let folder = test.ancestors().find(|folder| folder.join("offtake").is_file());
    folder.expect("target/release/offtake is built before the tests run").join("offtake")
}

/// Status code and body of a page of an admin listener.
pub fn get(admin: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&admin, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not HTTP")?;
    let code = head.split(' ').nth(1).context("the answer has no status")?.parse()?;
    Ok((code, body.to_owned()))
}

impl Gateway {
    /// Writes a configuration of `[source]` lines, `rest` (plugins, routes, Kafka …) and listeners
    /// of its own into the folder; starts nothing.
    pub fn new(folder: &Path, name: &str, source: &str, rest: &str) -> Result<Gateway> {
        let (grpc, admin) = (free_address(), free_address());
        std::fs::create_dir_all(folder)?;
        let gateway = Gateway {
            folder: folder.to_path_buf(),
            grpc,
            admin,
            environment: Vec::new(),
            process: None,
            starts: 0,
        };
        let text = format!(
            "name = \"{name}\"\n\n[source]\ntype = \"postgres\"\n{source}\n{rest}\n\n\
             [grpc]\nlisten = \"{grpc}\"\n\n[admin]\nlisten = \"{admin}\"\n"
        );
        std::fs::write(gateway.config(), text)?;
        Ok(gateway)
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("offtake.toml")
    }

    /// Replaces a text of the configuration file, which must be there.
    pub fn edit(&self, from: &str, to: &str) -> Result<()> {
        let text = std::fs::read_to_string(self.config())?;
        if !text.contains(from) {
            bail!("the configuration has no {from:?}");
        }
        Ok(std::fs::write(self.config(), text.replace(from, to))?)
    }

    /// Runs a subcommand to its end: status, standard output, standard error.
    pub fn command(&self, arguments: &[&str]) -> Result<(ExitStatus, String, String)> {
        let mut command = Command::new(binary());
        command.args(arguments).arg("-c").arg(self.config()).current_dir(&self.folder);
        command.envs(self.environment.iter().cloned());
        let output = command.stdin(Stdio::null()).output()?;
        Ok((
            output.status,
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }

    /// Starts the process. `switches` are crash points and mutations.
    pub fn start(&mut self, switches: &str) -> Result<()> {
        self.start_with(switches, &[])
    }

    /// As [`Gateway::start`], with further arguments of `offtake run`.
    pub fn start_with(&mut self, switches: &str, arguments: &[&str]) -> Result<()> {
        assert!(self.process.is_none(), "the gateway runs already");
        self.starts += 1;
        let output = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("gateway.log"))?;
        let process = Command::new(binary())
            .args(["run", "-c"])
            .arg(self.config())
            .args(arguments)
            .envs(self.environment.iter().cloned())
            .env("OFFTAKE_FAILPOINTS", switches)
            .env("OFFTAKE_LOG", std::env::var("OFFTAKE_LOG").unwrap_or("info".to_owned()))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .context("cannot start target/release/offtake")?;
        self.process = Some(process);
        Ok(())
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Waits until `/readyz` says ok and the state is RUNNING: slot made, tables copied.
    pub fn wait_until_ready(&mut self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let mut last = String::new();
        while Instant::now() < deadline {
            if let Some(status) = self.exited()? {
                bail!("the gateway ended with {status}:\n{}", self.output_tail());
            }
            match self.get("/readyz") {
                Ok((200, _)) => {
                    let status = self.status()?;
                    if status["state"] == "RUNNING" {
                        return Ok(());
                    }
                    last = status["state"].to_string();
                }
                Ok((_, body)) => last = body,
                Err(error) => last = error.to_string(),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the gateway is not ready: {last}\n{}", self.output_tail())
    }

    /// Waits until `/status` satisfies the condition, and gives that status.
    pub fn wait_for_status(
        &self,
        what: &str,
        timeout: Duration,
        condition: impl Fn(&serde_json::Value) -> bool,
    ) -> Result<serde_json::Value> {
        let deadline = Instant::now() + timeout;
        let mut last = serde_json::Value::Null;
        while Instant::now() < deadline {
            if let Ok(status) = self.status() {
                if condition(&status) {
                    return Ok(status);
                }
                last = status;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("waited in vain for {what}; last status: {last:#}\n{}", self.output_tail())
    }

    /// The JSON of `/status`.
    pub fn status(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.get("/status")?.1)?)
    }

    /// Status code and body of a page of the admin listener.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        get(self.admin, path)
    }

    /// SIGKILL, and waits for the end. Nothing happens when it has ended already.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            process.wait()?;
        }
        Ok(())
    }

    /// Waits until it was stopped (SIGSTOP), by a switch or by somebody. `false`: it ended before.
    pub fn wait_until_stopped(&mut self, timeout: Duration) -> Result<bool> {
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if self.exited()?.is_some() {
                return Ok(false);
            }
            let pid = self.pid().context("the gateway does not run")?;
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            if status.lines().any(|line| line.starts_with("State:\tT")) {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("the gateway is not stopped\n{}", self.output_tail())
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) -> Result<()> {
        let pid = self.pid().context("the gateway does not run")?;
        let status = Command::new("kill").arg("-CONT").arg(pid.to_string()).status()?;
        ensure!(status.success(), "kill -CONT ended with {status}");
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let process = self.process.as_ref().context("the gateway does not run")?;
        Command::new("kill").arg(process.id().to_string()).status()?;
        self.wait_for_exit(timeout)
    }

    /// Waits for the end, however it comes.
    pub fn wait_for_exit(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the gateway does not end\n{}", self.output_tail())
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        let Some(process) = &mut self.process else { bail!("the gateway was not started") };
        let status = process.try_wait()?;
        if status.is_some() {
            self.process = None;
        }
        Ok(status)
    }

    /// Peak resident memory so far, in bytes.
    pub fn peak_memory_bytes(&self) -> Result<u64> {
        let pid = self.pid().context("the gateway does not run")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM")?;
        let kib: u64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
        Ok(kib << 10)
    }

    /// Everything that it wrote to standard error.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.folder.join("gateway.log")).unwrap_or_default()
    }

    fn output_tail(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
