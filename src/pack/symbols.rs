//! Many strings in little memory.

/// Strings by their number.
#[derive(Clone, Debug, Default)]
pub(super) struct SymbolTable {
    text: Vec<u8>,
    /// Where each string ends.
    ends: Vec<u32>,
}

impl SymbolTable {
    /// Appends a string; `None` when there is no room for its text.
    pub(super) fn push(&mut self, symbol: &[u8]) -> Option<()> {
        let end = u32::try_from(self.text.len() + symbol.len()).ok()?;
        self.text.extend_from_slice(symbol);
        self.ends.push(end);
        Some(())
    }

    /// Number of strings.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The strings in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let end = *end as usize;
            let symbol = self.text.get(start..end).unwrap_or_default();
            start = end;
            symbol
        })
    }

    /// Bytes that the strings have together.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }
}
