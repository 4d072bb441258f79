//! Bit strings, points and PostGIS's shapes: from PostgreSQL's text to the bytes that the peer has.

/// `bit(1)`: a boolean.
pub(super) fn bit(text: &[u8]) -> Option<bool> {
    match text {
        b"0" => Some(false),
        b"1" => Some(true),
        _ => None,
    }
}

/// `io.debezium.data.Bits`: little-endian bytes, as many as the highest set bit needs.
pub(super) fn bits(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if !text.iter().all(|byte| matches!(byte, b'0' | b'1')) {
        return None;
    }
    out.clear();
    for chunk in text.rchunks(8) {
        out.push(chunk.iter().fold(0, |byte, &bit| byte << 1 | (bit - b'0')));
    }
    while out.last() == Some(&0) {
        out.pop();
    }
    Some(())
}

/// The coordinates of `(x,y)`.
pub(super) fn point(text: &[u8]) -> Option<(f64, f64)> {
    let text = std::str::from_utf8(text).ok()?;
    let (x, y) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    Some((x.parse().ok()?, y.parse().ok()?))
}

/// A point's well-known binary: little-endian, type 1, two doubles. NaN has Java's bits.
pub(super) fn wkb(x: f64, y: f64) -> [u8; 21] {
    let bits = |value: f64| if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() };
    let mut wkb = [0; 21];
    let (head, coordinates) = wkb.split_at_mut(5);
    head.copy_from_slice(&[1, 1, 0, 0, 0]);
    let (first, second) = coordinates.split_at_mut(8);
    first.copy_from_slice(&bits(x).to_le_bytes());
    second.copy_from_slice(&bits(y).to_le_bytes());
    wkb
}

/// PostGIS's extended well-known binary from its hexadecimal form; gives the reference system.
pub(super) fn geometry(text: &[u8], out: &mut Vec<u8>) -> Option<Option<i64>> {
    const HAS_SRID: u32 = 0x2000_0000;
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    out.clear();
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    for &[high, low] in pairs {
        out.push(digit(high)? << 4 | digit(low)?);
    }
    let &[order, a, b, c, d, e, f, g, h, ..] = out.as_slice() else { return None };
    let read = |bytes: [u8; 4]| match order {
        0 => u32::from_be_bytes(bytes),
        _ => u32::from_le_bytes(bytes),
    };
    let has_srid = read([a, b, c, d]) & HAS_SRID != 0;
    Some(has_srid.then(|| i64::from(read([e, f, g, h]).cast_signed())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_little_endian_and_sized_to_content() {
        let bits = |text: &str| {
            let mut out = vec![1];
            bits(text.as_bytes(), &mut out).map(|()| out)
        };
        let high = format!("1{}", "0".repeat(63));
        assert_eq!(bits(&high), Some(vec![0, 0, 0, 0, 0, 0, 0, 0x80]));
        assert_eq!(bits("11"), Some(vec![3]));
        assert_eq!(bits("00000000"), Some(vec![]));
        assert_eq!(bits("0102"), None);
    }

    #[test]
    fn a_point_has_its_binary_form() {
        assert_eq!(point(b"(1,-0)"), Some((1.0, -0.0)));
        assert_eq!(point(b"(1;1)"), None);
        let one = [0, 0, 0, 0, 0, 0, 0xf0, 0x3f];
        assert_eq!(wkb(1.0, 1.0).as_slice(), [&[1, 1, 0, 0, 0][..], &one, &one].concat());
    }

    #[test]
    fn a_shape_tells_its_reference_system() {
        let mut out = Vec::new();
        let with = b"0101000020E6100000000000000000F03F000000000000F03F";
        assert_eq!(geometry(with, &mut out), Some(Some(4326)));
        assert_eq!(out.len(), 25);
        let without = b"0101000000000000000000F03F000000000000F03F";
        assert_eq!(geometry(without, &mut out), Some(None));
        for text in [&b"01"[..], b"0101000020E610000", b"zz01000020E61000", b""] {
            assert_eq!(geometry(text, &mut out), None);
        }
    }
}
