//! The database as a command finds it.

use crate::store::{Settings, Store, StoreError};

/// Opens the database. A command that looks at a missing SQLite file does not create it.
pub async fn open(settings: &Settings) -> Result<Store, StoreError> {
    if settings.file().is_some_and(|path| !path.exists()) {
        let what = format!("there is no {} yet: `vca migrate` creates it", settings.location());
        return Err(StoreError::Unavailable { what });
    }
    let store = Store::open(settings).await?;
    store.ping().await?;
    Ok(store)
}
