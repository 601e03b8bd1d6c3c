"""A small network from scratch at 32 pixels: does everything run? It needs no GPU and no weights, and sees little."""

from kgl.image import Vision
from networks import SmallResNet

experiment = Vision(
    model=SmallResNet,
    params={"width": 16},
    weights="none",
    image_size=32,
    mirror="none",  # right for digits and letters; most photographs may be mirrored
    epochs=10,
    learning_rate=2e-3,
    minutes=3,  # a fold
)
