//! The adaptive predictor, the same in both bands: two poles and six zeros that follow the signal (sections 3.6,
//! 6.2.1.4 and 6.2.2.4; BLOCK 4L and 4H).

use std::array::from_fn;

/// The estimate of the next value, and the values that it is computed from. Arrays begin with the latest.
#[derive(Debug, Clone, Default)]
pub struct Predictor {
    /// AL1 and AL2, or AH1 and AH2.
    poles: [i16; 2],
    /// BL1 to BL6, or BH1 to BH6.
    zeros: [i16; 6],
    /// RLT1 and RLT2: the reconstructed signal.
    signals: [i16; 2],
    /// PLT1 and PLT2: the reconstructed signal without the poles' contribution.
    partials: [i16; 2],
    /// DLT1 to DLT6: quantised differences.
    differences: [i16; 6],
    /// SZL: the zeros' contribution to the estimate.
    from_zeros: i16,
    /// SL: the estimate, from poles and zeros together.
    estimate: i16,
}

impl Predictor {
    pub fn estimate(&self) -> i16 {
        self.estimate
    }

    /// Adapts to the difference between signal and estimate (DLT), and makes the next estimate.
    pub fn learn(&mut self, difference: i16) {
        let partial = difference.saturating_add(self.from_zeros);
        let signal = difference.saturating_add(self.estimate);
        self.move_poles(partial);
        self.move_zeros(difference);
        delay(&mut self.partials, partial);
        delay(&mut self.signals, signal);
        delay(&mut self.differences, difference);
        self.from_zeros = filter(&self.zeros, &self.differences);
        self.estimate = filter(&self.poles, &self.signals).saturating_add(self.from_zeros);
    }

    /// UPPOL2 and UPPOL1. The first pole's limit depends on the second pole's new value.
    fn move_poles(&mut self, partial: i16) {
        let [first, second] = self.poles;
        let agree = self.partials.map(|past| same_sign(partial, past));
        let lean = first.saturating_mul(4);
        let lean = if agree[0] { lean.saturating_neg() } else { lean } >> 7;
        let pull = lean + if agree[1] { 128 } else { -128 };
        let second = (pull + product(second, 32_512)).clamp(-12_288, 12_288);
        let pull = if agree[0] { 192 } else { -192 };
        let limit = 15_360 - second;
        self.poles = [(pull + product(first, 32_640)).clamp(-limit, limit), second];
    }

    /// UPZERO.
    fn move_zeros(&mut self, difference: i16) {
        let gain = if difference == 0 { 0 } else { 128 };
        for (zero, past) in self.zeros.iter_mut().zip(self.differences) {
            let pull = if same_sign(difference, past) { gain } else { -gain };
            *zero = product(*zero, 32_640).saturating_add(pull);
        }
    }
}

/// The product of two fractions of 2^15, rounded down: the `*` of section 6.2.
pub fn product(a: i16, b: i16) -> i16 {
    // Only -1 times -1 is out of range.
    ((i32::from(a) * i32::from(b)) >> 15).min(i16::MAX.into()) as i16
}

/// FILTEP and FILTEZ, beginning with the oldest: the result of saturating additions depends on their order.
fn filter<const N: usize>(coefficients: &[i16; N], past: &[i16; N]) -> i16 {
    let terms: [i16; N] = from_fn(|n| product(past[n].saturating_add(past[n]), coefficients[n]));
    terms.into_iter().rev().fold(0, i16::saturating_add)
}

/// DELAYA.
fn delay<const N: usize>(past: &mut [i16; N], latest: i16) {
    past.copy_within(..N - 1, 1);
    past[0] = latest;
}

/// Zero counts as positive.
fn same_sign(a: i16, b: i16) -> bool {
    (a ^ b) >= 0
}
