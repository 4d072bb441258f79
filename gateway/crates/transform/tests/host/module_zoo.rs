//! Small core modules, written as text, and frames laid out by hand as `sdk/abi.md` says.

use offtake_transform::{Instance, Plugin, PluginError};

use crate::zoo::{engine, spec, words};

/// Where the laid-out answers begin.
const ANSWERS: u32 = 1024;
/// What the allocator gives.
const ARGUMENT: u32 = 1 << 20;

/// A core module to be built.
#[derive(Clone)]
pub(crate) struct Module {
    /// Answers of `offtake_configure` and `offtake_on_schema`.
    pub(crate) info: String,
    pub(crate) interest: String,
    /// Further imports.
    pub(crate) imports: String,
    /// Further fields: functions, exports.
    pub(crate) fields: String,
    /// Instructions of `offtake_configure`, before it answers.
    pub(crate) on_configure: String,
    /// Instructions of `offtake_alloc`, before it answers.
    pub(crate) on_alloc: String,
    /// Instructions of `offtake_process`; must leave its answer.
    pub(crate) process: String,
    pub(crate) version: u32,
    pub data: Vec<u8>,
}

impl Default for Module {
    fn default() -> Module {
        Module {
            info: r#"{"ok": {"name": "zoo", "version": "0.0.1"}}"#.to_owned(),
            interest: r#"{"ok": {"subscribe": true}}"#.to_owned(),
            imports: String::new(),
            fields: String::new(),
            on_configure: String::new(),
            on_alloc: String::new(),
            process: "(i64.const 0)".to_owned(),
            version: 1,
            data: Vec::new(),
        }
    }
}

impl Module {
    /// Lets everything pass. `wants`: names of the contract.
    pub(crate) fn pass(columns: &[u32], wants: &[&str]) -> Module {
        let interest = format!(
            r#"{{"ok": {{"subscribe": true, "columns": {columns:?}, "wants": {wants:?}}}}}"#
        );
        Module { interest, ..Module::default() }
    }

    /// Sets every column that it was sent to the very values that it was sent.
    pub(crate) fn echo(columns: &[u32], wants: &[&str]) -> Module {
        let process = "(call $echo (local.get $b) (local.get $len) (i32.const 0))".to_owned();
        Module { process, ..Module::pass(columns, wants) }
    }

    /// Sets every byte of every text that it was sent to `*`.
    pub(crate) fn stars(columns: &[u32], wants: &[&str]) -> Module {
        let process = "(call $echo (local.get $b) (local.get $len) (i32.const 1))".to_owned();
        Module { process, ..Module::pass(columns, wants) }
    }

    /// Runs instructions and lets everything pass.
    pub(crate) fn doing(instructions: &str) -> Module {
        Module { process: format!("{instructions} (i64.const 0)"), ..Module::pass(&[0], &[]) }
    }

    /// Always answers these bytes.
    pub(crate) fn answering(answer: &[u8]) -> Module {
        let mut module = Module::pass(&[1], &[]);
        let packed = module.put(answer);
        module.process = format!("(i64.const {packed})");
        module
    }

    /// Puts bytes into the module's memory and gives their address and length as an answer has them.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> i64 {
        while !self.data.len().is_multiple_of(8) {
            self.data.push(0);
        }
        let at = ANSWERS + self.data.len() as u32;
        self.data.extend_from_slice(bytes);
        i64::from(at) << 32 | bytes.len() as i64
    }

    pub(crate) fn text(&self) -> String {
        let mut module = self.clone();
        let info = module.put(self.info.as_bytes());
        let interest = module.put(self.interest.as_bytes());
        let data: String = module.data.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let Module { imports, fields, on_configure, on_alloc, process, version, .. } = self;
        format!(
            r#"(module
  {imports}
  (memory (export "memory") 32)
  (data (i32.const {ANSWERS}) "{data}")
  {ECHO}
  {fields}
  (func (export "offtake_abi_version") (result i32) (i32.const {version}))
  (func (export "offtake_alloc") (param $len i32) (result i32)
    {on_alloc}
    (call $room (i32.add (local.get $len) (i32.const {ARGUMENT})))
    (i32.const {ARGUMENT}))
  (func (export "offtake_configure") (param i32 i32) (result i64)
    {on_configure} (i64.const {info}))
  (func (export "offtake_on_schema") (param i32 i32) (result i64)
    (i64.const {interest}))
  (func $process (export "offtake_process") (param $b i32) (param $len i32) (result i64)
    (local $i i32)
    {process})
)"#
        )
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        wat::parse_str(self.text()).expect("the module's text is correct")
    }

    pub(crate) fn load(&self) -> Result<Plugin, PluginError> {
        Plugin::load(engine(), spec(self.build()))
    }

    pub(crate) fn instance(&self) -> Instance {
        self.load().unwrap().instance().unwrap()
    }
}

/// `$echo` answers a section for every column sent; with `$stars`, texts become stars first.
const ECHO: &str = r#"
  (func $room (param $end i32)
    (block $enough
      (loop $more
        (br_if $enough (i32.le_u (local.get $end) (i32.shl (memory.size) (i32.const 16))))
        (drop (memory.grow (i32.const 1)))
        (br $more))))
  (func $even (param $at i32) (result i32)
    (i32.and (i32.add (local.get $at) (i32.const 7)) (i32.const -8)))
  (func $values (param $column i32) (param $rows i32) (result i32)
    (i32.add (i32.add (local.get $column) (i32.const 8))
      (select (call $even (local.get $rows)) (i32.const 0) (i32.load8_u offset=5 (local.get $column)))))
  (func $end (param $column i32) (param $rows i32) (result i32)
    (local $kind i32) (local $at i32)
    (local.set $kind (i32.load8_u offset=4 (local.get $column)))
    (local.set $at (call $values (local.get $column) (local.get $rows)))
    (if (i32.eqz (local.get $kind))
      (then (return (i32.add (local.get $at) (call $even (local.get $rows))))))
    (if (i32.le_u (local.get $kind) (i32.const 3))
      (then (return (i32.add (local.get $at) (i32.shl (local.get $rows) (i32.const 3))))))
    (local.set $rows (i32.shl (local.get $rows) (i32.const 2)))
    (call $even (i32.add
      (i32.add (local.get $at) (i32.add (local.get $rows) (i32.const 4)))
      (i32.load (i32.add (local.get $at) (local.get $rows))))))
  (func $stars (param $column i32) (param $rows i32)
    (local $at i32)
    (if (i32.eq (i32.load8_u offset=4 (local.get $column)) (i32.const 4))
      (then
        (local.set $at (i32.add (call $values (local.get $column) (local.get $rows))
          (i32.shl (local.get $rows) (i32.const 2))))
        (memory.fill (i32.add (local.get $at) (i32.const 4)) (i32.const 42) (i32.load (local.get $at))))))
  (func $echo (param $b i32) (param $len i32) (param $stars i32) (result i64)
    (local $rows i32) (local $count i32) (local $at i32) (local $size i32)
    (local $out i32) (local $to i32) (local $i i32)
    (local.set $rows (i32.load offset=8 (local.get $b)))
    (local.set $count (i32.add (i32.load offset=12 (local.get $b)) (i32.load offset=16 (local.get $b))))
    (local.set $at (call $even (i32.add (i32.add (local.get $b) (i32.const 24)) (local.get $rows))))
    (local.set $out (call $even (i32.add (local.get $b) (local.get $len))))
    (call $room (i32.add (local.get $out) (i32.add (i32.const 64) (i32.mul (local.get $len) (i32.const 2)))))
    (i32.store (local.get $out) (i32.const 0x3156544f))
    (i32.store offset=4 (local.get $out) (local.get $count))
    (local.set $to (i32.add (local.get $out) (i32.const 8)))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $i) (local.get $count)))
        (local.set $size (i32.sub (call $end (local.get $at) (local.get $rows)) (local.get $at)))
        (i32.store (local.get $to) (i32.const 2))
        (i32.store offset=4 (local.get $to) (i32.add (local.get $size) (i32.const 8)))
        (i32.store offset=8 (local.get $to) (i32.lt_u (local.get $i) (i32.load offset=12 (local.get $b))))
        (i32.store offset=12 (local.get $to) (i32.const 0))
        (local.set $to (i32.add (local.get $to) (i32.const 16)))
        (memory.copy (local.get $to) (local.get $at) (local.get $size))
        (if (local.get $stars) (then (call $stars (local.get $to) (local.get $rows))))
        (local.set $to (i32.add (local.get $to) (local.get $size)))
        (local.set $at (i32.add (local.get $at) (local.get $size)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (i64.or
      (i64.shl (i64.extend_i32_u (local.get $out)) (i64.const 32))
      (i64.extend_i32_u (i32.sub (local.get $to) (local.get $out)))))
"#;

/// Pads to a multiple of eight.
pub(crate) fn pad(mut bytes: Vec<u8>, to: usize) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
    bytes
}

/// A verdict frame of these sections.
pub(crate) fn verdict(sections: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut frame = b"OTV1".to_vec();
    frame.extend(words(&[sections.len() as u32]));
    for (kind, body) in sections {
        frame.extend(words(&[*kind, body.len() as u32]));
        frame.extend(pad(body.clone(), 8));
    }
    frame
}

/// Length, bytes, padding to four.
pub(crate) fn text(text: &str) -> Vec<u8> {
    pad([&words(&[text.len() as u32])[..], text.as_bytes()].concat(), 4)
}

/// A failure frame.
pub(crate) fn failure(message: &str, permanent: bool) -> Vec<u8> {
    [b"OTF1", &words(&[permanent.into()])[..], &text(message)].concat()
}

/// A column: presence codes, or none, and the bytes of its values.
pub(crate) fn column(ordinal: u32, kind: u8, presence: &[u8], values: &[u8]) -> Vec<u8> {
    let head = [&words(&[ordinal])[..], &[kind, u8::from(!presence.is_empty()), 0, 0], presence];
    pad([pad(head.concat(), 8), values.to_vec()].concat(), 8)
}

/// A column of 64-bit integers; `None`: NULL.
pub(crate) fn integers(ordinal: u32, values: &[Option<i64>]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.unwrap_or(0).to_le_bytes()).collect();
    column(ordinal, 1, &presence(values.iter().map(Option::is_none)), &bytes)
}

/// A column of texts; `None`: NULL.
pub(crate) fn texts(ordinal: u32, values: &[Option<&str>]) -> Vec<u8> {
    let mut data = String::new();
    let mut offsets = vec![0];
    for value in values {
        data.push_str(value.unwrap_or(""));
        offsets.push(data.len() as u32);
    }
    let values_ = [&words(&offsets)[..], data.as_bytes()].concat();
    column(ordinal, 4, &presence(values.iter().map(Option::is_none)), &values_)
}

fn presence(missing: impl Iterator<Item = bool>) -> Vec<u8> {
    let codes: Vec<u8> = missing.map(u8::from).collect();
    if codes.contains(&1) { codes } else { Vec::new() }
}

/// The body of a section that sets a column. No rows: every row.
pub(crate) fn set(image: u32, rows: &[u32], column: &[u8]) -> Vec<u8> {
    let head = [&words(&[image, rows.len() as u32])[..], &words(rows)].concat();
    [&pad(head, 8)[..], column].concat()
}
