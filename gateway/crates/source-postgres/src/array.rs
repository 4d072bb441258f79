//! Arrays: from PostgreSQL's array text (documentation, "Array Input and Output Syntax") to the
//! encoded `List` that a batch stores.
//!
//! A list holds the element type's canonical values; an array of several dimensions is a list of
//! lists, down to `{{1,2},{3,4}}`'s integers. A column's type does not say how many dimensions its
//! values have, so readers find out from the value.
//!
//! An array whose lower bounds are not 1 is written with them, `[0:1]={7,8}`. A list cannot say
//! bounds and dropping them would lose data, so such a value stays the whole array text: its cell is
//! `text` where the column declares `list`. Readers that do not care cut at the first `=`.

use offtake_change::wire::encode_value_into_list;
use offtake_change::{ListRef, ValueRef};

use crate::value::{Fault, ValueForm, check_text, read_scalar, unhex};

/// Dimensions that PostgreSQL allows (`MAXDIM`); more are no array.
const MAX_DIMENSIONS: usize = 6;

/// How an array's text is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListForm {
    /// Between elements: a comma, but for `box` a semicolon.
    pub(crate) delimiter: u8,
    /// The element's form. A list again only where the element is a domain over an array.
    pub(crate) element: ValueForm,
}

/// Buffers for elements that are not in the text as they are.
#[derive(Default)]
struct Scratch {
    unquoted: Vec<u8>,
    decoded: Vec<u8>,
}

/// Whether the text is an array with explicit lower bounds.
#[inline]
pub(crate) fn is_bounded(text: &[u8]) -> bool {
    text.first() == Some(&b'[')
}

/// Appends the body of the `List` message of an array's text.
pub(crate) fn encode_list(list: &ListForm, text: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut parser = Parser { rest: text, list };
    let mut scratch = Scratch::default();
    parser.dimension(1, &mut scratch, out)?;
    if parser.rest.is_empty() { Ok(()) } else { Err(Fault::Value) }
}

struct Parser<'t> {
    rest: &'t [u8],
    list: &'t ListForm,
}

impl<'t> Parser<'t> {
    /// Reads from `{` to its `}` and appends the elements. Recursion ends at [`MAX_DIMENSIONS`].
    fn dimension(
        &mut self,
        depth: usize,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if self.next() != Some(b'{') || depth > MAX_DIMENSIONS {
            return Err(Fault::Value);
        }
        if self.rest.first() == Some(&b'}') {
            self.next();
            return Ok(());
        }
        loop {
            match self.rest.first() {
                Some(b'{') => {
                    let mut inner = Vec::new();
                    self.dimension(depth + 1, scratch, &mut inner)?;
                    put_list(&inner, out);
                }
                Some(b'"') => self.quoted(scratch, out)?,
                _ => self.unquoted(scratch, out)?,
            }
            match self.next() {
                Some(b'}') => return Ok(()),
                Some(byte) if byte == self.list.delimiter => {}
                _ => return Err(Fault::Value),
            }
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn take(&mut self, count: usize) -> &'t [u8] {
        let (taken, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    /// Reads an element in double quotes, with backslashes before quotes and backslashes.
    fn quoted(&mut self, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.next();
        let at = self.special_in_quotes()?;
        let plain = self.take(at);
        if self.rest.first() == Some(&b'"') {
            self.next();
            return put_element(&self.list.element, plain, &mut scratch.decoded, out);
        }
        scratch.unquoted.clear();
        scratch.unquoted.extend_from_slice(plain);
        while self.next() == Some(b'\\') {
            scratch.unquoted.push(self.next().ok_or(Fault::Value)?);
            let at = self.special_in_quotes()?;
            scratch.unquoted.extend_from_slice(self.take(at));
        }
        // The loop ended at, and took, the closing quote.
        put_element(&self.list.element, &scratch.unquoted, &mut scratch.decoded, out)
    }

    fn special_in_quotes(&self) -> Result<usize, Fault> {
        let special = |&byte: &u8| byte == b'"' || byte == b'\\';
        self.rest.iter().position(special).ok_or(Fault::Value)
    }

    /// Reads an element without quotes: it ends at the delimiter or brace, and `NULL` is null.
    fn unquoted(&mut self, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<(), Fault> {
        let delimiter = self.list.delimiter;
        let end = self.rest.iter().position(|&byte| byte == delimiter || byte == b'}');
        let text = self.take(end.ok_or(Fault::Value)?);
        if text.is_empty() || text.iter().any(|byte| matches!(byte, b'{' | b'"' | b'\\')) {
            return Err(Fault::Value);
        }
        if text.eq_ignore_ascii_case(b"NULL") {
            encode_value_into_list(ValueRef::Null, out);
            return Ok(());
        }
        put_element(&self.list.element, text, &mut scratch.decoded, out)
    }
}

fn put_element(
    form: &ValueForm,
    text: &[u8],
    decoded: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    match form {
        ValueForm::Bytes => {
            decoded.clear();
            unhex(text, decoded)?;
            encode_value_into_list(ValueRef::Bytes(decoded), out);
        }
        ValueForm::List(_) if is_bounded(text) => {
            check_text(text)?;
            encode_value_into_list(ValueRef::Text(text), out);
        }
        ValueForm::List(list) => {
            let mut inner = Vec::new();
            encode_list(list, text, &mut inner)?;
            put_list(&inner, out);
        }
        scalar => encode_value_into_list(read_scalar(scalar, text)?, out),
    }
    Ok(())
}

fn put_list(encoded: &[u8], out: &mut Vec<u8>) {
    encode_value_into_list(ValueRef::List(ListRef::from_encoded(encoded)), out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A list as it is shown in these tests.
    fn show(list: ListRef<'_>) -> String {
        let elements: Vec<String> = list
            .iter()
            .map(|value| match value.unwrap() {
                ValueRef::List(list) => show(list),
                ValueRef::Text(text) => format!("{:?}", String::from_utf8(text.to_vec()).unwrap()),
                other => format!("{other:?}"),
            })
            .collect();
        format!("[{}]", elements.join(" "))
    }

    fn list(element: ValueForm) -> ListForm {
        ListForm { delimiter: b',', element }
    }

    fn decode(form: &ListForm, text: &str) -> Result<String, Fault> {
        let mut out = Vec::new();
        encode_list(form, text.as_bytes(), &mut out)?;
        Ok(show(ListRef::from_encoded(&out)))
    }

    #[test]
    fn arrays_read_as_lists_of_their_elements() {
        let integers = list(ValueForm::Integer);
        let texts = list(ValueForm::Text);
        for (form, text, expected) in [
            (&integers, "{}", "[]"),
            (&integers, "{1,-2,NULL}", "[Integer(1) Integer(-2) Null]"),
            (&integers, "{{1,2},{3,4}}", "[[Integer(1) Integer(2)] [Integer(3) Integer(4)]]"),
            (&integers, "{{{{{{1}}}}}}", "[[[[[[Integer(1)]]]]]]"),
            (&texts, r#"{a,"b c","NULL",NULL,""}"#, r#"["a" "b c" "NULL" Null ""]"#),
            (&texts, r#"{"a\"b","\\","{}",ä}"#, r#"["a\"b" "\\" "{}" "ä"]"#),
            (&texts, r#"{"\\\\\"x\"",y}"#, r#"["\\\\\"x\"" "y"]"#),
            (&list(ValueForm::Boolean), "{t,f}", "[Boolean(true) Boolean(false)]"),
            (
                &list(ValueForm::Number),
                "{NaN,1.5,-Infinity}",
                "[Number(NaN) Number(1.5) Number(-inf)]",
            ),
            (&list(ValueForm::Bytes), r#"{"\\x00ff","\\x"}"#, "[Bytes([0, 255]) Bytes([])]"),
        ] {
            assert_eq!(decode(form, text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_box_array_is_split_at_semicolons() {
        let boxes = ListForm { delimiter: b';', element: ValueForm::Text };
        assert_eq!(
            decode(&boxes, "{(1,1),(0,0);(2,2),(1,1);NULL}").unwrap(),
            r#"["(1,1),(0,0)" "(2,2),(1,1)" Null]"#
        );
    }

    #[test]
    fn an_array_of_a_domain_over_an_array_nests() {
        let nested = list(ValueForm::List(Box::new(list(ValueForm::Integer))));
        assert_eq!(
            decode(&nested, r#"{"{1,2}","{}",NULL,"[0:0]={3}"}"#).unwrap(),
            r#"[[Integer(1) Integer(2)] [] Null "[0:0]={3}"]"#
        );
    }

    #[test]
    fn what_is_no_array_is_a_fault() {
        let integers = list(ValueForm::Integer);
        for text in [
            "",
            "1",
            "{",
            "{1",
            "{1,",
            "{1,}",
            "{,1}",
            "{1}}",
            "{1}x",
            "{1 }",
            "{{1}",
            "{\"1}",
            "{\"1\"2}",
            "{\"1\\",
            "{x}",
            "{{{{{{{1}}}}}}}",
            "{\"1\\\"}",
            "{1{2}}",
        ] {
            assert_eq!(decode(&integers, text), Err(Fault::Value), "{text}");
        }
        let mut out = Vec::new();
        let fault = encode_list(&list(ValueForm::Text), b"{a,\xff}", &mut out);
        assert_eq!(fault, Err(Fault::Text));
    }

    /// An array as the server holds it.
    #[derive(Clone, Debug)]
    enum Element {
        Null,
        Text(String),
        Array(Vec<Element>),
    }

    /// Writes an array as the server's `array_out` does, by its rules for quotes.
    fn render(element: &Element, out: &mut String) {
        match element {
            Element::Null => out.push_str("NULL"),
            Element::Array(elements) => {
                out.push('{');
                for (place, element) in elements.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    render(element, out);
                }
                out.push('}');
            }
            Element::Text(text) => {
                let special = |character: char| {
                    matches!(character, '"' | '\\' | '{' | '}' | ',')
                        || matches!(character, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
                };
                if text.is_empty() || text.eq_ignore_ascii_case("null") || text.contains(special) {
                    out.push('"');
                    for character in text.chars() {
                        if matches!(character, '"' | '\\') {
                            out.push('\\');
                        }
                        out.push(character);
                    }
                    out.push('"');
                } else {
                    out.push_str(text);
                }
            }
        }
    }

    fn same(element: &Element, value: ValueRef<'_>) -> bool {
        match (element, value) {
            (Element::Null, ValueRef::Null) => true,
            (Element::Text(text), ValueRef::Text(found)) => text.as_bytes() == found,
            (Element::Array(elements), ValueRef::List(list)) => {
                let values: Vec<_> = list.iter().map(Result::unwrap).collect();
                values.len() == elements.len()
                    && elements.iter().zip(values).all(|(element, value)| same(element, value))
            }
            _ => false,
        }
    }

    fn element() -> impl Strategy<Value = Element> {
        prop_oneof![
            1 => Just(Element::Null),
            1 => "[nN][uU][lL][lL]".prop_map(Element::Text),
            4 => "[a-zä{}\",\\\\ \\t\\n]{0,8}".prop_map(Element::Text),
        ]
    }

    /// One dimension of elements, or several of arrays of one length, as PostgreSQL has them.
    fn array() -> impl Strategy<Value = Element> {
        let flat = proptest::collection::vec(element(), 0..6).prop_map(Element::Array);
        let deep = || {
            let pair = proptest::collection::vec(element(), 2..=2).prop_map(Element::Array);
            proptest::collection::vec(pair, 1..4).prop_map(Element::Array)
        };
        prop_oneof![flat, deep(), deep().prop_map(|inner| Element::Array(vec![inner]))]
    }

    proptest! {
        #[test]
        fn an_array_that_the_server_renders_reads_back(array in array()) {
            let mut text = String::new();
            render(&array, &mut text);
            let mut out = Vec::new();
            encode_list(&list(ValueForm::Text), text.as_bytes(), &mut out).unwrap();
            prop_assert!(same(&array, ValueRef::List(ListRef::from_encoded(&out))), "{}", text);
        }

        #[test]
        fn random_array_texts_never_panic(text in "[{}\",\\\\;a1\\[ ]{0,40}") {
            for element in [ValueForm::Text, ValueForm::Integer, ValueForm::Bytes,
                ValueForm::List(Box::new(list(ValueForm::Text)))] {
                let mut out = Vec::new();
                if encode_list(&list(element), text.as_bytes(), &mut out).is_ok() {
                    for value in ListRef::from_encoded(&out).iter() {
                        prop_assert!(value.is_ok());
                    }
                }
            }
        }
    }
}
