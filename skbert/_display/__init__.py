"""Fitted estimators and vectors in; pictures, tables and explanations of predictions out."""
