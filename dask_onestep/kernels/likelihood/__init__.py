"""What is summed over rows: likelihoods of one linear predictor or of several, their kernels, and fits in memory."""
