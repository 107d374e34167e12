"""Fitted estimators and vectors in; pictures, tables of tokens and explanations of one prediction out."""
