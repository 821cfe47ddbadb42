//! What is in the binary of `templates/`: the pages, the mails and the texts of each language.

use crate::base::template::Embedded;

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../templates/", $name)))),*]
    };
}

/// Every file under `templates/`; a test finds one that is missing here.
pub(crate) const EMBEDDED: &[Embedded] = embedded! {
    "languages/de.toml",
    "languages/en.toml",
    "languages/fr.toml",
    "mails/letter.html",
    "mails/letter.txt",
    "pages/account.html",
    "pages/activity.html",
    "pages/ask.html",
    "pages/components.html",
    "pages/delete.html",
    "pages/email.html",
    "pages/events.html",
    "pages/frame.html",
    "pages/from_mail.html",
    "pages/part_activity.html",
    "pages/part_data.html",
    "pages/part_devices.html",
    "pages/part_email.html",
    "pages/part_passkeys.html",
    "pages/part_password.html",
    "pages/part_profile.html",
    "pages/part_prove_magic.html",
    "pages/part_recovery_codes.html",
    "pages/part_sign_in_magic.html",
    "pages/part_sign_in_passkey.html",
    "pages/part_sign_in_password.html",
    "pages/part_totp.html",
    "pages/passkey.html",
    "pages/passkey_edit.html",
    "pages/password.html",
    "pages/problem.html",
    "pages/profile.html",
    "pages/prove.html",
    "pages/recovery_codes.html",
    "pages/second_step.html",
    "pages/set_up.html",
    "pages/sign_in.html",
    "pages/sign_out.html",
    "pages/sign_up.html",
    "pages/totp.html",
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::settings::Settings;
    use crate::base::template::Templates;
    use crate::features;
    use crate::kernel::pages::look::Look;
    use crate::kernel::pages::sample::{every_page, parts};

    #[test]
    fn every_file_is_in_the_binary() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let mut there = Vec::new();
        for folder in ["languages", "mails", "pages"] {
            let Ok(entries) = std::fs::read_dir(root.join(folder)) else {
                continue;
            };
            for entry in entries {
                there.push(format!(
                    "{folder}/{}",
                    entry.unwrap().file_name().to_str().unwrap()
                ));
            }
        }
        there.sort();
        let mut named: Vec<_> = EMBEDDED.iter().map(|(name, _)| (*name).to_owned()).collect();
        named.sort();
        assert_eq!(named, there);
    }

    /// Files that others take in.
    const WITHIN: &[&str] = &["pages/components.html", "pages/events.html", "pages/frame.html"];

    #[test]
    fn every_page_is_rendered_in_every_language() {
        let templates = Templates::load(EMBEDDED, None, "en").unwrap();
        let look = Look::of(&Settings::default())
            .map_err(|(_, problem)| problem)
            .unwrap();
        let mut seen = BTreeSet::new();
        let mut count = 0;
        every_page(&templates, &look, features::ALL, |template, language, html| {
            let what = format!("{template} in {}: {html}", language.tag());
            // What a person typed, or somebody else said, is text.
            for made_up in [
                "<ada>", "<typed>", "<wrong>", "<there>", "<token>", "<csrf>", "<key>", "<done>", "<here>",
            ] {
                assert!(!html.contains(made_up), "{what}");
            }
            let tag = format!("<!doctype html>\n<html lang=\"{}\" dir=\"ltr\">", language.tag());
            assert!(html.starts_with(&tag) && html.contains("<h1>"), "{what}");
            assert!(!html.contains(" style=") && !html.contains("<script>"), "{what}");
            for input in html.split("<input ").skip(1) {
                let input = input.split_once('>').map_or(input, |(input, _)| input);
                if input.contains("password\"") {
                    assert!(
                        input.contains("type=\"password\"") && !input.contains(" value="),
                        "{what}"
                    );
                }
            }
            seen.insert(template);
            count += 1;
        })
        .unwrap();
        assert!(count > 600, "{count}");
        let parts = parts(features::ALL);
        let forgotten: Vec<_> = EMBEDDED
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| name.starts_with("pages/") && !WITHIN.contains(name))
            .filter(|name| !seen.contains(name) && !parts.contains(name))
            .collect();
        assert!(forgotten.is_empty(), "no sample of {forgotten:?}");
    }
}
