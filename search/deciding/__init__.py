"""From a finished search to an answer: confirm, retrain, test once, recommend."""
