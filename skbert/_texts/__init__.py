"""What users pass in; windows of token ids out, and the way back from tokens to characters."""
