"""ConvNeXt-Nano at 224 pixels: a modern network, fine-tuned gently. Wants a GPU; the single model to rely on."""

from kgl.image import Vision

experiment = Vision(
    model="convnext_nano.in12k_ft_in1k",
    params={"drop_path_rate": 0.1},
    image_size=224,
    augment="medium",
    epochs=15,
    batch_size=32,
    learning_rate=2e-4,
    layer_decay=0.8,
    head_scale=5.0,  # the last layer is new, the rest need only bend
    label_smoothing=0.05,
    ema=0.995,
)
