//! A whole house moves from engine to engine, and nothing is lost, changed or let in on the way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokenhouse::base::store::{EngineKind, Store, query};
use tokenhouse::moving::{self, MovingError};
use tokenhouse::testing::PASSWORD;
use tokenhouse::{MIGRATIONS, MasterKey, Secret};

use crate::on_both_engines;
use crate::support::Place;
use crate::support::api::{Api, Tokens};

/// The one that every house of a test has.
fn master() -> MasterKey {
    let text = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    MasterKey::parse(&Secret::from(text)).unwrap()
}

async fn exported(store: &Store, master: Option<&MasterKey>) -> Vec<u8> {
    let mut out = Vec::new();
    moving::export(store, master, &mut out, |_| ()).await.unwrap();
    out
}

/// The rows of a readable export, without its first line, whose id and moment are its own.
fn rows(plain: &[u8]) -> Vec<String> {
    let text = String::from_utf8(plain.to_vec()).unwrap();
    let mut rows: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
    // Engines may put texts in an order of their own.
    rows.sort_unstable();
    rows
}

struct File {
    _folder: TempDir,
    path: PathBuf,
}

impl File {
    fn of(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("house.export");
        std::fs::write(&path, bytes).unwrap();
        Self {
            _folder: folder,
            path,
        }
    }
}

async fn import(store: &Store, path: &Path) -> Result<u64, MovingError> {
    let contents = moving::check(path, &master(), |_| ())?;
    moving::import(store, path, &master(), &contents, |_| ()).await
}

/// The other engine, where there is one.
fn other(place: &Place) -> Option<Place> {
    match place.engine() {
        EngineKind::Sqlite => Place::postgres(),
        EngineKind::Postgres => Some(Place::sqlite()),
    }
}

on_both_engines! {
    /// A refresh token and an access token from before go on as if nothing had happened, there and back again.
    async fn nobody_is_logged_out_by_moving_to_the_other_engine_and_back(place: &Place) {
        let Some(there) = other(place) else { return };
        let first = Api::on(place).await;
        let ada = first.signup("ada@example.org").await;
        let bob = first.signup("bob@example.org").await;
        first.logout(&bob.access).await.is(204);
        first.house().rotate_keys().await.unwrap();
        let replayed = Tokens::of(&first.refresh(&ada.refresh).await.is(200));

        let mut before = exported(first.house().store(), Some(&master())).await;
        let mut plain = rows(&exported(first.house().store(), None).await);
        let back = match place.engine() {
            EngineKind::Sqlite => Some(Place::sqlite()),
            EngineKind::Postgres => Place::postgres(),
        };
        let mut tokens = replayed;
        for next in [&there, back.as_ref().unwrap()] {
            let file = File::of(&before);
            let store = next.open().await;
            assert_eq!(import(&store, &file.path).await.unwrap() as usize, plain.len() - 1);
            assert_eq!(rows(&exported(&store, None).await), plain);
            store.close().await;

            let api = Api::on(next).await;
            api.me(&tokens.access).await.is(200);
            api.me(&bob.access).await.problem(401, "token_revoked");
            api.refresh(&bob.refresh).await.is(401);
            let fresh = Tokens::of(&api.refresh(&tokens.refresh).await.is(200));
            api.me(&fresh.access).await.is(200);
            api.login("bob@example.org").await;
            api.guess("ada@example.org", "another long password").await.problem(401, "invalid_credentials");
            tokens = fresh;
            before = exported(api.house().store(), Some(&master())).await;
            plain = rows(&exported(api.house().store(), None).await);
        }
    }

    /// What a database holds and what is moved is the same: read off the engine here, off the migrations there.
    async fn every_table_and_every_column_is_moved(place: &Place) {
        let store = place.open().await;
        store.migrate(MIGRATIONS).await.unwrap();
        let sql = match place.engine() {
            EngineKind::Sqlite => "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c
                                   WHERE m.type = 'table'",
            EngineKind::Postgres => "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT)
                                     FROM information_schema.columns WHERE table_schema = 'public'",
        };
        let found: Vec<(String, String)> = query(sql).all(&mut store.read().await.unwrap()).await.unwrap();
        let there: BTreeSet<(String, String)> =
            found.into_iter().filter(|(table, _)| table != "_migrations").collect();
        let moved: BTreeSet<(String, String)> = moving::moved()
            .unwrap()
            .into_iter()
            .flat_map(|(table, columns)| columns.into_iter().map(move |column| (table.to_owned(), column.to_owned())))
            .collect();
        assert_eq!(there, moved);
        assert!(moved.contains(&("sessions".to_owned(), "generation".to_owned())));
    }

    /// While an export reads, the house goes on; what is written meanwhile is not in it.
    async fn an_export_shows_one_moment(place: &Place) {
        let api = Api::on(place).await;
        api.signup("ada@example.org").await;
        let store = api.house().store();
        let before = rows(&exported(store, None).await);
        let mut snapshot = store.snapshot().await.unwrap();
        let (count,): (i64,) = query("SELECT COUNT(*) FROM users").one(&mut snapshot).await.unwrap();
        api.signup("bob@example.org").await;
        let (later,): (i64,) = query("SELECT COUNT(*) FROM users").one(&mut snapshot).await.unwrap();
        assert_eq!((count, later), (1, 1));
        query("DELETE FROM users").execute(&mut snapshot).await.unwrap_err();
        assert_ne!(rows(&exported(store, None).await), before);
    }

    /// Killed after any batch, the import goes on behind it, and nothing starts on half a house.
    async fn an_import_goes_on_where_it_was_killed(place: &Place) {
        let source = Place::sqlite();
        let api = Api::on(&source).await;
        let token = api.signup("ada@example.org").await;
        let mut tx = api.house().store().write().await.unwrap();
        for number in 0_i64..5000 {
            query("INSERT INTO brakes (id, theoretical_arrival) VALUES ($1, $2)")
                .bind(number.to_be_bytes())
                .bind(number)
                .execute(&mut tx)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        let file = File::of(&exported(api.house().store(), Some(&master())).await);
        let contents = moving::check(&file.path, &master(), |_| ()).unwrap();

        let store = place.open().await;
        // Dropped at its first sign of life within `brakes`, as a kill would: between two transactions.
        let (killed, mut is_killed) = tokio::sync::watch::channel(false);
        let master = master();
        let half = moving::import(&store, &file.path, &master, &contents, |progress| {
            if progress.table == "brakes" {
                killed.send_replace(true);
            }
        });
        tokio::select! {
            biased;
            _ = is_killed.wait_for(|killed| *killed) => {}
            ended = half => panic!("it ended: {ended:?}"),
        }
        let left = moving::left_to_import(&store, &contents).await.unwrap();
        assert!(left > 0 && left < contents.rows(), "{left} of {}", contents.rows());
        let refused = tokenhouse::Tokenhouse::builder().database(place.url()).build().await.unwrap_err();
        assert!(refused.to_string().contains("has not ended"), "{refused}");
        let told = store.migrate(MIGRATIONS).await.unwrap_err().to_string();
        assert!(told.contains("run the same `tokenhouse import` again"), "{told}");
        // Neither is it exported, nor goes another export on with it.
        moving::measure(&store).await.unwrap_err();
        let another = File::of(&exported(api.house().store(), Some(&master)).await);
        let refused = import(&store, &another.path).await.unwrap_err().to_string();
        assert!(refused.contains("another export was begun"), "{refused}");

        // A commit that was under way when its caller went is still made, and may be seen only now.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let imported = loop {
            match import(&store, &file.path).await {
                Err(MovingError::Busy(_)) if std::time::Instant::now() < until => {}
                ended => break ended.unwrap(),
            }
        };
        assert!(imported > 0 && imported <= left, "{imported} of {left}");
        assert_eq!(rows(&exported(&store, None).await), rows(&exported(api.house().store(), None).await));
        let refused = import(&store, &file.path).await.unwrap_err();
        assert!(matches!(refused, MovingError::NotEmpty(_)), "{refused}");
        store.close().await;
        let moved = Api::on(place).await;
        moved.me(&token.access).await.is(200);
    }

    /// Two imports at once into one database: one of them does it all, whichever.
    async fn two_imports_at_once_do_not_mix(place: &Place) {
        let source = Place::sqlite();
        let api = Api::on(&source).await;
        for name in ["ada", "bob", "cleo"] {
            api.signup(&format!("{name}@example.org")).await;
        }
        let plain = rows(&exported(api.house().store(), None).await);
        let file = File::of(&exported(api.house().store(), Some(&master())).await);
        let (one, two) = (place.open().await, place.open().await);
        let (a, b) = tokio::join!(import(&one, &file.path), import(&two, &file.path));
        assert!(a.is_ok() || b.is_ok(), "{a:?} {b:?}");
        assert_eq!(rows(&exported(&one, None).await), plain);
    }

    async fn a_house_that_is_lived_in_is_not_written_to(place: &Place) {
        let source = Place::sqlite();
        let file = File::of(&exported(Api::on(&source).await.house().store(), Some(&master())).await);
        let api = Api::on(place).await;
        api.signup("ada@example.org").await;
        let before = rows(&exported(api.house().store(), None).await);
        let refused = import(api.house().store(), &file.path).await.unwrap_err();
        assert!(matches!(refused, MovingError::NotEmpty(_)), "{refused}");
        assert_eq!(rows(&exported(api.house().store(), None).await), before);
    }

    /// Whatever the rows hold, they come back the same.
    async fn any_house_comes_back_as_it_was(place: &Place) {
        let text = "[^\\x00]{0,40}";
        let user = (any::<[u8; 16]>(), proptest::option::of(text), any::<i64>(), any::<bool>(), proptest::option::of(0_i64..1 << 50));
        let houses = proptest::collection::vec(user, 0..8);
        let brakes = proptest::collection::btree_map(proptest::collection::vec(any::<u8>(), 0..40), any::<i64>(), 0..60);
        let mut runner = TestRunner::deterministic();
        for _ in 0..4 {
            let people = houses.new_tree(&mut runner).unwrap().current();
            let brakes = brakes.new_tree(&mut runner).unwrap().current();
            let source = match place.engine() {
                EngineKind::Sqlite => Place::sqlite(),
                EngineKind::Postgres => Place::postgres().unwrap(),
            };
            let store = source.open().await;
            store.migrate(MIGRATIONS).await.unwrap();
            let mut tx = store.write().await.unwrap();
            for (number, (id, name, at, flag, maybe)) in people.into_iter().enumerate() {
                query("INSERT INTO users (id, email, email_key, is_superuser, roles, profile, disabled_at, created_at,
                                          updated_at, epoch)
                       VALUES ($1, $2, $3, $4, '[]', $5, $6, $7, $8, 0)")
                    .bind(tokenhouse::Uuid::from_bytes(id))
                    .bind(name.clone())
                    .bind(format!("key {number}"))
                    .bind(flag)
                    .bind(name.unwrap_or_default())
                    .bind(maybe)
                    .bind(at)
                    .bind(at)
                    .execute(&mut tx)
                    .await
                    .unwrap();
            }
            for (id, at) in brakes {
                query("INSERT INTO brakes (id, theoretical_arrival) VALUES ($1, $2)")
                    .bind(id)
                    .bind(at)
                    .execute(&mut tx)
                    .await
                    .unwrap();
            }
            tx.commit().await.unwrap();
            let Some(target) = other(place) else { return };
            let target = target.open().await;
            for sealed in [Some(master()), None] {
                let file = File::of(&exported(&store, sealed.as_ref()).await);
                let contents = moving::check(&file.path, &master(), |_| ()).unwrap();
                assert_eq!(contents.sealed, sealed.is_some());
                if sealed.is_some() {
                    import(&target, &file.path).await.unwrap();
                }
            }
            assert_eq!(rows(&exported(&target, None).await), rows(&exported(&store, None).await));
        }
    }

    async fn a_database_of_another_version_is_neither_exported_nor_filled(place: &Place) {
        let store = place.open().await;
        let told = |error: MovingError| error.to_string();
        assert!(told(moving::measure(&store).await.unwrap_err()).contains("no house"));
        store.migrate(&MIGRATIONS[..1]).await.unwrap();
        let lacks = told(moving::measure(&store).await.unwrap_err());
        assert!(lacks.contains("lacks") && lacks.contains(MIGRATIONS[1].name), "{lacks}");
        let source = Place::sqlite();
        let file = File::of(&exported(Api::on(&source).await.house().store(), None).await);
        assert!(told(import(&store, &file.path).await.unwrap_err()).contains("lacks"));
    }
}

/// A sealed file, of which every part may be changed.
async fn a_file() -> Vec<u8> {
    let place = Place::sqlite();
    let api = Api::on(&place).await;
    api.signup("ada@example.org").await;
    exported(api.house().store(), Some(&master())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_refused_before_anything_is_written() {
    let good = a_file().await;
    assert!(!String::from_utf8_lossy(&good).contains("ada"), "it is sealed");
    let place = Place::sqlite();
    let store = place.open().await;
    for position in (0..good.len()).step_by(7).chain(good.len() - 20..good.len()) {
        let mut changed = good.clone();
        changed[position] ^= 0x20;
        let file = File::of(&changed);
        import(&store, &file.path).await.unwrap_err();
        let file = File::of(&good[..position]);
        import(&store, &file.path).await.unwrap_err();
    }
    let (rows,): (i64,) = query("SELECT COUNT(*) FROM sqlite_master")
        .one(&mut store.read().await.unwrap())
        .await
        .unwrap();
    assert_eq!(rows, 0);
    import(&store, &File::of(&good).path).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_file_that_was_cut_off_or_does_not_fit_is_refused() {
    let place = Place::sqlite();
    let api = Api::on(&place).await;
    api.signup("ada@example.org").await;
    let plain = String::from_utf8(exported(api.house().store(), None).await).unwrap();
    assert!(plain.contains("ada@example.org") && !plain.contains(PASSWORD));
    let lines: Vec<&str> = plain.lines().collect();
    let refused = |lines: &[String]| {
        let file = File::of(format!("{}\n", lines.join("\n")).as_bytes());
        moving::check(&file.path, &master(), |_| ())
            .unwrap_err()
            .to_string()
    };
    let owned = || lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    for gone in 1..lines.len() {
        let mut fewer = owned();
        fewer.remove(gone);
        assert!(refused(&fewer).contains("damaged"), "line {gone}");
    }
    let mut doubled = owned();
    doubled.push(lines[1].to_owned());
    assert!(refused(&doubled).contains("end"));
    let mut head: Json = serde_json::from_str(lines[0]).unwrap();
    head["tokenhouse_export"] = json!(2);
    let mut newer = owned();
    newer[0] = head.to_string();
    assert!(refused(&newer).contains("version 2"));
    head["tokenhouse_export"] = json!(1);
    head["migrations"]
        .as_array_mut()
        .unwrap()
        .push(json!("9999_future"));
    newer[0] = head.to_string();
    let told = refused(&newer);
    assert!(
        told.contains("9999_future") && told.contains("same version"),
        "{told}"
    );
    for nonsense in ["", "hello", "{}", "{\"a\":"] {
        assert_eq!(
            refused(&[nonsense.to_owned()]),
            MovingError::NotAnExport.to_string()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_master_key_is_told_as_such() {
    let wrong = MasterKey::parse(&Secret::from("f".repeat(64))).unwrap();
    let file = File::of(&a_file().await);
    let refused = moving::check(&file.path, &wrong, |_| ()).unwrap_err();
    assert!(matches!(refused, MovingError::WrongKey), "{refused}");

    // Of one that is not sealed, the signing keys still are.
    let place = Place::sqlite();
    let api = Api::on(&place).await;
    let file = File::of(&exported(api.house().store(), None).await);
    let refused = moving::check(&file.path, &wrong, |_| ()).unwrap_err();
    assert!(matches!(refused, MovingError::OtherKeys), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_is_told() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.0 < bytes.len() {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            self.0 -= bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let place = Place::sqlite();
    let api = Api::on(&place).await;
    for room in [0, 100] {
        let ended = moving::export(api.house().store(), Some(&master()), &mut Full(room), |_| ()).await;
        assert!(matches!(ended, Err(MovingError::File(_))), "{ended:?}");
    }
}
