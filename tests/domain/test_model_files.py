"""Models keep their predictions through a file, the file is the same in every process, and pickles are refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from typing import Any

import numpy as np
import pytest

from photo_popularity.domain.errors import InputError
from photo_popularity.domain.model_files import dump_model, load_model

FIT_MODELS = textwrap.dedent(
    """
    import numpy as np
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.decomposition import PCA
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    X = np.random.default_rng(0).random((120, 6))
    y = (X[:, 0] + X[:, 1] > 1).astype(int)
    models = {
        "pipeline": make_pipeline(StandardScaler(), PCA(3, random_state=0), LogisticRegression()).fit(X, y),
        "svc": SVC(gamma=2.0).fit(X, np.where(y, "cat", "dog")),
        "calibrated": CalibratedClassifierCV(SVC(), ensemble=False).fit(X, y),
        "boosting": HistGradientBoostingRegressor(loss="poisson", max_iter=8, random_state=0).fit(X, y),
        "forest": RandomForestClassifier(5, random_state=0).fit(X, y),
    }
    card = {"seed": 0, "names": {"b", "a", "c", "d"}, "metrics": [0.5, None, True, "é"], "pair": (1, 2)}
    """
)


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(FIT_MODELS, names)
    return names


@pytest.mark.parametrize("kind", ["pipeline", "svc", "calibrated", "boosting", "forest"])
def test_a_loaded_model_predicts_exactly_what_the_fitted_one_did(fitted: dict[str, Any], kind: str) -> None:
    model = fitted["models"][kind]
    loaded = load_model(dump_model(model))
    assert type(loaded) is type(model)
    assert np.array_equal(loaded.predict(fitted["X"]), model.predict(fitted["X"]))


def test_a_dict_of_models_and_card_comes_back_whole(fitted: dict[str, Any]) -> None:
    loaded = load_model(dump_model({"models": fitted["models"], "card": fitted["card"]}))
    assert loaded["card"] == fitted["card"]
    forest = fitted["models"]["forest"]
    assert np.array_equal(
        loaded["models"]["forest"].predict_proba(fitted["X"]), forest.predict_proba(fitted["X"])
    )


def test_a_loaded_model_is_dumped_to_the_bytes_it_came_from(fitted: dict[str, Any]) -> None:
    data = dump_model(fitted["models"])
    assert dump_model(load_model(data)) == data


def test_two_processes_write_the_same_bytes() -> None:
    """Content versions of models would differ for nothing: addresses, clock and the order of sets differ by process."""
    program = FIT_MODELS + textwrap.dedent(
        """
        import hashlib
        from photo_popularity.domain.model_files import dump_model
        for name, model in {**models, "card": card}.items():
            print(name, hashlib.sha256(dump_model(model)).hexdigest())
        """
    )
    runs = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        result = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        runs.append(result.stdout)
    assert len(runs[0].splitlines()) == 6
    assert runs[0] == runs[1]


def test_different_models_have_different_bytes(fitted: dict[str, Any]) -> None:
    other = dict(fitted["card"], seed=1)
    assert dump_model(other) != dump_model(fitted["card"])


def test_a_file_that_names_a_foreign_type_is_refused_by_name() -> None:
    schema = {"__class__": "Popen", "__module__": "subprocess", "__loader__": "TypeNode", "protocol": 2}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    with pytest.raises(
        InputError, match=r"night\.skops: holds types that are not trusted \(subprocess\.Popen\)"
    ):
        load_model(target.getvalue(), name="night.skops")


def test_every_cut_of_a_model_file_is_an_input_error() -> None:
    from sklearn.linear_model import LinearRegression

    data = dump_model(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]))
    for length in range(0, len(data), 97):
        with pytest.raises(
            InputError, match=r"m\.skops: is not a readable .skops model .*train the model again"
        ):
            load_model(data[:length], name="m.skops")


def test_sparse_parts_are_refused_rather_than_stored_with_a_clock() -> None:
    from scipy.sparse import csr_matrix

    with pytest.raises(ValueError, match="not dense arrays"):
        dump_model({"matrix": csr_matrix(np.eye(3))})


def test_the_archive_has_no_date_and_sorted_members(fitted: dict[str, Any]) -> None:
    data = dump_model(fitted["models"]["svc"])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        assert [info.filename for info in infos] == sorted(info.filename for info in infos)
        assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
        array = next(info.filename for info in infos if info.filename.endswith(".npy"))
        assert array == hashlib.sha256(archive.read(array)).hexdigest()[:32] + ".npy"
