//! Which elements of the list in force are relayed, who may stand in for them, and the GOPROXY value that says so.

use std::collections::HashMap;
use std::sync::Arc;

use crate::go::proxy_list::{Element, ProxyList, Sep};
use crate::net::url::{Scheme, Url};

use super::breaker::Limits;
use super::setup::Setup;
use super::upstream::{self, Behind, Route, Upstream};

/// Stands for the relay's own URL while that is not known yet. No list holds a
/// NUL.
pub(super) const OWN: &str = "\0";

/// What is relayed, and the list that says so.
pub(super) struct Plan {
    pub(super) elements: Vec<upstream::Element>,
    pub(super) bases: Vec<String>,
    pub(super) goproxy: String,
    pub(super) upstreams: HashMap<String, Arc<Upstream>>,
}

impl Plan {
    pub(super) fn of(setup: &Setup) -> Option<Self> {
        let list = setup.lists.first()?;
        let mut upstreams = Upstreams {
            limits: Limits {
                max_fails: setup.max_fails,
                fail_timeout: setup.fail_timeout,
                probes: setup.retry_count,
                patient: setup.patient,
            },
            no_https: setup.environment.leaves_https_to_go(),
            left_to_go: &setup.left_to_go,
            known: HashMap::new(),
        };
        let later: Vec<Route> = setup
            .lists
            .iter()
            .zip(1..)
            .skip(1)
            .map(|(list, number)| upstreams.later(list, number))
            .filter(|route| !route.steps.is_empty())
            .collect();
        let mut plan = if setup.in_front {
            Self::in_front(list, &mut upstreams, later)
        } else {
            Self::in_place(list, &mut upstreams, &later)
        }?;
        plan.upstreams = upstreams.known;
        Some(plan)
    }

    fn in_place(list: &ProxyList, upstreams: &mut Upstreams<'_>, later: &[Route]) -> Option<Self> {
        let mut plan = Self {
            elements: Vec::new(),
            bases: Vec::new(),
            goproxy: String::new(),
            upstreams: HashMap::new(),
        };
        let entries = list.entries();
        for (index, (element, sep)) in entries.iter().enumerate() {
            let next = entries.get(index + 1);
            match upstreams.relayed(element) {
                Some(upstream) => {
                    let behind = match next {
                        Some((element, _)) if *sep == Sep::AnyError => match element {
                            Element::Proxy(_) => Behind::Proxy,
                            Element::Direct | Element::File(_) => Behind::Other,
                            Element::Off => Behind::Nothing,
                        },
                        _ => Behind::Nothing,
                    };
                    plan.goproxy.push_str(OWN);
                    plan.goproxy.push_str(&plan.elements.len().to_string());
                    plan.bases.push(shown(&upstream));
                    plan.elements.push(upstream::Element {
                        own: Route {
                            number: 1,
                            steps: vec![(upstream, *sep)],
                        },
                        behind,
                        later: match behind {
                            Behind::Nothing => later.to_vec(),
                            Behind::Proxy | Behind::Other => Vec::new(),
                        },
                    });
                }
                None => plan.goproxy.push_str(written(element)),
            }
            if next.is_some() {
                plan.goproxy.push(match sep {
                    Sep::NotFound => ',',
                    Sep::AnyError => '|',
                });
            }
        }
        (!plan.elements.is_empty()).then_some(plan)
    }

    /// The relay asks the elements up to the first that is go's own business.
    fn in_front(list: &ProxyList, upstreams: &mut Upstreams<'_>, later: Vec<Route>) -> Option<Self> {
        let steps: Vec<(Arc<Upstream>, Sep)> = list
            .entries()
            .iter()
            .map_while(|(element, sep)| Some((upstreams.relayed(element)?, *sep)))
            .collect();
        let base = shown(&steps.first()?.0);
        Some(Self {
            elements: vec![upstream::Element {
                own: Route { number: 1, steps },
                behind: Behind::Nothing,
                later,
            }],
            bases: vec![base],
            goproxy: format!("{OWN}0|{}", list.value()),
            upstreams: HashMap::new(),
        })
    }
}

/// The proxies of all lists, each once.
struct Upstreams<'a> {
    limits: Limits,
    no_https: bool,
    left_to_go: &'a [String],
    known: HashMap<String, Arc<Upstream>>,
}

impl Upstreams<'_> {
    /// The upstream of an element that the relay serves; `None` for one that
    /// is left to go.
    fn relayed(&mut self, element: &Element) -> Option<Arc<Upstream>> {
        let text = element.proxy_url()?;
        if let Some(known) = self.known.get(text) {
            return Some(Arc::clone(known));
        }
        if self.left_to_go.iter().any(|left| left == text) {
            return None;
        }
        let base = Url::parse(text).ok()?;
        let left_to_go = match base.scheme {
            Scheme::Https => self.no_https,
            // Go refuses these in its own words.
            Scheme::Http => base.user.is_some(),
        };
        if left_to_go || base.query.is_some() {
            return None;
        }
        let upstream = Arc::new(Upstream::new(base, self.limits));
        self.known.insert(text.to_owned(), Arc::clone(&upstream));
        Some(upstream)
    }

    /// A later list: what is left to go in it is stepped over, `off` ends it.
    fn later(&mut self, list: &ProxyList, number: usize) -> Route {
        let steps = list
            .entries()
            .iter()
            .take_while(|(element, _)| *element != Element::Off)
            .filter_map(|(element, sep)| Some((self.relayed(element)?, *sep)))
            .collect();
        Route { number, steps }
    }
}

/// An upstream's URL as go would print it, without a slash at its end.
fn shown(upstream: &Upstream) -> String {
    upstream.base.redacted().trim_end_matches('/').to_owned()
}

fn written(element: &Element) -> &str {
    match element {
        Element::Proxy(text) | Element::File(text) => text,
        Element::Direct => "direct",
        Element::Off => "off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::environment::Environment;

    fn plan(lists: &[&str], goauth: &str, in_front: bool) -> Option<Plan> {
        let lists = lists.iter().map(|list| ProxyList::parse(list).unwrap()).collect();
        let environment = Environment {
            goauth: goauth.to_owned(),
            ..Environment::default()
        };
        Plan::of(&Setup {
            in_front,
            ..Setup::new(lists, environment)
        })
    }

    fn goproxy(list: &str, goauth: &str) -> Option<String> {
        plan(&[list], goauth, false).map(|plan| plan.goproxy.replace(OWN, "R/"))
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn elements_are_replaced_in_place() {
        assert_eq!(goproxy("https://a,http://b|direct", ""), some("R/0,R/1|direct"));
        assert_eq!(goproxy("file:///x,https://a,off", ""), some("file:///x,R/0,off"));
        assert_eq!(
            goproxy("https://a|http://u:p@b,https://c", ""),
            some("R/0|http://u:p@b,R/1")
        );
        assert_eq!(goproxy("https://a,http://b", "mycmd"), some("https://a,R/0"));
        assert_eq!(goproxy("https://u:p@a", "netrc"), some("R/0"));
        assert_eq!(goproxy("a.example/go", ""), some("R/0"));
    }

    #[test]
    fn nothing_to_relay() {
        for list in [
            "direct",
            "off",
            "file:///x",
            "http://u:p@b,direct",
            "https://bücher.example",
        ] {
            assert_eq!(goproxy(list, ""), None, "{list}");
        }
        assert_eq!(goproxy("https://a,direct", "git /x"), None);
    }

    #[test]
    fn later_routes_stand_where_go_would_stop() {
        let lists = [
            "https://a|https://b,https://c|direct",
            "https://d,direct",
            "direct",
            "off,https://e",
        ];
        let plan = plan(&lists, "", false).unwrap();
        let later: Vec<usize> = plan.elements.iter().map(|element| element.later.len()).collect();
        assert_eq!(later, [0, 1, 0]);
        let behind: Vec<Behind> = plan.elements.iter().map(|element| element.behind).collect();
        assert_eq!(behind, [Behind::Proxy, Behind::Nothing, Behind::Other]);
    }

    #[test]
    fn one_proxy_has_one_breaker() {
        let plan = plan(&["https://a,https://b", "https://b"], "", false).unwrap();
        assert!(Arc::ptr_eq(
            &plan.elements[1].own.steps[0].0,
            &plan.elements[0].later[0].steps[0].0
        ));
    }

    #[test]
    fn in_front_of_the_users_own_list() {
        let plan = plan(&["https://a|https://b,file:///x,https://c"], "", true).unwrap();
        assert_eq!(
            plan.goproxy.replace(OWN, "R/"),
            "R/0|https://a|https://b,file:///x,https://c"
        );
        assert_eq!(plan.elements[0].own.steps.len(), 2);
        assert!(self::plan(&["file:///x,https://c"], "", true).is_none());
    }
}
