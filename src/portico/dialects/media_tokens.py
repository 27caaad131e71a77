"""How many tokens pictures, sound, films and documents are, by the formulas that their models' makers publish.

OpenAI: platform.openai.com/docs/guides/images-vision#calculating-costs; Anthropic:
docs.anthropic.com/en/docs/build-with-claude/vision and …/pdf-support; Google: ai.google.dev/gemini-api/docs/tokens and
…/media-resolution (all read 2026-11-20). A picture's size stands in its first bytes; where it is only an address, or
cut, it is taken to be `UNSEEN` wide and high. Sound and films are taken by their bytes.
"""

import math
import re
from base64 import b64decode

from portico.dialects.picture_size import size_of
from portico.ir import Audio, File, Image, Source, Video

UNSEEN = 1024
"""Pixels, each way, of a picture that cannot be seen here."""
PAGES_UNSEEN = 2
"""Pages of a document that cannot be seen here."""
_LOOKED_AT = 96 * 1024  # characters of base64 in which a picture's size stands
_PAGE = re.compile(rb"/Type\s*/Page(?!s)")
_PAGE_BYTES = 60_000
_READ = 4 * 1024 * 1024
# Bytes of a second: speech in MP3 (64 kbit/s), and 16-bit sound at 24 kHz, which is what is sent as WAV or PCM.
_PACKED_SECOND, _PLAIN_SECOND = 8_000, 48_000
_FILM_SECOND = 250_000

# Tokens of a small or low-detail picture, and of each tile of 512 pixels (OpenAI).
_TILES = (
    (re.compile(r"4o-mini"), 2833, 5667),
    (re.compile(r"(^|[/.])o[13]\b"), 75, 150),
    (re.compile(r"gpt-5|computer-use"), 70, 140),
)
# The factor on patches of 32 pixels (OpenAI).
_PATCHES = (
    (re.compile(r"(4\.1|5[\d.]*)-mini"), 1.62),
    (re.compile(r"(4\.1|5[\d.]*)-nano"), 2.46),
    (re.compile(r"o4-mini"), 1.72),
)
_MOST_PATCHES = 1536


def image_tokens(image: Image, model: str) -> float:
    """Return the tokens of a picture for a model, by its lowercase name."""
    width, height = _size(image.source)
    if "gemini" in model:
        return _gemini(width, height, model)
    if "claude" in model:
        return _claude(width, height)
    return _openai(width, height, image.detail, model)


def _size(source: Source) -> tuple[int, int]:
    if source.data is None:
        return UNSEEN, UNSEEN
    return size_of(_bytes(source.data, _LOOKED_AT)) or (UNSEEN, UNSEEN)


def _bytes(data: str, most: int) -> bytes:
    try:
        return b64decode(data[: most // 4 * 4])
    except ValueError:
        return b""


def _claude(width: int, height: int) -> float:
    """A token for 750 pixels, once the longer side is 1568 at most; about 1,600 at most."""
    scale = min(1.0, 1568 / max(width, height))
    return min(1600.0, max(1.0, width * scale * height * scale / 750))


def _gemini(width: int, height: int, model: str) -> float:
    """Gemini 3: 1,120 for any picture. Earlier: 258 for a small one, and for each tile of 768 pixels else."""
    if "gemini-3" in model:
        return 1120.0
    if max(width, height) <= 384:
        return 258.0
    unit = min(max(min(width, height) / 1.5, 256), 768)
    return 258.0 * math.ceil(width / unit) * math.ceil(height / unit)


def _openai(width: int, height: int, detail: str | None, model: str) -> float:
    for pattern, factor in _PATCHES:
        if pattern.search(model):
            patches = math.ceil(width / 32) * math.ceil(height / 32)
            return factor * min(patches, _MOST_PATCHES)
    base, tile = next(((base, tile) for pattern, base, tile in _TILES if pattern.search(model)), (85, 170))
    if detail == "low":
        return float(base)
    scale = min(1.0, 2048 / max(width, height))
    scale = min(scale, 768 / min(width, height))
    return float(base + tile * math.ceil(width * scale / 512) * math.ceil(height * scale / 512))


def audio_tokens(audio: Audio, model: str) -> float:
    """Return the tokens of sound: 32 a second for Gemini, 10 for OpenAI's models."""
    source = audio.source
    plain = source.media_type is not None and ("wav" in source.media_type or "pcm" in source.media_type)
    size = len(source.data or "") * 3 / 4
    seconds = size / (_PLAIN_SECOND if plain else _PACKED_SECOND) if size else 60.0
    return max(1.0, seconds * (32 if "gemini" in model else 10))


def video_tokens(video: Video, model: str) -> float:
    """Return the tokens of a film, at Gemini's rate: 300 a second, 100 for Gemini 3."""
    size = len(video.source.data or "") * 3 / 4
    seconds = size / _FILM_SECOND if size else 60.0
    return max(1.0, seconds * (100 if "gemini-3" in model else 300))


def file_tokens(file: File, model: str) -> float:
    """Return the tokens of a document by its pages: text and picture of each; other files by their bytes."""
    data = file.source.data
    if data is None:
        return PAGES_UNSEEN * _page(model)
    kind = file.source.media_type or ""
    size = len(data) * 3 / 4
    if "pdf" in kind or data.startswith("JVBERi"):
        found = len(_PAGE.findall(_bytes(data, _READ)))
        return (found or max(1, math.ceil(size / _PAGE_BYTES))) * _page(model)
    return max(1.0, size / 4)


def _page(model: str) -> float:
    if "gemini-3" in model:
        return 560.0
    return 258.0 if "gemini" in model else 1700.0 if "claude" in model else 400.0
