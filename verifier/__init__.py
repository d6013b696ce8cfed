"""The judge: bytes, trust and a time go in, a verdict comes out. No input or output of its own."""
