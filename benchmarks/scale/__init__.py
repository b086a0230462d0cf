"""What large records cost whoever asks them: `python -m benchmarks.scale`."""
