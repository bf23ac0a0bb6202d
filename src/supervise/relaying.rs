//! The relay for one invocation: whether there is one, and what it is told.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use gofix_shim::Invocation;

use super::{Session, tidy};
use crate::{
    go::{env::GoEnv, imports::Tags, path::clean, sumdb::Sumdb, workspace},
    relay::{Command, Environment, Packages, Project, Quoting, Relay, Rewriter, Root, Setup},
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
        .as_ref()
        .and_then(|dir| workspace::go_work(dir, &env.get("GOWORK").0))
        .is_some();
    let go_mod = (!workspace && command != Command::Install)
        .then(|| tidy::main_module(invocation, env))
        .flatten();
    Project {
        packages: packages(invocation, env, &command, dir.filter(|_| !workspace).as_deref()),
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

/// The packages that a command names, and what it builds them for. What is not understood here is left out.
fn packages(invocation: &Invocation, env: &GoEnv, command: &Command, dir: Option<&Path>) -> Option<Packages> {
    let is_set = |name: &str| tidy::flag(invocation, env, name).is_some();
    // Files that are not what they seem, and constraints that are not those of Go's own compiler.
    if invocation.is(&["tool"]) || is_set("overlay") || is_set("compiler") {
        return None;
    }
    let (folder, roots) = match command {
        Command::Install => (
            PathBuf::new(),
            invocation.packages().iter().filter_map(at_version).collect(),
        ),
        Command::Packages => {
            let dir = dir?;
            let root = workspace::above(dir, "go.mod")?.parent()?.to_path_buf();
            let roots = roots(invocation.packages(), dir, &root);
            (root, roots)
        }
        _ => return None,
    };
    let on = |name: &str| tidy::switch(invocation, env, name);
    let host = Tags::host();
    let or = |name: &str, own: &str| {
        Some(env.text(name))
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| own.to_owned())
    };
    let mut tags = Tags {
        os: or("GOOS", &host.os),
        arch: or("GOARCH", &host.arch),
        ..Tags::default()
    };
    let is_native = (&tags.os, &tags.arch) == (&host.os, &host.arch);
    tags.cgo = match env.text("CGO_ENABLED").as_str() {
        "1" => Some(true),
        "0" => Some(false),
        // Where there is a compiler for it, and nobody looks for one here.
        _ => (!is_native).then_some(false),
    };
    let named = tidy::flag(invocation, env, "tags").unwrap_or_default();
    let named = named.to_string_lossy();
    tags.set.extend(
        named
            .split([',', ' '])
            .filter(|tag| !tag.is_empty())
            .map(str::to_owned),
    );
    tags.set.extend(
        ["race", "msan", "asan"]
            .into_iter()
            .filter(|name| on(name))
            .map(str::to_owned),
    );
    let may_be_another = !matches!(env.text("GOTOOLCHAIN").as_str(), "" | "auto" | "local" | "path");
    Some(Packages {
        folder,
        roots,
        tests: match invocation.words.as_slice() {
            ["test" | "vet"] => true,
            ["list"] => on("test"),
            _ => false,
        },
        tags,
        goroot: env.goroot().filter(|_| !may_be_another).map(Path::to_path_buf),
    })
}

/// The package of `PACKAGE@VERSION`.
fn at_version(operand: &OsString) -> Option<Root> {
    let (path, _) = operand.to_str()?.split_once('@')?;
    (!path.contains("...")).then(|| Root::Package(path.to_owned()))
}

/// What the operands name, in the main module whose folder is `root`.
fn roots(operands: &[OsString], dir: &Path, root: &Path) -> Vec<Root> {
    let here = [OsString::from(".")];
    let operands = if operands.is_empty() { &here } else { operands };
    let within = |path: &str| {
        let path = clean(&dir.join(path));
        Some(path.strip_prefix(root).ok()?.to_str()?.to_owned())
    };
    let texts: Option<Vec<&str>> = operands.iter().map(|operand| operand.to_str()).collect();
    let texts = texts.unwrap_or_default();
    if texts.iter().all(|text| text.ends_with(".go")) {
        return vec![Root::Files(texts.iter().map(|text| dir.join(text)).collect())];
    }
    let root_of = |text: &str| {
        let is_local =
            matches!(text, "." | "..") || ["./", "../", "/"].iter().any(|begin| text.starts_with(begin));
        match text.strip_suffix("/...") {
            Some(top) if is_local && !top.contains("...") => within(top).map(Root::Below),
            None if is_local && !text.contains("...") => within(text).map(Root::Folder),
            // A pattern, or a word for many.
            _ if is_local
                || text.contains("...")
                || matches!(text, "all" | "std" | "cmd" | "tool" | "work") =>
            {
                None
            }
            _ => Some(Root::Package(text.to_owned())),
        }
    };
    texts.into_iter().filter_map(root_of).collect()
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
