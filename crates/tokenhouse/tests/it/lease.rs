//! Of all nodes that could do a job, one does it.

use std::time::Duration;

use tokenhouse::base::store::query;

use crate::on_both_engines;
use crate::support::api::{Api, contend};

const LASTING: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

async fn leads(api: &Api) -> bool {
    api.test.leads("a job", LASTING).await
}

on_both_engines! {
    async fn one_node_leads_until_it_is_gone(place: &Place) {
        let (one, other) = (Api::on(place).await, Api::on(place).await);
        assert!(leads(&one).await);
        assert!(!leads(&other).await);
        assert!(other.test.leads("another job", LASTING).await, "each job has a lease of its own");
        // Who asks in time keeps it.
        for api in [&one, &other] {
            api.test.advance(LASTING - SECOND);
        }
        assert!(leads(&one).await);
        for api in [&one, &other] {
            api.test.advance(LASTING - SECOND);
        }
        assert!(!leads(&other).await);
        // It is never heard of again.
        other.test.advance(SECOND);
        assert!(leads(&other).await);
        assert!(!leads(&one).await);
    }

    async fn a_node_that_stops_is_followed_at_once(place: &Place) {
        let (one, other) = (Api::on(place).await, Api::on(place).await);
        assert!(leads(&one).await && other.test.leads("another job", LASTING).await);
        one.house().close().await;
        assert!(leads(&other).await);
        assert_eq!(other.rows::<(i64,)>(query("SELECT COUNT(*) FROM leases")).await, [(2,)]);
    }

    /// Sixteen nodes, fifty times.
    async fn of_all_who_come_at_once_one_leads(place: &Place) {
        let mut nodes = Vec::new();
        for _ in 0..16 {
            nodes.push(std::sync::Arc::new(Api::on(place).await));
        }
        for _ in 0..50 {
            let led = contend(nodes.len(), |number| {
                let api = nodes[number].clone();
                async move { leads(&api).await }
            })
            .await;
            assert_eq!(led.into_iter().filter(|led| *led).count(), 1);
            nodes.iter().for_each(|api| api.test.advance(LASTING));
        }
    }

    /// It was written by a clock that was years ahead; the job does not wait for that year.
    async fn a_lease_longer_than_any_may_be_holds_nobody_up(place: &Place) {
        let (wrong, right) = (Api::on(place).await, Api::on(place).await);
        wrong.test.advance(Duration::from_secs(10 * 365 * 86_400));
        assert!(leads(&wrong).await);
        assert!(leads(&right).await);
    }
}
