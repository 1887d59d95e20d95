"""Writing a revision: its files, the parity gate, the model card, variants of the network."""
