"""What the attacks share: the laws that must hold, bad servers, disks and files, virtual time."""
