//! The engines that are asked when another one of their kind has failed, in order.

use serde::{Deserialize, Deserializer};

/// The names of engines, the first choice first. The configuration has one name or a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fallbacks(Vec<String>);

impl Fallbacks {
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.names().any(|it| it == name)
    }
}

impl<const N: usize> From<[&str; N]> for Fallbacks {
    fn from(names: [&str; N]) -> Fallbacks {
        Fallbacks(names.map(str::to_owned).into())
    }
}

impl<'de> Deserialize<'de> for Fallbacks {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Fallbacks, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "the name of an engine, or a list of names")]
        enum Given {
            One(String),
            Several(Vec<String>),
        }
        Ok(Fallbacks(match Given::deserialize(from)? {
            Given::One(name) => vec![name],
            Given::Several(names) => names,
        }))
    }
}
