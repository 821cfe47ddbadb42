//! Figures, each beside its limit and its goal.

use std::fmt::Write;

use serde_json::{Value, json};

/// The middle one; of noise, medians tell least.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}

/// The value below which this share of them lies.
pub fn quantile(sorted: &[u64], share: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank"
    )]
    let rank = ((sorted.len() as f64 * share) as usize).min(sorted.len() - 1);
    #[allow(clippy::cast_precision_loss, reason = "nanoseconds")]
    let value = sorted[rank] as f64;
    value
}

/// What must be reached, and what is aimed at.
#[derive(Clone, Copy)]
pub enum Goal {
    AtLeast(f64, f64),
    AtMost(f64, f64),
}

impl Goal {
    fn verdict(self, value: f64) -> &'static str {
        let (must, aim) = match self {
            Self::AtLeast(must, aim) => (value >= must, value >= aim),
            Self::AtMost(must, aim) => (value <= must, value <= aim),
        };
        match (must, aim) {
            (_, true) => "aim",
            (true, false) => "reached",
            (false, false) => "NOT REACHED",
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(must, aim) => format!("≥ {} / {}", short(must), short(aim)),
            Self::AtMost(must, aim) => format!("≤ {} / {}", short(must), short(aim)),
        }
    }
}

/// Measured values of several rounds, with what else could have been done in the same rounds.
struct Row {
    section: String,
    what: String,
    unit: &'static str,
    values: Vec<f64>,
    limit: Option<(String, Vec<f64>)>,
    goal: Option<Goal>,
    /// Whether the goal is about the ratio to the limit, or about the value itself.
    of_ratio: bool,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        let (_, limits) = self.limit.as_ref()?;
        // Round by round: what disturbed one of a pair disturbed the other.
        let ratios: Vec<f64> = self
            .values
            .iter()
            .zip(limits)
            .map(|(value, limit)| value / limit)
            .collect();
        Some(median(&ratios))
    }

    fn verdict(&self) -> Option<&'static str> {
        let judged = if self.of_ratio {
            self.ratio()?
        } else {
            median(&self.values)
        };
        Some(self.goal?.verdict(judged))
    }
}

pub struct Report {
    rows: Vec<Row>,
    failures: Vec<(String, String)>,
}

impl Report {
    pub fn new() -> Self {
        Self {
            rows: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// A figure that stands alone.
    pub fn figure(
        &mut self,
        section: &str,
        what: &str,
        unit: &'static str,
        values: &[f64],
        goal: Option<Goal>,
    ) {
        self.rows.push(Row {
            section: section.to_owned(),
            what: what.to_owned(),
            unit,
            values: values.to_vec(),
            limit: None,
            goal,
            of_ratio: false,
        });
        self.tell();
    }

    /// A figure beside its limit; the goal is about the ratio.
    #[allow(clippy::too_many_arguments, reason = "a row of a table has columns")]
    pub fn ratio(
        &mut self,
        section: &str,
        what: &str,
        unit: &'static str,
        values: &[f64],
        limit: &str,
        limits: &[f64],
        goal: Option<Goal>,
    ) {
        self.rows.push(Row {
            section: section.to_owned(),
            what: what.to_owned(),
            unit,
            values: values.to_vec(),
            limit: Some((limit.to_owned(), limits.to_vec())),
            goal,
            of_ratio: true,
        });
        self.tell();
    }

    pub fn failed(&mut self, section: &str, error: &anyhow::Error) {
        eprintln!("{section}: {error:#}");
        self.failures.push((section.to_owned(), format!("{error:#}")));
    }

    pub fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    fn tell(&self) {
        if let Some(row) = self.rows.last() {
            eprintln!("  {}: {} {}", row.what, short(median(&row.values)), row.unit);
        }
    }

    pub fn table(&self) -> String {
        let mut out = String::new();
        let mut section = "";
        for row in &self.rows {
            if row.section != section {
                section = &row.section;
                let _ = writeln!(
                    out,
                    "\n{:<46} {:>14} {:>34} {:>7}  {:<15} ",
                    section, "measured", "limit in the same run", "ratio", "must / aim"
                );
            }
            let measured = format!("{} {}", short(median(&row.values)), row.unit);
            let limit = row.limit.as_ref().map_or(String::new(), |(name, values)| {
                format!("{name} {}", short(median(values)))
            });
            let ratio = row.ratio().map(short).unwrap_or_default();
            let goal = row.goal.map(Goal::text).unwrap_or_default();
            let verdict = row.verdict().unwrap_or_default();
            let line = format!(
                "  {:<44} {measured:>14} {limit:>34} {ratio:>7}  {goal:<15} {verdict}",
                row.what
            );
            let _ = writeln!(out, "{}", line.trim_end());
        }
        for (section, error) in &self.failures {
            let _ = writeln!(out, "\n{section}: NOT MEASURED: {error}");
        }
        out
    }

    pub fn json(&self) -> String {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "section": row.section,
                    "what": row.what,
                    "unit": row.unit,
                    "median": median(&row.values),
                    "rounds": row.values,
                    "limit": row.limit.as_ref().map(|(name, values)| json!({ "name": name, "median": median(values), "rounds": values })),
                    "ratio": row.ratio(),
                    "goal": row.goal.map(Goal::text),
                    "verdict": row.verdict(),
                })
            })
            .collect();
        let failures: Vec<Value> = self
            .failures
            .iter()
            .map(|(section, error)| json!({ "section": section, "error": error }))
            .collect();
        json!({ "rows": rows, "failures": failures }).to_string()
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 100.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}
