"""skops files and pickled estimators that try to harm: each is a finite network or one named error."""

import bz2
import gzip
import lzma
import os
import pickle
import random
import time
import zlib
from pathlib import Path

import joblib
import pytest
import torch

pytest.importorskip("skops")

from convert import identify
from convert.errors import ConvertError, CorruptFileError, LoadError, UnsafeFileError
from convert.graph.semantics import run
from convert.reading.models import open_model
from tests.attacks.skops_files import (
    SCHEMAS,
    estimator,
    exploding,
    grown,
    honest,
    in_schema,
    pickled_arrays,
    rewritten,
)
from tests.attacks.torch_files import Calls, touch


def outcome(path: Path) -> str:
    try:
        graph = open_model(path).traced((5,)).graph
    except ConvertError as error:
        assert str(path) in str(error)
        return type(error).__name__
    assert torch.isfinite(run(graph, torch.zeros(1, 5))).all()
    return "loaded"


@pytest.fixture
def skops_file(tmp_path):
    return honest(tmp_path / "m.skops")


@pytest.mark.parametrize("case", SCHEMAS)
def test_schemas_that_ask_for_more(case, skops_file):
    assert outcome(rewritten(skops_file, in_schema(SCHEMAS[case]))) in ("UnsafeFileError", "CorruptFileError")


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{}", b"[" * 100_000, b'"\xff"', b"{" + b'"a":{' * 50_000])
def test_schemas_that_are_none(content, skops_file):
    assert outcome(rewritten(skops_file, lambda m: m.update({"schema.json": content}))) == "CorruptFileError"


@pytest.mark.parametrize("shape", [(2**40,), (2**31, 2**31), (-1,), (0, 2**62), (10,)])
def test_arrays_that_declare_what_they_do_not_hold(shape, skops_file):
    assert outcome(rewritten(skops_file, grown(shape))) == "CorruptFileError"


def test_pickled_arrays_in_skops(skops_file, tmp_path):
    sentinel = tmp_path / "ran"

    assert outcome(rewritten(skops_file, pickled_arrays(sentinel))) == "CorruptFileError"
    assert not sentinel.exists()


def test_skops_that_explodes(skops_file):
    assert outcome(exploding(skops_file)) == "UnsafeFileError"


def test_skops_truncated_and_flipped(skops_file):
    content, generator = skops_file.read_bytes(), random.Random(0)
    for n in range(0, len(content), len(content) // 25):
        skops_file.write_bytes(content[:n])
        assert outcome(skops_file) in ("CorruptFileError", "UnknownFormatError")
    for _ in range(60):
        flipped = bytearray(content)
        flipped[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        skops_file.write_bytes(flipped)
        outcome(skops_file)


def test_skops_flipped_under_valid_checksums(skops_file):
    generator, content = random.Random(1), skops_file.read_bytes()

    def flip(members):
        name = generator.choice(sorted(members))
        changed = bytearray(members[name])
        changed[generator.randrange(min(len(changed), 3000))] ^= 1 << generator.randrange(8)
        members[name] = bytes(changed)

    for _ in range(140):
        skops_file.write_bytes(content)
        outcome(rewritten(skops_file, flip))


# Pickles


WRITERS = {
    "joblib": lambda model, path: joblib.dump(model, path),
    "joblib zlib": lambda model, path: joblib.dump(model, path, compress=True),
    "joblib gzip": lambda model, path: joblib.dump(model, path, compress=("gzip", 3)),
    "joblib bz2": lambda model, path: joblib.dump(model, path, compress=("bz2", 3)),
    "joblib xz": lambda model, path: joblib.dump(model, path, compress=("xz", 3)),
    "joblib lzma": lambda model, path: joblib.dump(model, path, compress=("lzma", 3)),
    **{f"pickle {n}": lambda model, path, n=n: path.write_bytes(pickle.dumps(model, n)) for n in range(6)},
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_pickled_estimator_is_refused_with_the_way_out(writer, tmp_path):
    path, sentinel = tmp_path / "model.joblib", tmp_path / "ran"
    model = estimator()[-1]
    model.bomb = Calls(os.system, touch(sentinel))
    WRITERS[writer](model, path)
    with pytest.raises(UnsafeFileError, match=r"(?s)MLPClassifier.*skops\.io\.dump\(model, 'model\.skops'\)"):
        open_model(path)
    assert not sentinel.exists()


def test_a_bomb_alone_never_runs(tmp_path):
    path, sentinel = tmp_path / "model.joblib", tmp_path / "ran"
    for packed in (lambda b: b, zlib.compress, gzip.compress, bz2.compress, lzma.compress):
        for protocol in range(6):
            path.write_bytes(packed(pickle.dumps(Calls(os.system, touch(sentinel)), protocol)))
            with pytest.raises(LoadError):
                open_model(path)
    assert not sentinel.exists()


def test_compressed_heads_are_unpacked_no_further_than_needed(tmp_path):
    path = tmp_path / "bomb"
    for packed in (zlib.compress, gzip.compress, bz2.compress, lzma.compress):
        path.write_bytes(packed(b"\x80\x04" + b"\0" * 50_000_000))
        begin = time.perf_counter()
        with pytest.raises(LoadError):
            open_model(path)
        assert time.perf_counter() - begin < 60  # it does not hang
    path.write_bytes(b"\x78\x9c" + b"garbage" * 10)
    with pytest.raises(LoadError):
        open_model(path)


def test_torch_pickles_are_still_torch_pickles(tmp_path):
    path = tmp_path / "m.pt"
    torch.save(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU()), path, _use_new_zipfile_serialization=False)
    assert identify(path).kind == "torch-pickle"


def test_corrupt_is_the_word_for_a_damaged_skops(skops_file):
    with pytest.raises(CorruptFileError, match=r"skops\.io\.dump"):
        open_model(rewritten(skops_file, lambda members: members.pop(next(iter(members)))))
