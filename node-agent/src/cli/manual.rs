//! `kpr manual`: the manual pages of `kpr`, made of its own command line. Those in `docs/man` are written by it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use super::{Exit, args};

/// Which pages, and where to.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The command whose page is printed, such as `conntrack list`; none: the page of kpr itself
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write all pages into this directory instead
    #[arg(long, value_name = "DIR", conflicts_with_all = ["command", "check"])]
    write: Option<PathBuf>,
    /// Fail unless this directory has exactly these pages
    #[arg(long, value_name = "DIR", conflicts_with = "command", hide = true)]
    check: Option<PathBuf>,
}

/// A page.
struct Page {
    /// Such as `kpr-conntrack-list`.
    name: String,
    text: String,
}

/// Carries out the command.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let pages = pages()?;
    if let Some(directory) = &args.write {
        write(&pages, directory)?;
    } else if let Some(directory) = &args.check {
        check(&pages, directory)?;
    } else {
        let name = [&["kpr".to_owned()], args.command.as_slice()].concat().join("-");
        let page = pages.iter().find(|page| page.name == name);
        let page = page.with_context(|| format!("kpr has no command {:?} (kpr --help)", args.command.join(" ")))?;
        out.write_all(page.text.as_bytes())?;
    }
    Ok(Exit::Ok)
}

/// The page of `kpr`, and of each command.
fn pages() -> anyhow::Result<Vec<Page>> {
    let mut pages = Vec::new();
    let mut command = args::Args::command().disable_help_subcommand(true);
    command.build();
    add(&command, "kpr", &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, name: &str, pages: &mut Vec<Page>) -> anyhow::Result<()> {
    let mut page = Vec::new();
    let named = command.clone().display_name(name.to_owned());
    Man::new(named).manual("kpr").render(&mut page)?;
    pages.push(Page {
        name: name.to_owned(),
        text: String::from_utf8(page)?,
    });
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        add(command, &format!("{name}-{}", command.get_name()), pages)?;
    }
    Ok(())
}

impl Page {
    fn file(&self) -> String {
        format!("{}.1", self.name)
    }
}

fn write(pages: &[Page], directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for unknown in unknown(pages, directory)? {
        fs::remove_file(&unknown).with_context(|| format!("cannot remove {}", unknown.display()))?;
    }
    for page in pages {
        let file = directory.join(page.file());
        fs::write(&file, &page.text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn check(pages: &[Page], directory: &Path) -> anyhow::Result<()> {
    for page in pages {
        let file = directory.join(page.file());
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        ensure!(
            text == page.text,
            "{} is not what kpr's command line says: `cargo xtask codegen` writes it anew",
            file.display()
        );
    }
    match unknown(pages, directory)?.first() {
        Some(unknown) => bail!(
            "{} is no command's page: `cargo xtask codegen` removes it",
            unknown.display()
        ),
        None => Ok(()),
    }
}

/// Pages in the directory that are none of these.
fn unknown(pages: &[Page], directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut unknown = Vec::new();
    for entry in entries {
        let file = entry?.path();
        let is_page = file.extension().is_some_and(|extension| extension == "1");
        let is_known = pages.iter().any(|page| file.ends_with(page.file()));
        if is_page && !is_known {
            unknown.push(file);
        }
    }
    Ok(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where `cargo xtask codegen` writes them.
    const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/man");

    #[test]
    fn the_pages_in_docs_are_those_of_this_command_line() {
        check(&pages().unwrap(), Path::new(DOCS)).unwrap();
    }

    #[test]
    fn a_page_that_is_old_missing_or_of_no_command_is_found_and_written_anew() {
        let directory = tempfile::tempdir().unwrap();
        let pages = pages().unwrap();
        let spoil: [fn(&Path); 3] = [
            |dir| fs::write(dir.join("kpr.1"), "old").unwrap(),
            |dir| fs::remove_file(dir.join("kpr-status.1")).unwrap(),
            |dir| fs::write(dir.join("kpr-frobnicate.1"), "new").unwrap(),
        ];
        for spoil in spoil {
            write(&pages, directory.path()).unwrap();
            check(&pages, directory.path()).unwrap();
            spoil(directory.path());
            assert!(check(&pages, directory.path()).is_err());
        }
        write(&pages, directory.path()).unwrap();
        check(&pages, directory.path()).unwrap();
    }

    #[test]
    fn each_command_has_a_page_that_says_what_it_is_for() {
        let print = |command: &[&str]| {
            let args = Args {
                command: command.iter().map(|&word| word.to_owned()).collect(),
                write: None,
                check: None,
            };
            let mut out = Vec::new();
            run(&args, &mut out).map(|_exit| String::from_utf8(out).unwrap())
        };
        let page = print(&["conntrack", "flush"]).unwrap();
        assert!(page.contains("Established connections through them break"), "{page}");
        assert!(print(&[]).unwrap().contains("Exit codes:"));
        assert!(print(&["frobnicate"]).is_err());
    }
}
