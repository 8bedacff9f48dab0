"""Ask one trained model and judge what it says."""
