"""Odd picture files, made here, each with the pixels that a person would see in it, computed by hand, or with none."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
HEIGHT, WIDTH = 48, 64
WHITE = 255.0


@dataclass(frozen=True)
class Odd:
    """A file. `pixels`: what is right, off by at most `off` levels (lossy kinds), or None where it must be refused."""

    name: str
    content: bytes
    pixels: Pixels | None
    off: int = 0
    reason: str = ""


def scene(height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    """A picture without symmetry: red grows to the right, green downwards, a blue corner at the top left."""
    x = np.broadcast_to(np.arange(width) / (width - 1), (height, width))
    y = np.broadcast_to((np.arange(height) / (height - 1))[:, None], (height, width))
    blue = np.where((x < 3 / 8) & (y < 1 / 3), 220, 40)  # ends where blocks of JPEG end
    return np.stack([30 + 200 * x, 20 + 180 * y, blue], axis=2).round().astype(np.uint8)


def grey_scene() -> Pixels:
    """The red channel alone."""
    return scene()[:, :, :1]


def encoded(pixels: Any, kind: str, mode: str | None = None, **options: Any) -> bytes:
    """A file of Pillow's."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.squeeze(pixels))
    content = io.BytesIO()
    (image.convert(mode) if mode else image).save(content, kind, **options)
    return content.getvalue()


def png16(values: NDArray[np.uint16]) -> bytes:
    """A PNG of 16 bits a channel, grey or RGB, which Pillow cannot write in colour."""
    height, width, channels = values.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    return _png(struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2}[channels], 0, 0, 0), lines)


def png_of_size(height: int, width: int) -> bytes:
    """A PNG that says it is that large."""
    return _png(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"\0" * 1000)


def _png(header: bytes, lines: bytes) -> bytes:
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """How a picture must be stored for a viewer that heeds this EXIF orientation to show `pixels`."""
    stored = {
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, 1),  # the viewer turns it clockwise, so it is stored turned the other way
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(pixels, -1),
    }
    return np.ascontiguousarray(stored[orientation])


def right_files() -> Iterator[Odd]:
    """Files that must be read, and rightly."""
    seen, grey = scene(), grey_scene()
    as_colour = np.repeat(grey, 3, axis=2)
    yield Odd("plain.jpg", encoded(seen, "JPEG", quality=95, subsampling=0), seen, 6)
    yield Odd("progressive.jpg", encoded(seen, "JPEG", quality=95, subsampling=0, progressive=True), seen, 6)
    yield Odd("plain.png", encoded(seen, "PNG"), seen)
    yield Odd("plain.bmp", encoded(seen, "BMP"), seen)
    yield Odd("plain.tif", encoded(seen, "TIFF"), seen)
    yield Odd("packed.tiff", encoded(seen, "TIFF", compression="tiff_lzw"), seen)
    yield Odd("plain.webp", encoded(seen, "WEBP", lossless=True), seen)
    yield Odd("plain.avif", encoded(seen, "AVIF", quality=95, subsampling="4:4:4"), seen, 8)
    yield Odd("png_named.jpg", encoded(seen, "PNG"), seen)
    yield Odd("jpeg_named.png", encoded(seen, "JPEG", quality=95, subsampling=0), seen, 6)
    yield Odd("bmp_without_an_ending", encoded(seen, "BMP"), seen)
    yield Odd("grey.jpg", encoded(grey, "JPEG", quality=95), as_colour, 4)
    yield Odd("grey.png", encoded(grey, "PNG"), as_colour)
    yield Odd(
        "black_and_white.png", encoded((grey > 128) * np.uint8(255), "PNG", "1"), (as_colour > 128) * np.uint8(255)
    )
    yield from _palettes()
    yield from _transparent(seen, grey)
    yield from _deep()
    yield from _cmyk(seen)
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = turned(seen, orientation)
        yield Odd(f"turned{orientation}.jpg", encoded(stored, "JPEG", quality=95, subsampling=0, exif=exif), seen, 6)
        yield Odd(f"turned{orientation}.png", encoded(stored, "PNG", exif=exif), seen)
    second = Image.fromarray(255 - seen)
    moving: dict[str, Any] = {"save_all": True, "append_images": [second], "duration": 100}
    yield Odd("moving.png", encoded(seen, "PNG", **moving), seen)
    yield Odd("moving.webp", encoded(seen, "WEBP", lossless=True, **moving), seen)
    gif = Image.fromarray((grey[:, :, 0] // 16).astype(np.uint8), "P")
    gif.putpalette([v for i in range(16) for v in (i * 16, 255 - i * 16, 7)])
    frames = [gif.transpose(Image.Transpose.ROTATE_180)]
    shown = np.stack([grey[:, :, 0] // 16 * 16, 255 - grey[:, :, 0] // 16 * 16, np.full((HEIGHT, WIDTH), 7)], axis=2)
    yield Odd("moving.gif", encoded(gif, "GIF", save_all=True, append_images=frames), shown.astype(np.uint8))


def _palettes() -> Iterator[Odd]:
    index = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 5).astype(np.uint8)
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 90, 200], [250, 250, 1]], np.uint8)
    image = Image.fromarray(index, "P")
    image.putpalette(colours.ravel().tolist())
    yield Odd("palette.png", encoded(image, "PNG"), colours[index])
    yield Odd("palette.gif", encoded(image, "GIF"), colours[index])
    on_white = colours.copy()
    on_white[2] = 255
    yield Odd("palette_with_holes.png", encoded(image, "PNG", transparency=2), on_white[index])


def _transparent(seen: Pixels, grey: Pixels) -> Iterator[Odd]:
    opacity = np.broadcast_to(np.linspace(0, 255, WIDTH).round(), (HEIGHT, WIDTH)).astype(np.uint8)[:, :, None]

    def on_white(pixels: Pixels) -> Pixels:
        part = opacity / 255
        return np.asarray((pixels * part + WHITE * (1 - part)).round(), np.uint8)

    yield Odd("transparent.png", encoded(np.concatenate([seen, opacity], axis=2), "PNG"), on_white(seen), 1)
    yield Odd("transparent.tif", encoded(np.concatenate([seen, opacity], axis=2), "TIFF"), on_white(seen), 1)
    both = Image.merge("LA", [Image.fromarray(grey[:, :, 0]), Image.fromarray(opacity[:, :, 0])])
    yield Odd("grey_transparent.png", encoded(both, "PNG"), on_white(np.repeat(grey, 3, axis=2)), 1)


def _deep() -> Iterator[Odd]:
    values = np.linspace(0, 65535, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH, 1)
    scaled = np.repeat((values / 257).round().astype(np.uint8), 3, axis=2)
    yield Odd("deep.png", png16(values), scaled, 1)
    yield Odd("deep.tif", encoded(Image.fromarray(values[:, :, 0]), "TIFF"), scaled, 1)
    colour = np.concatenate([values, values[::-1], values[:, ::-1]], axis=2)
    yield Odd("deep_colour.png", png16(colour), (colour / 257).round().astype(np.uint8), 1)


def _cmyk(seen: Pixels) -> Iterator[Odd]:
    ink = np.concatenate([255 - seen, np.full((HEIGHT, WIDTH, 1), 51, np.uint8)], axis=2)  # a fifth of black
    shown = ((255.0 - ink[:, :, :3]) * (255 - 51) / 255).round().astype(np.uint8)
    image = Image.frombytes("CMYK", (WIDTH, HEIGHT), ink.tobytes())
    yield Odd("cmyk.jpg", encoded(image, "JPEG", quality=95, subsampling=0), shown, 8)
    yield Odd("cmyk.tif", encoded(image, "TIFF"), shown, 1)


def wrong_files() -> Iterator[Odd]:
    """Files that must be refused, with a word of the reason."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    yield Odd("empty.jpg", b"", None, reason="empty")
    yield Odd("text.jpg", b"not a picture\n", None, reason="no picture")
    yield Odd("page.png", b"<!DOCTYPE html><html><body>404</body></html>", None, reason="no picture")
    yield Odd("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", None, reason="no picture")
    yield Odd("bytes.jpg", rng.bytes(1000), None, reason="no picture")
    yield Odd("first_bytes.jpg", b"\xff\xd8\xff", None)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"):
        whole = encoded(noise, kind)
        for part in (0.3, 0.9):
            yield Odd(f"cut_{part}_{kind.lower()}.jpg", whole[: int(len(whole) * part)], None)
    yield Odd("cut_large.jpg", encoded(scene(1200, 1600), "JPEG")[:-4000], None, reason="cut short")
    floats = Image.fromarray(np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH))
    yield Odd("floats.tif", encoded(floats, "TIFF"), None, reason="32 bits")
