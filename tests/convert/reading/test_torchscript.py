"""TorchScript behind --trust: shapes, batches, control flow."""

import pytest
import torch

from convert.errors import (
    ConvertError,
    InputShapeError,
)
from convert.graph.semantics import run
from convert.reading.architecture import build
from convert.reading.hints import Hints
from convert.reading.models import open_model
from tests.oracles.trained import Two, stack


@pytest.mark.filterwarnings("ignore")
class TestScript:
    def test_control_flow_is_refused(self, tmp_path):
        (tmp_path / "net.py").write_text(
            "import torch\nfrom torch import nn\nclass Net(nn.Module):\n def __init__(self):\n  super().__init__()\n"
            "  self.a = nn.Linear(6, 3)\n"
            " def forward(self, x):\n  if x.sum() > 0:\n   return self.a(x).relu()\n  return self.a(x)\n"
        )
        torch.jit.script(build(f"{tmp_path}/net.py:Net").eval()).save(str(tmp_path / "s.pt"))
        with pytest.raises(ConvertError) as caught:
            open_model(tmp_path / "s.pt", hints=Hints(trust=True)).traced((6,))
        assert "Traceback" not in str(caught.value)

    def test_a_batch_of_one_is_enough(self, tmp_path):
        module = Two(lambda m, x: m.b(m.a(x).relu().view(1, 6)))
        torch.jit.trace(module, torch.zeros(1, 6)).save(str(tmp_path / "s.pt"))
        model = open_model(tmp_path / "s.pt", hints=Hints(trust=True))
        x = torch.randn((1, 6), generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            torch.testing.assert_close(run(model.traced((6,)).graph, x), module(x))

    def test_another_shape(self, tmp_path):
        torch.jit.script(stack(6, 5, 3)).save(str(tmp_path / "s.pt"))
        model = open_model(tmp_path / "s.pt", hints=Hints(trust=True))
        assert model.sample_shape == (6,)
        with pytest.raises(InputShapeError, match=r"does not accept samples of shape .7,."):
            model.traced((7,))
