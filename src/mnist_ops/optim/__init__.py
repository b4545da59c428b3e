"""What changes the weights: optimisers, schedule, one epoch of steps, the search for the learning rate."""
