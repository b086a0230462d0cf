"""Make examples/data/passengers.csv: invented passengers of a ferry that got into trouble.

Nobody in it ever lived. The table has what real ones have: numbers, text categories, yes and no,
and cells that nobody filled in. Run it again to get the same file, byte for byte:

    python examples/data/make_passengers.py
"""

from pathlib import Path

import numpy as np
import pandas as pd

N_PASSENGERS = 1200
SEED = 1912


def passengers(n: int = N_PASSENGERS, seed: int = SEED) -> pd.DataFrame:
    """Draw passengers whose chance to be rescued depends on who and where they were.

    Returns
    -------
    DataFrame of shape (n, 10)
        The column `rescued` is the one to predict.
    """
    rng = np.random.default_rng(seed)
    cabin = rng.choice(["first", "second", "third"], size=n, p=[0.22, 0.28, 0.50])
    sex = rng.choice(["female", "male"], size=n, p=[0.42, 0.58])
    age = np.clip(rng.gamma(6.0, 5.2, size=n), 0.5, 88).round(1)
    relatives = rng.poisson(0.9, size=n)
    port = rng.choice(["Brest", "Cork", "Southampton"], size=n, p=[0.2, 0.1, 0.7])
    price = {"first": 95.0, "second": 32.0, "third": 14.0}
    fare = (np.array([price[c] for c in cabin]) * rng.lognormal(0.0, 0.4, size=n)).round(2)
    deck = np.where(
        cabin == "first",
        rng.choice(["A", "B", "C"], size=n),
        np.where(cabin == "second", rng.choice(["C", "D"], size=n), rng.choice(["E", "F"], size=n)),
    )
    swims = rng.random(n) < 0.35
    minutes_to_boat = (rng.gamma(3.0, 4.0, size=n) + 5.0 * (cabin == "third")).round(1)

    # Women, children, better cabins, swimmers and the close ones first; large groups were slow.
    logit = (
        -1.1
        + 2.1 * (sex == "female")
        + 1.6 * (age < 13)
        + 0.9 * (cabin == "first")
        + 0.3 * (cabin == "second")
        + 0.7 * (swims & (age < 55))
        - 0.05 * minutes_to_boat
        - 0.45 * np.maximum(relatives - 2, 0)
        - 0.015 * (age - 30)
    )
    rescued = rng.random(n) < 1.0 / (1.0 + np.exp(-1.4 * logit))

    table = pd.DataFrame(
        {
            "cabin": cabin,
            "sex": sex,
            "age": age,
            "relatives": relatives,
            "fare": fare,
            "port": port,
            "deck": deck,
            "swims": np.where(swims, "yes", "no"),
            "minutes_to_boat": minutes_to_boat,
            "rescued": np.where(rescued, "yes", "no"),
        }
    )
    # The purser asked few third-class passengers for their age, and lost the pages of some decks.
    table.loc[rng.random(n) < np.where(cabin == "third", 0.25, 0.08), "age"] = np.nan
    table.loc[rng.random(n) < 0.03, "fare"] = np.nan
    table.loc[rng.random(n) < 0.01, "port"] = None
    table.loc[rng.random(n) < np.where(cabin == "third", 0.5, 0.15), "deck"] = None
    return table


if __name__ == "__main__":
    target = Path(__file__).with_name("passengers.csv")
    passengers().to_csv(target, index=False, lineterminator="\n")
    print(f"{target.name}: {N_PASSENGERS} rows")
