//! The relay for one invocation: whether there is one, and what it is told.

use std::{io, path::Path};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use gofix_shim::Invocation;

use super::{Session, tidy};
use crate::{
    go::{env::GoEnv, sumdb::Sumdb, workspace},
    relay::{Command, Environment, Project, Quoting, Relay, Rewriter, Setup},
    report::Event,
};

/// A relay that runs, and what it tells.
pub(super) struct Relaying {
    pub(super) relay: Relay,
    pub(super) events: UnboundedReceiver<Event>,
}

impl Relaying {
    /// The rewriters for stderr and stdout. Where both are one file only one
    /// stream is read, and it is plain text.
    pub(super) fn rewriters(&self, json: bool) -> [Option<Rewriter>; 2] {
        let stdout = if json { Quoting::Json } else { Quoting::Plain };
        [
            Some(self.relay.rewriter(Quoting::Plain)),
            Some(self.relay.rewriter(stdout)),
        ]
    }
}

impl Session<'_> {
    /// Starts the relay. `None` where there is nothing to relay, or where it
    /// cannot be had: then go goes without it, as it would without gofix.
    /// `left_to_go` names elements of the list that are not relayed.
    pub(super) fn start_relay(&self, in_front: bool, left_to_go: Vec<String>) -> Option<Relaying> {
        let (tell, events) = unbounded_channel();
        let all = self.now.reporter.wants_requests();
        let mut environment = Environment::from_go(&self.asked.env);
        if let Some(dir) = tidy::working_dir(self.asked.invocation) {
            environment = environment.with_helpers(&self.asked.env, self.asked.go.path.clone(), dir);
        }
        let mut setup = Setup::new(self.asked.routes.lists.clone(), environment);
        // There go refuses every http URL, the relay's as well.
        if setup.environment.proxies.refuses_http() {
            return None;
        }
        setup.in_front = in_front;
        setup.left_to_go = left_to_go;
        // Where the folder for temporary files takes none, what is spooled goes
        // where go will put it.
        let cache = self.asked.env.gomodcache();
        let cache = cache
            .as_deref()
            .and_then(|cache| cache.ancestors().find(|dir| dir.is_dir()));
        setup.spool.extend(cache.map(Path::to_path_buf));
        setup.project = project(self.asked.invocation, &self.asked.env);
        setup.connect_timeout = *self.asked.config.connect_timeout;
        setup.stall = *self.asked.config.stall;
        setup.deadline = Some(self.asked.began + *self.asked.config.budget);
        setup.patient_until = Some(self.asked.began + self.asked.budget);
        setup.retry_count = *self.asked.config.retry_count;
        setup.patient = self.now.in_ci && setup.retry_count > 0;
        setup.max_fails = *self.asked.config.max_fails;
        setup.fail_timeout = *self.asked.config.fail_timeout;
        setup.listener = Some(Box::new(move |event| {
            let went_well = matches!(&event, Event::UpstreamRequest { error: None, .. });
            if all || !went_well {
                drop(tell.send(event));
            }
        }));
        let started: io::Result<Option<Relay>> = Relay::start(setup);
        Some(Relaying {
            relay: started.ok()??,
            events,
        })
    }
}

/// What go works on, for what is asked for ahead.
fn project(invocation: &Invocation, env: &GoEnv) -> Project {
    let command = command(invocation, env);
    let dir = tidy::working_dir(invocation).filter(|_| command != Command::Install);
    let workspace = dir
        .and_then(|dir| workspace::go_work(&dir, &env.get("GOWORK").0))
        .is_some();
    let go_mod = (!workspace && command != Command::Install)
        .then(|| tidy::main_module(invocation, env))
        .flatten();
    Project {
        command,
        go_mod,
        workspace,
        cache: env.gomodcache(),
        no_proxy: env.text("GONOPROXY"),
        // One that has a URL is asked past the proxies.
        sumdb: Sumdb::parse(&env.text("GOSUMDB"))
            .filter(|sumdb| sumdb.url.is_none())
            .map(|sumdb| sumdb.name),
        no_sumdb: env.text("GONOSUMDB"),
    }
}

fn command(invocation: &Invocation, env: &GoEnv) -> Command {
    let operands = invocation.operands();
    let at_version = || {
        operands
            .first()
            .is_some_and(|operand| operand.as_encoded_bytes().contains(&b'@'))
    };
    let on = |name: &str| tidy::switch(invocation, env, name);
    match invocation.words.as_slice() {
        ["mod", "download"] if operands.is_empty() => Command::Download,
        ["mod", "tidy"] => Command::Tidy,
        ["mod", "vendor"] => Command::Vendor,
        ["list"] if on("m") => Command::Modules {
            updates: on("u"),
            versions: on("versions"),
        },
        ["get"] => Command::Get,
        ["install" | "run"] if at_version() => Command::Install,
        ["list" | "build" | "install" | "run" | "test" | "vet" | "generate" | "fix" | "tool"] => {
            Command::Packages
        }
        _ => Command::Other,
    }
}
