//! What a block holds of its sources, as it stands in columns.

use super::Value;
use crate::model::{SHARD_LABEL, Stream};

/// How much time one aggregate stands for; none for samples.
pub(super) fn resolution(stream: &Stream) -> Value {
    if stream.is_aggregate() {
        Value::Duration(stream.resolution)
    } else {
        Value::None
    }
}

/// External labels, without that of the shard.
pub(super) fn external_labels(stream: &Stream) -> Value {
    let labels = stream
        .labels
        .iter()
        .filter(|(name, _)| *name != SHARD_LABEL);
    Value::List(
        labels
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
    )
}

/// Which shard it is; none when it is whole.
pub(super) fn shard(stream: &Stream) -> Value {
    match stream.labels.get(SHARD_LABEL) {
        Some(shard) => Value::text(shard),
        None => Value::None,
    }
}
