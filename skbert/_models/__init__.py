"""The name of a checkpoint in; its model and tokenizer on a device out.

Also the other way: a trained model in, its state as plain data out.
"""
