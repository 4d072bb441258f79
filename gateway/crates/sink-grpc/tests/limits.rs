//! Limits, slow and many subscribers, and what the server offers beside the stream.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use offtake_proto::v1;
use offtake_sink_grpc::{GrpcOptions, TlsOptions, bind};
use support::{Rig, Subscriber, from_earliest, globs, loopback, until};
use tokio::sync::watch;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// The client's own window of 2 MiB, and less than another of ours.
const STALLED_BYTES: u64 = 3 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_does_not_read_takes_little_and_delays_nobody() {
    let mut rig = Rig::start().await;
    let stalled = rig.subscribe(from_earliest(&[])).await;
    let mut reading = rig.subscribe(from_earliest(&[])).await;
    for _ in 0..64 {
        for _ in 0..64 {
            rig.push("orders", 16 << 10);
        }
        rig.writer.submit().unwrap();
    }
    rig.flush();
    assert_eq!(reading.changes_through(rig.last()).await.len(), 4096);
    let subscribers = rig.status.subscribers();
    assert!(
        subscribers[0].bytes < STALLED_BYTES,
        "{} bytes for a stalled one",
        subscribers[0].bytes
    );
    assert!(subscribers[1].bytes > 64 << 20);
    assert!(!subscribers[0].waiting);
    drop(stalled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_subscribers_get_the_same() {
    let mut rig = Rig::start().await;
    let mut tasks = Vec::new();
    for _ in 0..10 {
        let client = rig.client().await;
        for _ in 0..10 {
            let mut subscriber = Subscriber::open(client.clone(), from_earliest(&[])).await;
            tasks.push(tokio::spawn(async move { subscriber.changes_through(2000).await }));
        }
    }
    for _ in 0..20 {
        for change in 0..100 {
            rig.push(if change % 3 == 0 { "orders" } else { "lines" }, 100);
        }
        rig.flush();
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), rig.written);
    }
    assert_eq!(rig.status.changes(), 200_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_subscriber_too_many_is_refused_until_another_leaves() {
    let rig = Rig::start_with(|_| {}, |options| options.max_subscribers = 2).await;
    let first = rig.subscribe(from_earliest(&[])).await;
    let _second = rig.subscribe(from_earliest(&[])).await;
    let third = Subscriber::try_open(rig.client().await, from_earliest(&[])).await;
    assert_eq!(third.err().unwrap().1.code(), Code::ResourceExhausted);
    drop(first);
    until("a free place", || rig.status.subscriber_count() == 1).await;
    rig.subscribe(from_earliest(&[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_limits_are_refused() {
    let rig = Rig::start().await;
    let refused = async |streams: Vec<String>| {
        let request = v1::SubscribeRequest { streams, ..from_earliest(&[]) };
        let refused = Subscriber::try_open(rig.client().await, request).await;
        refused.err().unwrap().1.code()
    };
    let many: Vec<String> = (0..257).map(|n| format!("s{n}")).collect();
    assert_eq!(refused(many.clone()).await, Code::InvalidArgument);
    assert_eq!(refused(globs(&[""])).await, Code::InvalidArgument);
    assert_eq!(refused(vec!["x".repeat(600)]).await, Code::InvalidArgument);
    assert_eq!(refused(vec!["x".repeat(70_000)]).await, Code::ResourceExhausted);
    let describe = rig
        .client()
        .await
        .describe(v1::DescribeRequest { streams: many, ..Default::default() })
        .await;
    assert_eq!(describe.unwrap_err().code(), Code::InvalidArgument);
    let request = v1::SubscribeRequest { streams: many_allowed(), ..from_earliest(&[]) };
    rig.subscribe(request).await;
}

fn many_allowed() -> Vec<String> {
    (0..256).map(|n| format!("s{n}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_over_the_limit_is_closed() {
    let rig = Rig::start_with(|_| {}, |options| options.max_connections = 1).await;
    let first = rig.subscribe(from_earliest(&[])).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", rig.address)).unwrap();
    let refused = match endpoint.connect().await {
        Err(_) => true,
        Ok(channel) => {
            HealthClient::new(channel).check(HealthCheckRequest::default()).await.is_err()
        }
    };
    assert!(refused);
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_answers_and_reflection_knows_the_service() {
    let rig = Rig::start().await;
    let channel: Channel =
        Endpoint::from_shared(format!("http://{}", rig.address)).unwrap().connect().await.unwrap();
    for service in ["", "offtake.v1.Offtake"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let reply = HealthClient::new(channel.clone()).check(request).await.unwrap();
        assert_eq!(reply.into_inner().status(), ServingStatus::Serving);
    }
    let listed = list_services_v1(channel.clone()).await;
    assert!(listed.contains(&"offtake.v1.Offtake".to_owned()), "{listed:?}");
    assert!(listed.contains(&"grpc.health.v1.Health".to_owned()), "{listed:?}");
    let listed = list_services_v1alpha(channel).await;
    assert!(listed.contains(&"offtake.v1.Offtake".to_owned()), "{listed:?}");
}

macro_rules! list_services {
    ($name:ident, $version:ident) => {
        async fn $name(channel: Channel) -> Vec<String> {
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            let request = ServerReflectionRequest {
                host: String::new(),
                message_request: Some(MessageRequest::ListServices(String::new())),
            };
            let requests = futures_util::stream::iter([request]);
            let mut client = ServerReflectionClient::new(channel);
            let replies = client.server_reflection_info(requests).await.unwrap();
            let reply = replies.into_inner().message().await.unwrap().unwrap();
            match reply.message_response {
                Some(MessageResponse::ListServicesResponse(list)) => {
                    list.service.into_iter().map(|service| service.name).collect()
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    };
}
list_services!(list_services_v1, v1);
list_services!(list_services_v1alpha, v1alpha);

async fn bind_to(change: impl FnOnce(&mut GrpcOptions)) -> Result<SocketAddr, &'static str> {
    let folder = tempfile::tempdir().unwrap();
    let opened =
        offtake_log::open(offtake_log::LogOptions::new(folder.path().join("log"))).unwrap();
    let mut options = GrpcOptions::new(loopback(), folder.path().join("token_key"));
    change(&mut options);
    let (_state, state) = watch::channel(String::new());
    match bind(options, opened.log, state).await {
        Ok(server) => Ok(server.local_addr()),
        Err(error) => {
            assert!(!error.next_step().is_empty());
            Err(error.code())
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listening_beyond_loopback_without_tls_is_refused_unless_insecure() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let refused = bind_to(|options| options.listen = listen.parse().unwrap()).await;
        assert_eq!(refused, Err("GRPC_INSECURE_LISTEN"), "{listen}");
    }
    assert!(bind_to(|_| {}).await.is_ok());
    // An address that no machine here has: allowed, then not bindable.
    let allowed = bind_to(|options| {
        options.listen = "192.0.2.1:0".parse().unwrap();
        options.insecure = true;
    });
    assert_eq!(allowed.await, Err("GRPC_LISTEN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_or_a_bad_key_or_certificate_is_named() {
    let taken = std::net::TcpListener::bind(loopback()).unwrap();
    let listen = taken.local_addr().unwrap();
    assert_eq!(bind_to(|options| options.listen = listen).await, Err("GRPC_LISTEN"));
    let nowhere = bind_to(|options| options.token_key = "/nonexistent/token_key".into()).await;
    assert_eq!(nowhere, Err("GRPC_TOKEN_KEY"));
    let absent = TlsOptions { cert: "/nonexistent".into(), key: "/nonexistent".into() };
    assert_eq!(bind_to(|options| options.tls = Some(absent)).await, Err("GRPC_TLS"));
}

fn test_certificate(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_serves_the_same_and_a_plain_client_gets_nothing() {
    let tls =
        TlsOptions { cert: test_certificate("server.pem"), key: test_certificate("server.key") };
    let mut rig = Rig::start_with(|_| {}, |options| options.tls = Some(tls)).await;
    rig.push("orders", 10);
    rig.flush();
    let authority = std::fs::read(test_certificate("server.pem")).unwrap();
    let config = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(authority))
        .domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://{}", rig.address)).unwrap();
    let channel = endpoint.tls_config(config).unwrap().connect().await.unwrap();
    let client = v1::offtake_client::OfftakeClient::new(channel);
    let mut subscriber = Subscriber::open(client, from_earliest(&[])).await;
    assert_eq!(subscriber.changes_through(1).await, rig.written);
    assert!(rig.status.subscribers()[0].peer.is_some());
    let plain = async {
        let channel = Endpoint::from_shared(format!("http://{}", rig.address)).unwrap();
        let channel = channel.connect().await.map_err(|_| ())?;
        HealthClient::new(channel).check(HealthCheckRequest::default()).await.map_err(|_| ())
    };
    let plain = tokio::time::timeout(Duration::from_secs(15), plain).await;
    assert!(!matches!(plain, Ok(Ok(_))), "a plain client was served");
}
