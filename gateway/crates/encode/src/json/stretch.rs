//! A constant stretch of bytes that is copied again and again.

/// Bytes of a stretch that lie in place.
const IN_PLACE: usize = 32;

/// A stretch, prepared. Copying a length that the compiler knows takes a few instructions; one that
/// it does not know is a call, which for a field's name costs more than the name is worth.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    head: [u8; IN_PLACE],
    head_len: usize,
    rest: Box<[u8]>,
}

impl Stretch {
    pub(crate) fn new(bytes: &[u8]) -> Stretch {
        let (front, rest) = bytes.split_at(bytes.len().min(IN_PLACE));
        let mut head = [0; IN_PLACE];
        for (to, from) in head.iter_mut().zip(front) {
            *to = *from;
        }
        Stretch { head, head_len: front.len(), rest: rest.into() }
    }

    #[inline]
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.head_len;
        out.extend_from_slice(&self.head);
        out.truncate(end);
        if !self.rest.is_empty() {
            out.extend_from_slice(&self.rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_of_any_length_is_copied_whole() {
        for length in [0, 1, 31, 32, 33, 200] {
            let bytes: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let mut out = b"before".to_vec();
            Stretch::new(&bytes).put(&mut out);
            assert_eq!(out, [&b"before"[..], &bytes].concat());
        }
    }
}
