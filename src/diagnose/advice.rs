//! The one next thing to do, for a person.

use super::{Fault, FaultKind, Origin, Verdict};

/// One sentence or two: what it is, and what to do about it.
#[must_use]
pub(super) fn advice(verdict: Verdict, faults: &[Fault], program: bool) -> String {
    let Some(fault) = faults.iter().find(|f| f.verdict == verdict) else {
        return without_fault(program).to_owned();
    };
    let host = fault.host.as_deref().map(crate::text::safe);
    let host = host.as_deref().unwrap_or("the server");
    let module = fault.module.as_deref().map(crate::text::safe);
    let module = module.as_deref().unwrap_or("the module");
    match verdict {
        Verdict::Retry => retry(fault, host),
        Verdict::Switch => switch(fault, host),
        Verdict::Repair => repair(fault, module),
        Verdict::Final => answer(fault, host, module),
        Verdict::Unknown => {
            "go's message is not one that gofix knows; it is treated as an answer and not run again."
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

fn retry(fault: &Fault, host: &str) -> String {
    match fault.kind {
        FaultKind::Dns => format!(
            "The name {host} could not be resolved. Check DNS (or the VPN), then run the command again; another GOPROXY route helps if only this name is affected."
        ),
        FaultKind::RateLimit => format!(
            "{host} limits the rate of requests (429). Wait at least ten seconds before the next run, or use another GOPROXY route."
        ),
        FaultKind::Http2 => format!(
            "An HTTP/2 stream with {host} broke. Run the command again; if it keeps happening, GODEBUG=http2client=0 makes go speak HTTP/1.1."
        ),
        FaultKind::ServerError => format!(
            "{host} answered with a server error. It may heal: run the command again later, or use another GOPROXY route."
        ),
        FaultKind::ProxyConnect => format!(
            "The proxy of HTTPS_PROXY ({host}) could not make the connection. Check that it runs, or unset HTTPS_PROXY."
        ),
        FaultKind::Disk => {
            "A file system that is reached over the network (or FUSE) failed while go used it. Check the mount, then run the command again.".to_owned()
        }
        _ if fault.nobody => format!(
            "Nobody answered at {host}. Run the command again, or add another GOPROXY route (gofix routes) so that the next try goes elsewhere."
        ),
        _ if fault.origin == Origin::Direct => format!(
            "The connection to {host} broke while a version control system used it. Run the command again; a module proxy in GOPROXY avoids the direct route."
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
    match fault.kind {
        FaultKind::Security => format!(
            "The checksum of {module} does not match. Either a file in the module cache is damaged (gofix cache verify tells) or the module was changed: never edit go.sum to make this go away."
        ),
        FaultKind::Sumdb => {
            "Cached data of the checksum database may be damaged: gofix cache verify tells, gofix cache repair mends it.".to_owned()
        }
        FaultKind::User => format!(
            "Either no module in go.mod provides the package (then: go get {module}), or its directory in the module cache lost files: gofix cache verify tells."
        ),
        FaultKind::NotFound => format!(
            "Either the version of {module} does not exist, or what the module cache holds of it is damaged: gofix cache verify tells."
        ),
        _ => format!(
            "A file of {module} in the module cache may be damaged: gofix cache verify tells, gofix cache repair mends it; there is no need to clear the whole cache."
        ),
    }
}

fn answer(fault: &Fault, host: &str, module: &str) -> String {
    match fault.kind {
        FaultKind::NotFound => format!(
            "This is an answer: {module} or the version asked for is not there. Check its spelling; a private module needs GOPRIVATE, a new tag some minutes."
        ),
        FaultKind::Auth | FaultKind::Refused if fault.origin == Origin::HttpsProxy => format!(
            "This is an answer of the proxy in HTTPS_PROXY: it lets nobody through to {host}, or nobody without credentials (HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT). NO_PROXY goes past it."
        ),
        FaultKind::Auth => format!(
            "This is an answer: {host} refuses. Check credentials (netrc, GOAUTH, ssh keys) and, for private modules, GOPRIVATE."
        ),
        FaultKind::Refused => format!("This is an answer: {host} refuses the request. Running it again changes nothing."),
        FaultKind::Security => {
            "SECURITY ERROR: what was delivered is not what was recorded. Do not route around it; find out which side is wrong.".to_owned()
        }
        FaultKind::Disk => "This machine's disk or its limits stopped go: free space, fix permissions, then run the command again.".to_owned(),
        FaultKind::Config => "Go's own settings (or HTTPS_PROXY) forbid or break the request: see go env, and the line above.".to_owned(),
        FaultKind::ProxyConnect => format!("The proxy of HTTPS_PROXY refuses the connection ({host}). Ask whoever runs it, or set NO_PROXY."),
        FaultKind::Toolchain => "The toolchain asked for is not to be had as it is named: use a full version such as go1.22.0, or set GOTOOLCHAIN=local. If GOPROXY ends in direct, a dead network says the same.".to_owned(),
        _ => "This is about the module or its go.mod, not about the network: follow go's own message.".to_owned(),
    }
}
