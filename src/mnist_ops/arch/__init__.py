"""What a network is, without torch: `records` and `layers`, the named ones in `zoo`, their tables in `table`."""
