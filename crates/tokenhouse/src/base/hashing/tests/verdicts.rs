//! What the pool says of passwords, and with how much work.

use crate::base::entropy::Entropy;
use crate::base::secret::Secret;

use super::super::costs::{Argon2Costs, HashingOptions, ImportLimits};
use super::super::foreign::salted_bcrypt;
use super::super::pool::{HashingError, HashingPool, Verdict};
use super::super::spelling::LONGEST_IN_BYTES;
use super::pool::pool;

#[tokio::test]
async fn a_hash_is_a_phc_string_with_a_fresh_salt_and_verifies() {
    let pool = pool(2, 16);
    let first = pool.hash(Secret::from("violet kettle")).await.unwrap();
    let second = pool.hash(Secret::from("violet kettle")).await.unwrap();
    assert!(first.starts_with("$argon2id$v=19$m=8,t=1,p=1$") && first != second);
    for stored in [first, second] {
        let right = pool
            .verify(Secret::from("violet kettle"), Some(stored.clone()))
            .await
            .unwrap();
        let wrong = pool
            .verify(Secret::from("violet kettl"), Some(stored))
            .await
            .unwrap();
        assert_eq!((right, wrong), (Verdict::Right, Verdict::Wrong));
    }
}

#[tokio::test]
async fn nothing_to_compare_with_is_the_same_work_and_wrong() {
    let pool = pool(1, 16);
    let stored = pool.hash(Secret::from("violet kettle")).await.unwrap();
    let mut work_of = Vec::new();
    // Plain, and one whose spellings differ, which is tried in both.
    for password in ["something else", "cafe\u{301} zwei"] {
        for stored in [Some(stored.clone()), None, Some("nonsense".to_owned())] {
            let before = pool.status().work_kib;
            assert_eq!(
                pool.verify(Secret::from(password), stored).await.unwrap(),
                Verdict::Wrong
            );
            work_of.push(pool.status().work_kib - before);
        }
    }
    assert_eq!(work_of, [8, 8, 8, 16, 16, 16]);
}

#[tokio::test]
async fn composed_and_decomposed_spellings_are_one_password() {
    let pool = pool(1, 16);
    let (composed, decomposed) = ("caf\u{e9} zwei", "cafe\u{301} zwei");
    for chosen in [composed, decomposed] {
        let stored = pool.hash(Secret::from(chosen)).await.unwrap();
        for typed in [composed, decomposed] {
            assert_eq!(
                pool.verify(Secret::from(typed), Some(stored.clone()))
                    .await
                    .unwrap(),
                Verdict::Right
            );
        }
    }
}

#[tokio::test]
async fn other_systems_hashed_what_was_typed_and_are_upgraded_to_the_normal_form() {
    let pool = pool(1, 16);
    // bcrypt.hashpw("cafe\u0301 zwei".encode(), bcrypt.gensalt(4)), bcrypt 5.0.0
    let bcrypt = "$2b$04$F0Owij4o1XYjdc68wZ.QjeQfRVCGqsqTfNFFzgblToRsiSYlzEx7S".to_owned();
    // argon2-cffi 25.1.0: hash_secret of the same bytes with the pool's own costs, so nothing but the spelling
    // tells it from ours.
    let argon2 =
        "$argon2id$v=19$m=8,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$2RAoXd+Pau4HS9dZNtuwp32KsI7IbPDemDUqefN8hFg"
            .to_owned();
    for stored in [bcrypt, argon2] {
        let composed = Secret::from("caf\u{e9} zwei");
        assert_eq!(
            pool.verify(composed.clone(), Some(stored.clone())).await.unwrap(),
            Verdict::Wrong
        );
        let typed = Secret::from("cafe\u{301} zwei");
        let (verdict, upgraded) = pool.verify_and_upgrade(typed, Some(stored)).await.unwrap();
        assert_eq!(verdict, Verdict::RightButOutdated);
        assert_eq!(pool.verify(composed, upgraded).await.unwrap(), Verdict::Right);
    }
}

#[tokio::test]
async fn an_outdated_hash_is_replaced_in_the_same_job_and_only_for_the_right_password() {
    let pool = pool(1, 16);
    let salted = salted_bcrypt(
        "$2b$04$5CMfLd8hb1WLAX3mDdUa..wYm3ohCWL4GlrtpTwkp58TKoJThR3He",
        "$2b$12$MOzNsRPJe5wqisd8pc1KXe",
    );
    let stored = Some(salted.unwrap());
    let wrong = pool
        .verify_and_upgrade(Secret::from("passwort"), stored.clone())
        .await
        .unwrap();
    assert_eq!(wrong, (Verdict::Wrong, None));

    let before = pool.status().completed;
    let (verdict, upgraded) = pool
        .verify_and_upgrade(Secret::from("password"), stored)
        .await
        .unwrap();
    assert_eq!(
        (verdict, pool.status().completed - before),
        (Verdict::RightButOutdated, 1)
    );
    assert!(
        upgraded
            .as_deref()
            .unwrap()
            .starts_with("$argon2id$v=19$m=8,t=1,p=1$")
    );

    let again = pool
        .verify_and_upgrade(Secret::from("password"), upgraded.clone())
        .await
        .unwrap();
    assert_eq!(again, (Verdict::Right, None));

    let dearer = HashingOptions {
        costs: Argon2Costs {
            memory_kib: 16,
            iterations: 1,
            parallelism: 1,
        },
        ..HashingOptions::cheap()
    };
    let tomorrow = HashingPool::start(dearer, Entropy::seeded(2)).unwrap();
    assert_eq!(
        tomorrow.verify(Secret::from("password"), upgraded).await.unwrap(),
        Verdict::RightButOutdated
    );
}

#[tokio::test]
async fn a_password_that_does_not_fit_is_nobodys() {
    let pool = pool(1, 16);
    let huge = || Secret::from("a".repeat(LONGEST_IN_BYTES + 1));
    assert!(matches!(pool.hash(huge()).await, Err(HashingError::TooLong)));
    let stored = pool.hash(Secret::from("violet kettle")).await.unwrap();
    for stored in [Some(stored), None] {
        let before = pool.status().work_kib;
        assert_eq!(pool.verify(huge(), stored).await.unwrap(), Verdict::Wrong);
        assert_eq!(pool.status().work_kib - before, 8);
    }
    let emoji = "🦀".repeat(128);
    let stored = pool.hash(Secret::from(emoji.as_str())).await.unwrap();
    assert_eq!(
        pool.verify(Secret::from(emoji), Some(stored)).await.unwrap(),
        Verdict::Right
    );
}

#[tokio::test]
async fn limits_of_imports_never_lock_out_our_own_hashes() {
    let narrow = ImportLimits {
        memory_kib: 1,
        argon2_work: 1,
        ..ImportLimits::default()
    };
    let options = HashingOptions {
        max_imported_cost: narrow,
        ..HashingOptions::cheap()
    };
    let pool = HashingPool::start(options, Entropy::seeded(3)).unwrap();
    let stored = pool.hash(Secret::from("violet kettle")).await.unwrap();
    assert_eq!(
        pool.verify(Secret::from("violet kettle"), Some(stored))
            .await
            .unwrap(),
        Verdict::Right
    );
}
