"""torch.export archives: names, shapes, outputs, layouts, refusals."""

import io
import json
import zipfile

import pytest
import torch
from torch import nn

from convert.errors import (
    ConvertError,
    InputShapeError,
    UnsupportedOpError,
)
from convert.reading.models import open_model
from tests.oracles.trained import Two, assert_computes, exported, stack


class TestExported:
    def test_the_shape_is_the_captured_one(self, tmp_path):
        model = open_model(exported(tmp_path, stack(6, 5, 3)))
        assert model.sample_shape == (6,)
        with pytest.raises(InputShapeError, match=r"captured for samples of shape .6,., got .5,."):
            model.traced((5,))

    def test_weights_may_be_larger_than_any_activation(self, tmp_path, monkeypatch):
        path = exported(tmp_path, stack(6, 50, 3))
        monkeypatch.setattr("convert.reading.pt2_graph._LARGEST", 60)  # 50 activations, 300 weights
        assert open_model(path).traced((6,)).coverage
        monkeypatch.setattr("convert.reading.pt2_graph._LARGEST", 40)
        with pytest.raises(ConvertError, match="smaller batch"):
            open_model(path).traced((6,))

    def test_places_are_those_of_the_users_model(self, tmp_path, trained):
        path = exported(tmp_path, trained["cnn"], torch.zeros(1, 1, 8, 8))
        places = [row.place for row in open_model(path).traced((1, 8, 8)).coverage]
        assert places[:4] == ["conv1", "norm", "act", "pool"]

    @pytest.mark.parametrize(("forward", "words"), [
        (lambda m, x: torch.log_softmax(m.a(x), 1).cumsum(1), "softmax.*(.|\n)*cumsum"),
        (lambda m, x: m.b(m.a(x).relu()).chunk(2, 0)[0], "part of the batch"),
        (lambda m, x: m.a(x).relu().mean(0, keepdim=True), "mean"),
        (lambda m, x: torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,)), "cond"),
    ])  # fmt: skip
    def test_operations_without_a_neuron_are_named(self, tmp_path, forward, words):
        path = exported(tmp_path, Two(forward), torch.zeros(4, 6))
        with pytest.raises(UnsupportedOpError, match=words):
            open_model(path).traced((6,))

    @pytest.mark.parametrize(("forward", "names"), [
        (lambda m, x: (m.a(x).relu(), m.b(x)), ["0", "1"]),
        (lambda m, x: {"a": m.a(x).relu(), "b": [m.b(x)]}, ["a", "b.0"]),
    ])  # fmt: skip
    def test_several_outputs_keep_their_names(self, tmp_path, forward, names):
        traced = open_model(exported(tmp_path, Two(forward), torch.zeros(4, 6))).traced((6,))
        assert [head.name for head in traced.heads] == names

    def test_a_softmax_at_the_end_goes_to_the_read_out(self, tmp_path):
        path = exported(tmp_path, Two(lambda m, x: m.b(m.a(x).relu()).softmax(1)), torch.zeros(4, 6))
        assert [head.readout for head in open_model(path).traced((6,)).heads] == ["softmax"]

    def test_calls_on_fixed_tensors_are_made_only_if_harmless(self, tmp_path):
        module = Two(lambda m, x: torch.relu(x @ m.a.weight.t() * 2) @ m.b.weight.t())
        assert_computes(open_model(exported(tmp_path, module)), module, (6,))
        path = exported(tmp_path, Two(lambda m, x: m.b(m.a(x).relu() + torch.zeros(6))))
        with pytest.raises(UnsupportedOpError, match="zeros"):
            open_model(path).traced((6,))

    @pytest.mark.filterwarnings("ignore")  # torch's own, of its own types
    def test_a_decomposed_program(self, tmp_path, trained):
        network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        network.append(nn.Linear(36, 3)).eval()[1].running_mean.uniform_(-1, 1)
        program = torch.export.export(network, (torch.zeros(1, 1, 8, 8),)).run_decompositions()
        targets = {str(node.target) for node in program.graph.nodes}
        assert {"aten._native_batch_norm_legit_no_training.default", "aten.addmm.default"} <= targets
        torch.export.save(program, str(tmp_path / "net.pt2"))
        assert_computes(open_model(tmp_path / "net.pt2"), network, (1, 8, 8))

    def test_two_inputs(self, tmp_path):
        path = exported(tmp_path, Two(lambda m, x, y: m.a(x + y).relu()), torch.zeros(1, 6), torch.zeros(1, 6))
        with pytest.raises(UnsupportedOpError, match="a second input"):
            open_model(path)

    def test_constants_and_sizes(self, tmp_path):
        module = Two(lambda m, x: m.b(torch.relu(m.a(x) * m.factor + 0.5)).view(x.shape[0], -1))
        module.factor = torch.arange(1.0, 7.0)
        batch = {0: torch.export.Dim("batch")}
        path = tmp_path / "net.pt2"
        torch.export.save(torch.export.export(module, (torch.zeros(3, 6),), dynamic_shapes={"x": (batch,)}), str(path))
        assert_computes(open_model(path), module, (6,))

    def test_the_layouts_before_torch_2_9(self, tmp_path):
        module = stack(6, 5, 3)
        with zipfile.ZipFile(exported(tmp_path, module)) as archive:
            program = next(archive.read(n) for n in archive.namelist() if n.endswith("models/model.json"))
        state, nothing = io.BytesIO(), io.BytesIO()
        torch.save(module.state_dict(), state)
        torch.save({}, nothing)
        old = {"serialized_exported_program.json": program, "serialized_state_dict.pt": state.getvalue(),
               "serialized_constants.pt": nothing.getvalue(), "version": b"8.2"}  # fmt: skip
        between = {"m/archive_format": b"pt2", "m/models/model.json": program,
                   "m/data/weights/model.pt": state.getvalue(),
                   "m/data/constants/model.pt": nothing.getvalue()}  # fmt: skip
        for content in (old, between):
            with zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:
                for name, data in content.items():
                    archive.writestr(name, data)
            assert_computes(open_model(tmp_path / "old.pt2"), module, (6,))

    def test_a_graph_that_does_not_compute_what_its_shapes_say(self, tmp_path):
        path = exported(tmp_path, stack(6, 5, 3))
        edited = tmp_path / "edited.pt2"
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(edited, "w") as new:
            for name in old.namelist():
                data = old.read(name)
                if name.endswith("models/model.json"):
                    program = json.loads(data)
                    values = program["graph_module"]["graph"]["tensor_values"]
                    values["linear"]["sizes"][1] = {"as_int": 4}
                    data = json.dumps(program).encode()
                new.writestr(name, data)
        with pytest.raises(ConvertError, match=r"recorded with samples of shape \(4,\), but gives \(5,\)"):
            open_model(edited).traced((6,))
