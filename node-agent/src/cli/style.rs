//! Colours, for what a person should not overlook. They are always in the text: whoever prints it to anything but a terminal, or with
//! `NO_COLOR` set, takes them out (`anstream`).

use anstyle::{AnsiColor, Style};

const BAD: Style = AnsiColor::Red.on_default().bold();
const NOTABLE: Style = AnsiColor::Yellow.on_default();

/// Something is wrong.
pub(super) fn bad(text: &str) -> String {
    format!("{BAD}{text}{BAD:#}")
}

/// Something is on its way, or about to go.
pub(super) fn notable(text: &str) -> String {
    format!("{NOTABLE}{text}{NOTABLE:#}")
}

/// How many characters of the text are seen.
pub(super) fn width(text: &str) -> usize {
    let seen = anstream::adapter::strip_str(text);
    seen.map(|part| part.chars().count()).sum()
}

/// The text without colours.
#[cfg(test)]
pub(super) fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_takes_no_room() {
        for text in [bad("Away"), notable("Away")] {
            assert_ne!(text, "Away");
            assert_eq!((width(&text), plain(&text).as_str()), (4, "Away"));
        }
    }
}
