"""From probabilities to decisions: what mistakes cost, which labels may hold the truth, and what is known before."""
