//! Per-parameter base scores of saliency (method §2), which every engine computes in one pass.

/// What is summed over the parameters of a group: `w` weight, `g` = ∂L/∂w, `F` Fisher diagonal. [`ElementScore::Adam`] reads
/// the optimiser's moments m and v in the places of g and F.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElementScore {
    /// `w²`
    MagnitudeL2,
    /// `|w·g|`
    Taylor1,
    /// `|w·g − ½ w² F|`
    TaylorMix,
    /// `|w|`
    MagnitudeL1,
    /// `w² F`
    Taylor2,
    /// `w·g`, with its sign
    Signed,
    /// `|w·m| / (√v + ε)`, ε = 1e-8
    Adam,
}

impl ElementScore {
    pub const ALL: [ElementScore; 7] = [
        ElementScore::MagnitudeL2,
        ElementScore::Taylor1,
        ElementScore::TaylorMix,
        ElementScore::MagnitudeL1,
        ElementScore::Taylor2,
        ElementScore::Signed,
        ElementScore::Adam,
    ];

    /// ε of [`ElementScore::Adam`].
    pub const EPSILON: f64 = 1e-8;

    /// Number by which kernels know it.
    pub fn code(self) -> u32 {
        self as u32
    }

    /// Whether g (or m) is read.
    pub fn reads_gradient(self) -> bool {
        use ElementScore::{Adam, Signed, Taylor1, TaylorMix};
        matches!(self, Taylor1 | TaylorMix | Signed | Adam)
    }

    /// Whether F (or v) is read.
    pub fn reads_fisher(self) -> bool {
        matches!(self, ElementScore::TaylorMix | ElementScore::Taylor2 | ElementScore::Adam)
    }

    /// The score in f64, for checks and for what has no kernel.
    pub fn of(self, w: f64, g: f64, f: f64) -> f64 {
        match self {
            ElementScore::MagnitudeL2 => w * w,
            ElementScore::Taylor1 => (w * g).abs(),
            ElementScore::TaylorMix => (w * g - 0.5 * (w * w) * f).abs(),
            ElementScore::MagnitudeL1 => w.abs(),
            ElementScore::Taylor2 => w * w * f,
            ElementScore::Signed => w * g,
            ElementScore::Adam => (w * g).abs() / (f.sqrt() + Self::EPSILON),
        }
    }

    /// Floating-point operations per parameter, the two sums (row and column) included.
    pub fn flops(self) -> u64 {
        match self {
            ElementScore::MagnitudeL1 => 3,
            ElementScore::MagnitudeL2 | ElementScore::Signed => 3,
            ElementScore::Taylor1 | ElementScore::Taylor2 => 4,
            ElementScore::Adam => 6,
            ElementScore::TaylorMix => 8,
        }
    }
}
