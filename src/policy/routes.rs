//! Which routes are in force: the user's own list, and the configured ones behind it where the user's list allows it.
//! Everybody who counts routes counts them here.

use super::widen::{Narrow, Widen, may_widen};
use crate::go::proxy_list::ProxyList;
use crate::go::public;

/// The configured routes, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    /// For each of them, in their order.
    pub configured: Vec<Counted>,
    /// Why those behind the user's own list are not used, where there are any.
    pub narrow: Option<Narrow>,
}

/// The place of a configured list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The number of the route that holds this list; 1 is the user's own.
    pub number: usize,
    /// A route before it says the same: it is no further one.
    pub is_repeated: bool,
}

impl Routes {
    /// Counts the configured lists behind the user's own; `own` is `None` where go refuses it.
    #[must_use]
    pub fn of(own: Option<&ProxyList>, configured: &[ProxyList], widen: Widen) -> Self {
        let mut known: Vec<(usize, &ProxyList)> = own.map(|own| (1, own)).into_iter().collect();
        let mut last = 1;
        let mut count = |list| {
            let before = known.iter().find(|(_, known)| *known == list);
            if let Some((number, _)) = before {
                return Counted {
                    number: *number,
                    is_repeated: true,
                };
            }
            last += 1;
            known.push((last, list));
            Counted {
                number: last,
                is_repeated: false,
            }
        };
        let counted: Vec<Counted> = configured.iter().map(&mut count).collect();
        let has_more = counted.iter().any(|route| !route.is_repeated);
        let narrow = own
            .filter(|_| has_more)
            .and_then(|own| may_widen(own, widen, public::PROXIES, configured).err());
        Self {
            configured: counted,
            narrow,
        }
    }

    /// Of these lists, which stand in the order of [`Routes::configured`], those that may be used behind the user's own.
    pub fn later<T>(&self, configured: impl IntoIterator<Item = T>) -> Vec<T> {
        let is_used = |(_, place): &(T, &Counted)| self.narrow.is_none() && !place.is_repeated;
        let both = configured.into_iter().zip(&self.configured);
        both.filter(is_used).map(|(list, _)| list).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(values: &[&str]) -> Vec<ProxyList> {
        values
            .iter()
            .map(|value| ProxyList::parse(value).unwrap())
            .collect()
    }

    fn numbers(own: &str, configured: &[&str]) -> Vec<usize> {
        let own = ProxyList::parse(own).ok();
        let routes = Routes::of(own.as_ref(), &lists(configured), Widen::Auto);
        routes.configured.iter().map(|route| route.number).collect()
    }

    #[test]
    fn a_list_counts_once() {
        let (a, b, c) = ("https://a", "https://b", "https://c");
        assert_eq!(numbers(a, &[b, c]), [2, 3]);
        assert_eq!(numbers(a, &[a, b, c]), [1, 2, 3]);
        assert_eq!(numbers(a, &[b, a, b, c]), [2, 1, 2, 3]);
        // The user's own keeps its number where go refuses it.
        assert_eq!(numbers("", &[a, b]), [2, 3]);
    }

    #[test]
    fn later_routes_are_those_that_are_allowed_and_new() {
        let own = ProxyList::parse("https://a").unwrap();
        let configured = lists(&["https://a", "https://b", "https://b", "https://c"]);
        let later = |widen| Routes::of(Some(&own), &configured, widen).later(&configured);
        assert_eq!(later(Widen::Auto), [&configured[1], &configured[3]]);
        assert_eq!(later(Widen::Never), Vec::<&ProxyList>::new());
    }

    #[test]
    fn nothing_is_narrow_where_there_is_nothing_more() {
        let own = ProxyList::parse("https://private.example").unwrap();
        let narrow = |configured: &[&str]| Routes::of(Some(&own), &lists(configured), Widen::Auto).narrow;
        assert_eq!(narrow(&[]), None);
        assert_eq!(narrow(&["https://private.example"]), None);
        assert!(narrow(&["https://other.example"]).is_some());
    }
}
