"""What crosses a boundary in foldq: models only, no I/O, no clock, no scikit-learn."""

__version__ = "0.1.0"
