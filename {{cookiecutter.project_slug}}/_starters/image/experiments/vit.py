"""A vision transformer that learnt without labels (DINOv2): it sees otherwise, which makes it a good blend partner."""

from kgl.image import Vision

experiment = Vision(
    model="vit_small_patch14_dinov2.lvd142m",
    image_size=224,
    augment="medium",
    epochs=12,
    batch_size=32,
    learning_rate=1e-4,
    layer_decay=0.7,  # transformers forget what they know unless their lower layers are held back
    head_scale=10.0,
    ema=0.995,
)
