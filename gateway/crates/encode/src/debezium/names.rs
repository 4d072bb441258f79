//! Names of schemas and fields, adjusted as Debezium adjusts them
//! (`SchemaNameAdjuster`, `FieldNameSelector`, `AbstractTopicNamingStrategy`).

use super::options::NameAdjustment;

/// Longest name of a topic.
const MAX_TOPIC: usize = 249;

/// `<prefix>.<schema>.<table>`, with what a topic's name may not have as `_`. Schemas are named
/// after it, whatever topic the changes go to.
pub(super) fn of_table(prefix: &str, namespace: &str, table: &str) -> String {
    let parts = [prefix, namespace, table];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.trim().is_empty()).collect();
    let plain = |unit: u16| {
        let letter = char::from_u32(unit.into()).filter(char::is_ascii);
        letter.filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')).unwrap_or('_')
    };
    parts.join(".").encode_utf16().map(plain).take(MAX_TOPIC).collect()
}

/// The name of a schema.
pub(super) fn schema(name: &str, adjustment: NameAdjustment) -> String {
    adjust(name, adjustment, true)
}

/// The name of a field.
pub(super) fn field(name: &str, adjustment: NameAdjustment) -> String {
    adjust(name, adjustment, false)
}

/// Java's characters are 16 bits wide: a character beyond them is replaced in two halves.
fn adjust(name: &str, adjustment: NameAdjustment, dots: bool) -> String {
    let unicode = match adjustment {
        NameAdjustment::None => return name.to_owned(),
        NameAdjustment::Avro => false,
        NameAdjustment::AvroUnicode => true,
    };
    let mut out = String::with_capacity(name.len());
    for (index, unit) in name.encode_utf16().enumerate() {
        let letter = char::from_u32(unit.into()).filter(char::is_ascii);
        let starts = letter.filter(|c| c.is_ascii_alphabetic() || (*c == '_' && !unicode));
        let follows = letter.filter(|c| c.is_ascii_digit() || (*c == '.' && dots));
        match (starts, follows) {
            (Some(letter), _) => out.push(letter),
            (None, Some(letter)) if index > 0 => out.push(letter),
            _ if unicode => {
                // The peer fills up to four digits only where there are two or fewer.
                let hex = format!("{unit:x}");
                out.push_str("_u");
                out.push_str(if hex.len() <= 2 { "00" } else { "" });
                out.push_str(&hex);
            }
            _ => {
                out.push('_');
                // A leading digit is kept behind its replacement.
                out.extend(letter.filter(char::is_ascii_digit));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_named_as_its_topic_would_be() {
        assert_eq!(of_table("shop", "public", "orders"), "shop.public.orders");
        assert_eq!(of_table("shop", "", ""), "shop");
        assert_eq!(of_table("shop", "Öl 1", "a/b-c"), "shop._l_1.a_b-c");
        assert_eq!(of_table("p", "s", &"t".repeat(300)).len(), MAX_TOPIC);
    }

    #[test]
    fn names_are_adjusted_as_the_peer_does() {
        let avro = NameAdjustment::Avro;
        let unicode = NameAdjustment::AvroUnicode;
        assert_eq!(schema("a-b.c_d", NameAdjustment::None), "a-b.c_d");
        assert_eq!(schema("a-b.c_d", avro), "a_b.c_d");
        assert_eq!(schema("1a.é", avro), "_1a._");
        assert_eq!(schema("a-b.c_d", unicode), "a_u002db.c_u005fd");
        assert_eq!(schema("1a", unicode), "_u0031a");
        assert_eq!(field("a.b c", avro), "a_b_c");
        assert_eq!(field("9x-é", avro), "_9x__");
        assert_eq!(field("a_b.c", unicode), "a_u005fb_u002ec");
        assert_eq!(field("\u{416}", unicode), "_u416");
        assert_eq!(field("😀", avro), "__");
    }
}
