//! Stands before the shared registry, so that one test can have it away or refusing while others use
//! it. Passes bytes on as they are.

use std::io::{Read, Write, copy, sink};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use offtake_tests::registry::SchemaRegistry;

/// What happens to those who connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They reach the registry.
    Open,
    /// They are cut off.
    Shut,
    /// They are told that their login is wrong.
    Unauthorized,
}

/// The gate; it stands until the process ends.
pub(crate) struct Gate {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    mode: Mode,
    connections: Vec<TcpStream>,
}

impl Gate {
    pub(crate) fn new(mode: Mode) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { mode, connections: Vec::new() }));
        let of_thread = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                meet(&of_thread, stream.unwrap());
            }
        });
        Gate { address, state }
    }

    /// The registry's base URL by way of the gate.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.address, SchemaRegistry::shared().path())
    }

    pub(crate) fn set(&self, mode: Mode) {
        let mut state = self.state.lock().unwrap();
        state.mode = mode;
        for stream in state.connections.drain(..) {
            // It may have ended already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Somebody connects.
fn meet(state: &Mutex<State>, client: TcpStream) {
    let mut state = state.lock().unwrap();
    match state.mode {
        Mode::Shut => {}
        Mode::Unauthorized => {
            thread::spawn(move || refuse(client));
        }
        Mode::Open => {
            let registry = TcpStream::connect(SchemaRegistry::shared().address()).unwrap();
            for stream in [&client, &registry] {
                state.connections.push(stream.try_clone().unwrap());
            }
            pass(client.try_clone().unwrap(), registry.try_clone().unwrap());
            pass(registry, client);
        }
    }
}

fn refuse(mut client: TcpStream) {
    // Not before something was asked.
    if client.read(&mut [0; 4096]).is_ok_and(|bytes| bytes > 0) {
        let answer = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        // Reading on until the client hangs up keeps the answer from being lost with a reset.
        let _ = client.write_all(answer.as_bytes());
        let _ = client.shutdown(Shutdown::Write);
        let _ = copy(&mut client, &mut sink());
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // Either side may be cut off.
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}
