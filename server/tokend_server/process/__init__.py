"""The resources of the process: listening sockets, descriptors, standard streams, background threads."""
