"""What a network is, without torch: its layers as records, their arithmetic, the named networks, and their tables."""
