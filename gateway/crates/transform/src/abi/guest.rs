//! A core module that runs: what it is given is put into its memory, what it answers is read there.

use wasmtime::{Instance, InstancePre, Memory, Store, TypedFunc};

use super::reader::{Unreadable, malformed};
use super::{batch_frame, json, verdict_frame};
use crate::bindings as wit;
use crate::host::HostState;

/// The version of the ABI that this host offers.
pub(crate) const VERSION: u32 = 1;
/// Room that the buffer of a frame keeps between calls, in bytes.
const KEPT_BYTES: usize = 1 << 20;
/// What the address of a call's argument is a multiple of.
const ALIGNMENT: u32 = 8;

/// A module of another version of the ABI.
#[derive(Debug, thiserror::Error)]
#[error("it is of version {0} of the core-module ABI")]
pub(crate) struct OtherVersion(pub(crate) u32);

/// A module that has no room for what it is to be given.
#[derive(Debug, thiserror::Error)]
#[error("it has no room for {0} bytes")]
pub(crate) struct NoRoom(usize);

type Call = TypedFunc<(u32, u32), u64>;

/// The functions of a running module.
pub(crate) struct Guest {
    memory: Memory,
    alloc: TypedFunc<u32, u32>,
    configure: Call,
    on_schema: Call,
    process: Call,
    /// The argument of a call, kept from call to call.
    frame: Vec<u8>,
    /// What may be made of an answer, in bytes of the host's memory.
    output_bytes: usize,
}

impl Guest {
    /// Starts an instance.
    pub(crate) fn start(
        pre: &InstancePre<HostState>,
        store: &mut Store<HostState>,
        output_bytes: usize,
    ) -> wasmtime::Result<Guest> {
        let instance = pre.instantiate(&mut *store)?;
        if instance.get_func(&mut *store, "_initialize").is_some() {
            instance.get_typed_func::<(), ()>(&mut *store, "_initialize")?.call(&mut *store, ())?;
        }
        let version = instance.get_typed_func::<(), u32>(&mut *store, "offtake_abi_version")?;
        let version = version.call(&mut *store, ())?;
        if version != VERSION {
            return Err(OtherVersion(version).into());
        }
        let call = |store: &mut Store<HostState>, instance: &Instance, name| {
            instance.get_typed_func(store, name)
        };
        Ok(Guest {
            memory: instance
                .get_memory(&mut *store, "memory")
                .ok_or_else(|| malformed("it exports no memory"))?,
            alloc: instance.get_typed_func(&mut *store, "offtake_alloc")?,
            configure: call(store, &instance, "offtake_configure")?,
            on_schema: call(store, &instance, "offtake_on_schema")?,
            process: call(store, &instance, "offtake_process")?,
            frame: Vec::new(),
            output_bytes,
        })
    }

    pub(crate) fn configure(
        &mut self,
        store: &mut Store<HostState>,
        config_json: &str,
    ) -> wasmtime::Result<Result<wit::Info, wit::Failure>> {
        let packed = self.call(store, &self.configure, config_json.as_bytes())?;
        Ok(json::info(self.answer(store, packed)?)?)
    }

    pub(crate) fn on_schema(
        &mut self,
        store: &mut Store<HostState>,
        schema: &wit::Schema,
    ) -> wasmtime::Result<Result<wit::Interest, wit::Failure>> {
        let packed = self.call(store, &self.on_schema, &json::schema(schema))?;
        Ok(json::interest(self.answer(store, packed)?)?)
    }

    pub(crate) fn process(
        &mut self,
        store: &mut Store<HostState>,
        batch: &wit::Batch,
    ) -> wasmtime::Result<Result<wit::Verdict, wit::Failure>> {
        batch_frame::write(batch, &mut self.frame).map_err(|_| NoRoom(self.frame.len()))?;
        let packed = self.call(store, &self.process, &self.frame)?;
        if self.frame.capacity() > KEPT_BYTES {
            self.frame = Vec::new();
        }
        if packed == 0 {
            return Ok(Ok(verdict_frame::empty()));
        }
        let frame = self.answer(store, packed)?;
        Ok(verdict_frame::read(frame, batch.rows, self.output_bytes)?)
    }

    /// Puts an argument into the module's memory and calls it.
    fn call(
        &self,
        store: &mut Store<HostState>,
        function: &Call,
        argument: &[u8],
    ) -> wasmtime::Result<u64> {
        let no_room = || NoRoom(argument.len());
        let length = u32::try_from(argument.len()).map_err(|_| no_room())?;
        let at = self.alloc.call(&mut *store, length)?;
        if at == 0 {
            return Err(no_room().into());
        }
        if !at.is_multiple_of(ALIGNMENT) {
            return Err(malformed(format!("offtake_alloc gives {at}, no multiple of 8")).into());
        }
        let place = super::imports::slice_mut(self.memory.data_mut(&mut *store), at, length);
        place
            .ok_or_else(|| malformed(format!("offtake_alloc gives {at}, outside its memory")))?
            .copy_from_slice(argument);
        function.call(store, (at, length))
    }

    /// The bytes that an answer names.
    fn answer<'a>(&self, store: &'a Store<HostState>, packed: u64) -> Result<&'a [u8], Unreadable> {
        let (at, length) = ((packed >> 32) as u32, packed as u32);
        let bytes =
            super::imports::slice(self.memory.data(store), at, length).ok_or_else(|| {
                malformed(format!("an answer of {length} bytes at {at} is not in its memory"))
            })?;
        if bytes.len() > self.output_bytes {
            return Err(Unreadable::TooLarge);
        }
        Ok(bytes)
    }
}
