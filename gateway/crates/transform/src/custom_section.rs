//! Finds the configuration's schema that a plugin carries, in a section beside its code.
//!
//! WebAssembly is a run of sections, each with its length before it, so nothing of the code has to
//! be understood to find one. What the section holds is not judged here.

/// Name of the section.
const CONFIG_SCHEMA: &[u8] = b"offtake:config-schema";

/// Magic number, version and layer.
const PREAMBLE_BYTES: usize = 8;
/// Id of a custom section, in a core module and in a component.
const CUSTOM: u8 = 0;
/// Id of the section of a component that holds a core module.
const CORE_MODULE: u8 = 1;

/// The configuration's schema that a plugin carries: of a component in the component itself, or in a
/// core module in it, where compilers put it.
pub(crate) fn config_schema<'a>(wasm: &'a [u8], is_component: bool) -> Option<&'a [u8]> {
    let of_own = sections(wasm).find_map(|section| named(&section, CONFIG_SCHEMA));
    let within = |section: Section<'a>| {
        let module = (section.id == CORE_MODULE).then_some(section.content)?;
        sections(module).find_map(|section| named(&section, CONFIG_SCHEMA))
    };
    of_own.or_else(|| is_component.then(|| sections(wasm).find_map(within))?)
}

struct Section<'a> {
    id: u8,
    content: &'a [u8],
}

/// The sections, as far as they are whole.
fn sections<'a>(wasm: &'a [u8]) -> impl Iterator<Item = Section<'a>> + use<'a> {
    let mut rest = wasm.get(PREAMBLE_BYTES..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (&id, after) = rest.split_first()?;
        let (content, after) = sized(after)?;
        rest = after;
        Some(Section { id, content })
    })
}

/// What a custom section of that name holds.
fn named<'a>(section: &Section<'a>, name: &[u8]) -> Option<&'a [u8]> {
    let (found, content) = sized(section.content)?;
    (section.id == CUSTOM && found == name).then_some(content)
}

/// Bytes with their length before them, and what follows.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = unsigned(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// A 32-bit number in seven bits a byte.
fn unsigned(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u64;
    for (at, &byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &[u8] = br#"{"type": "object"}"#;

    fn module() -> Vec<u8> {
        let long = "x".repeat(300);
        let text = format!(
            r#"(module (@custom "other" "{long}") (func)
                (@custom "offtake:config-schema" "{{\"type\": \"object\"}}"))"#
        );
        wat::parse_str(text).expect("correct text")
    }

    #[test]
    fn the_schema_is_found_in_a_module_and_in_a_component_around_it() {
        assert_eq!(config_schema(&module(), false), Some(SCHEMA));
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        assert_eq!(config_schema(&component, true), None);
        let module = module();
        component.push(CORE_MODULE);
        component.extend([0x80 | (module.len() & 0x7f) as u8, (module.len() >> 7) as u8]);
        component.extend(&module);
        assert_eq!(config_schema(&component, true), Some(SCHEMA));
        assert_eq!(config_schema(&component, false), None, "a core module has no modules in it");
    }

    #[test]
    fn what_is_cut_off_or_of_no_length_has_no_schema() {
        let module = module();
        for end in 0..module.len() {
            assert_eq!(config_schema(&module[..end], false), None, "{end} bytes");
        }
        assert_eq!(config_schema(b"\0asm\x01\0\0\0\0\xff\xff\xff\xff\xff\xff", false), None);
    }
}
