//! A broker with every way in: plain text, SASL with and without TLS, and TLS that wants the
//! client's certificate; with an authorizer, so that rights can be given and taken.
//!
//! The users are made here, with their certificates and the key that tokens are signed with.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

use super::clients::Clients;
use super::node::{self, Folder, Node, Plan};
use super::tokens::{AUDIENCE, ISSUER, Signer};
use crate::ports::free_port;

/// The user that may do everything, by each mechanism; its certificate's name too.
pub const USER: &str = "offtake";
/// Its password.
pub const PASSWORD: &str = "right-Passw0rd";
/// A user that may do only what an ACL says.
pub const LIMITED: &str = "limited";

/// A broker with every way in, until it is dropped.
#[derive(Debug)]
pub struct SecureKafka {
    clients: Clients,
    // Dropped before the folder that it lies in.
    node: Node,
    folder: Folder,
    signer: Signer,
    sasl: u16,
    tls: u16,
    sasl_tls: u16,
}

impl SecureKafka {
    /// Starts a broker in a folder of its own.
    ///
    /// # Errors
    /// It cannot be had or does not become ready; the text says why.
    pub fn start() -> Result<SecureKafka> {
        let folder = Folder::new()?;
        certificates(folder.path())?;
        let signer = Signer::new()?;
        fs::write(folder.path().join("keys.json"), signer.public_keys())?;
        fs::write(folder.path().join("right"), PASSWORD)?;
        fs::write(folder.path().join("wrong"), "wrong-Passw0rd")?;
        let (sasl, tls, sasl_tls) = (free_port()?, free_port()?, free_port()?);
        let mut format = vec!["--standalone".to_owned()];
        for user in [USER, LIMITED] {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                format.push("--add-scram".to_owned());
                format.push(format!("{mechanism}=[name={user},password={PASSWORD}]"));
            }
        }
        let plan = Plan {
            id: 1,
            port: free_port()?,
            controllers: vec![(1, free_port()?)],
            listeners: vec![
                ("SASL", "SASL_PLAINTEXT", sasl),
                ("TLS", "SSL", tls),
                ("SASLTLS", "SASL_SSL", sasl_tls),
            ],
            replication: 1,
            properties: properties(folder.path()),
            format,
            heap: "256m",
        };
        let node = Node::format(&plan, folder.path().to_path_buf())?;
        node.launch()?;
        let clients = Clients::new(node.address().to_owned());
        Ok(SecureKafka { clients, node, folder, signer, sasl, tls, sasl_tls })
    }

    /// A broker that every test of this process shares; it ends with the process.
    ///
    /// # Panics
    /// It cannot be had.
    pub fn shared() -> &'static SecureKafka {
        static SHARED: OnceLock<SecureKafka> = OnceLock::new();
        SHARED.get_or_init(|| SecureKafka::start().unwrap_or_else(|error| panic!("{error:#}")))
    }

    /// `host:port` of SASL without TLS.
    pub fn sasl(&self) -> String {
        format!("127.0.0.1:{}", self.sasl)
    }

    /// `host:port` of TLS with the client's certificate.
    pub fn tls(&self) -> String {
        format!("127.0.0.1:{}", self.tls)
    }

    /// `host:port` of SASL within TLS.
    pub fn sasl_tls(&self) -> String {
        format!("127.0.0.1:{}", self.sasl_tls)
    }

    /// A file of the broker's folder: `ca.crt`, `client.crt`, `client.key`, `other-ca.crt`, and
    /// `right` and `wrong`, which hold a password.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What tokens are signed with.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Runs one of Kafka's own tools, by class, to its end, and gives what it printed.
    ///
    /// # Errors
    /// It fails.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> Result<String> {
        node::tool(self.folder.path(), class, arguments)
    }

    /// Gives [`LIMITED`] rights to all topics that begin with a prefix, or takes them.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn rights(&self, give: bool, prefix: &str, operations: &[&str]) -> Result<()> {
        let topics = ["--topic", prefix, "--resource-pattern-type", "prefixed"];
        self.rights_of(LIMITED, give, &topics, operations)
    }

    /// Gives a user rights to a resource, as the tool's own arguments name it, or takes them.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn rights_of(
        &self,
        user: &str,
        give: bool,
        resource: &[&str],
        operations: &[&str],
    ) -> Result<()> {
        let user = format!("User:{user}");
        let mut arguments = vec!["--bootstrap-server", self.brokers()];
        arguments.extend(if give { ["--add"].as_slice() } else { &["--remove", "--force"] });
        arguments.extend(["--allow-principal", &user]);
        arguments.extend(resource);
        for operation in operations {
            arguments.extend(["--operation", operation]);
        }
        self.tool("org.apache.kafka.tools.AclCommand", &arguments).map(drop)
    }

    /// Changes a user's password for SCRAM-SHA-256; one that is not there is made, without a right.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn set_password(&self, user: &str, password: &str) -> Result<()> {
        let config = format!("SCRAM-SHA-256=[iterations=4096,password={password}]");
        let arguments = ["--bootstrap-server", self.brokers(), "--alter", "--add-config", &config];
        let entity = ["--entity-type", "users", "--entity-name", user];
        self.tool("kafka.admin.ConfigCommand", &[&arguments[..], &entity[..]].concat()).map(drop)
    }

    /// The end of the broker's log, for a failing test to print.
    pub fn log_tail(&self) -> String {
        self.node.log_tail()
    }
}

impl Deref for SecureKafka {
    type Target = Clients;

    fn deref(&self) -> &Clients {
        &self.clients
    }
}

fn properties(folder: &Path) -> String {
    let mut lines = vec![
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".to_owned(),
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        format!("super.users=User:ANONYMOUS;User:{USER};User:CN={USER}"),
        // A connection that has logged in by a token ends with the token.
        "connections.max.reauth.ms=3600000".to_owned(),
        format!("sasl.oauthbearer.jwks.endpoint.url=file://{}", folder.join("keys.json").display()),
        format!("sasl.oauthbearer.expected.audience={AUDIENCE}"),
        format!("sasl.oauthbearer.expected.issuer={ISSUER}"),
        "ssl.keystore.type=PEM".to_owned(),
        format!("ssl.keystore.location={}", folder.join("server.pem").display()),
        "ssl.truststore.type=PEM".to_owned(),
        format!("ssl.truststore.location={}", folder.join("ca.crt").display()),
        "listener.name.tls.ssl.client.auth=required".to_owned(),
    ];
    let security = "org.apache.kafka.common.security";
    for listener in ["sasl", "sasltls"] {
        for (mechanism, module) in [
            ("plain", format!("plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\"")),
            ("scram-sha-256", "scram.ScramLoginModule required".to_owned()),
            ("scram-sha-512", "scram.ScramLoginModule required".to_owned()),
            ("oauthbearer", "oauthbearer.OAuthBearerLoginModule required".to_owned()),
        ] {
            let of = format!("listener.name.{listener}.{mechanism}");
            lines.push(format!("{of}.sasl.jaas.config={security}.{module};"));
        }
        lines.push(format!(
            "listener.name.{listener}.oauthbearer.sasl.server.callback.handler.class=\
             {security}.oauthbearer.OAuthBearerValidatorCallbackHandler"
        ));
    }
    lines.join("\n") + "\n"
}

/// A certificate authority, the broker's and a client's certificate by it, and another authority.
fn certificates(folder: &Path) -> Result<()> {
    let script = format!(
        "set -e
        authority() {{ openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=$1 \
            -keyout $1.key -out $1.crt; }}
        signed() {{ openssl req -newkey rsa:2048 -nodes -subj /CN=$2 -keyout $1.key -out $1.csr
            printf 'subjectAltName=IP:127.0.0.1,DNS:localhost' > $1.ext
            openssl x509 -req -in $1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 \
                -extfile $1.ext -out $1.crt; }}
        authority ca; authority other-ca; signed server localhost; signed client {USER}
        cat server.key server.crt ca.crt > server.pem"
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(folder)
        .output()
        .context("openssl cannot be run; install `openssl`")?;
    ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
