//! Hands what a diagnosis suspects to `repair`, each piece once.

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    time::SystemTime,
};

use super::{Session, child, tidy};
use crate::{
    config::Repair,
    diagnose::{Diagnosis, Mend},
    go::workspace,
    repair::{self, CacheEnv, LockWait, ModCache, Repairs, RunContext},
    report::Event,
    sys::panics::caught,
};

/// What one look at the disk needs; owned, since it goes to another thread.
struct Job {
    env: CacheEnv,
    suspects: Vec<Mend>,
    go_sums: Vec<PathBuf>,
    started: SystemTime,
    deadline: std::time::Instant,
    stall: std::time::Duration,
}

impl Job {
    fn run(&self, told: &mpsc::Sender<(PathBuf, Option<i32>)>) -> Repairs {
        let cache = match ModCache::open(self.env.clone()) {
            Ok(cache) => cache,
            Err(error) if error.is_missing() => return Repairs::default(),
            Err(error) => {
                return Repairs {
                    failed: vec![error],
                    ..Repairs::default()
                };
            }
        };
        let waiting = |path: &Path, pid| drop(told.send((path.to_owned(), pid)));
        let context = RunContext {
            go_sums: &self.go_sums,
            started: Some(self.started),
            can_fetch: true,
            lock: LockWait {
                deadline: self.deadline,
                stall: self.stall,
                waiting: &waiting,
            },
            dry_run: false,
            disputed: true,
        };
        let mut all = Repairs::default();
        for suspect in &self.suspects {
            let mended = caught("repair", || repair::mend(&cache, suspect, &context));
            all.merge(mended.unwrap_or_default());
        }
        all
    }
}

/// How long a lock is waited for where something goes back, also behind a signal.
const GIVE_BACK_TIME: std::time::Duration = std::time::Duration::from_secs(2);

/// What a look at the disk has come to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RepairOutcome {
    /// Something was mended, so that running go again makes sense.
    pub(super) something: bool,
    /// A file of it had come in this very invocation.
    pub(super) came_bad: bool,
}

impl Session<'_> {
    /// Mends what the diagnosis suspects.
    pub(super) async fn mend(&mut self, diagnosis: &Diagnosis) -> RepairOutcome {
        // Who asks whether the cache is whole gets go's answer, and a cache as it was.
        if self.asked.invocation.is(&["mod", "verify"]) {
            return RepairOutcome::default();
        }
        let mut suspects: Vec<Mend> = diagnosis
            .faults
            .iter()
            .filter_map(|fault| fault.mend.clone())
            .collect();
        suspects.retain(|suspect| !self.touched.mended.contains(suspect));
        suspects.dedup();
        if suspects.is_empty() {
            return RepairOutcome::default();
        }
        self.touched.mended.extend(suspects.iter().cloned());
        match *self.asked.config.repair {
            Repair::Off => RepairOutcome::default(),
            Repair::Module => self.mend_modules(suspects).await,
            Repair::All => RepairOutcome {
                something: self.clean_all(),
                came_bad: false,
            },
        }
    }

    async fn mend_modules(&mut self, suspects: Vec<Mend>) -> RepairOutcome {
        let judged = suspects.clone();
        let job = Job {
            env: CacheEnv::from(&self.asked.env),
            suspects,
            go_sums: self.go_sums(),
            started: self.asked.began_at,
            deadline: self.asked.began + self.asked.budget,
            stall: *self.asked.config.stall,
        };
        let (told, waits) = mpsc::channel();
        let look = tokio::task::spawn_blocking(move || job.run(&told));
        tokio::pin!(look);
        let outcome = loop {
            tokio::select! {
                outcome = &mut look => break outcome.unwrap_or_default(),
                // The mend is safe to leave at any step.
                _ = self.now.signals.readable() => {
                    self.now.interrupted = self.now.signals.settle();
                    if self.now.interrupted.is_some() {
                        // Most are done at once, and then it is known what has to go back.
                        if let Ok(Ok(outcome)) = tokio::time::timeout(GIVE_BACK_TIME / 2, &mut look).await {
                            self.note_disputed(&outcome);
                        }
                        return RepairOutcome::default();
                    }
                    child::reap_orphans();
                }
            }
        };
        for (path, pid) in waits.try_iter() {
            self.now.reporter.event(&Event::LockWait {
                path: path.to_string_lossy().into_owned(),
                pid,
            });
        }
        for report in &outcome.done {
            self.now.reporter.event(&Event::Repair {
                attempt: self.now.attempts,
                what: report.what.clone(),
            });
        }
        self.note_disputed(&outcome);
        for error in &outcome.failed {
            self.now.reporter.event(&Event::RepairFailed {
                attempt: self.now.attempts,
                why: error.to_string(),
            });
        }
        let came_bad = outcome.done.iter().any(|report| report.came_bad);
        if came_bad && self.touched.disputed.is_empty() {
            // What the next route brings may have to go as well; the policy counts the runs.
            self.touched.mended.retain(|suspect| !judged.contains(suspect));
        }
        RepairOutcome {
            something: outcome.any(),
            came_bad,
        }
    }

    /// Takes note of what has to go back where nothing better comes.
    fn note_disputed(&mut self, outcome: &Repairs) {
        for report in &outcome.done {
            if let (true, Some(module), Some(set)) = (report.disputed, &report.module, &report.kept_in) {
                self.touched.disputed.push((module.clone(), set.clone()));
            }
        }
    }

    /// Puts back what was set aside on the word of a go.sum alone, where go has
    /// fetched nothing in its place: then the go.sum may be what is wrong. True
    /// where something went back.
    pub(super) fn restore_disputed(&mut self) -> bool {
        if self.touched.disputed.is_empty() {
            return false;
        }
        let Ok(cache) = ModCache::open(CacheEnv::from(&self.asked.env)) else {
            return false;
        };
        let mut went_back = false;
        for (module, set) in std::mem::take(&mut self.touched.disputed) {
            let wait = LockWait {
                deadline: std::time::Instant::now() + GIVE_BACK_TIME,
                stall: GIVE_BACK_TIME,
                waiting: &|_, _| {},
            };
            let event = match cache.restore_if_free(&set, &module, &wait) {
                Ok(false) => continue,
                Ok(true) => {
                    went_back = true;
                    Event::Repair {
                        attempt: self.now.attempts,
                        what: format!("{module}: restored, because go could not fetch another copy"),
                    }
                }
                Err(error) => Event::RepairFailed {
                    attempt: self.now.attempts,
                    why: format!(
                        "{module} could not be restored and stays in {}: {error}",
                        crate::text::safe(set.as_os_str().as_encoded_bytes())
                    ),
                },
            };
            self.now.reporter.event(&event);
        }
        went_back
    }

    /// `go clean -modcache`, as the user asked for.
    fn clean_all(&mut self) -> bool {
        let what = "ran go clean -modcache because of GOFIX_REPAIR=all; every module will be fetched again";
        let status = self.asked.go.command(&[]).and_then(|mut command| {
            command
                .args(["clean", "-modcache"])
                .stdin(std::process::Stdio::null())
                .status()
        });
        // SIGCHLD comes here too, so the status may have been reaped already;
        // what counts is whether the cache is gone.
        let cleaned = status.is_ok_and(|status| status.success());
        let gone = self
            .asked
            .env
            .gomodcache()
            .is_some_and(|cache| !cache.join("cache/download").exists());
        let event = if cleaned || gone {
            Event::Repair {
                attempt: self.now.attempts,
                what: what.to_owned(),
            }
        } else {
            Event::RepairFailed {
                attempt: self.now.attempts,
                why: "go clean -modcache failed".to_owned(),
            }
        };
        self.now.reporter.event(&event);
        cleaned || gone
    }

    /// The go.sum files in force.
    fn go_sums(&self) -> Vec<PathBuf> {
        let go_work = tidy::working_dir(self.asked.invocation)
            .and_then(|dir| workspace::go_work(&dir, &self.asked.env.get("GOWORK").0));
        workspace::go_sums(tidy::main_module(self.asked.invocation, &self.asked.env), go_work)
    }
}
