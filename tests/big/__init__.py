"""What only gigabytes show: `make big`."""
