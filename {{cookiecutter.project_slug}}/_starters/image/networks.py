"""Yours: networks written by hand. This file imports torch alone, so that saved runs predict without the workspace.

A network is an `nn.Module` that is made with `num_classes`, `in_chans` and the experiment's `params`. It gets pictures
(n, in_chans, size, size) between -1 and 1 and gives (n, num_classes) numbers, whose softmax are probabilities.
"""

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """Two convolutions and a way around them, at half the height and width: the residual block of 2015."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.way = nn.Sequential(
            nn.Conv2d(inside, outside, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(),
            nn.Conv2d(outside, outside, 3, padding=1, bias=False),
            nn.BatchNorm2d(outside),
        )
        self.around = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(inside, outside, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inside, h, w) to (n, outside, h/2, w/2)."""
        return torch.relu(self.way(x) + self.around(x))


class SmallResNet(nn.Module):
    """A first convolution, three blocks, the mean over the picture, and a linear layer."""

    def __init__(self, num_classes: int, in_chans: int, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_chans, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.blocks = nn.Sequential(Block(width, 2 * width), Block(2 * width, 4 * width), Block(4 * width, 8 * width))
        self.head = nn.Linear(8 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_chans, size, size) to (n, num_classes)."""
        scores: Tensor = self.head(self.blocks(self.stem(x)).mean(dim=(2, 3)))
        return scores
