"""A model's layers in; layers that compute the same numbers in less time out.

Each file holds what is tuned by hand, beside the plain computation that it equals.
"""
