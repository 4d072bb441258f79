//! Ports of 127.0.0.1 for servers, brokers and gateways.
//!
//! They lie below those that the kernel gives to outgoing connections: whoever is down for a while,
//! or starts a little later than its port was chosen, must find its own free. None is given twice by
//! one process.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Result, bail};

/// Below Linux' range for outgoing connections.
const PORTS: Range<u16> = 10_240..32_768;

static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port that nobody listens on now.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..1000 {
        // Every state is seeded anew, so this is a random number.
        let random = RandomState::new().hash_one(std::process::id());
        let span = u64::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(random % span)?;
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    bail!("127.0.0.1 has no free port")
}

/// An address that nobody listens on now.
///
/// # Panics
/// There is none.
pub fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port().expect("127.0.0.1 has a free port")))
}
