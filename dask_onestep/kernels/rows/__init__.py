"""From a block as it arrives to usable rows, and how kernels meet them."""
