//! A man in the middle between gateway and server, who can turn rows' messages into messages that
//! no version of the protocol has. It understands no TLS: connect with `sslmode=disable`.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A tag that pgoutput does not have.
pub(crate) const UNKNOWN_TAG: u8 = 0x7a;
/// Where pgoutput's message begins in CopyData: after `w`, two positions and a time.
const TAG_AT: usize = 25;

/// A running proxy. It ends with the test's process.
pub(crate) struct Proxy {
    /// While it is set, an insert reaches the gateway with [`UNKNOWN_TAG`].
    pub(crate) altering: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens at the address and passes on to the server's port.
    pub(crate) fn start(address: SocketAddr, server_port: u16) -> Proxy {
        let listener = TcpListener::bind(address).unwrap();
        let altering = Arc::new(AtomicBool::new(false));
        let for_connections = Arc::clone(&altering);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)) else { continue };
                connect(client, server, &for_connections);
            }
        });
        Proxy { altering }
    }
}

fn connect(client: TcpStream, server: TcpStream, altering: &Arc<AtomicBool>) {
    let (mut from_client, mut to_server) =
        (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        // However this direction ends, the other end is told.
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    let altering = Arc::clone(altering);
    std::thread::spawn(move || {
        let _ = pass_messages(&server, &client, &altering);
        let _ = client.shutdown(Shutdown::Both);
    });
}

fn pass_messages(
    mut server: &TcpStream,
    mut client: &TcpStream,
    altering: &AtomicBool,
) -> std::io::Result<()> {
    let mut message = Vec::new();
    loop {
        let mut head = [0; 5];
        server.read_exact(&mut head)?;
        let [tag, length @ ..] = head;
        let body = (u32::from_be_bytes(length) as usize).saturating_sub(4);
        message.clear();
        message.extend_from_slice(&head);
        message.resize(head.len() + body, 0);
        server.read_exact(&mut message[head.len()..])?;
        let is_change = tag == b'd' && message.get(5) == Some(&b'w');
        if is_change && altering.load(Ordering::Relaxed) && message.get(5 + TAG_AT) == Some(&b'I') {
            message[5 + TAG_AT] = UNKNOWN_TAG;
        }
        client.write_all(&message)?;
    }
}
