"""One recipe over many seeds, in separate processes or in one."""
