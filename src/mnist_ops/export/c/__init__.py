"""A trained network as C99: its steps, its int8 form, where its maps lie, the text, and the compiler that proves it."""
