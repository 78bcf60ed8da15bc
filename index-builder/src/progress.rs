//! What a person sees while a build runs: a bar with rate and time left on a terminal, a plain line now and then elsewhere.

use std::fmt::Write;
use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::note;

/// How often a plain line is printed while a stage runs.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// What shells say of a program that was interrupted: 128 and the number of the signal.
const INTERRUPTED: i32 = 130;

/// Where progress goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Bars on standard error.
    Bars,
    /// Lines on standard error.
    Lines,
    /// Nowhere.
    Quiet,
}

impl Progress {
    /// Bars on a terminal, lines elsewhere.
    pub(crate) fn detect(quiet: bool) -> Self {
        match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Bars,
            (false, false) => Self::Lines,
        }
    }

    /// Ends the line of a bar before the program, where somebody interrupts it: the prompt would stand behind the bar.
    pub(crate) fn end_line_when_interrupted(self) {
        if self != Self::Bars {
            return;
        }
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if runtime.is_ok_and(|runtime| runtime.block_on(tokio::signal::ctrl_c()).is_ok()) {
                note("");
                std::process::exit(INTERRUPTED);
            }
        });
    }

    /// Begins a stage of `total` things, named in the singular: `file`, `chunk`.
    pub(crate) fn stage(self, name: &'static str, thing: &'static str, total: usize) -> Stage {
        let things = plural(total, thing);
        let bar = (self == Self::Bars && total > 0).then(|| {
            let bar = ProgressBar::new(total as u64);
            let template = format!("{name:<11} {{bar:30}} {{human_pos}} of {{human_len}} {things}  {{rate}}  {{eta}} left");
            let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
            // The bar's own rate has four places behind the point.
            let rate = |state: &ProgressState, text: &mut dyn Write| {
                let per_second = state.per_sec();
                let places = usize::from(per_second < 10.0);
                // Writing to what is shown does not fail.
                let _ = write!(text, "{per_second:.places$}/s");
            };
            bar.set_style(style.with_key("rate", rate));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let started = Instant::now();
        Stage {
            name,
            things,
            total,
            started,
            done: AtomicUsize::new(0),
            bar,
            lines: self == Self::Lines,
            printed: Mutex::new(started),
        }
    }

    /// Begins a transfer of `bytes`: a bar until it is dropped, or one line.
    pub(crate) fn transfer(self, what: &str, bytes: u64) -> Transfer {
        if self == Self::Lines {
            self.say(&format!("{what}: {} MB", bytes / 1_000_000));
        }
        Transfer((self == Self::Bars).then(|| {
            let bar = ProgressBar::new(bytes).with_message(what.to_owned());
            let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        }))
    }

    /// Says one thing.
    pub(crate) fn say(self, text: &str) {
        if self != Self::Quiet {
            note(text);
        }
    }
}

/// Bytes that are under way.
pub(crate) struct Transfer(Option<ProgressBar>);

impl Transfer {
    /// So many bytes are there.
    pub(crate) fn reach(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(bytes);
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// One running stage.
pub(crate) struct Stage {
    name: &'static str,
    things: String,
    total: usize,
    started: Instant,
    done: AtomicUsize,
    bar: Option<ProgressBar>,
    lines: bool,
    printed: Mutex<Instant>,
}

impl Stage {
    /// Counts `count` more things as done.
    pub(crate) fn advance(&self, count: usize) {
        let done = self.done.fetch_add(count, Ordering::Relaxed) + count;
        if let Some(bar) = &self.bar {
            bar.inc(count as u64);
        }
        if !self.lines {
            return;
        }
        let Ok(mut printed) = self.printed.try_lock() else { return };
        if printed.elapsed() >= PLAIN_INTERVAL {
            *printed = Instant::now();
            note(plain_line(self.name, &self.things, done, self.total, self.started.elapsed()));
        }
    }

    /// Ends the stage and says how many seconds it took.
    pub(crate) fn finish(self) -> f64 {
        let elapsed = self.started.elapsed();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let done = self.done.into_inner();
        if (self.lines || self.bar.is_some()) && self.total > 0 {
            let per_second = done as f64 / elapsed.as_secs_f64().max(1e-9);
            let seconds = elapsed.as_secs_f64();
            note(format_args!("{:<11} {done} {} in {seconds:.1} s ({per_second:.1} a second)", self.name, self.things));
        }
        elapsed.as_secs_f64()
    }
}

/// What so many of a thing are called.
pub(crate) fn plural(count: usize, thing: &str) -> String {
    if count == 1 { thing.to_owned() } else { format!("{thing}s") }
}

fn plain_line(name: &str, things: &str, done: usize, total: usize, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(1e-9);
    let per_second = done as f64 / seconds;
    let left = if done == 0 { 0.0 } else { total.saturating_sub(done) as f64 / per_second };
    let percent = 100 * done / total.max(1);
    format!("{name:<11} {done} of {total} {things} ({percent} %), {per_second:.1} a second, {left:.0} s left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_tells_rate_and_time_left() {
        let line = plain_line("embedding", "chunks", 50, 200, Duration::from_secs(10));
        assert_eq!((plural(1, "file"), plural(0, "file")), ("file".to_owned(), "files".to_owned()));
        assert_eq!(line, "embedding   50 of 200 chunks (25 %), 5.0 a second, 30 s left");
    }
}
