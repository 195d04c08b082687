"""Weights of a plain stack of linear layers, whose activation the user names."""

import pytest
import safetensors.torch
import torch
from torch import nn

from convert.errors import (
    ArchitectureError,
)
from convert.reading.hints import Hints
from convert.reading.models import open_model
from tests.oracles.trained import assert_computes, saved, stack


class TestStack:
    def test_tanh_is_what_the_user_says(self, tmp_path):
        module = stack(6, 5, 4, 3, activation=nn.Tanh)
        model = open_model(saved(tmp_path, module.state_dict()), hints=Hints(activation="tanh"))
        assert_computes(model, module, (6,))
        assert "3 linear layers with tanh between them and none after the last" in model.notes[0]

    def test_batch_norm_at_the_next_number(self, tmp_path):
        module = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)).eval()
        module[1].running_mean.uniform_(-1, 1)
        module[1].running_var.uniform_(0.5, 2)
        model = open_model(saved(tmp_path, module.state_dict()), hints=Hints(activation="relu"))
        assert_computes(model, module, (6,))
        assert "epsilon" in model.notes[0]

    def test_batch_norm_after_the_activation_is_refused(self, tmp_path):
        module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.BatchNorm1d(5), nn.Linear(5, 3))
        with pytest.raises(ArchitectureError, match=r"2: batch norm that is not known.*--arch"):
            open_model(saved(tmp_path, module.state_dict()), hints=Hints(activation="relu"))

    def test_layers_without_room_for_an_activation_are_refused(self, tmp_path):
        module = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
        with pytest.raises(ArchitectureError, match="0 and 1 stand next to each other"):
            open_model(saved(tmp_path, module.state_dict()), hints=Hints(activation="relu"))

    def test_convolutions_are_refused_by_name(self, tmp_path, trained):
        with pytest.raises(
            ArchitectureError, match=r"conv1: a convolution.*(.|\n)*block.0: a convolution.*(.|\n)*--arch"
        ):
            open_model(saved(tmp_path, trained["cnn"].state_dict()), hints=Hints(activation="relu"))

    def test_sizes_must_chain(self, tmp_path):
        state = {"a.weight": torch.ones(5, 6), "b.weight": torch.ones(3, 4)}
        with pytest.raises(ArchitectureError, match="b takes 4 values but a gives 5"):
            open_model(saved(tmp_path, state), hints=Hints(activation="relu"))

    def test_safetensors_orders_by_number(self, tmp_path):
        module = stack(*[6] * 13)
        safetensors.torch.save_file(module.state_dict(), tmp_path / "w.safetensors")
        assert_computes(open_model(tmp_path / "w.safetensors", hints=Hints(activation="relu")), module, (6,))

    def test_safetensors_orders_by_the_only_chain_of_sizes(self, tmp_path):
        module = stack(6, 5, 3)
        state = {"zebra.weight": module[0].weight, "zebra.bias": module[0].bias, "ant.weight": module[2].weight,
                 "ant.bias": module[2].bias}  # fmt: skip
        safetensors.torch.save_file(state, tmp_path / "w.safetensors")
        assert_computes(open_model(tmp_path / "w.safetensors", hints=Hints(activation="relu")), module, (6,))

    def test_safetensors_without_an_order_is_refused(self, tmp_path):
        safetensors.torch.save_file({"a.weight": torch.eye(4), "b.weight": torch.eye(4)}, tmp_path / "w.safetensors")
        with pytest.raises(ArchitectureError, match="keeps no order"):
            open_model(tmp_path / "w.safetensors", hints=Hints(activation="relu"))

    @pytest.mark.parametrize("state", [
        {"a.weight_ih_l0": torch.ones(4, 4)}, {"a.weight": torch.ones(4)},
        {"a.weight": torch.ones(4, 4), "a.bias": torch.ones(3)},
        {"a.weight": torch.ones(4, 4, dtype=torch.int64)},
        {"a.running_mean": torch.ones(4), "a.running_var": torch.ones(3)},
    ])  # fmt: skip
    def test_other_entries_are_refused_by_name(self, tmp_path, state):
        with pytest.raises(ArchitectureError, match="shapes do not determine the network:\n  a: "):
            open_model(saved(tmp_path, state), hints=Hints(activation="relu"))
