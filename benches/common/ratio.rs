//! What `make bench-record` keeps of a bench: one line for each ratio, of which less is better.

/// Prints such a line, in a run that is recorded.
pub(crate) fn tell(bench: &str, case: &str, ratio: f64) {
    use std::io::Write as _;
    if std::env::var_os("BENCH_RECORD").is_some() {
        let line =
            serde_json::json!({ "bench": bench, "case": case, "ratio": (ratio * 1000.0).round() / 1000.0 });
        writeln!(std::io::stdout(), "{line}").ok();
    }
}
