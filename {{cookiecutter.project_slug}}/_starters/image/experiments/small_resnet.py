"""ResNet-18 at 96 pixels, from ImageNet: the first network that you train, small enough to try ten ideas a day."""

from kgl.image import Vision

experiment = Vision(
    model="resnet18",
    image_size=96,
    augment="medium",
    epochs=12,
    batch_size=32,
    learning_rate=8e-4,
)
