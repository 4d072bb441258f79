//! The `offtake.v1.Offtake` service on the level of HTTP.
//!
//! It is written by hand where tonic would generate it, because a generated one encodes every
//! message of every subscriber; here the response body hands on the log's bytes. Requests are one
//! gRPC message of at most 64 KiB, not compressed.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Limited, StreamBody};
use offtake_log::Log;
use offtake_proto::v1;
use prost::Message;
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::server::TcpConnectInfo;
use tower_service::Service;

use crate::describe::describe;
use crate::frame::{self, PREFIX_BYTES};
use crate::open::{Opened, open};
use crate::options::{GrpcOptions, MAX_REQUEST_BYTES, REQUEST_TIMEOUT};
use crate::status::GrpcStatus;
use crate::subscription::trailers;
use crate::token::TokenKey;

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) log: Log,
    pub(crate) key: TokenKey,
    pub(crate) options: GrpcOptions,
    pub(crate) status: Arc<GrpcStatus>,
    pub(crate) state: watch::Receiver<String>,
    pub(crate) shutdown: watch::Receiver<bool>,
}

/// The service.
#[derive(Clone)]
pub(crate) struct OfftakeService(pub(crate) Arc<Shared>);

impl NamedService for OfftakeService {
    const NAME: &'static str = "offtake.v1.Offtake";
}

impl Service<Request<Body>> for OfftakeService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            Ok(answer(&shared, request).await.unwrap_or_else(|status| status.into_http()))
        })
    }
}

async fn answer(shared: &Shared, request: Request<Body>) -> Result<Response<Body>, Status> {
    match request.uri().path() {
        "/offtake.v1.Offtake/Subscribe" => {
            let peer = peer(&request);
            let request: v1::SubscribeRequest = read_request(request).await?;
            Ok(match open(shared, &request, peer)? {
                Opened::Running(subscription) => response(StreamBody::new(stream::unfold(
                    subscription,
                    |mut subscription| async move {
                        let frame = subscription.next().await?;
                        Some((Ok::<_, Infallible>(frame), subscription))
                    },
                ))),
                Opened::Ended(bytes, status) => response(finite(bytes, &status)),
            })
        }
        "/offtake.v1.Offtake/Describe" => {
            let request: v1::DescribeRequest = read_request(request).await?;
            let reply = describe(shared, &request)?;
            Ok(response(finite(frame::message(&reply), &Status::ok(""))))
        }
        _ => Err(Status::unimplemented("the service has the methods Subscribe and Describe")),
    }
}

fn peer(request: &Request<Body>) -> Option<SocketAddr> {
    request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr)
}

/// Reads the one message of a request.
async fn read_request<M: Message + Default>(request: Request<Body>) -> Result<M, Status> {
    let body = Limited::new(request.into_body(), PREFIX_BYTES + MAX_REQUEST_BYTES);
    let collected = tokio::time::timeout(REQUEST_TIMEOUT, body.collect())
        .await
        .map_err(|_| Status::deadline_exceeded("the request did not arrive in time"))?
        .map_err(|error| match error.downcast::<http_body_util::LengthLimitError>() {
            Ok(_) => Status::resource_exhausted(format!(
                "the request is larger than {MAX_REQUEST_BYTES} bytes"
            )),
            Err(_) => Status::cancelled("the request was cut off"),
        })?;
    let mut message = collected.to_bytes();
    if message.len() < PREFIX_BYTES {
        return Err(Status::invalid_argument("the request has no message"));
    }
    if message.get_u8() != 0 {
        return Err(Status::unimplemented("compressed requests are not supported"));
    }
    if usize::try_from(message.get_u32()) != Ok(message.remaining()) {
        return Err(Status::invalid_argument("the request is not exactly one message"));
    }
    M::decode(message).map_err(|_| Status::invalid_argument("the request cannot be decoded"))
}

/// A body of one message and its trailers.
fn finite(
    message: Bytes,
    status: &Status,
) -> impl http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static {
    let frames = [Frame::data(message), Frame::trailers(trailers(status))];
    StreamBody::new(stream::iter(frames.map(Ok)))
}

fn response<B>(body: B) -> Response<Body>
where
    B: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use offtake_change::{Form, TableSchema};
    use offtake_log::{Control, LogOptions, LogWriter};

    /// A log and what requests share, without a listener.
    pub(crate) struct Rig {
        pub(crate) shared: Shared,
        pub(crate) shutdown: watch::Sender<bool>,
        writer: LogWriter,
        _folder: tempfile::TempDir,
    }

    impl Rig {
        pub(crate) fn new() -> Rig {
            let folder = tempfile::tempdir().unwrap();
            let mut options = LogOptions::new(folder.path().join("log"));
            options.reserve_bytes = 0;
            let opened = offtake_log::open(options).unwrap();
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            let options = GrpcOptions::new(listen, folder.path().join("token_key"));
            let (shutdown, stopped) = watch::channel(false);
            let shared = Shared {
                log: opened.log,
                key: TokenKey::load_or_create(&options.token_key).unwrap(),
                options,
                status: Arc::default(),
                state: watch::channel(String::new()).1,
                shutdown: stopped,
            };
            Rig { shared, shutdown, writer: opened.writer, _folder: folder }
        }

        /// Writes one group of equal changes, a transaction.
        pub(crate) fn push(&mut self, changes: usize, bytes: usize) {
            let schema = Arc::new(TableSchema {
                form: Form::Opaque,
                ..TableSchema::new("db", "public", "orders", Vec::new(), &[])
            });
            let stream = self.writer.register_stream("shop.public.orders");
            let schema = self.writer.register_schema(&schema);
            for _ in 0..changes {
                self.writer.push(stream, schema, |sequence, out| {
                    let operation = v1::Operation::Create.into();
                    let payload = vec![7; bytes].into();
                    let change = v1::Change {
                        sequence,
                        stream,
                        schema,
                        operation,
                        payload,
                        ..Default::default()
                    };
                    change.encode_raw(out);
                });
            }
            self.writer.control(Control::TransactionEnd(v1::TransactionEnd {
                transaction: Some(v1::Transaction { commit_unix_us: 1, ..Default::default() }),
                streams: vec![v1::StreamCount { stream, changes: changes as u64 }],
                ..Default::default()
            }));
            self.writer.flush().unwrap();
        }
    }

    #[tokio::test]
    async fn a_request_that_is_not_one_plain_message_is_refused() {
        let rig = Rig::new();
        let long = [&[0, 0, 2, 0, 0][..], &[0; 128 << 10]].concat();
        for (body, code) in [
            (&[][..], tonic::Code::InvalidArgument),
            (&[0, 0, 0], tonic::Code::InvalidArgument),
            (&[1, 0, 0, 0, 0], tonic::Code::Unimplemented),
            (&[0, 0, 0, 0, 1], tonic::Code::InvalidArgument),
            (&[0, 0, 0, 0, 0, 0], tonic::Code::InvalidArgument),
            (&[0, 0, 0, 0, 2, 0x0a, 9], tonic::Code::InvalidArgument),
            (&long, tonic::Code::ResourceExhausted),
        ] {
            let body = Body::new(http_body_util::Full::new(Bytes::copy_from_slice(body)));
            let request = Request::post("/offtake.v1.Offtake/Subscribe").body(body).unwrap();
            assert_eq!(answer(&rig.shared, request).await.unwrap_err().code(), code);
        }
        let request = Request::post("/offtake.v1.Offtake/Commit").body(Body::empty()).unwrap();
        let status = answer(&rig.shared, request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unimplemented);
    }
}
