//! The file of each secret: a `…_file` key beside the secret's own, or a credential of systemd.
//!
//! The source with the highest precedence wins, with either of the two keys. Only a file that wins is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use figment::value::{Dict, Value};

use super::error::ConfigError;
use super::file::{File, Layer};
use super::{environment, reference, secret_file};

/// A secret's file, and the key, variable or credential that names it.
struct NamedFile {
    path: PathBuf,
    source: String,
}

/// The secrets that stand in files.
#[derive(Default)]
pub(super) struct SecretFiles {
    /// By the secret's key.
    named: BTreeMap<String, NamedFile>,
    pub faults: Vec<ConfigError>,
}

/// The key that names the file of the secret `key`.
pub(super) fn file_key(key: &str) -> String {
    format!("{key}_file")
}

impl SecretFiles {
    /// Takes the `…_file` keys out of `layers`, which are in order of strength, the weakest first.
    pub fn take_from(layers: &mut [Layer], file: &File) -> SecretFiles {
        let mut found = SecretFiles::default();
        let keys = keys(layers);
        for layer in layers {
            for key in &keys {
                found.take(key, layer, file);
            }
        }
        found
    }

    fn take(&mut self, key: &str, layer: &mut Layer, file: &File) {
        let file_key = file_key(key);
        let segments: Vec<String> = file_key.split('.').map(str::to_owned).collect();
        let source = layer.variable().map_or_else(|| file.place(&segments), str::to_owned);
        let is_inline = find(&layer.values, key).is_some();
        let named = remove(&mut layer.values, &file_key);
        match named.as_ref().map(Value::as_str) {
            None if is_inline => drop(self.named.remove(key)),
            None => {}
            Some(_) if is_inline => self.faults.push(ConfigError {
                source,
                problem: format!("{key} is set beside it"),
                remedy: "leave one of the two".into(),
                key: file_key,
            }),
            Some(None) => self.faults.push(ConfigError {
                source,
                problem: "this is not a path".into(),
                remedy: "write the path of a file in quotes".into(),
                key: file_key,
            }),
            Some(Some(path)) => {
                drop(self.named.insert(key.to_owned(), NamedFile { path: path.into(), source }))
            }
        }
    }

    /// One layer for each file that can be read, and a fault for each other.
    pub fn read(&self) -> (Vec<Layer>, Vec<ConfigError>) {
        let mut layers = Vec::new();
        let mut faults = Vec::new();
        for (key, NamedFile { path, source }) in &self.named {
            match secret_file::read(path) {
                Ok(secret) => layers.push(environment::layer(source, key, Value::from(secret))),
                Err(problem) => faults.push(ConfigError {
                    key: file_key(key),
                    source: source.clone(),
                    problem,
                    remedy: format!("name a file that holds {key} on one line and that this user can read"),
                }),
            }
        }
        (layers, faults)
    }

    /// A warning for each file that every user of the machine can read.
    pub fn warnings(&self) -> Vec<ConfigError> {
        let public = self.named.iter().filter(|(_, named)| secret_file::is_public(&named.path));
        public.map(|(key, named)| public_file(file_key(key), named.source.clone(), &named.path)).collect()
    }

    /// The `…_file` keys, each with its path and source.
    pub fn rows(&self) -> impl Iterator<Item = (String, &Path, &str)> {
        self.named.iter().map(|(key, named)| (file_key(key), named.path.as_path(), named.source.as_str()))
    }
}

/// A warning about a file with secrets that every user of the machine can read.
pub(super) fn public_file(key: String, source: String, path: &Path) -> ConfigError {
    let shown = path.display();
    ConfigError {
        key,
        source,
        problem: format!("{shown} holds a secret, and every user of this machine can read it"),
        remedy: format!("chmod 600 {shown}, or 640 with a group that only vca is in"),
    }
}

/// The first secret that `values` hold, if any.
pub(super) fn first_in(values: &Dict) -> Option<String> {
    let fixed = reference::SECRETS.iter().map(|key| (*key).to_owned());
    fixed.chain(of_engines(values)).find(|key| find(values, key).is_some())
}

/// The keys of all secrets that `layers` may set: the fixed ones, and those of the engines that any layer names.
fn keys(layers: &[Layer]) -> BTreeSet<String> {
    let fixed = reference::SECRETS.iter().map(|key| (*key).to_owned());
    fixed.chain(layers.iter().flat_map(|layer| of_engines(&layer.values))).collect()
}

/// The key of each engine in `values`.
fn of_engines(values: &Dict) -> Vec<String> {
    let engines = values.get("engines").and_then(Value::as_dict);
    engines.into_iter().flat_map(Dict::keys).map(|name| format!("engines.{name}.key")).collect()
}

fn find<'a>(values: &'a Dict, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => values.get(key),
        Some((first, rest)) => find(values.get(first)?.as_dict()?, rest),
    }
}

fn remove(values: &mut Dict, key: &str) -> Option<Value> {
    match key.split_once('.') {
        None => values.remove(key),
        Some((first, rest)) => match values.get_mut(first)? {
            Value::Dict(_, inner) => remove(inner, rest),
            _ => None,
        },
    }
}
