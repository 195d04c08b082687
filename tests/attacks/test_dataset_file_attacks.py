"""Data set files that try to harm: IDX headers that lie, gzip bombs, archives that escape, pickles, images, tables.

Each is one named error, in little time and memory, or loads finite samples; from the command line exit status 2.
"""

import gzip
import hashlib
import io
import os
import pickle
import random
import struct
import subprocess
import sys
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import zoo
import zoo.cifar
from zoo.archives import members
from zoo.datasets import open_dataset
from zoo.errors import DatasetError
from zoo.inert import read_batch

ROOT = Path(zoo.__file__).parents[1]


def head(*sizes, magic=0x0800):
    return struct.pack(f">{1 + len(sizes)}I", magic + len(sizes), *sizes)


def emnist(folder, **changed):
    """Honest files of EMNIST, 5 and 3 digits, but for those that are changed."""
    for split, count in (("train", 5), ("test", 3)):
        honest = {"images-idx3": head(count, 28, 28) + bytes(count * 784), "labels-idx1": head(count) + bytes(count)}
        for name, content in honest.items():
            content = changed.get(f"{split}_{name[:6]}", content)
            (folder / f"emnist-digits-{split}-{name}-ubyte.gz").write_bytes(gzip.compress(content, 1))
    return f"emnist:digits:{folder}"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "IDX header"),
        (b"\0\0\x08", "IDX header"),
        (head(3, 28, 28)[:-2], "IDX header"),
        (head(3, 28, 28, magic=0x0D00) + bytes(2352), "IDX header"),
        (head(3, 27, 28) + bytes(2268), "IDX header"),
        (head(3, 28) + bytes(84), "IDX header"),
        (head(0, 28, 28), "claims"),
        (head(2**31, 28, 28) + bytes(2352), r"claims \(2147483648, 28, 28\)"),
        (head(2**32 - 1, 28, 28), "claims"),
        (head(3, 28, 28) + bytes(2351), "holds 2351 bytes after a header for 2352"),
        (head(3, 28, 28) + bytes(2353), "holds more bytes"),
        (head(4, 28, 28) + bytes(3136), "3 labels up to 0 for 4 images"),
        (head(3, 28, 28) + bytes(64 << 20), "holds more bytes"),
    ],
)
def test_idx_files_that_lie(tmp_path, content, words):
    spec = emnist(tmp_path, test_images=content)
    with pytest.raises(DatasetError, match=words):
        open_dataset(spec).scored()


def test_idx_files_cut_and_flipped(tmp_path):
    spec, draw = emnist(tmp_path), random.Random(0)
    path = tmp_path / "emnist-digits-test-images-idx3-ubyte.gz"
    content, refused = path.read_bytes(), 0
    for turn in range(80):
        changed = bytearray(content[: draw.randrange(len(content))] if turn % 2 else content)
        if changed and not turn % 2:
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        try:
            assert torch.isfinite(open_dataset(spec).scored().x).all()
        except DatasetError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 60


def tar(path, *files, kind=tarfile.REGTYPE, link=""):
    with tarfile.open(path, "w:gz", compresslevel=1) as packed:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(content), kind, link
            packed.addfile(member, io.BytesIO(content))
    return path


def test_archives_never_write(tmp_path):
    path = tar(tmp_path / "a.tar.gz", ("../evil", b"x"), ("/tmp/ann2spike-evil", b"x"), ("d/good", b"fine"))
    assert members(path, ["d/good"], 10) == {"d/good": b"fine"}
    assert [file.name for file in tmp_path.iterdir()] == ["a.tar.gz"]
    assert not Path("/tmp/ann2spike-evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_members_that_are_no_files(tmp_path, kind):
    with pytest.raises(DatasetError, match="lacks the files d/good"):
        members(tar(tmp_path / "a.tar.gz", ("d/good", b""), kind=kind, link="/etc/passwd"), ["d/good"], 10)


def bomb(path, size, kind=b"0", name=b"d/good"):
    """A member of `size` zero bytes, made without holding them."""
    field = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"00000000000\0"
    block = field + b" " * 8 + kind + bytes(100) + b"ustar\x0000" + bytes(247)
    block = block[:148] + b"%06o\0 " % sum(block) + block[156:]
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(block)
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    return path


@pytest.mark.parametrize(
    ("kind", "name"), [(b"0", b"d/good"), (b"0", b"other"), (b"x", b"pax"), (b"L", b"long")], ids=lambda v: v.decode()
)
def test_archives_that_unpack_to_more_than_there_can_be(tmp_path, monkeypatch, kind, name):
    monkeypatch.setattr("zoo.archives._LARGEST_TOTAL", 4 << 20)
    with pytest.raises(DatasetError, match=r"unpacked|larger than"):
        members(bomb(tmp_path / "a.tar.gz", 12 << 20, kind, name), ["d/good"], 2 << 20)


@pytest.mark.parametrize("damage", ["cut", "text", "flipped", "empty"])
def test_archives_that_are_none(tmp_path, damage):
    path = tar(tmp_path / "a.tar.gz", ("d/good", random.Random(0).randbytes(3000)))
    content = path.read_bytes()
    flipped = content[:200] + bytes([content[200] ^ 16]) + content[201:]
    path.write_bytes({"cut": content[:700], "text": b"hello", "flipped": flipped, "empty": b""}[damage])
    with pytest.raises(DatasetError, match=r"not a readable archive|lacks the files"):
        members(path, ["d/good"], 5000)


class Evil:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


def test_pickles_execute_nothing(tmp_path):
    canary = tmp_path / "canary"
    for protocol in range(6):
        content = pickle.dumps([Evil(canary)], protocol=protocol)
        with pytest.raises(ValueError, match=r"it asks for (posix|nt|os)\.mkdir"):
            read_batch(content, 3072)
    assert not canary.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"hello", b"I1\n.", b"(lp0\n.", pickle.dumps({b"data": [1], b"labels": [1]}), b"P1\n.",
        b"\x80\x04\x95" + b"\xff" * 8, b"\x80\x04B\xff\xff\xff\x7f", b"cos\nsystem\n(S'true'\ntR.",
        b"cnumpy\nndarray\n)\x81.", b"\x80\x02\x82\x01.",
        b"cnumpy.core.multiarray\n_reconstruct\n(tR(I1\n(I1\nI3072\ntcnumpy\ndtype\n(S'O'\ntRI00\nS'x'\ntb.",
    ],
)  # fmt: skip
def test_pickles_that_are_no_batch(content):
    with pytest.raises(ValueError, match="not a batch"):
        read_batch(content, 3072)


def test_a_pickle_in_place_of_cifar_from_the_command_line(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    content = pickle.dumps(Evil(tmp_path / "canary"))
    for names in zoo.cifar._VERSIONS["cifar10"][1].files.values():
        for name in names:
            (folder / name).write_bytes(content)
    with pytest.raises(DatasetError, match="md5 is"):
        open_dataset("cifar10", tmp_path).scored()
    proven = dict.fromkeys(zoo.cifar._VERSIONS["cifar10"][1].md5, hashlib.md5(content).hexdigest())
    version = replace(zoo.cifar._VERSIONS["cifar10"][1], md5=proven)
    monkeypatch.setitem(zoo.cifar._VERSIONS, "cifar10", (version,))
    with pytest.raises(DatasetError, match="nothing in it was executed"):
        open_dataset("cifar10", tmp_path).scored()
    assert not (tmp_path / "canary").exists()


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, *more, rows=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def honest_jpeg():
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (8, 8), (200, 10, 10)).save(stream := io.BytesIO(), "JPEG")
    return stream.getvalue()


HOSTILE = {
    "empty": b"", "text": b"not an image", "cut": png(8, 8, rows=bytes(200))[:44], "no pixels": png(8, 8),
    "30,000 x 30,000": png(30_000, 30_000), "2^31 - 1 wide": png(2**31 - 1, 1), "nothing wide": png(0, 5),
    "text bomb": png(8, 8, *[chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(3 << 20)))] * 2, rows=bytes(200)),
    "profile bomb": png(8, 8, chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(80 << 20)))),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "postscript": b"%!PS-Adobe-3.0\n%%BoundingBox: 0 0 9 9",
    "tiff": b"II*\0\x08\0\0\0\0\0", "gif": b"GIF89a\x08\0\x08\0\0\0\0;",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_images_that_are_none(tmp_path, name, suffix):
    pytest.importorskip("PIL")
    (tmp_path / "c").mkdir()
    path = tmp_path / "c" / f"x.{suffix}"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(DatasetError, match="not usable as an image") as refused:
        open_dataset(f"folder:{tmp_path}").whole()
    assert str(path) in str(refused.value)


def test_images_cut_and_flipped(tmp_path):
    draw, content = random.Random(0), honest_jpeg()
    (tmp_path / "c").mkdir()
    refused = 0
    for turn in range(80):
        changed = bytearray(content[: draw.randrange(len(content))] if turn % 2 else content)
        if changed and not turn % 2:
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        (tmp_path / "c/x.jpg").write_bytes(changed)
        try:
            assert torch.isfinite(open_dataset(f"folder:{tmp_path}").whole().x).all()
        except DatasetError:
            refused += 1
    assert refused > 30


@pytest.mark.parametrize("seed", range(4))
def test_tables_of_noise(tmp_path, seed):
    draw = random.Random(seed)
    for _ in range(15):
        text = "".join(draw.choice('0123456789.,;\t\n"ab-e\0') for _ in range(draw.randrange(200)))
        (tmp_path / "t.csv").write_text(text)
        try:
            samples = open_dataset(f"csv:{tmp_path / 't.csv'}").whole()
        except DatasetError as error:
            assert "t.csv" in str(error)
        else:
            assert torch.isfinite(samples.x).all()


def test_from_the_command_line_all_of_it_is_exit_status_2(tmp_path):
    (tmp_path / "i/c").mkdir(parents=True)
    (tmp_path / "i/c/x.png").write_bytes(HOSTILE["30,000 x 30,000"])
    (tmp_path / "t.csv").write_text("a,b\n1,nan\nx,2\n")
    np.savez(tmp_path / "n.npz", x=np.full((3, 2), np.nan))
    emnist(tmp_path, test_images=head(2**31, 28, 28))
    specs = ["folder:i", "csv:t.csv", "emnist:digits:.", "cifar10:.", "python:os:getcwd", "hf:nothing", "nonsense"]
    code = "import sys, runpy\nfor spec in sys.argv[1:]:\n    sys.argv = ['zoo', 'data', spec]\n    try:\n" \
           "        runpy.run_module('zoo', run_name='__main__')\n    except SystemExit as end:\n" \
           "        sys.stderr.write(f'<{end.code}>')\n"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *specs], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.stderr.count("<2>") == done.stderr.count("error: ") == len(specs)
