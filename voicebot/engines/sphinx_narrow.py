"""A narrowband acoustic model for telephone speech, made from the wideband one by linear algebra.

PocketSphinx's wheel has a wideband model only. Its Gaussians expect energy up to 6.8 kHz; telephone speech has none
above 4 kHz, and 16 kHz features of it match nothing. But a mean of cepstra is a smoothed log mel spectrum in another
form, so it can be turned back into bands, those above the telephone's dropped, and the rest turned into cepstra again:

    T = lifter' * DCT(kept bands -> fewer cepstra) * drop bands * inverse DCT(cepstra -> bands) * 1/lifter
    mean' = T mean;  variance' = diag(T diag(variance) T^t)

1. The kept bands are the FIRST filters of the wideband front end, edge for edge, so that T is exact for them.
2. Cepstra shrink as the bands do. The wideband mean holds no detail finer than its own cepstra resolve, so with as many
   cepstra over fewer bands the finest would be compared with a constant (measured: every word wrong).
3. Differences are linear, so the same T serves the deltas. Mixture weights, transitions and words do not change.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voicebot.errors import EngineUnavailable

HIGHEST_CENTRE_HZ = 3500.0
"""Bands centred above it carry next to nothing over a telephone."""
STREAMS = 3
"""Cepstra, their differences, and the differences of those."""
KIND = {"transform": "dct", "feat": "1s_c_d_dd", "svspec": "0-12/13-25/26-38"}
"""The kind of features that is understood here; others are laid out otherwise."""
MAGIC = 0x11223344
HEADER = b"s3\nversion 1.0\nendhdr\n"
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """Mel filters from `lower_hz` to `upper_hz`, evenly spaced, and the cepstra made of them."""

    lower_hz: float
    upper_hz: float
    bands: int
    cepstra: int
    lifter: int

    @property
    def mel_step(self) -> float:
        """From one band's lower edge to its centre, and to the next band's lower edge."""
        return (mel(self.upper_hz) - mel(self.lower_hz)) / (self.bands + 1)

    def narrowed(self) -> FrontEnd:
        """The same filters as far as a telephone carries them."""
        bands = min(self.bands, int((mel(HIGHEST_CENTRE_HZ) - mel(self.lower_hz)) / self.mel_step))
        upper_hz = hertz(mel(self.lower_hz) + (bands + 1) * self.mel_step)
        return FrontEnd(self.lower_hz, upper_hz, bands, round(self.cepstra * bands / self.bands), self.lifter)

    def cepstra_of_bands(self) -> Matrix:
        """float64[cepstra, bands]: the orthonormal DCT-II, without the lifter."""
        order, band = np.arange(self.cepstra)[:, None], np.arange(self.bands)[None]
        scale = np.where(order == 0, np.sqrt(1 / self.bands), np.sqrt(2 / self.bands))
        return np.asarray(scale * np.cos(np.pi * order * (band + 0.5) / self.bands))

    def lifting(self) -> Matrix:
        """float64[cepstra]: what the lifter multiplies each cepstrum by."""
        if not self.lifter:
            return np.ones(self.cepstra)
        return 1 + self.lifter / 2 * np.sin(np.pi * np.arange(self.cepstra) / self.lifter)

    def parameters(self, others: Mapping[str, str]) -> str:
        """`feat.params` of a model with this front end; `others` keep their value."""
        size = self.cepstra
        own = {
            "lowerf": f"{self.lower_hz:.3f}",
            "upperf": f"{self.upper_hz:.3f}",
            "nfilt": str(self.bands),
            "ncep": str(size),
            "ceplen": str(size),
            "lifter": str(self.lifter),
            "svspec": "/".join(f"{at * size}-{(at + 1) * size - 1}" for at in range(STREAMS)),
        }
        return "".join(f"-{name} {value}\n" for name, value in {**others, **own}.items())


def mel(hz: float) -> float:
    """Source: the front end of PocketSphinx."""
    return float(2595 * np.log10(1 + hz / 700))


def hertz(mels: float) -> float:
    """The inverse of `mel`."""
    return float(700 * (10 ** (mels / 2595) - 1))


def change_of_cepstra(wide: FrontEnd, narrow: FrontEnd) -> Matrix:
    """T of the rules above: float64[narrow cepstra, wide cepstra]."""
    bands = wide.cepstra_of_bands().T / wide.lifting()
    return np.asarray(narrow.lifting()[:, None] * (narrow.cepstra_of_bands() @ bands[: narrow.bands]))


class NarrowModel:
    """What a wideband model becomes over the telephone."""

    def __init__(self, folder: Path) -> None:
        """Raises: EngineUnavailable for a model whose features are of another kind."""
        self._folder = folder
        self._settings = _parameters(folder / "feat.params")
        try:
            self.wide = FrontEnd(
                float(self._settings["lowerf"]),
                float(self._settings["upperf"]),
                int(self._settings["nfilt"]),
                int(self._settings.get("ncep", "13")),
                int(self._settings.get("lifter", "0")),
            )
            known = all(self._settings[name] == value for name, value in KIND.items())
        except (KeyError, ValueError) as error:
            raise self._unknown(f"feat.params has no usable {error}") from error
        if not known:
            raise self._unknown(f"its features are {self._settings}, not {KIND}")
        self.narrow = self.wide.narrowed()
        self.change = change_of_cepstra(self.wide, self.narrow)

    @property
    def needed(self) -> bool:
        """False where the model hears telephone bandwidth as it is."""
        return self.narrow.bands < self.wide.bands

    def cmn(self, wide: str) -> str:
        """Cepstral means such as "55,8,0" for the narrow front end."""
        means = np.zeros(self.wide.cepstra)
        given = [float(mean) for mean in wide.split(",")]
        means[: len(given)] = given
        return ",".join(f"{mean:.2f}" for mean in self.change @ means)

    def write(self, folder: Path) -> dict[str, str]:
        """Put the files that differ into `folder`: the decoder settings that name them. Raises: EngineUnavailable."""
        paths = {"mean": folder / "means", "var": folder / "variances", "featparams": folder / "feat.params"}
        means, variances = (self._gaussians(name) for name in ("means", "variances"))
        write_gaussians(paths["mean"], means @ self.change.T)
        write_gaussians(paths["var"], variances @ np.square(self.change).T)
        paths["featparams"].write_text(self.narrow.parameters(self._settings), encoding="utf-8")
        return {setting: str(path) for setting, path in paths.items()}

    def _gaussians(self, name: str) -> npt.NDArray[np.float32]:
        try:
            gaussians = read_gaussians(self._folder / name)
        except (OSError, ValueError, struct.error) as error:
            raise self._unknown(f"{name} cannot be read: {error}") from error
        if gaussians.shape[1::2] != (STREAMS, self.wide.cepstra):
            raise self._unknown(f"{name} holds {gaussians.shape}: codebooks, streams, Gaussians, dimensions")
        return gaussians

    def _unknown(self, why: str) -> EngineUnavailable:
        return EngineUnavailable(
            f"no telephone model can be made of {self._folder}: {why}. Give telephone=0 to hear telephone speech with "
            "the model as it is"
        )


def read_gaussians(path: Path) -> npt.NDArray[np.float32]:
    """Means or variances in Sphinx's S3 format: float32[codebooks, streams, Gaussians, dimensions].

    Raises: ValueError, struct.error, OSError.
    """
    raw = path.read_bytes()
    at = raw.index(b"endhdr\n") + len(b"endhdr\n")
    magic, codebooks, streams, gaussians = struct.unpack_from("<4i", raw, at)
    if magic != MAGIC:
        raise ValueError(f"its byte order mark is {magic:#x}")
    *sizes, count = struct.unpack_from(f"<{streams + 1}i", raw, at + 16)
    values = np.frombuffer(raw, "<f4", count, at + 20 + 4 * streams)
    return values.reshape(codebooks, streams, gaussians, sizes[0])


def write_gaussians(path: Path, gaussians: npt.NDArray[np.floating]) -> None:
    """The inverse of `read_gaussians`, without a check sum."""
    codebooks, streams, count, size = gaussians.shape
    numbers = (MAGIC, codebooks, streams, count, *[size] * streams, gaussians.size)
    path.write_bytes(HEADER + struct.pack(f"<{len(numbers)}i", *numbers) + gaussians.astype("<f4").tobytes())


def _parameters(path: Path) -> dict[str, str]:
    """Raises: EngineUnavailable."""
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise EngineUnavailable(f"cannot read {path}: {error}; give the folder of a Sphinx acoustic model") from error
    return {words[0].lstrip("-"): words[1] for words in lines if len(words) == 2}
