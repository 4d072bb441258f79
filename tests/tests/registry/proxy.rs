//! A proxy in front of the shared registry that wants TLS and a login, one request a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use offtake_tests::registry::SchemaRegistry;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// An authority, and certificates for `localhost` and for a client, signed by it.
pub(crate) fn certificates(folder: &Path) {
    let script = "set -e; new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'; \
        openssl req -x509 $new -days 30 -subj /CN=offtake-test-ca -keyout ca.key -out ca.crt \
            -addext basicConstraints=critical,CA:TRUE; \
        sign() { openssl req $new -subj /CN=$1 -keyout $1.key -out $1.csr; \
            printf \"subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE\\n\" > $1.ext; \
            openssl x509 -req -in $1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -sha256 \
                -extfile $1.ext -out $1.crt; }; \
        sign server; sign client";
    let output = Command::new("sh").arg("-c").arg(script).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
}

/// A proxy that ends with the process.
pub(crate) struct Proxy {
    port: u16,
    served: Arc<AtomicU32>,
}

impl Proxy {
    /// Starts one with the certificates of a folder. `login`: the `Authorization` that it wants;
    /// empty: none.
    pub(crate) fn start(folder: &Path, client_certificates: bool, login: &'static str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::new(AtomicU32::new(0));
        let proxy = Proxy { port, served: Arc::clone(&served) };
        let config = Arc::new(config(folder, client_certificates));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, served) = (Arc::clone(&config), Arc::clone(&served));
                thread::spawn(move || {
                    let connection = ServerConnection::new(config).unwrap();
                    // A client that is refused or goes away is no fault of the proxy's.
                    let _ = serve(StreamOwned::new(connection, stream), login, &served);
                });
            }
        });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}{}", self.port, SchemaRegistry::shared().path())
    }

    /// Requests that came in whole.
    pub(crate) fn served(&self) -> u32 {
        self.served.load(Ordering::Relaxed)
    }
}

fn config(folder: &Path, client_certificates: bool) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.crt")).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_file(folder.join("server.crt")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if client_certificates {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    builder.with_single_cert(chain, key).unwrap()
}

fn serve(
    mut client: StreamOwned<ServerConnection, TcpStream>,
    login: &str,
    served: &AtomicU32,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(&mut client);
    let (mut head, mut length, mut given) = (String::new(), 0, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        match name.to_ascii_lowercase().as_str() {
            "authorization" => given = value.trim().to_owned(),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
        let is_end = line.trim().is_empty();
        if head.is_empty() {
            // A registry answers HTTP/1.0 with a length and closes.
            line = line.replace("HTTP/1.1", "HTTP/1.0");
        }
        head.push_str(&line);
        if is_end {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    served.fetch_add(1, Ordering::Relaxed);
    let answer = if given == login {
        let mut registry = TcpStream::connect(SchemaRegistry::shared().address())?;
        registry.write_all(head.as_bytes())?;
        registry.write_all(&body)?;
        let mut answer = Vec::new();
        registry.read_to_end(&mut answer)?;
        answer
    } else {
        b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\n\r\n"
            .to_vec()
    };
    client.write_all(&answer)?;
    client.conn.send_close_notify();
    client.flush()
}
