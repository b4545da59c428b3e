"""What a network is, without torch: its layers as records in `layers`, what they compute and cost in `arithmetic`, the
named ones in `zoo`, their tables in `table`."""
