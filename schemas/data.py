"""Where the data of a job come from."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from schemas.explain import complaint
from schemas.parts import Params, Part, refusal
from schemas.problems import SHOWN, Problem, nearest, shown

#: Table files have columns by name; array files have arrays by name.
TABLE_SUFFIXES = (".csv", ".parquet")
ARRAY_SUFFIXES = (".npz",)

#: Data sets that come with scikit-learn, and its generators that give X, or X and y, by the names
#: that job files use. None goes to the network or takes a path.
LOADERS = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")
GENERATORS = (
    "blobs", "circles", "classification", "friedman1", "friedman2", "friedman3",
    "gaussian_quantiles", "hastie_10_2", "low_rank_matrix", "moons", "multilabel_classification",
    "regression", "s_curve", "sparse_spd_matrix", "sparse_uncorrelated", "spd_matrix",
    "swiss_roll",
)  # fmt: skip


class LoaderData(Part):
    """A data set that comes with scikit-learn."""

    loader: Annotated[str, Field(strict=True, min_length=1)] = Field(
        description="A data set bundled with scikit-learn: iris, wine, breast_cancer, digits, …",
        examples=["digits"],
    )
    params: Params = Field(
        default={}, description="Parameters of the loader.", examples=[{"n_class": 5}]
    )

    @property
    def label(self) -> str:
        """Short text for lists of jobs."""
        return self.loader


class MakeData(Part):
    """A data set made by one of scikit-learn's generators."""

    make: Annotated[str, Field(strict=True, min_length=1)] = Field(
        description="One of scikit-learn's make_* generators: classification, regression, …",
        examples=["classification"],
    )
    params: Params = Field(
        default={},
        description="Parameters of the generator; a missing random_state is drawn at admission.",
        examples=[{"n_samples": 1000, "random_state": 0}],
    )

    @property
    def label(self) -> str:
        """Short text for lists of jobs."""
        return f"make_{self.make.removeprefix('make_')}"


Column = Annotated[str, Field(strict=True, min_length=1)]


def _as_columns(value: object) -> object:
    if value is None or (isinstance(value, str) and value):
        return value
    if isinstance(value, list) and value and all(isinstance(c, str) and c for c in value):
        if len(set(value)) < len(value):
            twice = next(column for column in value if value.count(column) > 1)
            raise refusal("A column stands twice among the features.", given=shown(twice))
        return value
    raise refusal(
        "Features are a list of column names, or one name for a column of text.",
        given=shown(value),
    )


class FileData(Part):
    """A data set in a file: CSV or Parquet with named columns, or NPZ with named arrays."""

    file: Annotated[str, Field(strict=True, min_length=1, max_length=1000)] = Field(
        description="Path of a .csv, .parquet or .npz file, relative to the spool's data/ "
        "directory, or absolute within a data root of the operator.",
        examples=["train.csv"],
    )
    target: Column | None = Field(
        default=None, description="Column to predict.", examples=["survived"]
    )
    features: Annotated[str | list[str] | None, BeforeValidator(_as_columns)] = Field(
        default=None,
        description="Columns to learn from: a list, or one name for a column of text that goes "
        "to a vectoriser. Default: all that have no other role.",
        examples=[["age", "fare"]],
    )
    groups: Column | None = Field(
        default=None,
        description="Column (or array) of group labels for group splitters.",
        examples=["family"],
    )
    weights: Column | None = Field(
        default=None,
        description="Column (or array) of sample weights for fitting.",
        examples=["weight"],
    )
    x: Column | None = Field(
        default=None,
        description="Array of features in an .npz file; default X.",
        examples=["images"],
    )
    y: Column | None = Field(
        default=None,
        description="Array of targets in an .npz file; default y.",
        examples=["labels"],
    )
    y_file: Annotated[str, Field(strict=True, min_length=1, max_length=1000)] | None = Field(
        default=None,
        description="Second .npz file with the targets, when `file` is a sparse SciPy matrix.",
        examples=["labels.npz"],
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if problems := self.misfits():
            raise complaint(*problems)
        return self

    def misfits(self) -> list[Problem]:
        """Return what is wrong with the paths, and between fields that are fine by themselves."""
        problems = [
            problem
            for field in ("file", "y_file")
            if (path := getattr(self, field)) is not None
            for problem in _path_problems(path, field)
        ]
        suffix = self.suffix
        foreign: tuple[str, ...] = ()
        if suffix in TABLE_SUFFIXES:
            foreign = ("x", "y", "y_file")
        elif suffix in ARRAY_SUFFIXES:
            foreign = ("target", "features")
        else:
            problems.append(
                Problem(
                    "file",
                    "The kind of data file is told by its suffix, and this one is not known.",
                    given=shown(self.file),
                    expected="one of " + ", ".join(TABLE_SUFFIXES + ARRAY_SUFFIXES),
                    nearest=nearest(suffix, TABLE_SUFFIXES + ARRAY_SUFFIXES),
                )
            )
        problems += [
            Problem(
                field,
                f"{field} has no meaning for a {suffix} file.",
                hint="A table's columns are named by target and features, an .npz file's "
                "arrays by x and y.",
            )
            for field in foreign
            if getattr(self, field) is not None
        ]
        return problems + _role_problems(self)

    @property
    def suffix(self) -> str:
        """The file's suffix in lower case, which tells its kind."""
        name = self.file.rsplit("/", 1)[-1]
        return "." + name.rsplit(".", 1)[1].lower() if "." in name[1:] else ""

    @property
    def label(self) -> str:
        """Short text for lists of jobs."""
        return self.file.rsplit("/", 1)[-1]


def _path_problems(path: str, field: str) -> list[Problem]:
    if not path.isprintable():
        return [Problem(field, "The path holds a control character.", given=shown(path))]
    if ".." in path.split("/"):
        return [
            Problem(
                field,
                "The path leads upwards.",
                given=shown(path),
                hint="Data lie in the spool's data/ directory or in a data root of the operator.",
            )
        ]
    return []


def _role_problems(data: FileData) -> list[Problem]:
    """Return a problem for each column that has two roles."""
    roles = {"target": data.target, "groups": data.groups, "weights": data.weights}
    taken: dict[str, str] = {}
    problems = []
    for role, column in roles.items():
        if column is None:
            continue
        features = data.features if isinstance(data.features, list) else [data.features]
        other = taken.get(column) or ("features" if column in features else None)
        # Groups may well be a feature too (a region, a year); a target or a weight may not.
        if other is not None and not (role == "groups" and other == "features"):
            problems.append(
                Problem(role, f"The column is named by {other} already.", given=shown(column))
            )
        taken[column] = role
    return problems


#: What data come from, each the key that tells.
DATA_KINDS: dict[str, type[LoaderData | MakeData | FileData]] = {
    "loader": LoaderData,
    "make": MakeData,
    "file": FileData,
}


def _data_kind(value: object) -> str:
    if isinstance(value, LoaderData | MakeData | FileData):
        return next(kind for kind, model in DATA_KINDS.items() if isinstance(value, model))
    if not isinstance(value, dict):
        raise refusal(
            "Data are a mapping.",
            given=shown(value),
            expected="{loader: digits}, {make: classification} or {file: train.csv, target: y}",
            nearest=_spelled_out(value) if isinstance(value, str) else None,
        )
    found = [kind for kind in DATA_KINDS if kind in value]
    if len(found) == 1:
        return found[0]
    if found:
        raise refusal("Data come from one place only.", given=" and ".join(found))
    raise refusal(
        "Data need one of loader, make and file.",
        given=shown(list(value)),
        hint="For example: data: {loader: digits}.",
    )


def _spelled_out(word: str) -> str | None:
    """Return the mapping that was probably meant by a word in the place of data."""
    if len(word) > SHOWN:
        return None
    if word.lower().endswith(TABLE_SUFFIXES):
        return f"{{file: {word}, target: COLUMN}}"
    if word.lower().endswith(ARRAY_SUFFIXES):
        return f"{{file: {word}}}"
    name = word.rpartition(".")[2]
    for kind, prefix, names in (("loader", "load_", LOADERS), ("make", "make_", GENERATORS)):
        if (close := nearest(name.removeprefix(prefix), names)) is not None:
            return f"{{{kind}: {close}}}"
    return None


def _checked_data(value: object) -> object:
    _data_kind(value)
    return value


DataSpec = Annotated[
    Annotated[LoaderData, Tag("loader")]
    | Annotated[MakeData, Tag("make")]
    | Annotated[FileData, Tag("file")],
    Discriminator(_data_kind),
    BeforeValidator(_checked_data),
]
