"""safetensors files whose header does not fit: each is one named error."""

import json
import struct

import pytest

from convert.errors import ConvertError
from tests.attacks.formats import outcome, written


@pytest.mark.parametrize("header", [
    {"0.weight": {"dtype": "F32", "shape": [2**40, 6], "data_offsets": [0, 120]}},
    {"0.weight": {"dtype": "F32", "shape": [2**70, 6], "data_offsets": [0, 120]}},
    {"0.weight": {"dtype": "F32", "shape": [5, 6], "data_offsets": [0, 2**50]}},
    {"0.weight": {"dtype": "F32", "shape": [5, 6], "data_offsets": [120, 0]}},
    {"0.weight": {"dtype": "NOPE", "shape": [5, 6], "data_offsets": [0, 120]}},
    {"0.weight": {"dtype": "F32", "shape": [0, 6], "data_offsets": [0, 0]}},
    {"0.weight": []},
    {},
])  # fmt: skip
def test_edited_safetensors(header, tmp_path):
    text = json.dumps(header).encode()
    (tmp_path / "w").write_bytes(struct.pack("<Q", len(text)) + text + bytes(120))
    assert isinstance(outcome(tmp_path / "w", "safetensors"), ConvertError)


@pytest.mark.parametrize("length", [0, 1, 2**20, 2**40, 2**64 - 1])
def test_safetensors_of_another_header_length(length, net, tmp_path):
    data = written("safetensors", net, tmp_path / "file")
    (tmp_path / "w").write_bytes(struct.pack("<Q", length) + data[8:])
    assert isinstance(outcome(tmp_path / "w", "safetensors"), ConvertError)
