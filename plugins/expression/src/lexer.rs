//! From a text to words, names, numbers and signs.
//!
//! It reads one token at a time, so that a hostile text costs no memory beyond its own.

use crate::tree::{Literal, Span};
use crate::{Code, Error};

/// One piece of the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// A name or word without quotes.
    Word(String),
    /// A name in double quotes.
    Quoted(String),
    /// A number, a text or bytes; words like `true` are words.
    Literal(Literal),
    /// `$word`.
    Dollar(String),
    /// A sign or operator.
    Sign(&'static str),
    /// Behind the last.
    End,
}

/// Longer ones first, where one begins with another.
const SIGNS: [&str; 13] = ["->>", "<>", "<=", ">=", "!=", "=", "<", ">", "(", ")", ",", ".", "-"];

/// What people write who come from another language.
const FOREIGN: [(&str, &str); 7] = [
    ("==", "write = for equality"),
    ("&&", "write and"),
    ("||", "write or"),
    ("!", "write not, and <> for what is not equal"),
    ("`", "write a name that needs quotes in double quotes: \"Odd Name\""),
    (";", "an expression is one condition without an end mark"),
    ("%", "there is no arithmetic"),
];

/// Reads a text token by token.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'s> {
    source: &'s str,
    at: usize,
}

impl<'s> Lexer<'s> {
    pub(crate) fn new(source: &'s str) -> Lexer<'s> {
        Lexer { source, at: 0 }
    }

    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn error(&self, code: Code, start: usize, message: impl Into<String>) -> Error {
        Error::new(code, self.source, Span { start, end: self.at }, message)
    }

    /// Moves past the characters that `belongs` takes and gives them.
    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'s str {
        let rest = self.rest();
        let end = rest.find(|character| !belongs(character)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// White space, and comments from `--` to the end of the line.
    fn skip_space(&mut self) {
        loop {
            self.take_while(char::is_whitespace);
            if !self.rest().starts_with("--") {
                return;
            }
            self.take_while(|character| character != '\n');
        }
    }

    /// The next token with its place.
    pub(crate) fn next(&mut self) -> Result<(Token, Span), Error> {
        self.skip_space();
        let start = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok((Token::End, Span { start, end: start }));
        };
        let token = match first {
            'x' | 'X' if rest.get(1..2) == Some("'") => {
                self.at += 1;
                Token::Literal(Literal::Bytes(self.bytes(start)?))
            }
            '\'' => Token::Literal(Literal::Text(self.quoted('\'', start)?)),
            '"' => {
                let name = self.quoted('"', start)?;
                if name.is_empty() {
                    return Err(self.error(Code::Quotes, start, "a name in quotes is empty"));
                }
                Token::Quoted(name)
            }
            '$' => {
                self.at += 1;
                Token::Dollar(self.take_while(in_word).to_owned())
            }
            '0'..='9' => Token::Literal(self.number(start)?),
            first if begins_word(first) => Token::Word(self.take_while(in_word).to_owned()),
            _ => Token::Sign(self.sign(first)?),
        };
        Ok((token, Span { start, end: self.at }))
    }

    fn sign(&mut self, first: char) -> Result<&'static str, Error> {
        let (rest, start) = (self.rest(), self.at);
        let foreign = FOREIGN.iter().find(|(sign, _)| rest.starts_with(sign));
        let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
        // `==` begins with a sign of this language, `!=` with one of another.
        let foreign = foreign.filter(|(other, _)| sign.is_none_or(|sign| other.len() > sign.len()));
        match (foreign, sign) {
            (Some((sign, hint)), _) => {
                self.at += sign.len();
                Err(self.error(Code::Character, start, format!("unexpected {sign}")).hint(*hint))
            }
            (None, Some(sign)) => {
                self.at += sign.len();
                Ok(sign)
            }
            (None, None) => {
                self.at += first.len_utf8();
                let shown = match first.is_control() {
                    true => format!("U+{:04X}", u32::from(first)),
                    false => first.to_string(),
                };
                Err(self.error(Code::Character, start, format!("unexpected character {shown}")))
            }
        }
    }

    /// What is between quotes; a doubled quote stands for one.
    fn quoted(&mut self, quote: char, start: usize) -> Result<String, Error> {
        self.at += 1;
        let mut out = String::new();
        loop {
            out.push_str(self.take_while(|character| character != quote));
            let rest = self.rest();
            if rest.is_empty() {
                let what = if quote == '"' { "a name" } else { "a text" };
                let hint = format!("end it with {quote}; inside, {quote}{quote} stands for one");
                let message = format!("{what} in quotes has no end");
                return Err(self.error(Code::Quotes, start, message).hint(hint));
            }
            self.at += 1;
            if rest.chars().nth(1) != Some(quote) {
                return Ok(out);
            }
            out.push(quote);
            self.at += 1;
        }
    }

    fn bytes(&mut self, start: usize) -> Result<Vec<u8>, Error> {
        let digits = self.quoted('\'', start)?;
        let nibble = |digit: u8| char::from(digit).to_digit(16);
        let pairs = digits.as_bytes().chunks(2).map(|pair| match pair {
            [high, low] => u8::try_from(nibble(*high)? << 4 | nibble(*low)?).ok(),
            _ => None,
        });
        pairs.collect::<Option<Vec<u8>>>().ok_or_else(|| {
            self.error(Code::Literal, start, "bytes are written as pairs of hexadecimal digits")
                .hint("for example x'00ff'")
        })
    }

    fn number(&mut self, start: usize) -> Result<Literal, Error> {
        let digit = |character: char| character.is_ascii_digit();
        self.take_while(digit);
        let mut whole = true;
        if self.rest().starts_with('.') {
            whole = false;
            self.at += 1;
            if self.take_while(digit).is_empty() {
                return Err(self.error(Code::Literal, start, "a number ends with its point"));
            }
        }
        let mut float = false;
        if self.rest().starts_with(['e', 'E']) {
            float = true;
            self.at += 1;
            if self.rest().starts_with(['+', '-']) {
                self.at += 1;
            }
            if self.take_while(digit).is_empty() {
                return Err(self.error(Code::Literal, start, "a number's exponent has no digits"));
            }
        }
        if self.rest().starts_with(in_word) {
            self.take_while(in_word);
            let message = "a number runs into a word";
            let hint = "put a space between them; a name that begins with a digit needs quotes";
            return Err(self.error(Code::Literal, start, message).hint(hint));
        }
        let text = self.source.get(start..self.at).unwrap_or_default();
        if float {
            return match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(Literal::Float(value)),
                _ => Err(self.error(Code::Literal, start, "a number is too large for a float")),
            };
        }
        Ok(match text.parse() {
            Ok(value) if whole => Literal::Integer(value),
            _ => Literal::Decimal(text.to_owned()),
        })
    }
}

/// Whether a character can begin a word without quotes.
pub(crate) fn begins_word(character: char) -> bool {
    character.is_alphabetic() || character == '_'
}

/// Whether a character can stand in a word without quotes.
pub(crate) fn in_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(source: &str) -> Vec<Token> {
        let mut lexer = Lexer::new(source);
        let mut tokens = Vec::new();
        loop {
            match lexer.next().unwrap().0 {
                Token::End => return tokens,
                token => tokens.push(token),
            }
        }
    }

    fn refused(source: &str) -> (Code, Span) {
        let mut lexer = Lexer::new(source);
        loop {
            match lexer.next() {
                Ok((Token::End, _)) => panic!("{source:?} was read"),
                Ok(_) => {}
                Err(error) => return (error.code(), error.span()),
            }
        }
    }

    #[test]
    fn every_kind_of_token_is_read() {
        use Literal::{Bytes, Decimal, Float, Integer, Text};
        let word = |word: &str| Token::Word(word.to_owned());
        assert_eq!(
            tokens("größe_1 \"Odd \"\"Name\"\"\" $op->>'it''s' x'00Ff' -- all\n x"),
            [
                word("größe_1"),
                Token::Quoted("Odd \"Name\"".to_owned()),
                Token::Dollar("op".to_owned()),
                Token::Sign("->>"),
                Token::Literal(Text("it's".to_owned())),
                Token::Literal(Bytes(vec![0, 255])),
                word("x"),
            ]
        );
        assert_eq!(
            tokens("9223372036854775807 9223372036854775808 1.50 2e3 1.5E-1"),
            [
                Token::Literal(Integer(i64::MAX)),
                Token::Literal(Decimal("9223372036854775808".to_owned())),
                Token::Literal(Decimal("1.50".to_owned())),
                Token::Literal(Float(2000.0)),
                Token::Literal(Float(0.15)),
            ]
        );
        assert_eq!(
            tokens("<><=>=!=<>=(),.-"),
            ["<>", "<=", ">=", "!=", "<>", "=", "(", ")", ",", ".", "-"].map(Token::Sign)
        );
    }

    #[test]
    fn what_is_no_token_is_refused_at_its_place() {
        let span = |start, end| Span { start, end };
        assert_eq!(refused("a = 'b"), (Code::Quotes, span(4, 6)));
        assert_eq!(refused("\"b"), (Code::Quotes, span(0, 2)));
        assert_eq!(refused("\"\""), (Code::Quotes, span(0, 2)));
        assert_eq!(refused("a == b"), (Code::Character, span(2, 4)));
        assert_eq!(refused("a ? b"), (Code::Character, span(2, 3)));
        assert_eq!(refused("1."), (Code::Literal, span(0, 2)));
        assert_eq!(refused("1e"), (Code::Literal, span(0, 2)));
        assert_eq!(refused("1e999"), (Code::Literal, span(0, 5)));
        assert_eq!(refused("12ab"), (Code::Literal, span(0, 4)));
        assert_eq!(refused("x'0'"), (Code::Literal, span(0, 4)));
        assert_eq!(refused("x'zz'"), (Code::Literal, span(0, 5)));
    }
}
