//! The standard output.

use std::io::{self, IsTerminal as _, Stdout, Write as _};

use anyhow::{Context as _, Result, ensure};

/// Prints a text. A reader that has seen enough is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(()),
    }
}

/// For what is no text: an error if it is a terminal. `what`: such as "an archive".
pub(crate) fn no_terminal(what: &str) -> Result<Stdout> {
    let out = io::stdout();
    ensure!(
        !out.is_terminal(),
        "{what} is nothing for a terminal: lead the output into a file, or to another program"
    );
    Ok(out)
}
