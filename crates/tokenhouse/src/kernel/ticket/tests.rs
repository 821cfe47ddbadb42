//! The rules of tickets; the features that issue them prove the same on both engines through their doors.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::testing::TestHouse;

const HERE: Purpose = Purpose("here");
const ELSEWHERE: Purpose = Purpose("elsewhere");

async fn issued(test: &TestHouse, subject: Option<&str>) -> Issued {
    let house = &test.house;
    let new = NewTicket {
        purpose: HERE,
        user: None,
        subject,
        data: json!({ "for": subject }),
        lifetime: Duration::from_secs(60),
        with_code: true,
    };
    let mut tx = house.store().write().await.unwrap();
    let issued = issue(&mut tx, house, new, house.clock().now()).await.unwrap();
    tx.commit().await.unwrap();
    issued
}

async fn spent(test: &TestHouse, purpose: Purpose, key: &Key) -> Option<Ticket> {
    let house = &test.house;
    let mut tx = house.store().write().await.unwrap();
    let ticket = spend(&mut tx, purpose, key, house.clock().now()).await.unwrap();
    tx.commit().await.unwrap();
    ticket
}

#[tokio::test]
async fn a_ticket_is_spent_once_and_with_it_its_siblings() {
    let test = TestHouse::new().await;
    let first = issued(&test, Some("ada")).await;
    let second = issued(&test, Some("ada")).await;
    let other = issued(&test, Some("bob")).await;
    assert!(
        test.house
            .peek_ticket(HERE, &Key::of(&first.token))
            .await
            .unwrap()
            .is_some()
    );
    let ticket = spent(&test, HERE, &Key::of(&first.token)).await.unwrap();
    assert_eq!(ticket.data, json!({ "for": "ada" }));
    for token in [&first.token, &second.token] {
        assert!(spent(&test, HERE, &Key::of(token)).await.is_none());
    }
    assert!(spent(&test, HERE, &Key::of(&other.token)).await.is_some());
}

#[tokio::test]
async fn a_ticket_without_a_subject_stands_alone() {
    let test = TestHouse::new().await;
    let (first, second) = (issued(&test, None).await, issued(&test, None).await);
    assert!(first.code.is_none());
    assert!(spent(&test, HERE, &Key::of(&first.token)).await.is_some());
    assert!(spent(&test, HERE, &Key::of(&second.token)).await.is_some());
}

#[tokio::test]
async fn another_purpose_and_another_time_are_no_use() {
    let test = TestHouse::new().await;
    let ticket = issued(&test, Some("ada")).await;
    let (key, code) = (Key::of(&ticket.token), ticket.code.unwrap());
    assert!(spent(&test, ELSEWHERE, &key).await.is_none());
    assert!(test.house.peek_ticket(ELSEWHERE, &key).await.unwrap().is_none());
    assert!(
        test.house
            .count_ticket_try(ELSEWHERE, &key)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        test.house
            .read_code(ELSEWHERE, "ada", &code)
            .await
            .unwrap()
            .is_none()
    );
    assert!(test.house.read_code(HERE, "bob", &code).await.unwrap().is_none());
    test.advance(Duration::from_secs(60));
    assert!(test.house.read_code(HERE, "ada", &code).await.unwrap().is_none());
    assert!(test.house.peek_ticket(HERE, &key).await.unwrap().is_none());
    assert!(spent(&test, HERE, &key).await.is_none());
    sweep(test.house.store(), test.house.clock().now()).await.unwrap();
    test.set_back(Duration::from_secs(60));
    assert!(spent(&test, HERE, &key).await.is_none());
}

#[tokio::test]
async fn a_code_has_five_tries_however_right_the_sixth() {
    let test = TestHouse::new().await;
    let code = issued(&test, Some("ada")).await.code.unwrap();
    let wrong = Secret::from("x");
    for _ in 0..TRIES {
        assert!(test.house.read_code(HERE, "ada", &wrong).await.unwrap().is_none());
    }
    assert!(test.house.read_code(HERE, "ada", &code).await.unwrap().is_none());
}

#[tokio::test]
async fn only_the_newest_code_can_be_typed_in_any_spelling() {
    let test = TestHouse::new().await;
    let old = issued(&test, Some("ada")).await.code.unwrap();
    let new = issued(&test, Some("ada")).await.code.unwrap();
    assert!(test.house.read_code(HERE, "ada", &old).await.unwrap().is_none());
    let bare = Secret::from(new.expose().replace(' ', ""));
    let hyphened = Secret::from(new.expose().replace(' ', "-"));
    for typed in [&new, &bare, &hyphened] {
        let key = test.house.read_code(HERE, "ada", typed).await.unwrap().unwrap();
        assert!(test.house.peek_ticket(HERE, &key).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn the_tries_at_what_a_ticket_guards_are_counted() {
    let test = TestHouse::new().await;
    let key = Key::of(&issued(&test, None).await.token);
    for _ in 0..TRIES {
        assert!(test.house.count_ticket_try(HERE, &key).await.unwrap().is_some());
    }
    assert!(test.house.count_ticket_try(HERE, &key).await.unwrap().is_none());
}

#[tokio::test]
async fn the_database_holds_neither_link_nor_code() {
    let test = TestHouse::new().await;
    let ticket = issued(&test, Some("ada")).await;
    let rows: Vec<(Vec<u8>, Vec<u8>)> = crate::base::store::query("SELECT digest, code_mac FROM tickets")
        .all(&mut test.house.store().read().await.unwrap())
        .await
        .unwrap();
    let [(digest, mac)] = rows.as_slice() else {
        panic!("one ticket")
    };
    assert_ne!(digest.as_slice(), ticket.token.expose().as_bytes());
    assert_eq!((digest.len(), mac.len()), (32, 32));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_who_spend_a_ticket_one_does_and_five_get_a_try() {
    const CONTENDERS: usize = 50;
    let test = std::sync::Arc::new(TestHouse::new().await);
    for _ in 0..200 {
        let ticket = issued(&test, Some("ada")).await;
        let (key, wrong) = (Key::of(&ticket.token), Secret::from("x"));
        let tries = futures_util::future::join_all((0..CONTENDERS).map(|_| {
            let (test, key, wrong) = (std::sync::Arc::clone(&test), key.clone(), wrong.clone());
            tokio::spawn(async move {
                assert!(test.house.read_code(HERE, "ada", &wrong).await.unwrap().is_none());
                test.house.count_ticket_try(HERE, &key).await.unwrap().is_some()
            })
        }));
        let tries = tries
            .await
            .into_iter()
            .filter(|one| *one.as_ref().unwrap())
            .count();
        assert!(tries <= 5, "{tries} tries");
        let spends = futures_util::future::join_all((0..CONTENDERS).map(|_| {
            let (test, key) = (std::sync::Arc::clone(&test), key.clone());
            tokio::spawn(async move { spent(&test, HERE, &key).await.is_some() })
        }));
        let winners = spends
            .await
            .into_iter()
            .filter(|one| *one.as_ref().unwrap())
            .count();
        assert_eq!(winners, 1);
    }
}
