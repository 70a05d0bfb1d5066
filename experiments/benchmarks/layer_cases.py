"""Single layers to try and to time: convolutions of every kind that networks have, and pools."""

from typing import Any, NamedTuple

Sizes = tuple[int, ...]


class ConvCase(NamedTuple):
    """A convolution, channels last."""

    name: str
    sizes: Sizes  # of the images
    kernel: Sizes
    channels: tuple[int, int]  # in, out
    stride: int = 1
    image_dilation: int = 1  # above 1: transposed
    kernel_dilation: int = 1
    groups: int = 1

    def shapes(self, batch: int) -> tuple[Sizes, Sizes]:
        """Return the shapes of lhs and rhs for so many images."""
        lhs = (batch, *self.sizes, self.channels[0])
        return lhs, (*self.kernel, self.channels[0] // self.groups, self.channels[1])

    def options(self) -> dict[str, Any]:
        """Return the arguments after lhs and rhs."""
        spatial = "DHW"[-len(self.sizes) :]
        count = len(self.sizes)
        # A transposed convolution gives image_dilation times as many places.
        pads = [(k - 1, self.image_dilation - 1) for k in self.kernel]
        return {
            "window_strides": (self.stride,) * count,
            "padding": "SAME" if self.image_dilation == 1 else pads,
            "lhs_dilation": (self.image_dilation,) * count,
            "rhs_dilation": (self.kernel_dilation,) * count,
            "dimension_numbers": (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
            "feature_group_count": self.groups,
        }


def _plain() -> list[ConvCase]:
    places = [(32, (1, 20)), (14, (20, 20)), (28, (64, 64))]
    cases = [
        ConvCase(f"{k}x{k} s{s} {c}->{o} @{n}", (n, n), (k, k), (c, o), s)
        for n, (c, o) in places
        for k in (1, 3, 5, 7)
        for s in (1, 2)
    ]
    cases += [
        ConvCase(f"{k}x{k} s{s} 3->32 @64", (64, 64), (k, k), (3, 32), s)
        for k in (3, 7)
        for s in (1, 2)
    ]
    return cases + [
        ConvCase(f"{k}x{k} s1 {c}->{c} @{n}", (n, n), (k, k), (c, c))
        for n, c in ((14, 128), (7, 256))
        for k in (1, 3)
    ]


def _others() -> list[ConvCase]:
    dilated = [
        ConvCase(f"{k}x{k} dilation {d} 32->32 @28", (28, 28), (k, k), (32, 32), kernel_dilation=d)
        for k, d in ((3, 2), (5, 2), (7, 2), (3, 4))
    ]
    grouped = [
        ConvCase(f"{k}x{k} s{s} {g} groups 64->64 @28", (28, 28), (k, k), (64, 64), s, groups=g)
        for k, s, g in ((1, 1, 4), (3, 1, 4), (3, 2, 2), (5, 1, 8))
    ]
    depthwise = [
        ConvCase(f"{k}x{k} s{s} depthwise 64 @28", (28, 28), (k, k), (64, 64), s, groups=64)
        for k in (3, 5, 7)
        for s in (1, 2)
    ]
    depthwise.append(ConvCase("3x3 s1 depthwise 32->64 @28", (28, 28), (3, 3), (32, 64), groups=32))
    lines = [
        ConvCase("1-D 3 s1 64->64 @256", (256,), (3,), (64, 64)),
        ConvCase("1-D 9 s2 64->64 @256", (256,), (9,), (64, 64), 2),
        ConvCase("1-D 25 s1 1->16 @1024", (1024,), (25,), (1, 16)),
        ConvCase("1-D 3 dilation 8 64->64 @256", (256,), (3,), (64, 64), kernel_dilation=8),
        ConvCase("1-D 9 s1 depthwise 64 @256", (256,), (9,), (64, 64), groups=64),
    ]
    volumes = [
        ConvCase("3-D 3x3x3 s1 8->16 @12", (12,) * 3, (3,) * 3, (8, 16)),
        ConvCase("3-D 3x3x3 s2 8->16 @12", (12,) * 3, (3,) * 3, (8, 16), 2),
        ConvCase("3-D 1x1x1 s1 16->16 @12", (12,) * 3, (1,) * 3, (16, 16)),
        ConvCase("3-D 3x3x3 s1 1->8 @16", (16,) * 3, (3,) * 3, (1, 8)),
    ]
    transposed = [
        ConvCase("3x3 transposed 2 64->32 @14", (14, 14), (3, 3), (64, 32), image_dilation=2),
        ConvCase("4x4 transposed 2 32->16 @14", (14, 14), (4, 4), (32, 16), image_dilation=2),
        ConvCase("2x2 transposed 2 32->16 @14", (14, 14), (2, 2), (32, 16), image_dilation=2),
        ConvCase("1-D 4 transposed 2 64->64 @128", (128,), (4,), (64, 64), image_dilation=2),
    ]
    return [*dilated, *grouped, *depthwise, *lines, *volumes, *transposed]


CONVOLUTIONS = {case.name: case for case in (*_plain(), *_others())}


class PoolCase(NamedTuple):
    """A pooling of images [N, H, W, C], windows side by side or not."""

    name: str
    shape: Sizes
    window: Sizes
    strides: Sizes


POOLS = {
    case.name: case
    for case in (
        PoolCase("2x2 @28, 20 channels", (128, 28, 28, 20), (2, 2), (2, 2)),
        PoolCase("2x2 @10, 20 channels", (128, 10, 10, 20), (2, 2), (2, 2)),
        PoolCase("2x2 @32, 64 channels", (32, 32, 32, 64), (2, 2), (2, 2)),
        PoolCase("3x3 @27, 64 channels", (32, 27, 27, 64), (3, 3), (3, 3)),
        PoolCase("3x3 s2 @32, 64 channels", (32, 32, 32, 64), (3, 3), (2, 2)),
    )
}
