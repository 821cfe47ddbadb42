//! Where settings come from, and what is said of mistakes.

use crate::Place;

#[test]
fn a_misspelt_option_in_the_file_is_told_with_its_line_and_what_was_meant() {
    let place = Place::new();
    place.write(
        "tokenhouse.toml",
        "listen = \"127.0.0.1:0\"\n\n[tokens]\nacces_lifetime = \"15m\"\n",
    );
    let said = place.run(&["config", "check"]);
    assert_eq!(said.code, Some(2));
    assert_eq!(
        said.err,
        "tokenhouse: tokenhouse.toml:4: tokens.acces_lifetime: there is no such option; did you mean \
         `tokens.access_lifetime`?\n"
    );
}

#[test]
fn a_misspelt_variable_is_told_by_its_name() {
    for (name, meant) in [
        (
            "TOKENHOUSE_TOKENS__ACCES_LIFETIME",
            "TOKENHOUSE_TOKENS__ACCESS_LIFETIME",
        ),
        (
            "TOKENHOUSE_TOKENS_ACCESS_LIFETIME",
            "TOKENHOUSE_TOKENS__ACCESS_LIFETIME",
        ),
        ("TOKENHOUSE_ACCESS_LIFETIME", "TOKENHOUSE_TOKENS__ACCESS_LIFETIME"),
        ("TOKENHOUSE_MASTERKEY_FILE", "TOKENHOUSE_MASTER_KEY_FILE"),
    ] {
        let said = Place::new().with(name, "15m").run(&["config", "check"]);
        assert_eq!(said.code, Some(2));
        assert_eq!(
            said.err,
            format!("tokenhouse: {name}: there is no such option; did you mean `{meant}`?\n")
        );
    }
}

#[test]
fn several_mistakes_are_told_together() {
    let place = Place::new()
        .with("TOKENHOUSE_RATE_LIMIT__ENABLED", "yes")
        .with("TOKENHOUSE_TOKENS__ACCESS_LIFETIME", "15")
        .with("TOKENHOUSE_HTTP__BODY_LIMIT", "64k");
    place.write(
        "tokenhouse.toml",
        "[token]\nleeway = 5\n[sessions]\nidle_lifetime = 30\n",
    );
    let said = place.run(&["serve"]);
    assert_eq!(said.code, Some(2));
    for told in [
        "tokenhouse.toml:2: token.leeway: there is no such option; did you mean `tokens.leeway`?",
        "tokenhouse.toml:4: sessions.idle_lifetime: invalid type: integer `30`",
        "TOKENHOUSE_RATE_LIMIT__ENABLED: rate_limit.enabled: must be `true` or `false`",
        "TOKENHOUSE_TOKENS__ACCESS_LIFETIME: tokens.access_lifetime: `15` is no length of time; write it with its \
         unit, such as \"30s\"",
        "TOKENHOUSE_HTTP__BODY_LIMIT: http.body_limit: must be a whole number",
    ] {
        assert!(said.err.contains(told), "{told}\nnot in\n{}", said.err);
    }
}

#[test]
fn the_environment_wins_over_dotenv_over_the_file_over_the_default() {
    let place = Place::new()
        .with("TOKENHOUSE_TOKENS__LEEWAY", "3s")
        .with("DATABASE_URL", "sqlite://other.db")
        .with(
            "TOKENHOUSE_HTTP__ALLOWED_ORIGINS",
            "https://a.example, https://b.example",
        )
        .with("TOKENHOUSE_TOKENS__CLAIMS", r#"{"tenant":"one"}"#);
    place.write(
        ".env",
        "TOKENHOUSE_TOKENS__LEEWAY=2s\nTOKENHOUSE_EVENTS__KEEP=2d\nUNRELATED=x\n",
    );
    place.write(
        "tokenhouse.toml",
        "[tokens]\nleeway = \"1s\"\n[events]\nkeep = \"1d\"\n[signup]\nmode = \"closed\"\n",
    );
    let said = place.run(&["config", "check"]);
    assert_eq!(said.err, "");
    for told in [
        "leeway = \"3s\" # TOKENHOUSE_TOKENS__LEEWAY",
        "keep = \"2d\" # .env: TOKENHOUSE_EVENTS__KEEP",
        "mode = \"closed\" # tokenhouse.toml:6",
        "access_lifetime = \"15m\"\n",
        "database_url = \"(hidden)\" # DATABASE_URL",
        "allowed_origins = [\"https://a.example\", \"https://b.example\"]",
        "tenant = \"one\"",
    ] {
        assert!(said.out.contains(told), "{told}\nnot in\n{}", said.out);
    }
    let explicit = place.with("TOKENHOUSE_DATABASE_URL", "sqlite://mine.db");
    let said = explicit.run(&["config", "check"]);
    assert!(said.out.contains("# TOKENHOUSE_DATABASE_URL"), "{}", said.out);
}

#[test]
fn a_named_file_must_be_there() {
    let said = Place::new().run(&["--config", "nowhere.toml", "config", "check"]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.err
            .starts_with("tokenhouse: nowhere.toml: the configuration file cannot be read")
    );
    let place = Place::new().with("TOKENHOUSE_CONFIG", "other.toml");
    place.write("other.toml", "[tokens]\nleeway = \"4s\"\n");
    assert!(place.run(&["config", "check"]).out.contains("# other.toml:2"));
}

#[test]
fn what_config_default_prints_is_accepted_with_and_without_its_comment_signs() {
    let place = Place::new();
    let file = place.run(&["config", "default"]).out;
    place.write("tokenhouse.toml", &file);
    assert_eq!(place.run(&["config", "check"]).code, Some(0));
    let options: String = file
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(option) if option.contains(" = ") && !option.ends_with("\"\"") => format!("{option}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    place.write("tokenhouse.toml", &options);
    let said = place.run(&["config", "check"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
}

#[test]
fn the_documentation_of_the_options_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let now = Place::new().run(&["config", "docs"]).out;
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == now,
        "run: tokenhouse config docs > docs/configuration.md"
    );
}
