//! Mail that leaves the house: to a real server over TCP, past everything that can go wrong there, once.

use std::time::Duration;

use serde_json::json;
use tokenhouse::mail::Undelivered;
use tokenhouse::settings::{Encryption, Period};
use tokenhouse::store::query;
use tokenhouse::testing::{PASSWORD, TestHouse};
use tokenhouse::{MailState, Settings};

use crate::on_both_engines;
use crate::support::Place;
use crate::support::api::Api;
use crate::support::smtp::{Manner, Server};

const HOUR: Duration = Duration::from_secs(3600);

async fn house(place: &Place, server: &Server) -> Api {
    configured(place, |settings| server.configure(settings)).await
}

async fn configured(place: &Place, change: impl FnOnce(&mut Settings)) -> Api {
    Api::with(place, |builder| builder.configure(change)).await
}

/// The state, the attempts and the last error of the only mail.
async fn outbox(api: &Api) -> (MailState, i64, String) {
    let mails = api.house().mails(None, 10).await.unwrap();
    let [mail] = mails.as_slice() else {
        panic!("{mails:?}")
    };
    (mail.state, mail.attempts, mail.error.clone().unwrap_or_default())
}

on_both_engines! {
    async fn mail_is_handed_over_with_tls_and_a_login(place: &Place) {
        for encryption in [Encryption::Tls, Encryption::Starttls] {
            let login = Some(("house", "secret of the house"));
            let server = Server::start(Manner { encryption, login, ..Manner::default() }).await;
            let api = house(place, &server).await;
            let address = format!("{encryption:?}@example.org").to_lowercase();
            api.signup(&address).await;
            assert!(server.received().is_empty(), "nothing leaves before the transaction is over and somebody delivers");
            assert_eq!(api.house().deliver_mail().await.unwrap(), 1);
            let received = server.received();
            let [mail] = received.as_slice() else { panic!("{received:?}") };
            assert_eq!((mail.from.as_str(), &mail.to), ("no-reply@example.com", &address));
            assert!(mail.over_tls && mail.logged_in, "{mail:?}");
            assert_eq!(mail.header("From"), "Example <no-reply@example.com>");
            assert_eq!(mail.header("To"), address);
            assert_eq!(mail.header("Subject"), "Confirm your address for Tokenhouse");
            assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
            assert_eq!(mail.header("Date"), "Thu, 01 Jan 2026 00:00:00 +0000");
            assert!(mail.header("Message-ID").ends_with("@example.com>"), "{mail:?}");
            assert!(mail.header("Content-Type").starts_with("multipart/alternative"), "{mail:?}");
            assert_eq!(api.house().deliver_mail().await.unwrap(), 0);
        }
    }

    async fn what_a_mail_says_lies_sealed_and_is_gone_once_it_is_out(place: &Place) {
        let server = Server::start(Manner::default()).await;
        let api = house(place, &server).await;
        api.signup("ada@example.org").await;
        let sealed = || query("SELECT sealed FROM outbox WHERE sealed IS NOT NULL");
        let before: Vec<(Vec<u8>,)> = api.rows(sealed()).await;
        assert_eq!(before.len(), 1);
        for secret in ["token=", "http", "address", "locale"] {
            assert!(!before[0].0.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
        }
        api.house().deliver_mail().await.unwrap();
        assert!(api.rows::<(Vec<u8>,)>(sealed()).await.is_empty());
        assert_eq!(outbox(&api).await, (MailState::Sent, 1, String::new()));
        api.test.advance(31 * 24 * HOUR);
        api.house().tend().await.unwrap();
        assert!(api.house().mails(None, 10).await.unwrap().is_empty());
    }

    async fn a_server_that_asks_to_wait_is_asked_again_later_and_later(place: &Place) {
        let server = Server::start(Manner::default()).await;
        let api = house(place, &server).await;
        api.signup("ada@example.org").await;
        server.answer(&["451 4.3.0 try later", "451 4.3.0 try later"]);
        for (attempts, wait) in [(1, 30), (2, 60)] {
            assert_eq!(api.house().deliver_mail().await.unwrap(), 0);
            let (state, tried, error) = outbox(&api).await;
            assert_eq!((state, tried), (MailState::Waiting, attempts));
            assert!(error.contains("451") && error.contains("try later"), "{error}");
            api.test.advance(Duration::from_secs(wait - 1));
            assert_eq!(api.house().deliver_mail().await.unwrap(), 0);
            assert_eq!(outbox(&api).await.1, attempts, "too early");
            // With up to a quarter of chance on top.
            api.test.advance(Duration::from_secs(2 + wait / 4));
        }
        assert_eq!(api.house().deliver_mail().await.unwrap(), 1);
        assert_eq!(outbox(&api).await, (MailState::Sent, 3, String::new()));
        let metrics = api.house().metrics();
        assert!(metrics.contains("tokenhouse_mails_total{outcome=\"deferred\"} 2"), "{metrics}");
        assert!(metrics.contains("tokenhouse_mails_total{outcome=\"sent\"} 1"), "{metrics}");
    }

    async fn a_mailbox_that_is_not_there_is_given_up_at_once_and_tried_again_on_demand(place: &Place) {
        let server = Server::start(Manner::default()).await;
        let api = house(place, &server).await;
        api.signup("ada@example.org").await;
        server.answer(&["550 5.1.1 no such mailbox"]);
        assert_eq!(api.house().deliver_mail().await.unwrap(), 0);
        let (state, _, error) = outbox(&api).await;
        assert_eq!(state, MailState::Dead);
        assert!(error.contains("550") && error.contains("no such mailbox"), "{error}");
        api.test.advance(2 * HOUR);
        assert_eq!(api.house().deliver_mail().await.unwrap(), 0);
        let counts = api.house().count_mails().await.unwrap();
        assert_eq!((counts.waiting, counts.dead), (0, 1));
        let dead = api.house().mails(Some(MailState::Dead), 10).await.unwrap();
        assert_eq!((dead.len(), dead[0].address.as_str()), (1, "ada@example.org"));
        assert!(api.house().retry_mail(dead[0].id).await.unwrap());
        assert!(!api.house().retry_mail(dead[0].id).await.unwrap(), "it waits already");
        assert_eq!(api.house().deliver_mail().await.unwrap(), 1);
        assert_eq!(server.received().len(), 1);
    }

    async fn a_mail_whose_link_has_expired_is_not_sent(place: &Place) {
        let server = Server::start(Manner::default()).await;
        let api = house(place, &server).await;
        api.signup("ada@example.org").await;
        api.test.advance(25 * HOUR);
        assert_eq!(api.house().deliver_mail().await.unwrap(), 0);
        let (state, _, error) = outbox(&api).await;
        assert_eq!((state, error.as_str()), (MailState::Dead, "its link had expired before it could be sent"));
        assert_eq!(server.connections(), 0);
    }

    async fn a_server_that_is_away_keeps_mail_waiting_until_it_is_given_up(place: &Place) {
        let port = {
            let gone = Server::start(Manner::default()).await;
            gone.port
        };
        let server = Server::start(Manner::default()).await;
        let api = configured(place, |settings| {
            server.configure(settings);
            settings.mail.port = port;
            settings.mail.give_up_after = Period::minutes(120);
            settings.links.verify = Period::days(7);
        })
        .await;
        api.signup("ada@example.org").await;
        for _ in 0..20 {
            assert_eq!(api.house().deliver_mail().await.unwrap(), 0);
            let (state, attempts, error) = outbox(&api).await;
            assert!(error.starts_with(&format!("localhost:{port}: ")), "{error}");
            if state == MailState::Dead {
                assert!((5..=9).contains(&attempts), "{attempts}");
                return;
            }
            api.test.advance(Duration::from_secs(30 * 60));
        }
        panic!("it was never given up");
    }

    async fn a_server_that_says_nothing_is_left_in_time(place: &Place) {
        let server = Server::start(Manner { hangs: true, ..Manner::default() }).await;
        let api = configured(place, |settings| {
            server.configure(settings);
            settings.mail.timeout = Period::millis(300);
        })
        .await;
        api.signup("ada@example.org").await;
        assert_eq!(api.house().deliver_mail().await.unwrap(), 0);
        let (state, _, error) = outbox(&api).await;
        assert_eq!(state, MailState::Waiting);
        assert!(error.contains("did not answer in time"), "{error}");
    }

    async fn nothing_is_sent_without_the_encryption_that_was_asked_for(place: &Place) {
        let server = Server::start(Manner { encryption: Encryption::Starttls, hides_starttls: true, ..Manner::default() }).await;
        let api = house(place, &server).await;
        api.signup("ada@example.org").await;
        assert_eq!(api.house().deliver_mail().await.unwrap(), 0);
        assert!(server.received().is_empty());
        assert!(outbox(&api).await.2.contains("STARTTLS"), "{:?}", outbox(&api).await);

        let server = Server::start(Manner::default()).await;
        for wrong in [Wrong::Authority, Wrong::Name] {
            let api = configured(place, |settings| {
                server.configure(settings);
                match wrong {
                    Wrong::Authority => settings.mail.ca_file = None,
                    Wrong::Name => settings.mail.host = Some("127.0.0.1".to_owned()),
                }
            })
            .await;
            let error = api.house().test_mail("ada@example.org").await.unwrap().unwrap_err();
            assert!(!error.is_for_good() && error.to_string().to_lowercase().contains("certificate"), "{error}");
        }
        assert!(server.received().is_empty());
    }

    /// The operator's mistake, not the mail's.
    async fn a_wrong_login_gives_no_mail_up(place: &Place) {
        let login = Some(("house", "secret of the house"));
        let server = Server::start(Manner { login, ..Manner::default() }).await;
        let api = configured(place, |settings| {
            server.configure(settings);
            settings.mail.password = Some("another".into());
        })
        .await;
        api.signup("ada@example.org").await;
        assert_eq!(api.house().deliver_mail().await.unwrap(), 0);
        let (state, _, error) = outbox(&api).await;
        assert_eq!(state, MailState::Waiting);
        assert!(error.contains("refused the user name or the password") && !error.contains("another"), "{error}");
    }

    async fn an_address_beyond_ascii_needs_a_server_that_takes_it(place: &Place) {
        let server = Server::start(Manner::default()).await;
        let api = house(place, &server).await;
        api.signup("δοκιμή@example.org").await;
        assert_eq!(api.house().deliver_mail().await.unwrap(), 0);
        let (state, _, error) = outbox(&api).await;
        assert_eq!(state, MailState::Dead);
        assert!(error.contains("SMTPUTF8"), "{error}");

        let server = Server::start(Manner { utf8: true, ..Manner::default() }).await;
        let api = house(place, &server).await;
        assert_eq!(api.house().retry_mails().await.unwrap(), 1);
        assert_eq!(api.house().deliver_mail().await.unwrap(), 1);
        assert_eq!(server.received()[0].to, "δοκιμή@example.org");
    }

    async fn of_two_nodes_and_many_workers_each_mail_is_sent_by_one(place: &Place) {
        let server = Server::start(Manner::default()).await;
        let one = house(place, &server).await;
        let other = house(place, &server).await;
        for number in 0..40 {
            one.signup(&format!("user{number}@example.org")).await;
        }
        // A node that found a mail which the other took looks again at the next round.
        let mut sent = 0;
        for _ in 0..100 {
            let (first, second) = tokio::join!(one.house().deliver_mail(), other.house().deliver_mail());
            sent += first.unwrap() + second.unwrap();
            if sent == 40 {
                break;
            }
        }
        let mut to: Vec<_> = server.received().into_iter().map(|mail| mail.to).collect();
        to.sort();
        let all = to.len();
        to.dedup();
        assert_eq!((sent, all, to.len()), (40, 40, 40));
    }

    /// The node died after it had taken the mail on.
    async fn what_a_dead_node_had_taken_on_is_sent_by_another(place: &Place) {
        let hanging = Server::start(Manner { hangs: true, ..Manner::default() }).await;
        let dying = house(place, &hanging).await;
        dying.signup("ada@example.org").await;
        let house_of_it = dying.house().clone();
        let task = tokio::spawn(async move { house_of_it.deliver_mail().await });
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while outbox(&dying).await.1 == 0 || hanging.connections() == 0 {
            assert!(std::time::Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
        task.abort();
        let _ = task.await;

        let server = Server::start(Manner::default()).await;
        let other = house(place, &server).await;
        assert_eq!(other.house().deliver_mail().await.unwrap(), 0, "it is on lease");
        other.test.advance(Duration::from_secs(120));
        assert_eq!(other.house().deliver_mail().await.unwrap(), 1);
        assert_eq!(server.received().len(), 1);
    }

    async fn mail_goes_back_with_its_transaction(place: &Place) {
        let api = Api::on(place).await;
        let account = api
            .house()
            .open_account(
                tokenhouse::Signup {
                    email: Some("ada@example.org".to_owned()),
                    password: PASSWORD.into(),
                    ..tokenhouse::Signup::default()
                },
                &tokenhouse::Origin::default(),
            )
            .await
            .unwrap();
        drop(account);
        assert!(api.mails().await.is_empty());
        assert!(api.house().mails(None, 10).await.unwrap().is_empty());
        assert!(api.rows::<(String,)>(query("SELECT purpose FROM tickets")).await.is_empty());
    }

    async fn an_applications_own_function_decides_what_becomes_of_a_mail(place: &Place) {
        let seen = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
        let told = std::sync::Arc::clone(&seen);
        let api = Api::with(place, |builder| {
            builder.mailer(move |message| {
                let mut seen = told.lock();
                seen.push(message.id);
                let outcome = match seen.len() {
                    1 => Err(Undelivered::for_now("not now")),
                    2 => Err(Undelivered::for_good("never")),
                    _ => Ok(()),
                };
                async move { outcome }
            })
        })
        .await;
        api.signup("ada@example.org").await;
        assert_eq!(api.house().deliver_mail().await.unwrap(), 0);
        assert_eq!(outbox(&api).await, (MailState::Waiting, 1, "not now".to_owned()));
        api.test.advance(HOUR);
        assert_eq!(api.house().deliver_mail().await.unwrap(), 0);
        assert_eq!(outbox(&api).await, (MailState::Dead, 2, "never".to_owned()));
        api.house().retry_mails().await.unwrap();
        assert_eq!(api.house().deliver_mail().await.unwrap(), 1);
        let seen = seen.lock();
        assert!(seen.len() == 3 && seen.iter().all(|id| *id == seen[0]), "{seen:?}");
    }

    async fn a_function_that_panics_is_a_mail_that_was_not_sent(place: &Place) {
        let api = Api::with(place, |builder| {
            builder.configure(|settings| settings.mail.give_up_after = Period::minutes(60)).mailer(|message| {
                assert!(!message.to.starts_with("first"), "before there is a future");
                async move {
                    assert!(!message.to.starts_with("second"), "in the future");
                    Ok(())
                }
            })
        })
        .await;
        for who in ["first", "second", "third"] {
            api.signup(&format!("{who}@example.org")).await;
        }
        assert_eq!(api.house().deliver_mail().await.unwrap(), 1);
        let stand = async || {
            let mails = api.house().mails(None, 10).await.unwrap();
            let mut stand: Vec<_> = mails.into_iter().map(|mail| (mail.address, mail.state, mail.error)).collect();
            stand.sort_by(|one, other| one.0.cmp(&other.0));
            stand
        };
        let panicked = || Some("the application's function panicked".to_owned());
        let expected = |state| [
            ("first@example.org".to_owned(), state, panicked()),
            ("second@example.org".to_owned(), state, panicked()),
            ("third@example.org".to_owned(), MailState::Sent, None),
        ];
        assert_eq!(stand().await, expected(MailState::Waiting));
        // And is given up one day, as others are.
        api.test.advance(HOUR);
        assert_eq!(api.house().deliver_mail().await.unwrap(), 0);
        assert_eq!(stand().await, expected(MailState::Dead));
    }

    async fn a_house_that_ends_finishes_the_mail_it_is_handing_over_and_begins_no_other(place: &Place) {
        let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
        let server = Server::start(Manner { gate: Some(gate.clone()), ..Manner::default() }).await;
        let one_connection = |settings: &mut Settings| {
            server.configure(settings);
            settings.mail.connections = 1;
        };
        let api = configured(place, one_connection).await;
        for who in ["ada", "bob"] {
            api.signup(&format!("{who}@example.org")).await;
        }
        let house = api.house().clone();
        let delivering = tokio::spawn(async move { house.deliver_mail().await });
        while server.received().is_empty() {
            tokio::task::yield_now().await;
        }
        let house = api.house().clone();
        let ending = tokio::spawn(async move { house.close().await });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        ending.await.unwrap();
        assert_eq!(delivering.await.unwrap().unwrap(), 1);
        assert_eq!((server.received().len(), server.connections(), server.goodbyes()), (1, 1, 1));
        // It stands in the database that one is out, so nobody gets it twice; the other goes with the next start.
        let api = configured(place, one_connection).await;
        let mails = api.house().mails(None, 10).await.unwrap();
        let of = |state| mails.iter().filter(|mail| mail.state == state).count();
        assert_eq!((of(MailState::Sent), of(MailState::Waiting)), (1, 1));
        assert_eq!(api.house().deliver_mail().await.unwrap(), 1);
        assert_ne!(server.received()[0].to, server.received()[1].to);
    }

    async fn a_house_without_mail_says_so_and_keeps_working(place: &Place) {
        let api = Api::with(place, tokenhouse::Builder::without_mail).await;
        let ada = api.signup("ada@example.org").await;
        for (path, body) in [
            ("/auth/password/forgot", json!({ "email": "ada@example.org" })),
            ("/auth/magic/request", json!({ "email": "ada@example.org" })),
            ("/auth/email/verify/request", json!({ "email": "ada@example.org" })),
        ] {
            api.post(path, None, body).await.problem(403, "mail_disabled");
        }
        let change = json!({ "new_email": "new@example.org", "password": PASSWORD });
        api.post("/users/me/email", Some(&ada.access), change).await.problem(403, "mail_disabled");
        api.change_password(&ada.access, PASSWORD, "another long password").await.is(204);
        assert!(api.house().mails(None, 10).await.unwrap().is_empty());
    }

    async fn a_mail_sealed_under_another_key_is_given_up_and_says_so(place: &Place) {
        let api = Api::on(place).await;
        api.signup("ada@example.org").await;
        api.change(query("UPDATE outbox SET id = $1").bind(tokenhouse::Uuid::nil())).await;
        assert!(api.mails().await.is_empty());
        let (state, _, error) = outbox(&api).await;
        assert_eq!(state, MailState::Dead);
        assert!(error.contains("another master key"), "{error}");
    }
}

#[derive(Clone, Copy)]
enum Wrong {
    Authority,
    Name,
}

#[tokio::test]
async fn settings_that_would_not_keep_mail_private_are_refused() {
    let refused = async |change: fn(&mut tokenhouse::settings::MailSettings)| {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("a.db").display());
        let builder = tokenhouse::Tokenhouse::builder()
            .database(&url)
            .configure(|settings| {
                settings.mail.host = Some("mail.example.com".to_owned());
                settings.mail.from = Some("no-reply@example.com".to_owned());
                change(&mut settings.mail);
            });
        builder
            .without_jobs()
            .build()
            .await
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    let told = refused(|mail| mail.encryption = Encryption::None).await;
    assert!(told.starts_with("mail.encryption: "), "{told}");
    let told = refused(|mail| mail.from = None).await;
    assert!(told.starts_with("mail.from: "), "{told}");
    let told = refused(|mail| mail.from = Some("Eve\r\nBcc: all@example.org <a@b.cc>".to_owned())).await;
    assert!(told.starts_with("mail.from: "), "{told}");
    let told = refused(|mail| mail.username = Some("house".to_owned())).await;
    assert!(told.starts_with("mail.password: "), "{told}");
    let told = refused(|mail| mail.ca_file = Some("/nowhere/ca.pem".to_owned())).await;
    assert!(told.starts_with("mail.ca_file: "), "{told}");

    let test = TestHouse::with(|builder| builder.without_mail()).await;
    assert!(!test.house.sends_mail());
    let needs = tokenhouse::Tokenhouse::builder()
        .database("sqlite:///nowhere/at/all.db")
        .configure(|settings| settings.signup.require_verified_email = true);
    let told = needs.build().await.map(drop).unwrap_err().to_string();
    assert!(
        told.starts_with("signup.require_verified_email: needs mail"),
        "{told}"
    );
}
