"""Tarballs: looking into them, loading out of them, unpacking and packing them."""
