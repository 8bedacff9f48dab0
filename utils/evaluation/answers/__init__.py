"""Whether an answer is right: by the paper's rule and by a strict one, side by side."""
