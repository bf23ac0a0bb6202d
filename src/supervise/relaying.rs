//! The relay for one invocation: whether there is one, and what it is told.

use std::{io, path::Path};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Session;
use crate::{
    relay::{Environment, Quoting, Relay, Rewriter, Setup},
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
        let mut setup = Setup::new(
            self.asked.routes.lists.clone(),
            Environment::from_go(&self.asked.env),
        );
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
        setup.connect_timeout = *self.asked.config.connect_timeout;
        setup.stall = *self.asked.config.stall;
        setup.deadline = Some(self.asked.began + *self.asked.config.budget);
        setup.patient_until = Some(self.asked.began + self.asked.budget);
        setup.retry_count = *self.asked.config.retry_count;
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
