"""What a model sees: from the canonical Dataset to scaled windows and batches of tensors."""
