import sys
from pathlib import Path

import pytest

import zoo
from tests.commands import python
from zoo.__main__ import main

ROOT = Path(zoo.__file__).parents[1]


@pytest.fixture
def run(tmp_path):
    def call(*arguments, code=0):
        done = python("zoo", *arguments, cwd=tmp_path, variables={"COLUMNS": "80"})
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    return call


def test_list_names_every_network(run):
    listed = run("list")
    assert all(name in listed for name in zoo.names())
    assert "99.11%" in listed


def test_show(run):
    shown = run("show", "digits-tanh")
    for words in ("17,226", "Tanh()", "Apache-2.0", "stratified", "learning_rate"):
        assert words in shown


def test_a_mistake_shows_a_message_and_no_traceback(run):
    assert "did you mean digits-relu?" in run("show", "digits-rely", code=2)


def test_verify(run):
    assert "digits-relu: verified" in run("verify", "digits-relu")


def test_export(run, tmp_path):
    assert "wrote model.pt" in run("export", "digits-relu", "model.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_train_writes_a_checkpoint_here(run, tmp_path):
    told = run("train", "digits-relu", "--epochs", "1", "--threads", "1")
    assert "expected to reach 98.50%" in told
    trained = zoo.load_checkpoint(tmp_path / "digits-relu.safetensors")
    assert f"{trained.accuracy:.2%}" in told
    assert [path.name for path in tmp_path.iterdir()] == ["digits-relu.safetensors"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("verify",), "--all"),
        (("show",), "NAME"),
        (("train", "digits-relu", "--epochs", "0"), "--epochs"),
        (("export", "digits-relu", "no/where.pt"), "cannot be written"),
        (("train", "digits-relu", "--out", "no/where"), "cannot be written"),
        (("train", "digits-relu", "--out", str(ROOT / "zoo/weights/x")), "--install"),
    ],
)
def test_what_the_user_can_mend_ends_in_code_2(monkeypatch, capsys, arguments, words):
    monkeypatch.setattr(sys, "argv", ["zoo", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


def test_an_interrupted_training_writes_nothing(monkeypatch, capsys, tmp_path):
    def interrupted(recipe, progress):
        raise KeyboardInterrupt

    monkeypatch.setattr(zoo, "trained", interrupted)
    monkeypatch.setattr(sys, "argv", ["zoo", "train", "digits-relu", "--out", str(tmp_path / "x")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    assert not list(tmp_path.iterdir())
