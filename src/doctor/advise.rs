//! What to do about the routes, from what was measured.
//!
//! Go's own cure comes first. Nobody is sent to a server that was not named
//! already, but for the presets where a public proxy is out of reach; and then
//! it is said who learns the names of the modules.

use std::time::Duration;

use crate::config::Config;
use crate::go::env::Layer;
use crate::go::proxy_list::{Element, ProxyList};
use crate::policy::presets::{self, PUBLIC_PROXIES};
use crate::policy::widen::{Widen, may_widen};

use super::target::Role;
use super::{Server, Subject};

/// The proxies that work, best first.
pub(super) fn order(servers: &[Server]) -> Vec<Server> {
    let mut order: Vec<Server> = servers
        .iter()
        .filter(|s| s.role == Role::Proxy && s.works)
        .cloned()
        .collect();
    order.sort_by_key(cost);
    order
}

/// What fetching one middling module costs there: a request and 200 KiB.
fn cost(server: &Server) -> Duration {
    const BODY: f64 = 200.0 * 1024.0;
    let latency = server.latency.unwrap_or(Duration::from_secs(5));
    let speed = server.speed.map_or(1e5, |speed| speed.max(1) as f64);
    latency + Duration::from_secs_f64((BODY / speed).min(60.0))
}

/// Go's own cure first, then gofix's. `narrow`: later routes may not be used.
pub(super) fn recommend(
    subject: &Subject<'_>,
    servers: &[Server],
    order: &[Server],
    narrow: bool,
) -> (Option<String>, Vec<String>) {
    let own = |server: &&Server| server.role == Role::Proxy && server.routes.contains(&1);
    let Some(first) = servers.iter().find(own) else {
        return (None, Vec::new());
    };
    let (value, layer) = subject.goenv.get("GOPROXY");
    let value = value.to_string_lossy();
    let Some(best) = order.first() else {
        if servers
            .iter()
            .any(|server| server.role == Role::Proxy && server.lacks)
        {
            let text = "No proxy that you allow has the module that was asked for. If they have others: gofix doctor --module MODULE@VERSION";
            return (Some(text.to_owned()), Vec::new());
        }
        return nothing_works(first, &value, layer);
    };
    let mut commands: Vec<String> = reordered(&value, order)
        .map(|list| set_goproxy(&list, layer))
        .into_iter()
        .collect();
    if first.works {
        let faster = cost(best) * 2 < cost(first) && best.shown != first.shown;
        let text = format!("{} is much faster here than {}:", best.shown, first.shown);
        return if faster {
            (Some(text), commands)
        } else {
            (None, Vec::new())
        };
    }
    let head = format!("{} does not work here, {} does.", first.shown, best.shown);
    let take = by_routes(subject.config, order);
    let later = best.routes.iter().find(|number| **number > 1);
    let text = match (later, &take) {
        (Some(_), Some(_)) => format!("{head} Go's own cure, then gofix's:"),
        (Some(number), None) if !narrow => {
            format!("{head} gofix uses it by itself (route {number}); Go's own cure:")
        }
        _ => format!("{head} Go's own cure:"),
    };
    commands.extend(take);
    (Some(text), commands)
}

/// The configured routes in the order of their best proxies, as a command, where
/// that is another order than they have.
fn by_routes(config: &Config, order: &[Server]) -> Option<String> {
    let rank = |number: usize| {
        order
            .iter()
            .position(|server| server.routes.contains(&number))
            .unwrap_or(usize::MAX)
    };
    let mut routes: Vec<(usize, String)> = config
        .routes
        .iter()
        .enumerate()
        .map(|(i, spec)| (rank(i + 2), spec.list.redacted()))
        .collect();
    let hidden = routes.iter().any(|(_, list)| list.contains("xxxxx@"));
    if routes.is_empty() || hidden || routes.is_sorted_by_key(|(rank, _)| *rank) {
        return None;
    }
    routes.sort_by_key(|(rank, _)| *rank);
    let lists: Vec<String> = routes.into_iter().map(|(_, list)| list).collect();
    Some(format!("gofix routes use {}", lists.join(" ")))
}

/// Where a public proxy is out of reach and nothing else may be asked: the presets,
/// and who learns what. A private proxy being down is no reason to ask a public one.
fn nothing_works(first: &Server, value: &str, layer: Layer) -> (Option<String>, Vec<String>) {
    let public =
        ProxyList::parse(value).is_ok_and(|list| may_widen(&list, Widen::Auto, PUBLIC_PROXIES, &[]).is_ok());
    let Some(preset) = presets::find("cn").filter(|_| public && first.unreachable) else {
        return (Some("No proxy that you allow works.".to_owned()), Vec::new());
    };
    let list = preset.lists.first().copied().unwrap_or_default();
    let text = format!(
        "No proxy that you allow works; others were not asked. There are more, for {}. Whoever uses them tells them the names of its modules:",
        preset.about
    );
    (
        Some(text),
        vec![
            set_goproxy(list, layer),
            format!("gofix routes use {}", preset.name),
        ],
    )
}

/// A value of the environment hides what `go env -w` writes.
fn set_goproxy(list: &str, layer: Layer) -> String {
    match layer {
        Layer::Environment => format!("export GOPROXY={list}"),
        _ => format!("go env -w GOPROXY={list}"),
    }
}

/// The proxies that work, best first, with the end that the user's own list has.
/// `None` where only proxies with credentials work: those are not printed.
fn reordered(value: &str, order: &[Server]) -> Option<String> {
    let end = ProxyList::parse(value).ok().and_then(|list| {
        list.entries().iter().find_map(|(element, _)| match element {
            Element::Direct => Some("direct"),
            Element::Off => Some("off"),
            Element::Proxy(_) | Element::File(_) => None,
        })
    });
    let shown = order
        .iter()
        .map(|server| server.shown.as_str())
        .filter(|url| !url.contains("xxxxx@"));
    let proxies: Vec<&str> = shown.take(3).collect();
    (!proxies.is_empty()).then(|| proxies.into_iter().chain(end).collect::<Vec<_>>().join(","))
}
