"""Data files for the parity cases: small, made anew from seeds, of every kind foldq reads."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.datasets import load_iris, make_classification, make_regression
from sklearn.metrics.pairwise import rbf_kernel

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "data"

_WORDS = [
    *("river", "stone", "bridge", "window", "candle", "garden", "winter", "summer", "engine"),
    *("paper", "silver", "orange", "market", "letter", "bottle", "forest", "island", "mirror"),
]


def make_files(directory: Path) -> list[Path]:
    """Make the files, and return where they lie."""
    shutil.copy(EXAMPLES / "passengers.csv", directory)
    _reviews().to_csv(directory / "reviews.csv", index=False)
    _clinics().to_csv(directory / "clinics.csv", index=False)
    _clinics().to_parquet(directory / "clinics.parquet", index=False)
    _prices().to_parquet(directory / "prices.parquet", index=False)
    pd.DataFrame(load_iris().data, columns=list("abcd")).to_csv(
        directory / "flowers.csv", index=False
    )
    X, y = make_regression(120, 6, n_informative=3, noise=8.0, random_state=5)
    rng = np.random.default_rng(6)
    np.savez(
        directory / "sites.npz",
        features=X,
        amount=y,
        site=rng.integers(0, 6, 120),
        weight=rng.uniform(0.1, 3.0, 120),
    )
    counts = sp.random(150, 60, density=0.1, random_state=7, format="csr")
    counts.data = np.ceil(counts.data * 9)
    sp.save_npz(directory / "counts.npz", counts)
    np.savez(directory / "counts_labels.npz", y=(counts[:, :5].sum(axis=1).A1 > 4).astype(int))
    measured, label = make_classification(90, 4, random_state=9)
    np.savez(directory / "kernel.npz", gram=rbf_kernel(measured), label=label)
    return sorted(directory.iterdir())


def _reviews() -> pd.DataFrame:
    """Text with quotes, commas and letters beyond ASCII, liked or not."""
    rng = np.random.default_rng(1)
    rows = []
    for number in range(160):
        liked = bool(rng.random() < 0.5)
        words = list(rng.choice(_WORDS[:13] if liked else _WORDS[6:], size=8))
        words.insert(3, 'a "café", naïve' if number % 9 == 0 else "and")
        rows.append((" ".join(words), len(words), "good" if liked else "bad"))
    return pd.DataFrame(rows, columns=["text", "length", "verdict"])


def _clinics() -> pd.DataFrame:
    """Measurements of patients in clinics, with a weight for each and one column of text."""
    X, y = make_classification(
        180, 5, n_informative=3, n_classes=3, n_clusters_per_class=1, random_state=2
    )
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(X, columns=["pulse", "fever", "iron", "sugar", "age"])
    frame["visits"] = rng.integers(0, 9, 180)
    frame.loc[rng.random(180) < 0.1, "fever"] = np.nan
    frame["clinic"] = rng.choice(["north", "south", "east", "west", "centre"], 180)
    frame["weight"] = rng.integers(1, 5, 180) / 2
    frame["outcome"] = np.array(["well", "ill", "unclear"])[y]
    return frame


def _prices() -> pd.DataFrame:
    """A regression table in time order, with a boolean, a category and missing cells."""
    X, y = make_regression(160, 4, noise=15.0, random_state=4)
    rng = np.random.default_rng(8)
    frame = pd.DataFrame(X, columns=["size", "rooms", "height", "light"])
    frame["garden"] = rng.random(160) < 0.4
    frame["street"] = pd.Categorical(rng.choice(["quiet", "busy", "narrow"], 160))
    frame.loc[rng.random(160) < 0.15, "light"] = np.nan
    storeys = pd.array(rng.integers(1, 5, 160), dtype="Int64")
    storeys[rng.random(160) < 0.1] = pd.NA
    lift = pd.array(rng.random(160) < 0.3, dtype="boolean")
    lift[5:12] = pd.NA
    frame = frame.assign(storeys=storeys, lift=lift)
    frame["price"] = y
    return frame
