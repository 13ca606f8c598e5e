//! The ADPCM of each band: quantisers, their inverses and their scales (section 6.2, BLOCK 1 to 3 and 5).

use super::predictor::{Predictor, product};
use super::tables::{ILB, Q2, Q6, QQ2, QQ4, QQ6, WH, WL};

/// 0 to 4 kHz, in six bits.
#[derive(Debug, Clone)]
pub struct LowerBand {
    predictor: Predictor,
    scale: Scale,
}

impl Default for LowerBand {
    fn default() -> Self {
        LowerBand { predictor: Predictor::default(), scale: Scale::new(8, 18_432) }
    }
}

impl LowerBand {
    /// SUBTRA and QUANTL.
    pub fn encode(&mut self, sample: i16) -> u8 {
        let difference = sample.saturating_sub(self.predictor.estimate());
        let size = magnitude(difference);
        let interval = Q6.partition_point(|end| self.scale.of(*end) <= size);
        let code = lower_code(difference < 0, interval as u8);
        self.learn(code);
        code
    }

    /// INVQBL and RECONS, by all six bits.
    pub fn decode(&mut self, code: u8) -> i16 {
        let (negative, interval) = lower_interval(code);
        let difference = self.scale.of(signed(QQ6[interval], negative));
        let sample = self.predictor.estimate().saturating_add(difference);
        self.learn(code);
        sample
    }

    /// INVQAL: encoder and decoder adapt by the upper four bits only, so the network may replace the other two
    /// (data in mode 2 and 3).
    fn learn(&mut self, code: u8) {
        let (negative, interval) = coarse_interval(code >> 2);
        let difference = self.scale.of(signed(QQ4[interval], negative));
        self.scale.follow(WL[interval]);
        self.predictor.learn(difference);
    }
}

/// 4 to 8 kHz, in two bits.
#[derive(Debug, Clone)]
pub struct HigherBand {
    predictor: Predictor,
    scale: Scale,
}

impl Default for HigherBand {
    fn default() -> Self {
        HigherBand { predictor: Predictor::default(), scale: Scale::new(10, 22_528) }
    }
}

impl HigherBand {
    /// SUBTRA and QUANTH, with the codewords of Table 20/G.722.
    pub fn encode(&mut self, sample: i16) -> u8 {
        let difference = sample.saturating_sub(self.predictor.estimate());
        let outer = self.scale.of(Q2) <= magnitude(difference);
        let code = if difference < 0 { 1 } else { 3 } - u8::from(outer);
        self.learn(code);
        code
    }

    /// RECONS.
    pub fn decode(&mut self, code: u8) -> i16 {
        let estimate = self.predictor.estimate();
        estimate.saturating_add(self.learn(code))
    }

    /// INVQAH. Returns the difference that the codeword represents.
    fn learn(&mut self, code: u8) -> i16 {
        let (negative, interval) = (code < 2, usize::from(code & 1 == 0));
        let difference = self.scale.of(signed(QQ2[interval], negative));
        self.scale.follow(WH[interval]);
        self.predictor.learn(difference);
        difference
    }
}

/// The step size of a quantiser: it grows with loud differences and shrinks with soft ones.
#[derive(Debug, Clone)]
struct Scale {
    /// NBL or NBH: its logarithm to base 2, times 2^11.
    log: i16,
    max_log: i16,
    /// The whole part of the logarithm that means a factor of one.
    unit: i16,
    /// DETL or DETH: the scale itself.
    linear: i16,
}

impl Scale {
    fn new(unit: i16, max_log: i16) -> Scale {
        Scale { log: 0, max_log, unit, linear: linear(0, unit) }
    }

    /// A quantiser's constant at this scale.
    fn of(&self, constant: i16) -> i16 {
        product(constant << 3, self.linear)
    }

    /// LOGSCL and SCALEL (method 2), or LOGSCH and SCALEH.
    fn follow(&mut self, weight: i16) {
        self.log = (product(self.log, 32_512) + weight).clamp(0, self.max_log);
        self.linear = linear(self.log, self.unit);
    }
}

fn linear(log: i16, unit: i16) -> i16 {
    let mantissa = ILB[usize::from((log >> 6) as u16 & 31)];
    match unit - (log >> 11) {
        right @ 0.. => (mantissa >> right) << 2,
        left => mantissa << (2 - left),
    }
}

/// Table 16/G.722: the codeword of an interval, counted from 0.
fn lower_code(negative: bool, interval: u8) -> u8 {
    match (negative, interval) {
        (false, _) => 61 - interval,
        (true, 0 | 1) => 63 - interval,
        (true, _) => 33 - interval,
    }
}

/// Table 18/G.722: sign and interval of a codeword. No encoder sends 0 to 3; a corrupted payload may contain them.
fn lower_interval(code: u8) -> (bool, usize) {
    let (negative, interval) = match code & 0x3F {
        0..4 => (true, 0),
        code @ 4..32 => (true, 33 - code),
        code @ 32..62 => (false, 61 - code),
        code => (true, 63 - code),
    };
    (negative, interval.into())
}

/// Table 17/G.722: the same by the upper four bits.
fn coarse_interval(code: u8) -> (bool, usize) {
    let (negative, interval) = match code & 0x0F {
        0 | 15 => (false, 0),
        code @ 1..8 => (true, 8 - code),
        code => (false, 15 - code),
    };
    (negative, interval.into())
}

/// The absolute value, or for negative values one less.
fn magnitude(value: i16) -> i16 {
    if value < 0 { !value } else { value }
}

fn signed(value: i16, negative: bool) -> i16 {
    if negative { -value } else { value }
}
