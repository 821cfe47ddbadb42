//! How much room things take in the database: a budget that does not depend on the machine.

use jiff::Timestamp;
use tokenhouse::base::entropy::Entropy;
use tokenhouse::base::store::{EngineKind, query};

use crate::on_both_engines;
use crate::support::api::{Api, claims};

const SESSIONS: i64 = 4000;
/// Row, primary key and two indexes. PostgreSQL leaves a fifth of each page free for what a refresh changes, keeps
/// 23 bytes of its own with each row, and repeats the key in its index.
const MOST: [(EngineKind, i64); 2] = [(EngineKind::Sqlite, 330), (EngineKind::Postgres, 375)];

on_both_engines! {
    async fn a_session_takes_little_room(place: &Place) {
        let api = Api::on(place).await;
        let ada = api.signup("ada@example.org").await;
        let user: uuid::Uuid = claims(&ada.access)["sub"].as_str().unwrap().parse().unwrap();
        let entropy = Entropy::seeded(1);
        let began = api.house().clock().now();
        let mut tx = api.house().store().write().await.unwrap();
        for number in 0..SESSIONS {
            let now: Timestamp = began + jiff::SignedDuration::from_millis(number);
            let insert = "INSERT INTO sessions (id, user_id, scope, method, generation, created_at, rotated_at, expires_at,
                                                address, network, user_agent)
                          VALUES ($1, $2, '', 'password', 7, $3, $3, $3, '203.0.113.77', '203.0.113.0/24',
                                  'Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0')";
            let id = entropy.uuid_v7(now).unwrap();
            query(insert).bind(id).bind(user).bind(now).execute(&mut tx).await.unwrap();
        }
        tx.commit().await.unwrap();
        let size = match place.engine() {
            EngineKind::Sqlite => {
                "SELECT SUM(pgsize) FROM dbstat
                 WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name = 'sessions')"
            }
            EngineKind::Postgres => "SELECT pg_total_relation_size('sessions')",
        };
        let bytes: Vec<(i64,)> = api.rows(query(size)).await;
        let each = bytes[0].0 / SESSIONS;
        let (_, most) = MOST.into_iter().find(|(engine, _)| *engine == place.engine()).unwrap();
        assert!(each <= most, "a session takes {each} bytes, and may take {most}");
        // A budget far above what is needed guards nothing.
        assert!(each > most * 4 / 5, "a session takes {each} bytes: lower its budget of {most}");
    }
}
