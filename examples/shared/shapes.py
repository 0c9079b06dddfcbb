"""Images of circles, squares and triangles: data that a program makes itself in a second, and learns in a minute."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("circle", "square", "triangle")


def draw(rng: np.random.Generator, size: int) -> tuple[Image.Image, int, tuple[float, float, float, float]]:
    """Return a noisy image with one shape, the index of its class, and its box: center and size, from 0 to 1."""
    image = Image.fromarray(rng.integers(0, 180, (size, size, 3), dtype=np.uint8))
    label = int(rng.integers(len(CLASSES)))
    radius = int(rng.integers(size // 6, size // 3))
    x, y = (int(v) for v in rng.integers(radius, size - radius, 2))
    color = tuple(int(v) for v in rng.integers(80, 256, 3))
    canvas = ImageDraw.Draw(image)
    box = (x - radius, y - radius, x + radius, y + radius)
    if CLASSES[label] == "circle":
        canvas.ellipse(box, fill=color)
    elif CLASSES[label] == "square":
        canvas.rectangle(box, fill=color)
    else:
        canvas.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=color)
    return image, label, (x / size, y / size, 2 * radius / size, 2 * radius / size)


def classification(count: int, seed: int, size: int = 32) -> tuple[Any, Any]:
    """Return `count` images (float32, channels first, from -1 to 1) and their labels. A seed gives the same images."""
    rng = np.random.default_rng(seed)
    drawn = [draw(rng, size)[:2] for _ in range(count)]
    images = np.stack([np.asarray(image, dtype=np.float32).transpose(2, 0, 1) for image, _ in drawn])
    return images / 127.5 - 1, np.array([label for _, label in drawn])


def as_picture(image: Any) -> Any:
    """Return an image of classification() as bytes with the channels last, as log_image() takes it."""
    return np.clip((np.asarray(image) + 1) * 127.5, 0, 255).astype(np.uint8).transpose(1, 2, 0)


def detection(folder: Path, train: int, val: int, size: int = 64) -> Path:
    """Write images with boxes in the format of Ultralytics, and return the path of their data.yaml."""
    for split, count, seed in (("train", train, 1), ("val", val, 2)):
        rng = np.random.default_rng(seed)
        images, labels = folder / "images" / split, folder / "labels" / split
        images.mkdir(parents=True, exist_ok=True)
        labels.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image, label, box = draw(rng, size)
            image.save(images / f"{number}.png")
            (labels / f"{number}.txt").write_text(f"{label} {' '.join(f'{v:.6f}' for v in box)}\n")
    names = "\n".join(f"  {number}: {name}" for number, name in enumerate(CLASSES))
    data = folder / "data.yaml"
    data.write_text(f"path: {folder}\ntrain: images/train\nval: images/val\nnames:\n{names}\n")
    return data
