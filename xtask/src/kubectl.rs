//! kubectl: the machine's, or one that is built here.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    apt, console,
    go_tools::{self, GoTool},
    layout::Layout,
    probe,
};

/// Where a kubectl can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The one that e2e/tools pins, built by the Go on this machine.
    Go,
    /// Debian's kubernetes-client. Old (1.20), and good enough for what the demo asks of it.
    Debian,
}

/// Find kubectl, or get one.
pub(crate) fn ready(layout: &Layout) -> Result<PathBuf> {
    let ours = layout.tools_bin().join("kubectl");
    if let Some(found) = probe::on_path("kubectl") {
        return Ok(found);
    }
    if probe::is_executable(&ours) {
        return Ok(ours);
    }
    console::step("This machine has no kubectl: getting one");
    for source in sources(probe::on_path("go").is_some()) {
        let got = match source {
            Source::Go => go_tools::ready(layout, GoTool::Kubectl).map(|_built| ()),
            Source::Debian => apt::install(&["kubernetes-client"], "kubectl; some seconds"),
        };
        if let Err(error) = got {
            crate::interrupt::check()?;
            console::note(&format!("that did not work: {error:#}"));
        } else if let Some(found) =
            probe::on_path("kubectl").or_else(|| probe::is_executable(&ours).then_some(ours.clone()))
        {
            return Ok(found);
        }
    }
    anyhow::bail!("there is no kubectl: put one on PATH (https://kubernetes.io/docs/tasks/tools/) and run this again")
}

fn sources(has_go: bool) -> Vec<Source> {
    if has_go {
        vec![Source::Go, Source::Debian]
    } else {
        vec![Source::Debian]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_is_asked_only_after_go() {
        assert_eq!(sources(true), [Source::Go, Source::Debian]);
        assert_eq!(sources(false), [Source::Debian]);
    }
}
