"""One file to pixels: told by its first bytes, turned as EXIF says, 8 bits a channel, resized; or refused by name."""

import io
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from kgl.errors import KglError

try:  # twice as fast as Pillow; torchvision will drop its decoders one day, which then costs speed alone
    from torchvision.io import ImageReadMode, decode_jpeg
except ImportError:  # pragma: no cover
    decode_jpeg = None

Pixels = NDArray[np.uint8]  # (height, width, channels)
Size = tuple[int, int]  # height, width
Fit = Literal["squash", "crop", "pad"]
MODES = {1: "L", 3: "RGB"}  # by number of channels
MOST_PIXELS = 500_000_000  # of one picture: 1.5 GB of memory while it is read
ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 swap height and width


class UnreadableImage(KglError):
    """A file without a right picture in it, and why."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = str(path), reason

    def __reduce__(self) -> tuple[type["UnreadableImage"], tuple[str, str]]:  # it travels between processes
        return UnreadableImage, (self.path, self.reason)


def decode(path: Path, *, channels: int = 3, size: Size | None = None, fit: Fit = "squash") -> Pixels:
    """The picture in a file as uint8 (height, width, channels).

    Transparent pixels lie on white; 16 bits are scaled to 8; an animation gives its first frame.

    Args:
        path: any file that Pillow reads, whatever its ending.
        channels: 1 grey, 3 colours.
        size: height and width wanted; None leaves them as they are.
        fit: `squash` changes the proportions, `crop` cuts off what is too long, `pad` adds black.

    Raises:
        UnreadableImage: missing, empty, cut short (half a picture is none), no picture, or 32 bits a pixel.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError) or path == Path()
        reason = "missing" if missing else str(error.strerror)
        raise UnreadableImage(path, reason) from None
    try:
        pixels = _read(content, channels, size)
    except Exception as error:  # decoders raise what they like on a damaged file; whatever it is, the file is named
        raise UnreadableImage(path, _reason(error) if content else "empty") from None
    return pixels if size is None else resize(pixels, size, fit)


def _read(content: bytes, channels: int, size: Size | None) -> Pixels:
    Image.MAX_IMAGE_PIXELS = None  # huge pictures are read on purpose, up to a limit of our own
    with Image.open(io.BytesIO(content)) as picture:
        whole = picture.size
        if whole[0] * whole[1] > MOST_PIXELS:
            raise ValueError(f"{whole[0]} x {whole[1]} pixels are too many; shrink it")
        turned = picture.getexif().get(ORIENTATION, 1)
        if picture.format in ("JPEG", "MPO") and picture.mode in MODES.values():
            if size:  # JPEG can be decoded at a half, a quarter or an eighth, which saves most of the work
                picture.draft(MODES[channels], size if turned >= 5 else size[::-1])
            if decode_jpeg and picture.size == whole and turned == 1:
                mode = ImageReadMode.GRAY if channels == 1 else ImageReadMode.RGB
                encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
                return np.asarray(decode_jpeg(encoded, mode=mode).permute(1, 2, 0).numpy())
        pixels = np.array(_in_mode(ImageOps.exif_transpose(picture), channels))
        return pixels.reshape(*pixels.shape[:2], channels)


def _in_mode(picture: Image.Image, channels: int) -> Image.Image:
    """Grey or RGB of 8 bits from whatever Pillow has read."""
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PNG"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))  # Pillow itself would cut off at 255
    elif picture.mode in ("I", "F"):
        raise ValueError("32 bits a pixel have no known range; save it with 8 or 16")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture if picture.mode == MODES[channels] else picture.convert(MODES[channels])


def _reason(error: Exception) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, UnidentifiedImageError):
        return "no picture, or of an unknown kind"
    return "cut short" if "truncated" in text.lower() or isinstance(error, EOFError) else text


def resize(pixels: Pixels, size: Size, fit: Fit = "squash") -> Pixels:
    """Pixels at another height and width, each new one a weighted mean of the old (bicubic, antialiased)."""
    height, width = pixels.shape[:2]
    if fit == "crop":  # the largest middle part of the wanted proportions
        scale = min(height / size[0], width / size[1])
        pixels = centre(pixels, (round(size[0] * scale), round(size[1] * scale)))
    inner = size
    if fit == "pad":
        scale = min(size[0] / height, size[1] / width)
        inner = max(1, round(height * scale)), max(1, round(width * scale))
    if pixels.shape[:2] != inner:
        pixels = interpolate(pixels, inner, "bicubic")
    if inner != size:
        top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
        padded = np.zeros((*size, pixels.shape[2]), np.uint8)
        padded[top : top + inner[0], left : left + inner[1]] = pixels
        return padded
    return pixels


def centre(pixels: Pixels, size: Size) -> Pixels:
    """The middle part."""
    top, left = (pixels.shape[0] - size[0]) // 2, (pixels.shape[1] - size[1]) // 2
    return pixels[top : top + size[0], left : left + size[1]]


def interpolate(pixels: Pixels, size: Size, mode: Literal["bilinear", "bicubic"]) -> Pixels:
    """uint8 in and out. Channels must lie innermost in the eyes of torch, too: then it is three times as fast."""
    batch = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)
    resized = F.interpolate(batch, size=size, mode=mode, antialias=True)
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())
