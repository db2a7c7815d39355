"""What works on this machine rather than through a gateway: its process, files and findings."""
