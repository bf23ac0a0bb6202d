//! What is being fetched at this moment, in one line.

use std::collections::VecDeque;
use std::time::Duration;

use crate::text::{bytes, count, duration, redact, safe};

/// A server is said to be silent from then on.
const SILENT: Duration = Duration::from_secs(3);
/// The speed is that of the last seconds.
const WINDOW: Duration = Duration::from_secs(5);

/// What the relay is fetching for go at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files under way.
    pub files: usize,
    /// Bytes of all bodies since the command was started.
    pub received: u64,
    /// The file that tells most: one of those that move with the most still to come, or, where
    /// nothing moves, the one that has been silent longest.
    pub leading: Option<Transfer>,
}

/// One file under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The file, for people: `golang.org/x/text@v0.3.0`.
    pub what: String,
    /// The server that was asked, credentials removed.
    pub host: String,
    /// Bytes that have arrived.
    pub held: u64,
    /// The length that was announced.
    pub total: Option<u64>,
    /// For how long nothing has come.
    pub silent: Duration,
}

/// What is seen from outside of a go that asks its servers itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Direct {
    /// Bytes that go has read since it was started.
    pub read: u64,
    /// The git that it waits for, or another such program.
    pub vcs: Option<VcsRun>,
}

/// A version control program at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VcsRun {
    /// What it is called.
    pub name: String,
    /// Where it fetches from.
    pub from: Option<String>,
    /// For how long go has had one running.
    pub took: Duration,
}

impl Transfer {
    /// True where nothing has come for so long that it is worth a word.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent >= SILENT
    }

    /// `3.4 MiB of 9.1 MiB`, where a body has begun.
    fn amount(&self) -> Option<String> {
        match self.total {
            Some(total) => Some(format!("{} of {}", bytes(self.held), bytes(total))),
            None if self.held > 0 => Some(bytes(self.held)),
            None => None,
        }
    }
}

/// How fast bytes have come of late.
#[derive(Debug, Default)]
pub(super) struct Speed {
    samples: VecDeque<(Duration, u64)>,
}

impl Speed {
    /// Takes what had been received at `now`.
    pub(super) fn sample(&mut self, now: Duration, received: u64) {
        // Another relay counts from nothing.
        if self.samples.back().is_some_and(|(_, last)| *last > received) {
            self.samples.clear();
        }
        self.samples.push_back((now, received));
        while self.samples.len() > 2 && self.samples[1].0 + WINDOW <= now {
            self.samples.pop_front();
        }
    }

    /// Bytes a second.
    fn per_second(&self) -> Option<u64> {
        let ((first, before), (last, after)) = (self.samples.front()?, self.samples.back()?);
        let took = u64::try_from((*last - *first).as_millis())
            .ok()
            .filter(|took| *took > 0)?;
        Some((after - before).saturating_mul(1000) / took).filter(|speed| *speed > 0)
    }
}

/// The line, without the leading `gofix: `. Figures come first, since a narrow terminal cuts the end.
pub(super) fn line(progress: &Progress, speed: &Speed) -> Option<String> {
    let leading = progress.leading.as_ref()?;
    let what = safe(&leading.what);
    let others = match progress.files {
        0 | 1 => String::new(),
        files => format!(" and {}", count(files as u64 - 1, "other file")),
    };
    if leading.is_silent() {
        let amount = leading
            .amount()
            .map_or_else(String::new, |amount| format!(", {amount}"));
        return Some(format!(
            "no response from {} for {}: {what}{amount}{others}",
            safe(&leading.host),
            seconds(leading.silent.as_secs())
        ));
    }
    let mut figures: Vec<String> = leading.amount().into_iter().collect();
    if let Some(speed) = speed.per_second() {
        figures.push(format!("{}/s", bytes(speed)));
        if let (1, Some(total)) = (progress.files, leading.total) {
            let left = total.saturating_sub(leading.held) / speed;
            figures.push(format!("{} left", seconds(left)));
        }
    }
    let figures = match figures.is_empty() {
        true => String::new(),
        false => format!("{}: ", figures.join(", ")),
    };
    Some(format!("fetching {figures}{what}{others}"))
}

/// The same of a go that asks its servers itself, and has printed nothing for `quiet`.
pub(super) fn direct_line(direct: &Direct, quiet: Duration, speed: &Speed) -> String {
    if let Some(vcs) = &direct.vcs {
        let from = vcs.from.as_deref().map_or_else(String::new, |from| {
            let from = redact(from).into_owned();
            format!(": {}", safe(&from))
        });
        let took = seconds(vcs.took.as_secs());
        return format!("{} has been running for {took}{from}", safe(&vcs.name));
    }
    let reads = match speed.per_second() {
        Some(speed) => format!("reads {}/s", bytes(speed)),
        None => "reads nothing".to_owned(),
    };
    format!(
        "go has printed nothing for {} and {reads}",
        seconds(quiet.as_secs())
    )
}

/// Whole seconds: tenths would jump about in a line that is drawn once a second.
fn seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        _ => duration(Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(held: u64, total: Option<u64>, silent: u64) -> Transfer {
        Transfer {
            what: "go1.27.0 (linux/amd64)".to_owned(),
            host: "proxy.golang.org".to_owned(),
            held,
            total,
            silent: Duration::from_secs(silent),
        }
    }

    fn shown(files: usize, transfer: Transfer, speed: &Speed) -> String {
        let progress = Progress {
            files,
            received: 0,
            leading: Some(transfer),
        };
        line(&progress, speed).unwrap()
    }

    #[test]
    fn what_is_said() {
        let mut speed = Speed::default();
        let total = Some(70 << 20);
        assert_eq!(
            shown(1, transfer(0, None, 0), &speed),
            "fetching go1.27.0 (linux/amd64)"
        );
        for second in 0..20_u64 {
            speed.sample(Duration::from_secs(second), (second * second) << 20);
        }
        // 14, 15 … 19 seconds: (361 - 196) / 5.
        assert_eq!(
            shown(1, transfer(4 << 20, total, 1), &speed),
            "fetching 4.0 MiB of 70.0 MiB, 33.0 MiB/s, 2s left: go1.27.0 (linux/amd64)"
        );
        assert_eq!(
            shown(12, transfer(4 << 20, None, 0), &speed),
            "fetching 4.0 MiB, 33.0 MiB/s: go1.27.0 (linux/amd64) and 11 other files"
        );
        assert_eq!(
            shown(2, transfer(4 << 20, total, 8), &speed),
            "no response from proxy.golang.org for 8s: go1.27.0 (linux/amd64), 4.0 MiB of 70.0 MiB and 1 other file"
        );
        let git = |from: Option<&str>| Direct {
            read: 0,
            vcs: Some(VcsRun {
                name: "git".to_owned(),
                from: from.map(str::to_owned),
                took: Duration::from_secs(75),
            }),
        };
        for (direct, want) in [
            (
                git(Some("https://me:secret@github.com/a/b")),
                "git has been running for 1m15s: https://xxxxx@github.com/a/b",
            ),
            (git(None), "git has been running for 1m15s"),
            (
                Direct::default(),
                "go has printed nothing for 9s and reads 33.0 MiB/s",
            ),
        ] {
            assert_eq!(direct_line(&direct, Duration::from_millis(9900), &speed), want);
        }
        speed.sample(Duration::from_secs(20), 0);
        assert_eq!(
            direct_line(&Direct::default(), Duration::from_secs(9), &speed),
            "go has printed nothing for 9s and reads nothing"
        );
        assert_eq!(speed.per_second(), None, "another relay");
    }
}
