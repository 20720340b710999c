//! A verdict as a table in plain text.

use crate::verdict::{Decision, Mark, Row, Verdict};

/// The verdict as a table in plain text: the answer first, then a line a rule, failures and
/// questions with their mending. Ends with a new line.
#[must_use]
pub fn render_table(verdict: &Verdict) -> String {
    let width = |of: fn(&Row) -> &str| {
        verdict.table.iter().map(|row| of(row).chars().count()).max().unwrap_or(0)
    };
    let rule_width = width(|row| &row.rule);
    let measured_width = width(|row| &row.measured);
    let mut text = match verdict.decision() {
        Decision::Allow => "allowed\n".to_owned(),
        Decision::Hold => "held for the owner\n".to_owned(),
        Decision::Refuse => "refused\n".to_owned(),
    };
    for row in &verdict.table {
        let mark = match row.mark {
            Mark::Pass => "pass",
            Mark::Ask => "ask ",
            Mark::Fail => "FAIL",
        };
        text.push_str(&format!(
            "  {mark}  {:<rule_width$}  {:<measured_width$}  limit {}\n",
            row.rule, row.measured, row.limit
        ));
        if let Some(mend) = &row.mend {
            text.push_str(&format!("        {mend}\n"));
        }
    }
    text
}
