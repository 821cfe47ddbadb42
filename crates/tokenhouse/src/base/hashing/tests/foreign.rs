//! Hashes that other programs made.

use proptest::prelude::*;

use super::super::arena::Arena;
use super::super::costs::{Argon2Costs, ImportLimits};
use super::super::foreign::{HashFormatError, StoredHash, salted_bcrypt};

const PASSWORD: &str = "correct horse";

/// What made each, on CPython 3.11: argon2-cffi 25.1.0, bcrypt 5.0.0, Django 5.2.19, passlib 1.7.4 (with bcrypt
/// 4.0.1), Werkzeug 3.1.9; low costs, so that the tests are quick.
const MADE_ELSEWHERE: &[(&str, &str)] = &[
    // argon2.low_level.hash_secret(…, type=Type.ID / I / D)
    (
        "argon2id",
        "$argon2id$v=19$m=64,t=1,p=2$MDEyMzQ1Njc4OWFiY2RlZg$voQDpD+sYPaW8jE747xdIyIqWQX6hQKyhBsyt5EJ+Qg",
    ),
    (
        "argon2i",
        "$argon2i$v=19$m=64,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$+ZM6qIHKWUY4ZEkMSTQpzAefvkLMgPC7fLokalwJpuI",
    ),
    (
        "argon2d",
        "$argon2d$v=19$m=64,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$WaUQ0lzYrrmLDl1yR7RnSg",
    ),
    // … version=16, and the same without the field, which means 16
    (
        "argon2i",
        "$argon2i$v=16$m=64,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$5UIo77LDgbv5O+UdBR1fnnduzjsy4skDtBlCu+8VAzk",
    ),
    (
        "argon2i",
        "$argon2i$m=64,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$5UIo77LDgbv5O+UdBR1fnnduzjsy4skDtBlCu+8VAzk",
    ),
    // Django's Argon2PasswordHasher
    (
        "argon2id",
        "argon2$argon2id$v=19$m=64,t=1,p=1$c2Vhc2FsdDEyMzQ1$gp44edBShVVoLyqA62Inzz6gJ44U8COToKWd6kV7+nk",
    ),
    // bcrypt.hashpw, prefixes 2b and 2a
    (
        "bcrypt",
        "$2b$04$hp8VIhlhPwOqEYf9bmmir.Rupdlv1kJ.4wS2Z1eGIx6WkRxkIIdp6",
    ),
    (
        "bcrypt",
        "$2a$04$IlBSdT.q8s6DFjdzPBf1xuNc40wTRCCrPXwcB4/2MaIkHQ4QYCBT.",
    ),
    // the first again under PHP's prefix, and with a stray bit behind the salt
    (
        "bcrypt",
        "$2y$04$hp8VIhlhPwOqEYf9bmmir.Rupdlv1kJ.4wS2Z1eGIx6WkRxkIIdp6",
    ),
    (
        "bcrypt",
        "$2y$04$hp8VIhlhPwOqEYf9bmmir/Rupdlv1kJ.4wS2Z1eGIx6WkRxkIIdp6",
    ),
    // Django's BCryptPasswordHasher and BCryptSHA256PasswordHasher
    (
        "bcrypt",
        "bcrypt$$2b$04$u6XZ4/oYU8n3KrkQFQItDOdlyWVDcbQLjn8Mkz.2j2fchYQm.p2ii",
    ),
    (
        "bcrypt-sha256",
        "bcrypt_sha256$$2b$04$k8y9csS.NS/3WsSvvyPM9O4p61QJi2Fmf25n5OlMk5f8VL7Vcay3S",
    ),
    // passlib's bcrypt_sha256, versions 2 and 1
    (
        "bcrypt-sha256",
        "$bcrypt-sha256$v=2,t=2b,r=4$JFoTCoS/9nG6gx0SoEuVN.$6ubEZofoMLfiTp2EhSnf9la2jaa6VrG",
    ),
    (
        "bcrypt-sha256",
        "$bcrypt-sha256$2b,4$au4yd/i3BwNdQ0plbcQ4a.$q0.snxWTyi0/JLnOQ2JFoteqJQ8CYIa",
    ),
    // Django's PBKDF2PasswordHasher, PBKDF2SHA1PasswordHasher
    (
        "pbkdf2",
        "pbkdf2_sha256$1000$seasalt123$KuEnssc6S4MzVSS8Tu48m1RDSrTAn7j3CfgvvjkvfWA=",
    ),
    (
        "pbkdf2",
        "pbkdf2_sha1$1000$seasalt123$8QIuLeMh87ONHQNhnpKQjEw2feU=",
    ),
    // passlib's pbkdf2_sha256, pbkdf2_sha1, pbkdf2_sha512
    (
        "pbkdf2",
        "$pbkdf2-sha256$1000$CIHw/l9rLaU0ZgxhDAEgJA$IlEP5kLm3jM9eHezvBAPiz9JA1XhR06p6TcHpjNqmpU",
    ),
    (
        "pbkdf2",
        "$pbkdf2$1000$4bz3nnNu7d27Vwrh/F/L.Q$UC1WVV5X66/bo90TtfmCz4YLEN8",
    ),
    (
        "pbkdf2",
        "$pbkdf2-sha512$1000$OMeYcy4FgNBa690b45yTcg$47foYMWJavtDrUIt0rkyEbqj8CEgDqbIq9ggTNNNatVi.6wnIgCf4MYL1mWXTkmwII6rtDLPlPZbBSTficsbbA",
    ),
    // werkzeug.security.generate_password_hash(…, "pbkdf2:sha256:1000" / "pbkdf2:sha512:1000" / "scrypt:1024:8:1")
    (
        "pbkdf2",
        "pbkdf2:sha256:1000$3gm1M2VRqwXrzEBd$498bef6d1187386c02be64b11ea03aa40c8c80cc1eb1e8b7515d9c296fc07656",
    ),
    (
        "pbkdf2",
        "pbkdf2:sha512:1000$GsjAIrzOtCjXiaxg$4d99ddfad840dcefd039009be6f6a8ec58462ee9e299f816c69d4e8f95fb8978c59ee5cb5fa398c121d688e6bb0b4ae8581479faa6c73599bcc014e409838f89",
    ),
    (
        "scrypt",
        "scrypt:1024:8:1$XwMnwiKDiTsrt06m$6defdade464b002445ae77b15694e45248f0905a81dcf11523126d93dd8c36fc9cfd407bb49911407965e3261f2eb8b7968eba3c309930aba74448bd0a8863b4",
    ),
    // Django's ScryptPasswordHasher, passlib's scrypt
    (
        "scrypt",
        "scrypt$1024$seasalt123$8$1$WjiJW2R7EFXFvJWL7gYnIcr1h3m9El4JvqodWswOHtcvChnARzIflnX3B2jbmgsaKg4DDVVfqCo1Iv5DvScVYg==",
    ),
    (
        "scrypt",
        "$scrypt$ln=10,r=8,p=1$AaA0xvj/fw9ByHmP8V7r3Q$DU/rR4l+1Xg3aqTeF4T6ysuKHEZD1UUSzygGxygLQBw",
    ),
];

/// What `bcrypt.gensalt().decode()` gave the tutorials' salt column.
const SALT: &str = "$2b$12$MOzNsRPJe5wqisd8pc1KXe";

fn is_of(stored: &str, password: &str) -> bool {
    StoredHash::parse(stored)
        .unwrap()
        .is_of(password, &mut Arena::new(0))
}

#[test]
fn hashes_made_by_other_programs_verify_and_only_with_their_password() {
    for (algorithm, text) in MADE_ELSEWHERE {
        assert_eq!(StoredHash::parse(text).unwrap().algorithm(), *algorithm, "{text}");
        assert!(is_of(text, PASSWORD), "{text}");
        for wrong in ["", "correct hors", "correct horse ", "Correct horse"] {
            assert!(!is_of(text, wrong), "{text}");
        }
    }
}

#[test]
fn argon2id_at_todays_costs_matches_argon2_cffi() {
    let text =
        "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$rk2Mi3E4dgRMg0fHaYaptWVZRKqs//6b6k3/nntqGJk";
    assert!(is_of(text, PASSWORD));
    assert!(StoredHash::parse(text).unwrap().is_todays(Argon2Costs::default()));
    for (_, other) in MADE_ELSEWHERE {
        assert!(
            !StoredHash::parse(other)
                .unwrap()
                .is_todays(Argon2Costs::default()),
            "{other}"
        );
    }
}

#[test]
fn bcrypt_of_password_and_salt_verifies_as_the_tutorials_wrote_it() {
    // CryptContext(schemes=["bcrypt"], bcrypt__rounds=4).hash(password + salt) with passlib 1.7.4 and bcrypt 4.0.1
    let text = salted_bcrypt(
        "$2b$04$5CMfLd8hb1WLAX3mDdUa..wYm3ohCWL4GlrtpTwkp58TKoJThR3He",
        SALT,
    )
    .unwrap();
    assert_eq!(
        text,
        "$bcrypt-salted$JDJiJDEyJE1Pek5zUlBKZTV3cWlzZDhwYzFLWGU$2b$04$5CMfLd8hb1WLAX3mDdUa..wYm3ohCWL4GlrtpTwkp58TKoJThR3He"
    );
    assert_eq!(StoredHash::parse(&text).unwrap().algorithm(), "bcrypt-salted");
    assert!(
        is_of(&text, "password") && !is_of(&text, "passwor") && !is_of(&text, &format!("password{SALT}"))
    );
    assert_eq!(salted_bcrypt("password", SALT), Err(HashFormatError::Unknown));
}

#[test]
fn bcrypt_forgets_what_comes_after_72_bytes_as_it_always_did() {
    // The same context's hash("y" * 80), and hash("a" * 60 + salt), whose salt is cut off half-way.
    let long = "$2b$04$NV1KOOCm0YIRol63SlqxV.u8b6fMBwqOpA7zPlnfmG9FR.pWNUzi6";
    assert!(is_of(long, &"y".repeat(80)) && is_of(long, &"y".repeat(72)) && !is_of(long, &"y".repeat(71)));
    let salted = salted_bcrypt(
        "$2b$04$yt55oN6gSd36G2kjchzfxOPptIqJ2jHi04Pf4ztl19B/IlcvT8WqG",
        SALT,
    )
    .unwrap();
    assert!(is_of(&salted, &"a".repeat(60)) && !is_of(&salted, &"a".repeat(59)));
}

#[test]
fn bcrypt_takes_passwords_beyond_ascii() {
    // bcrypt.hashpw("пароль из слов".encode(), bcrypt.gensalt(4))
    assert!(is_of(
        "$2b$04$YhW6n11xnD62LgfEXdwNvOC.TfLZeq.Fpl1r7dI2bGrqxShmulKza",
        "пароль из слов"
    ));
}

#[test]
fn a_stored_hash_shows_nothing_of_itself() {
    for (algorithm, text) in MADE_ELSEWHERE {
        assert_eq!(
            format!("{:?}", StoredHash::parse(text).unwrap()),
            format!("StoredHash({algorithm:?})")
        );
    }
}

/// So little that a mutated text which still parses is verified in no time.
const TINY: ImportLimits = ImportLimits {
    memory_kib: 1024,
    argon2_work: 256,
    bcrypt_cost: 4,
    pbkdf2_iterations: 2000,
    scrypt_work: 8192,
};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,80}") {
        drop(StoredHash::parse(&text));
    }

    #[test]
    fn no_mutation_of_a_real_hash_makes_anything_panic_or_proves_another_password(
        which in 0..MADE_ELSEWHERE.len(),
        at in any::<prop::sample::Index>(),
        put in "[$=,:.0-9a-zA-Z/+ é-]{0,3}",
        removed in 0..4_usize,
        password in "\\PC{0,20}",
    ) {
        let characters: Vec<char> = MADE_ELSEWHERE[which].1.chars().collect();
        let at = at.index(characters.len());
        let rest = characters.iter().skip(at + removed);
        let text: String = characters[..at].iter().copied().chain(put.chars()).chain(rest.copied()).collect();
        if let Ok(stored) = StoredHash::parse_within(&text, &TINY) {
            prop_assert!(password == PASSWORD || !stored.is_of(&password, &mut Arena::new(0)));
        }
    }
}
