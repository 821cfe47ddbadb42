//! Which passwords may be chosen.

use std::sync::Arc;

use crate::base::secret::Secret;

use super::policy::{PasswordFault, PasswordPolicy, PasswordPolicyError};
use crate::base::hashing::LONGEST_IN_BYTES;
use crate::base::hashing::spelling::fits;

fn faults(password: &str, about: &[&str]) -> Vec<&'static str> {
    match PasswordPolicy::default().check(&Secret::from(password), about) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(PasswordFault::code).collect(),
    }
}

#[test]
fn length_is_counted_in_characters_of_the_normal_form() {
    assert_eq!(faults("violet7", &[]), ["password_too_short"]);
    assert_eq!(faults("violet 7", &[]), [""; 0]);
    // Eight code points as typed, seven once composed.
    assert_eq!(faults("quinze\u{301}x", &[]), ["password_too_short"]);
    assert_eq!(faults(&"🦀".repeat(7), &[]), ["password_too_short"]);
    assert_eq!(faults(&"🦀".repeat(128), &[]), [""; 0]);
    assert_eq!(faults(&"🦀".repeat(129), &[]), ["password_too_long"]);
    // One code point that normalises to eighteen.
    assert_eq!(faults(&"\u{FDFA}".repeat(8), &[]), ["password_too_long"]);
}

#[test]
fn nothing_is_asked_of_the_kind_of_characters() {
    for password in [
        "violet kettle",
        "        x",
        "кошка и чайник",
        "\u{7}\u{8}\t\n\r\u{1b}[0m",
        "1928374655647382910",
    ] {
        assert_eq!(faults(password, &[]), [""; 0], "{password:?}");
    }
    assert_eq!(faults("violet\0kettle", &[]), ["password_has_nul"]);
}

#[test]
fn what_is_huge_is_refused_unread() {
    let huge = Secret::from("a".repeat(LONGEST_IN_BYTES + 1));
    assert!(!fits(&huge) && fits(&Secret::from("a".repeat(LONGEST_IN_BYTES))));
    let policy = PasswordPolicy {
        custom: Some(Arc::new(|_| {
            panic!("a password that does not fit must not be looked at")
        })),
        ..PasswordPolicy::default()
    };
    assert_eq!(
        policy.check(&huge, &[]).unwrap_err(),
        [PasswordFault::TooLong { max: 128 }]
    );
    // The longest bounds allowed always fit.
    assert!(fits(&Secret::from("🦀".repeat(256))));
}

#[test]
fn common_passwords_and_the_account_itself_are_refused() {
    assert_eq!(faults("password123", &[]), ["password_breached"]);
    assert_eq!(faults("PassWord123", &[]), ["password_breached"]);
    assert_eq!(
        faults("zelenkova1987", &["m.p@example.com", "Zelenkova"]),
        ["password_resembles_account"]
    );
    assert_eq!(
        faults("zelenkova@example.org", &["zelenkova@example.org"]),
        ["password_resembles_account"]
    );
    assert_eq!(faults("zelenkova paints kettles", &["Zelenkova"]), [""; 0]);
}

#[test]
fn all_faults_are_told_at_once_each_with_its_code_and_a_sentence() {
    let policy = PasswordPolicy {
        custom: Some(Arc::new(|text| {
            if text.contains('7') {
                Ok(())
            } else {
                Err("There must be a 7 in it.".to_owned())
            }
        })),
        ..PasswordPolicy::default()
    };
    let faults = policy.check(&Secret::from("monkey"), &["monkey"]).unwrap_err();
    let told: Vec<_> = faults
        .iter()
        .map(|fault| (fault.code(), fault.to_string()))
        .collect();
    assert_eq!(
        told.iter().map(|(code, _)| *code).collect::<Vec<_>>(),
        [
            "password_too_short",
            "password_breached",
            "password_resembles_account",
            "password_refused"
        ]
    );
    assert_eq!(told[0].1, "The password must have at least 8 characters.");
    assert_eq!(told[3].1, "There must be a 7 in it.");
    assert!(told.iter().all(|(_, sentence)| sentence.ends_with('.')));
}

#[test]
fn the_answer_is_what_will_be_hashed() {
    let checked = PasswordPolicy::default()
        .check(&Secret::from("cafe\u{301} zwei"), &[])
        .unwrap();
    assert_eq!(checked.expose(), "caf\u{e9} zwei");
}

#[test]
fn bounds_that_make_no_sense_are_refused() {
    let bounds = |min_length, max_length| {
        PasswordPolicy {
            min_length,
            max_length,
            ..PasswordPolicy::default()
        }
        .validate()
    };
    // Seven to a hundred is what two of the founding systems ask.
    for (min, max) in [(8, 128), (7, 100), (15, 64), (1, 256)] {
        assert_eq!(bounds(min, max), Ok(()));
    }
    for (min, max) in [(0, 128), (65, 64), (8, 63), (8, 257)] {
        assert_eq!(bounds(min, max), Err(PasswordPolicyError::Bounds));
    }
}

#[test]
fn words_of_the_service_are_refused_with_little_added_and_allowed_in_a_phrase() {
    let policy = PasswordPolicy {
        forbidden_words: vec!["Violet Kettles".to_owned(), "id.example.com".to_owned()],
        ..PasswordPolicy::default()
    };
    let faults = |password: &str| match policy.check(&Secret::from(password), &[]) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(PasswordFault::code).collect(),
    };
    for password in [
        "violet kettles",
        "VIOLET KETTLES2026!",
        "id.example.com1",
        "1id.example.com",
    ] {
        assert_eq!(faults(password), ["password_forbidden_word"], "{password}");
    }
    for password in ["I boil tea in violet kettles", "violet kettles whistle"] {
        assert_eq!(faults(password), [""; 0], "{password}");
    }
}
