"""Files: tables, fitted models and predictions."""

from dask_onestep.storage.models import SCHEMA, check_model_path, model_record, read_model, write_model
from dask_onestep.storage.table_files import check_predictions_path, read_table, write_predictions

__all__ = [
    "SCHEMA",
    "check_model_path",
    "check_predictions_path",
    "model_record",
    "read_model",
    "read_table",
    "write_model",
    "write_predictions",
]
