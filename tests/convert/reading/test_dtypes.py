"""Weights of other precisions: halves convert exactly, doubles are rounded with a note."""

import torch

from convert.reading.hints import Hints
from convert.reading.models import open_model
from tests.oracles.trained import assert_computes, saved, stack


class TestDtypes:
    def test_halves_convert_exactly_and_without_a_note(self, tmp_path):
        for dtype in (torch.float16, torch.bfloat16):
            module = stack(6, 5, 3).to(dtype)
            model = open_model(saved(tmp_path, module.state_dict()), hints=Hints(activation="relu"))
            assert not [note for note in model.notes if "rounded" in note]
            assert_computes(model, module.float(), (6,))

    def test_double_is_rounded_with_a_note(self, tmp_path):
        module = stack(6, 5, 3).double()
        module[0].weight.data += 1e-12
        path = saved(tmp_path, module)
        assert "rounded to float32" in open_model(path).notes[0]
        exported = tmp_path / "double.pt2"
        torch.export.save(torch.export.export(module, (torch.zeros(1, 6, dtype=torch.float64),)), str(exported))
        model = open_model(exported)
        assert "rounded to float32" in model.notes[0]
        assert_computes(model, module.float(), (6,))
