"""Line searches, solving with an information matrix, and single-threaded BLAS."""
