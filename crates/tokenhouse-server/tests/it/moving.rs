//! Houses and users move in and out with the real program, also when it is killed in the middle.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use tokenhouse::store::{FromRow, Query, Store, StoreOptions, query};

use crate::{PASSWORD, PATIENCE, Place, SIGNUP, Said, answer, field};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// Of [`PASSWORD`], by the C library of a Debian.
const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuu7EJV7kdjBBQxyb0HjTh9KS7.Lah/6CG";

/// With the master key that both sides of a move have.
fn place() -> Place {
    Place::for_serve().with("TOKENHOUSE_MASTER_KEY", KEY)
}

fn done(said: &Said) -> &Said {
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    said
}

fn refused(said: &Said) -> &str {
    assert!(matches!(said.code, Some(1 | 2)), "{}{}", said.out, said.err);
    assert!(!said.err.contains("panicked"), "{}", said.err);
    said.err.trim_end().lines().next_back().unwrap_or_default()
}

/// Every row of `query` on the database at `url`.
fn rows<T: FromRow + Send>(url: &str, query: Query) -> Vec<T> {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = Store::open(url, StoreOptions::default()).await.unwrap();
        let rows = query.all(&mut store.read().await.unwrap()).await.unwrap();
        store.close().await;
        rows
    })
}

fn url(place: &Place) -> String {
    format!("sqlite://{}", place.path().join("tokenhouse.db").display())
}

fn count(place: &Place, sql: &'static str) -> i64 {
    rows::<(i64,)>(&url(place), query(sql))[0].0
}

/// Lines of JSON for so many users.
fn crowd(count: usize) -> String {
    (0..count)
        .map(|number| {
            format!("{{\"email\":\"user{number}@example.org\",\"password_hash\":\"{BCRYPT}\",\"profile\":{{\"number\":{number}}}}}\n")
        })
        .collect()
}

fn no_leftovers(folder: &Path) {
    let names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".new"))
        .collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn a_house_moves_and_its_users_stay_logged_in() {
    let old = place();
    let server = old.serve();
    let (_, body) = server.post("/auth/signup", SIGNUP);
    let refresh = format!(r#"{{"refresh_token":"{}"}}"#, field(&body, "refresh_token"));
    let access = field(&body, "access_token");

    // The house goes on working meanwhile.
    let dry = old.run(&["export", "--dry-run", "house.export"]);
    assert!(done(&dry).out.contains("nothing was"), "{}", dry.out);
    assert!(!old.path().join("house.export").exists());
    done(&old.run(&["export", "house.export"]));
    no_leftovers(old.path());
    let file = old.path().join("house.export");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(refused(&old.run(&["export", "house.export"])).contains("is there already"));
    server.stop();

    let new = place();
    let file = file.to_str().unwrap();
    let dry = new.run(&["import", "--dry-run", file]);
    assert!(
        done(&dry).out.contains("rows would be imported; nothing was"),
        "{}",
        dry.out
    );
    assert!(!new.path().join("tokenhouse.db").exists());
    done(&new.run(&["import", file]));
    assert!(refused(&new.run(&["import", file])).contains("not empty"));

    let server = new.serve();
    let (status, _) = server.exchange(&format!(
        "GET /users/me HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {access}\r\n\r\n"
    ));
    assert_eq!(status, 200);
    assert_eq!(server.post("/auth/refresh", &refresh).0, 200);
    assert_eq!(server.post("/auth/login", SIGNUP).0, 200);
}

#[test]
fn what_is_wrong_with_an_export_is_one_sentence() {
    let old = place();
    done(&old.run_with(
        &format!("{PASSWORD}\n"),
        &["user", "create", "--email", "ada@example.org"],
    ));
    done(&old.run(&["export", "house.export"]));
    let good = std::fs::read(old.path().join("house.export")).unwrap();

    let new = place();
    let with = |bytes: &[u8], arguments: &[&str]| {
        std::fs::write(new.path().join("house.export"), bytes).unwrap();
        let said = new.run(&[arguments, &["house.export"]].concat());
        let sentence = refused(&said).to_owned();
        assert_eq!(said.err.trim_end().lines().count(), 1, "{}", said.err);
        assert!(!new.path().join("tokenhouse.db").exists(), "nothing is written");
        sentence
    };
    for arguments in [["import"].as_slice(), &["import", "--dry-run"]] {
        let mut changed = good.clone();
        changed[good.len() / 2] ^= 1;
        assert!(with(&changed, arguments).contains("cut off or changed"));
        assert!(with(&good[..good.len() - 1], arguments).contains("cut off or changed"));
        assert!(with(b"hello", arguments).contains("no export of a house"));
    }
    let strange = Place::new().with("TOKENHOUSE_MASTER_KEY", "f".repeat(64));
    let file = old.path().join("house.export");
    let said = strange.run(&["import", file.to_str().unwrap()]);
    assert!(refused(&said).contains("another master key"), "{}", said.err);
    assert!(refused(&Place::new().run(&["import", "nowhere"])).contains("master key file"));
    assert!(refused(&place().run(&["import", "nowhere"])).contains("nowhere cannot be read"));
    assert!(refused(&place().run(&["export", "x"])).contains("there is no database"));
    // A device that is always full.
    assert!(refused(&old.run(&["export", "/dev/full"])).contains("is there already"));
    if Path::new("/dev/full").exists() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let child = old
            .command(&["export", "--plain", "-"])
            .stdout(full)
            .spawn()
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && told.contains("No space left"),
            "{told}"
        );
    }
}

#[test]
fn a_plain_export_is_for_everybody_and_comes_back_too() {
    let old = place();
    done(&old.run_with(
        &format!("{PASSWORD}\n"),
        &["user", "create", "--email", "ada@example.org"],
    ));
    let said = old.run(&["export", "--plain", "-"]);
    let plain = &done(&said).out;
    let lines: Vec<serde_json::Value> = plain
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["tokenhouse_export"], 1);
    assert!(plain.contains("ada@example.org") && plain.contains("$argon2id$"));
    let new = place();
    new.write("house.jsonl", plain);
    // Nobody who puts lines of their own in the place of a sealed file gets them imported.
    for arguments in [
        &["import", "house.jsonl"][..],
        &["import", "--dry-run", "house.jsonl"],
    ] {
        let said = new.run(arguments);
        assert!(refused(&said).contains("say --plain"), "{}", said.err);
    }
    assert!(!new.path().join("tokenhouse.db").exists());
    let said = new.run(&["import", "--plain", "house.jsonl"]);
    assert!(done(&said).out.contains("not sealed"), "{}", said.out);
    assert_eq!(count(&new, "SELECT COUNT(*) FROM users"), 1);
}

/// Waits until `sql` on the database of `place` says `least` or more.
fn wait_until(place: &Place, sql: &'static str, least: i64) {
    let until = Instant::now() + PATIENCE;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut store = None;
    while Instant::now() < until {
        if store.is_none() && place.path().join("tokenhouse.db").exists() {
            store = runtime
                .block_on(Store::open(&url(place), StoreOptions::default()))
                .ok();
        }
        if let Some(store) = &store {
            let count: Result<(i64,), _> =
                runtime.block_on(async { query(sql).one(&mut store.read().await?).await });
            if count.is_ok_and(|(count,)| count >= least) {
                return;
            }
        }
        std::thread::yield_now();
    }
    panic!("`{sql}` did not become {least}");
}

#[test]
fn imports_that_are_killed_go_on() {
    const USERS: usize = 12_000;
    let old = place();
    old.write("users.jsonl", &crowd(USERS));
    // The same file is read in three goes, two of which are killed.
    for least in [1, 5000] {
        let mut child = old.command(&["import", "users", "users.jsonl"]).spawn().unwrap();
        wait_until(&old, "SELECT COUNT(*) FROM users", least);
        child.kill().unwrap();
        child.wait().unwrap();
        let there = count(&old, "SELECT COUNT(*) FROM users");
        assert_eq!(there % 1000, 0, "batches are whole");
        assert!(there >= least && there < USERS as i64, "{there}");
        assert_eq!(count(&old, "SELECT COUNT(*) FROM passwords"), there);
    }
    let there = count(&old, "SELECT COUNT(*) FROM users");
    let said = old.run(&["import", "users", "users.jsonl"]);
    let expected = format!(
        "{} users imported, {there} there already, 0 refused",
        USERS as i64 - there
    );
    assert!(done(&said).out.starts_with(&expected), "{}", said.out);
    assert_eq!(
        count(&old, "SELECT COUNT(*) FROM events WHERE kind = 'user.imported'"),
        USERS as i64
    );

    done(&old.run(&["export", "house.export"]));
    let file = old.path().join("house.export");
    let new = place();
    let mut child = new.command(&["import", file.to_str().unwrap()]).spawn().unwrap();
    wait_until(&new, "SELECT COUNT(*) FROM users", 1);
    child.kill().unwrap();
    child.wait().unwrap();
    let there = count(&new, "SELECT COUNT(*) FROM users");
    assert!(there < USERS as i64, "it was killed too late");
    let refused_to_start = new.run(&["serve"]);
    assert!(refused(&refused_to_start).contains("run the same `tokenhouse import` again"));
    let dry = new.run(&["import", "--dry-run", file.to_str().unwrap()]);
    done(&dry);
    done(&new.run(&["import", file.to_str().unwrap()]));
    for table in ["SELECT COUNT(*) FROM users", "SELECT COUNT(*) FROM passwords"] {
        assert_eq!(count(&new, table), USERS as i64);
    }
    let server = new.serve();
    let login = format!(r#"{{"email":"user7@example.org","password":"{PASSWORD}"}}"#);
    assert_eq!(server.post("/auth/login", &login).0, 200);
}

#[test]
fn every_line_is_imported_or_told_with_its_number() {
    let place = place();
    place.write(
        "users.csv",
        &format!(
            "email,username,password_hash,email_verified,created_at,roles,profile,id\n\
             ada@example.org,ada,{BCRYPT},true,2020-01-02T03:04:05Z,\"editor,staff\",\"{{\"\"plan\"\":\"\"free\"\"}}\",01890a5d-ac96-774b-bcce-b302099a8057\n\
             nonsense,,,,,,,\n\
             bob@example.org,,not a hash,,,,,\n\
             ADA@example.org,other,,,,,,\n\
             cleo@example.org,,,,yesterday,,,\n\
             too,few\n\
             ,,,,,,,\n\
             dan@example.org,,,maybe,,,,\n\
             \"eve\n\
             @example.org\",,,,,,,\n\
             fay@example.org,,,,2020-01-02 03:04:05.5+00,,,\n"
        ),
    );
    let dry = place.run(&["import", "users", "--dry-run", "users.csv"]);
    assert!(
        dry.out
            .starts_with("2 users would be imported, 1 there already, 7 refused"),
        "{}",
        dry.out
    );
    assert_eq!(dry.code, Some(1));
    assert!(!place.path().join("users.csv.rejects.csv").exists());
    assert_eq!(count(&place, "SELECT COUNT(*) FROM users"), 0);

    let said = place.run(&["import", "users", "users.csv"]);
    assert!(
        said.out
            .starts_with("2 users imported, 1 there already, 7 refused"),
        "{}",
        said.out
    );
    assert_eq!(
        (said.code, refused(&said)),
        (Some(1), "tokenhouse: 7 lines were refused")
    );
    let rejects = std::fs::read_to_string(place.path().join("users.csv.rejects.csv")).unwrap();
    let told: Vec<(u64, &str)> = rejects
        .lines()
        .skip(1)
        .filter_map(|line| {
            let (number, rest) = line.split_once(',')?;
            Some((
                number.parse().ok()?,
                rest.rsplit_once(',').map_or(rest, |(_, reason)| reason),
            ))
        })
        .collect();
    let numbers: Vec<u64> = told.iter().map(|(number, _)| *number).collect();
    assert_eq!(
        {
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            sorted
        },
        [3, 4, 5, 6, 7, 8, 9, 10],
        "{rejects}"
    );
    for part in [
        "must be an e-mail address",
        "of no known kind",
        "there already",
        "no instant",
        "has 2 fields where the first line names 8",
        "neither an e-mail address nor a username",
        "neither true nor false",
    ] {
        assert!(rejects.contains(part), "{part}: {rejects}");
    }
    assert!(!rejects.contains("$2b$") && !said.err.contains("$2b$"));
    no_leftovers(place.path());

    let shown = place.run(&["user", "show", "ada", "--json"]);
    let ada: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(ada["id"], "01890a5d-ac96-774b-bcce-b302099a8057");
    assert_eq!(ada["roles"], serde_json::json!(["editor", "staff"]));
    assert_eq!(ada["created_at"], "2020-01-02T03:04:05Z");
    assert_eq!(
        (&ada["email_verified"], &ada["profile"]["plan"]),
        (&true.into(), &"free".into())
    );

    // Again: nobody twice, and the first file of rejects is not written over.
    assert!(refused(&place.run(&["import", "users", "users.csv"])).contains("move it away"));
    let again = place.run(&["import", "users", "--rejects", "again.csv", "users.csv"]);
    assert!(
        again
            .out
            .starts_with("0 users imported, 3 there already, 7 refused"),
        "{}",
        again.out
    );
    place.write("more.csv", "email,shoe_size\na@example.org,42\n");
    assert!(
        refused(&place.run(&["import", "users", "more.csv"])).contains("`shoe_size` has no meaning here")
    );
    done(&place.run(&["import", "users", "--others", "profile", "more.csv"]));
    let server = place.serve();
    assert_eq!(server.post("/auth/login", SIGNUP).0, 200);
}

/// Another system's file is read as what a stranger wrote.
#[test]
fn a_file_of_users_is_read_with_care() {
    let place = place();
    let import = |name: &str, text: &str, more: &[&str]| {
        place.write(name, text);
        let rejects = format!("{name}.rejects.csv");
        let _ = std::fs::remove_file(place.path().join(&rejects));
        let said = place.run(&[&["import", "users", name], more].concat());
        let rejects = std::fs::read_to_string(place.path().join(&rejects)).unwrap_or_default();
        (said, rejects)
    };

    // Of two columns, or two fields mapped to one, none wins without a word.
    let (said, _) = import("a.csv", "email,email\na@example.org,b@example.org\n", &[]);
    assert!(
        refused(&said).contains("two columns are called `email`"),
        "{}",
        said.err
    );
    let mapped = ["--map", "a=email", "--map", "b=email"];
    let (said, _) = import("b.csv", "a,b\na@example.org,b@example.org\n", &mapped);
    assert!(refused(&said).contains("one name here"), "{}", said.err);
    let (said, rejects) = import(
        "c.csv",
        "email,mail\na@example.org,b@example.org\n",
        &["--map", "mail=email"],
    );
    refused(&said);
    assert!(rejects.contains("has `email` and `mail`"), "{rejects}");
    let swapped = ["--map", "email=username", "--map", "username=email"];
    let (said, _) = import("d.csv", "email,username\nada,ada@example.org\n", &swapped);
    done(&said);
    assert_eq!(
        count(
            &place,
            "SELECT COUNT(*) FROM users WHERE username = 'ada' AND email = 'ada@example.org'"
        ),
        1
    );

    // What does not end does not fill the memory.
    let long = "x".repeat(17 * 1024 * 1024);
    for (name, text) in [
        ("e.csv", format!("email,username\n\"{long}")),
        ("e.json", format!("[{{\"email\":\"{long}")),
        ("e.jsonl", format!("{{\"email\":\"{long}\n")),
    ] {
        let (said, rejects) = import(name, &text, &[]);
        refused(&said);
        let told = format!("{}{rejects}", said.err);
        assert!(
            told.contains("longer than 16 MiB") || told.contains("is no JSON object"),
            "{name}: {told}"
        );
    }

    // Nothing in it steers the terminal, or a spreadsheet.
    let (said, _) = import("f.csv", "email,\u{1b}]0;owned\u{7}\na@example.org,x\n", &[]);
    assert!(
        !said.err.contains('\u{1b}') && refused(&said).contains("owned"),
        "{:?}",
        said.err
    );
    let (said, _) = import(
        "f.jsonl",
        "{\"email\":\"a@example.org\",\"\\u001b]0;owned\\u0007\\u202e\":1}\n",
        &[],
    );
    refused(&said);
    assert!(
        said.err.contains("owned") && !said.err.contains(['\u{1b}', '\u{7}', '\u{202e}']),
        "{:?}",
        said.err
    );
    let (said, rejects) = import("g.csv", "username\n=1+1\n=1+1\n", &[]);
    done(&said);
    assert!(rejects.contains("3,'=1+1,"), "{rejects}");
}

#[test]
fn users_of_other_systems_log_in_with_the_passwords_they_know() {
    let place = place();
    place.write(
        "django.csv",
        "id,password,last_login,is_superuser,username,first_name,last_name,email,is_staff,is_active,date_joined\n\
         1,pbkdf2_sha256$1000$saltsaltsalt$KQDle8SXZRa7sBUZQfkYQI6NXnZxupxhxtm+aXnClyg=,,t,django,Ada,L,django@example.org,t,t,2020-01-02 03:04:05.123456+00\n\
         2,!unusable,,f,mail@example.org,,,mail@example.org,f,f,2020-01-02 03:04:05+00\n",
    );
    place.write(
        "supabase.csv",
        &format!(
            "instance_id,id,aud,role,email,encrypted_password,email_confirmed_at,created_at,raw_user_meta_data,banned_until,deleted_at\n\
             0,01890a5d-ac96-774b-bcce-b302099a8057,authenticated,authenticated,supabase@example.org,{BCRYPT},2021-01-01 00:00:00+00,2020-01-02 03:04:05+00,\"{{\"\"name\"\":\"\"S\"\"}}\",,\n"
        ),
    );
    let secret = r#"{\"value\":\"yqSq2SygY1sB4EcH9f2FG0JTMES+wqLsOT5YmiRBplLYbawB4lwjdPCI3Ns1d3pRT9/+PGa1sFXN8qwjZx9S8g==\",\"salt\":\"MDEyMzQ1Njc4OWFiY2RlZg==\",\"additionalParameters\":{}}"#;
    let made = r#"{\"hashIterations\":1000,\"algorithm\":\"pbkdf2-sha256\",\"additionalParameters\":{}}"#;
    place.write(
        "keycloak.json",
        &format!(
            r#"{{"realm":"r","users":[
  {{"id":"01890a5d-ac96-774b-bcce-b302099a8058","createdTimestamp":1577934245000,"username":"keycloak",
    "enabled":true,"emailVerified":true,"email":"keycloak@example.org","firstName":"K","attributes":{{"team":["a"]}},
    "credentials":[{{"type":"password","secretData":"{secret}","credentialData":"{made}"}}],
    "realmRoles":["default-roles-r","editor"]}},
  {{"username":"service-account-x","serviceAccountClientId":"x"}}
],"clients":[]}}"#
        ),
    );
    place.write(
        "auth0.json",
        &format!(
            "{{\"_id\":{{\"$oid\":\"60425dc43519d90068f82973\"}},\"email_verified\":true,\"email\":\"auth0@example.org\",\"passwordHash\":\"{BCRYPT}\",\"tenant\":\"t\",\"connection\":\"c\"}}\n"
        ),
    );
    place.write(
        "tutorial.json",
        &format!("[\n{{\"mail\":\"tutorial@example.org\",\"hashed_password\":\"{BCRYPT}\"}},\n\n 7,\n{{\"mail\":3}}]"),
    );
    done(&place.run(&["import", "users", "--from", "django", "django.csv"]));
    done(&place.run(&["import", "users", "--from", "supabase", "supabase.csv"]));
    done(&place.run(&["import", "users", "--from", "auth0", "auth0.json"]));
    let said = place.run(&["import", "users", "--from", "keycloak", "keycloak.json"]);
    assert!(
        said.out
            .starts_with("1 users imported, 0 there already, 1 refused"),
        "{}",
        said.out
    );
    assert!(
        said.err.contains("line 6: is the account of a client"),
        "{}",
        said.err
    );
    let said = place.run(&[
        "import",
        "users",
        "--map",
        "mail=email",
        "--map",
        "hashed_password=password_hash",
        "tutorial.json",
    ]);
    assert!(
        said.out
            .starts_with("1 users imported, 0 there already, 2 refused"),
        "{}",
        said.out
    );
    assert!(said.err.contains("line 4: is no JSON object"), "{}", said.err);

    let server = place.serve();
    for name in ["django", "supabase", "keycloak", "auth0", "tutorial"] {
        let login = |password: &str| {
            let body = format!(r#"{{"email":"{name}@example.org","password":"{password}"}}"#);
            server.post("/auth/login", &body).0
        };
        assert_eq!(login("not the password"), 401, "{name}");
        assert_eq!(login(PASSWORD), 200, "{name}");
    }
    let user = |name: &str| -> serde_json::Value {
        serde_json::from_str(&place.run(&["user", "show", name, "--json"]).out).unwrap()
    };
    let django = user("django");
    assert_eq!(
        (&django["is_superuser"], &django["profile"]["first_name"]),
        (&true.into(), &"Ada".into())
    );
    assert_eq!(user("mail@example.org")["is_active"], false);
    let keycloak = user("keycloak");
    assert_eq!(keycloak["roles"], serde_json::json!(["editor"]));
    assert_eq!(keycloak["created_at"], "2020-01-02T03:04:05Z");
    assert_eq!(
        user("supabase@example.org")["id"],
        "01890a5d-ac96-774b-bcce-b302099a8057"
    );
}

/// Somebody signs up all the while; whoever was answered before the copy began is in it, with a session that works.
#[test]
fn a_backup_beside_a_busy_server_holds_all_that_was_acknowledged() {
    let place = place();
    let server = place.serve();
    let (_, body) = server.post("/auth/signup", SIGNUP);
    let refresh = format!(r#"{{"refresh_token":"{}"}}"#, field(&body, "refresh_token"));
    let port = server.port;
    let (written, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let before = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let number = written.load(Ordering::SeqCst);
                let login = SIGNUP.replace("ada@", &format!("ada{number}@"));
                let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
                let request = format!(
                    "POST /auth/signup HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                     content-type: application/json\r\ncontent-length: {}\r\n\r\n{login}",
                    login.len()
                );
                stream.write_all(request.as_bytes()).unwrap();
                if answer(&mut stream).0 == 201 {
                    written.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let until = Instant::now() + PATIENCE;
        while written.load(Ordering::SeqCst) < 3 && Instant::now() < until {
            std::thread::yield_now();
        }
        let before = written.load(Ordering::SeqCst);
        let said = place.run(&["backup", "copy.db"]);
        stop.store(true, Ordering::SeqCst);
        done(&said);
        assert!(said.out.contains("keep the master key too"), "{}", said.out);
        before
    });
    assert!(before >= 3);
    no_leftovers(place.path());
    let copy = place.path().join("copy.db");
    assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    for beside in ["copy.db-wal", "copy.db-shm", "copy.db-journal"] {
        assert!(!place.path().join(beside).exists());
    }
    assert!(refused(&place.run(&["backup", "copy.db"])).contains("is there already"));
    assert!(refused(&place.run(&["backup", "nowhere/copy.db"])).contains("cannot be created"));
    std::fs::create_dir(place.path().join("backups")).unwrap();
    done(&place.run(&["backup", "backups"]));
    server.stop();

    // Back to the copy, as the page tells.
    for name in ["tokenhouse.db", "tokenhouse.db-wal", "tokenhouse.db-shm"] {
        let _ = std::fs::remove_file(place.path().join(name));
    }
    std::fs::copy(&copy, place.path().join("tokenhouse.db")).unwrap();
    let server = place.serve();
    assert_eq!(server.post("/auth/refresh", &refresh).0, 200);
    let login = SIGNUP.replace("ada@", &format!("ada{}@", before - 1));
    assert_eq!(server.post("/auth/login", &login).0, 200);
}

#[test]
fn a_damaged_database_is_not_taken_for_a_backup() {
    let place = place();
    place.write("users.jsonl", &crowd(500));
    done(&place.run(&["import", "users", "users.jsonl"]));
    let file = place.path().join("tokenhouse.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xa5);
    std::fs::write(&file, bytes).unwrap();
    let said = place.run(&["backup", "copy.db"]);
    refused(&said);
    assert!(!place.path().join("copy.db").exists());
    no_leftovers(place.path());
}
