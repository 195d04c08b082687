"""Files of torch without a network that can be read: what the message says."""

import pytest
import safetensors.torch
import torch

from convert.errors import (
    ConfigError,
    IncompleteModelError,
    LoadError,
    UnsafeFileError,
)
from convert.reading.hints import Hints
from convert.reading.models import open_model
from tests.oracles.trained import MLP, exported, saved, stack


class TestRefusals:
    def test_weights_without_a_word(self, tmp_path, trained):
        with pytest.raises(IncompleteModelError, match=r"--arch net.py:Net(.|\n)*--activation relu(.|\n)*torch.save"):
            open_model(saved(tmp_path, trained["mlp"].state_dict()))

    def test_safetensors_without_a_word(self, tmp_path, trained):
        safetensors.torch.save_file(trained["mlp"].state_dict(), tmp_path / "w")
        with pytest.raises(IncompleteModelError, match="--arch"):
            open_model(tmp_path / "w")

    def test_a_custom_class_lists_its_globals_and_two_ways_out(self, tmp_path, trained):
        with pytest.raises(UnsafeFileError) as caught:
            open_model(saved(tmp_path, trained["mlp"]))
        for words in ("nets_of_the_test.MyReLU, nets_of_the_test.Mlp", "--arch net.py:Net",
                      "torch.export.save(torch.export.export(model.eval(), (x,)), 'model.pt2')"):  # fmt: skip
            assert words in str(caught.value).replace(
                "nets_of_the_test.Mlp, nets_of_the_test.MyReLU", "nets_of_the_test.MyReLU, nets_of_the_test.Mlp"
            )

    def test_an_old_file_of_a_module(self, tmp_path, trained, folder):
        path = saved(tmp_path, trained["mlp"], _use_new_zipfile_serialization=False)
        with pytest.raises(UnsafeFileError, match=r"nets_of_the_test.Mlp"):
            open_model(path)
        with pytest.raises(UnsafeFileError, match=r"torch before 1.6"):
            open_model(path, hints=Hints(arch=f"{folder}/{MLP}"))

    @pytest.mark.filterwarnings("ignore")
    def test_torchscript_without_trust(self, tmp_path):
        torch.jit.script(stack(6, 5, 3)).save(str(tmp_path / "s.pt"))
        with pytest.raises(UnsafeFileError, match=r"executes; nothing was executed(.|\n)*--trust"):
            open_model(tmp_path / "s.pt")

    @pytest.mark.parametrize("hints", [Hints(arch="a.py:B"), Hints(activation="relu")])
    def test_hints_for_a_file_that_holds_its_network(self, tmp_path, hints):
        with pytest.raises(ConfigError, match="holds its own network"):
            open_model(exported(tmp_path, stack(6, 5, 3)), hints=hints)

    def test_hints_that_contradict(self):
        with pytest.raises(ConfigError, match="--activation: got --arch as well"):
            Hints(arch="a.py:B", activation="relu")
        with pytest.raises(ConfigError, match="--activation: got 'glu'; expected one of relu, tanh, sigmoid"):
            Hints(activation="glu")

    def test_several_sets_of_weights(self, tmp_path):
        first, second = stack(6, 5, 3).state_dict(), stack(6, 5, 3).state_dict()
        model = open_model(saved(tmp_path, {"ema": first, "model": second}), hints=Hints(activation="relu"))
        assert "used model, not ema" in model.notes[0]
        with pytest.raises(IncompleteModelError, match=r"several sets of weights .generator, critic."):
            open_model(saved(tmp_path, {"generator": first, "critic": second}), hints=Hints(activation="relu"))

    @pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1], 3, "text", torch.ones(3), None])
    def test_files_without_weights(self, tmp_path, content):
        with pytest.raises(LoadError, match="expected"):
            open_model(saved(tmp_path, content), hints=Hints(activation="relu"))

    @pytest.mark.parametrize("weight", [torch.ones(3, 3).to_sparse(), torch.ones(3, 3, dtype=torch.complex64)])
    @pytest.mark.filterwarnings("ignore")
    def test_weights_that_are_not_plain(self, tmp_path, weight):
        with pytest.raises(LoadError, match=r"a.weight is a"):
            open_model(saved(tmp_path, {"a.weight": weight}), hints=Hints(activation="relu"))
