//! `offtake status` while the database is gone, and after it came back.

use offtake_tests::fixture::{Fixture, PATIENCE};
use offtake_tests::postgres::{Postgres, Setup, Version};
use serde_json::Value;

use crate::TABLE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_database_is_no_progress_and_its_error_is_past_when_it_is_back() {
    let postgres = Postgres::start_with(Version::System, &Setup::default()).unwrap();
    let mut fixture = Fixture::new(&postgres, "reconnect", TABLE, "", "").await.unwrap();
    fixture.start().unwrap();
    let status = fixture.gateway.status().unwrap();
    assert_eq!(status["source"]["connected"], true, "{status:#}");
    assert_eq!(status["source"]["last_error"], Value::Null, "{status:#}");
    fixture.command(&["status"]).unwrap().expect(0, &["RUNNING"]);

    postgres.crash().unwrap();
    let lost = |status: &Value| status["source"]["disconnected_seconds"].as_u64() >= Some(1);
    let status = fixture.gateway.wait_for_status("the lost connection", PATIENCE, lost).unwrap();
    let error = status["source"]["last_error"].as_str().unwrap();
    assert!(error.starts_with("PG_"), "{error}");
    assert_eq!(status["source"]["connected"], false, "{status:#}");
    assert!(status["source"]["slot_lag_seconds"].as_f64() >= Some(1.0), "{status:#}");
    let texts = ["RUNNING", "reconnecting to the database since ", " s: PG_", "tried to reconnect"];
    let ended = fixture.command(&["status"]).unwrap().expect(1, &texts);
    assert!(!ended.out.contains("streaming"), "{}", ended.out);
    let (code, page) = fixture.gateway.get("/readyz").unwrap();
    assert!(code == 503 && page.contains("reconnecting to the database since "), "{page}");
    assert!(fixture.gateway.get("/metrics").unwrap().1.contains("\nofftake_source_connected 0\n"));

    postgres.launch().unwrap();
    let back = |status: &Value| status["source"]["connected"] == true;
    let status = fixture.gateway.wait_for_status("the connection", PATIENCE, back).unwrap();
    assert_eq!(status["source"]["last_error"], Value::Null, "{status:#}");
    assert_eq!(status["source"]["disconnected_seconds"], Value::Null, "{status:#}");
    assert!(status["source"]["overcome_error"].as_str().unwrap().starts_with("PG_"), "{status:#}");
    let ended =
        fixture.command(&["status"]).unwrap().expect(0, &["reconnected ", "last after PG_"]);
    assert!(!ended.out.contains("reconnecting"), "{}", ended.out);
    fixture.stop().unwrap();
}
