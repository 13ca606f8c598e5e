//! `vca profile`.

use super::*;

#[tokio::test]
async fn a_profile_goes_back_to_what_it_was() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    vca.text(&[&PROFILE[..], &["--tools", "end_call", "--llm-model", "gpt-5.4-mini"]].concat()).await;
    let update = ["profile", "update", "Front desk", "--system-prompt", "Shout.", "--tools", ""];
    let changed = vca.json(&update).await;
    assert_eq!((&changed["version"], &changed["settings"]["tools"]), (&2.into(), &serde_json::json!([])));
    let former = vca.json(&["profile", "show", "Front desk", "--version", "1"]).await;
    assert_eq!(
        (&former["system_prompt"], &former["settings"]["tools"][0]),
        (&"Be kind.".into(), &"end_call".into())
    );
    let back = vca.json(&["profile", "rollback", "Front desk", "--version", "1"]).await;
    assert_eq!((&back["version"], &back["settings"]["llm_model"]), (&3.into(), &"gpt-5.4-mini".into()));
    let list = vca.text(&["profile", "versions", "Front desk"]).await;
    assert_eq!(list.lines().count(), 4, "{list}");
    assert_eq!(vca.code(&["profile", "rollback", "Front desk", "--version", "9"]).await, 66);
}

#[tokio::test]
async fn a_new_default_takes_the_place_of_the_old_one() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    assert_eq!(vca.json(&[&PROFILE[..], &["--default"]].concat()).await["is_default"], true);
    let other = ["--name", "Night", "--system-prompt", "Be brief.", "--default", "--role", "support"];
    let other = vca.json(&[&PROFILE[..4], &other].concat()).await;
    assert_eq!((&other["is_default"], &other["role"]), (&true.into(), &"support".into()));
    assert_eq!(vca.json(&["profile", "show", "Front desk"]).await["is_default"], false);
    let back = vca.json(&["profile", "update", "Front desk", "--default"]).await;
    assert_eq!(back["is_default"], true);
    let list = vca.text(&["profile", "list"]).await;
    assert!(list.contains("Night       support       no"), "{list}");
}

#[tokio::test]
async fn settings_are_put_on_top_of_each_other() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    let settings = ["--settings", r#"{"language":"de","turn":{"max_turns":5}}"#, "--stt", "openai"];
    let single = ["--setting", "max_duration_ms=60000", "--setting", "phrases.goodbye=Tschüss."];
    let created = vca.json(&[&PROFILE[..], &settings, &single].concat()).await;
    let settings = &created["settings"];
    assert_eq!((&settings["language"], &settings["stt"]), (&"de".into(), &"openai".into()));
    assert_eq!(settings["turn"], serde_json::json!({ "max_turns": 5, "max_duration_ms": 60_000 }));
    assert_eq!(settings["phrases"]["goodbye"], "Tschüss.");
    let update =
        ["profile", "update", "Front desk", "--language", "", "--setting", "max_turns=", "--voice", "rms"];
    let changed = vca.json(&update).await["settings"].clone();
    assert_eq!((&changed["language"], &changed["voice"]), (&Value::Null, &"rms".into()));
    assert_eq!(changed["turn"], serde_json::json!({ "max_duration_ms": 60_000 }));
    assert_eq!(changed["stt"], "openai", "what is not named stays");
}

#[tokio::test]
async fn noise_is_set_and_shown() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    let single = ["--setting", "noise_suppression=recognition", "--setting", "comfort_noise=true"];
    let created = vca.json(&[&PROFILE[..], &single].concat()).await;
    assert_eq!(created["settings"]["noise_suppression"], "recognition");
    assert_eq!(created["settings"]["comfort_noise"], true);
    let shown = vca.text(&["profile", "show", "Front desk"]).await;
    assert!(shown.contains("noise suppression") && shown.contains("comfort noise"), "{shown}");
}

#[tokio::test]
async fn settings_come_from_a_file_too() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    let path = vca.folder.join("settings.toml");
    std::fs::write(&path, "greeting = \"Hello!\"\n[turn]\nbarge_in = false\n").expect("a file");
    let file = ["--settings-file", path.to_str().expect("a path"), "--greeting", "Good day!"];
    let created = vca.json(&[&PROFILE[..], &file].concat()).await;
    assert_eq!(created["settings"]["greeting"], "Good day!");
    assert_eq!(created["settings"]["turn"]["barge_in"], false);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    for wrong in [
        &["--setting", "max_turns=0"][..],
        &["--setting", "max_turns"],
        &["--setting", "max_turns=many"],
        &["--setting", "speed=3"],
        &["--setting", "noise_suppression=much"],
        &["--setting", "comfort_noise=-60"],
        &["--setting", "phrases.hello=x"],
        &["--setting", "hours.timezone=Mars"],
        &["--tools", "fly"],
        &["--stt", "crystal-ball"],
        &["--language", "de_DE"],
        &["--setting", "commit_ms=5000"],
        &["--settings", "[]"],
        &["--settings", "{"],
        &["--settings", r#"{"engine":"x"}"#],
    ] {
        assert_eq!(vca.code(&[&PROFILE[..], wrong].concat()).await, 65, "{wrong:?}");
    }
    assert_eq!(vca.code(&PROFILE[..6]).await, 65, "no prompt");
    assert_eq!(vca.json(&["profile", "list"]).await, serde_json::json!([]));
}
