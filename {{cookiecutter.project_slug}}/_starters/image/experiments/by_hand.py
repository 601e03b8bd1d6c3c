"""A ResNet written by hand, from scratch at 64 pixels: your own network (networks.py) in the seat of timm's."""

from kgl.image import Vision
from networks import SmallResNet

experiment = Vision(
    model=SmallResNet,
    params={"width": 24},
    weights="none",
    image_size=64,
    epochs=16,
    learning_rate=2e-3,
    label_smoothing=0.05,
    minutes=4,  # a fold; without a GPU thousands of pictures want more
)
