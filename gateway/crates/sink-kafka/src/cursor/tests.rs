//! The cursor on a log and a folder of its own.

use offtake_log::{Control, LogOptions, LogWriter, Opened};

use super::*;

fn options(folder: &std::path::Path) -> KafkaOptions {
    KafkaOptions::new("shop", vec!["127.0.0.1:1".to_owned()], folder.join("kafka.cursor"))
}

fn opened(folder: &std::path::Path) -> Opened {
    offtake_log::open(LogOptions::new(folder.join("log"))).unwrap()
}

fn activate(writer: &mut LogWriter, config_digest: &str) {
    writer.control(Control::PluginActivation(v1::PluginActivation {
        name: "mask".to_owned(),
        digest: "d".to_owned(),
        config_digest: config_digest.to_owned(),
        ..Default::default()
    }));
    writer.flush().unwrap();
}

fn push(writer: &mut LogWriter, changes: usize) {
    let stream = writer.register_stream("t");
    for _ in 0..changes {
        writer.push(stream, 1, |_, out| out.push(0));
    }
    writer.flush().unwrap();
}

fn commit(cursor: &Cursor) -> u64 {
    cursor.status.latency.observe_commit(1, std::time::SystemTime::now());
    cursor.status.latency.told().snapshot().0.iter().sum()
}

#[test]
fn plugins_that_began_before_this_start_are_in_the_cursors_digest() {
    let folder = tempfile::tempdir().unwrap();
    let status = Arc::new(StatusCell::new());
    let digest = |log: &Log| {
        let cursor = Cursor::open(&options(folder.path()), log, &status).unwrap();
        cursor.record.plugin_digest.clone()
    };
    let mut first = opened(folder.path());
    assert!(digest(&first.log).is_empty());
    activate(&mut first.writer, "c");
    let with_one = digest(&first.log);
    assert_eq!(with_one.len(), 32);
    drop(first);
    let mut second = opened(folder.path());
    assert_eq!(digest(&second.log), with_one);
    activate(&mut second.writer, "other");
    assert_ne!(digest(&second.log), with_one);
}

#[test]
fn latency_is_told_only_from_where_the_cursor_caught_up_with_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = opened(folder.path());
    push(&mut opened.writer, 5);
    let status = Arc::new(StatusCell::new());
    let mut cursor = Cursor::open(&options(folder.path()), &opened.log, &status).unwrap();
    assert_eq!(commit(&cursor), 0, "history");
    let log = opened.log.clone();
    let move_to = |cursor: &mut Cursor, sequence, now| {
        cursor.advance(Covered { sequence, ..Covered::default() });
        cursor.pursue(&log, now);
    };
    let began = Instant::now();
    move_to(&mut cursor, 4, began);
    assert_eq!(commit(&cursor), 0, "not there yet");
    // It took long, so there may be more by now.
    push(&mut opened.writer, 5);
    let later = began + 10 * CAUGHT_UP;
    move_to(&mut cursor, 5, later);
    assert_eq!(commit(&cursor), 0, "the end has moved on");
    move_to(&mut cursor, 10, later);
    assert_eq!(commit(&cursor), 1);
    // A cursor that is at the end when it is opened has nothing to catch up with.
    cursor.write(&opened.log, true).unwrap();
    let status = Arc::new(StatusCell::new());
    let again = Cursor::open(&options(folder.path()), &opened.log, &status).unwrap();
    assert_eq!(commit(&again), 1);
}

/// A cursor with its file at `written`, the log at 10.
fn at(folder: &std::path::Path, log: &Log, written: Option<u64>) -> Cursor {
    let status = Arc::new(StatusCell::new());
    let mut cursor = Cursor::open(&options(folder), log, &status).unwrap();
    if let Some(sequence) = written {
        cursor.advance(Covered { sequence, ..Covered::default() });
        assert!(cursor.write(log, true).unwrap());
    }
    cursor
}

fn record(log: &Log, sequence: u64, generation: u64) -> v1::SinkCursor {
    v1::SinkCursor {
        format: FORMAT,
        pipeline: "shop".to_owned(),
        sink: SINK.to_owned(),
        log_id: log.id().to_vec().into(),
        sequence,
        generation,
        ..v1::SinkCursor::default()
    }
}

#[test]
fn the_open_transaction_stays_with_the_place_that_is_inside_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = opened(folder.path());
    push(&mut opened.writer, 10);
    let id = |cursor: &Cursor| cursor.open_transaction().map(|open| open.id.clone());
    let open = Arc::new(v1::OpenTransaction { id: "7".to_owned(), ..Default::default() });
    let inside = |sequence| Covered {
        sequence,
        open: Some(open.clone()),
        unpublished: 2,
        ..Covered::default()
    };
    let mut cursor = at(folder.path(), &opened.log, None);
    cursor.advance(inside(4));
    assert!(cursor.write(&opened.log, true).unwrap());
    let mut again = at(folder.path(), &opened.log, None);
    assert_eq!(id(&again).as_deref(), Some("7"));
    // The end comes without a change.
    again.advance(Covered { sequence: 4, ..Covered::default() });
    assert!(again.write(&opened.log, true).unwrap());
    assert_eq!(id(&at(folder.path(), &opened.log, None)), None);
    let proposed = again.proposed(&inside(5), &opened.log);
    assert_eq!(id(&again), None, "it counts once it is committed");
    again.committed(proposed, &opened.log);
    assert_eq!(id(&again).as_deref(), Some("7"));
    // Who takes over says what was said before.
    let claimed = again.proposed(&again.here(), &opened.log);
    assert_eq!((claimed.sequence, claimed.unpublished_changes), (5, 2));
    assert_eq!(claimed.open_transaction.as_ref(), Some(&*open));
}

#[test]
fn of_the_file_and_the_topic_the_larger_sequence_counts() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = opened(folder.path());
    push(&mut opened.writer, 10);
    let log = &opened.log;
    for (written, published, expected) in
        [(Some(4), Some(7), 7), (Some(8), Some(7), 8), (Some(9), None, 9), (None, Some(3), 3)]
    {
        let mut cursor = at(folder.path(), log, written);
        let published = published.map(|sequence| record(log, sequence, 50));
        let generation = published.as_ref().map_or(0, |record| record.generation);
        cursor.decide(published, true, &options(folder.path()), log).unwrap();
        assert_eq!(cursor.sequence(), expected);
        assert!(cursor.record.generation >= generation, "the next one is later than both");
        let _ = std::fs::remove_file(folder.path().join("kafka.cursor"));
    }
}

#[test]
fn a_cursor_in_the_topic_that_is_anothers_or_ahead_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = opened(folder.path());
    push(&mut opened.writer, 10);
    let log = &opened.log;
    let code = |written, record| {
        let mut cursor = at(folder.path(), log, written);
        let decided = cursor.decide(Some(record), true, &options(folder.path()), log);
        let _ = std::fs::remove_file(folder.path().join("kafka.cursor"));
        decided.map_err(|error| error.code())
    };
    let foreign = v1::SinkCursor { log_id: vec![9; 16].into(), ..record(log, 5, 7) };
    assert_eq!(code(None, foreign.clone()), Err("KAFKA_CURSOR_FOREIGN"));
    assert_eq!(code(Some(6), foreign.clone()), Err("KAFKA_CURSOR_FOREIGN"));
    let before = v1::SinkCursor { generation: 0, ..foreign };
    assert_eq!(code(Some(6), before), Ok(()), "a later one of this log supersedes it");
    assert_eq!(code(None, record(log, 11, 7)), Err("KAFKA_CURSOR_AHEAD"));
}

#[test]
fn a_topic_that_lost_its_cursor_is_noticed_by_the_note() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = opened(folder.path());
    push(&mut opened.writer, 10);
    let log = &opened.log;
    let mut cursor = at(folder.path(), log, None);
    cursor.decide(None, true, &options(folder.path()), log).unwrap();
    let covered = Covered { sequence: 6, ..Covered::default() };
    let proposed = cursor.proposed(&covered, log);
    cursor.committed(proposed, log);
    cursor.keep_note(true).unwrap();
    let mut again = at(folder.path(), log, None);
    assert_eq!(again.least_sequence(), 6);
    let lost = again.decide(None, true, &options(folder.path()), log).unwrap_err();
    assert_eq!(lost.code(), "KAFKA_CURSOR_LOST");
    // Delivered at least once, what the note knows is enough.
    again.decide(None, false, &options(folder.path()), log).unwrap();
    assert_eq!(again.sequence(), 6);
    assert!(again.write(log, true).unwrap());
    // And from there on exactly once again.
    at(folder.path(), log, None).decide(None, true, &options(folder.path()), log).unwrap();
}

/// Why a cursor is refused, with its text.
fn refused(options: &KafkaOptions, log: &Log) -> (&'static str, String) {
    let opened = Cursor::open(options, log, &Arc::new(StatusCell::new()));
    let error = opened.err().expect("the cursor is refused");
    assert!(error.next_step().len() > 10);
    (error.code(), error.to_string())
}

#[test]
fn a_file_that_cannot_be_read_is_refused_by_name_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = opened(folder.path());
    push(&mut opened.writer, 10);
    let mut cursor = at(folder.path(), &opened.log, Some(4));
    let proposed = cursor.proposed(&Covered { sequence: 6, ..Covered::default() }, &opened.log);
    cursor.committed(proposed, &opened.log);
    cursor.keep_note(true).unwrap();
    for name in ["kafka.cursor", NOTE_FILE] {
        let path = folder.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[30] ^= 1;
        for damaged in [flipped, whole[..20].to_vec(), Vec::new()] {
            std::fs::write(&path, &damaged).unwrap();
            let (code, text) = refused(&options(folder.path()), &opened.log);
            assert_eq!(code, "KAFKA_CURSOR_FILE");
            assert!(text.contains(&format!("{name} is damaged")), "{text}");
            assert_eq!(std::fs::read(&path).unwrap(), damaged);
        }
        std::fs::write(&path, &whole).unwrap();
    }
    assert_eq!(at(folder.path(), &opened.log, None).sequence(), 4);
}

#[test]
fn a_file_that_cannot_be_written_is_told_and_the_one_before_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = opened(folder.path());
    push(&mut opened.writer, 10);
    let mut cursor = at(folder.path(), &opened.log, Some(4));
    cursor.advance(Covered { sequence: 6, ..Covered::default() });
    // What is to take its place is in the way.
    std::fs::create_dir(folder.path().join("kafka.cursor.tmp")).unwrap();
    let error = cursor.write(&opened.log, true).unwrap_err();
    assert_eq!(error.code(), "KAFKA_CURSOR_FILE");
    assert!(error.to_string().contains("cannot write kafka.cursor"), "{error}");
    assert_eq!(at(folder.path(), &opened.log, None).sequence(), 4);
}

#[test]
fn a_cursor_of_another_pipeline_is_refused_wherever_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = opened(folder.path());
    push(&mut opened.writer, 10);
    let log = &opened.log;
    at(folder.path(), log, Some(4));
    let path = folder.path().join("kafka.cursor");
    let written = std::fs::read(&path).unwrap();
    let other = KafkaOptions { pipeline: "other".to_owned(), ..options(folder.path()) };
    let (code, text) = refused(&other, log);
    assert_eq!(code, "KAFKA_CURSOR_PIPELINE");
    for words in [&path.display().to_string(), "pipeline shop", "pipeline other"] {
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), written);
    let mut cursor = at(folder.path(), log, None);
    for wrong in [
        v1::SinkCursor { pipeline: "other".to_owned(), ..record(log, 7, 50) },
        v1::SinkCursor { sink: "another".to_owned(), ..record(log, 7, 50) },
    ] {
        let error = cursor.decide(Some(wrong), true, &options(folder.path()), log).unwrap_err();
        assert_eq!(error.code(), "KAFKA_CURSOR_PIPELINE");
        assert!(error.to_string().contains("in topic __offtake_cursors"), "{error}");
        assert_eq!(cursor.sequence(), 4);
    }
}
