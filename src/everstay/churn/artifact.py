"""The artifact folder of a churn model: `artifact.json` beside safetensors and skops files. No pickle.

`artifact.json` names the candidate's kind, how to load it, what it was made from, its configuration and its columns.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import lightgbm
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors

from everstay.churn.baselines import BoostingScorer, LogisticScorer, RecencyScorer
from everstay.churn.blend import BlendScorer
from everstay.churn.calibration import CALIBRATORS, calibrator_kind
from everstay.churn.config import NetworkConfig
from everstay.churn.encoding import FeatureEncoder, TokenEncoder
from everstay.churn.ensemble import NetworkEncoder, NetworkScorer
from everstay.churn.model import CalibratedModel, Scorer
from everstay.churn.purchase_process import PROCESSES, PurchaseProcessScorer
from everstay.churn.svm import SvmScorer
from everstay.churn.trees import LightGbmScorer, TreeScorer
from everstay.errors import EverstayError

CARD = "artifact.json"
LOADER = "everstay.churn.artifact:load_artifact"

_ARRAYS = "arrays.safetensors"
_TRUSTED = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor", "sklearn.tree._tree.Tree")
"""The only types beyond skops' trusted list that a file of trees may contain; their arrays are read as arrays."""


def save_artifact(
    model: CalibratedModel, folder: Path, *, as_of: datetime, data_version: str, params: Mapping[str, Any]
) -> Path:
    """Write a model to `folder`, the card last, so that a folder with a card is complete.

    Args:
        model: to store.
        folder: created; must not hold another model.
        as_of: the time up to which labels and events were known when it was fitted.
        data_version: of the lake.
        params: configuration and chosen settings, for human readers.
    """
    _write(model, folder, {"as_of": as_of.isoformat(), "data_version": data_version, "config": dict(params)})
    return folder


def _write(model: CalibratedModel, folder: Path, origin: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kind, save = next((kind, save) for kind, (owner, save, _) in _KINDS.items() if isinstance(model.scorer, owner))
    card = {
        "kind": kind,
        "model": "churn",
        "name": model.name,
        "loader": LOADER,
        **origin,
        "calibrator": {"kind": calibrator_kind(model.calibrator), **vars(model.calibrator)},
        "usual": dict(model.usual),
        "scorer": save(model.scorer, folder),
    }
    (folder / CARD).write_text(json.dumps(card, indent=1, allow_nan=False), encoding="utf-8")


def load_artifact(folder: Path) -> CalibratedModel:
    """Load a model; its predictions equal those before saving, bit for bit.

    Raises:
        EverstayError: the folder is not a churn artifact, or a file in it contains an untrusted type.
    """
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        load = _KINDS[card["kind"]][2]
    except (FileNotFoundError, KeyError):
        raise EverstayError(f"{folder} is not a churn artifact: {CARD} is missing or names an unknown kind") from None
    curve = dict(card["calibrator"])
    calibrator = CALIBRATORS[curve.pop("kind", "platt")](**curve)
    return CalibratedModel(card["name"], load(folder, card["scorer"]), calibrator, card["usual"])


def _save_recency(scorer: RecencyScorer, folder: Path) -> dict[str, Any]:  # noqa: ARG001
    return {}


def _load_recency(folder: Path, card: dict[str, Any]) -> RecencyScorer:  # noqa: ARG001
    return RecencyScorer()


def _save_logistic(scorer: LogisticScorer, folder: Path) -> dict[str, Any]:
    save_file({**scorer.encoder.arrays(), "coefficients": scorer.coefficients}, folder / _ARRAYS)
    return {"columns": scorer.encoder.columns, "intercept": scorer.intercept}


def _load_logistic(folder: Path, card: dict[str, Any]) -> LogisticScorer:
    arrays = load_file(folder / _ARRAYS)
    encoder = FeatureEncoder.from_arrays(tuple(card["columns"]), arrays)
    return LogisticScorer(encoder, arrays["coefficients"], card["intercept"])


def _save_boosting(scorer: BoostingScorer, folder: Path) -> dict[str, Any]:
    for number, member in enumerate(scorer.members):
        _save_estimator(member, folder / f"estimator_{number}.skops")
    return {"columns": scorer.columns, "members": len(scorer.members), "rounds": scorer.rounds}


def _load_boosting(folder: Path, card: dict[str, Any]) -> BoostingScorer:
    files = [folder / f"estimator_{number}.skops" for number in range(card["members"])]
    return BoostingScorer(tuple(card["columns"]), tuple(map(_load_estimator, files)), card["rounds"])


def _save_estimator(estimator: Any, file: Path) -> None:
    import skops.io  # here, because it takes seconds and only trees need it

    skops.io.dump(estimator, file)


def _load_estimator(file: Path) -> Any:
    import skops.io

    unknown = sorted(set(skops.io.get_untrusted_types(file=file)).difference(_TRUSTED))
    if unknown:
        raise EverstayError(f"{file} asks for types that are not trusted: {', '.join(unknown)}; it was not loaded")
    return skops.io.load(file, trusted=list(_TRUSTED))


def _save_tree(scorer: TreeScorer, folder: Path) -> dict[str, Any]:
    _save_estimator(scorer.tree, folder / "tree.skops")
    return {"columns": scorer.columns}


def _load_tree(folder: Path, card: dict[str, Any]) -> TreeScorer:
    return TreeScorer(tuple(card["columns"]), _load_estimator(folder / "tree.skops"))


def _save_lightgbm(scorer: LightGbmScorer, folder: Path) -> dict[str, Any]:
    for number, member in enumerate(scorer.members):
        (folder / f"member_{number}.txt").write_text(member.model_to_string(), encoding="utf-8")
    return {"columns": scorer.columns, "members": len(scorer.members), "rounds": scorer.rounds}


def _load_lightgbm(folder: Path, card: dict[str, Any]) -> LightGbmScorer:
    texts = ((folder / f"member_{number}.txt").read_text(encoding="utf-8") for number in range(card["members"]))
    members = tuple(lightgbm.Booster(model_str=text) for text in texts)
    return LightGbmScorer(tuple(card["columns"]), members, card["rounds"])


def _save_svm(scorer: SvmScorer, folder: Path) -> dict[str, Any]:
    save_file({**scorer.encoder.arrays(), "support": scorer.support, "weights": scorer.weights}, folder / _ARRAYS)
    return {"columns": scorer.encoder.columns, "gamma": scorer.gamma, "intercept": scorer.intercept}


def _load_svm(folder: Path, card: dict[str, Any]) -> SvmScorer:
    arrays = load_file(folder / _ARRAYS)
    encoder = FeatureEncoder.from_arrays(tuple(card["columns"]), arrays)
    return SvmScorer(encoder, arrays["support"], arrays["weights"], card["gamma"], card["intercept"])


def _save_purchase_process(scorer: PurchaseProcessScorer, folder: Path) -> dict[str, Any]:  # noqa: ARG001
    process = next(name for name, model in PROCESSES.items() if type(scorer.process) is model)
    parameters, horizon = asdict(scorer.process), scorer.horizon_days
    return {"process": process, "parameters": parameters, "horizon_days": horizon, "days": scorer.days}


def _load_purchase_process(folder: Path, card: dict[str, Any]) -> PurchaseProcessScorer:  # noqa: ARG001
    process = PROCESSES[card["process"]](**card["parameters"])
    return PurchaseProcessScorer(process, card["horizon_days"], card["days"])


def _save_network(scorer: NetworkScorer, folder: Path) -> dict[str, Any]:
    encoder = scorer.encoder
    save_file({**encoder.features.arrays(), **encoder.tokens.arrays()}, folder / _ARRAYS)
    for number, member in enumerate(scorer.members):
        save_tensors(member.state_dict(), folder / f"weights_{number}.safetensors")
    return {
        "columns": encoder.features.columns,
        "network": scorer.config.model_dump(mode="json"),
        "members": len(scorer.members),
    }


def _load_network(folder: Path, card: dict[str, Any]) -> NetworkScorer:
    config, arrays = NetworkConfig(**card["network"]), load_file(folder / _ARRAYS)
    encoder = NetworkEncoder(
        FeatureEncoder.from_arrays(tuple(card["columns"]), arrays),
        TokenEncoder.from_arrays(config.max_tokens, arrays, reads_weekdays=config.reads_weekdays),
    )
    members = []
    for number in range(card["members"]):
        with torch.random.fork_rng(devices=[]):  # initial weights, overwritten at once, must not advance the RNG
            member = encoder.new_network(config)
        member.load_state_dict(load_tensors(folder / f"weights_{number}.safetensors"))
        members.append(member.eval())
    return NetworkScorer(config, encoder, members)


def _save_blend(scorer: BlendScorer, folder: Path) -> dict[str, Any]:
    for member in scorer.members:
        _write(member, folder / "members" / member.name, {})
    return {"members": [member.name for member in scorer.members], "weights": scorer.weights}


def _load_blend(folder: Path, card: dict[str, Any]) -> BlendScorer:
    members = tuple(load_artifact(folder / "members" / name) for name in card["members"])
    return BlendScorer(members, tuple(card["weights"]))


_KINDS: dict[str, tuple[type[Scorer], Callable[[Any, Path], dict[str, Any]], Callable[[Path, dict[str, Any]], Scorer]]]
_KINDS = {
    "recency": (RecencyScorer, _save_recency, _load_recency),
    "logistic": (LogisticScorer, _save_logistic, _load_logistic),
    "boosting": (BoostingScorer, _save_boosting, _load_boosting),
    "purchase_process": (PurchaseProcessScorer, _save_purchase_process, _load_purchase_process),
    "tree": (TreeScorer, _save_tree, _load_tree),
    "svm": (SvmScorer, _save_svm, _load_svm),
    "lightgbm": (LightGbmScorer, _save_lightgbm, _load_lightgbm),
    "network": (NetworkScorer, _save_network, _load_network),
    "blend": (BlendScorer, _save_blend, _load_blend),
}
