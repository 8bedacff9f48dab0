"""Who answers: a model behind lm-eval's interface."""
