//! The one next thing to do, for a person.

use super::{Fault, FaultKind, Hint, Origin, Verdict};
use crate::text::{safe, shell};

/// One sentence or two, commands in backticks, to be pasted as they stand: what it is, and what to do about it.
#[must_use]
pub(super) fn advice(verdict: Verdict, faults: &[Fault], program: bool) -> String {
    let Some(fault) = faults.iter().find(|f| f.verdict == verdict) else {
        return without_fault(program).to_owned();
    };
    let host = fault.host.as_deref().map(safe);
    let host = host.as_deref().unwrap_or("the server");
    let module = fault.module.as_deref().map(safe);
    let module = module.as_deref().unwrap_or("the module");
    if let Some(storage) = fault.redirected_to.as_deref().map(safe) {
        return redirected(fault, host, &storage, module);
    }
    if let Some(hint) = fault.hint {
        return hinted(hint, fault, host, module);
    }
    match verdict {
        Verdict::Retry => retry(fault, host),
        Verdict::Switch => switch(fault, host),
        Verdict::Repair => repair(fault, module),
        Verdict::Final => answer(fault, host, module),
        Verdict::Unknown => {
            "go's message is not one that gofix knows; it is treated as an answer, and go is not run again."
                .to_owned()
        }
    }
}

fn without_fault(program: bool) -> &'static str {
    if program {
        "A compiler, a test or a program failed, not the loading of modules: read its own messages."
    } else {
        "Nothing here is a failure of go's that gofix knows."
    }
}

/// About the host that a redirect led to: the one that go names is well.
fn redirected(fault: &Fault, host: &str, storage: &str, module: &str) -> String {
    match fault.kind {
        FaultKind::NotFound => format!(
            "{host} redirects to {storage}, and {storage} does not have {module}: either its storage has lost the file, or something on this network answers for {storage}. Use another GOPROXY route."
        ),
        FaultKind::Auth | FaultKind::Refused => format!(
            "{host} redirects to {storage}, and {storage} refuses: this network must let {storage} through as well (a filter, a proxy in HTTPS_PROXY, an egress rule). Ask who runs it, or use another GOPROXY route."
        ),
        _ => format!(
            "{host} redirects to {storage}, and {storage} fails. It may heal: run the command again later, or use another GOPROXY route."
        ),
    }
}

fn hinted(hint: Hint, fault: &Fault, host: &str, module: &str) -> String {
    let typed_host = typed(fault.host.as_deref(), "HOST");
    let typed_module = typed(fault.module.as_deref(), "MODULE");
    match hint {
        Hint::PublicRefusal => format!(
            "{host} is public and asks nobody for credentials: something on this network refuses (a company's filter, a proxy in HTTPS_PROXY, an egress rule), the country is blocked, or the storage host that it redirects to is. Ask who runs the network, or use another GOPROXY route."
        ),
        Hint::SignIn => format!(
            "{host} sent a page to sign in: it does not know who asks. Give it a token in ~/.netrc or in git's credential helper, and set GOPRIVATE. On Azure DevOps the path must end in .git as well."
        ),
        Hint::ClientCertificate => format!(
            "{host} takes only clients with a certificate that it knows, and go sends none. Use another GOPROXY route, or a local proxy that adds the client certificate."
        ),
        Hint::ProxyValue => {
            "GOPROXY (or HTTPS_PROXY) holds something that is not the URL of a server: look at `go env GOPROXY` for quotation marks, blanks, a missing host or a missing https://. An HTTP or SOCKS proxy belongs in HTTPS_PROXY, not in GOPROXY.".to_owned()
        }
        Hint::HttpProxy => format!(
            "{host} looks like an HTTP proxy, not like a module proxy: put it into HTTPS_PROXY, and take it out of GOPROXY: `go env -u GOPROXY`."
        ),
        Hint::Renamed => match fault.declares.as_deref().map(safe) {
            Some(declared) => format!(
                "This module calls itself {declared}: import and require it by that path, or upgrade whatever still requires {module}."
            ),
            None => format!("{module} now has another path: see what its go.mod declares, and import that."),
        },
        Hint::PseudoVersion => format!(
            "This pseudo-version does not fit the commit it names. Let go write it, from the hash of the commit: `go get {typed_module}@COMMIT`."
        ),
        Hint::NoModuleThere => format!(
            "At that revision there is no go.mod for {module}: ask for a version (or a replacement) whose commit has one in that directory."
        ),
        Hint::StandardLibrary => {
            "The package is either in the standard library of a newer Go (compare `go version` with its documentation, and install a newer Go) or an import path without a host.".to_owned()
        }
        Hint::HiddenRepository => format!(
            "{host} has no such repository, or does not show it to who asks: check the spelling of {module}, and that your token or key may read it. A private module also needs GOPRIVATE."
        ),
        Hint::DeadHost => {
            let first = match fault.kind {
                FaultKind::Dns => format!("The name {host} could not be resolved. Check DNS (or the VPN) and run the command again."),
                _ => format!("{host} does not serve {module} (any more)."),
            };
            format!(
                "{first} If that host is gone for good, use a module proxy in GOPROXY, upgrade what requires {module}, or replace it in go.mod."
            )
        }
        Hint::NewerGo => format!(
            "{module} needs a newer Go than the one that runs: install it, let go fetch it (`export GOTOOLCHAIN=auto`, where GOTOOLCHAIN is local or path), or ask for an older version of what needs it."
        ),
        Hint::NoVcs => {
            "go fetches this module directly and finds no version control system: install git (or hg, svn, …), or use a module proxy in GOPROXY.".to_owned()
        }
        Hint::GitConfig => {
            "The configuration of git, ssh or their proxy stops it: see the line above, `git config --list --show-origin` (of `~/.gitconfig` and others), `~/.ssh/config` and HTTPS_PROXY.".to_owned()
        }
        Hint::GitBroken => {
            "The git of this machine does not work: run `git ls-remote https://github.com/golang/mod` by hand, and install git again with its https helper.".to_owned()
        }
        Hint::Xcode => {
            "git is not usable before macOS has its developer tools: run `xcode-select --install`, or `sudo xcodebuild -license accept`.".to_owned()
        }
        Hint::Ownership => {
            "The module cache belongs to another user, and git refuses to use it: make it yours again (`sudo chown -R \"$(id -u)\" \"$(go env GOMODCACHE)\"`), set GOMODCACHE to a folder of your own, or allow it: `git config --global --add safe.directory '*'`.".to_owned()
        }
        Hint::Memory => {
            "The system had no memory (or no room for another process) for git or go: give the machine or the container more. Fetching through a module proxy needs no git.".to_owned()
        }
        Hint::LfsMissing => {
            "The repository uses Git LFS and git-lfs is not installed: install git-lfs, or use a module proxy in GOPROXY.".to_owned()
        }
        Hint::LfsQuota => format!(
            "The LFS quota of the repository at {host} is used up: its owner must buy more, or use a module proxy in GOPROXY."
        ),
        Hint::SshKey => format!(
            "{host} takes none of the ssh keys offered: try `ssh -T git@{typed_host}`, load the right key with `ssh-add` or name it in `~/.ssh/config`, and check that it may read {module}."
        ),
        Hint::SshHostKey => format!(
            "The ssh key of {host} is not the one in `~/.ssh/known_hosts`, or none is there. Compare its fingerprint with the published one, then add it: `mkdir -p ~/.ssh && ssh-keyscan {typed_host} >> ~/.ssh/known_hosts`."
        ),
        Hint::RateLimit => format!(
            "{host} limits the rate of requests, and said so with 403: wait some minutes, send credentials (limits are higher for who signs in), or use a module proxy."
        ),
        Hint::PrivateSum => format!(
            "{host} was asked about {module} and cannot see it. If the module is private, keep it from public proxies and the checksum database: `go env -w GOPRIVATE={typed_module}`."
        ),
        Hint::NoSecureProtocol => {
            let url = fault.module.as_deref().map_or("REPOSITORY", repository_of);
            let url = typed(Some(&format!("https://{url}")), "");
            format!(
                "git could not reach the repository by https, git+ssh or ssh, and go does not say why; `GIT_TERMINAL_PROMPT=0 git ls-remote {url}` does. It may be a host that is down, credentials, an ssh key or an insteadOf in `~/.gitconfig`."
            )
        }
        Hint::Unavailable => format!(
            "{host} does not have {module} at the moment, and says so itself: ask again in some minutes, or use another GOPROXY route."
        ),
        Hint::GoCrashed => {
            "The go command itself crashed: this is neither the network's nor your code's doing. Run it again, update Go, and report the trace at https://go.dev/issue/new.".to_owned()
        }
    }
}

/// A name as it is typed into a shell; where nobody knows it, a word for what only the reader knows.
fn typed(name: Option<&str>, placeholder: &str) -> String {
    shell::word(&safe(name.unwrap_or(placeholder)))
}

/// The repository of a path with a VCS in it: `host/repo.git/sub`.
fn repository_of(module: &str) -> &str {
    let end = |ext: &str| module.find(ext).map(|at| at + ext.len());
    let end = [".git", ".hg", ".svn", ".bzr", ".fossil"]
        .iter()
        .find_map(|ext| end(ext));
    &module[..end.unwrap_or(module.len())]
}

fn retry(fault: &Fault, host: &str) -> String {
    // No proxy stands in for a host that go asks directly, unless everybody may have the module.
    let elsewhere = match fault.origin {
        Origin::Direct => "if the module is public, name a module proxy before direct in GOPROXY",
        _ => "use another GOPROXY route",
    };
    match fault.kind {
        FaultKind::Dns => format!(
            "The name {host} could not be resolved. Check DNS (or the VPN), then run the command again; another GOPROXY route helps if only this name is affected."
        ),
        FaultKind::RateLimit => format!(
            "{host} limits the rate of requests (429). Wait at least ten seconds before the next run, or {elsewhere}."
        ),
        FaultKind::Http2 => format!(
            "An HTTP/2 stream with {host} broke. Run the command again; if it keeps happening, make go speak HTTP/1.1: `export GODEBUG=http2client=0`."
        ),
        FaultKind::ServerError => format!(
            "{host} answered with a server error. It may heal: run the command again later, or {elsewhere}."
        ),
        FaultKind::ProxyConnect => format!(
            "The proxy of HTTPS_PROXY ({host}) could not make the connection. Check that it runs, or unset HTTPS_PROXY."
        ),
        FaultKind::Disk => {
            "A file system that is reached over the network (or FUSE) failed while go used it. Check the mount, then run the command again.".to_owned()
        }
        _ if fault.nobody && fault.origin == Origin::Direct => format!(
            "Nobody answered at {host}. Check that it is up and that this network leads to it (VPN, firewall), then run the command again, or {elsewhere}."
        ),
        _ if fault.nobody => format!(
            "Nobody answered at {host}. Run the command again, or add another GOPROXY route (`gofix routes add LIST`) so that the next try goes elsewhere."
        ),
        _ if fault.origin == Origin::Direct => format!(
            "The connection to {host} broke while a version control system used it. Run the command again, or {elsewhere}."
        ),
        _ => format!("The connection to {host} broke. Run the command again; nothing has to be deleted first."),
    }
}

fn switch(fault: &Fault, host: &str) -> String {
    match fault.kind {
        FaultKind::Certificate => format!(
            "The certificate of {host} does not verify: its own fault, a wrong clock here, or somebody in between. Install the missing authority, or use another route; do not switch verification off."
        ),
        FaultKind::TlsHandshake => {
            format!("{host} and this machine do not agree on TLS. Only another route helps.")
        }
        _ => format!(
            "{host} answered, but not as a module proxy does: a captive portal, a filter or a broken mirror. Sign in to the network, or use another GOPROXY route."
        ),
    }
}

fn repair(fault: &Fault, module: &str) -> String {
    let typed_module = typed(fault.module.as_deref(), "MODULE");
    match fault.kind {
        FaultKind::Security => format!(
            "The checksum of {module} does not match. Either a file in the module cache is damaged (`gofix cache verify` tells) or the module was changed. Never edit go.sum to make this go away."
        ),
        FaultKind::Sumdb => {
            "Cached data of the checksum database may be damaged: `gofix cache verify` tells, `gofix cache repair` repairs it.".to_owned()
        }
        FaultKind::User => format!(
            "Either no module in go.mod provides the package (then run `go get {typed_module}`), or its directory in the module cache lost files: `gofix cache verify` tells."
        ),
        FaultKind::NotFound => format!(
            "Either the version of {module} does not exist, or what the module cache holds of it is damaged: `gofix cache verify` tells."
        ),
        _ => format!(
            "A file of {module} in the module cache may be damaged: `gofix cache verify` tells, `gofix cache repair` repairs it. There is no need to clear the whole cache."
        ),
    }
}

fn answer(fault: &Fault, host: &str, module: &str) -> String {
    match fault.kind {
        FaultKind::NotFound => format!(
            "{module} or the version asked for is not there. Check its spelling; a private module needs GOPRIVATE, a new tag some minutes."
        ),
        FaultKind::Auth | FaultKind::Refused if fault.origin == Origin::HttpsProxy => format!(
            "The proxy in HTTPS_PROXY refuses: it lets nobody through to {host}, or nobody without credentials: `export HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT`. Hosts in NO_PROXY are reached without it."
        ),
        FaultKind::Auth => format!(
            "{host} refuses access. Check credentials (netrc, GOAUTH, ssh keys) and, for private modules, GOPRIVATE."
        ),
        FaultKind::Refused => format!("{host} refuses the request. Running it again changes nothing."),
        FaultKind::Security => {
            "SECURITY ERROR: what was delivered is not what was recorded. Do not route around it; find out which side is wrong.".to_owned()
        }
        FaultKind::Disk => "This machine's disk or its limits stopped go: free space, fix permissions, then run the command again.".to_owned(),
        FaultKind::Config => "Go's own settings (or HTTPS_PROXY) forbid or break the request: see `go env` and the line above.".to_owned(),
        FaultKind::ProxyConnect => format!("The proxy of HTTPS_PROXY refuses the connection ({host}). Ask whoever runs it, or set NO_PROXY."),
        FaultKind::Toolchain => "The toolchain asked for is not to be had as it is named: use a full version such as go1.22.0, or the Go that is installed: `export GOTOOLCHAIN=local`. If GOPROXY ends in direct, a dead network says the same.".to_owned(),
        _ => "This is about the module or its go.mod, not about the network: follow go's own message.".to_owned(),
    }
}
