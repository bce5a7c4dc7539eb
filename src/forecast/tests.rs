//! Forecasts of generated histories.
