//! A hostile plugin: a core module by hand, which does what the row says.

use std::path::Path;

/// What the second column of a row asks for: nothing, a trap, a loop that does not end.
const MODULE: &str = r#"(module
  (memory (export "memory") 32)
  (data (i32.const 1024) "{\"ok\": {\"name\": \"hostile\", \"version\": \"1.0.0\"}}")
  (data (i32.const 2048) "{\"ok\": {\"subscribe\": true, \"columns\": [1]}}")
  (func (export "offtake_abi_version") (result i32) (i32.const 1))
  (func (export "offtake_alloc") (param i32) (result i32) (i32.const 65536))
  (func (export "offtake_configure") (param i32 i32) (result i64)
    (i64.const 0x0000_0400_0000_002f))
  (func (export "offtake_on_schema") (param i32 i32) (result i64)
    (i64.const 0x0000_0800_0000_002b))
  (func (export "offtake_process") (param $batch i32) (param $length i32) (result i64)
    (local $row i32) (local $values i32) (local $asked i64)
    ;; Behind the operations stands the only column, and its values behind eight bytes.
    (local.set $values (i32.add (i32.add (local.get $batch) (i32.const 32))
      (i32.and (i32.add (i32.load offset=8 (local.get $batch)) (i32.const 7)) (i32.const -8))))
    (loop $rows
      (local.set $asked (i64.load (i32.add (local.get $values) (i32.shl (local.get $row) (i32.const 3)))))
      (if (i64.eq (local.get $asked) (i64.const 1)) (then (unreachable)))
      (if (i64.eq (local.get $asked) (i64.const 2)) (then (loop $for_ever (br $for_ever))))
      (local.set $row (i32.add (local.get $row) (i32.const 1)))
      (br_if $rows (i32.lt_u (local.get $row) (i32.load offset=8 (local.get $batch)))))
    (i64.const 0)))"#;

/// A table for it: what it looks at is the second column.
pub(crate) const TABLES: &str = "CREATE TABLE watched (id int PRIMARY KEY, asks int NOT NULL);
    CREATE TABLE other (id int PRIMARY KEY, n int);";

/// The plugin on `watched`; `other` has a route of its own.
pub(crate) fn sections(on_error: &str) -> String {
    format!(
        "[plugin.hostile]
wasm = \"hostile.wasm\"
deadline = \"20ms\"
on_error = \"{on_error}\"

[[route]]
tables = [\"public.watched\"]
plugins = [\"hostile\"]

[[route]]
tables = [\"public.other\"]"
    )
}

/// Puts the plugin where the configuration looks for it.
pub(crate) fn write(folder: &Path) {
    std::fs::write(folder.join("hostile.wasm"), wat::parse_str(MODULE).unwrap()).unwrap();
}
