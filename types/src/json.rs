//! Documents that the journal keeps as the JSON that people put: for `#[cbor(with = "crate::json")]`.
//!
//! A workflow's definition grows faster than integer keys can be handed out, and is read back by serde's rules: a field that is new has
//! a default, one that is gone refuses to be read.

use minicbor::{Decoder, Encoder};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes a value as a text of JSON.
pub fn encode<C, T: Serialize, W: minicbor::encode::Write>(
    value: &T,
    encoder: &mut Encoder<W>,
    _: &mut C,
) -> Result<(), minicbor::encode::Error<W::Error>> {
    let text = serde_json::to_string(value).map_err(minicbor::encode::Error::message)?;
    encoder.str(&text)?;
    Ok(())
}

/// Reads what [`encode`] wrote.
pub fn decode<C, T: DeserializeOwned>(decoder: &mut Decoder<'_>, _: &mut C) -> Result<T, minicbor::decode::Error> {
    serde_json::from_str(decoder.str()?).map_err(minicbor::decode::Error::message)
}
