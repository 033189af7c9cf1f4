//! Attention between all tokens.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, Tensor};

use crate::blocks::{Linear, LinearConfig};

/// Configuration of [`Attention`].
#[derive(Config, Debug)]
pub struct AttentionConfig {
    /// The channels of a token, a multiple of the heads.
    pub hidden: usize,
    /// The number of heads.
    pub heads: usize,
}

/// `out(v softmax(q^T k / sqrt(d))^T)` for each head of `d` channels, with linear maps `q`, `k` and
/// `v` of the tokens.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[hidden, hidden]`
    pub query: Linear,
    /// `[hidden, hidden]`
    pub key: Linear,
    /// `[hidden, hidden]`
    pub value: Linear,
    /// `[hidden, hidden]`
    pub out: Linear,
    /// The number of heads.
    pub heads: usize,
}

impl AttentionConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Attention {
        let linear = || LinearConfig::new(self.hidden, self.hidden).init(device);
        Attention { query: linear(), key: linear(), value: linear(), out: linear(), heads: self.heads }
    }
}

impl Attention {
    /// Returns the factor of the scores.
    pub fn scale(&self) -> f64 {
        let [hidden, _] = self.query.weight.dims();
        1.0 / ((hidden / self.heads) as f64).sqrt()
    }

    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, hidden, h, w]`, a token for each pixel
    /// - output: `[n, hidden, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let ([n, hidden, h, w], dtype) = (x.dims(), x.dtype());
        // Sums over all tokens are computed in float32.
        let [query, key, value] = [&self.query, &self.key, &self.value].map(|linear| {
            linear.forward(x.clone()).cast(DType::F32).reshape([n, self.heads, hidden / self.heads, h * w])
        });
        let scores = query.swap_dims(2, 3).matmul(key).mul_scalar(self.scale());
        let shares = softmax(scores, 3);
        let mixed = shares.matmul(value.swap_dims(2, 3)).swap_dims(2, 3);
        self.out.forward(mixed.reshape([n, hidden, h, w]).cast(dtype))
    }
}
