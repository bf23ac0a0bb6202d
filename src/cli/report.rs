//! `gofix report`: JSON reports, read by people.

use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::args;
use super::{FAILED, OK};
use crate::report::{Reports, out, safe};

/// Runs the command. A file that cannot be read is one line and exit status 1; what
/// the others hold is shown all the same.
pub(super) fn run(asked: &args::Report) -> i32 {
    let mut reports = Reports::default();
    let mut status = OK;
    for file in &asked.files {
        if let Err(e) = read(&mut reports, file) {
            out::message(&format!("{}: {}", shown(file), safe(&e.to_string())));
            status = FAILED;
        }
    }
    if let Some(file) = &asked.html {
        if let Err(e) = write_page(file, &reports.html()) {
            out::message(&format!("{}: {}", shown(file), safe(&e.to_string())));
            return FAILED;
        }
        if !asked.json {
            return status;
        }
    }
    let mut stdout = out::stdout();
    // Every write to it succeeds.
    if asked.json {
        let _ = writeln!(stdout, "{}", reports.json());
    } else {
        let _ = reports.summary(&mut stdout);
    }
    let _ = stdout.flush();
    status
}

fn read(reports: &mut Reports, file: &Path) -> io::Result<()> {
    if file == Path::new("-") {
        return reports.add(io::stdin().lock());
    }
    let opened = File::open(file)?;
    if opened.metadata()?.is_dir() {
        return Err(io::Error::other("it is a folder; name the files in it"));
    }
    reports.add(BufReader::new(opened))
}

/// Writes the page whole or not at all: into a new file beside it, which then
/// takes its name. What is no regular file (a pipe, a terminal) is written as it is.
fn write_page(file: &Path, page: &str) -> io::Result<()> {
    if file == Path::new("-") {
        let mut stdout = out::stdout();
        stdout.write_all(page.as_bytes())?;
        return stdout.flush();
    }
    if std::fs::metadata(file).is_ok_and(|metadata| !metadata.is_file()) {
        return File::options().write(true).open(file)?.write_all(page.as_bytes());
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let mut new = tempfile::Builder::new()
        .prefix(".gofix-report-")
        .permissions(readable)
        .tempfile_in(folder)?;
    new.write_all(page.as_bytes())?;
    new.persist(file)?;
    Ok(())
}

fn shown(file: &Path) -> String {
    safe(file.as_os_str().as_bytes())
}
