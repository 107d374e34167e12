"""What scikit-learn users call: X, y and parameters in, fitted attributes and predictions out.

No loop over batches is written here: an estimator checks its input, and names the steps below.
"""
