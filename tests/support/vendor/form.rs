//! Forms of `multipart/form-data` (RFC 7578).

use axum::http::HeaderMap;

/// Its fields, in their order.
pub struct Form(pub Vec<(String, Vec<u8>)>);

impl Form {
    pub fn read(headers: &HeaderMap, body: &[u8]) -> Form {
        let content_type =
            headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary =
            content_type.split_once("boundary=").map(|(_, it)| it.trim_matches('"')).unwrap_or_default();
        let delimiter = format!("\r\n--{boundary}");
        let whole = [b"\r\n", body].concat();
        let parts = split(&whole, delimiter.as_bytes()).into_iter().skip(1);
        Form(parts.filter_map(field).collect())
    }

    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_slice())
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.field(name).and_then(|value| std::str::from_utf8(value).ok())
    }
}

fn split<'a>(whole: &'a [u8], delimiter: &[u8]) -> Vec<&'a [u8]> {
    let (mut rest, mut parts) = (whole, Vec::new());
    while let Some(at) = rest.windows(delimiter.len()).position(|window| window == delimiter) {
        parts.push(&rest[..at]);
        rest = &rest[at + delimiter.len()..];
    }
    parts.push(rest);
    parts
}

/// Name and value of a part. The one behind the last delimiter is none.
fn field(part: &[u8]) -> Option<(String, Vec<u8>)> {
    let end = part.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&part[..end]);
    let name = head.split_once("; name=\"")?.1.split('"').next()?;
    Some((name.to_owned(), part[end + 4..].to_vec()))
}
