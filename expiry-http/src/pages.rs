//! The pages and what they load, all from inside the binary: no request leaves for another host.

use std::fmt::Write;

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest, Sha256};

/// What pages may do: load from here, and nothing else. Markup cannot be made from text.
pub(crate) const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'",
);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("page/index.html")),
    ("/colours.css", CSS, include_str!("page/colours.css")),
    ("/app.css", CSS, include_str!("page/app.css")),
    ("/app.js", SCRIPT, include_str!("page/app.js")),
    ("/api.js", SCRIPT, include_str!("page/api.js")),
    ("/clock.js", SCRIPT, include_str!("page/clock.js")),
    ("/dom.js", SCRIPT, include_str!("page/dom.js")),
    ("/feed.js", SCRIPT, include_str!("page/feed.js")),
    ("/health.js", SCRIPT, include_str!("page/health.js")),
    ("/lag.js", SCRIPT, include_str!("page/lag.js")),
    ("/overview.js", SCRIPT, include_str!("page/overview.js")),
    ("/owed.js", SCRIPT, include_str!("page/owed.js")),
    ("/plots.js", SCRIPT, include_str!("page/plots.js")),
    ("/routers.js", SCRIPT, include_str!("page/routers.js")),
    ("/search.js", SCRIPT, include_str!("page/search.js")),
    ("/signin.js", SCRIPT, include_str!("page/signin.js")),
    ("/stream.js", SCRIPT, include_str!("page/stream.js")),
    ("/subscriber.js", SCRIPT, include_str!("page/subscriber.js")),
    ("/upcoming.js", SCRIPT, include_str!("page/upcoming.js")),
    ("/words.js", SCRIPT, include_str!("page/words.js")),
    ("/icon.svg", SVG, include_str!("page/icon.svg")),
    ("/docs", HTML, include_str!("docs_page/index.html")),
    ("/docs.css", CSS, include_str!("docs_page/docs.css")),
    ("/docs.js", SCRIPT, include_str!("docs_page/docs.js")),
];

/// Serves them. They hold no data, so they ask for no token.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let mut routes = Router::new();
    for (path, kind, text) in FILES {
        let tag = tag(text);
        let answer = async move |asked: HeaderMap| file(kind, text, &tag, &asked);
        routes = routes.route(path, get(answer));
    }
    routes
}

/// Another text has another one.
fn tag(text: &str) -> String {
    let mut tag = String::from("\"");
    for byte in Sha256::digest(text).iter().take(16) {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

fn file(kind: &'static str, text: &'static str, tag: &str, asked: &HeaderMap) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-cache"), (header::ETAG, tag)];
    if has(asked, tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, kind)], text).into_response()
}

/// Tells whether who asks has the text already. A proxy that compresses makes tags weak.
fn has(asked: &HeaderMap, tag: &str) -> bool {
    let values = asked.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    tags.any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_text_is_known_by_its_tag() {
        let tag = tag("a text");
        assert_ne!(tag, super::tag("another text"));
        for (given, expected) in [
            (tag.clone(), true),
            (format!("W/{tag}"), true),
            (format!("\"other\", {tag}"), true),
            ("*".into(), true),
            ("\"other\"".into(), false),
        ] {
            let mut asked = HeaderMap::new();
            let value = HeaderValue::from_str(&given).expect("a value");
            asked.insert(header::IF_NONE_MATCH, value);
            assert_eq!(has(&asked, &tag), expected, "{given}");
        }
        assert!(!has(&HeaderMap::new(), &tag));
    }

    #[test]
    fn the_page_names_all_that_its_scripts_load() {
        let page = include_str!("page/index.html");
        for (path, kind, _) in FILES {
            if *kind != HTML && !path.starts_with("/docs.") {
                assert!(page.contains(&format!("=\"{path}\"")), "{path}");
            }
        }
    }

    #[test]
    fn no_page_has_a_script_or_a_style_within_itself_or_loads_from_elsewhere() {
        for (path, kind, text) in FILES {
            assert!(!text.contains("https://"), "{path}");
            if *kind != HTML {
                continue;
            }
            for forbidden in [
                "<style",
                " style=",
                " onclick=",
                " onload=",
                " onerror=",
                "http:",
            ] {
                assert!(!text.contains(forbidden), "{path}: {forbidden}");
            }
            let scripts = text.matches("<script").count();
            assert_eq!(scripts, text.matches("<script src=").count(), "{path}");
        }
    }
}
