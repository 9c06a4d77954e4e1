//! What the demo prints.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

/// Prints numbered steps, commands as a user would type them, and their output.
#[derive(Debug)]
pub(super) struct Narrator {
    started: Instant,
    colour: bool,
    step: u32,
    /// What the step that runs is meant to show, for when it does not.
    pub(super) expected: String,
}

impl Narrator {
    pub(super) fn new() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            started: Instant::now(),
            colour,
            step: 0,
            expected: String::new(),
        }
    }

    /// Starts a step.
    pub(super) fn step(&mut self, title: &str, expected: &str) {
        self.step += 1;
        expected.clone_into(&mut self.expected);
        let elapsed = self.elapsed().as_secs_f32();
        println!(
            "\n{}",
            self.style("1;36", &format!("[{elapsed:5.1}s] {}. {title}", self.step))
        );
    }

    /// Says something in between.
    pub(super) fn say(&self, text: &str) {
        println!("{}", self.style("2", text));
    }

    /// Shows a command, as typed at `prompt`.
    pub(super) fn command(&self, prompt: &str, line: &str) {
        println!("{}{}", self.style("32", prompt), self.style("1", line));
    }

    /// Shows what a command printed.
    #[expect(clippy::unused_self, reason = "every line of the demo goes through the narrator")]
    pub(super) fn output(&self, text: &str) {
        println!("{}", text.trim_end());
    }

    /// Says that it went well.
    pub(super) fn success(&self, text: &str) {
        println!("\n{}", self.style("1;32", text));
    }

    /// Says what went wrong.
    pub(super) fn failure(&self, error: &anyhow::Error) {
        let what = format!("Step {} failed: expected {}.", self.step, self.expected);
        eprintln!("\n{}\n{error:#}", self.style("1;31", &what));
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn style(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
