//! Write-ahead logs: segments, pages, records, checkpoints.
