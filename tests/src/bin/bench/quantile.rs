//! Exact quantiles of some thousands of values.

/// Values, all kept.
#[derive(Debug, Default)]
pub struct Quantiles {
    values: Vec<f64>,
}

impl Quantiles {
    /// Keeps one.
    pub fn add(&mut self, value: f64) {
        self.values.push(value);
    }

    /// The value that `share` (0 to 1) of all do not exceed; zero where there is none.
    pub fn at(&mut self, share: f64) -> f64 {
        self.values.sort_by(f64::total_cmp);
        let rank = (share * self.values.len() as f64).ceil() as usize;
        self.values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Half, 99 of 100, and all do not exceed these.
    pub fn summary(&mut self) -> (f64, f64, f64) {
        (self.at(0.5), self.at(0.99), self.at(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let mut quantiles = Quantiles::default();
        assert_eq!(quantiles.summary(), (0.0, 0.0, 0.0));
        for value in (1..=200).rev() {
            quantiles.add(f64::from(value));
        }
        assert_eq!(quantiles.summary(), (100.0, 198.0, 200.0));
    }
}
