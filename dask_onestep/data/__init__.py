"""What users pass in: arrays, frames and their parts, brought to one form."""
