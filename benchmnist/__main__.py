"""`python -m benchmnist`."""

from benchmnist.cli import main

if __name__ == "__main__":
    main()
