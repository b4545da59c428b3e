"""How fast training is, against two other ways to do it, and where the time goes. `make bench` runs all of it."""
