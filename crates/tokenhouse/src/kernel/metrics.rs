//! What the house counts, each handle resolved once.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::house::Tokenhouse;
use crate::base::metrics::{RequestMetrics, write_gauge};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// Logins by what became of them.
pub(crate) struct LoginCounters {
    pub(crate) succeeded: Counter,
    pub(crate) wrong: Counter,
    pub(crate) second_wrong: Counter,
    pub(crate) disabled: Counter,
    pub(crate) braked: Counter,
    pub(crate) shed: Counter,
}

/// Refreshes by what became of them.
pub(crate) struct RefreshCounters {
    pub(crate) fresh: Counter,
    pub(crate) replayed: Counter,
    pub(crate) reused: Counter,
    pub(crate) refused: Counter,
}

/// Mails by what became of them, and how many are not out, as last counted.
pub(crate) struct MailCounters {
    pub(crate) sent: Counter,
    pub(crate) deferred: Counter,
    pub(crate) dead: Counter,
    pub(crate) waiting: AtomicU64,
    pub(crate) in_vain: AtomicU64,
}

/// Everything counted.
pub(crate) struct Metrics {
    pub(crate) registry: Registry,
    pub(crate) requests: RequestMetrics,
    pub(crate) logins: LoginCounters,
    pub(crate) refreshes: RefreshCounters,
    pub(crate) signups: Counter,
    pub(crate) mails: MailCounters,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let requests = RequestMetrics::register(&mut registry);
        let mut outcomes = |name: &str, help: &str| {
            let family: Family<Outcome, Counter> = Family::default();
            registry.register(name, help, family.clone());
            move |outcome| family.get_or_create(&Outcome { outcome }).clone()
        };
        let login = outcomes("tokenhouse_logins", "Logins by outcome");
        let refresh = outcomes("tokenhouse_refreshes", "Refreshes by outcome");
        let mail = outcomes("tokenhouse_mails", "Attempts to send a mail by outcome");
        let logins = LoginCounters {
            succeeded: login("succeeded"),
            wrong: login("wrong"),
            second_wrong: login("second_wrong"),
            disabled: login("disabled"),
            braked: login("braked"),
            shed: login("shed"),
        };
        let refreshes = RefreshCounters {
            fresh: refresh("fresh"),
            replayed: refresh("replayed"),
            reused: refresh("reused"),
            refused: refresh("refused"),
        };
        let mails = MailCounters {
            sent: mail("sent"),
            deferred: mail("deferred"),
            dead: mail("dead"),
            waiting: AtomicU64::new(0),
            in_vain: AtomicU64::new(0),
        };
        let signups = Counter::default();
        registry.register(
            "tokenhouse_signups",
            "Accounts opened by sign-up",
            signups.clone(),
        );
        Self {
            registry,
            requests,
            logins,
            refreshes,
            signups,
            mails,
        }
    }
}

impl Tokenhouse {
    /// Everything counted, in the Prometheus text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut out = String::with_capacity(8192);
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode_registry(&mut out, &self.0.metrics.registry);
        let hashing = self.0.hashing.status();
        write_gauge(
            &mut out,
            "tokenhouse_hashing_queued",
            "Passwords waiting to be hashed",
            hashing.queued,
        );
        write_gauge(
            &mut out,
            "tokenhouse_hashing_busy",
            "Hashing threads at work",
            hashing.busy,
        );
        write_gauge(
            &mut out,
            "tokenhouse_hashing_threads",
            "Hashing threads",
            hashing.threads,
        );
        let store = self.0.store.status();
        write_gauge(
            &mut out,
            "tokenhouse_database_connections_in_use",
            "Database connections in use",
            store.in_use,
        );
        write_gauge(
            &mut out,
            "tokenhouse_database_connections_idle",
            "Database connections idle",
            store.idle,
        );
        write_gauge(
            &mut out,
            "tokenhouse_database_waiting",
            "Requests waiting for a connection or the writer",
            store.waiting,
        );
        let revoked = self.0.verifier.revocations().len();
        write_gauge(
            &mut out,
            "tokenhouse_revocations",
            "Sessions whose access tokens are refused",
            revoked,
        );
        if self.sends_mail() {
            write_gauge(
                &mut out,
                "tokenhouse_mails_waiting",
                "Mails that are to be sent",
                self.0.metrics.mails.waiting.load(Ordering::Relaxed),
            );
            write_gauge(
                &mut out,
                "tokenhouse_mails_dead",
                "Mails that were given up",
                self.0.metrics.mails.in_vain.load(Ordering::Relaxed),
            );
        }
        out.push_str("# EOF\n");
        out
    }
}
