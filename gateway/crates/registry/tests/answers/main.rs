//! What the client makes of every answer, right or wrong: a server under the test's control says
//! what no real registry says on demand. Real registries are asked in the workspace's own tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use offtake_registry::{
    Authentication, ProbeOutcome, Reference, Registry, RegistryError, RegistryOptions, SchemaId,
    SchemaType, Wanted,
};
use server::{Answer, Asked, Server, ok, status};

const SCHEMA: &str = r#"{"type":"record","name":"Key","fields":[]}"#;

fn options(urls: &[&str]) -> RegistryOptions {
    RegistryOptions {
        urls: urls.iter().map(|&url| url.to_owned()).collect(),
        timeout: Duration::from_secs(10),
        ..RegistryOptions::default()
    }
}

fn registry(server: &Server) -> Registry {
    Registry::new(&options(&[&server.url])).unwrap()
}

/// One that does not wait long.
fn impatient(server: &Server) -> Registry {
    let timeout = Duration::from_millis(500);
    Registry::new(&RegistryOptions { timeout, ..options(&[&server.url]) }).unwrap()
}

fn register(registry: &Registry) -> Result<SchemaId, RegistryError> {
    registry.register("shop.public.payments-value", SchemaType::Avro, SCHEMA, &[])
}

/// The error that a registration under that answer ends with.
fn refused(answer: impl Fn() -> Answer + Send + Sync + 'static) -> RegistryError {
    let server = Server::start(move |_| answer());
    register(&registry(&server)).unwrap_err()
}

/// The same where the answer does not come in time.
fn late(answer: impl Fn() -> Answer + Send + Sync + 'static) -> RegistryError {
    let server = Server::start(move |_| answer());
    register(&impatient(&server)).unwrap_err()
}

fn head(asked: &Asked, name: &str) -> Option<String> {
    asked.headers.iter().find_map(|header| header.strip_prefix(name)).map(str::to_owned)
}

#[test]
fn a_schema_is_registered_once_and_then_known() {
    let server = Server::start(|_| ok(r#"{"id":41}"#));
    let registry = registry(&server);
    for _ in 0..3 {
        assert_eq!(register(&registry).unwrap(), SchemaId(41));
    }
    let reference = Reference { name: "a.proto".into(), subject: "a".into(), version: 3 };
    let text = "syntax = \"proto3\";";
    registry.register("s", SchemaType::Protobuf, text, std::slice::from_ref(&reference)).unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].line, "POST /subjects/shop.public.payments-value/versions");
    assert_eq!(
        head(&asked[0], "content-type: ").unwrap(),
        "application/vnd.schemaregistry.v1+json"
    );
    assert_eq!(
        asked[0].body,
        r#"{"schema":"{\"type\":\"record\",\"name\":\"Key\",\"fields\":[]}"}"#
    );
    assert_eq!(
        asked[1].body,
        "{\"schema\":\"syntax = \\\"proto3\\\";\",\"schemaType\":\"PROTOBUF\",\"references\":\
         [{\"name\":\"a.proto\",\"subject\":\"a\",\"version\":3}]}"
    );
}

#[test]
fn a_subject_is_one_segment_of_the_path_whatever_it_holds() {
    let server = Server::start(|_| ok(r#"{"id":1}"#));
    registry(&server).register("a/b?c#d%é:.x", SchemaType::Json, "{}", &[]).unwrap();
    assert_eq!(server.asked()[0].line, "POST /subjects/a%2Fb%3Fc%23d%25%C3%A9%3A.x/versions");
}

#[test]
fn without_auto_register_a_schema_is_only_looked_up() {
    let server = Server::start(|asked| match asked.body.contains("Key") {
        true => ok(r#"{"subject":"s","version":2,"id":7,"schema":"…"}"#),
        false => {
            status("404 Not Found", "", r#"{"error_code":40403,"message":"Schema not found"}"#)
        }
    });
    let options = RegistryOptions { auto_register: false, ..options(&[&server.url]) };
    let registry = Registry::new(&options).unwrap();
    assert_eq!(register(&registry).unwrap(), SchemaId(7));
    let error = registry.register("s", SchemaType::Avro, "\"int\"", &[]).unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("REGISTRY_NOT_REGISTERED", false));
    assert_eq!(error.to_string(), "subject s: the schema is not registered: Schema not found");
    assert_eq!(error.subject(), Some("s"));
    assert!(server.asked().iter().all(|asked| !asked.line.ends_with("/versions")));
}

#[test]
fn normalize_is_asked_for() {
    let server = Server::start(|_| ok(r#"{"id":1}"#));
    let options = RegistryOptions { normalize: true, ..options(&[&server.url]) };
    register(&Registry::new(&options).unwrap()).unwrap();
    assert!(server.asked()[0].line.ends_with("/versions?normalize=true"));
}

#[test]
fn what_ends_by_itself_is_transient() {
    for (line, code) in [
        ("500 Internal Server Error", "REGISTRY_UNAVAILABLE"),
        ("503 Service Unavailable", "REGISTRY_UNAVAILABLE"),
        ("408 Request Timeout", "REGISTRY_UNAVAILABLE"),
        ("429 Too Many Requests", "REGISTRY_THROTTLED"),
    ] {
        let body = r#"{"error_code":50001,"message":"the store is away"}"#;
        let error = refused(move || status(line, "retry-after: 7\r\n", body));
        assert_eq!((error.code(), error.is_transient()), (code, true));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        if code == "REGISTRY_UNAVAILABLE" {
            assert!(error.to_string().ends_with(": the store is away"), "{error}");
        }
    }
    let later = "retry-after: Wed, 21 Oct 2037 07:28:00 GMT\r\n";
    let error = refused(move || status("429 Too Many Requests", later, ""));
    assert_eq!(error.retry_after(), None);
    let html = refused(|| status("502 Bad Gateway", "", "<html>hunter2</html>"));
    assert_eq!(html.code(), "REGISTRY_UNAVAILABLE");
    assert!(html.to_string().ends_with("without a reason"), "{html}");
}

#[test]
fn nobody_there_and_a_connection_that_breaks_are_transient() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let error = register(&Registry::new(&options(&[&closed])).unwrap()).unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("REGISTRY_UNREACHABLE", true));
    for cut in ["", "HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"id\":"] {
        let error = refused(move || Answer::Bytes(cut.as_bytes().to_vec()));
        assert_eq!(error.code(), "REGISTRY_UNREACHABLE", "{error}");
    }
    let unknown = Registry::new(&options(&["http://registry.invalid:8081"])).unwrap();
    assert!(register(&unknown).unwrap_err().is_transient());
}

#[test]
fn a_slow_answer_ends_at_the_time_limit_wherever_it_is_slow() {
    let slowly = || {
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{\"id\":1}";
        Answer::Slowly(whole.as_bytes().to_vec(), Duration::from_millis(100))
    };
    let slow_body = || {
        let mut whole = b"HTTP/1.1 200 OK\r\ncontent-length: 4000000\r\n\r\n".to_vec();
        whole.resize(5000, b' ');
        Answer::Slowly(whole, Duration::from_millis(1))
    };
    for error in [late(|| Answer::Silence), late(slowly), late(slow_body)] {
        assert_eq!((error.code(), error.is_transient()), ("REGISTRY_TIMEOUT", true), "{error}");
    }
    let begin = Instant::now();
    late(slow_body);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[test]
fn an_answer_that_is_no_registrys_is_final_and_not_quoted() {
    let answers = [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n<html>hunter2</html>",
            "REGISTRY_WRONG_ANSWER",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "REGISTRY_WRONG_ANSWER"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"id\":-1}", "REGISTRY_WRONG_ANSWER"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "REGISTRY_WRONG_ANSWER"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\n\r\nhunter2", "REGISTRY_WRONG_ANSWER"),
        ("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "REGISTRY_WRONG_ANSWER"),
        ("SSH-2.0-hunter2\r\n\r\n", "REGISTRY_WRONG_ANSWER"),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n",
            "REGISTRY_REDIRECTED",
        ),
        (
            "HTTP/1.1 308 Permanent Redirect\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
            "REGISTRY_REDIRECTED",
        ),
    ];
    for (answer, code) in answers {
        let error = refused(move || Answer::Bytes(answer.as_bytes().to_vec()));
        assert_eq!((error.code(), error.is_transient()), (code, false), "{answer}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(!error.next_step().is_empty());
    }
}

#[test]
fn a_connection_that_is_closed_as_the_next_request_comes_is_no_failure() {
    let server = Server::start(|_| {
        Answer::UntilNext(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{\"id\":1}".to_vec())
    });
    let registry = registry(&server);
    for subject in ["a", "b", "c"] {
        registry.register(subject, SchemaType::Avro, SCHEMA, &[]).unwrap();
    }
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_redirect_does_not_get_the_login() {
    let other = Server::start(|_| ok(r#"{"id":1}"#));
    let location = format!("location: {}/\r\n", other.url);
    let server = Server::start(move |_| status("307 Temporary Redirect", &location, ""));
    let authentication = Authentication::Bearer { token: "hunter2".to_owned() };
    let options = RegistryOptions { authentication, ..options(&[&server.url]) };
    let error = register(&Registry::new(&options).unwrap()).unwrap_err();
    assert_eq!(error.code(), "REGISTRY_REDIRECTED");
    assert!(other.asked().is_empty());
}

#[test]
fn a_huge_answer_is_not_read_to_its_end() {
    let declared = || {
        let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: 64000000\r\n\r\n".to_vec();
        answer.resize(64_000_000, b' ');
        Answer::Bytes(answer)
    };
    let endless_head = || {
        let mut answer = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
        answer.resize(1_000_000, b'x');
        Answer::Bytes(answer)
    };
    for error in [refused(declared), refused(endless_head)] {
        assert_eq!((error.code(), error.is_transient()), ("REGISTRY_ANSWER_TOO_LARGE", false));
    }
}

#[test]
fn a_refusal_keeps_the_registrys_reason() {
    let reason = "Schema being registered is incompatible with an earlier schema for subject \
        \\\"s\\\", details: [{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'The \
        field 'total' at path '/fields/1' in the new schema has no default value'}]";
    let body = format!(r#"{{"error_code":409,"message":"{reason}"}}"#);
    let server = Server::start(move |asked| match asked.line.ends_with("/versions") {
        true => status("409 Conflict", "", &body),
        false => status("404 Not Found", "", r#"{"error_code":40403,"message":"no"}"#),
    });
    let error = register(&registry(&server)).unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("REGISTRY_INCOMPATIBLE", false));
    assert!(error.to_string().contains("The field 'total' at path"), "{error}");
    assert_eq!(error.subject(), Some("shop.public.payments-value"));

    for (line, body, code) in [
        ("422 X", r#"{"error_code":42201,"message":"Invalid schema"}"#, "REGISTRY_SCHEMA_INVALID"),
        ("422 X", r#"{"error_code":42205,"message":"is in read-only mode"}"#, "REGISTRY_REFUSED"),
        ("401 X", r#"{"error_code":401,"message":"Unauthorized"}"#, "REGISTRY_UNAUTHORIZED"),
        ("401 X", "<html>", "REGISTRY_UNAUTHORIZED"),
        ("403 X", r#"{"error_code":40301,"message":"denied"}"#, "REGISTRY_FORBIDDEN"),
        ("400 X", r#"{"error_code":400,"message":"bad"}"#, "REGISTRY_REFUSED"),
    ] {
        let error = refused(move || status(line, "", body));
        assert_eq!((error.code(), error.is_transient()), (code, false), "{line} {error}");
    }
}

#[test]
fn a_schema_that_another_client_registered_meanwhile_is_taken() {
    let server = Server::start(|asked| match asked.line.ends_with("/versions") {
        true => status("409 Conflict", "", r#"{"error_code":409,"message":"exists"}"#),
        false => ok(r#"{"subject":"s","version":1,"id":12,"schema":""}"#),
    });
    assert_eq!(register(&registry(&server)).unwrap(), SchemaId(12));
}

#[test]
fn a_reason_without_end_is_cut() {
    let body = format!(r#"{{"error_code":42201,"message":"{}"}}"#, "x".repeat(1_000_000));
    let error = refused(move || status("422 X", "", &body));
    assert!(error.to_string().len() < 2300, "{}", error.to_string().len());
}

#[test]
fn the_next_url_is_asked_and_stays_the_first_one() {
    let broken = Server::start(|_| status("503 X", "", ""));
    let works = Server::start(|_| ok(r#"{"id":5}"#));
    let urls = options(&["http://127.0.0.1:9", &broken.url, &works.url]);
    let registry = Registry::new(&urls).unwrap();
    for number in 0..3 {
        let schema = format!("\"int{number}\"");
        registry.register("s", SchemaType::Avro, &schema, &[]).unwrap();
    }
    assert_eq!((broken.asked().len(), works.asked().len()), (1, 3));
    let all_broken = Registry::new(&options(&[&broken.url, "http://127.0.0.1:9"])).unwrap();
    assert_eq!(register(&all_broken).unwrap_err().code(), "REGISTRY_UNAVAILABLE");
}

#[test]
fn an_outage_is_not_remembered() {
    let count = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => status("503 X", "", ""),
        _ => ok(r#"{"id":9}"#),
    });
    let registry = registry(&server);
    assert!(register(&registry).unwrap_err().is_transient());
    assert_eq!(register(&registry).unwrap(), SchemaId(9));
}

#[test]
fn a_schema_that_is_empty_or_too_large_is_not_sent() {
    let server = Server::start(|_| ok(r#"{"id":1}"#));
    let registry = registry(&server);
    let empty = registry.register("s", SchemaType::Json, " ", &[]).unwrap_err();
    assert_eq!(empty.code(), "REGISTRY_SCHEMA_INVALID");
    let large = registry.register("s", SchemaType::Json, &"x".repeat(2 << 20), &[]).unwrap_err();
    assert_eq!((large.code(), large.is_transient()), ("REGISTRY_SCHEMA_TOO_LARGE", false));
    assert!(server.asked().is_empty());
}

#[test]
fn a_proxy_of_the_environment_is_not_asked() {
    // The variable is set for a process of its own, which runs one other test of this file.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_schema_is_registered_once_and_then_known"])
        .env("http_proxy", "http://127.0.0.1:9")
        .env("ALL_PROXY", "http://127.0.0.1:9")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn confluents_own_answers_are_understood() {
    let server = Server::start(|asked| match asked.line.as_str() {
        "GET /schemas/types" => ok(r#"["JSON","PROTOBUF","AVRO"]"#),
        "GET /config/s-value" => status(
            "404 Not Found",
            "",
            r#"{"error_code":40408,"message":"Subject 's-value' does not have subject-level compatibility configured"}"#,
        ),
        "GET /config" => ok(r#"{"compatibilityLevel":"BACKWARD"}"#),
        "GET /subjects/s-value/versions/latest" => ok(
            r#"{"subject":"s-value","version":3,"id":11,"guid":"x","schemaType":"JSON","schema":"{}"}"#,
        ),
        "GET /schemas/ids/11" => ok(r#"{"schema":"\"int\"","maxId":20}"#),
        "POST /subjects/s-value" => {
            status("404 Not Found", "", r#"{"error_code":40403,"message":"Schema not found"}"#)
        }
        "POST /compatibility/subjects/s-value/versions/latest?verbose=true" => ok(
            r#"{"is_compatible":false,"messages":["{errorType:'X', description:'no default'}","{oldSchemaVersion: 3}"]}"#,
        ),
        line => panic!("{line}"),
    });
    let registry = registry(&server);
    assert_eq!(registry.types().unwrap(), ["JSON", "PROTOBUF", "AVRO"]);
    assert_eq!(registry.compatibility_level("s-value").unwrap(), "BACKWARD");
    let latest = registry.latest("s-value").unwrap().unwrap();
    assert_eq!((latest.id, latest.version), (SchemaId(11), Some(3)));
    assert_eq!(latest.schema_type, Some(SchemaType::Json));
    let by_id = registry.schema(SchemaId(11)).unwrap();
    assert_eq!((by_id.schema_type, by_id.schema.as_str()), (Some(SchemaType::Avro), "\"int\""));
    let wanted = Wanted {
        subject: "s-value",
        schema_type: SchemaType::Avro,
        schema: Some(SCHEMA),
        references: &[],
    };
    let items = registry.probe(&[wanted]);
    assert_eq!(items[0].outcome, ProbeOutcome::Ok, "{items:?}");
    assert_eq!((items[1].outcome, items[1].code), (ProbeOutcome::Error, "REGISTRY_INCOMPATIBLE"));
    assert!(items[1].text.contains("no default"), "{items:?}");
}

#[test]
fn a_registry_from_before_protobuf_is_told_apart() {
    let server = Server::start(|_| ok(r#"["AVRO"]"#));
    let wanted =
        Wanted { subject: "s", schema_type: SchemaType::Protobuf, schema: None, references: &[] };
    let items = registry(&server).probe(&[wanted]);
    assert_eq!((items[0].outcome, items[0].code), (ProbeOutcome::Error, "REGISTRY_TYPE"));
    let down = late(|| Answer::Silence);
    let silent = Server::start(|_| Answer::Silence);
    let items = impatient(&silent).probe(&[wanted]);
    assert_eq!((items.len(), items[0].code), (1, down.code()));
}
