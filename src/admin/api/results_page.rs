//! The page at `/results`: charts of the results of calls, drawn in the browser from the API's answers. Its files are in this
//! program, hold nothing of a tenant, and need no key; the page sends the key that is typed into it.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

/// Scripts, styles and requests of this origin, and nothing from elsewhere; an empty icon is a `data:` URL.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
    frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// A file of the page.
struct PageFile {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

static FILES: [PageFile; 6] = [
    PageFile { path: "/results/", kind: HTML, text: include_str!("results_page/index.html") },
    PageFile { path: "/results/page.css", kind: STYLE, text: include_str!("results_page/page.css") },
    PageFile { path: "/results/main.mjs", kind: SCRIPT, text: include_str!("results_page/main.mjs") },
    PageFile { path: "/results/page.mjs", kind: SCRIPT, text: include_str!("results_page/page.mjs") },
    PageFile { path: "/results/report.mjs", kind: SCRIPT, text: include_str!("results_page/report.mjs") },
    PageFile { path: "/results/charts.mjs", kind: SCRIPT, text: include_str!("results_page/charts.mjs") },
];

impl PageFile {
    fn response(&self) -> Response {
        let headers: [(HeaderName, HeaderValue); 3] = [
            (header::CONTENT_TYPE, HeaderValue::from_static(self.kind)),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        (headers, self.text).into_response()
    }
}

/// The page and its files.
pub fn pages<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let router = Router::new().route("/results", get(|| async { Redirect::permanent("/results/") }));
    FILES
        .iter()
        .fold(router, |router, file| router.route(file.path, get(move || async move { file.response() })))
}
