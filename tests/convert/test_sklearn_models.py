"""scikit-learn's MLPs: in memory, as skops, and as pickles, which are refused without being executed."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from convert import from_estimator
from convert.errors import (
    InputShapeError,
    LoadError,
    NoNeuronError,
    NonFiniteWeightError,
    UnsafeFileError,
    UnsupportedOpError,
)
from convert.graph import ir
from convert.graph.semantics import run
from convert.reading.models import open_model

rng = np.random.default_rng(0)
X = rng.normal(1.0, 2.0, (80, 5))
THREE = (X[:, 0] + X[:, 1] > 2).astype(int) + (X[:, 2] > 1)
TARGETS = np.stack([X[:, 0] * X[:, 1], X[:, 2]], axis=1)


def fitted(kind, y, *scalers, **options):
    network = kind(hidden_layer_sizes=(7, 6), max_iter=5, random_state=0, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (make_pipeline(*scalers, network) if scalers else network).fit(X, y)


def outputs(estimator):
    return run(from_estimator(estimator).traced((5,)).graph, torch.from_numpy(X).float()).numpy()


SCALERS = {"none": (), "standard": (StandardScaler(),), "min max": (MinMaxScaler((-1, 2)),),
           "both": (MinMaxScaler(), StandardScaler()), "no mean": (StandardScaler(with_mean=False),),
           "no deviation": (StandardScaler(with_std=False),),
           "neither": (StandardScaler(with_mean=False, with_std=False),)}  # fmt: skip


@pytest.mark.parametrize("scalers", SCALERS)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_classes_and_probabilities_are_those_of_the_estimator(scalers, activation):
    estimator = fitted(MLPClassifier, THREE, *SCALERS[scalers], activation=activation)
    logits = outputs(estimator)
    assert np.array_equal(logits.argmax(1), estimator.predict(X))
    probabilities = torch.softmax(torch.from_numpy(logits), 1).numpy()
    np.testing.assert_allclose(probabilities, estimator.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("targets", [TARGETS, TARGETS[:, 0]], ids=["two", "one"])
def test_a_regressors_outputs_are_its_predictions(targets):
    estimator = fitted(MLPRegressor, targets, StandardScaler())
    np.testing.assert_allclose(outputs(estimator).squeeze(), estimator.predict(X), atol=1e-5)


def test_two_classes_from_one_logit():
    estimator = fitted(MLPClassifier, np.where(THREE > 0, "yes", "no"))
    logit = outputs(estimator)
    assert logit.shape == (80, 1)
    assert np.array_equal(np.where(logit[:, 0] > 0, "yes", "no"), estimator.predict(X))
    traced = from_estimator(estimator).traced((5,))
    assert traced.coverage[-1].fate == "dropped"
    assert "predicts class yes where its output is above 0, else class no" in traced.notes[0]


def test_several_labels():
    labels = np.stack([THREE > 0, X[:, 3] > 1], axis=1).astype(int)
    estimator = fitted(MLPClassifier, labels)
    assert np.array_equal((outputs(estimator) > 0).astype(int), estimator.predict(X))
    assert "each label whose output is above 0" in from_estimator(estimator).traced((5,)).notes[0]


def test_classes_that_are_not_their_numbers_are_noted():
    assert "(0: 10, 1: 20, 2: 30)" in from_estimator(fitted(MLPClassifier, 10 * THREE + 10)).traced((5,)).notes[0]
    assert from_estimator(fitted(MLPClassifier, THREE)).traced((5,)).notes == ()


def test_scalers_leave_no_operation_behind():
    traced = from_estimator(fitted(MLPClassifier, THREE, StandardScaler())).traced((5,))
    assert [type(node.op) for node in traced.graph] == [ir.Input, *[ir.Linear, ir.Relu] * 2, ir.Linear]
    assert traced.coverage[0].becomes == "folded into the weights of the first layer"


def test_model_describes_itself():
    model = from_estimator(fitted(MLPClassifier, THREE), "name", "where")
    assert (model.name, model.origin, model.parameters, model.sample_shape) == ("name", "where", 42 + 48 + 21, (5,))
    assert model.sha256 == from_estimator(fitted(MLPClassifier, THREE)).sha256
    with pytest.raises(InputShapeError, match=r"\(5,\), got \(6,\)"):
        model.traced((6,))


def test_refusals_in_memory():
    with pytest.raises(NoNeuronError):
        from_estimator(fitted(MLPRegressor, TARGETS, activation="identity")).traced((5,))
    with pytest.raises(UnsupportedOpError, match="clip=True"):
        from_estimator(fitted(MLPClassifier, THREE, MinMaxScaler(clip=True)))
    with pytest.raises(UnsupportedOpError, match=r"(?s)2 step.*pca: PCA.*randomforest"):
        from_estimator(make_pipeline(PCA(), RandomForestClassifier()))
    with pytest.raises(LoadError, match="not fitted"):
        from_estimator(MLPClassifier())
    with pytest.raises(LoadError, match="not fitted"):
        from_estimator(make_pipeline(StandardScaler(), fitted(MLPClassifier, THREE)))
    with pytest.raises(UnsupportedOpError, match="Mine"):
        from_estimator(type("Mine", (MLPClassifier,), {})())
    with pytest.raises(UnsupportedOpError, match=r"builtins\.int"):
        from_estimator(3)
    with pytest.raises(LoadError, match="without steps"):
        from_estimator(Pipeline(3))


def test_logistic_layers_become_sigmoids():
    traced = from_estimator(fitted(MLPClassifier, THREE, activation="logistic")).traced((5,))
    assert [site.op.name for site in traced.graph.sites()] == ["sigmoid", "sigmoid"]


def test_arrays_that_do_not_fit():
    estimator = fitted(MLPClassifier, THREE)
    estimator.coefs_[1] = estimator.coefs_[1].T
    with pytest.raises(LoadError, match="do not fit together"):
        from_estimator(estimator)
    estimator.coefs_[1] = "text"
    with pytest.raises(LoadError, match=r"coefs_\[1\]"):
        from_estimator(estimator)
    estimator = fitted(MLPClassifier, THREE, StandardScaler())
    estimator[0].scale_[2] = 0
    with pytest.raises(NonFiniteWeightError, match="layer0"):
        from_estimator(estimator, origin="where").traced((5,))


# skops


def saved(estimator, path: Path) -> Path:
    io_ = pytest.importorskip("skops.io")
    path.write_bytes(io_.dumps(estimator))
    return path


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", ["classifier", "regressor", "pipeline", "labels as objects"])
def test_skops_gives_the_same_network(kind, solver, tmp_path):
    y = {"regressor": TARGETS, "labels as objects": np.where(THREE > 0, "yes", "no").astype(object)}.get(kind, THREE)
    scalers = (MinMaxScaler(), StandardScaler()) if kind == "pipeline" else ()
    estimator = fitted(MLPRegressor if kind == "regressor" else MLPClassifier, y, *scalers, solver=solver)
    opened = open_model(saved(estimator, tmp_path / "told.pt"))
    assert (opened.format, opened.name, opened.sample_shape) == ("scikit-learn (skops)", "told", (5,))
    x = torch.from_numpy(X).float()
    assert np.array_equal(run(opened.traced((5,)).graph, x).numpy(), outputs(estimator))


def test_skops_with_other_types_is_refused_and_lists_them(tmp_path):
    with pytest.raises(UnsafeFileError, match=r"sklearn\.decomposition\._pca\.PCA"):
        open_model(saved(make_pipeline(PCA(), fitted(MLPClassifier, THREE)), tmp_path / "m"))
    estimator = fitted(MLPClassifier, THREE)
    estimator.callback = os.system
    with pytest.raises(UnsafeFileError, match=r"posix\.system|nt\.system|os\.system"):
        open_model(saved(estimator, tmp_path / "m"))


def test_without_the_skops_package(tmp_path, monkeypatch):
    skops_file = saved(fitted(MLPClassifier, THREE), tmp_path / "m")
    monkeypatch.setitem(__import__("sys").modules, "skops.io", None)
    with pytest.raises(LoadError, match=r"pip install 'ann2spike\[skops\]'"):
        open_model(skops_file)
