"""What the service costs, each part beside its limit. `make bench` runs all; each file runs alone too."""
