"""Make torch_lenet5.npz and torch_lenet5.safetensors with PyTorch, which no test needs.

python -m pip install torch==2.13.0 safetensors numpy
python tests/goldens/make_torch_lenet5.py

The last feature maps are 2x3 pixels in 4 channels, so that every wrong order of them shows.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

FOLDER = Path(__file__).parent
VARIANTS = {
    "relu_max": (nn.ReLU, nn.MaxPool2d),
    "tanh_avg": (nn.Tanh, nn.AvgPool2d),
    "sigmoid_avg": (nn.Sigmoid, nn.AvgPool2d),
}


class LeNet5(nn.Module):
    """LeNet5 as a user of PyTorch writes it."""

    def __init__(self, activation, pooling):
        super().__init__()
        self.activation, self.pooling = activation(), pooling(2)
        self.conv1 = nn.Conv2d(2, 3, 5)
        self.conv2 = nn.Conv2d(3, 4, 5)
        self.fc1 = nn.Linear(2 * 3 * 4, 6)
        self.fc2 = nn.Linear(6, 5)

    def forward(self, images):
        x = self.pooling(self.activation(self.conv1(images)))
        x = self.pooling(self.activation(self.conv2(x)))
        return self.fc2(self.activation(self.fc1(x.flatten(1))))


def main():
    torch.manual_seed(0)
    state_dict = LeNet5(*VARIANTS["relu_max"]).state_dict()
    images = torch.randn(5, 2, 20, 24)
    logits = {}
    for name, layers in VARIANTS.items():
        network = LeNet5(*layers)
        network.load_state_dict(state_dict)
        with torch.no_grad():
            logits[name] = network(images).numpy()
            logits[f"{name}_float64"] = network.double()(images.double()).numpy()
    save_file(state_dict, FOLDER / "torch_lenet5.safetensors")
    np.savez(FOLDER / "torch_lenet5.npz", images=images.permute(0, 2, 3, 1).numpy(), **logits)


if __name__ == "__main__":
    main()
