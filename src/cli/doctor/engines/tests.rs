use super::*;

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

#[test]
fn a_date_is_past_or_future() {
    assert_eq!(in_words(day("2027-01-06"), day("2026-11-28")), "the model is shut down on 2027-01-06");
    assert_eq!(in_words(day("2026-10-23"), day("2026-11-28")), "the model was shut down on 2026-10-23");
}

#[test]
fn openais_models_end_by_the_table_where_its_list_cannot_be_read() {
    let settings: Settings = toml::from_str("openai.key = \"k\"").expect("settings");
    let entries = settings.tts_entries();
    let server = EngineServer::of_tts(&entries[0]).expect("a server");
    assert!(ending(&server, &Ok(Listing::NoList)).is_some_and(|words| words.contains("2027-01-06")));
    let settings: Settings = toml::from_str("openai.base_url = \"http://127.0.0.1:1/v1\"").expect("settings");
    let entries = settings.tts_entries();
    let server = EngineServer::of_tts(&entries[0]).expect("a server");
    assert_eq!(ending(&server, &Ok(Listing::NoList)), None);
}

#[test]
fn engines_with_servers_are_examined_whether_or_not_a_profile_names_them() {
    let known = ["espeak", "aura", "flite", "openai"];
    let remote = BTreeSet::from(["aura", "openai", "unbuilt"]);
    let asked = asked(&known, remote, &Fallbacks::default(), &[], |it| &it.tts);
    assert_eq!(asked, ["espeak", "aura", "openai"]);
}
