"""Seeded numbers: weights that keep a deep network's activations in range, and the image for its input."""

import numpy as np

# Gain of a block's branch against its shortcut. With He's gain of 1 the variance would double in every block.
BRANCH_GAIN = 0.3


class Weights:
    """A stream of parameters, the same for the same seed and order of calls.

    Everything differs from its neutral value, so that a tensor that is left out, mixed up or transposed shows in
    the logits. Batch norm statistics are those of real activations, as training leaves them: with made-up ones a
    deep network gives nearly the same logits for every image, and would hide errors in how it looks at pixels.
    """

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def convolution(self, shape: tuple[int, ...]) -> np.ndarray:
        """Returns `[out, in / groups, height, width]`, He-normal: keeps the second moment across convolution and ReLU."""
        fan_in = int(np.prod(shape[1:]))
        return self._normal(shape, (2 / fan_in) ** 0.5)

    def affine(self, channels: int, ends_branch: bool) -> tuple[np.ndarray, np.ndarray]:
        """Returns scale and shift of a batch norm."""
        gain = BRANCH_GAIN if ends_branch else 1.0
        return self._uniform(channels, 0.5 * gain, 1.5 * gain), self._normal((channels,), 0.3 * gain)

    def statistics(self, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and variance of a batch norm: near those of its input, and different in every channel."""
        channels = len(mean)
        shifted = mean + self._normal((channels,), 0.2) * np.sqrt(variance)
        return shifted, variance * self._uniform(channels, 0.7, 1.4)

    def linear(self, shape: tuple[int, ...], features: int) -> np.ndarray:
        """Returns a matrix of either orientation that reads `features` values."""
        return self._normal(shape, features**-0.5)

    def bias(self, classes: int) -> np.ndarray:
        return self._normal((classes,), 0.5)

    def _normal(self, shape: tuple[int, ...], deviation: float) -> np.ndarray:
        values = self.random.standard_normal(shape, np.float32)
        values *= np.float32(deviation)
        return values

    def _uniform(self, channels: int, low: float, high: float) -> np.ndarray:
        return self.random.uniform(low, high, channels).astype(np.float32)


def image(size: int, seed: int = 1) -> np.ndarray:
    """Returns `[1, 3, size, size]` f32 of unit variance: coarse squares, so that activations differ from place to
    place, and fine noise, which shows a shift by one pixel."""
    random = np.random.default_rng(seed)
    squares = random.standard_normal((1, 3, -(-size // 16), -(-size // 16)), np.float32)
    coarse = squares.repeat(16, 2).repeat(16, 3)[:, :, :size, :size]
    fine = random.standard_normal((1, 3, size, size), np.float32)
    return np.ascontiguousarray(coarse * np.float32(0.8) + fine * np.float32(0.6))
