"""The networks that there are in PyTorch too, by the names of ours."""

from amsunet import AMSUnet
from attention_unet import AttentionUNet
from unet import ResUNet, UNet

NETWORKS = {"amsunet": AMSUnet, "unet": UNet, "res-unet": ResUNet, "attention-unet": AttentionUNet}
