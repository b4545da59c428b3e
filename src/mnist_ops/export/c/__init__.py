"""A trained network as C99: its steps, int8 form, memory layout, text, and the compiler that checks it."""
