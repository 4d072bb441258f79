//! Kept state, as a core module reads and writes it: frames of keys and values in its memory.
//!
//! What may be kept, and when a write counts, is not decided here: a frame becomes the call that a
//! component makes. An answer waits with the host until the module, which knows its length by then,
//! says where it goes; so the host never has to ask the module for room in the middle of a call.

use wasmtime::{Caller, Linker};

use super::imports::{HOST, memory, slice, slice_mut};
use super::reader::{Read, Reader, Unreadable, malformed};
use crate::bindings::offtake::transform::state::Host;
use crate::host::HostState;

/// The names of the functions.
pub(super) const NAMES: [&str; 4] =
    ["state_get_many", "state_read", "state_put_many", "state_delete_many"];

/// In place of seconds: the values do not end.
const NO_END: i64 = -1;

type Guest<'a> = Caller<'a, HostState>;
type Entry = (Vec<u8>, Vec<u8>);

/// Offers the functions.
pub(super) fn offer(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(HOST, "state_get_many", get_many)?;
    linker.func_wrap(HOST, "state_read", read)?;
    linker.func_wrap(HOST, "state_put_many", put_many)?;
    linker.func_wrap(HOST, "state_delete_many", |mut guest: Guest<'_>, at: u32, length: u32| {
        let (keys, state) = request(&mut guest, at, length, keys)?;
        state.delete_many(keys)
    })?;
    Ok(())
}

/// Looks keys up and gives the answer's length.
fn get_many(mut guest: Guest<'_>, at: u32, length: u32) -> wasmtime::Result<u32> {
    let (keys, state) = request(&mut guest, at, length, keys)?;
    let answer = answer(&state.get_many(keys)?);
    let length = u32::try_from(answer.len()).map_err(|_| Unreadable::TooLarge)?;
    state.state_answer = Some(answer);
    Ok(length)
}

/// Puts the answer where the module wants it.
fn read(mut guest: Guest<'_>, at: u32) -> wasmtime::Result<()> {
    let (memory, state) = memory(&mut guest)?;
    state.count_call()?;
    let answer = state
        .state_answer
        .take()
        .ok_or_else(|| malformed("it reads an answer of its state, and none is there"))?;
    let length = answer.len();
    u32::try_from(length)
        .ok()
        .and_then(|length| slice_mut(memory, at, length))
        .ok_or_else(|| {
            malformed(format!("room for {length} bytes of its state at {at} is not in its memory"))
        })?
        .copy_from_slice(&answer);
    Ok(())
}

fn put_many(mut guest: Guest<'_>, at: u32, length: u32, seconds: i64) -> wasmtime::Result<()> {
    let seconds = match seconds {
        NO_END => None,
        _ => Some(u32::try_from(seconds).map_err(|_| {
            malformed(format!("values of its state are to end after {seconds} seconds"))
        })?),
    };
    let (entries, state) = request(&mut guest, at, length, entries)?;
    state.put_many(entries, seconds)
}

/// What a frame in the module's memory asks for.
fn request<'a, T>(
    guest: &'a mut Guest<'_>,
    at: u32,
    length: u32,
    read: impl FnOnce(&[u8], usize) -> Read<T>,
) -> wasmtime::Result<(T, &'a mut HostState)> {
    let (memory, state) = memory(guest)?;
    let frame = slice(memory, at, length).ok_or_else(|| {
        malformed(format!("{length} bytes for its state at {at} are not in its memory"))
    })?;
    let asked = read(frame, state.output_bytes)?;
    Ok((asked, state))
}

/// A number, and as many keys.
fn keys(frame: &[u8], budget: usize) -> Read<Vec<Vec<u8>>> {
    let mut reader = Reader::new(frame, budget);
    let count = reader.count(4, size_of::<Vec<u8>>())?;
    let keys = (0..count).map(|_| reader.text_bytes()).collect::<Read<_>>()?;
    reader.finish()?;
    Ok(keys)
}

/// A number, and as many keys with their values.
fn entries(frame: &[u8], budget: usize) -> Read<Vec<Entry>> {
    let mut reader = Reader::new(frame, budget);
    let count = reader.count(8, size_of::<Entry>())?;
    let mut entry = || Ok((reader.text_bytes()?, reader.text_bytes()?));
    let entries = (0..count).map(|_| entry()).collect::<Read<_>>()?;
    reader.finish()?;
    Ok(entries)
}

/// Of each key whether there is a value, and the value.
fn answer(values: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut frame = Vec::new();
    for value in values {
        frame.extend(u32::from(value.is_some()).to_le_bytes());
        if let Some(value) = value {
            // The state holds no value that is longer than a length of 32 bits can say.
            frame.extend((value.len() as u32).to_le_bytes());
            frame.extend_from_slice(value);
            frame.resize(frame.len().next_multiple_of(4), 0);
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const BUDGET: usize = 1 << 20;

    fn text(frame: &mut Vec<u8>, bytes: &[u8]) {
        frame.extend((bytes.len() as u32).to_le_bytes());
        frame.extend_from_slice(bytes);
        frame.resize(frame.len().next_multiple_of(4), 0);
    }

    fn frame_of_keys(keys: &[Vec<u8>]) -> Vec<u8> {
        let mut frame = (keys.len() as u32).to_le_bytes().to_vec();
        keys.iter().for_each(|key| text(&mut frame, key));
        frame
    }

    fn frame_of_entries(entries: &[Entry]) -> Vec<u8> {
        let mut frame = (entries.len() as u32).to_le_bytes().to_vec();
        for (key, value) in entries {
            text(&mut frame, key);
            text(&mut frame, value);
        }
        frame
    }

    /// The lines of the specification's example, as bytes.
    fn example() -> Vec<Vec<u8>> {
        let specification = include_str!("../../../../../sdk/abi.md");
        let section = specification.split("## State").nth(1).expect("it is there");
        let block = section.split("```").nth(1).expect("an example");
        let byte = |word: &str| match word.len() {
            2 => u8::from_str_radix(word, 16).ok(),
            _ => None,
        };
        let line = |line: &str| line.split_whitespace().map_while(byte).collect();
        block.trim().lines().map(line).collect()
    }

    #[test]
    fn the_example_of_the_specification_is_what_is_read_and_written() {
        let [asked, answered] = &example()[..] else { panic!("two lines") };
        assert_eq!(keys(asked, BUDGET), Ok(vec![b"n".to_vec()]));
        assert_eq!(&answer(&[Some(vec![7, 0, 0, 0])]), answered);
    }

    #[test]
    fn an_answer_tells_an_empty_value_from_none() {
        let values = [Some(b"abcde".to_vec()), None, Some(Vec::new())];
        let expected = b"\x01\0\0\0\x05\0\0\0abcde\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0";
        assert_eq!(answer(&values), expected);
        assert!(answer(&[]).is_empty());
    }

    #[test]
    fn what_is_made_of_a_frame_is_bounded_and_counts_that_lie_are_refused() {
        let empty = vec![Vec::new(); 1000];
        assert_eq!(keys(&frame_of_keys(&empty), BUDGET), Ok(empty.clone()));
        assert_eq!(keys(&frame_of_keys(&empty), 4004), Err(Unreadable::TooLarge));
        for frame in [&b""[..], b"\0\0\0", b"\xff\xff\xff\xff", b"\x01\0\0\0\xff\xff\xff\xff"] {
            assert!(matches!(keys(frame, BUDGET), Err(Unreadable::Malformed(_))), "{frame:?}");
            assert!(matches!(entries(frame, BUDGET), Err(Unreadable::Malformed(_))), "{frame:?}");
        }
        assert!(keys(b"\0\0\0\0\0", BUDGET).is_err(), "a byte too many");
        assert!(keys(b"\x01\0\0\0\x01\0\0\0n", BUDGET).is_err(), "the padding is missing");
    }

    proptest! {
        #[test]
        fn frames_are_read_as_they_were_written(
            list in vec((vec(any::<u8>(), 0..9), vec(any::<u8>(), 0..9)), 0..9),
            cut in any::<prop::sample::Index>(),
        ) {
            let asked: Vec<Vec<u8>> = list.iter().map(|(key, _)| key.clone()).collect();
            let frame = frame_of_keys(&asked);
            prop_assert_eq!(keys(&frame, BUDGET), Ok(asked));
            prop_assert!(keys(&frame[..cut.index(frame.len())], BUDGET).is_err());
            let frame = frame_of_entries(&list);
            prop_assert_eq!(entries(&frame, BUDGET), Ok(list));
            prop_assert!(entries(&frame[..cut.index(frame.len())], BUDGET).is_err());
        }

        #[test]
        fn random_bytes_are_read_or_refused(
            bytes in vec(prop_oneof![3 => Just(0_u8), 2 => 0_u8..8, 1 => any::<u8>()], 0..200),
            budget in 0_usize..4096,
        ) {
            // What is read says nothing but what stood there, and takes no more than it may.
            if let Ok(keys) = keys(&bytes, budget) {
                let taken: usize = keys.iter().map(|key| key.len() + size_of::<Vec<u8>>()).sum();
                prop_assert!(taken <= budget);
                prop_assert_eq!(frame_of_keys(&keys).len(), bytes.len());
            }
            if let Ok(entries) = entries(&bytes, budget) {
                prop_assert_eq!(frame_of_entries(&entries).len(), bytes.len());
            }
        }
    }
}
