"""From a block of user data to usable rows, and how kernels are run on them."""
