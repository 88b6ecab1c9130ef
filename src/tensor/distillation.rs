//! The loss of a model that learns from another's predictions.
//!
//! ```text
//! p = softmax(t/T)  q = softmax(z/T)  over the tokens K that are compared      t: teacher's logits, z: ours
//! loss_n = (1 − w)·(log Σ_v exp z_nv − z_n,target) + w·T²·Σ_{v ∈ K} p_v (log p_v − log q_v)
//! dz     = scale · [ (1 − w)·(softmax(z) − onehot(target)) + w·T·(q − p) ]      the last term on K alone
//! ```
//!
//! Hinton, Vinyals & Dean 2015 (arXiv:1503.02531); T² keeps the two gradients of one size. K is the whole vocabulary, or
//! the `top_k` tokens that the teacher finds likeliest, with those that tie with the last of them; both distributions are
//! then of K alone.

/// Weight, temperature and tokens of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distillation {
    /// w, more than 0 and at most 1
    pub weight: f64,
    /// T, more than 0
    pub temperature: f64,
    /// Tokens that are compared; 0: all.
    pub top_k: usize,
}

impl Distillation {
    /// How many of `vocab` tokens are compared, ties aside.
    pub fn compared(&self, vocab: usize) -> usize {
        if self.top_k == 0 { vocab } else { self.top_k.min(vocab) }
    }
}

/// A teacher's last hidden states and its head.
#[derive(Clone, Copy)]
pub struct TeacherHead<'a, T> {
    /// N × its hidden width
    pub hidden: &'a T,
    /// V × its hidden width
    pub head: &'a T,
}
