"""A pretrained network looks at each picture once, and a logistic regression learns: hard to beat for the minutes."""

from kgl.image import Embeddings

experiment = Embeddings(backbone="resnet18", image_size=224, head="logistic")
