"""How a process lives: clock, settings, logs, threads, tasks, files, LMDB environments."""
