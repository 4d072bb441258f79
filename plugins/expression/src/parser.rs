//! From tokens to a tree, by recursive descent.
//!
//! ```text
//! expression  = conjunction { "or" conjunction }
//! conjunction = negation { "and" negation }
//! negation    = "not" negation | predicate
//! predicate   = operand [ relation operand
//!                       | [ "not" ] "in" "(" expression { "," expression } ")"
//!                       | [ "not" ] "between" operand "and" operand
//!                       | [ "not" ] ( "like" | "ilike" ) text
//!                       | "is" [ "not" ] ( "null" | "distinct" "from" operand | "changed" ) ]
//! operand     = primary { "->>" text }
//! primary     = literal | [ ( "before" | "after" ) "." ] name | "$" word [ "(" text ")" ]
//!             | function "(" expression { "," expression } ")" | "(" expression ")"
//! ```
//!
//! What does not need a table is checked here: functions and their number of arguments, names of
//! metadata, patterns. Every step down counts towards [`MAX_DEPTH`]; rows of `and` and `or` are
//! lists, so that no tree is deeper than its text is nested.

use crate::lexer::{Lexer, Token};
use crate::names::nearest;
use crate::tree::{Expression, Function, Image, Literal, Metadata, Node, Relation, Span, Term};
use crate::{Code, Error, MAX_DEPTH, MAX_LENGTH, MAX_PATTERN_LENGTH, pattern};

/// Words that name nothing without quotes.
const RESERVED: [&str; 11] =
    ["and", "or", "not", "in", "between", "like", "ilike", "is", "null", "true", "false"];

/// Whether a name has to be quoted because it is a word of the language.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name))
}

impl Expression {
    /// Parses a text.
    ///
    /// # Errors
    /// The text is longer than [`MAX_LENGTH`], nested deeper than [`MAX_DEPTH`], or not of the
    /// language.
    pub fn parse(source: &str) -> Result<Expression, Error> {
        if source.len() > MAX_LENGTH {
            let message = format!("longer than {MAX_LENGTH} bytes");
            return Err(Error::new(Code::TooLong, "", Span::default(), message));
        }
        let mut parser = Parser::new(source)?;
        if parser.token == Token::End {
            let hint = "write a condition, for example status = 'paid'";
            return Err(parser.unexpected("a condition").hint(hint));
        }
        let root = parser.expression()?;
        if parser.token != Token::End {
            return Err(parser.unexpected("and, or, or the end"));
        }
        Ok(Expression { source: source.to_owned(), root })
    }
}

struct Parser<'s> {
    source: &'s str,
    lexer: Lexer<'s>,
    token: Token,
    at: Span,
    /// Where the token before ended.
    end: usize,
    depth: usize,
}

fn node(term: Term, at: Span) -> Node {
    Node { term, at }
}

impl<'s> Parser<'s> {
    fn new(source: &'s str) -> Result<Parser<'s>, Error> {
        let mut lexer = Lexer::new(source);
        let (token, at) = lexer.next()?;
        Ok(Parser { source, lexer, token, at, end: 0, depth: 0 })
    }

    fn advance(&mut self) -> Result<Token, Error> {
        let (token, at) = self.lexer.next()?;
        self.end = self.at.end;
        self.at = at;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn error(&self, code: Code, at: Span, message: impl Into<String>) -> Error {
        Error::new(code, self.source, at, message)
    }

    fn unexpected(&self, expected: &str) -> Error {
        let found = match &self.token {
            Token::End => "the end".to_owned(),
            Token::Word(word) if is_reserved(word) => format!("the word {word}"),
            Token::Word(_) | Token::Quoted(_) => "a name".to_owned(),
            Token::Literal(Literal::Text(_)) => "a text".to_owned(),
            Token::Literal(_) => "a value".to_owned(),
            Token::Dollar(_) => "a name of metadata".to_owned(),
            Token::Sign(sign) => (*sign).to_owned(),
        };
        self.error(Code::Syntax, self.at, format!("expected {expected}, found {found}"))
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.token, Token::Word(found) if found.eq_ignore_ascii_case(word))
    }

    /// Takes a word if it comes next.
    fn eat(&mut self, word: &str) -> Result<bool, Error> {
        let found = self.is_word(word);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn eat_sign(&mut self, sign: &str) -> Result<bool, Error> {
        let found = matches!(self.token, Token::Sign(found) if found == sign);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect_sign(&mut self, sign: &str) -> Result<(), Error> {
        if self.eat_sign(sign)? { Ok(()) } else { Err(self.unexpected(sign)) }
    }

    fn expect_text(&mut self, what: &str) -> Result<String, Error> {
        match &self.token {
            Token::Literal(Literal::Text(_)) => match self.advance()? {
                Token::Literal(Literal::Text(text)) => Ok(text),
                _ => Ok(String::new()),
            },
            _ => Err(self.unexpected(what)),
        }
    }

    fn since(&self, start: usize) -> Span {
        Span { start, end: self.end }
    }

    /// One step down.
    fn deeper<T>(
        &mut self,
        parse: impl FnOnce(&mut Parser<'s>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.depth == MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(self.error(Code::TooDeep, self.at, message));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn expression(&mut self) -> Result<Node, Error> {
        self.chain("or", Parser::conjunction, Term::Or)
    }

    fn conjunction(&mut self) -> Result<Node, Error> {
        self.chain("and", Parser::negation, Term::And)
    }

    fn chain(
        &mut self,
        word: &str,
        part: fn(&mut Parser<'s>) -> Result<Node, Error>,
        make: fn(Vec<Node>) -> Term,
    ) -> Result<Node, Error> {
        let start = self.at.start;
        let first = part(self)?;
        if !self.is_word(word) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.eat(word)? {
            parts.push(part(self)?);
        }
        Ok(node(make(parts), self.since(start)))
    }

    fn negation(&mut self) -> Result<Node, Error> {
        let start = self.at.start;
        if self.eat("not")? {
            let condition = self.deeper(Parser::negation)?;
            return Ok(node(Term::Not(Box::new(condition)), self.since(start)));
        }
        self.predicate()
    }

    fn predicate(&mut self) -> Result<Node, Error> {
        let start = self.at.start;
        let left = self.operand()?;
        let term = if let Some(relation) = self.relation() {
            self.advance()?;
            let right = Box::new(self.operand()?);
            if self.relation().is_some() {
                let error = self.unexpected("and, or, or the end");
                return Err(error.hint("comparisons do not chain: write a < b and b < c"));
            }
            Term::Compare { relation, left: Box::new(left), right }
        } else if self.eat("is")? {
            self.is_test(left)?
        } else {
            let negated = self.eat("not")?;
            match self.membership(left, negated)? {
                Ok(term) => term,
                Err(left) if !negated => return Ok(left),
                Err(_) => return Err(self.unexpected("in, between, like or ilike")),
            }
        };
        Ok(node(term, self.since(start)))
    }

    fn relation(&self) -> Option<Relation> {
        let Token::Sign(sign) = self.token else { return None };
        let sign = if sign == "!=" { "<>" } else { sign };
        Relation::ALL.iter().copied().find(|relation| relation.word() == sign)
    }

    /// `in`, `between`, `like`; gives the operand back where none of them follows.
    fn membership(&mut self, value: Node, negated: bool) -> Result<Result<Term, Node>, Error> {
        if self.eat("in")? {
            let list = self.list()?;
            return Ok(Ok(Term::In { value: Box::new(value), list, negated }));
        }
        if self.eat("between")? {
            let low = Box::new(self.operand()?);
            if !self.eat("and")? {
                return Err(self.unexpected("and"));
            }
            let high = Box::new(self.operand()?);
            return Ok(Ok(Term::Between { value: Box::new(value), low, high, negated }));
        }
        let folded = self.is_word("ilike");
        if folded || self.is_word("like") {
            self.advance()?;
            let at = self.at;
            let pattern = self.expect_text("a pattern in quotes")?;
            if pattern.len() > MAX_PATTERN_LENGTH {
                let message = format!("a pattern is longer than {MAX_PATTERN_LENGTH} bytes");
                return Err(self.error(Code::TooLong, at, message));
            }
            if !pattern::is_whole(&pattern) {
                let message = "a pattern ends with the backslash that would escape the next";
                return Err(self
                    .error(Code::Literal, at, message)
                    .hint("write \\\\ for a backslash"));
            }
            return Ok(Ok(Term::Like { value: Box::new(value), pattern, folded, negated }));
        }
        Ok(Err(value))
    }

    fn is_test(&mut self, value: Node) -> Result<Term, Error> {
        let negated = self.eat("not")?;
        if self.eat("null")? {
            return Ok(Term::IsNull { value: Box::new(value), negated });
        }
        if self.eat("distinct")? {
            if !self.eat("from")? {
                return Err(self.unexpected("from"));
            }
            let right = Box::new(self.operand()?);
            return Ok(Term::IsDistinct { left: Box::new(value), right, negated });
        }
        let changed = self.at;
        if self.eat("changed")? {
            return match value.term {
                Term::Column { image: None, name } => Ok(Term::IsChanged { name, negated }),
                _ => Err(self
                    .error(Code::Syntax, value.at.to(changed), "only a column can be changed")
                    .hint("write the column's name without before. or after. before is changed")),
            };
        }
        let error = self.unexpected("null, distinct from or changed");
        Err(if self.is_word("true") || self.is_word("false") {
            error.hint("write the condition itself, or not; coalesce(condition, false) for NULL")
        } else {
            error
        })
    }

    fn list(&mut self) -> Result<Vec<Node>, Error> {
        self.expect_sign("(")?;
        self.deeper(|parser| {
            let mut list = vec![parser.expression()?];
            while parser.eat_sign(",")? {
                list.push(parser.expression()?);
            }
            parser.expect_sign(")")?;
            Ok(list)
        })
    }

    fn operand(&mut self) -> Result<Node, Error> {
        let start = self.at.start;
        let mut value = self.primary()?;
        let mut steps = 0;
        while self.eat_sign("->>")? {
            steps += 1;
            if self.depth + steps > MAX_DEPTH {
                let message = format!("nested deeper than {MAX_DEPTH} levels");
                return Err(self.error(Code::TooDeep, self.at, message));
            }
            let name = self.expect_text("a member's name in quotes")?;
            value = node(Term::Member { value: Box::new(value), name }, self.since(start));
        }
        Ok(value)
    }

    fn primary(&mut self) -> Result<Node, Error> {
        let (start, at) = (self.at.start, self.at);
        match &self.token {
            Token::Literal(_) => {
                let Token::Literal(literal) = self.advance()? else {
                    return Err(self.unexpected("a value"));
                };
                Ok(node(Term::Literal(literal), at))
            }
            Token::Sign("-") => {
                self.advance()?;
                let literal = self.negative()?;
                Ok(node(Term::Literal(literal), self.since(start)))
            }
            Token::Sign("(") => {
                self.advance()?;
                let inner = self.deeper(Parser::expression)?;
                self.expect_sign(")")?;
                Ok(inner)
            }
            Token::Dollar(_) => {
                let term = self.metadata()?;
                Ok(node(term, self.since(start)))
            }
            Token::Quoted(_) => {
                let name = self.name()?;
                Ok(node(Term::Column { image: None, name }, at))
            }
            Token::Word(word) => {
                let literal = match word {
                    word if word.eq_ignore_ascii_case("null") => Literal::Null,
                    word if word.eq_ignore_ascii_case("true") => Literal::Boolean(true),
                    word if word.eq_ignore_ascii_case("false") => Literal::Boolean(false),
                    word if is_reserved(word) => return Err(self.unexpected("a value")),
                    _ => return self.word(),
                };
                self.advance()?;
                Ok(node(Term::Literal(literal), at))
            }
            Token::Sign(_) | Token::End => Err(self.unexpected("a value")),
        }
    }

    /// A name, or a function with its arguments.
    fn word(&mut self) -> Result<Node, Error> {
        let at = self.at;
        let word = self.name()?;
        let image = match () {
            () if word.eq_ignore_ascii_case("before") => Some(Image::Before),
            () if word.eq_ignore_ascii_case("after") => Some(Image::After),
            () => None,
        };
        if matches!(self.token, Token::Sign(".")) {
            let Some(image) = image else {
                let message = "a column is named alone, or with before. or after.";
                let hint = "to ask for the table, write $table = 'name'";
                return Err(self.error(Code::Syntax, at, message).hint(hint));
            };
            self.advance()?;
            let name = self.name()?;
            return Ok(node(Term::Column { image: Some(image), name }, self.since(at.start)));
        }
        if !matches!(self.token, Token::Sign("(")) {
            return Ok(node(Term::Column { image: None, name: word }, at));
        }
        let functions = || Function::ALL.iter().copied();
        let Some(function) = functions().find(|one| one.word().eq_ignore_ascii_case(&word)) else {
            let error = self.error(Code::Function, at, "there is no such function");
            let words = functions().map(Function::word);
            return Err(match nearest(&word, words.clone()) {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint(format!("known are {}", words.collect::<Vec<_>>().join(", "))),
            });
        };
        let arguments = self.list()?;
        let at = self.since(at.start);
        let (least, most) = function.arity();
        if !(least..=most).contains(&arguments.len()) {
            let takes = match (least, most) {
                (1, 1) => "1 argument".to_owned(),
                (least, most) if least == most => format!("{least} arguments"),
                (least, most) => format!("{least} or {most} arguments"),
            };
            let message = format!("{} takes {takes}, not {}", function.word(), arguments.len());
            return Err(self.error(Code::Function, at, message));
        }
        Ok(node(Term::Call { function, arguments }, at))
    }

    /// A name with or without quotes.
    fn name(&mut self) -> Result<String, Error> {
        match &self.token {
            Token::Word(word) if !is_reserved(word) => {}
            Token::Quoted(_) => {}
            Token::Word(_) => {
                let hint = "a column with the name of a word of the language needs double quotes";
                return Err(self.unexpected("a column's name").hint(hint));
            }
            _ => return Err(self.unexpected("a column's name")),
        }
        match self.advance()? {
            Token::Word(name) | Token::Quoted(name) => Ok(name),
            _ => Err(self.unexpected("a column's name")),
        }
    }

    fn negative(&mut self) -> Result<Literal, Error> {
        let literal = match &self.token {
            Token::Literal(Literal::Integer(value)) => Literal::Integer(-value),
            Token::Literal(Literal::Decimal(digits)) => {
                let text = format!("-{digits}");
                // 2^63 fits below zero alone.
                match text.parse() {
                    Ok(value) => Literal::Integer(value),
                    Err(_) => Literal::Decimal(text),
                }
            }
            Token::Literal(Literal::Float(value)) => Literal::Float(-value),
            _ => return Err(self.unexpected("a number").hint("there is no arithmetic")),
        };
        self.advance()?;
        Ok(literal)
    }

    fn metadata(&mut self) -> Result<Term, Error> {
        let at = self.at;
        let Token::Dollar(word) = self.advance()? else { return Err(self.unexpected("metadata")) };
        if word == "header" {
            self.expect_sign("(")?;
            let name = self.expect_text("a header's name in quotes")?;
            self.expect_sign(")")?;
            return Ok(Term::Header(name));
        }
        let known = || Metadata::ALL.iter().copied();
        known().find(|one| one.word() == word).map(Term::Metadata).ok_or_else(|| {
            let error = self.error(Code::Metadata, at, "there is no such metadata");
            match nearest(&word, known().map(Metadata::word).chain(["header"])) {
                Some("header") => error.hint("did you mean $header('name')?"),
                Some(near) => error.hint(format!("did you mean ${near}?")),
                None => {
                    let words: Vec<_> = known().map(|one| format!("${}", one.word())).collect();
                    error.hint(format!("known are {} and $header('name')", words.join(", ")))
                }
            }
        })
    }
}
