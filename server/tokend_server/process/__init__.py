"""What the process has of its machine: sockets to listen on, descriptors, standard streams, threads of its own."""
