//! Programs and libraries that others wrote in Python, for tests that should not be judged by our
//! own code.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// Where the scripts are.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

/// Returns the programs of a Python environment in `home`, with all that is required. It is made
/// once for each set of versions.
///
/// # Panics
/// If it cannot be made, with what to do.
pub fn programs(home: &Path) -> PathBuf {
    let lock = File::create(home.join("python.lock")).expect("target can be written");
    lock.lock().expect("another test makes it, and ends");
    let requirements = scripts().join("requirements.txt");
    let wanted = fs::read_to_string(&requirements).expect("it is in the repository");
    let environment = home.join("python");
    let programs = environment.join("bin");
    let installed = environment.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        return programs;
    }
    run(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&environment),
        "This test needs Python 3 with venv and pip: on Debian `apt-get install python3-venv`.",
    );
    run(
        Command::new(programs.join("python"))
            .args(["-m", "pip", "install", "--quiet", "--requirement"])
            .arg(&requirements),
        "This test needs to reach PyPI once, or an index in PIP_INDEX_URL.",
    );
    fs::write(installed, wanted).expect("target can be written");
    programs
}

/// Runs a command to its end, and returns what it printed.
///
/// # Panics
/// If it cannot be started or fails, with what it printed and `hint`.
pub fn run(command: &mut Command, hint: &str) -> String {
    let shown = format!("{command:?}");
    match command.output() {
        Err(error) => panic!("cannot run {shown}: {error}\n{hint}"),
        Ok(output) => {
            let out = String::from_utf8_lossy(&output.stdout).into_owned();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success(),
                "{shown} failed:\n{out}{errors}\n{hint}"
            );
            out
        }
    }
}
