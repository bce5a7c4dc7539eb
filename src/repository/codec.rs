//! How objects are encoded.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// How an object that a manifest names is encoded. In manifests it is a word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectCodec {
    /// It holds some files of a block, as [`ObjectCodec::Portable`], and says how the others are
    /// rebuilt from packs.
    Dense,
    /// It is a pack: samples of a block as columns, and no file.
    Pack,
    /// It holds files, all of them whole; see [`super::portable`].
    Portable,
    /// Something that a newer narthex knows, by its word.
    Unknown(String),
}

impl ObjectCodec {
    /// Its word in manifests.
    pub fn as_str(&self) -> &str {
        match self {
            ObjectCodec::Dense => "dense",
            ObjectCodec::Pack => "pack",
            ObjectCodec::Portable => "portable",
            ObjectCodec::Unknown(word) => word,
        }
    }

    /// Whether objects in it are tar streams in frames, with files in them.
    pub fn holds_files(&self) -> bool {
        match self {
            ObjectCodec::Dense | ObjectCodec::Portable => true,
            ObjectCodec::Pack | ObjectCodec::Unknown(_) => false,
        }
    }

    /// Checks that objects in it are packs.
    ///
    /// # Errors
    ///
    /// `Unsupported` when they are not.
    pub fn expect_pack(&self) -> Result<()> {
        match self {
            ObjectCodec::Pack => Ok(()),
            ObjectCodec::Dense | ObjectCodec::Portable | ObjectCodec::Unknown(_) => {
                Err(Error::unsupported(format!(
                    "expected codec pack, found {:?}: use a newer narthex",
                    self.as_str()
                )))
            }
        }
    }

    /// Checks that objects in it hold files.
    ///
    /// # Errors
    ///
    /// `Unsupported` when they do not.
    pub fn expect_files(&self) -> Result<()> {
        if self.holds_files() {
            return Ok(());
        }
        Err(Error::unsupported(format!(
            "expected codec portable or dense, found {:?}: use a newer narthex",
            self.as_str()
        )))
    }
}

impl fmt::Display for ObjectCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Cow<'_, str>> for ObjectCodec {
    fn from(word: Cow<'_, str>) -> Self {
        match &*word {
            "dense" => ObjectCodec::Dense,
            "pack" => ObjectCodec::Pack,
            "portable" => ObjectCodec::Portable,
            _ => ObjectCodec::Unknown(word.into_owned()),
        }
    }
}

impl Serialize for ObjectCodec {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ObjectCodec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer).map(ObjectCodec::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_comes_back_from_its_word_and_others_keep_theirs() {
        for (word, codec) in [
            ("dense", ObjectCodec::Dense),
            ("pack", ObjectCodec::Pack),
            ("portable", ObjectCodec::Portable),
            ("denser", ObjectCodec::Unknown("denser".to_owned())),
        ] {
            let json = format!("\"{word}\"");
            assert_eq!(serde_json::to_string(&codec).unwrap(), json);
            assert_eq!(serde_json::from_str::<ObjectCodec>(&json).unwrap(), codec);
            assert_eq!(codec.expect_pack().is_ok(), word == "pack");
            assert_eq!(
                codec.expect_files().is_ok(),
                ["dense", "portable"].contains(&word)
            );
        }
    }
}
