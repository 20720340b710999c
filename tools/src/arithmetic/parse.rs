//! Reads an expression and works it out on the way.
//!
//! From loosest to tightest: `in`; `+ -`; `* / % of`; a sign; `^`; a number with its unit, a function, a
//! bracket. `%` after a number is a percentage unless something to divide by follows.

use super::quantity::{Quantity, Unit};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero as _;

/// So many brackets may stand in one another.
const DEPTH: u32 = 40;
/// The largest power of ten in a number's exponent.
const EXPONENT: i32 = 1_000;

/// The value of a whole text.
pub(super) fn value(text: &str) -> Result<Quantity, String> {
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Err("there is nothing to work out".to_owned());
    }
    let mut reader = Reader { tokens: &tokens, at: 0, depth: 0 };
    let value = reader.conversion()?;
    match reader.peek() {
        None => Ok(value),
        Some(token) => Err(format!("it cannot go on at {:?}", token.words())),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(String),
    Word(String),
    Sign(char),
}

impl Token {
    fn words(&self) -> String {
        match self {
            Self::Number(text) | Self::Word(text) => text.clone(),
            Self::Sign(sign) => sign.to_string(),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        let taken = |keep: &dyn Fn(char) -> bool| {
            let end = rest.char_indices().find(|(_, c)| !keep(*c)).map_or(rest.len(), |(at, _)| at);
            rest.split_at(end)
        };
        if first.is_ascii_digit() || first == '.' {
            let (mut number, mut after) = taken(&|c| c.is_ascii_digit() || "._".contains(c));
            // A comma before three digits groups them, where none separates arguments.
            while let Some(group) = after.strip_prefix(',') {
                let digits = group.chars().take_while(char::is_ascii_digit).count();
                if digits != 3 || number.contains('.') {
                    break;
                }
                let point = group.get(3..).unwrap_or_default();
                let part = point.strip_prefix('.').map_or(0, |part| {
                    part.chars().take_while(char::is_ascii_digit).count().saturating_add(1)
                });
                let length = number.len().saturating_add(4).saturating_add(part);
                (number, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
            }
            if let Some(exponent) = after.strip_prefix(['e', 'E']) {
                let sign = usize::from(exponent.starts_with(['+', '-']));
                let digits = exponent.chars().skip(sign).take_while(char::is_ascii_digit).count();
                if digits > 0 {
                    let length = number.len().saturating_add(1 + sign).saturating_add(digits);
                    (number, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
                }
            }
            tokens.push(Token::Number(number.replace(['_', ','], "")));
            rest = after.trim_start();
        } else if first.is_alphabetic() {
            let (word, after) = taken(&|c| c.is_alphanumeric() || c == '_');
            // An inch is written `in.`, since `in` converts.
            let (word, after) = match after.strip_prefix('.') {
                Some(after) if word == "in" => ("in.", after),
                _ => (word, after),
            };
            tokens.push(Token::Word(word.to_owned()));
            rest = after.trim_start();
        } else {
            let sign = match first {
                '+' | '-' | '*' | '/' | '^' | '%' | '(' | ')' | ',' => first,
                '×' | '·' => '*',
                '÷' => '/',
                '−' => '-',
                _ => return Err(format!("{:?} means nothing here", first.to_string())),
            };
            tokens.push(Token::Sign(sign));
            rest = rest.get(first.len_utf8()..).unwrap_or_default().trim_start();
        }
    }
    Ok(tokens)
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: u32,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn is(&self, ahead: usize, sign: char) -> bool {
        self.tokens.get(self.at.saturating_add(ahead)) == Some(&Token::Sign(sign))
    }

    fn take(&mut self, sign: char) -> bool {
        let there = self.is(0, sign);
        self.at = self.at.saturating_add(usize::from(there));
        there
    }

    fn take_word(&mut self, word: &str) -> bool {
        let there = matches!(self.peek(), Some(Token::Word(found)) if found == word);
        self.at = self.at.saturating_add(usize::from(there));
        there
    }

    fn conversion(&mut self) -> Result<Quantity, String> {
        let value = self.sum()?;
        if self.take_word("in") || self.take_word("to") {
            let unit = self.unit()?.ok_or("a unit is missing after \"in\"")?;
            return value.converted(unit);
        }
        Ok(value)
    }

    fn sum(&mut self) -> Result<Quantity, String> {
        let mut value = self.product()?;
        loop {
            let sign = if self.take('+') {
                1
            } else if self.take('-') {
                -1
            } else {
                return Ok(value);
            };
            value = value.plus(self.product()?, sign)?;
        }
    }

    fn product(&mut self) -> Result<Quantity, String> {
        let mut value = self.signed()?;
        loop {
            if self.take('*') || self.take_word("of") {
                value = value.times(self.signed()?)?;
            } else if self.take('/') {
                value = value.over(self.signed()?)?;
            } else if self.take('%') {
                value = value.remainder(self.signed()?)?;
            } else {
                return Ok(value);
            }
        }
    }

    fn signed(&mut self) -> Result<Quantity, String> {
        let mut negative = false;
        loop {
            if self.take('-') {
                negative = !negative;
            } else if !self.take('+') {
                break;
            }
        }
        let value = self.power()?;
        if negative { value.negated() } else { Ok(value) }
    }

    fn power(&mut self) -> Result<Quantity, String> {
        let base = self.whole()?;
        if !self.take('^') {
            return Ok(base);
        }
        let exponent = self.deeper(Self::signed)?;
        base.power(&exponent)
    }

    /// A number with its unit, a function, or a bracket.
    fn whole(&mut self) -> Result<Quantity, String> {
        match self.peek().cloned() {
            Some(Token::Number(text)) => {
                self.at = self.at.saturating_add(1);
                let number = Quantity::number(read(&text)?)?;
                if self.is(0, '%') && !self.divides() {
                    self.at = self.at.saturating_add(1);
                    return Ok(number.percent());
                }
                match self.unit()? {
                    Some(unit) => number.with(&unit),
                    None => Ok(number),
                }
            }
            Some(Token::Sign('(')) => {
                self.at = self.at.saturating_add(1);
                let value = self.deeper(Self::conversion)?;
                match self.take(')') {
                    true => Ok(value),
                    false => Err("a ) is missing".to_owned()),
                }
            }
            Some(Token::Word(name)) if self.is(1, '(') => {
                self.at = self.at.saturating_add(2);
                self.function(&name)
            }
            Some(Token::Word(name)) => Err(format!("{name:?} has no number before it")),
            Some(token) => Err(format!("it cannot go on at {:?}", token.words())),
            None => Err("something is missing at the end".to_owned()),
        }
    }

    /// Whether the `%` here has something to divide by after it.
    fn divides(&self) -> bool {
        match self.tokens.get(self.at.saturating_add(1)) {
            Some(Token::Number(_)) => true,
            Some(Token::Sign(sign)) => *sign == '(',
            Some(Token::Word(_)) => {
                self.tokens.get(self.at.saturating_add(2)) == Some(&Token::Sign('('))
            }
            None => false,
        }
    }

    /// A unit: words with powers, and more of them after `/`; nothing where no word follows.
    fn unit(&mut self) -> Result<Option<Unit>, String> {
        let Some(mut unit) = self.one_unit(1)? else { return Ok(None) };
        loop {
            // `/ 4` is a division of the whole, `/h` belongs to the unit.
            let sign = match () {
                () if self.is(0, '/') && self.names_a_unit(1) => -1,
                () if self.is(0, '*') && self.names_a_unit(1) => 1,
                () => return Ok(Some(unit)),
            };
            self.at = self.at.saturating_add(1);
            if let Some(next) = self.one_unit(sign)? {
                unit = unit.times(&next, 1)?;
            }
        }
    }

    fn names_a_unit(&self, ahead: usize) -> bool {
        let at = self.at.saturating_add(ahead);
        let called = self.tokens.get(at.saturating_add(1)) == Some(&Token::Sign('('));
        let word = |word: &str| !matches!(word, "in" | "to" | "of");
        matches!(self.tokens.get(at), Some(Token::Word(name)) if word(name) && !called)
    }

    fn one_unit(&mut self, sign: i32) -> Result<Option<Unit>, String> {
        let Some(Token::Word(name)) = self.peek().cloned().filter(|_| self.names_a_unit(0)) else {
            return Ok(None);
        };
        self.at = self.at.saturating_add(1);
        let mut power = 1;
        if self.is(0, '^')
            && let Some(Token::Number(text)) = self.tokens.get(self.at.saturating_add(1))
        {
            power = text
                .parse()
                .ok()
                .filter(|power| (1..=9).contains(power))
                .ok_or_else(|| format!("{name}^{text}: a unit's power is 1 to 9"))?;
            self.at = self.at.saturating_add(2);
        }
        Ok(Some(Unit::of(&name, sign.saturating_mul(power))))
    }

    fn function(&mut self, name: &str) -> Result<Quantity, String> {
        let mut given = Vec::new();
        if !self.take(')') {
            loop {
                given.push(self.deeper(Self::conversion)?);
                if self.take(')') {
                    break;
                }
                if !self.take(',') {
                    return Err("a ) is missing".to_owned());
                }
            }
        }
        let count = given.len();
        let mut given = given.into_iter();
        let wants = |what: &str| format!("{name} wants {what}, and got {count}");
        let first = |given: Option<Quantity>| given.ok_or_else(|| wants("a number"));
        match name {
            "sum" | "avg" => {
                let mut all = first(given.next())?;
                for each in given {
                    all = all.plus(each, 1)?;
                }
                let count = BigRational::from_integer(BigInt::from(count));
                if name == "sum" { Ok(all) } else { all.over(Quantity::number(count)?) }
            }
            "min" | "max" => {
                let mut best = first(given.next())?;
                for each in given {
                    if each.is_less(&best)? == (name == "min") {
                        best = each;
                    }
                }
                Ok(best)
            }
            "abs" if count == 1 => first(given.next())?.absolute(),
            "round" | "floor" | "ceil" if count <= 2 => {
                let value = first(given.next())?;
                let digits = given.next().map_or(Some(0), |digits| digits.small(30));
                let digits = digits.ok_or_else(|| format!("{name} takes 0 to 30 digits"))?;
                value.rounded(
                    digits,
                    match name {
                        "round" => BigRational::round,
                        "floor" => BigRational::floor,
                        _ => BigRational::ceil,
                    },
                )
            }
            "abs" => Err(wants("one number")),
            "round" | "floor" | "ceil" => Err(wants("a number and perhaps how many digits")),
            _ => Err(format!("there is no function {name}")),
        }
    }

    fn deeper(
        &mut self,
        read: impl Fn(&mut Self) -> Result<Quantity, String>,
    ) -> Result<Quantity, String> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > DEPTH {
            return Err("it goes too deep".to_owned());
        }
        let value = read(self);
        self.depth = self.depth.saturating_sub(1);
        value
    }
}

/// A decimal number, exactly.
fn read(text: &str) -> Result<BigRational, String> {
    let no = || format!("{text} is no number");
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => {
            let exponent = exponent.parse::<i32>().ok().filter(|it| it.abs() <= EXPONENT);
            (digits, exponent.ok_or("the number is too large")?)
        }
        None => (text, 0),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if part.contains('.') || (whole.is_empty() && part.is_empty()) {
        return Err(no());
    }
    let all: BigInt = format!("0{whole}{part}").parse().map_err(|_| no())?;
    if all.is_zero() {
        return Ok(BigRational::zero());
    }
    let places = i32::try_from(part.len()).map_err(|_| no())?;
    let scale = exponent.saturating_sub(places);
    let power = BigRational::from_integer(BigInt::from(10)).pow(scale);
    Ok(BigRational::from_integer(all) * power)
}
