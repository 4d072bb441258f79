//! Control records by place: none is missed, whatever groups carry and whatever is deleted.

use super::disk::FakeDisk;
use super::*;
use crate::LogPlace;

fn small() -> LogOptions {
    LogOptions { segment_bytes: 4 << 10, retain_bytes: 16 << 10, ..options() }
}

/// One group with a state write and no change, durable.
fn keep(writer: &mut LogWriter, number: u64) {
    let entry = v1::StateEntry { value: vec![7; 500].into(), ..Default::default() };
    writer.control(Control::StateDelta(v1::StateDelta {
        plugin: number.to_string(),
        put: vec![entry],
        ..Default::default()
    }));
    writer.flush().unwrap();
}

/// The state writes from a place on, and the place behind them.
fn walk(log: &Log, from: LogPlace) -> Result<(Vec<u64>, LogPlace), ReadError> {
    let mut walk = log.walk(from)?;
    let mut seen = Vec::new();
    while let Some(controls) = walk.next_controls()? {
        for control in controls {
            if let Control::StateDelta(delta) = control {
                seen.push(delta.plugin.parse().unwrap());
            }
        }
    }
    Ok((seen, walk.place()))
}

#[test]
fn groups_without_changes_are_walked_over_once_and_held() {
    let disk = FakeDisk::new();
    let Opened { mut writer, log, .. } = open_with(small(), environment(&disk)).unwrap();
    let begin = log.end();
    let hold = log.hold("state", begin);
    // No change anywhere, so every place has the same sequence.
    for number in 0..20 {
        keep(&mut writer, number);
    }
    assert!(log.stats().segments > 2, "{:?}", log.stats());
    let (seen, end) = walk(&log, begin).unwrap();
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
    assert_eq!(end, log.end());
    assert_eq!(walk(&log, end).unwrap(), (vec![], end));
    hold.advance(end);
    let mut last = end;
    for number in 20..60 {
        keep(&mut writer, number);
        let (seen, next) = walk(&log, last).unwrap();
        assert_eq!(seen, [number]);
        last = next;
        hold.advance(last);
    }
    assert!(walk(&log, begin).is_err(), "what nobody holds was deleted");
    drop((writer, log, hold));
    let Opened { mut writer, log, .. } = open_with(small(), environment(&disk)).unwrap();
    assert_eq!(log.end(), last);
    keep(&mut writer, 60);
    assert_eq!(walk(&log, last).unwrap().0, [60]);
}

#[test]
fn a_hold_blocks_a_full_log_and_lets_it_go_on() {
    let disk = FakeDisk::new();
    let Opened { mut writer, log, .. } = open_with(small(), environment(&disk)).unwrap();
    let begin = log.end();
    let hold = log.hold("state", begin);
    let writing = std::thread::spawn(move || {
        for number in 0..60 {
            keep(&mut writer, number);
        }
        writer
    });
    eventually("blocked", || log.stats().blocked.is_some());
    let (seen, mut place) = walk(&log, begin).unwrap();
    assert!(seen.len() < 60 && seen == (0..seen.len() as u64).collect::<Vec<_>>());
    let mut all = seen;
    eventually("it went on", || {
        let (more, next) = walk(&log, place).unwrap();
        all.extend(more);
        place = next;
        hold.advance(place);
        all.len() == 60
    });
    assert_eq!(all, (0..60).collect::<Vec<_>>());
    drop(writing.join().unwrap());
}

#[test]
fn a_place_that_the_log_has_not_is_refused() {
    let disk = FakeDisk::new();
    let Opened { mut writer, log, .. } = open_with(small(), environment(&disk)).unwrap();
    keep(&mut writer, 0);
    let LogPlace { segment, offset } = log.end();
    for ahead in
        [LogPlace { segment: segment + 1, offset: 64 }, LogPlace { segment, offset: offset + 1 }]
    {
        assert!(matches!(log.walk(ahead), Err(ReadError::Ahead { .. })), "{ahead:?}");
    }
}
