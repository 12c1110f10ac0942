"""From observed and predicted discharge to tables of scores, baselines beside them; without torch."""
