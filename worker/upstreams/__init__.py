"""The clients of the vendors, one file each, and what they have in common."""
