"""What data must look like."""
