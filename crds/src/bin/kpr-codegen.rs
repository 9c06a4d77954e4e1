//! Writes the files that are generated from the API's types, below the current directory (the repository's root).
//! `cargo xtask codegen` runs it. With `--check` it writes nothing and fails if a file is out of date.

use std::{env, fs, path::Path, process::ExitCode};

use kpr_crds::codegen;

type BoxError = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let check = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => false,
        ["--check"] => true,
        _ => {
            eprintln!("usage: kpr-codegen [--check]");
            return ExitCode::from(2);
        }
    };
    match generate(check) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("kpr-codegen: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Brings every file up to date, or only looks. False if it only looked and something is out of date.
fn generate(check: bool) -> Result<bool, BoxError> {
    let mut good = true;
    for (path, content) in codegen::files()? {
        let file = Path::new(&path);
        if fs::read_to_string(file).is_ok_and(|old| old == content) {
            println!("{path} is up to date");
        } else if check {
            good = false;
            println!("{path} is out of date: run `cargo xtask codegen`");
        } else {
            if let Some(directory) = file.parent() {
                fs::create_dir_all(directory)?;
            }
            fs::write(file, content).map_err(|error| format!("cannot write {path}: {error}"))?;
            println!("{path} written");
        }
    }
    Ok(good)
}
