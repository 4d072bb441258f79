//! Topics by rule, chosen keys and partitions, headers, and messages that are too large: against a
//! real broker, from a log that the test fills by hand.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use offtake_change::wire::ChangeView;
use offtake_change::{Column, Kind, ReplicaIdentity, TableSchema};
use offtake_encode::partition_of;
use offtake_log::{DeadLetter, DeadLetterStream, Log, LogWriter, Selection, dead_letter_stream};
use offtake_sink_kafka::{
    DeadLetterRequest, KafkaOptions, MessageHeaders, Oversize, ProbeOutcome, ProbeStream,
    StreamRule, dead_letters, probe,
};
use offtake_tests::kafka::{Kafka, Record, skipped};

use crate::bench::*;

fn header<'r>(record: &'r Record, name: &str) -> Option<&'r str> {
    let found = record.headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| std::str::from_utf8(value).unwrap())
}

#[test]
fn a_missing_topic_is_made_together_with_those_of_all_streams_as_their_rules_say() {
    if skipped("a_missing_topic_is_made_together_with_those_of_all_streams_as_their_rules_say") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "rules");
    let pipeline = bench.options.pipeline.clone();
    bench.options.topics.rules = vec![StreamRule {
        streams: Selection::globs(["*.public.t1?"]),
        partitions: Some(5),
        config: [("cleanup.policy".to_owned(), "compact".to_owned())].into(),
        ..StreamRule::default()
    }];
    for number in 0..250 {
        bench.opened.writer.register_stream(&format!("{pipeline}.public.t{number}"));
    }
    bench.commit(&[Write::Insert(1, "one".to_owned())]);
    let sink = bench.sink();
    caught_up(&sink);
    wait_until("every topic is there", || kafka.topics(&pipeline).unwrap().len() == 251);
    sink.stop(DEADLINE);
    let of = |number: u32| format!("{pipeline}.public.t{number}");
    assert_eq!((kafka.partitions(&of(12)).unwrap(), kafka.partitions(&of(120)).unwrap()), (5, 3));
    assert_eq!(kafka.topic_config(&of(12)).unwrap()["cleanup.policy"], "compact");
    assert_eq!(kafka.topic_config(&of(120)).unwrap()["cleanup.policy"], "delete");
}

/// The bench's table with other choices.
fn chosen(bench: &mut Bench, rule: StreamRule) {
    let streams = Selection::globs([bench.topic.clone()]);
    bench.options.topics.rules = vec![StreamRule { streams, ..rule }];
    let full = TableSchema { replica_identity: ReplicaIdentity::Full, ..(*bench.schema).clone() };
    bench.schema = Arc::new(full);
}

#[test]
fn chosen_columns_make_the_key_and_decide_the_partition() {
    if skipped("chosen_columns_make_the_key_and_decide_the_partition") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "chosen");
    chosen(
        &mut bench,
        StreamRule {
            key: vec!["note".to_owned(), "id".to_owned()],
            partition_by: vec!["note".to_owned()],
            partitions: Some(7),
            ..StreamRule::default()
        },
    );
    let writes: Vec<Write> =
        (0..100).map(|id| Write::Insert(id, format!("tenant {}", id % 10))).collect();
    bench.commit(&writes);
    let sink = bench.sink();
    caught_up(&sink);
    sink.stop(DEADLINE);
    let records = kafka.read(&bench.topic).unwrap();
    assert_eq!(records.len(), 100);
    for record in &records {
        let after = json(record)["after"].clone();
        let note = after["note"].as_str().unwrap();
        let key = format!("{{\"note\":\"{note}\",\"id\":{}}}", after["id"]);
        assert_eq!(record.key.as_deref(), Some(key.as_bytes()));
        assert_eq!(record.partition, partition_of(note.as_bytes(), 7));
    }
    let used: std::collections::BTreeSet<i32> = records.iter().map(|it| it.partition).collect();
    assert!(used.len() > 2, "{used:?}");
}

#[test]
fn a_column_that_the_table_lacks_halts_and_is_named() {
    if skipped("a_column_that_the_table_lacks_halts_and_is_named") {
        return;
    }
    for (rule, code) in [
        (StreamRule { key: vec!["nope".to_owned()], ..StreamRule::default() }, "KAFKA_KEY_COLUMN"),
        (
            StreamRule { partition_by: vec!["nope".to_owned()], ..StreamRule::default() },
            "KAFKA_PARTITION_COLUMN",
        ),
    ] {
        let mut bench = bench(Kafka::shared(), "lacking");
        chosen(&mut bench, rule);
        bench.commit(&[Write::Insert(1, "one".to_owned())]);
        let sink = bench.sink();
        let halted = halted(&sink);
        assert_eq!(halted.code, code);
        assert!(halted.cause.contains("public.orders") && halted.cause.contains("nope"));
        sink.stop(DEADLINE);
    }
}

#[test]
fn headers_say_where_a_change_stands_and_an_id_that_a_resend_keeps() {
    if skipped("headers_say_where_a_change_stands_and_an_id_that_a_resend_keeps") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "headers");
    bench.options.headers =
        MessageHeaders { position: true, event_id: true, ..MessageHeaders::default() };
    bench.commit(&[Write::Insert(1, "one".to_owned()), Write::Delete(1)]);
    for _ in 0..2 {
        let sink = bench.sink();
        caught_up(&sink);
        sink.stop(DEADLINE);
        // Everything again.
        std::fs::remove_file(&bench.options.cursor_path).unwrap();
    }
    let records = kafka.read(&bench.topic).unwrap();
    assert_eq!(records.len(), 6);
    let log: String = bench.log().id().iter().map(|byte| format!("{byte:02x}")).collect();
    let ids: Vec<&str> =
        records.iter().map(|record| header(record, "offtake.event_id").unwrap()).collect();
    let once = [format!("{log}:1"), format!("{log}:2"), format!("{log}:2:1")];
    assert_eq!(ids, [&once[..], &once[..]].concat());
    assert_eq!(header(&records[0], "offtake.position"), Some("0/32"));
    assert_eq!(header(&records[0], "offtake.commit_position"), Some("0/64"));
}

/// Text that no compression makes smaller.
fn noise(bytes: usize) -> String {
    let mut random = 88_172_645_463_325_252u64;
    let character = |_| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        char::from(b' ' + 2 + (random >> 33) as u8 % 90)
    };
    (0..bytes).map(character).collect()
}

/// Answers requests as the pipeline does, until nobody can ask any more.
fn pipeline(
    mut writer: LogWriter,
    requests: flume::Receiver<DeadLetterRequest>,
    pipeline: &str,
) -> JoinHandle<(LogWriter, usize)> {
    let mut stream = DeadLetterStream::new(pipeline);
    std::thread::spawn(move || {
        let mut answered = 0;
        while let Ok(request) = requests.recv() {
            let change = ChangeView::parse(&request.change).unwrap();
            assert_eq!(change.sequence, request.sequence);
            let letter = DeadLetter {
                origin: "kafka",
                sequence: request.sequence,
                code: request.code,
                error: &request.error,
                stream: &request.stream,
                table: &request.schema.table,
                change: Some(&request.change),
                ..DeadLetter::default()
            };
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
            let sequence = stream.push(&mut writer, &letter, i64::try_from(now).unwrap());
            writer.submit().unwrap();
            request.written(sequence);
            answered += 1;
        }
        (writer, answered)
    })
}

/// Sequences of the originals in the log's dead letters.
fn letters(log: &Log, pipeline: &str) -> Vec<u64> {
    let mut reader = log.reader(0, Selection::globs([dead_letter_stream(pipeline)])).unwrap();
    let mut found = Vec::new();
    while let Some(group) = reader.next_group().unwrap() {
        for run in &group.runs {
            for change in run.changes() {
                let change = change.unwrap();
                let value = change.after.unwrap().values().nth(1).unwrap().unwrap();
                let offtake_change::ValueRef::Integer(sequence) = value else {
                    panic!("{value:?}")
                };
                found.push(sequence.try_into().unwrap());
            }
        }
    }
    found
}

fn too_large_becomes_a_dead_letter(kafka: &Kafka, hint: &str, change: impl Fn(&mut KafkaOptions)) {
    let mut bench = bench(kafka, hint);
    change(&mut bench.options);
    let name = bench.options.pipeline.clone();
    let (sender, requests) = dead_letters();
    bench.options.oversize = Oversize::DeadLetter(sender);
    bench.commit(&[Write::Insert(1, "small".to_owned())]);
    // Compressed it fits, so it is no dead letter.
    bench.commit(&[Write::Insert(2, "compressible ".repeat(300_000))]);
    bench.commit(&[Write::Insert(3, noise(3_000_000)), Write::Insert(4, "same".to_owned())]);
    bench.commit(&[Write::Insert(5, noise(2_500_000))]);
    for version in 0..50 {
        bench.commit(&[Write::Update(3, format!("behind {version}"))]);
    }
    let sink = bench.sink();
    let log = bench.log();
    let topic = bench.topic.clone();
    let answering = pipeline(bench.opened.writer, requests, &name);
    let status =
        wait(&sink, "everything is past", |status| status.lag == 0 && status.dead_letters > 1);
    assert_eq!((status.dead_letters, status.cursor), (2, 57), "{status:?}");
    sink.stop(DEADLINE);
    // The sink's end of the channel is in the options too.
    bench.options.oversize = Oversize::Halt;
    let (writer, answered) = answering.join().unwrap();
    assert_eq!((answered, letters(&log, &name)), (2, vec![3, 5]));

    let records = kafka.read_committed(&topic).unwrap();
    assert_eq!(notes(&records, 2)[0].len(), 13 * 300_000);
    assert_eq!(notes(&records, 4), ["same"]);
    assert!(notes(&records, 5).is_empty());
    let behind = notes(&records, 3);
    let missing: Vec<String> = (0..50)
        .map(|version| format!("behind {version}"))
        .filter(|note| !behind.contains(note))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(behind.iter().all(|note| note.len() < 20), "the large one is not there");

    // In Kafka a dead letter does without the change that is too large for Kafka.
    let topic = dead_letter_stream(&name);
    let dead = kafka.read_committed(&topic).unwrap();
    assert_eq!(dead.len(), 2);
    let value = json(&dead[0]);
    let after = value.get("after").unwrap_or(&value);
    assert_eq!((after["sequence"].as_i64(), after["change"].is_null()), (Some(3), true));
    assert_eq!(after["code"], "KAFKA_MESSAGE_TOO_LARGE");
    assert!(after["error"].as_str().unwrap().contains(&bench.topic), "{after}");
    drop(writer);
}

#[test]
fn a_message_that_is_too_large_becomes_a_dead_letter_and_nothing_else_is_lost() {
    if skipped("a_message_that_is_too_large_becomes_a_dead_letter_and_nothing_else_is_lost") {
        return;
    }
    too_large_becomes_a_dead_letter(Kafka::shared(), "letter", |_| {});
}

#[test]
fn a_message_that_is_too_large_becomes_a_dead_letter_with_exactly_once_delivery_too() {
    if skipped("a_message_that_is_too_large_becomes_a_dead_letter_with_exactly_once_delivery_too") {
        return;
    }
    too_large_becomes_a_dead_letter(Kafka::shared(), "letter_once", |options| {
        options.delivery = offtake_sink_kafka::DeliveryOptions::default();
    });
}

#[test]
fn a_dead_letter_that_is_in_the_log_is_not_written_again() {
    if skipped("a_dead_letter_that_is_in_the_log_is_not_written_again") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "letter_again");
    let name = bench.options.pipeline.clone();
    bench.commit(&[Write::Insert(1, "small".to_owned())]);
    bench.commit(&[Write::Insert(2, noise(3_000_000))]);
    let log = bench.log();
    let mut writer = Some(bench.opened.writer);
    for _ in 0..2 {
        let (sender, requests) = dead_letters();
        bench.options.oversize = Oversize::DeadLetter(sender);
        let answering = pipeline(writer.take().unwrap(), requests, &name);
        let sink =
            offtake_sink_kafka::KafkaSink::start(bench.options.clone(), log.clone()).unwrap();
        wait(&sink, "it is past", |status| status.lag == 0 && status.dead_letters == 1);
        sink.stop(DEADLINE);
        bench.options.oversize = Oversize::Halt;
        writer = Some(answering.join().unwrap().0);
        // As after a crash before the cursor was written.
        std::fs::remove_file(&bench.options.cursor_path).unwrap();
    }
    assert_eq!(letters(&log, &name), [2]);
}

#[test]
fn the_sink_waits_for_a_pipeline_that_does_not_run_and_says_so() {
    if skipped("the_sink_waits_for_a_pipeline_that_does_not_run_and_says_so") {
        return;
    }
    let mut bench = bench(Kafka::shared(), "letter_waits");
    let name = bench.options.pipeline.clone();
    let (sender, requests) = dead_letters();
    drop(requests);
    bench.options.oversize = Oversize::DeadLetter(sender);
    bench.commit(&[Write::Insert(1, noise(3_000_000))]);
    let sink = bench.sink();
    let status = wait(&sink, "it waits for the pipeline", |status| {
        status.last_error.as_deref().is_some_and(|error| error.contains("pipeline does not run"))
    });
    assert_eq!((status.cursor, status.lag), (0, 1));
    sink.stop(DEADLINE);
    assert!(letters(&bench.log(), &name).is_empty());
}

/// A full log waits for the sink, the sink for the dead letter, and the dead letter for the log.
#[test]
fn a_dead_letter_gets_into_a_full_log() {
    if skipped("a_dead_letter_gets_into_a_full_log") {
        return;
    }
    let kafka = Kafka::shared();
    let Bench { folder, opened, mut options, schema, topic } =
        bench_with(kafka, "letter_full", |log| log.retain_bytes = 8 << 20);
    let name = options.pipeline.clone();
    let (log, mut writer) = (opened.log.clone(), opened.writer);
    commit(&mut writer, &schema, &topic, &[Write::Insert(0, noise(3_000_000))]);
    let (sender, requests) = dead_letters();
    options.oversize = Oversize::DeadLetter(sender);
    let held = log.pin("test", 0);
    // As the pipeline: what is asked for comes before what is taken in, and a full log stops it.
    let mut stream = DeadLetterStream::new(&name);
    let load = std::thread::spawn(move || {
        for id in 1..400_i64 {
            if let Ok(request) = requests.try_recv() {
                let letter = DeadLetter {
                    origin: "kafka",
                    sequence: request.sequence,
                    change: Some(&request.change),
                    ..DeadLetter::default()
                };
                let sequence = stream.push(&mut writer, &letter, 1);
                writer.submit().unwrap();
                request.written(sequence);
            }
            commit_without_flush(
                &mut writer,
                &schema,
                &topic,
                &[Write::Insert(id, noise(100_000))],
            );
        }
        writer.flush().unwrap();
        writer
    });
    wait_until("the log is full", || log.stats().blocked.is_some());
    let sink = offtake_sink_kafka::KafkaSink::start(options.clone(), log.clone()).unwrap();
    drop(held);
    let status = wait(&sink, "everything is past", |status| {
        status.lag == 0 && status.dead_letters == 1 && load.is_finished()
    });
    assert_eq!(status.cursor, 401);
    sink.stop(DEADLINE);
    drop((load.join().unwrap(), folder));
}

fn tables(bench: &Bench, tables: Vec<TableSchema>) -> Vec<ProbeStream> {
    let tables = tables.into_iter().map(|table| Arc::new(table).into()).collect();
    vec![ProbeStream { stream: bench.topic.clone(), tables, ..ProbeStream::default() }]
}

#[test]
fn a_look_at_the_cluster_judges_existing_topics_and_the_tables_on_them() {
    if skipped("a_look_at_the_cluster_judges_existing_topics_and_the_tables_on_them") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "judged");
    let compact = [("cleanup.policy", "compact"), ("retention.ms", "1000")];
    kafka.create_topic(&bench.topic, 2, &compact).unwrap();
    bench.options.topics.config.insert("retention.ms".to_owned(), "2000".to_owned());
    let two = vec![
        TableSchema { columns: columns(), ..table(&[0]) },
        TableSchema { table: "returns".to_owned(), columns: columns(), ..table(&[]) },
    ];
    let items = probe(&bench.options, &tables(&bench, two));
    let found: Vec<(&str, &str)> =
        items.iter().map(|item| (item.name.as_str(), item.code)).collect();
    let topic = format!("topic {}", bench.topic);
    assert_eq!(
        found,
        [
            ("brokers", ""),
            (topic.as_str(), ""),
            (topic.as_str(), "KAFKA_TOPIC_DIFFERS"),
            ("table public.returns", "KAFKA_COMPACT_NO_KEY"),
            ("table public.returns", "KAFKA_TOPIC_KEYS"),
            ("delivery", ""),
        ]
    );
    assert!(
        items[2]
            .text
            .ends_with("2 partition(s) instead of 3, retention.ms is 1000 instead of 2000"),
        "{}",
        items[2].text
    );
    // Nothing of it is changed.
    assert_eq!(kafka.topic_config(&bench.topic).unwrap()["retention.ms"], "1000");
    assert_eq!(kafka.partitions(&bench.topic).unwrap(), 2);

    let config = &mut bench.options.topics.config;
    config.insert("min.insync.replicas".to_owned(), "2".to_owned());
    bench.topic = format!("{}.other", bench.options.pipeline);
    let items = probe(&bench.options, &tables(&bench, vec![]));
    let found: Vec<_> = items.iter().map(|item| (item.code, item.outcome)).collect();
    assert!(found.contains(&("KAFKA_TOO_FEW_REPLICAS", ProbeOutcome::Error)), "{items:?}");
}

fn columns() -> Vec<Column> {
    let column = |name: &str, kind, logical: &str| Column {
        nullable: false,
        ..Column::new(name, kind, logical)
    };
    vec![column("id", Kind::Integer, "int8"), column("note", Kind::Text, "text")]
}
