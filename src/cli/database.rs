//! The database as a command finds it.

use std::path::Path;

use secrecy::ExposeSecret;

use crate::store::{Settings, Store, StoreError};

/// Opens the database. A file that is not there is not made by looking at it.
pub async fn open(settings: &Settings) -> Result<Store, StoreError> {
    if let Some(path) = file(settings.url.expose_secret()).filter(|path| !Path::new(path).exists()) {
        let what = format!("there is no {path} yet: `vca migrate` makes it");
        return Err(StoreError::Unavailable { what });
    }
    let store = Store::open(settings).await?;
    store.ping().await?;
    Ok(store)
}

/// The database as messages name it: an SQLite file by its whole path, so that it shows which one it is.
pub fn name(settings: &Settings) -> String {
    let path =
        file(settings.url.expose_secret()).map(|path| std::path::absolute(path).unwrap_or(path.into()));
    path.map_or_else(|| "the database".to_owned(), |path| path.display().to_string())
}

/// The file of an SQLite URL; nothing where the URL would have to be decoded to know it.
pub fn file(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("sqlite:")?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    (!path.is_empty() && path != ":memory:" && !path.contains('%')).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_url_is_known() {
        assert_eq!(file("sqlite:vca.db"), Some("vca.db"));
        assert_eq!(file("sqlite:///var/lib/vca/vca.db?mode=ro"), Some("/var/lib/vca/vca.db"));
        for url in ["sqlite::memory:", "sqlite:", "sqlite:a%20b.db", "postgres://localhost/vca"] {
            assert_eq!(file(url), None, "{url}");
        }
    }
}
