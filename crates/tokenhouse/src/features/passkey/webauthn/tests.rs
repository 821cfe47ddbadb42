//! The examples of the specification itself (W3C Web Authentication, Level 3, §16), all of them; then what it refuses.

use data_encoding::HEXLOWER;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vector {
    name: String,
    credential_id: String,
    registration: Registration,
    authentication: Authentication,
}

#[derive(Deserialize)]
struct Registration {
    challenge: String,
    client_data: String,
    attestation_object: String,
}

#[derive(Deserialize)]
struct Authentication {
    challenge: String,
    client_data: String,
    authenticator_data: String,
    signature: String,
}

fn bytes(hex: &str) -> Vec<u8> {
    HEXLOWER.decode(hex.as_bytes()).unwrap()
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("w3c-vectors.json")).unwrap()
}

fn vector(name: &str) -> Vector {
    vectors().into_iter().find(|vector| vector.name == name).unwrap()
}

fn party() -> RelyingParty {
    RelyingParty {
        id: "example.org".to_owned(),
        origins: vec!["https://example.org".to_owned()],
    }
}

impl Vector {
    fn register(&self) -> Result<Registered, Refusal> {
        let given = &self.registration;
        let expected = Expected {
            party: &party(),
            challenge: &bytes(&given.challenge),
            verified: false,
        };
        register(
            &expected,
            &bytes(&given.client_data),
            &bytes(&given.attestation_object),
        )
    }

    fn authenticate(&self, with: &Registered) -> Result<State, Refusal> {
        let given = &self.authentication;
        let expected = Expected {
            party: &party(),
            challenge: &bytes(&given.challenge),
            verified: false,
        };
        authenticate(
            &expected,
            &with.public_key,
            with.state.backup_eligible,
            &bytes(&given.client_data),
            &bytes(&given.authenticator_data),
            &bytes(&given.signature),
        )
    }
}

#[test]
fn every_example_is_judged_right() {
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for vector in vectors() {
        match vector.register() {
            Ok(registered) => {
                assert_eq!(
                    registered.credential_id,
                    bytes(&vector.credential_id),
                    "{}",
                    vector.name
                );
                vector.authenticate(&registered).unwrap();
                // As it is kept and read again.
                assert_eq!(
                    PublicKey::read(registered.public_key.cose()).unwrap(),
                    registered.public_key
                );
                accepted.push(vector.name);
            }
            Err(refusal) => refused.push((vector.name, refusal)),
        }
    }
    assert_eq!(
        accepted,
        [
            "none-es256",
            "packed-self-es256",
            "none-es256-long-credential-id",
            "packed-es256",
            "packed-rs256",
            "packed-eddsa",
            "tpm-es256",
            "android-key-es256",
            "apple-es256",
            "fido-u2f-es256",
        ]
    );
    let refused: Vec<_> = refused.iter().map(|(name, why)| (name.as_str(), *why)).collect();
    assert_eq!(
        refused,
        [
            ("none-es256-crossOrigin", Refusal::CrossOrigin),
            ("none-es256-topOrigin", Refusal::CrossOrigin),
            // Not asked for.
            ("packed-es384", Refusal::Algorithm),
            ("packed-es512", Refusal::Algorithm),
            ("packed-ed448", Refusal::Algorithm),
        ]
    );
}

#[test]
fn no_changed_byte_passes() {
    for name in ["none-es256", "packed-eddsa"] {
        let vector = vector(name);
        let registered = vector.register().unwrap();
        let given = &vector.authentication;
        let (challenge, client, data, signature) = (
            bytes(&given.challenge),
            bytes(&given.client_data),
            bytes(&given.authenticator_data),
            bytes(&given.signature),
        );
        let judge = |client: &[u8], data: &[u8], signature: &[u8]| {
            let party = party();
            let expected = Expected {
                party: &party,
                challenge: &challenge,
                verified: false,
            };
            authenticate(
                &expected,
                &registered.public_key,
                registered.state.backup_eligible,
                client,
                data,
                signature,
            )
        };
        judge(&client, &data, &signature).unwrap();
        for (part, original) in [&client, &data, &signature].into_iter().enumerate() {
            for position in 0..original.len() {
                let mut changed = [client.clone(), data.clone(), signature.clone()];
                changed[part][position] ^= 1;
                let [one, two, three] = &changed;
                assert!(
                    judge(one, two, three).is_err(),
                    "{name}: part {part}, byte {position}"
                );
                let mut cut = [client.clone(), data.clone(), signature.clone()];
                cut[part].truncate(position);
                let [one, two, three] = &cut;
                assert!(
                    judge(one, two, three).is_err(),
                    "{name}: part {part} cut at {position}"
                );
            }
            let mut longer = [client.clone(), data.clone(), signature.clone()];
            longer[part].push(0);
            let [one, two, three] = &longer;
            assert!(
                judge(one, two, three).is_err(),
                "{name}: part {part} with a byte more"
            );
        }
    }
}

#[test]
fn who_asks_is_compared_as_a_whole() {
    let vector = vector("none-es256");
    let given = &vector.registration;
    let judge = |id: &str, origin: &str, challenge: &[u8]| {
        let party = RelyingParty {
            id: id.to_owned(),
            origins: vec![origin.to_owned()],
        };
        let expected = Expected {
            party: &party,
            challenge,
            verified: false,
        };
        register(
            &expected,
            &bytes(&given.client_data),
            &bytes(&given.attestation_object),
        )
        .map(drop)
    };
    let challenge = bytes(&given.challenge);
    let right = "https://example.org";
    assert_eq!(judge("example.org", right, &challenge), Ok(()));
    assert_eq!(judge("org", right, &challenge), Err(Refusal::RelyingParty));
    assert_eq!(
        judge("badexample.org", right, &challenge),
        Err(Refusal::RelyingParty)
    );
    for origin in [
        "https://badexample.org",
        "https://example.or",
        "http://example.org",
        "https://example.org:444",
        "https://www.example.org",
        "",
    ] {
        assert_eq!(
            judge("example.org", origin, &challenge),
            Err(Refusal::Origin),
            "{origin}"
        );
    }
    assert_eq!(
        judge("example.org", right, &challenge[1..]),
        Err(Refusal::Challenge)
    );
    assert_eq!(judge("example.org", right, b""), Err(Refusal::Challenge));
}

#[test]
fn each_ceremony_takes_its_own_answers() {
    let vector = vector("none-es256");
    let registered = vector.register().unwrap();
    let party = party();
    let challenge = bytes(&vector.registration.challenge);
    let expected = Expected {
        party: &party,
        challenge: &challenge,
        verified: false,
    };
    let given = &vector.authentication;
    let crossed = authenticate(
        &expected,
        &registered.public_key,
        registered.state.backup_eligible,
        &bytes(&vector.registration.client_data),
        &bytes(&given.authenticator_data),
        &bytes(&given.signature),
    );
    assert_eq!(crossed, Err(Refusal::Type));
}

#[test]
fn what_is_asked_of_the_person_is_looked_at() {
    let vector = vector("none-es256");
    let registered = vector.register().unwrap();
    let party = party();
    let challenge = bytes(&vector.authentication.challenge);
    let expected = Expected {
        party: &party,
        challenge: &challenge,
        verified: true,
    };
    let given = &vector.authentication;
    let judge = |backup_eligible: bool| {
        authenticate(
            &expected,
            &registered.public_key,
            backup_eligible,
            &bytes(&given.client_data),
            &bytes(&given.authenticator_data),
            &bytes(&given.signature),
        )
    };
    // The flags of this example are 0x19: present, backed up, not verified.
    assert_eq!(judge(true), Err(Refusal::NotVerified));
    let unverified = Expected {
        verified: false,
        ..expected
    };
    let other_nature = authenticate(
        &unverified,
        &registered.public_key,
        false,
        &bytes(&given.client_data),
        &bytes(&given.authenticator_data),
        &bytes(&given.signature),
    );
    assert_eq!(other_nature, Err(Refusal::Backup));
}

#[test]
fn what_is_no_key_is_none() {
    let vector = vector("none-es256");
    let cose = vector.register().unwrap().public_key.cose().to_vec();
    let change = |position: usize, byte: u8| {
        let mut changed = cose.clone();
        changed[position] = byte;
        PublicKey::read(&changed)
    };
    assert!(PublicKey::read(&cose).is_ok());
    // A point beside the curve; another algorithm; another curve; another type.
    assert_eq!(change(20, cose[20] ^ 1).unwrap_err(), Refusal::PublicKey);
    assert_eq!(change(4, 0x27).unwrap_err(), Refusal::PublicKey);
    assert_eq!(change(4, 0x00).unwrap_err(), Refusal::Algorithm);
    assert_eq!(change(6, 0x02).unwrap_err(), Refusal::PublicKey);
    assert_eq!(change(2, 0x03).unwrap_err(), Refusal::PublicKey);
    for length in 0..cose.len() {
        assert!(PublicKey::read(&cose[..length]).is_err());
    }
    // A short RSA key; an empty one.
    let rsa = |modulus: usize| {
        let [high, low] = u16::try_from(modulus).unwrap().to_be_bytes();
        let mut key = vec![0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59, high, low];
        key.extend(std::iter::repeat_n(0xff, modulus));
        key.extend([0x21, 0x43, 1, 0, 1]);
        PublicKey::read(&key)
    };
    assert!(rsa(256).is_ok());
    assert_eq!(rsa(128).unwrap_err(), Refusal::PublicKey);
    assert_eq!(rsa(0).unwrap_err(), Refusal::PublicKey);
    assert_eq!(rsa(4096).unwrap_err(), Refusal::PublicKey);
}

mod whatever_bytes_come {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_refused_and_nothing_breaks(data in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(AuthenticatorData::read(&data).is_err() || data.len() >= 37);
            let _ = cbor::attestation_object(&data);
            let _ = PublicKey::read(&data);
            let _ = ClientData::read(&data);
            let _ = cbor::item_length(&data);
        }
    }
}
