//! Networks that take other sizes than a U shape does, and their blocks.

use std::collections::BTreeMap;

use burn::tensor::Device;
use seg_nets::blocks::{GroupNorm, GroupNormConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use seg_nets::conv_unext::{self, ConvUNextConfig};
use seg_nets::network::NetworkConfig;
use seg_nets::parameters::Parameters;
use seg_nets::seg_next::{self, SegNextConfig};
use seg_nets::trans_unet::TransUNetConfig;
use seg_nets::unext::{self, UNextConfig};
use seg_nets::weights::Weights;

use super::{Block, compare_stages, network, variants};

/// Returns the blocks.
pub(super) fn blocks() -> Vec<Block> {
    let device = &Device::flex();
    vec![
        Block::new("linear", 4, LinearConfig::new(4, 6).init(device), Linear::forward),
        Block::new("layer_norm", 4, LayerNormConfig::new(4).init(device), LayerNorm::forward),
        Block::new("group_norm", 6, GroupNormConfig::new(3, 6, 1e-5).init(device), GroupNorm::forward),
        Block::new("conv_unext block", 4, conv_unext::BlockConfig::new(4).init(device), conv_unext::Block::forward),
        Block::new("conv_unext stem", 3, conv_unext::StemConfig::new(3, 4).init(device), conv_unext::Stem::forward),
        Block::new("conv_unext down", 4, conv_unext::DownConfig::new(4, 6, 2).init(device), conv_unext::Down::forward),
        Block::up("conv_unext up", conv_unext::UpConfig::new(8, 4).init(device), 4, conv_unext::Up::forward),
        Block::new("shifted block", 7, unext::ShiftedBlockConfig::new(7).init(device), unext::ShiftedBlock::forward),
        Block::new("unext encoder", 4, unext::EncoderConfig::new(4, 6).init(device), unext::Encoder::forward),
        Block::new("token encoder", 4, unext::TokenEncoderConfig::new(4, 6).init(device), unext::TokenEncoder::forward),
        Block::up("unext decoder", unext::DecoderConfig::new(4, 4).init(device), 4, unext::Decoder::forward),
        Block::up("token decoder", unext::TokenDecoderConfig::new(4, 4).init(device), 4, unext::TokenDecoder::forward),
        Block::new("msca", 4, seg_next::AttentionConfig::new(4).init(device), seg_next::Attention::forward),
        Block::new("seg_next block", 4, seg_next::BlockConfig::new(4, 2).init(device), seg_next::Block::forward),
        Block::new("seg_next stem", 3, seg_next::StemConfig::new(3, 4).init(device), seg_next::Stem::forward),
        Block::new("embed", 4, seg_next::EmbedConfig::new(4, 6).init(device), seg_next::Embed::forward),
        Block::new("conv_norm", 4, seg_next::ConvNormConfig::new(4, 64).init(device), seg_next::ConvNorm::forward),
    ]
}

/// Makes a small configuration.
fn seg_next() -> SegNextConfig {
    SegNextConfig {
        widths: [4, 6, 8, 10],
        depths: [1, 2, 1, 1],
        ham_channels: 32,
        head_channels: 32,
        rank: 4,
        ..SegNextConfig::new()
    }
}

#[test]
fn each_network_is_its_graph_at_the_sizes_that_it_takes() {
    let rows: [(NetworkConfig, &[[usize; 2]]); 3] = [
        (ConvUNextConfig::new().with_base_width(2).into(), &[[64, 80], [65, 79]]),
        (UNextConfig::new().with_widths([3, 4, 6, 7, 11]).into(), &[[32, 64], [96, 32]]),
        (seg_next().into(), &[[32, 48], [41, 53]]),
    ];
    for (config, sizes) in rows {
        let (net, graph) = network(config.clone());
        for (variant, graph) in variants(graph) {
            for &size in sizes {
                assert!(config.sides().fit(size));
                compare_stages(&net, &graph, size)
                    .unwrap_or_else(|difference| panic!("{config}, {variant}, {size:?}: {difference}"));
            }
        }
    }
}

#[test]
fn the_graph_holds_every_parameter_as_it_was_learned() {
    let trans_unet = TransUNetConfig {
        side: 32,
        width: 32,
        units: [1; 3],
        hidden: 24,
        layers: 1,
        mlp: 20,
        more: 6,
        decoder: [5, 4, 3, 2],
        ..TransUNetConfig::new()
    };
    let configs: [NetworkConfig; 4] = [
        ConvUNextConfig::new().with_base_width(2).into(),
        UNextConfig::new().with_widths([3, 4, 6, 7, 11]).into(),
        seg_next().into(),
        trans_unet.into(),
    ];
    for config in configs {
        let (net, graph) = network(config.clone());
        let published = net.published().name;
        let held: BTreeMap<_, _> =
            graph.initializers.iter().filter_map(|(path, values)| Some((published(path)?, values))).collect();
        let weights = Weights::from_network(&net);
        assert!(held.keys().eq(weights.tensors().keys()), "{config}: the graph holds others");
        for (name, learned) in weights.tensors() {
            assert_eq!(held[name].shape(), learned.shape(), "{config}: {name}");
            assert!(held[name].as_f32().unwrap().iter().eq(learned.iter()), "{config}: {name}");
        }
    }
}
