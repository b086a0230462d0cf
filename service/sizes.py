"""Numbers of bytes, as people say them."""


def size(n_bytes: float) -> str:
    """Write a number of bytes as people say it.

    Examples
    --------
    >>> size(999), size(12_345), size(3_400_000_000)
    ('999 bytes', '12 kB', '3.4 GB')
    """
    if n_bytes < 1000:
        return f"{n_bytes:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        n_bytes /= 1000
        if n_bytes < 999.5:
            return f"{n_bytes:.1f} {unit}" if n_bytes < 9.95 else f"{n_bytes:.0f} {unit}"
    return f"{n_bytes / 1000:.1f} TB"
