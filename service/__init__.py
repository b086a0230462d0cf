"""The long-running scheduler and its commands."""
