"""The networks in PyTorch, by the names of ours."""

from amsunet import AMSUnet
from attention_unet import AttentionUNet
from conv_unext import ConvUNext
from res_unet_canonical import ResUNetCanonical
from seg_next import SegNext
from trans_unet import TransUNet
from unet import ResUNet, UNet
from unet_plus_plus import UNetPlusPlus
from unext import UNext

NETWORKS = {
    "amsunet": AMSUnet,
    "unet": UNet,
    "unet-plus-plus": UNetPlusPlus,
    "attention-unet": AttentionUNet,
    "res-unet": ResUNet,
    "res-unet-canonical": ResUNetCanonical,
    "conv-unext": ConvUNext,
    "unext": UNext,
    "seg-next": SegNext,
    "trans-unet": TransUNet,
}
