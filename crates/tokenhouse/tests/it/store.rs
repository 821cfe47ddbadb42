//! The store keeps its promises, on both engines alike.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokenhouse::base::store::{
    EngineKind, FromRow, Migration, Row, SchemaState, Store, StoreError, StoreOptions, query,
};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::on_both_engines;
use crate::support::Place;

const FIRST: Migration = Migration {
    name: "0001_notes",
    sqlite:
        "CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 0);
             CREATE TABLE things (id BLOB PRIMARY KEY, name TEXT, data BLOB, flag BOOLEAN, small INTEGER,
                                  big BIGINT, at BIGINT)",
    postgres:
        "CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 0);
               CREATE TABLE things (id UUID PRIMARY KEY, name VARCHAR(200), data BYTEA, flag BOOLEAN,
                                    small INTEGER, big BIGINT, at BIGINT)",
};
const SECOND: Migration = Migration {
    name: "0002_labels",
    sqlite: "CREATE TABLE labels (note BIGINT NOT NULL REFERENCES notes (id), label TEXT NOT NULL)",
    postgres: "CREATE TABLE labels (note BIGINT NOT NULL REFERENCES notes (id), label TEXT NOT NULL)",
};
const THIRD: Migration = Migration {
    name: "0003_colours",
    sqlite: "ALTER TABLE labels ADD COLUMN colour TEXT",
    postgres: "ALTER TABLE labels ADD COLUMN colour TEXT",
};
const ALL: &[Migration] = &[FIRST, SECOND];

const INSERT: &str = "INSERT INTO notes (id, text) VALUES ($1, $2)";

async fn ready(place: &Place) -> Store {
    ready_with(place, StoreOptions::default()).await
}

async fn ready_with(place: &Place, options: StoreOptions) -> Store {
    let store = place.open_with(options).await;
    store.migrate(ALL).await.unwrap();
    store
}

fn options(change: impl FnOnce(&mut StoreOptions)) -> StoreOptions {
    let mut options = StoreOptions::default();
    change(&mut options);
    options
}

async fn add(store: &Store, id: i64) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    query(INSERT).bind(id).bind("note").execute(&mut tx).await?;
    tx.commit().await
}

async fn ids(store: &Store) -> Vec<i64> {
    let rows: Vec<(i64,)> = query("SELECT id FROM notes ORDER BY id")
        .all(&mut store.read().await.unwrap())
        .await
        .unwrap();
    rows.into_iter().map(|(id,)| id).collect()
}

/// A row of every type.
#[derive(Debug, PartialEq)]
struct Thing {
    id: Uuid,
    name: Option<String>,
    data: Option<Vec<u8>>,
    flag: Option<bool>,
    small: Option<i32>,
    big: Option<i64>,
    at: Option<Timestamp>,
}

impl FromRow for Thing {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            name: row.get(1)?,
            data: row.get(2)?,
            flag: row.get(3)?,
            small: row.get(4)?,
            big: row.get(5)?,
            at: row.get(6)?,
        })
    }
}

on_both_engines! {
    async fn values_come_back_as_they_went_in(place: &Place) {
        let store = ready(place).await;
        let full = Thing {
            id: Uuid::from_u128(0x0123_4567_89ab_cdef),
            name: Some("Käthe 🏠 'x' --".to_owned()),
            data: Some(vec![0, 1, 255]),
            flag: Some(true),
            small: Some(i32::MIN),
            big: Some(i64::MAX),
            at: Some(Timestamp::from_microsecond(1_765_432_100_000_001).unwrap()),
        };
        let empty = Thing { id: Uuid::max(), name: None, data: None, flag: None, small: None, big: None, at: None };
        for thing in [full, empty] {
            let sql = "INSERT INTO things (id, name, data, flag, small, big, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
                       RETURNING id, name, data, flag, small, big, at";
            let written: Thing = query(sql)
                .bind(thing.id)
                .bind(thing.name.clone())
                .bind(thing.data.clone())
                .bind(thing.flag)
                .bind(thing.small)
                .bind(thing.big)
                .bind(thing.at)
                .one(&mut store.single())
                .await
                .unwrap();
            assert_eq!(written, thing);
            let read: Option<Thing> =
                query("SELECT id, name, data, flag, small, big, at FROM things WHERE id = $1")
                    .bind(thing.id)
                    .optional(&mut store.read().await.unwrap())
                    .await
                    .unwrap();
            assert_eq!(read, Some(thing));
        }
    }

    async fn a_number_means_the_same_value_wherever_it_stands(place: &Place) {
        let store = ready(place).await;
        for id in 1..=3 {
            add(&store, id).await.unwrap();
        }
        let mut tx = store.write().await.unwrap();
        let touched = query("UPDATE notes SET text = $2, version = $3 WHERE id = $1 AND text <> $2")
            .bind(2_i64)
            .bind("second")
            .bind(7_i32)
            .execute(&mut tx)
            .await
            .unwrap();
        assert_eq!(touched, 1);
        let row: (String, u32, i64) = query("SELECT text, version, id FROM notes WHERE version = $2 AND id = $1 AND $2 = version")
            .bind(2_i64)
            .bind(7_u32)
            .one(&mut tx)
            .await
            .unwrap();
        assert_eq!(row, ("second".to_owned(), 7, 2));
        let ten: (i64, String) = query(
            "SELECT id, text FROM notes
             WHERE id IN ($10, $9, $8, $7, $6, $5, $4, $3, $2, $1) AND version = 7 AND text = $11")
            .bind(2_i64).bind(11_i64).bind(12_i64).bind(13_i64).bind(14_i64)
            .bind(15_i64).bind(16_i64).bind(17_i64).bind(18_i64).bind(19_i64)
            .bind("second")
            .one(&mut tx)
            .await
            .unwrap();
        assert_eq!(ten, (2, "second".to_owned()));
        tx.commit().await.unwrap();
    }

    async fn a_missing_or_surplus_value_is_an_error_not_a_guess(place: &Place) {
        let store = ready(place).await;
        for bad in [query(INSERT).bind(1_i64), query(INSERT).bind(1_i64).bind("x").bind("y")] {
            let error = bad.execute(&mut store.single()).await.unwrap_err();
            assert!(matches!(error, StoreError::Statement { .. }), "{error:?}");
        }
        assert!(ids(&store).await.is_empty());
    }

    async fn a_row_that_holds_something_else_is_an_error(place: &Place) {
        let store = ready(place).await;
        add(&store, 1).await.unwrap();
        let mut reader = store.read().await.unwrap();
        let wrong = query("SELECT text FROM notes").one::<(i64,)>(&mut reader).await.unwrap_err();
        assert!(matches!(wrong, StoreError::Decode { .. }), "{wrong:?}");
        let missing = query("SELECT id FROM notes").all::<(i64, i64)>(&mut reader).await.unwrap_err();
        assert!(matches!(missing, StoreError::Decode { .. }), "{missing:?}");
        let none = query("SELECT id FROM notes WHERE id = 2").one::<(i64,)>(&mut reader).await.unwrap_err();
        assert!(matches!(none, StoreError::Decode { .. }), "{none:?}");
    }

    async fn an_error_shows_no_value(place: &Place) {
        let store = ready(place).await;
        let insert = || query("INSERT INTO things (id, name, small) VALUES ($1, $2, $3)").bind(Uuid::max()).bind("hunter2");
        insert().bind(1_i32).execute(&mut store.single()).await.unwrap();
        let error = insert().bind(1_i32).execute(&mut store.single()).await.unwrap_err();
        assert!(matches!(error, StoreError::Taken { .. }), "{error:?}");
        for shown in [format!("{error}"), format!("{error:?}"), format!("{:?}", insert())] {
            assert!(!shown.contains("hunter2") && !shown.contains("ffffffff"), "{shown}");
        }
    }

    async fn what_was_acknowledged_a_second_store_sees(place: &Place) {
        let store = ready(place).await;
        let other = place.open().await;
        add(&store, 1).await.unwrap();
        query(INSERT).bind(2_i64).bind("x").execute(&mut store.single()).await.unwrap();
        assert_eq!(ids(&other).await, [1, 2]);
        add(&other, 3).await.unwrap();
        assert_eq!(ids(&store).await, [1, 2, 3]);
    }

    async fn a_transaction_reads_what_it_wrote_and_others_do_not(place: &Place) {
        let store = ready(place).await;
        let mut tx = store.write().await.unwrap();
        query(INSERT).bind(1_i64).bind("x").execute(&mut tx).await.unwrap();
        let (count,): (i64,) = query("SELECT COUNT(*) FROM notes").one(&mut tx).await.unwrap();
        assert_eq!(count, 1);
        assert!(ids(&store).await.is_empty());
        tx.commit().await.unwrap();
        assert_eq!(ids(&store).await, [1]);
    }

    async fn a_dropped_transaction_never_was(place: &Place) {
        // One connection: whatever is left on it would be met by the next user.
        let store = ready_with(place, options(|o| o.max_connections = 1)).await;
        for _ in 0..3 {
            let mut tx = store.write().await.unwrap();
            query(INSERT).bind(1_i64).bind("x").execute(&mut tx).await.unwrap();
            drop(tx);
        }
        drop(store.write().await.unwrap());
        assert!(ids(&store).await.is_empty());
        add(&store, 2).await.unwrap();
        assert_eq!(ids(&place.open().await).await, [2]);
    }

    async fn a_transaction_without_a_statement_commits(place: &Place) {
        let store = ready(place).await;
        store.write().await.unwrap().commit().await.unwrap();
    }

    async fn a_failed_statement_spoils_its_transaction_only(place: &Place) {
        let store = ready(place).await;
        add(&store, 1).await.unwrap();
        let mut tx = store.write().await.unwrap();
        query(INSERT).bind(2_i64).bind("x").execute(&mut tx).await.unwrap();
        let twice = query(INSERT).bind(1_i64).bind("x").execute(&mut tx).await.unwrap_err();
        assert!(matches!(twice, StoreError::Taken { .. }), "{twice:?}");
        let more = query(INSERT).bind(3_i64).bind("x").execute(&mut tx).await.unwrap_err();
        assert!(matches!(more, StoreError::Failed), "{more:?}");
        assert!(matches!(tx.commit().await, Err(StoreError::Failed)));
        add(&store, 4).await.unwrap();
        assert_eq!(ids(&store).await, [1, 4]);
    }

    async fn a_reference_to_nothing_is_refused(place: &Place) {
        let store = ready(place).await;
        let sql = "INSERT INTO labels (note, label) VALUES ($1, $2) RETURNING label";
        let error = query(sql).bind(1_i64).bind("x").one::<(String,)>(&mut store.single()).await.unwrap_err();
        assert!(matches!(error, StoreError::Statement { .. }), "{error:?}");
        let (count,): (i64,) = query("SELECT COUNT(*) FROM labels").one(&mut store.read().await.unwrap()).await.unwrap();
        assert_eq!(count, 0);
    }

    async fn failures_do_not_touch_their_neighbours(place: &Place) {
        let store = ready(place).await;
        add(&store, 0).await.unwrap();
        let mut tasks = JoinSet::new();
        for id in 1..=60_i64 {
            let store = store.clone();
            tasks.spawn(async move {
                match id % 4 {
                    // Fails in its second statement, after a first that must go too.
                    0 => {
                        let mut tx = store.write().await.unwrap();
                        query(INSERT).bind(id).bind("x").execute(&mut tx).await.unwrap();
                        query(INSERT).bind(0_i64).bind("x").execute(&mut tx).await.unwrap_err();
                        assert!(tx.commit().await.is_err());
                    }
                    // Changes its mind.
                    1 => {
                        let mut tx = store.write().await.unwrap();
                        query(INSERT).bind(id).bind("x").execute(&mut tx).await.unwrap();
                    }
                    // A single statement, one bad and one good.
                    2 => {
                        query(INSERT).bind(0_i64).bind("x").execute(&mut store.single()).await.unwrap_err();
                        query(INSERT).bind(id).bind("x").execute(&mut store.single()).await.unwrap();
                    }
                    _ => add(&store, id).await.unwrap(),
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        let expected: Vec<i64> = (0..=60).filter(|id| *id == 0 || id % 4 >= 2).collect();
        assert_eq!(ids(&place.open().await).await, expected);
    }

    /// What cannot even be sent is its own caller's mistake: whoever shares a commit with it is answered as if alone,
    /// and no change of theirs happens twice.
    async fn a_value_that_does_not_fit_is_nobody_elses(place: &Place) {
        let store = ready(place).await;
        add(&store, 0).await.unwrap();
        let mut tasks = JoinSet::new();
        for number in 0..120_i64 {
            let store = store.clone();
            tasks.spawn(async move {
                let mut single = store.single();
                match number % 3 {
                    0 => {
                        let unfit = query("UPDATE notes SET text = $1 WHERE id = 0").bind(b"no text".to_vec());
                        let _ = unfit.execute(&mut single).await;
                    }
                    1 => {
                        let short = query("UPDATE notes SET text = $1 WHERE id = $2").bind("x");
                        short.execute(&mut single).await.unwrap_err();
                    }
                    _ => {
                        let counted = query("UPDATE notes SET version = version + 1 WHERE id = 0");
                        assert_eq!(counted.execute(&mut single).await.unwrap(), 1);
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        let (version,): (i64,) = query("SELECT version FROM notes")
            .one(&mut store.read().await.unwrap())
            .await
            .unwrap();
        assert_eq!(version, 40);
    }

    async fn a_panic_in_a_transaction_does_not_wedge_the_others(place: &Place) {
        let store = ready(place).await;
        let inside = store.clone();
        let task = tokio::spawn(async move {
            let mut tx = inside.write().await.unwrap();
            query(INSERT).bind(1_i64).bind("x").execute(&mut tx).await.unwrap();
            panic!("on purpose");
        });
        assert!(task.await.unwrap_err().is_panic());
        add(&store, 2).await.unwrap();
        assert_eq!(ids(&store).await, [2]);
    }

    /// Callers go away at every point a future can be dropped at: after any number of polls.
    async fn callers_that_go_away_neither_wedge_nor_lose(place: &Place) {
        let store = ready_with(place, options(|o| o.max_connections = 4)).await;
        let mut tasks = JoinSet::new();
        for id in 0..200_i64 {
            let store = store.clone();
            tasks.spawn(async move {
                if id % 2 == 0 {
                    add(&store, id).await.unwrap();
                    return;
                }
                let mut leaving = Box::pin(add(&store, id));
                for _ in 0..(id / 2) % 7 {
                    let step = std::future::poll_fn(|context| {
                        std::task::Poll::Ready(leaving.as_mut().poll(context).is_ready())
                    });
                    if step.await {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        let present = ids(&store).await;
        assert!((0..200).step_by(2).all(|id| present.contains(&id)), "{present:?}");
        add(&store, 1000).await.unwrap();
    }

    async fn sixty_four_writers_are_all_acknowledged_and_present(place: &Place) {
        let store = ready_with(place, options(|o| o.max_connections = 4)).await;
        let mut tasks = JoinSet::new();
        for writer in 0..64_i64 {
            let store = store.clone();
            tasks.spawn(async move {
                for turn in 0..20 {
                    add(&store, writer * 20 + turn).await.unwrap();
                    assert!(!ids(&store).await.is_empty());
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(ids(&place.open().await).await, (0..64 * 20).collect::<Vec<_>>());
        assert_eq!(store.status().waiting, 0);
    }

    /// Those that share a commit with one that fails are acknowledged and there; the failures change nothing.
    async fn single_changes_that_come_together_stand_or_fail_alone(place: &Place) {
        let store = ready(place).await;
        add(&store, 0).await.unwrap();
        for round in 0..5_i64 {
            let mut tasks = JoinSet::new();
            for number in 0..200_i64 {
                let (store, id) = (store.clone(), round * 200 + number);
                tasks.spawn(async move {
                    let id = if id % 50 == 49 { 0 } else { id + 1 };
                    let added = query(INSERT).bind(id).bind("x").execute(&mut store.single()).await;
                    assert_eq!(added.is_ok(), id != 0, "{id}: {added:?}");
                });
            }
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
        }
        let expected: Vec<i64> = (0..=1000).filter(|id| *id == 0 || id % 50 != 0).collect();
        assert_eq!(ids(&place.open().await).await, expected);
        assert_eq!(store.status().waiting, 0);
    }

    /// Each caller gets the answer to its own statement, however many were sent together.
    async fn single_changes_that_come_together_get_their_own_answers(place: &Place) {
        let store = ready(place).await;
        let mut tasks = JoinSet::new();
        for id in 1..=300_i64 {
            let store = store.clone();
            tasks.spawn(async move {
                let insert = query("INSERT INTO notes (id, text) VALUES ($1, $2) RETURNING id, text");
                let insert = insert.bind(id).bind(format!("of {id}"));
                let told: Option<(i64, String)> = insert.optional(&mut store.single()).await.unwrap();
                assert_eq!(told, Some((id, format!("of {id}"))));
                // What finds nothing to change is told so, whatever its neighbours changed.
                let missed = query("UPDATE notes SET text = $1 WHERE id = $2 RETURNING id").bind("no").bind(-id);
                let told: Option<(i64,)> = missed.optional(&mut store.single()).await.unwrap();
                assert_eq!(told, None);
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    }

    async fn of_sixteen_contenders_one_wins(place: &Place) {
        let store = ready(place).await;
        add(&store, 1).await.unwrap();
        for round in 0..20_i32 {
            let mut tasks = JoinSet::new();
            for contender in 0..16 {
                let store = store.clone();
                tasks.spawn(async move {
                    let guarded = query("UPDATE notes SET version = version + 1 WHERE id = $1 AND version = $2")
                        .bind(1_i64)
                        .bind(round);
                    if contender % 2 == 0 {
                        return guarded.execute(&mut store.single()).await.unwrap();
                    }
                    let mut tx = store.write().await.unwrap();
                    let won = guarded.execute(&mut tx).await.unwrap();
                    tx.commit().await.unwrap();
                    won
                });
            }
            let won: u64 = tasks.join_all().await.into_iter().sum();
            assert_eq!(won, 1, "in round {round}");
        }
    }

    async fn migrations_are_applied_once_and_told_apart(place: &Place) {
        let store = place.open().await;
        assert_eq!(store.schema(ALL).await.unwrap(), SchemaState::Empty);
        assert_eq!(store.migrate(&[FIRST]).await.unwrap(), ["0001_notes"]);
        assert_eq!(store.schema(ALL).await.unwrap(), SchemaState::Older { pending: vec!["0002_labels"] });
        assert_eq!(store.migrate(ALL).await.unwrap(), ["0002_labels"]);
        assert_eq!(store.schema(ALL).await.unwrap(), SchemaState::Current);
        assert!(store.migrate(ALL).await.unwrap().is_empty());

        let expanded = SchemaState::Expanded { unknown: vec!["0002_labels".to_owned()] };
        assert_eq!(store.schema(&[FIRST]).await.unwrap(), expanded);
        assert!(store.migrate(&[FIRST]).await.unwrap().is_empty(), "the old program goes on with more tables");

        let contracting = Migration { name: "0003_contract_labels", ..THIRD };
        assert_eq!(store.migrate(&[FIRST, SECOND, contracting]).await.unwrap(), ["0003_contract_labels"]);
        let newer = SchemaState::Newer { unknown: vec!["0003_contract_labels".to_owned()] };
        assert_eq!(store.schema(ALL).await.unwrap(), newer);
        let refused = store.migrate(ALL).await.unwrap_err();
        assert!(refused.to_string().contains("newer version of this program (it has 0003_contract_labels)"), "{refused}");
        // Two lines that parted: neither program knows what the other needs.
        let other = Migration { name: "0002_other", ..SECOND };
        let parted = SchemaState::Newer { unknown: vec!["0002_labels".to_owned(), "0003_contract_labels".to_owned()] };
        assert_eq!(store.schema(&[FIRST, other]).await.unwrap(), parted);

        let changed = [Migration { sqlite: "SELECT 1", postgres: "SELECT 1", ..FIRST }, SECOND];
        for refused in [store.migrate(&changed).await.unwrap_err(), store.schema(&changed).await.unwrap_err()] {
            assert!(refused.to_string().contains("0001_notes was changed"), "{refused}");
        }
    }

    async fn a_migration_that_fails_leaves_nothing(place: &Place) {
        let store = place.open().await;
        let broken = Migration {
            name: "0002_broken",
            sqlite: "CREATE TABLE half (id BIGINT); INSERT INTO nowhere VALUES (1)",
            postgres: "CREATE TABLE half (id BIGINT); INSERT INTO nowhere VALUES (1)",
        };
        store.migrate(&[FIRST, broken]).await.unwrap_err();
        assert_eq!(store.schema(&[FIRST]).await.unwrap(), SchemaState::Current);
        query("SELECT COUNT(*) FROM half").one::<(i64,)>(&mut store.read().await.unwrap()).await.unwrap_err();
    }

    /// Eight on an empty database, then eight of the next version on what those made.
    async fn nodes_that_start_together_migrate_once(place: &Place) {
        const NEXT: &[Migration] = &[FIRST, SECOND, THIRD];
        for (migrations, count) in [(ALL, 2), (NEXT, 1)] {
            let mut tasks = JoinSet::new();
            for _ in 0..8 {
                let store = place.open_with(options(|o| o.acquire_timeout = Duration::from_secs(20))).await;
                tasks.spawn(async move { store.migrate(migrations).await.unwrap().len() });
            }
            assert_eq!(tasks.join_all().await.into_iter().sum::<usize>(), count);
        }
        assert_eq!(place.open().await.schema(NEXT).await.unwrap(), SchemaState::Current);
    }

    async fn a_closed_store_says_so(place: &Place) {
        let store = ready(place).await;
        add(&store, 1).await.unwrap();
        store.ping().await.unwrap();
        store.close().await;
        assert!(matches!(add(&store, 2).await, Err(StoreError::Unavailable { .. })));
        assert!(matches!(store.ping().await, Err(StoreError::Unavailable { .. })));
        assert_eq!(ids(&place.open().await).await, [1]);
    }

    async fn a_held_writer_is_waited_for_only_so_long(place: &Place) {
        let options = options(|o| {
            o.acquire_timeout = Duration::from_millis(50);
            o.max_connections = 1;
        });
        let store = ready_with(place, options).await;
        let held = store.write().await.unwrap();
        assert!(matches!(store.write().await.map(drop), Err(StoreError::Unavailable { .. })));
        drop(held);
        add(&store, 1).await.unwrap();
    }
}

#[tokio::test]
async fn sqlite_waits_for_another_process_without_blocking_the_thread() {
    let place = Place::sqlite();
    let store = ready(&place).await;
    let path = place.url().strip_prefix("sqlite://").unwrap();
    let other = rusqlite::Connection::open(path).unwrap();
    other
        .execute_batch("BEGIN IMMEDIATE; INSERT INTO notes (id, text) VALUES (1, 'theirs')")
        .unwrap();

    let impatient = place
        .open_with(options(|o| o.acquire_timeout = Duration::from_millis(30)))
        .await;
    assert!(matches!(
        add(&impatient, 2).await,
        Err(StoreError::Unavailable { .. })
    ));
    assert!(ids(&store).await.is_empty());

    // On this one thread both can only end if the waiting yields it.
    let (ours, ()) = tokio::join!(add(&store, 2), async {
        tokio::task::yield_now().await;
        other.execute_batch("COMMIT").unwrap();
    });
    ours.unwrap();
    assert_eq!(ids(&store).await, [1, 2]);

    // And nothing of ours keeps the file locked afterwards.
    drop(store.write().await.unwrap());
    other
        .execute("INSERT INTO notes (id, text) VALUES (3, 'theirs')", ())
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_the_batch_and_heals() {
    let place = Place::sqlite();
    let store = ready(&place).await;
    let limit = |sql| {
        let store = store.clone();
        async move {
            query(sql)
                .one::<(i64,)>(&mut store.write().await.unwrap())
                .await
                .unwrap()
        }
    };
    limit("PRAGMA max_page_count = 12").await;
    let mut tasks = JoinSet::new();
    for id in 0..64_i64 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut tx = store.write().await?;
            query(INSERT)
                .bind(id)
                .bind("x".repeat(2000))
                .execute(&mut tx)
                .await?;
            tx.commit().await.map(|()| id)
        });
    }
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    while let Some(done) = tasks.join_next().await {
        match done.unwrap() {
            Ok(id) => acknowledged.push(id),
            Err(StoreError::Unavailable { .. }) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(refused > 0);
    acknowledged.sort_unstable();
    assert_eq!(ids(&place.open().await).await, acknowledged);
    assert_eq!(ids(&store).await, acknowledged);

    limit("PRAGMA max_page_count = 100000").await;
    add(&store, 1000).await.unwrap();
}

/// SQLite drops the whole transaction when the disk is full: who had joined it is not told "done", and who
/// comes next begins a new one.
#[tokio::test]
async fn a_full_disk_takes_back_what_was_not_yet_flushed() {
    let place = Place::sqlite();
    let store = ready(&place).await;
    let mut held = store.write().await.unwrap();
    // It cannot be made less than what is in use: from now on the file cannot grow.
    query("PRAGMA max_page_count = 1")
        .one::<(i64,)>(&mut held)
        .await
        .unwrap();
    // On one thread they queue in this order, all before the committer.
    let add = |id: i64, text: String| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut tx = store.write().await?;
            query(INSERT).bind(id).bind(text).execute(&mut tx).await?;
            tx.commit().await
        })
    };
    let before = add(1, "fits".to_owned());
    let large = add(2, "x".repeat(100_000));
    let after = add(3, "fits".to_owned());
    while store.status().waiting < 3 {
        tokio::task::yield_now().await;
    }
    drop(held);
    assert!(matches!(
        before.await.unwrap(),
        Err(StoreError::Unavailable { .. })
    ));
    assert!(matches!(
        large.await.unwrap(),
        Err(StoreError::Unavailable { .. })
    ));
    after.await.unwrap().unwrap();
    assert_eq!(ids(&place.open().await).await, [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_does_not_grow_without_end() {
    let place = Place::sqlite();
    let store = ready(&place).await;
    let log = format!("{}-wal", place.url().strip_prefix("sqlite://").unwrap());
    let mut longest = 0;
    for round in 0..100_i64 {
        let mut tx = store.write().await.unwrap();
        for id in 0..100 {
            query("INSERT INTO notes (id, text) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET version = notes.version + 1")
                .bind(id * 20 + round % 20)
                .bind("x".repeat(3500))
                .execute(&mut tx)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        longest = longest.max(std::fs::metadata(&log).unwrap().len());
    }
    // Without the checkpointer it would have been more than 40 MB.
    assert!(longest < 30_000_000, "{longest}");
    store.close().await;
    assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
    assert_eq!(ids(&place.open().await).await.len(), 2000);
}

#[tokio::test]
async fn the_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::sqlite();
    let _store = ready(&place).await;
    let path = place.url().strip_prefix("sqlite://").unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let mode = std::fs::metadata(format!("{path}{suffix}"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{suffix}");
    }
}

#[tokio::test]
async fn an_address_that_does_not_work_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let sentence = async |url: &str| match Store::open(url, StoreOptions::default()).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{url} was opened"),
    };
    let missing = folder.path().join("missing");
    assert_eq!(
        sentence(&format!("sqlite://{}/x.db", missing.display())).await,
        format!(
            "the directory {} of the database does not exist: create it first",
            missing.display()
        )
    );
    // Where not even root may create a file.
    assert_eq!(
        sentence("sqlite:///sys/x.db").await,
        "cannot write to the directory /sys: permission denied"
    );
    let directory = sentence(&format!("sqlite://{}", folder.path().display())).await;
    assert!(
        directory.ends_with("is a directory, not a database"),
        "{directory}"
    );
    let text = folder.path().join("text.db");
    std::fs::write(
        &text,
        "certainly not a database, but a text of some length".repeat(50),
    )
    .unwrap();
    let text = sentence(&format!("sqlite://{}", text.display())).await;
    assert!(text.ends_with("is not an SQLite database"), "{text}");
    assert!(
        sentence("mysql://x")
            .await
            .contains("neither with sqlite:// nor with postgres://")
    );
    for url in [
        "postgres://me:hunter2@host:port/x",
        "postgres://me:hunter2@/x",
        "postgres://h/x?sslmode=hunter2",
    ] {
        let refused = sentence(url).await;
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_soon() {
    let url = "postgres://me:hunter2@127.0.0.1:1/x?sslmode=require";
    let store = Store::open(url, StoreOptions::default()).await.unwrap();
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

/// Ends every connection of `store` on the server's side.
async fn kill_connections(place: &Place) {
    let killer = place.open().await;
    let sql = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    query(sql)
        .one::<(i64,)>(&mut killer.read().await.unwrap())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_connections_that_die_are_replaced() {
    let Some(place) = Place::postgres() else { return };
    assert_eq!(place.engine(), EngineKind::Postgres);
    let store = ready_with(&place, options(|o| o.max_connections = 4)).await;
    for round in 0..5_i64 {
        // A read is repeated by itself.
        kill_connections(&place).await;
        assert_eq!(ids(&store).await.len(), usize::try_from(round).unwrap());
        kill_connections(&place).await;
        store.ping().await.unwrap();
        // A transaction in flight is lost, and says so.
        let mut tx = store.write().await.unwrap();
        query(INSERT)
            .bind(1000 + round)
            .bind("x")
            .execute(&mut tx)
            .await
            .unwrap();
        kill_connections(&place).await;
        let lost = tx.commit().await.unwrap_err();
        assert!(matches!(lost, StoreError::Unavailable { .. }), "{lost:?}");
        // A write is not repeated, but the next finds a connection that lives.
        while add(&store, round).await.is_err() {}
        assert_eq!(ids(&store).await, (0..=round).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_deadlocks_are_contention() {
    let Some(place) = Place::postgres() else { return };
    let store = ready(&place).await;
    add(&store, 1).await.unwrap();
    add(&store, 2).await.unwrap();
    let both_hold = Arc::new(tokio::sync::Barrier::new(2));
    let mut tasks = JoinSet::new();
    for (first, second) in [(1_i64, 2_i64), (2, 1)] {
        let (store, both_hold) = (store.clone(), Arc::clone(&both_hold));
        tasks.spawn(async move {
            let mut tx = store.write().await?;
            let touch = "UPDATE notes SET version = version + 1 WHERE id = $1";
            query(touch).bind(first).execute(&mut tx).await?;
            both_hold.wait().await;
            query(touch).bind(second).execute(&mut tx).await?;
            tx.commit().await
        });
    }
    let outcomes = tasks.join_all().await;
    let contended = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(StoreError::Contended { .. })))
        .count();
    assert_eq!(
        (
            contended,
            outcomes.iter().filter(|outcome| outcome.is_ok()).count()
        ),
        (1, 1),
        "{outcomes:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_statements_do_not_take_for_ever() {
    let Some(place) = Place::postgres() else { return };
    let options = options(|o| {
        o.statement_timeout = Duration::from_millis(100);
        o.max_connections = 1;
    });
    let store = place.open_with(options).await;
    let slow = query("SELECT 1 FROM pg_sleep(20)")
        .optional::<(i32,)>(&mut store.read().await.unwrap())
        .await;
    assert!(matches!(slow, Err(StoreError::Timeout)), "{slow:?}");
    store.ping().await.unwrap();
}

/// Whoever waits for a row that somebody holds does not keep the others waiting, and gets the row in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_changes_do_not_wait_for_a_neighbours_lock() {
    let Some(place) = Place::postgres() else { return };
    let store = ready(&place).await;
    for id in 1..=100 {
        add(&store, id).await.unwrap();
    }
    let touch = |id: i64| {
        let store = store.clone();
        async move {
            query("UPDATE notes SET version = version + 1 WHERE id = $1")
                .bind(id)
                .execute(&mut store.single())
                .await
        }
    };
    let mut holder = store.write().await.unwrap();
    query("UPDATE notes SET version = 7 WHERE id <= 6")
        .execute(&mut holder)
        .await
        .unwrap();
    let mut blocked = JoinSet::new();
    let mut free = JoinSet::new();
    for id in 1..=100 {
        if id <= 6 {
            blocked.spawn(touch(id));
        } else {
            free.spawn(touch(id));
        }
    }
    let began = std::time::Instant::now();
    while let Some(done) = free.join_next().await {
        assert_eq!(done.unwrap().unwrap(), 1);
    }
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}: that is the patience of those who wait for the lock",
        began.elapsed()
    );
    assert!(blocked.try_join_next().is_none(), "the row is still held");
    holder.commit().await.unwrap();
    while let Some(done) = blocked.join_next().await {
        assert_eq!(done.unwrap().unwrap(), 1);
    }
}

/// Whoever asked may go away; the connection that still waits for the answer is nobody else's until it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_gives_nobody_a_connection_that_still_works_for_another() {
    let Some(place) = Place::postgres() else { return };
    let store = ready(&place).await;
    add(&store, 1).await.unwrap();
    let mut holder = store.write().await.unwrap();
    let touch = "UPDATE notes SET version = version + 1 WHERE id = 1";
    query(touch).execute(&mut holder).await.unwrap();
    for _ in 0..8 {
        let mut single = store.single();
        let gone = query(touch).execute(&mut single);
        assert!(
            tokio::time::timeout(Duration::from_millis(50), gone)
                .await
                .is_err(),
            "the row is held"
        );
        let began = std::time::Instant::now();
        assert_eq!(ids(&store).await, [1]);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    holder.commit().await.unwrap();
    assert_eq!(query(touch).execute(&mut store.single()).await.unwrap(), 1);
}

/// A runtime that ends while changes wait ends.
#[test]
fn postgres_lets_a_runtime_end_while_changes_wait() {
    let Some(place) = Place::postgres() else { return };
    let (told, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = ready(&place).await;
            add(&store, 1).await.unwrap();
            let mut holder = store.write().await.unwrap();
            let touch = "UPDATE notes SET version = version + 1 WHERE id = 1";
            query(touch).execute(&mut holder).await.unwrap();
            for _ in 0..64 {
                let store = store.clone();
                tokio::spawn(async move { query(touch).execute(&mut store.single()).await });
            }
            while store.status().waiting == 0 {
                tokio::task::yield_now().await;
            }
        });
        drop(runtime);
        told.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(30)).unwrap();
}
