//! The page of results: its files, and its script on a document with the answers of the API.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;
use vca::store::AnalysisOutcome;
use vca::tenancy::AnalysisResult;

use super::analysis::{carry_out, questions, spoken};
use super::api_server::ApiServer;
use super::calls::Line;
use super::on_both;
use crate::support;

on_both!(the_page_needs_no_key_and_loads_nothing_from_elsewhere, the_page_shows_the_results_of_calls,);

/// Words of scripts that write markup or store something.
const UNWANTED: [&str; 7] =
    ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Storage", "cookie"];

async fn the_page_needs_no_key_and_loads_nothing_from_elsewhere(api: ApiServer) {
    let nobody = api.nobody();
    let page = nobody.get("/results").await;
    let header = |name: &str| page.headers[name].to_str().expect("text").to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    let html = page.expect(200).as_str().expect("a page").to_owned();
    assert!(!html.contains("://") && !html.contains("onclick") && !html.contains("<style"), "{html}");
    for (file, kind) in [
        ("page.css", "text/css; charset=utf-8"),
        ("main.mjs", "text/javascript; charset=utf-8"),
        ("page.mjs", "text/javascript; charset=utf-8"),
        ("report.mjs", "text/javascript; charset=utf-8"),
        ("charts.mjs", "text/javascript; charset=utf-8"),
    ] {
        let answer = nobody.get(&format!("/results/{file}")).await;
        assert_eq!(answer.headers["content-type"], kind, "{file}");
        let text = answer.expect(200).as_str().expect("text").to_owned();
        let found: Vec<&&str> = UNWANTED.iter().filter(|word| text.contains(**word)).collect();
        assert!(found.is_empty(), "{file}: {found:?}");
    }
}

async fn the_page_shows_the_results_of_calls(api: ApiServer) {
    if support::api_tools().is_none() {
        return;
    }
    let (tenant, admin) = api.tenant("Bakery").await;
    let line = Line::of(&api, tenant).await;
    let path = format!("/api/tenants/{tenant}/ai-profiles/{}", line.profile);
    let profile = admin.patch(&path, json!({ "settings": { "analysis": questions() } })).await.expect(200);
    let version = profile["version"].as_u64().and_then(|it| u32::try_from(it).ok()).expect("a version");
    spoken(&line, version).await;
    let result = AnalysisResult {
        outcome: Some("order placed".into()),
        success: Some(true),
        ..AnalysisResult::default()
    };
    carry_out(&line, AnalysisOutcome::Done(result)).await;
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("node");
    command
        .arg(package.join("tests/clients/results_page.mjs"))
        .arg(package.join("src/admin/api/results_page"))
        .arg(format!("http://{}", api.address))
        .arg(admin.key().expect("a key"))
        .env("NO_PROXY", "127.0.0.1")
        .kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
    let output = output.expect("it ends in time").expect("node starts");
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}", text.concat());
}
