"""One recipe over many seeds, each in a process, or all in one."""
