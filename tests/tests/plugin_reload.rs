//! New versions of plugins without a stop, with a real database: every change is of exactly one
//! version, also after a kill; what is refused leaves the version at work in its place.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use offtake_tests::fixture::{Fixture, PATIENCE};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::{Received, Store, Subscriber, text};

const SQL: &str = "create table people (id int primary key, email text)";
const FIVE_ROWS: &str = "insert into people
    select (select coalesce(max(id), 0) from people) + i, 'secret' from generate_series(1, 5) i";

/// The plugin as a file of its own in the fixture's folder, so that it can be replaced.
async fn fixture(hint: &str, more: &str) -> Fixture {
    let rest = format!(
        "[plugin.hide]\nwasm = \"hide.wasm\"\nconfig = {{ columns = [\"email\"], keep_last = 0 }}\n\
         {more}\n\n[[route]]\ntables = [\"public.*\"]\nplugins = [\"hide\"]\n"
    );
    let postgres = Postgres::shared(Version::System);
    let fixture = Fixture::new(postgres, hint, SQL, "", &rest).await.unwrap();
    std::fs::write(fixture.folder().join("hide.wasm"), mask(0)).unwrap();
    fixture
}

/// The mask plugin, told from others by a custom section that says nothing.
fn mask(version: u8) -> Vec<u8> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist/mask.wasm");
    let mut component = std::fs::read(built).unwrap();
    component.extend([0, 3, 1, b'v', version]);
    component
}

fn put(fixture: &Fixture, component: &[u8]) -> PathBuf {
    let path = fixture.folder().join("hide.wasm");
    // As a deployment does: whole or not at all.
    let unfinished = fixture.folder().join("hide.new");
    std::fs::write(&unfinished, component).unwrap();
    std::fs::rename(&unfinished, &path).unwrap();
    path
}

#[track_caller]
fn wait_until(fixture: &Fixture, what: &str, condition: impl Fn(&Fixture) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition(fixture) {
        assert!(Instant::now() < deadline, "{what}: {}", fixture.gateway.output());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn email(change: &Received) -> String {
    text(change.after.as_ref().unwrap(), "email").unwrap_or("-").to_owned()
}

/// Asserts that a run of one version's changes is followed by a run of the other's, and that no
/// transaction has both. Gives the sequence of the second's first.
#[track_caller]
fn expect_one_switch(changes: &[Received], before: &str, after: &str) -> u64 {
    let at = changes.iter().position(|change| email(change) == after).expect("the new version");
    for (index, change) in changes.iter().enumerate() {
        assert_eq!(email(change), if index < at { before } else { after }, "{change:?}");
    }
    assert!(at > 0, "nothing is of the version before");
    assert_ne!(changes[at - 1].transaction, changes[at].transaction, "a transaction has both");
    changes[at].sequence
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_a_reload_switches_between_two_transactions_at_the_sequence_it_names() {
    let mut fixture = fixture("reload", "").await;
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    for _ in 0..40 {
        fixture.client.batch_execute(FIVE_ROWS).await.unwrap();
    }
    fixture.gateway.edit("keep_last = 0", "keep_last = 2").unwrap();
    let said = {
        let writing = async {
            for _ in 0..200 {
                fixture.client.batch_execute(FIVE_ROWS).await.unwrap();
            }
        };
        let reloading = async {
            let said = tokio::task::block_in_place(|| fixture.command(&["plugin", "reload"]));
            said.unwrap().expect(0, &["hide: the same component, other settings", "at work from"])
        };
        tokio::join!(writing, reloading).1
    };
    for _ in 0..40 {
        fixture.client.batch_execute(FIVE_ROWS).await.unwrap();
    }
    fixture.expect_ids(&subscriber, 1..=1400).await.unwrap();
    let switched = expect_one_switch(&subscriber.changes(), "******", "****et");
    let named = format!("at work from sequence {switched} on");
    assert!(said.out.contains(&named), "{named} is not in {}", said.out);
    let again = fixture.command(&["plugin", "reload", "hide"]).unwrap();
    again.expect(0, &["nothing differs"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_replace_a_plugin_is_refused_and_the_one_at_work_goes_on() {
    let mut fixture = fixture("reload_refused", "").await;
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute(FIVE_ROWS).await.unwrap();
    fixture.expect_ids(&subscriber, 1..=5).await.unwrap();

    put(&fixture, b"not a module");
    fixture.command(&["plugin", "reload"]).unwrap().expect_error(1, "PLUGIN_NOT_A_COMPONENT", &[]);
    let cut = &mask(1)[..20_000];
    put(&fixture, cut);
    fixture.command(&["plugin", "reload"]).unwrap().expect_error(1, "PLUGIN_INVALID", &["hide"]);
    put(&fixture, &mask(0));
    // A column that no table has, which only the tables tell.
    fixture.gateway.edit("[\"email\"]", "[\"e_mail\"]").unwrap();
    let refused = fixture.command(&["plugin", "reload"]).unwrap();
    refused.expect_error(1, "PLUGIN_COLUMN_MISSING", &["e_mail"]);
    fixture.gateway.edit("[\"e_mail\"]", "[\"email\"]").unwrap();
    // A limit that the recent changes break.
    fixture
        .client
        .batch_execute("insert into people values (6, repeat('x', 100000))")
        .await
        .unwrap();
    fixture.expect_ids(&subscriber, 1..=6).await.unwrap();
    fixture.gateway.edit("keep_last = 0 }", "keep_last = 0 }\noutput = \"64KiB\"").unwrap();
    // One batch a second is kept for trials: the large row may come too soon after the others.
    for id in 7.. {
        let sql = format!("insert into people values ({id}, repeat('x', 100000))");
        fixture.client.batch_execute(&sql).await.unwrap();
        // Not later: under the smaller limit it would halt the pipeline.
        fixture.expect_ids(&subscriber, 1..=id).await.unwrap();
        let tried = fixture.command(&["plugin", "reload"]).unwrap();
        if tried.status == Some(1) {
            tried.expect_error(1, "RELOAD_TRIAL_FAILED", &["PLUGIN_OUTPUT", "public.people"]);
            break;
        }
        assert!(id < 200, "no large row was tried");
        fixture.gateway.edit("output = \"64KiB\"", "output = \"1MiB\"").unwrap();
        fixture.command(&["plugin", "reload"]).unwrap().expect(0, &[]);
        fixture.gateway.edit("output = \"1MiB\"", "output = \"64KiB\"").unwrap();
    }
    fixture.gateway.edit("plugins = [\"hide\"]", "plugins = []").unwrap();
    fixture.command(&["plugin", "reload"]).unwrap().expect_error(1, "RELOAD_NEEDS_RESTART", &[]);
    fixture.gateway.edit("plugins = []", "plugins = [\"hide\"]").unwrap();
    fixture.command(&["plugin", "reload", "hyde"]).unwrap().expect_error(1, "PLUGIN_UNKNOWN", &[]);
    let changes = subscriber.changes();
    assert!(changes.iter().all(|change| email(change).chars().all(|it| it == '*')), "{changes:?}");
    assert_eq!(fixture.gateway.get("/readyz").unwrap().0, 200);
    fixture.stop().unwrap();
    fixture.command(&["plugin", "reload"]).unwrap().expect_error(1, "CONTROL_UNREACHABLE", &[]);
}

/// Kills the gateway at a point of the switch, starts it again, and looks at every change.
async fn killed_at(point: &str, hint: &str) {
    let mut fixture = fixture(hint, "").await;
    fixture.gateway.start(&format!("{point}=1")).unwrap();
    fixture.gateway.wait_until_ready(PATIENCE).unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute(FIVE_ROWS).await.unwrap();
    fixture.expect_ids(&subscriber, 1..=5).await.unwrap();
    put(&fixture, &mask(1));
    fixture.gateway.edit("keep_last = 0", "keep_last = 2").unwrap();
    let gone = fixture.command(&["plugin", "reload"]).unwrap();
    assert_eq!(gone.status, Some(1), "{gone:?}");
    fixture.gateway.wait_for_exit(PATIENCE).unwrap();
    fixture.client.batch_execute(FIVE_ROWS).await.unwrap();
    fixture.start().unwrap();
    fixture.expect_ids(&subscriber, 1..=10).await.unwrap();
    expect_one_switch(&subscriber.changes(), "******", "****et");
    // The switch has happened once: there is nothing left to do.
    fixture.command(&["plugin", "reload"]).unwrap().expect(0, &["nothing differs"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_before_the_switch_is_durable_leaves_every_change_to_one_version() {
    killed_at("pipeline.before_switch", "before_switch").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_after_the_switch_is_durable_leaves_every_change_to_one_version() {
    killed_at("pipeline.after_switch", "after_switch").await;
}

/// The audit plugin; the second version writes the name of an operation otherwise.
fn audit(version: u8) -> Vec<u8> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist/audit.wasm");
    let mut component = std::fs::read(built).unwrap();
    let names = b"createupdatedelete";
    let at = component.windows(names.len()).position(|found| found == names).unwrap();
    if version == 1 {
        component[at..at + 6].copy_from_slice(b"CREATE");
    }
    component
}

/// A gateway that finishes a transaction which it was killed in, with the component of then, and takes
/// up the file's version after it. `None`: where the log was slow, nothing of the transaction was in
/// it yet.
async fn finished_after_a_kill(hint: &str) -> Option<Fixture> {
    let mut fixture = fixture(hint, "").await;
    let masks = "wasm = \"hide.wasm\"\nconfig = { columns = [\"email\"], keep_last = 0 }";
    let audits = "wasm = \"hide.wasm\"\nconfig = { stream = \"trail\" }";
    fixture.gateway.edit(masks, audits).unwrap();
    put(&fixture, &audit(0));
    fixture.gateway.start("pipeline.after_submit=12").unwrap();
    fixture.gateway.wait_until_ready(PATIENCE).unwrap();
    let rows = "insert into people select i, 'secret' from generate_series(1, 100000) i";
    fixture.client.batch_execute(rows).await.unwrap();
    fixture.gateway.wait_for_exit(PATIENCE).unwrap();
    let first = fixture.command(&["plugin", "reload"]).unwrap();
    first.expect_error(1, "CONTROL_UNREACHABLE", &[]);
    put(&fixture, &audit(1));
    fixture.start().unwrap();
    let taken = |status: &serde_json::Value| status["log"]["last_sequence"] == 200_000;
    fixture.gateway.wait_for_status("all of it", PATIENCE, taken).unwrap();
    let trail = Subscriber::start(fixture.gateway.grpc, &["trail"]);
    trail.wait_for("its end", PATIENCE, |store| store.changes.len() == 100_000).await.unwrap();
    let first = trail.changes()[0].after.clone().unwrap();
    if text(&first, "operation") == Some("CREATE") {
        return None;
    }
    let switched = |fixture: &Fixture| fixture.gateway.output().contains("a plugin takes over");
    wait_until(&fixture, "the file's version takes over", switched);
    Some(fixture)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_left_in_its_middle_is_finished_by_the_component_that_began_it() {
    let mut found = None;
    for attempt in 1..=5 {
        found = finished_after_a_kill(&format!("reload_midway_{attempt}")).await;
        if found.is_some() {
            break;
        }
    }
    let fixture = found.expect("no kill came in the middle of the transaction");
    let trail = Subscriber::start(fixture.gateway.grpc, &["trail"]);
    fixture.client.batch_execute("insert into people values (100001, 'secret')").await.unwrap();
    let enough = |store: &Store| store.changes.len() >= 100_001;
    trail.wait_for("every row's trail", PATIENCE * 2, enough).await.unwrap();
    let changes = trail.changes();
    assert_eq!(changes.len(), 100_001);
    let wrote = |change: &Received| {
        text(change.after.as_ref().unwrap(), "operation").unwrap_or("-").to_owned()
    };
    let of_second = changes.iter().filter(|change| wrote(change) == "CREATE").count();
    assert_eq!(of_second, 1, "{}", fixture.gateway.output());
    assert_eq!(wrote(&changes[100_000]), "CREATE");
    assert!(changes[..100_000].iter().all(|change| wrote(change) == "create"));
    assert!(!fixture.gateway.output().contains("HALTED"), "{}", fixture.gateway.output());
    // Now the file's version is at work: a rollback finds the one that was finished with.
    let back = fixture.command(&["plugin", "rollback", "hide"]).unwrap();
    back.expect(0, &["hide: ", "at work from sequence 200003 on"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_protects_nothing_does_not_take_the_place_of_one_that_does() {
    let mut fixture = fixture("reload_protects", "watch = true").await;
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute(FIVE_ROWS).await.unwrap();
    fixture.expect_ids(&subscriber, 1..=5).await.unwrap();
    let masks = "config = { columns = [\"email\"], keep_last = 0 }";
    fixture.gateway.edit(masks, "config = { stream = \"trail\" }").unwrap();
    put(&fixture, &audit(0));
    let told = |fixture: &Fixture| fixture.gateway.output().contains("RELOAD_UNPROTECTED");
    wait_until(&fixture, "the watched file is refused", told);
    let refused = fixture.command(&["plugin", "reload", "hide"]).unwrap();
    refused.expect_error(1, "RELOAD_UNPROTECTED", &["hide"]);
    fixture.client.batch_execute(FIVE_ROWS).await.unwrap();
    fixture.expect_ids(&subscriber, 1..=10).await.unwrap();
    assert!(subscriber.changes().iter().all(|change| email(change) == "******"));
    // A restart, whatever caused it, puts nothing to work that was refused.
    fixture.gateway.edit("config = { stream = \"trail\" }", masks).unwrap();
    fixture.gateway.kill().unwrap();
    fixture.start().unwrap();
    assert!(fixture.gateway.output().contains("PLUGIN_REFUSED_BEFORE"));
    fixture.client.batch_execute(FIVE_ROWS).await.unwrap();
    fixture.expect_ids(&subscriber, 1..=15).await.unwrap();
    assert!(subscriber.changes().iter().all(|change| email(change) == "******"));
    fixture.stop().unwrap();
    // Where it is meant, a person says so.
    fixture.gateway.edit(masks, "config = { stream = \"trail\" }").unwrap();
    let held_back = fixture.run_to_its_end().unwrap();
    held_back.expect(2, &["--accept-plugin-files", "hide"]);
    fixture.gateway.start_with("", &["--accept-plugin-files"]).unwrap();
    fixture.gateway.wait_until_ready(PATIENCE).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_of_all_plugins_leaves_out_what_was_rolled_back_and_takes_its_settings() {
    let mut fixture = fixture("rollback_settings", "").await;
    fixture.start().unwrap();
    put(&fixture, &mask(1));
    fixture.command(&["plugin", "reload"]).unwrap().expect(0, &["hide: "]);
    fixture.command(&["plugin", "rollback", "hide"]).unwrap().expect(0, &["hide: "]);
    fixture.command(&["check"]).unwrap().expect(1, &["PLUGIN_ROLLED_BACK", "rolled back"]);
    let left_out = fixture.command(&["plugin", "reload"]).unwrap();
    left_out
        .expect(0, &["nothing differs", "rolled back", "`offtake plugin reload hide` takes it"]);
    fixture.gateway.edit("keep_last = 0", "keep_last = 2").unwrap();
    let settings = fixture.command(&["plugin", "reload"]).unwrap();
    settings.expect(0, &["hide: the same component, other settings", "rolled back"]);
    fixture.command(&["plugin", "reload", "hide"]).unwrap().expect(0, &["hide: ", " -> "]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_stays_over_a_restart_until_the_file_is_another() {
    let mut fixture = fixture("rollback", "").await;
    fixture.start().unwrap();
    let digest = |fixture: &Fixture| {
        fixture.gateway.status().unwrap()["plugins"][0]["digest"].as_str().unwrap().to_owned()
    };
    let none = fixture.command(&["plugin", "rollback", "hide"]).unwrap();
    none.expect_error(1, "PLUGIN_NO_PREVIOUS", &["hide"]);
    let first = digest(&fixture);
    put(&fixture, &mask(1));
    fixture.command(&["plugin", "reload"]).unwrap().expect(0, &["hide: "]);
    let second = digest(&fixture);
    assert_ne!(first, second);
    fixture.command(&["plugin", "rollback", "hide"]).unwrap().expect(0, &["hide: "]);
    assert_eq!(digest(&fixture), first);
    fixture.stop().unwrap();
    fixture.start().unwrap();
    assert_eq!(digest(&fixture), first, "the file is still the version that was rolled back");
    assert!(fixture.gateway.output().contains("PLUGIN_ROLLED_BACK"));
    put(&fixture, &mask(2));
    fixture.stop().unwrap();
    fixture.start().unwrap();
    let third = digest(&fixture);
    assert!(third != first && third != second);
    // No more than the one at work and the one before are kept.
    for version in 3..6 {
        put(&fixture, &mask(version));
        fixture.command(&["plugin", "reload"]).unwrap().expect(0, &["hide: "]);
        let kept = fixture.folder().join("data/plugins").read_dir().unwrap();
        let is_component = |path: PathBuf| path.extension().is_some_and(|it| it == "wasm");
        assert_eq!(kept.filter(|it| is_component(it.as_ref().unwrap().path())).count(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_to_a_version_that_fails_at_recent_changes_is_told_of_it_and_not_refused() {
    let mut fixture = fixture("rollback_fails", "").await;
    let masks = "wasm = \"hide.wasm\"\nconfig = { columns = [\"email\"], keep_last = 0 }";
    let audits = "wasm = \"hide.wasm\"\nconfig = { stream = \"trail\" }\non_error = \"drop\"";
    fixture.gateway.edit(masks, audits).unwrap();
    // It declares a column that it then gives another kind of value.
    let mut failing = audit(0);
    let types = b"textint8";
    let at = failing.windows(types.len()).position(|found| found == types).unwrap();
    failing[at..at + types.len()].copy_from_slice(b"textbool");
    put(&fixture, &failing);
    fixture.start().unwrap();
    put(&fixture, &audit(0));
    fixture.command(&["plugin", "reload"]).unwrap().expect(0, &["hide: "]);
    let trail = Subscriber::start(fixture.gateway.grpc, &["trail"]);
    fixture.client.batch_execute(FIVE_ROWS).await.unwrap();
    let five = |store: &Store| store.changes.len() == 5;
    trail.wait_for("the rows' trail", PATIENCE, five).await.unwrap();
    let back = fixture.command(&["plugin", "rollback", "hide"]).unwrap();
    let back = back.expect(0, &["it fails where the one at work does not", "failures 0 -> 5"]);
    assert!(back.out.contains("at work from sequence 11 on"), "{}", back.out);
    // Put to work, that very version is refused.
    put(&fixture, &audit(0));
    fixture.command(&["plugin", "reload", "hide"]).unwrap().expect(0, &["hide: "]);
    put(&fixture, &failing);
    let refused = fixture.command(&["plugin", "reload"]).unwrap();
    refused.expect_error(1, "RELOAD_TRIAL_FAILED", &["public.people"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_goes_by_the_file_as_it_is_and_says_what_of_it_is_another() {
    let mut fixture = fixture("rollback_file", "").await;
    fixture.start().unwrap();
    put(&fixture, &mask(1));
    fixture.command(&["plugin", "reload"]).unwrap().expect(0, &["hide: "]);
    fixture.gateway.edit("keep_last = 0", "keep_last = 2").unwrap();
    let routed = "plugins = [\"hide\"]\noperations = [\"create\", \"read\"]";
    fixture.gateway.edit("plugins = [\"hide\"]", routed).unwrap();
    fixture.command(&["plugin", "reload"]).unwrap().expect_error(1, "RELOAD_NEEDS_RESTART", &[]);
    let back = fixture.command(&["plugin", "rollback", "hide"]).unwrap();
    back.expect(0, &["hide: ", "routes were changed too", "ran with another `config`"]);
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute(FIVE_ROWS).await.unwrap();
    fixture.expect_ids(&subscriber, 1..=5).await.unwrap();
    assert!(subscriber.changes().iter().all(|change| email(change) == "****et"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_try_shows_what_a_new_version_makes_of_recent_changes_and_switches_nothing() {
    let mut fixture = fixture("reload_try", "").await;
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute(FIVE_ROWS).await.unwrap();
    fixture.expect_ids(&subscriber, 1..=5).await.unwrap();
    std::fs::write(fixture.folder().join("candidate.wasm"), mask(1)).unwrap();
    let tried = fixture.command(&["plugin", "try", "hide", "--new", "candidate.wasm"]).unwrap();
    tried.expect(0, &["5 recent changes: 0 come out otherwise"]);
    // Over rows that the gateway reads for it, as many as are asked for.
    let try_rows = |tables: &str, rows: &str| {
        let new = ["plugin", "try", "hide", "--new", "candidate.wasm"];
        fixture.command(&[&new[..], &["--tables", tables, "--rows", rows]].concat()).unwrap()
    };
    try_rows("public.*", "3").expect(0, &["5 recent changes and 3 rows of tables: 0 come"]);
    try_rows("public.none", "3").expect_error(1, "TRY_NO_TABLE", &["public.none"]);
    // The same component with the file's new configuration.
    fixture.gateway.edit("keep_last = 0", "keep_last = 2").unwrap();
    let tried = fixture.command(&["plugin", "try", "hide", "--new", "candidate.wasm"]).unwrap();
    let tried = tried.expect(1, &["5 recent changes: 5 come out otherwise", "public.people at "]);
    assert!(tried.out.contains("+ ") && tried.out.contains("****et"), "{}", tried.out);
    try_rows("people", "100").expect(1, &["5 rows of tables: 10 come out otherwise"]);
    fixture.client.batch_execute(FIVE_ROWS).await.unwrap();
    fixture.expect_ids(&subscriber, 1..=10).await.unwrap();
    assert!(subscriber.changes().iter().all(|change| email(change) == "******"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trials_that_are_asked_for_are_run_one_at_a_time() {
    let mut fixture = fixture("reload_try_busy", "").await;
    fixture.start().unwrap();
    std::fs::write(fixture.folder().join("candidate.wasm"), mask(1)).unwrap();
    let new = ["plugin", "try", "hide", "--new", "candidate.wasm"];
    // One that reads this table waits for it; the other of the two does not get there.
    fixture.client.batch_execute("begin; lock table people").await.unwrap();
    let reading = [&new[..], &["--tables", "people"]].concat();
    let ended = std::thread::scope(|scope| {
        let tried = [(); 2].map(|()| scope.spawn(|| fixture.command(&reading).unwrap()));
        wait_until(&fixture, "one is refused", |_| tried.iter().any(|it| it.is_finished()));
        let released = fixture.client.batch_execute("rollback");
        let runtime = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| runtime.block_on(released)).unwrap();
        tried.map(|it| it.join().unwrap())
    });
    let busy = ended.iter().filter(|it| it.errors.contains("TRY_BUSY")).count();
    let done = ended.iter().filter(|it| it.out.contains("there are no recent changes")).count();
    assert_eq!((busy, done), (1, 1), "{ended:?}");
    fixture.command(&new).unwrap().expect(0, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watched_file_is_put_to_work_when_it_changes_and_a_bad_one_is_told_of() {
    let mut fixture = fixture("reload_watch", "watch = true").await;
    fixture.start().unwrap();
    let path = put(&fixture, b"not a module");
    let refused = |fixture: &Fixture| fixture.gateway.output().contains("PLUGIN_NOT_A_COMPONENT");
    wait_until(&fixture, "the bad file is told of", refused);
    let first = fixture.gateway.status().unwrap()["plugins"][0]["digest"].clone();
    put(&fixture, &mask(1));
    let switched = |status: &serde_json::Value| status["plugins"][0]["digest"] != first;
    fixture.gateway.wait_for_status("the switch", PATIENCE, switched).unwrap();
    assert!(path.is_file());
}
