//! Ten thousand machines and one proxy that fails: what their retries do to it. A discrete-event simulation on the
//! schedule of the relay (`relay::schedule`) and the policy of the runs (`policy`) as they are, with fixed seeds.
//!
//! Every machine starts one command within ten minutes and fetches its files one after the other. The proxy answers up
//! to its capacity, twice what the fleet asks for when all is well; beyond that it answers 503.
//!
//! Left out: breakers and parallel requests, which make gofix ask less than it does here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use gofix::diagnose::{Diagnosis, Input, diagnose};
use gofix::policy::{Next, Policy, Seen};
use gofix::relay::schedule::{Failed, Ramp, Tries};

#[path = "../tests/support/measured.rs"]
mod measured;
#[path = "common/ratio.rs"]
mod ratio;

const MACHINES: usize = 10_000;
const FILES: u32 = 12;
/// The machines start within this time, evenly.
const START: f64 = 600.0;
/// From the beginning of the trouble to its end.
const TROUBLE: (f64, f64) = (300.0, 360.0);
/// The default of GOFIX_BUDGET, and what the others are given.
const BUDGET: Duration = Duration::from_secs(600);
/// Requests a second: twice the 200 of a fleet that is well.
const CAPACITY: u32 = 400;
/// The busiest second is a matter of chance: what is told is the mean of several plays.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=10;
const LATENCY: f64 = 0.05;

/// What is wrong with the proxy between the two times.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    None,
    /// One request in five fails, for all of the time.
    BrownOut,
    Dead,
    /// Dead, and then a minute with a cold cache: a quarter of the capacity, ten times the latency.
    Cold,
    Unavailable(Option<f64>),
    /// 503 with a Retry-After that names the end of the trouble, as a date does.
    UnavailableUntil,
    /// 429 beyond half of what is asked for.
    Limited(Option<f64>),
}

const TROUBLES: [(&str, Trouble); 8] = [
    ("brown-out of 20 %", Trouble::BrownOut),
    ("dead for a minute", Trouble::Dead),
    ("dead for a minute, comes back cold", Trouble::Cold),
    ("503 for a minute", Trouble::Unavailable(None)),
    (
        "503 for a minute, Retry-After 20",
        Trouble::Unavailable(Some(20.0)),
    ),
    ("503 for a minute, Retry-After its end", Trouble::UnavailableUntil),
    ("429 for a minute", Trouble::Limited(None)),
    ("429 for a minute, Retry-After 10", Trouble::Limited(Some(10.0))),
];

/// Who asks.
#[derive(Clone, Copy, PartialEq)]
enum Client {
    Gofix,
    /// gofix without its relay: go is run again, and keeps what it has.
    Runs,
    /// The job is started again up to twice, ten seconds later and with nothing in its cache.
    Ci,
    /// `for try in 1 2 3 4 5; do go mod download && break || sleep 5; done`
    Loop,
    /// Once a second, until it works.
    Constant,
}

const CLIENTS: [(&str, Client); 5] = [
    ("gofix", Client::Gofix),
    ("gofix, relay off", Client::Runs),
    ("plain go, job run again twice", Client::Ci),
    ("shell loop of 5", Client::Loop),
    ("once a second", Client::Constant),
];

enum Answer {
    File(f64),
    Failed(Failed),
}

/// The proxy, and how often it was asked in each second.
struct Proxy {
    trouble: Trouble,
    asked: Vec<u32>,
}

impl Proxy {
    fn ask(&mut self, now: f64, rng: &mut fastrand::Rng) -> Answer {
        let second = now as usize;
        if self.asked.len() <= second {
            self.asked.resize(second + 1, 0);
        }
        self.asked[second] += 1;
        let (from, to) = TROUBLE;
        let trouble = (from..to).contains(&now);
        let failed = |retry_after: Option<f64>, rate_limited| {
            Answer::Failed(Failed {
                retry_after: retry_after.map(Duration::from_secs_f64),
                rate_limited,
                ..Failed::default()
            })
        };
        let (mut capacity, mut latency) = (CAPACITY, LATENCY);
        match self.trouble {
            Trouble::BrownOut if rng.f64() < 0.2 => return failed(None, false),
            Trouble::Dead | Trouble::Cold if trouble => return failed(None, false),
            Trouble::Unavailable(after) if trouble => return failed(after, false),
            Trouble::UnavailableUntil if trouble => return failed(Some((to - now).ceil()), false),
            Trouble::Limited(after) if trouble && self.asked[second] > 100 => return failed(after, true),
            Trouble::Cold if (to..to + 60.0).contains(&now) => {
                capacity /= 4;
                latency *= 10.0;
            }
            _ => {}
        }
        match self.asked[second] > capacity {
            true => failed(None, false),
            false => Answer::File(latency),
        }
    }
}

struct Machine {
    began: f64,
    files: u32,
    runs: u32,
    tries: Tries,
    ramp: Ramp,
    policy: Policy,
}

/// What a machine does after a failed request.
enum Then {
    Ask(f64),
    GiveUp,
}

impl Machine {
    fn new(began: f64) -> Self {
        let mut policy = Policy::new(1, 3, BUDGET);
        policy.started(0);
        Self {
            began,
            files: 0,
            runs: 1,
            tries: Tries::default(),
            ramp: Ramp::default(),
            policy,
        }
    }

    fn failed(
        &mut self,
        client: Client,
        failed: Failed,
        now: f64,
        words: &Words,
        rng: &mut fastrand::Rng,
    ) -> Then {
        let left = BUDGET.saturating_sub(Duration::from_secs_f64((now - self.began).max(0.0)));
        let within = |wait: Duration| match wait < left {
            true => Then::Ask(wait.as_secs_f64()),
            false => Then::GiveUp,
        };
        self.runs += 1;
        match client {
            // In CI, where a server that is down is waited for.
            Client::Gofix => {
                self.tries.failed(failed, u32::MAX);
                within(self.tries.wait(rng.f64()))
            }
            Client::Runs => {
                let diagnosis = if failed.rate_limited {
                    &words.limited
                } else {
                    &words.refused
                };
                match self
                    .policy
                    .next(diagnosis, Seen::default(), BUDGET - left, &mut || rng.f64())
                {
                    Next::Run { wait, .. } => {
                        self.policy.started(0);
                        within(wait)
                    }
                    Next::GiveUp(_) => Then::GiveUp,
                }
            }
            Client::Ci if self.runs <= 3 => {
                self.files = 0;
                within(Duration::from_secs(10))
            }
            Client::Loop if self.runs <= 5 => within(Duration::from_secs(5)),
            Client::Ci | Client::Loop => Then::GiveUp,
            Client::Constant => within(Duration::from_secs(1)),
        }
    }
}

/// What go says, read by the diagnosis.
struct Words {
    refused: Diagnosis,
    limited: Diagnosis,
}

impl Words {
    fn new() -> Self {
        let of = |text: &str| {
            let stderr = format!("go: example.com/a@v1.0.0: {text}\n");
            diagnose(&Input {
                stderr: stderr.as_bytes(),
                stdout_json: None,
            })
        };
        let url = "https://goproxy.corp.example/example.com/a/@v/v1.0.0.mod";
        Self {
            refused: of(&format!(
                "Get \"{url}\": dial tcp 192.0.2.1:443: connect: connection refused"
            )),
            limited: of(&format!("reading {url}: 429 Too Many Requests")),
        }
    }
}

struct Played {
    asked: Vec<u32>,
    files: u64,
    succeeded: usize,
    last: f64,
    /// How long each command took that succeeded.
    took: Vec<f64>,
}

impl Played {
    /// The most requests of one second from `from` on.
    fn peak(&self, from: f64) -> u32 {
        self.asked.iter().skip(from as usize).copied().max().unwrap_or(0)
    }

    /// What 99 of 100 commands take at most.
    fn longest(&self) -> f64 {
        let mut took = self.took.clone();
        took.sort_by(f64::total_cmp);
        took.get(took.len() * 99 / 100).copied().unwrap_or(0.0)
    }

    fn amplification(&self) -> f64 {
        self.asked.iter().map(|count| u64::from(*count)).sum::<u64>() as f64 / self.files.max(1) as f64
    }
}

fn play(client: Client, trouble: Trouble, seed: u64) -> Played {
    let mut rng = fastrand::Rng::with_seed(seed);
    let words = Words::new();
    let mut proxy = Proxy {
        trouble,
        asked: Vec::new(),
    };
    // In microseconds, which have an order.
    let mut events = BinaryHeap::new();
    let mut machines: Vec<Machine> = Vec::with_capacity(MACHINES);
    for number in 0..MACHINES {
        let began = rng.f64() * START;
        machines.push(Machine::new(began));
        events.push(Reverse(((began * 1e6) as u64, number)));
    }
    let (mut succeeded, mut last, mut files) = (0, 0.0_f64, 0);
    let mut took = Vec::new();
    while let Some(Reverse((at, number))) = events.pop() {
        let now = at as f64 / 1e6;
        let machine = &mut machines[number];
        if client == Client::Gofix {
            let wait = machine.ramp.turn(Duration::from_micros(at));
            if !wait.is_zero() {
                events.push(Reverse((at + wait.as_micros().max(1) as u64, number)));
                continue;
            }
        }
        let next = match proxy.ask(now, &mut rng) {
            Answer::File(latency) => {
                machine.files += 1;
                machine.tries = Tries::default();
                machine.ramp.answered(Duration::from_micros(at));
                if machine.files == FILES {
                    succeeded += 1;
                    files += u64::from(FILES);
                    last = last.max(now);
                    took.push(now - machine.began);
                    continue;
                }
                now + latency
            }
            Answer::Failed(failed) => {
                let sent_away = failed.rate_limited || failed.retry_after.is_some();
                machine.ramp.failed(Duration::from_micros(at), sent_away);
                match machine.failed(client, failed, now, &words, &mut rng) {
                    Then::Ask(wait) => now + LATENCY + wait,
                    Then::GiveUp => continue,
                }
            }
        };
        events.push(Reverse(((next * 1e6) as u64, number)));
    }
    Played {
        asked: proxy.asked,
        files,
        succeeded,
        last,
        took,
    }
}

fn main() -> std::io::Result<()> {
    let mut table = String::from(
        "| the proxy | who asks | succeed | requests for each file | peak afterwards | 99 % take at most | last success |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let healthy = SEEDS
        .map(|seed| f64::from(play(Client::Gofix, Trouble::None, seed).peak(0.0)))
        .sum::<f64>()
        / SEEDS.count() as f64;
    let mut lines = Vec::new();
    for (what, trouble) in TROUBLES {
        for (who, client) in CLIENTS {
            let all: Vec<Played> = SEEDS.map(|seed| play(client, trouble, seed)).collect();
            let from = if trouble == Trouble::BrownOut {
                0.0
            } else {
                TROUBLE.1
            };
            let mean = |of: &dyn Fn(&Played) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
            let peak = mean(&|played| played.peak(from).into()) / healthy;
            let share = mean(&|played| played.succeeded as f64 * 100.0 / MACHINES as f64);
            let amplification = mean(&Played::amplification);
            let longest = mean(&Played::longest);
            let last = mean(&|played| played.last);
            let _ = writeln!(
                table,
                "| {what} | {who} | {share:.1} % | {amplification:.2} | {peak:.1}× | {longest:.0} s | {last:.0} s |"
            );
            ratio::tell("herd", &format!("{what}, {who}"), amplification);
            if trouble == Trouble::Dead
                && let Some(first) = all.into_iter().next()
            {
                lines.push((who, first.asked));
            }
        }
    }
    writeln!(std::io::stdout(), "{table}")?;
    if std::env::var_os("BENCH_WRITE").is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fleet-herd.svg");
        std::fs::write(file, chart(&lines))?;
        measured::write("fleet.md", "herd", &table);
    }
    Ok(())
}

/// Requests a second over time, where the proxy is dead for a minute.
fn chart(lines: &[(&str, Vec<u32>)]) -> String {
    const COLOURS: [&str; 5] = ["#00758f", "#5dc9e2", "#b8860b", "#ce3262", "#777777"];
    const MOST: f64 = 1600.0;
    let (from, to) = (240_usize, 480_usize);
    let x = |second: usize| 50.0 + (second - from) as f64 * 640.0 / (to - from) as f64;
    let y = |count: f64| 330.0 - count.min(MOST) * 300.0 / MOST;
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 400\" font-family=\"sans-serif\" font-size=\"12\" \
         role=\"img\" aria-label=\"Requests a second to a proxy that is dead for a minute\">\n\
         <rect width=\"720\" height=\"400\" fill=\"#ffffff\"/>\n",
    );
    let _ = writeln!(
        svg,
        "<rect x=\"{:.0}\" y=\"30\" width=\"{:.0}\" height=\"300\" fill=\"#f3dede\"/>\n\
         <text x=\"{:.0}\" y=\"24\">the proxy is dead</text>",
        x(300),
        x(360) - x(300),
        x(300)
    );
    for count in [0, 400, 800, 1200, 1600] {
        let at = y(f64::from(count));
        let _ = writeln!(
            svg,
            "<path d=\"M50 {at:.0}H690\" stroke=\"#dddddd\"/><text x=\"44\" y=\"{:.0}\" text-anchor=\"end\">{count}</text>",
            at + 4.0
        );
    }
    for (number, ((who, asked), colour)) in lines.iter().zip(COLOURS).enumerate() {
        let points: String = (from..to)
            .map(|second| {
                format!(
                    "{:.0},{:.0} ",
                    x(second),
                    y(f64::from(asked.get(second).copied().unwrap_or(0)))
                )
            })
            .collect();
        let left = 50 + number * 132;
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n\
             <path d=\"M{left} 370h14\" stroke=\"{colour}\" stroke-width=\"3\"/><text x=\"{}\" y=\"374\">{}</text>",
            points.trim_end(),
            left + 18,
            who.split(", job").next().unwrap_or(who)
        );
    }
    svg.push_str("<text x=\"50\" y=\"348\">requests a second, from minute 4 to minute 8</text>\n</svg>\n");
    svg
}
