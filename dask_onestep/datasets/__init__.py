"""Data sets: flights, and simulated generalized linear models."""

from dask_onestep.datasets.airline import fetch_airline, load_airline
from dask_onestep.datasets.flights import load_flights
from dask_onestep.datasets.simulated import make_glm

__all__ = ["fetch_airline", "load_airline", "load_flights", "make_glm"]
