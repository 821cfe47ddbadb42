//! Stored texts that are refused: too expensive, or such as no program writes.

use super::super::costs::{Argon2Costs, ImportLimits};
use super::super::foreign::{HashFormatError, StoredHash};

#[test]
fn what_costs_too_much_is_refused() {
    let tag = "voQDpD+sYPaW8jE747xdIyIqWQX6hQKyhBsyt5EJ+Qg";
    let bcrypt = "hp8VIhlhPwOqEYf9bmmir.Rupdlv1kJ.4wS2Z1eGIx6WkRxkIIdp6";
    for text in [
        format!("$argon2id$v=19$m=262145,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg${tag}"),
        format!("$argon2id$v=19$m=262144,t=9,p=1$MDEyMzQ1Njc4OWFiY2RlZg${tag}"),
        format!("$argon2id$v=19$m=8,t=4294967295,p=1$MDEyMzQ1Njc4OWFiY2RlZg${tag}"),
        format!("$argon2id$v=19$m=99999999999,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg${tag}"),
        format!("$argon2id$v=19$m=262144,t=1,p=65$MDEyMzQ1Njc4OWFiY2RlZg${tag}"),
        format!("$2b$16${bcrypt}"),
        format!("$2b$31${bcrypt}"),
        format!("$bcrypt-salted$c2FsdA$2b$16${bcrypt}"),
        format!("pbkdf2_sha256$5000001$salt${tag}="),
        // Three blocks of output repeat the iterations three times.
        format!("pbkdf2:sha1:2500000$salt${}", "ab".repeat(60)),
        format!("$scrypt$ln=19,r=8,p=1$AaA0xvj/fw9ByHmP8V7r3Q${tag}"),
        format!("$scrypt$ln=18,r=8,p=3$AaA0xvj/fw9ByHmP8V7r3Q${tag}"),
        format!("$scrypt$ln=63,r=4294967295,p=4294967295$AaA0xvj/fw9ByHmP8V7r3Q${tag}"),
        format!("$scrypt$ln=1,r=65536,p=65536$AaA0xvj/fw9ByHmP8V7r3Q${tag}"),
        format!("scrypt$2147483648$salt$8$1${tag}="),
    ] {
        assert!(
            matches!(StoredHash::parse(&text), Err(HashFormatError::TooExpensive(_))),
            "{text}"
        );
    }
    for dearest in [
        format!("$argon2id$v=19$m=262144,t=8,p=64$MDEyMzQ1Njc4OWFiY2RlZg${tag}"),
        format!("$2b$15${bcrypt}"),
        format!("pbkdf2_sha256$5000000$salt${tag}="),
        format!("$scrypt$ln=18,r=8,p=2$AaA0xvj/fw9ByHmP8V7r3Q${tag}"),
    ] {
        assert!(StoredHash::parse(&dearest).is_ok(), "{dearest}");
    }
}

#[test]
fn our_own_costs_are_never_too_much() {
    let costs = Argon2Costs {
        memory_kib: 1024 * 1024,
        iterations: 4,
        parallelism: 1,
    };
    let text =
        "$argon2id$v=19$m=1048576,t=4,p=1$MDEyMzQ1Njc4OWFiY2RlZg$voQDpD+sYPaW8jE747xdIyIqWQX6hQKyhBsyt5EJ+Qg";
    let limits = ImportLimits::default();
    assert!(StoredHash::parse_within(text, &limits).is_err());
    assert!(StoredHash::parse_within(text, &limits.admitting(costs)).is_ok());
}

#[test]
fn what_no_program_writes_is_refused() {
    let tag = "voQDpD+sYPaW8jE747xdIyIqWQX6hQKyhBsyt5EJ+Qg";
    let salt = "MDEyMzQ1Njc4OWFiY2RlZg";
    for text in [
        String::new(),
        "$".repeat(5),
        "$".repeat(1025),
        "!".to_owned(),
        "*LK*".to_owned(),
        "password".to_owned(),
        "$1$salt$hash".to_owned(),
        "5f4dcc3b5aa765d61d8327deb882cf99".to_owned(),
        "$argon2id$".to_owned(),
        format!("$argon2id$v=20$m=64,t=1,p=1${salt}${tag}"),
        format!("$argon2id$v=19$m=64,t=1${salt}${tag}"),
        format!("$argon2id$v=19$m=64,t=1,p=1,p=1${salt}${tag}"),
        format!("$argon2id$v=19$m=64,t=1,p=1,keyid=aa${salt}${tag}"),
        format!("$argon2id$v=19$m=+64,t=1,p=1${salt}${tag}"),
        format!("$argon2id$v=19$m=64,t=0,p=1${salt}${tag}"),
        format!("$argon2id$v=19$m=7,t=1,p=1${salt}${tag}"),
        format!("$argon2id$v=19$m=64,t=1,p=0${salt}${tag}"),
        format!("$argon2id$v=19$m=64,t=1,p=1$c2FsdA${tag}"),
        format!("$argon2id$v=19$m=64,t=1,p=1${salt}$voQDpD8"),
        format!("$argon2id$v=19$m=64,t=1,p=1${salt}$"),
        format!("$argon2id$v=19$m=64,t=1,p=1${salt}${tag}$"),
        format!("$argon2ID$v=19$m=64,t=1,p=1${salt}${tag}"),
        "$2x$04$hp8VIhlhPwOqEYf9bmmir.Rupdlv1kJ.4wS2Z1eGIx6WkRxkIIdp6".to_owned(),
        "$2b$03$hp8VIhlhPwOqEYf9bmmir.Rupdlv1kJ.4wS2Z1eGIx6WkRxkIIdp6".to_owned(),
        "$2b$+4$hp8VIhlhPwOqEYf9bmmir.Rupdlv1kJ.4wS2Z1eGIx6WkRxkIIdp6".to_owned(),
        "$2b$04$hp8VIhlhPwOqEYf9bmmir.Rupdlv1kJ.4wS2Z1eGIx6WkRxkIIdp".to_owned(),
        "$2b$04$hp8VIhlhPwOqEYf9bmmirëRupdlv1kJ.4wS2Z1eGIx6WkRxkIIdp".to_owned(),
        "$bcrypt-salted$c2FsdA".to_owned(),
        "$bcrypt-salted$not base64$2b$04$hp8VIhlhPwOqEYf9bmmir.Rupdlv1kJ.4wS2Z1eGIx6WkRxkIIdp6".to_owned(),
        format!("$bcrypt-salted$c2FsdA$argon2id$v=19$m=64,t=1,p=1${salt}${tag}"),
        format!("pbkdf2_sha256$0$salt${tag}="),
        format!("pbkdf2_md5$1000$salt${tag}="),
        format!("pbkdf2_sha256$1000$salt${tag}"),
        "pbkdf2_sha256$1000$salt$".to_owned(),
        "pbkdf2:md5:1000$salt$498bef6d1187386c02be64b11ea03aa4".to_owned(),
        "pbkdf2:sha256$salt$498bef6d1187386c02be64b11ea03aa4".to_owned(),
        "scrypt:1000:8:1$salt$498bef6d1187386c02be64b11ea03aa4".to_owned(),
        "scrypt:0:8:1$salt$498bef6d1187386c02be64b11ea03aa4".to_owned(),
        "scrypt:1024:0:1$salt$498bef6d1187386c02be64b11ea03aa4".to_owned(),
        format!("$scrypt$ln=0,r=8,p=1${salt}${tag}"),
    ] {
        assert!(
            matches!(
                StoredHash::parse(&text),
                Err(HashFormatError::Malformed(_) | HashFormatError::Unknown)
            ),
            "{text}"
        );
    }
}
