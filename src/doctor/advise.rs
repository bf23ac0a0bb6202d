//! What to do about the routes, from what was measured.
//!
//! Go's own cure comes first. Nobody is sent to a server that was not named
//! already, but for the presets where a public proxy is out of reach; and then
//! it is said who learns the names of the modules.

use std::time::Duration;

use crate::config::Config;
use crate::go::env::Layer;
use crate::go::proxy_list::{Element, ProxyList, Sep};
use crate::go::public;
use crate::policy::presets;
use crate::policy::widen::{Widen, may_widen};

use super::judge;
use super::remedy::{self, Remedy};
use super::target::{Plan, Role};
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

/// Go's own cure first, then gofix's.
pub(super) fn recommend(
    subject: &Subject<'_>,
    servers: &[Server],
    order: &[Server],
    plan: &Plan,
) -> (Option<String>, Vec<Remedy>) {
    let own = |server: &&Server| server.role == Role::Proxy && server.routes.contains(&1);
    let Some(first) = servers.iter().find(own) else {
        return (None, Vec::new());
    };
    let (value, layer) = subject.goenv.get("GOPROXY");
    let value = value.to_string_lossy();
    let Some(best) = order.first() else {
        return nothing_works(first, servers, &value, layer);
    };
    let mut commands: Vec<Remedy> = reordered(&value, order)
        .map(|list| remedy::set_go("GOPROXY", &list, layer))
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
    let take = by_routes(subject.config, plan, order);
    let later = best.routes.iter().find(|number| **number > 1);
    let text = match (later, &take) {
        (Some(_), Some(_)) => format!("{head} Fix it in Go, or in gofix:"),
        (Some(number), None) if plan.narrow.is_none() => {
            format!("{head} gofix uses it automatically (route {number}). To fix it in Go:")
        }
        _ => format!("{head} To fix it in Go:"),
    };
    commands.extend(take);
    (Some(text), commands)
}

/// The configured routes in the order of their best proxies, as a command, where
/// that is another order than they have.
fn by_routes(config: &Config, plan: &Plan, order: &[Server]) -> Option<Remedy> {
    let rank = |number: &usize| {
        let of_route = |server: &Server| server.routes.contains(number);
        order.iter().position(of_route).unwrap_or(usize::MAX)
    };
    let lists = config.routes.iter().map(|spec| spec.list.redacted());
    let mut routes: Vec<(usize, String)> = plan.numbers.iter().map(rank).zip(lists).collect();
    let hidden = routes.iter().any(|(_, list)| list.contains("xxxxx@"));
    if routes.is_empty() || hidden || routes.is_sorted_by_key(|(rank, _)| *rank) {
        return None;
    }
    routes.sort_by_key(|(rank, _)| *rank);
    let words = ["gofix", "routes", "use"].map(str::to_owned);
    Some(remedy::run(
        words.into_iter().chain(routes.into_iter().map(|(_, list)| list)),
    ))
}

/// Where a public proxy is out of reach and nothing else may be asked: the presets,
/// and who learns what. A private proxy being down is no reason to ask a public one.
fn nothing_works(
    first: &Server,
    servers: &[Server],
    value: &str,
    layer: Layer,
) -> (Option<String>, Vec<Remedy>) {
    let proxies = || servers.iter().filter(|server| server.role == Role::Proxy);
    if let Some(via) = &first.blocked_by {
        let (name, _) = judge::proxy_variables(first.scheme);
        let text = format!(
            "The HTTP proxy is down: {name} is set to {via}, which accepts no connections. Every server is reached through it, so another module proxy does not help. To go without it:"
        );
        return (Some(text), vec![judge::without_proxy(first.scheme)]);
    }
    if proxies().any(|server| server.lacks) {
        let text = "None of your allowed proxies has the requested module. To test with another one: gofix doctor --module MODULE@VERSION";
        return (Some(text.to_owned()), Vec::new());
    }
    let public =
        ProxyList::parse(value).is_ok_and(|list| may_widen(&list, Widen::Auto, public::PROXIES, &[]).is_ok());
    let Some(preset) = presets::find("cn").filter(|_| public && first.unreachable) else {
        return (
            Some(
                "None of your allowed proxies works. `gofix routes add LIST` allows another one.".to_owned(),
            ),
            Vec::new(),
        );
    };
    let list = preset.lists.first().copied().unwrap_or_default();
    let text = format!(
        "None of your allowed proxies works; no others were asked. There are more, for {}. If you use them, they see the names of your modules:",
        preset.about
    );
    (
        Some(text),
        vec![
            remedy::set_go("GOPROXY", list, layer),
            remedy::run(["gofix", "routes", "use", preset.name]),
        ],
    )
}

/// The proxies that work, best first, with the separator and the end that the user's own list has.
/// `None` where only proxies with credentials work: those are not printed.
fn reordered(value: &str, order: &[Server]) -> Option<String> {
    let list = ProxyList::parse(value).ok();
    let entries = list.as_ref().map_or(&[][..], ProxyList::entries);
    let end = entries.iter().find_map(|(element, _)| match element {
        Element::Direct => Some("direct"),
        Element::Off => Some("off"),
        Element::Proxy(_) | Element::File(_) => None,
    });
    let after_any_error = entries
        .iter()
        .rev()
        .skip(1)
        .any(|(_, separator)| *separator == Sep::AnyError);
    let shown = order
        .iter()
        .map(|server| server.shown.as_str())
        .filter(|url| !url.contains("xxxxx@"));
    let proxies: Vec<&str> = shown.take(3).collect();
    let separator = if after_any_error { "|" } else { "," };
    (!proxies.is_empty()).then(|| proxies.into_iter().chain(end).collect::<Vec<_>>().join(separator))
}
