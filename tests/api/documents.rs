//! The description of the API and the pages on which people read it.

use serde_json::Value;

use super::bureau::Bureau;
use super::on_both;

on_both!(the_document_is_whole, the_pages_load_nothing_from_elsewhere);

async fn the_document_is_whole(bureau: Bureau) {
    let document = bureau.nobody().get("/openapi.json").await.expect(200);
    assert_eq!(document["components"]["securitySchemes"]["api_key"]["scheme"], "bearer");
    assert_eq!(document["security"][0]["api_key"], Value::Array(vec![]));
    assert_eq!(document["servers"][0]["url"], "/");
    let tags: Vec<_> = document["tags"].as_array().expect("tags").iter().map(|tag| &tag["name"]).collect();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let place = format!("{method} {path}");
            assert!(
                operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
                "{place}: no summary"
            );
            for tag in operation["tags"].as_array().expect("a tag") {
                assert!(tags.contains(&tag), "{place}: the tag {tag} is not described");
            }
            let responses = operation["responses"].as_object().expect("responses");
            assert!(responses.keys().any(|status| status.starts_with('2')), "{place}: no success");
            for (status, response) in responses.iter().filter(|(status, _)| *status >= &"400".to_owned()) {
                let content = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(content, "#/components/schemas/ProblemBody", "{place}: {status}");
            }
        }
    }
    let text = document.to_string();
    for (at, _) in text.match_indices("#/components/schemas/") {
        let name = text[at + 21..].split('"').next().expect("a name");
        assert!(document["components"]["schemas"][name].is_object(), "{name} is referred to and not there");
    }
}

async fn the_pages_load_nothing_from_elsewhere(bureau: Bureau) {
    let nobody = bureau.nobody();
    let page = nobody.get("/docs/").await;
    let policy = page.headers["content-security-policy"].to_str().expect("text").to_owned();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("http"),
        "{policy}"
    );
    let html = page.expect(200).as_str().expect("a page").to_owned();
    assert!(!html.contains("://") && !html.contains("src=\"//"), "{html}");
    let named = html.split(['"', '\'']).filter(|text| text.ends_with(".js") || text.ends_with(".css"));
    let mut count = 0;
    for file in named {
        let file = nobody.get(&format!("/docs/{}", file.trim_start_matches("./"))).await;
        assert_eq!(file.status, 200);
        count += 1;
    }
    assert!(count >= 4, "{html}");
    let started = nobody.get("/docs/swagger-initializer.js").await.expect(200);
    let started = started.as_str().expect("a script");
    assert!(started.contains("/openapi.json") && !started.contains("http"), "{started}");
}
