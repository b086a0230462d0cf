"""What `import foldq` gives to notebooks and programs: searches handed in, and followed."""
