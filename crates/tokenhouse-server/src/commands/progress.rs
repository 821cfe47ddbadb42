//! How far a long command has come: a bar on a terminal, a line now and then elsewhere. All of it goes to standard
//! error.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two lines where nobody looks on.
const QUIET: Duration = Duration::from_secs(10);

pub(super) enum Steps {
    Bar(ProgressBar),
    Lines { last: Instant, what: &'static str },
}

impl Steps {
    /// `what` is being done: "reading", "copying".
    pub(super) fn new(what: &'static str, total: Option<u64>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines {
                last: Instant::now(),
                what,
            };
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let known = "{prefix} {wide_bar} {human_pos} of {human_len}, {per_sec}, {eta} left  {msg}";
        let unknown = "{prefix} {spinner} {human_pos}, {per_sec}  {msg}";
        let template = if total.is_some() { known } else { unknown };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(what);
        Self::Bar(bar)
    }

    /// `done` of `total` are; `about` names what comes now.
    pub(super) fn to(&mut self, done: u64, total: Option<u64>, about: &str) {
        match self {
            Self::Bar(bar) => {
                if let Some(total) = total {
                    bar.set_length(total);
                }
                bar.set_position(done);
                if bar.message() != about {
                    bar.set_message(about.to_owned());
                }
            }
            Self::Lines { last, what } if last.elapsed() >= QUIET => {
                *last = Instant::now();
                let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
                eprintln!("{what}: {done}{of} {about}");
            }
            Self::Lines { .. } => {}
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
