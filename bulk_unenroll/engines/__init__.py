"""Engines, such as Dask, that start senders on other machines. One module imports each library."""
