"""Small SentencePiece models, put together by hand (sentencepiece_model.proto)."""

import struct

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
BYTES = [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
HEAD = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
WORDS = [
    ("▁", -1.0, NORMAL),
    ("a", -2.5, NORMAL),
    ("▁a", -3.0, NORMAL),
    ("<tool>", 0.0, USER_DEFINED),
    ("old", 0.0, UNUSED),
]
LLAMA = [*HEAD, *BYTES, *WORDS]


def model(pieces=LLAMA):
    """Return the file's bytes: pieces are (text, score, kind)."""
    body = b"".join(_field(1, _piece(*piece)) for piece in pieces)
    trainer = _varint(3 << 3) + _varint(2) + _varint(35 << 3) + _varint(1)  # BPE, byte_fallback
    return body + _field(2, trainer) + _field(3, _field(1, b"identity"))


def _piece(text, score, kind):
    kind_field = b"" if kind == NORMAL else _varint(3 << 3) + _varint(kind)
    return _field(1, text.encode()) + _varint(2 << 3 | 5) + struct.pack("<f", score) + kind_field


def _field(number, content):
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number):
    encoded = b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])
