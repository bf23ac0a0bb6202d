//! Which servers are asked, and who says so.
//!
//! Only those that the user's own values name: the proxies of the effective
//! GOPROXY and of the configured routes, the checksum database where go itself
//! would ask it, and the hosts of GOPRIVATE and of a list that is only `direct`.

use std::path::Path;

use crate::config::Config;
use crate::go::env::{GoEnv, Layer};
use crate::go::proxy_list::{Element, ProxyList};
use crate::go::sumdb;
use crate::net::url::Url;
use crate::policy::routes::Routes;
use crate::policy::widen::Narrow;
use crate::text::safe;

use super::remedy;
use super::row::{Grade, Row};

/// Hosts of `direct` and GOPRIVATE that are looked at.
const MAX_HOSTS: usize = 6;
/// A go.mod larger than this is not searched for hosts.
const MAX_GO_MOD: u64 = 1 << 20;

/// What stands in the `go.env` that comes with every go.
const DEFAULT_GOPROXY: &str = "https://proxy.golang.org,direct";

/// What a server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Proxy,
    Sumdb,
    /// A host that go and git ask without a proxy.
    Host,
}

/// One server to be asked.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) role: Role,
    pub(super) url: Url,
    /// The URL without credentials.
    pub(super) shown: String,
    pub(super) from: String,
    /// The numbers of the routes that hold it.
    pub(super) routes: Vec<usize>,
}

/// One list, with its number and the place it was written in.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) number: usize,
    pub(super) list: ProxyList,
    pub(super) from: String,
}

/// The checksum database as GOSUMDB and GONOSUMDB have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sumdb {
    pub(super) name: String,
    /// Asked without any proxy where GOSUMDB gives a URL.
    pub(super) url: Option<String>,
    pub(super) from: String,
    pub(super) layer: Layer,
}

/// Everything that is to be asked.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) routes: Vec<Route>,
    pub(super) targets: Vec<Target>,
    pub(super) sumdb: Option<Sumdb>,
    /// The number of the route that each configured list is.
    pub(super) numbers: Vec<usize>,
    /// Why routes behind the first are not used, where there are any.
    pub(super) narrow: Option<Narrow>,
    /// What was wrong with the values themselves.
    pub(super) rows: Vec<Row>,
}

impl Plan {
    pub(super) fn new(goenv: &GoEnv, config: &Config, go_mod: Option<&Path>, has_go: bool) -> Self {
        let mut plan = Self::default();
        plan.own_route(goenv, has_go);
        plan.later_routes(config);
        plan.sumdb(goenv);
        plan.proxies();
        plan.checksum_server();
        plan.private_hosts(goenv);
        if let Some(go_mod) = go_mod {
            plan.required_hosts(go_mod);
        }
        plan
    }

    fn own_route(&mut self, goenv: &GoEnv, has_go: bool) {
        let (value, layer) = goenv.get("GOPROXY");
        let mut value = value.to_string_lossy();
        let mut from = format!("GOPROXY ({layer})");
        if !has_go && value.is_empty() {
            value = DEFAULT_GOPROXY.into();
            "built into every go".clone_into(&mut from);
        }
        match ProxyList::parse(&value) {
            Ok(list) => self.routes.push(Route {
                number: 1,
                list,
                from,
            }),
            Err(e) => self.rows.push(
                Row::new(Grade::Broken, "GOPROXY", safe(&e.to_string()), from)
                    .fix(remedy::unset_go("GOPROXY", layer)),
            ),
        }
    }

    fn later_routes(&mut self, config: &Config) {
        let own = self.routes.first().map(|route| route.list.clone());
        let counted = Routes::of(own.as_ref(), &config.route_lists(), *config.widen);
        for (spec, place) in config.routes.iter().zip(&counted.configured) {
            let number = place.number;
            self.numbers.push(number);
            if place.is_repeated {
                continue;
            }
            let from = match spec.preset {
                Some(preset) => format!("route {number}, preset:{preset} ({})", spec.origin),
                None => format!("route {number} ({})", spec.origin),
            };
            self.routes.push(Route {
                number,
                list: spec.list.clone(),
                from,
            });
        }
        self.narrow = counted.narrow;
    }

    fn sumdb(&mut self, goenv: &GoEnv) {
        let (value, layer) = goenv.get("GOSUMDB");
        self.sumdb = parse_gosumdb(&value.to_string_lossy(), layer);
    }

    fn proxies(&mut self) {
        for route in self.routes.clone() {
            for url in route.list.proxies() {
                self.proxy(url, &route);
            }
        }
    }

    fn proxy(&mut self, text: &str, route: &Route) {
        let Ok(url) = Url::parse(text) else {
            let shown = safe(&crate::text::redact_url(text));
            let found = "not a usable URL: it needs a host in ASCII, and a port must be a number";
            self.rows
                .push(Row::new(Grade::Broken, shown, found, route.from.clone()));
            return;
        };
        let shown = safe(&crate::text::redact_url(text));
        if is_cut_short(text, &url) {
            let found =
                "go takes a part of the password for the host: escape / as %2F, ? as %3F and # as %23 in it";
            self.rows
                .push(Row::new(Grade::Broken, shown, found, route.from.clone()));
            return;
        }
        let known =
            |t: &&mut Target| t.role == Role::Proxy && t.url.same_host(&url) && same_path(&t.url, &url);
        if let Some(target) = self.targets.iter_mut().find(known) {
            target.routes.push(route.number);
            target.from = format!("{}, {}", target.from, route.from);
            return;
        }
        let from = route.from.clone();
        self.targets.push(Target {
            role: Role::Proxy,
            url,
            shown,
            from,
            routes: vec![route.number],
        });
    }

    /// Without a URL of its own a database is asked where a list reaches `direct`.
    fn checksum_server(&mut self) {
        let Some(sumdb) = self.sumdb.clone() else { return };
        let own = self.routes.first().filter(|route| route.number == 1);
        let reaches_direct = own.is_some_and(|route| route.list.contains(&Element::Direct));
        let url = match &sumdb.url {
            Some(url) => url.clone(),
            None if reaches_direct => format!("https://{}", sumdb.name),
            None => return,
        };
        match Url::parse(&url) {
            Ok(parsed) => self.targets.push(Target {
                role: Role::Sumdb,
                shown: safe(&crate::text::redact_url(&url)),
                url: parsed,
                from: sumdb.from,
                routes: Vec::new(),
            }),
            Err(_) => self.rows.push(
                Row::new(Grade::Broken, "GOSUMDB", "its URL cannot be asked", sumdb.from)
                    .fix(remedy::unset_go("GOSUMDB", sumdb.layer)),
            ),
        }
    }

    fn private_hosts(&mut self, goenv: &GoEnv) {
        for name in ["GOPRIVATE", "GONOPROXY"] {
            let (value, layer) = goenv.get(name);
            for pattern in value.to_string_lossy().split(',') {
                self.host(pattern.trim(), &format!("{name} ({layer})"));
            }
        }
    }

    /// A list without a proxy sends go straight to the hosts of the modules.
    fn required_hosts(&mut self, go_mod: &Path) {
        let only_direct = self
            .routes
            .first()
            .is_some_and(|r| r.number == 1 && !r.list.has_proxy() && r.list.contains(&Element::Direct));
        let small = std::fs::metadata(go_mod).is_ok_and(|m| m.is_file() && m.len() <= MAX_GO_MOD);
        if !only_direct || !small {
            return;
        }
        let Ok(text) = std::fs::read(go_mod) else { return };
        for line in String::from_utf8_lossy(&text).lines() {
            let line = line.trim();
            let line = line.strip_prefix("require ").unwrap_or(line);
            if let Some((module, rest)) = line.split_once(' ')
                && rest.trim_start().starts_with('v')
            {
                self.host(module, "GOPROXY is direct; required in go.mod");
            }
        }
    }

    /// The host of a module path or of a pattern, where it is a plain name.
    fn host(&mut self, pattern: &str, from: &str) {
        let host = pattern.split('/').next().unwrap_or(pattern).trim_matches('"');
        let plain = host.contains('.') && !host.contains(['*', '?', '[', '\\', '@', ':']);
        let known = |t: &Target| t.role == Role::Host && t.url.host.eq_ignore_ascii_case(host);
        let hosts = self.targets.iter().filter(|t| t.role == Role::Host).count();
        if !plain || hosts >= MAX_HOSTS || self.targets.iter().any(known) {
            return;
        }
        if let Ok(url) = Url::parse(&format!("https://{host}")) {
            let (role, from) = (Role::Host, from.to_owned());
            self.targets.push(Target {
                role,
                shown: safe(host),
                url,
                from,
                routes: Vec::new(),
            });
        }
    }
}

fn same_path(a: &Url, b: &Url) -> bool {
    a.path.trim_end_matches('/') == b.path.trim_end_matches('/')
}

/// `off`, `name`, `name+hash+key`, each with a URL behind it if it has its own place.
fn parse_gosumdb(value: &str, layer: Layer) -> Option<Sumdb> {
    let sumdb::Sumdb { name, url } = sumdb::Sumdb::parse(value)?;
    Some(Sumdb {
        name,
        url,
        from: format!("GOSUMDB ({layer})"),
        layer,
    })
}

/// True where credentials end, for go, before they do for a person. Nobody is asked then, and the name that go would
/// ask is not told: it may be a piece of a password.
fn is_cut_short(text: &str, url: &Url) -> bool {
    let meant = crate::text::host_of(text).unwrap_or_default();
    url.user.is_some() && !meant.trim_end_matches(':').eq_ignore_ascii_case(&url.authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn plan(vars: &[(&str, &str)], routes: &str, go_mod: Option<&Path>) -> Plan {
        let owned: Vec<(String, String)> = vars
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let lookup = move |name: &str| {
            let found = owned
                .iter()
                .find(|(k, _)| k == name)
                .map(|(_, v)| OsString::from(v));
            match name {
                "GOENV" => Some("off".into()),
                "GOFIX_ROUTES" => Some(routes.into()),
                "GOFIX_CONFIG" => Some("off".into()),
                _ => found,
            }
        };
        let goenv = GoEnv::load(&lookup, None);
        let (config, warnings) = Config::load(&lookup);
        assert!(warnings.is_empty(), "{warnings:?}");
        Plan::new(&goenv, &config, go_mod, true)
    }

    fn shown(plan: &Plan) -> Vec<(Role, String)> {
        plan.targets.iter().map(|t| (t.role, t.shown.clone())).collect()
    }

    #[test]
    fn only_servers_that_the_values_name_are_asked() {
        let own = plan(
            &[
                ("GOPROXY", "https://u:p@a.example/x,https://b.example|direct"),
                ("GOSUMDB", "sum.golang.org"),
            ],
            "https://A.example/x/,direct;https://c.example",
            None,
        );
        assert_eq!(
            shown(&own),
            [
                (Role::Proxy, "https://xxxxx@a.example/x".to_owned()),
                (Role::Proxy, "https://b.example".to_owned()),
                (Role::Proxy, "https://c.example".to_owned()),
                (Role::Sumdb, "https://sum.golang.org".to_owned()),
            ]
        );
        assert_eq!(own.targets[0].routes, [1, 2]);
    }

    #[test]
    fn off_asks_nobody() {
        let off = plan(&[("GOPROXY", "off"), ("GOSUMDB", "sum.golang.org")], "", None);
        assert_eq!(shown(&off), []);
    }

    #[test]
    fn a_database_is_asked_only_where_go_would() {
        let asked = |proxy: &str, sumdb: &str| {
            shown(&plan(&[("GOPROXY", proxy), ("GOSUMDB", sumdb)], "", None)).len()
        };
        assert_eq!(asked("https://a.example", "sum.golang.org"), 1);
        assert_eq!(asked("https://a.example,direct", "sum.golang.org"), 2);
        assert_eq!(asked("https://a.example,direct", "off"), 1);
        assert_eq!(
            asked("https://a.example", "sum.example+abcd+key https://sum.example"),
            2
        );
        assert_eq!(asked("https://a.example", "sum.golang.google.cn"), 2);
    }

    #[test]
    fn hosts_come_from_goprivate_and_from_go_mod_of_a_direct_list() {
        let dir = tempfile::tempdir().unwrap();
        let go_mod = dir.path().join("go.mod");
        let text = "module m\n\nrequire (\n\tgithub.com/x/y v1.0.0\n\tgithub.com/x/z v1.0.0 // indirect\n)\nrequire gopkg.in/y v2.0.0\nreplace a.example/b => ../b\n";
        std::fs::write(&go_mod, text).unwrap();
        let private = "git.corp.example/x,*.corp.example,git.corp.example/y";
        let with_proxy = plan(
            &[
                ("GOPROXY", "https://a.example"),
                ("GOSUMDB", "off"),
                ("GOPRIVATE", private),
            ],
            "",
            Some(&go_mod),
        );
        assert_eq!(
            shown(&with_proxy)[1..],
            [(Role::Host, "git.corp.example".to_owned())]
        );
        let direct = plan(&[("GOPROXY", "direct"), ("GOSUMDB", "off")], "", Some(&go_mod));
        assert_eq!(
            shown(&direct),
            [
                (Role::Host, "github.com".to_owned()),
                (Role::Host, "gopkg.in".to_owned())
            ]
        );
    }
}
