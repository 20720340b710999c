//! A line about a body that is too long to show to a model.
//!
//! A single value stays as it is. A table gives the highest value of its first column of numbers
//! beside names, and the name; a text gives its beginning. Two words are what the smallest model repeats
//! faithfully. The line is a pure function of the bytes.

use serde_json::Value;

/// Characters of a text's beginning.
const TEXT: usize = 200;

/// A line about `body`, whose content type is known or guessed.
///
/// ```
/// use marque_tools::digest::digest;
///
/// assert_eq!(digest(br#"{"value": 14.2}"#, None), "14.2");
/// let table = b"station,wind\nHorta,14.2\nFlores,9.0\n";
/// assert_eq!(digest(table, Some("text/csv")), "Horta 14.2");
/// ```
#[must_use]
pub fn digest(body: &[u8], content_type: Option<&str>) -> String {
    let Ok(text) = std::str::from_utf8(body) else {
        return format!("{} bytes", body.len());
    };
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        return of_json(&value);
    }
    let is_csv = content_type.is_some_and(|kind| kind.starts_with("text/csv"));
    match Table::parse(text) {
        Some(table) if is_csv || table.rows.len() > 1 => table.line(),
        _ => of_text(text),
    }
}

/// A scalar as it is, a scalar field `value` as it is, otherwise what it consists of.
fn of_json(value: &Value) -> String {
    match value {
        Value::String(text) => of_text(text),
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => format!("{} items", items.len()),
        Value::Object(map) => match map.get("value") {
            Some(inner @ (Value::String(_) | Value::Bool(_) | Value::Number(_))) => of_json(inner),
            _ => of_text(&map.keys().map(String::as_str).collect::<Vec<_>>().join(" ")),
        },
    }
}

/// The beginning, on one line.
fn of_text(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(TEXT).collect()
}

/// Comma-separated values with a header, as many as each line has.
struct Table<'a> {
    rows: Vec<Vec<&'a str>>,
}

impl<'a> Table<'a> {
    /// Reads a table; `None` where the lines differ in their number of cells or have one only.
    fn parse(text: &'a str) -> Option<Self> {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let columns = lines.next()?.split(',').count();
        let rows: Vec<Vec<&str>> =
            lines.map(|line| line.split(',').map(str::trim).collect()).collect();
        let even = columns > 1 && rows.iter().all(|row| row.len() == columns);
        (even && !rows.is_empty()).then_some(Self { rows })
    }

    /// `Horta 14.2`: the highest value of the first column of numbers that stands beside names, and
    /// its name. Without such a column, the number of rows.
    fn line(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let beside_names = (1..columns).find_map(|column| match self.numbers(column - 1) {
            None => Some((column, self.numbers(column)?)),
            Some(_) => None,
        });
        let highest = beside_names.and_then(|(column, numbers)| {
            let (row, _) = numbers
                .into_iter()
                .enumerate()
                .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
            let row = self.rows.get(row)?;
            Some(format!("{} {}", row.get(column - 1)?, row.get(column)?))
        });
        highest.unwrap_or_else(|| format!("{} rows", self.rows.len()))
    }

    /// A column, if it consists of numbers.
    fn numbers(&self, column: usize) -> Option<Vec<f64>> {
        self.rows.iter().map(|row| number(row.get(column)?)).collect()
    }
}

/// A plain decimal number.
fn number(cell: &str) -> Option<f64> {
    let plain = cell.bytes().all(|byte| byte.is_ascii_digit() || b".-+".contains(&byte));
    cell.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_stays_as_it_is() {
        for (body, line) in [
            ("14.2", "14.2"),
            ("\"fair  wind\"", "fair wind"),
            (r#"{"value":"Horta"}"#, "Horta"),
            (r#"{"value":7,"unit":"m/s"}"#, "7"),
            ("fair\nwind", "fair wind"),
            ("", ""),
        ] {
            assert_eq!(digest(body.as_bytes(), None), line, "{body}");
        }
    }

    #[test]
    fn a_table_says_where_its_first_number_is_highest() {
        let table = "time,station,wind_ms,direction\n\
                     2026-11-01T00:00Z,Horta,7.5,193\n\
                     2026-11-01T00:00Z,Flores,11.8,211\n\
                     2026-11-01T01:00Z,Angra,9.9,237\n";
        assert_eq!(digest(table.as_bytes(), Some("text/csv")), "Flores 11.8");
        assert_eq!(digest(table.as_bytes(), None), "Flores 11.8");
        let years = "year,station,wind\n2026,Horta,7.5\n2025,Flores,11.8\n";
        assert_eq!(digest(years.as_bytes(), Some("text/csv")), "Flores 11.8");
        let names = "a,b\nx,y\nz,w\n";
        assert_eq!(digest(names.as_bytes(), Some("text/csv; charset=utf-8")), "2 rows");
    }

    #[test]
    fn what_is_long_or_no_text_is_described() {
        assert_eq!(digest(&[0xff, 0xfe], None), "2 bytes");
        assert_eq!(digest(b"[1,2,3]", None), "3 items");
        assert_eq!(digest(br#"{"wind":{"kn":7},"sea":1}"#, None), "wind sea");
        assert_eq!(digest("x".repeat(999).as_bytes(), None).len(), TEXT);
        assert_eq!(digest(b"a, b\nc\n", None), "a, b c", "uneven lines are no table");
    }
}
