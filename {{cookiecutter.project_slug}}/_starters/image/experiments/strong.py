"""ConvNeXt-Small at 384 pixels, with strong augmentation, mixing, averaged weights and two seeds: the long training."""

from kgl.image import Vision

experiment = Vision(
    model="convnext_small.in12k_ft_in1k_384",
    params={"drop_path_rate": 0.3},
    image_size=384,
    augment="strong",
    mixup=0.2,
    cutmix=1.0,  # each step draws one of the two
    epochs=20,
    batch_size=16,
    accumulate=2,
    learning_rate=1e-4,
    layer_decay=0.8,
    head_scale=5.0,
    label_smoothing=0.1,
    ema=0.998,
    seeds=(0, 1),
)
