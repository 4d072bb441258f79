//! Small components, written as text, one for each way to behave.
//!
//! Each is a core module that follows the canonical ABI by hand and is wrapped by `wit-component`.
//! What the plugin answers is laid out here as bytes at fixed places of its memory.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use offtake_transform::{Engine, EngineOptions, Instance, Limits, Plugin, PluginError, PluginSpec};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::answers::{self, Form, Output, Shape};

/// Where the laid-out answers begin.
const ANSWERS: u32 = 1024;
/// Where the guest's allocator begins.
const HEAP: u32 = 64 << 10;
/// Where a computed verdict is put.
pub(crate) const OUT: u32 = 512;

/// Wants of the contract, as bits.
pub(crate) const BEFORE_IMAGE: u8 = 1;
pub(crate) const PACKED_TEXT: u8 = 1 << 5;
/// Everything beside images and layout.
pub(crate) const ALL_METADATA: u8 = 0b1_1110;

/// A core module's memory as it is built up.
#[derive(Clone, Default)]
pub(crate) struct Layout {
    bytes: Vec<u8>,
}

impl Layout {
    /// Puts bytes at an aligned place and gives the address.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> u32 {
        while !self.bytes.len().is_multiple_of(8) {
            self.bytes.push(0);
        }
        let at = ANSWERS + self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        at
    }

    /// A list or string: address and length.
    pub(crate) fn list(&mut self, bytes: &[u8], count: usize) -> [u8; 8] {
        let at = self.put(bytes);
        words(&[at, count as u32]).try_into().unwrap()
    }

    pub(crate) fn string(&mut self, text: &[u8]) -> [u8; 8] {
        self.list(text, text.len())
    }

    pub(crate) fn u32s(&mut self, values: &[u32]) -> [u8; 8] {
        let bytes = words(values);
        self.list(&bytes, values.len())
    }
}

/// Little-endian words.
pub(crate) fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A plugin to be built.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) protects: bool,
    pub(crate) required: Vec<&'static str>,
    pub(crate) stateful: bool,
    /// Further imports, of the wider world too, and functions and data behind them.
    pub(crate) imports: &'static str,
    pub(crate) refuses_config: Option<&'static str>,
    pub(crate) columns: Vec<u32>,
    pub(crate) wants: u8,
    pub(crate) subscribe: bool,
    /// Sets the interest's `extra`, which this release refuses.
    pub(crate) extra: bool,
    /// The same of what it says of itself.
    pub(crate) extra_info: bool,
    pub(crate) shape: Option<Shape>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) form: Form,
    /// Instructions of the allocator, before it allocates.
    pub(crate) on_alloc: String,
    /// Instructions of `configure`, before it answers.
    pub(crate) on_configure: String,
    /// Instructions of `process`; must leave the address of the verdict.
    pub(crate) process: String,
    pub(crate) layout: Layout,
}

impl Default for Guest {
    fn default() -> Guest {
        Guest {
            protects: false,
            required: Vec::new(),
            stateful: false,
            imports: "",
            refuses_config: None,
            columns: Vec::new(),
            wants: 0,
            subscribe: true,
            extra: false,
            extra_info: false,
            shape: None,
            outputs: Vec::new(),
            form: Form::AsItComes,
            on_alloc: String::new(),
            on_configure: String::new(),
            process: format!("(i32.const {OUT})"),
            layout: Layout::default(),
        }
    }
}

impl Guest {
    /// Lets everything pass.
    pub(crate) fn pass(columns: &[u32], wants: u8) -> Guest {
        Guest { columns: columns.to_vec(), wants, ..Guest::default() }
    }

    /// Sets every column that it was sent to the very values that it was sent.
    pub(crate) fn echo(columns: &[u32], wants: u8) -> Guest {
        let process = "(call $echo (local.get $b) (i32.const 0))".to_owned();
        Guest { process, ..Guest::pass(columns, wants) }
    }

    /// Sets every byte of every text that it was sent to `*`.
    pub(crate) fn stars(columns: &[u32], wants: u8) -> Guest {
        let process = "(call $echo (local.get $b) (i32.const 1))".to_owned();
        Guest { process, ..Guest::pass(columns, wants) }
    }

    /// Lets everything pass under the key of these columns.
    pub(crate) fn keying(key: &[u32]) -> Guest {
        Guest { shape: Some(Shape::key(key)), ..Guest::pass(&[], 0) }
    }

    /// Runs instructions and lets everything pass.
    pub(crate) fn doing(instructions: &str) -> Guest {
        Guest { process: format!("{instructions} (i32.const {OUT})"), ..Guest::pass(&[0], 0) }
    }

    /// Always answers the verdict of these eight-byte lists: drop, set, ops, routes, emit,
    /// failures, extra.
    pub(crate) fn answering(build: impl FnOnce(&mut Layout) -> [[u8; 8]; 7]) -> Guest {
        let mut layout = Layout::default();
        let lists = build(&mut layout);
        let mut result = words(&[0]);
        result.extend(lists.iter().flatten());
        let at = layout.put(&result);
        Guest { process: format!("(i32.const {at})"), layout, ..Guest::pass(&[1], 0) }
    }

    /// The component.
    pub(crate) fn build(&self) -> Vec<u8> {
        let world =
            if self.imports.contains("state@") { "stateful-transform" } else { "transform" };
        component(&self.text(), world)
    }

    fn text(&self) -> String {
        let mut layout = self.layout.clone();
        let info = self.info(&mut layout);
        let interest = self.interest(&mut layout);
        let data: String = layout.bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!(
            r#"(module
  (import "offtake:transform/host@1.0.0" "log" (func $log (param i32 i32 i32)))
  (import "offtake:transform/host@1.0.0" "counter" (func $counter (param i32 i32) (result i32)))
  (import "offtake:transform/host@1.0.0" "add" (func $add (param i32 i32)))
  {imports}
  (memory (export "memory") 4)
  (global $heap (mut i32) (i32.const {HEAP}))
  (data (i32.const {ANSWERS}) "{data}")
  {realloc}
  {ECHO}
  (func (export "offtake:transform/plugin@1.0.0#configure") (param $config i32) (param $len i32) (result i32)
    {configure} (i32.const {info}))
  (func (export "offtake:transform/plugin@1.0.0#on-schema") (param i32) (result i32)
    (i32.const {interest}))
  (func $process (export "offtake:transform/plugin@1.0.0#process") (param $b i32) (result i32)
    (local $i i32)
    {process})
  (func (export "cabi_post_offtake:transform/plugin@1.0.0#process") (param i32)
    (global.set $heap (i32.const {HEAP})))
)"#,
            imports = self.imports,
            realloc = REALLOC.replace("(; on_alloc ;)", &self.on_alloc),
            configure = self.on_configure,
            process = self.process,
        )
    }

    /// `result<info, failure>`.
    fn info(&self, layout: &mut Layout) -> u32 {
        if let Some(message) = self.refuses_config {
            let text = layout.string(message.as_bytes());
            let result = [&words(&[1])[..], &text, &words(&[1])].concat();
            return layout.put(&result);
        }
        let name = layout.string(b"zoo");
        let version = layout.string(b"0.0.1");
        let required: Vec<u8> =
            self.required.iter().flat_map(|name| layout.string(name.as_bytes())).collect();
        let required = layout.list(&required, self.required.len());
        let result = [
            &words(&[0])[..],
            &name,
            &version,
            &words(&[self.protects.into()]),
            &required,
            &words(&[self.stateful.into()]),
            &extra(layout, self.extra_info),
        ]
        .concat();
        layout.put(&result)
    }

    /// `result<interest, failure>`.
    fn interest(&self, layout: &mut Layout) -> u32 {
        let columns = layout.u32s(&self.columns);
        let extra = extra(layout, self.extra);
        let result = [
            &words(&[0, self.subscribe.into()])[..],
            &columns,
            &words(&[self.wants.into()]),
            &answers::shape(layout, self.shape.as_ref()),
            &answers::optional_form(layout, &self.form),
            &answers::outputs(layout, &self.outputs),
            &extra,
        ]
        .concat();
        assert_eq!(result.len(), 4 + 124);
        layout.put(&result)
    }
}

/// A header, or none.
fn extra(layout: &mut Layout, is_given: bool) -> [u8; 8] {
    let header = [layout.string(b"x"), layout.string(b"y")].concat();
    layout.list(&header, is_given.into())
}

const REALLOC: &str = r#"
  (func $alloc (export "cabi_realloc") (param i32) (param i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (; on_alloc ;)
    (local.set $at (i32.and
      (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (block $enough
      (loop $more
        (br_if $enough (i32.le_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))))
        (drop (memory.grow (i32.const 1)))
        (br $more)))
    (local.get $at))
"#;

/// `$echo` answers a patch for every column sent; with `$stars`, texts become stars first.
const ECHO: &str = r#"
  (func $stars (param $column i32)
    (local $at i32) (local $left i32)
    (if (i32.eq (i32.load8_u offset=12 (local.get $column)) (i32.const 6))
      (then (memory.fill (i32.load offset=24 (local.get $column)) (i32.const 42) (i32.load offset=28 (local.get $column)))))
    (if (i32.eq (i32.load8_u offset=12 (local.get $column)) (i32.const 4))
      (then
        (local.set $at (i32.load offset=16 (local.get $column)))
        (local.set $left (i32.load offset=20 (local.get $column)))
        (block $done
          (loop $next
            (br_if $done (i32.eqz (local.get $left)))
            (memory.fill (i32.load (local.get $at)) (i32.const 42) (i32.load offset=4 (local.get $at)))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br $next))))))
  (func $columns (param $column i32) (param $left i32) (param $image i32) (param $patch i32) (param $stars i32) (result i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $left)))
        (if (local.get $stars) (then (call $stars (local.get $column))))
        (i32.store (local.get $patch) (local.get $image))
        (memory.copy (i32.add (local.get $patch) (i32.const 4)) (local.get $column) (i32.const 32))
        (i64.store offset=36 align=4 (local.get $patch) (i64.const 0))
        (local.set $patch (i32.add (local.get $patch) (i32.const 44)))
        (local.set $column (i32.add (local.get $column) (i32.const 32)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next)))
    (local.get $patch))
  (func $echo (param $b i32) (param $stars i32) (result i32)
    (local $count i32) (local $patches i32)
    (local.set $count (i32.add (i32.load offset=20 (local.get $b)) (i32.load offset=28 (local.get $b))))
    (local.set $patches (call $alloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.mul (local.get $count) (i32.const 44))))
    (drop (call $columns (i32.load offset=24 (local.get $b)) (i32.load offset=28 (local.get $b)) (i32.const 1)
      (call $columns (i32.load offset=16 (local.get $b)) (i32.load offset=20 (local.get $b)) (i32.const 0)
        (local.get $patches) (local.get $stars))
      (local.get $stars)))
    (i32.store (i32.const 524) (local.get $patches))
    (i32.store (i32.const 528) (local.get $count))
    (i32.const 512))
"#;

/// Wraps a core module's text as a component of a world.
pub(crate) fn component(text: &str, world: &str) -> Vec<u8> {
    component_of(text, include_str!("../../../../../sdk/wit/transform.wit"), world)
}

/// The same with a contract of its own.
pub(crate) fn component_of(text: &str, wit: &str, world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).expect("the module's text is correct");
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).expect("the contract is correct");
    let world = resolve.select_world(&[package], Some(world)).expect("the world exists");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).unwrap();
    encoder.encode().expect("the module fits the world")
}

/// An engine without a cache, shared by the tests.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(EngineOptions::default()).unwrap())
}

pub(crate) fn spec(component: Vec<u8>) -> PluginSpec {
    PluginSpec {
        name: "zoo".to_owned(),
        component,
        config_json: "{}".to_owned(),
        limits: Limits {
            deadline: Duration::from_millis(50),
            setup_deadline: Duration::from_secs(1),
            memory_bytes: 8 << 20,
            stack_bytes: 256 << 10,
            table_elements: 10_000,
            output_bytes: 4 << 20,
            host_calls: 100,
            log_lines_per_second: 10,
            fan_out: 4,
            isolation: Duration::from_secs(5),
            reserved_streams: Arc::default(),
        },
        state: None,
    }
}

pub(crate) fn load(guest: &Guest) -> Result<Plugin, PluginError> {
    Plugin::load(engine(), spec(guest.build()))
}

pub(crate) fn instance(guest: &Guest) -> Instance {
    load(guest).unwrap().instance().unwrap()
}
